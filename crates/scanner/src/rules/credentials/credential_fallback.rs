//! The server's own credential for callers who bring none.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::of_models::{is_of_models, names_in};
use crate::{
    flow::{Lifetimes, Origins},
    ir::{ExprId, ExprKind, FunctionId, Kinds, LogicalOp, NameRef, StmtId, StmtKind, UnaryOp, walk},
    project::{At, Parent, Project, Symbol, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "credential-fallback",
        layer: Layer::Credentials,
        summary: "A caller who brings no credential gets the server's own out of the environment.",
    },
    severity: Severity::High,
    axis: Axis::Credentials,
    why: "Whoever leaves the credential out acts with the operator's rights, which reach further than any tenant's.",
    fix: "Refuse a request without a credential of its caller. Take the environment's only where the transport is stdio.",
    cwe: &["CWE-636", "CWE-269"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021", "A07:2021"],
    markdown: include_str!("credential_fallback.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    falls_through(project, report);
    super::beside_callers::falls_to_own(project, report);
    super::own_first::own_first(project, report);
    super::left_by_others::left_by_others(project, report);
    super::of_session::of_session(project, report);
    let lives = Lifetimes::new(project);
    super::ends_shared::ends_shared(project, report);
    super::in_its_place::in_its_place(project, &lives, report);
    super::falls_past::falls_past(project, &lives, report);
    for (module, unit) in project.units() {
        for (expr, kind) in unit.ir.exprs_of(Kinds::CHOICE) {
            let (own, other) = match kind {
                ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, right } => (*left, *right),
                ExprKind::Conditional { then, otherwise, .. } => (*then, *otherwise),
                _ => continue,
            };
            let at = At { module, expr };
            let served = is_of_served(project, at.to(own));
            let per_request = served.is_some_and(|by_call| by_call) || lives.is_per_request(project.function_of(at));
            if !per_request || !names_credential(project, at.to(other)) || is_only_asked(project, unit, at) {
                continue;
            }
            let mine = project.origins(at.to(own));
            let fixed = project.origins(at.to(other));
            let fixed_is_known = fixed.has(Origins::ENV);
            let callers = Origins::SECRET | Origins::PRINCIPAL | Origins::UNVERIFIED | Origins::INPUT;
            let theirs = mine.has(callers) || served.is_some() || (mine.has(Origins::UNKNOWN) && is_of_caller(project, at.to(own)));
            // `token = token or os.environ["TOKEN"]`: the environment's is in the variable because of this.
            let again = is_set_by(unit, own, expr);
            if !theirs
                || (mine.has(Origins::ENV) && !again && !is_looked_up(unit, own))
                || !(fixed.has(Origins::ENV) || is_of_settings(project, at.to(other)))
                || fixed.is_of_request()
            {
                continue;
            }
            let found =
                report.reached(at, "a caller without a credential gets the one of the process's environment");
            let fixed = names_in(project, at.to(other));
            if again || !fixed_is_known || !mine.has(callers) || is_given(project, at.to(other)) || !project.has_owners(module) || is_of_services(&fixed) || is_of_models(&fixed) || is_of_models(&names_in(project, at.to(own))) || (project.also_speaks_on_stdio(module) && !project.keeps_rows(module)) {
                found.severity(Severity::Medium).confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a value is one of the server's settings, by their name: `settings.api_token`, `self.config.token`.
fn is_of_settings(project: &Project, at: At) -> bool {
    let path = project.written(at);
    path.iter().rev().skip(1).any(|part| {
        vocabulary::words(part).iter().any(|word| matches!(word.as_str(), "settings" | "config" | "cfg" | "conf"))
    })
}

/// Whether a value is the credential of the request that is served, by the name of the function that gives it, `getRequestToken()`, or
/// only by its own, `requestToken`.
fn is_of_served(project: &Project, at: At) -> Option<bool> {
    let unit = project.unit(at.module)?;
    let says = |name: &str| {
        let served = |word: &String| matches!(word.as_str(), "request" | "current" | "caller" | "incoming");
        vocabulary::is_credential(name) && vocabulary::words(name).iter().any(served)
    };
    match unit.ir.expr(at.expr) {
        ExprKind::Await(value) => is_of_served(project, at.to(*value)),
        ExprKind::Call(call) => {
            let none = call.args.is_empty() && !call.is_new;
            (none && project.last_written(at.to(call.callee)).is_some_and(says)).then_some(true)
        }
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] if source.path.is_empty() && matches!(unit.ir.expr(source.value), ExprKind::Call(_) | ExprKind::Await(_)) => {
                is_of_served(project, at.to(source.value))
            }
            _ => says(unit.ir.binding_name(*id)).then_some(false),
        },
        _ => None,
    }
}

/// Whether a variable is set by an expression.
fn is_set_by(unit: &Unit, variable: ExprId, expr: ExprId) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(variable) else { return false };
    unit.index.sources(*id).iter().any(|source| source.value == expr)
}

/// Whether a value is a parameter, of which only those who call may say where it comes from: `token.refresh_token or default_refresh_token`.
fn is_given(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    matches!(unit.ir.expr(at.expr), ExprKind::Name(NameRef::Binding(id)) if project.parameter_of(at.module, *id).is_some())
}

/// Whether a value is a credential that belongs to what is named for the caller: `session?.apiKey`, `user.access_token`.
fn is_of_caller(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(at.expr) else { return false };
    let of = project.written(at.to(*object)).pop().unwrap_or_default();
    let words = vocabulary::words(&of);
    if is_looked_up(unit, at.expr) {
        return true;
    }
    vocabulary::is_credential(unit.ir.text(*property))
        && words.iter().any(|word| matches!(word.as_str(), "session" | "user" | "tenant" | "caller" | "principal" | "integration" | "workspace" | "org"))
}

/// Whether a value is a credential of a row that was looked up for a tenant: `row.api_token` of
/// `const [row] = await query("SELECT api_token FROM tenants WHERE id = $1", [tenantId])`.
fn is_looked_up(unit: &Unit, expr: ExprId) -> bool {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(expr) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return false };
    let [source] = unit.index.sources(*id) else { return false };
    let call = match unit.ir.expr(source.value) {
        ExprKind::Await(inner) => *inner,
        _ => source.value,
    };
    vocabulary::is_credential(unit.ir.text(*property))
        && matches!(unit.ir.expr(call), ExprKind::Call(call) if call.args.iter().any(|arg| names_tenant(unit, arg.value)))
}

/// Whether a variable for a tenant is a part of a value.
fn names_tenant(unit: &Unit, expr: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |own| {
        found |= match unit.ir.expr(own) {
            ExprKind::Name(NameRef::Binding(id)) => vocabulary::is_tenant(unit.ir.binding_name(*id)),
            ExprKind::Member { property, .. } => vocabulary::is_tenant(unit.ir.text(*property)),
            _ => false,
        };
    });
    found
}

