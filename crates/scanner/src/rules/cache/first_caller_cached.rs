//! A value that is worked out for the first caller and given to all that follow.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Origins, compares_what_it_keeps, stands_where_renewed},
    ir::{BindingId, BindingKind, ExprId, ExprKind, FunctionId, LogicalOp, NameRef, StmtKind, walk},
    project::{At, Fun, ModuleId, Parent, Project, Source, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "first-caller-cached",
        layer: Layer::Cache,
        summary: "A result that depends on a function's arguments is kept in one variable and returned to every later caller.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "The cache has no key: whatever was worked out for the first tenant is returned to all others.",
    fix: "Keep the results in a map under the verified tenant, or do not keep them.",
    cwe: &["CWE-524", "CWE-488"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("first_caller_cached.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, binding) in unit.ir.bindings() {
            if binding.kind == BindingKind::Variable && unit.ir.is_module_level(id) {
                variable(project, module, unit, id, report);
            }
        }
    }
    super::first_caller_field::first_caller_field(project, report);
    super::kept_caller::kept_caller(project, report);
    super::one_result::one_result(project, report);
    super::token_of_first::token_of_first(project, report);
}

fn variable(project: &Project, module: ModuleId, unit: &Unit, id: BindingId, report: &mut Report<'_>) {
    for source in unit.index.sources(id) {
        let fun = Fun { module, id: source.function };
        if source.function == FunctionId::MODULE || !source.path.is_empty() {
            continue;
        }
        let value = At { module, expr: source.value };
        if project.is_fixed(value) && !is_loop_value(unit, source.value) {
            continue;
        }
        let callers = project.origins(value).has(Origins::PRINCIPAL | Origins::SECRET | Origins::UNVERIFIED);
        let is_kept = |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(own)) if *own == id);
        if stands_where_renewed(unit, source.value, &is_kept, &project.roots(value)) {
            continue;
        }
        let by_credential = || takes_credential(unit, source.function);
        let looked_up = super::looked_up_for_first::looked_up(project, unit, fun, source.value);
        let returned = returns_it(unit, source.function, id) && (callers || waits(unit, source.function) || by_credential() || looked_up.is_some());
        // A client of whoever came first, that the function goes on with and does not give.
        let client = || !callers && keeps_first(unit, source, id) && goes_on_with(unit, source, id) && is_brought(project, unit, fun, source.value);
        if !returned && !client() {
            continue;
        }
        let by_id = looked_up.is_some();
        let told = looked_up.or_else(|| telling_parameter(project, fun));
        let Some(used) = told.or_else(|| callers.then(|| "the caller's credential".to_owned())) else { continue };
        let name = unit.ir.binding_name(id);
        let shown = source.stmt.map_or_else(|| project.span(value), |stmt| unit.ir.stmt_span(stmt));
        let declared = unit.ir.binding(id).map(|binding| binding.span).unwrap_or_default();
        // Who hands the credential over is not seen, and may be one for all.
        let unseen = !returned;
        let strong = !unseen && project.origins(value).has(Origins::PRINCIPAL | Origins::SECRET | Origins::INPUT);
        let function = project.function_name(fun).to_owned();
        let found = report.reached(value, format!("`{name}` keeps what `{function}` worked out for its first caller, although it depends on {used}"));
        found.related(module, declared, "the variable of all callers");
        found.related(module, shown, "it is set here and never told apart by caller");
        let known = callers || waits(unit, source.function) || by_id;
        // The server's own store is behind it for all.
        let store = crate::vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "storage" | "s3" | "bucket" | "redis" | "database" | "pool"));
        if !strong || store || compares_what_it_keeps(unit, source.function) {
            found.severity(if known { Severity::Medium } else { Severity::Low }).confidence(Confidence::Medium);
        }
        if let Some(given) = given_far_from(project, unit, fun, id, value).filter(|_| returned) {
            report
                .reached(given, format!("`{name}` is given to whoever asks, whoever it was worked out for"))
                .severity(Severity::Low)
                .confidence(Confidence::Medium)
                .related(module, shown, "it is set here");
        }
    }
}

/// How many lines apart the two places are that are reported both: where a value is set, and where others get it.
const APART: u32 = 15;

/// Where a function gives the credential that a variable holds, far above where it sets it: who is served there acts as the first caller.
fn given_far_from(project: &Project, unit: &Unit, fun: Fun, id: BindingId, value: At) -> Option<At> {
    let line = |at: At| unit.ir.position(project.span(at).start).line;
    let given = unit.index.returns(fun.id).iter().find(|expr| mentions(unit, **expr, id))?;
    let part = match unit.ir.expr(*given) {
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        _ => "",
    };
    let credential = vocabulary::is_credential(unit.ir.binding_name(id)) || vocabulary::is_credential(part);
    let given = At { module: fun.module, expr: *given };
    (credential && line(given) + APART <= line(value)).then_some(given)
}

fn is_loop_value(unit: &Unit, expr: crate::ir::ExprId) -> bool {
    matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id))
        if unit.index.sources(*id).iter().any(|source| source.path.contains(&crate::project::Step::Any)))
}

/// Whether a function tests the variable and returns it: a cache of one value.
fn returns_it(unit: &Unit, function: FunctionId, id: BindingId) -> bool {
    let Some(decl) = unit.ir.function(function) else { return false };
    let mut tested = false;
    walk::stmts_below(&unit.ir, &decl.body, &mut |stmt| {
        if let StmtKind::If { test, .. } = unit.ir.stmt(stmt) {
            tested |= mentions(unit, *test, id);
        }
    });
    let returned = unit.index.returns(function).iter().any(|expr| mentions(unit, *expr, id));
    tested && (returned || answers_with(unit, function, id))
}