/// Words of what the server itself uses for all of its callers.
const SERVICES: &[&str] = &["storage", "bucket", "s3", "smtp", "mail", "redis", "database", "db", "telemetry", "sentry", "webhook", "signing"];

/// Whether names are those of what the server itself uses, and no tenant has one of its own.
fn is_of_services(names: &[String]) -> bool {
    names.iter().any(|name| {
        let own = |word: &String| SERVICES.contains(&word.as_str()) || super::shared_credential::OPERATORS.contains(&word.as_str());
        vocabulary::words(name).iter().any(own)
    })
}


/// Functions that give the credential of a tenant or user where there is one, and go on with the operator's where there is none.
fn falls_through(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        if !project.has_owners(module) {
            continue;
        }
        for (id, function) in unit.ir.functions() {
            let named = function.name.is_some_and(|name| vocabulary::is_credential(unit.ir.text(name)));
            let own = unit.index.returns(id).iter().find_map(|value| {
                let at = At { module, expr: *value };
                let stmt = unit.index.stmt_of(*value).filter(|_| !matches!(unit.ir.expr(*value), ExprKind::Null))?;
                let branch = asks_for_owner(unit, stmt).filter(|branch| !ends_otherwise(unit, *branch, stmt))?;
                (named || names_credential(project, at)).then_some((unit.index.order(*value), branch))
            });
            let Some((order, branch)) = own else { continue };
            let mut first: Option<ExprId> = None;
            walk::function_exprs(&unit.ir, id, &mut |expr| {
                let later = unit.index.order(expr) > order && first.is_none_or(|first| unit.index.order(expr) < unit.index.order(first));
                if later && is_operators(project, unit, At { module, expr }) && !is_below(unit, expr, branch) {
                    first = Some(expr);
                }
            });
            let Some(first) = first else { continue };
            if refuses(unit, id, order, unit.index.order(first)) {
                continue;
            }
            report
                .reached(At { module, expr: first }, "a tenant or user without a credential gets the operator's")
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a branch ends by leaving with something else than a statement in it does: who is there never comes to what follows.
fn ends_otherwise(unit: &Unit, branch: StmtId, own: StmtId) -> bool {
    let StmtKind::If { then, .. } = unit.ir.stmt(branch) else { return false };
    then.last().is_some_and(|last| *last != own && matches!(unit.ir.stmt(*last), StmtKind::Return(_) | StmtKind::Throw(_)))
}

/// The branch around a statement that is for a tenant or user that is there: `if (tenant.credentials)`.
fn asks_for_owner(unit: &Unit, stmt: StmtId) -> Option<StmtId> {
    let mut here = unit.index.stmt_parent(stmt);
    for _ in 0..16 {
        let at = here?;
        if let StmtKind::If { test, .. } = unit.ir.stmt(at)
            && names_owner(unit, *test)
        {
            return Some(at);
        }
        here = unit.index.stmt_parent(at);
    }
    None
}

fn names_owner(unit: &Unit, test: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, test, &mut |expr| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
            _ => return,
        };
        found |= vocabulary::words(name).iter().any(|word| vocabulary::is_owner(word) || word == "email");
    });
    found
}