/// Whether a function leaves what a variable holds as it is: `client = client or Client(token)`, `if not client: client = …`.
fn keeps_first(unit: &Unit, source: &Source, id: BindingId) -> bool {
    if let ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, .. } = unit.ir.expr(source.value) {
        return mentions(unit, *left, id);
    }
    let Some(stmt) = unit.index.stmt_of(source.value) else { return false };
    if matches!(unit.ir.stmt(stmt), StmtKind::Assign { logical: Some(LogicalOp::Or | LogicalOp::Nullish), .. }) {
        return true;
    }
    let Some(up) = unit.index.stmt_parent(stmt) else { return false };
    matches!(unit.ir.stmt(up), StmtKind::If { test, .. } if mentions(unit, *test, id))
}

/// Whether a function calls a method of a variable after it has set it, hands it on, or gives it another name.
fn goes_on_with(unit: &Unit, source: &Source, id: BindingId) -> bool {
    unit.index.uses(id).iter().any(|used| {
        let after = unit.index.function(*used) == source.function && unit.index.order(*used) > source.order;
        after
            && match unit.index.parent(*used) {
                Parent::Expr(up) => match unit.ir.expr(up) {
                    ExprKind::Call(call) => call.callee != *used,
                    ExprKind::Member { object, .. } => object == used,
                    _ => false,
                },
                Parent::Stmt(stmt) => matches!(unit.ir.stmt(stmt), StmtKind::Assign { value, .. } if value == used),
                _ => false,
            }
    })
}

/// Whether a value is what a call makes of a credential that the function has to be given, and that nobody who calls it is seen to
/// take from the environment.
fn is_brought(project: &Project, unit: &Unit, fun: Fun, value: ExprId) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let brought = |id: BindingId| {
        let of = function.params.iter().find(|own| own.pattern.as_binding() == Some(id));
        of.is_some_and(|own| own.default.is_none()) && vocabulary::is_credential(unit.ir.binding_name(id))
    };
    let mut found = false;
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        found |= call.args.iter().any(|arg| {
            let mut told = None;
            walk::exprs_below(&unit.ir, arg.value, &mut |own| {
                if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(own)
                    && brought(*id)
                {
                    told = Some(own);
                }
            });
            told.is_some_and(|told| !project.origins(At { module: fun.module, expr: told }).has(Origins::ENV | Origins::CONSTANT))
        });
    });
    let sets_up = function.name.is_some_and(|name| {
        vocabulary::words(unit.ir.text(name)).iter().any(|word| matches!(word.as_str(), "init" | "initialize" | "setup" | "configure" | "main" | "start"))
    });
    found && !sets_up && !project.callers(fun).iter().any(|call| project.function_of(*call).id == FunctionId::MODULE)
}

/// Whether a handler answers with a variable: `res.json(cached)`.
fn answers_with(unit: &Unit, function: FunctionId, id: BindingId) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, function, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return };
        found |= matches!(unit.ir.text(*property), "json" | "send" | "end" | "jsonp")
            && call.args.iter().any(|arg| mentions(unit, arg.value, id));
    });
    found
}

fn mentions(unit: &Unit, expr: crate::ir::ExprId, id: BindingId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(own)) if *own == id);
    });
    found
}

/// Whether a function is told a credential, and uses it: what it gives is of whoever's that is.
fn takes_credential(unit: &Unit, function: FunctionId) -> bool {
    unit.ir.function(function).is_some_and(|function| {
        function.params.iter().filter_map(|parameter| parameter.pattern.as_binding()).any(|id| {
            vocabulary::is_credential(unit.ir.binding_name(id)) && !unit.index.uses(id).is_empty()
        })
    })
}

fn waits(unit: &Unit, function: FunctionId) -> bool {
    !unit.index.awaits(function).is_empty()
}

/// A parameter of a function that its result depends on, and that may differ from caller to caller: used for more than
/// logging, and named like a caller, a credential or a configuration, or filled from the request.
fn telling_parameter(project: &Project, fun: Fun) -> Option<String> {
    let unit = project.unit(fun.module)?;
    let function = unit.ir.function(fun.id)?;
    for parameter in &function.params {
        let Some(id) = parameter.pattern.as_binding() else { continue };
        let name = unit.ir.binding_name(id);
        if unit.index.uses(id).is_empty() {
            continue;
        }
        let type_text = parameter.type_text.map_or("", |text| unit.ir.text(text));
        let words = vocabulary::words(name);
        let config = words.iter().any(|word| matches!(word.as_str(), "config" | "cfg" | "options" | "ctx" | "context" | "auth" | "session" | "request" | "req" | "extra"));
        let telling = vocabulary::is_owner(name)
            || vocabulary::is_principal(name)
            || vocabulary::is_credential(name)
            || vocabulary::is_principal(type_text)
            || (config && uses_credential(unit, fun.id))
            || project.origins(At { module: fun.module, expr: *unit.index.uses(id).first()? }).is_of_request();
        if telling {
            return Some(format!("`{name}`"));
        }
    }
    None
}

/// Whether a function's code speaks of credentials.
fn uses_credential(unit: &Unit, function: FunctionId) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, function, &mut |expr| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            _ => return,
        };
        found |= vocabulary::is_credential(name) || vocabulary::is_principal(name) || vocabulary::is_owner(name);
    });
    found
}