/// Whether an expression stands in the part of a branch that is for when the test holds.
fn is_below(unit: &Unit, expr: ExprId, branch: StmtId) -> bool {
    let StmtKind::If { then, .. } = unit.ir.stmt(branch) else { return false };
    let Some(own) = unit.index.stmt_of(expr) else { return false };
    let mut found = false;
    walk::stmts_below(&unit.ir, then, &mut |stmt| found |= stmt == own);
    found
}

/// Whether an expression is a credential out of the settings or the environment: `settings.openai_api_key`.
fn is_operators(project: &Project, unit: &Unit, at: At) -> bool {
    if super::by_name::reads_by_name(project, unit, at) {
        return true;
    }
    let ExprKind::Member { object, property, .. } = unit.ir.expr(at.expr) else { return false };
    // `if settings.tenant_credentials:` asks for a mode.
    let asks = unit.index.stmt_of(at.expr).is_some_and(|stmt| matches!(unit.ir.stmt(stmt), StmtKind::If { .. }));
    let holder = match project.symbol(at.to(*object)) {
        Symbol::External { path, .. } | Symbol::Unknown(path) if !path.is_empty() => path.last().cloned(),
        _ => project.written(at.to(*object)).pop(),
    };
    let holder = holder.unwrap_or_default();
    vocabulary::is_credential(unit.ir.text(*property))
        && !asks
        && !signs_with(project, unit, at)
        && matches!(holder.to_lowercase().trim_start_matches('_'), "settings" | "config" | "env" | "environ" | "cfg" | "app_settings")
}

/// Whether a value is only asked whether there is one: `Boolean(token || process.env.TOKEN)`, `!(…)`.
fn is_only_asked(project: &Project, unit: &Unit, at: At) -> bool {
    let Parent::Expr(up) = unit.index.parent(at.expr) else { return false };
    match unit.ir.expr(up) {
        ExprKind::Unary { op: UnaryOp::Not, .. } => true,
        ExprKind::Call(call) => matches!(project.last_written(at.to(call.callee)), Some("Boolean" | "bool")),
        _ => false,
    }
}

/// Words of functions that sign, or look at a signature, with the server's own secret.
const SIGNS: &[&str] = &["sign", "verify", "hmac", "decode", "encrypt", "decrypt"];

/// Whether the server signs something with a secret: `jwt.sign(claims, process.env.JWT_SECRET)`. No tenant could bring one.
fn signs_with(project: &Project, unit: &Unit, at: At) -> bool {
    let mut here = at.expr;
    // What `jwt.encode` makes is signed; other functions of that name only write something another way.
    let of_tokens = |callee| project.written(at.to(callee)).iter().any(|part| vocabulary::words(part).iter().any(|word| word == "jwt" || word == "jose"));
    for _ in 0..3 {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        if let ExprKind::Call(call) = unit.ir.expr(up)
            && call.callee != here
            && project.last_written(at.to(call.callee)).is_some_and(|name| {
                name == "importKey"
                    || (name == "encode" && of_tokens(call.callee))
                    || vocabulary::words(name).iter().any(|word| SIGNS.contains(&word.as_str()))
            })
        {
            return true;
        }
        here = up;
    }
    false
}

/// Whether a function refuses a tenant or user between two moments.
fn refuses(unit: &Unit, id: FunctionId, from: u32, to: u32) -> bool {
    let Some(function) = unit.ir.function(id) else { return true };
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        let order = unit.index.stmt_order(stmt);
        let throws = matches!(unit.ir.stmt(stmt), StmtKind::Throw(_));
        found |= throws && order > from && order < to && asks_for_owner(unit, stmt).is_some() && !ends_own(unit, stmt, from);
    });
    found
}

/// Whether a statement stands in a branch that began before a moment: it refuses a credential that is not well formed.
fn ends_own(unit: &Unit, stmt: StmtId, moment: u32) -> bool {
    asks_for_owner(unit, stmt).is_some_and(|branch| unit.index.stmt_order(branch) < moment)
}

/// Whether a value is a column of a row, by the row's name: `tokenRecord.resource` is what a token is for, and none.
fn is_column_of_row(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Member { object, .. } = unit.ir.expr(at.expr) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return false };
    let words = vocabulary::words(unit.ir.binding_name(*id));
    words.last().is_some_and(|last| matches!(last.as_str(), "record" | "row" | "entry" | "doc"))
}

/// Whether a value is named like a credential, or made of what is.
fn names_credential(project: &Project, at: At) -> bool {
    if is_column_of_row(project, at) {
        return project.last_written(at).is_some_and(vocabulary::is_credential);
    }
    let names = |at: At| names_in(project, at).iter().any(|name| vocabulary::is_credential(name));
    // `config.stripeKey` of `config = { stripeKey: process.env.STRIPE_SECRET_KEY }`
    let written = || {
        let unit = project.unit(at.module)?;
        let ExprKind::Member { object, property, .. } = unit.ir.expr(at.expr) else { return None };
        project.property_value(at.to(*object), unit.ir.text(*property))
    };
    names(at) || written().is_some_and(names)
}
