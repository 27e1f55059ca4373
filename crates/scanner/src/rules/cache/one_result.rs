//! A function of the project that wraps others and keeps one result of each, whoever calls: `let result; return (...args) => result ??=
//! fn(...args)`. What is worked out for the first caller's arguments is given to all that follow.

use std::collections::BTreeMap;

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{
        BindingId, BindingKind, ExprId, ExprKind, Function, FunctionId, LogicalOp, NameRef, StmtKind, walk,
    },
    project::{At, Fun, ModuleId, Project, Symbol, Unit},
    rules::Report,
    vocabulary,
};

/// Words of parameters by which one caller is told from another, beside owners and credentials.
const TELLING: &[&str] = &[
    "user", "ctx", "context", "request", "req", "session", "auth", "caller", "account", "identity", "extra",
    "client",
];

/// How many functions are gone up from an inner one to the one that wraps.
const DEPTH: usize = 3;

/// A function that keeps one result.
struct Keeper {
    /// Where the result is put.
    kept: At,
    /// The variable.
    name: String,
}

/// Reports where such a result is kept, when a function is wrapped that is told something.
pub(super) fn one_result(project: &Project, report: &mut Report<'_>) {
    let mut keepers: BTreeMap<Fun, Keeper> = BTreeMap::new();
    for (module, unit) in project.units() {
        for (variable, binding) in unit.ir.bindings() {
            let home = unit.ir.binding_function(variable);
            if binding.kind != BindingKind::Variable || home == FunctionId::MODULE {
                continue;
            }
            for source in unit
                .index
                .sources(variable)
                .iter()
                .filter(|source| source.function != home && source.path.is_empty())
            {
                if let Some(outer) = wraps_in(unit, home, source.function, source.value, variable) {
                    let kept = At { module, expr: source.value };
                    let name = unit.ir.binding_name(variable).to_owned();
                    keepers.entry(Fun { module, id: outer }).or_insert(Keeper { kept, name });
                }
            }
        }
    }
    if keepers.is_empty() {
        return;
    }
    let mut told: BTreeMap<Fun, (At, Option<String>)> = BTreeMap::new();
    for (module, unit) in project.units() {
        wrapped(project, module, unit, &keepers, &mut |outer, site, function, unit| {
            let Some(telling) = telling(unit, function) else { return };
            let better = telling.is_some() && told.get(&outer).is_none_or(|(_, known)| known.is_none());
            if better || !told.contains_key(&outer) {
                told.insert(outer, (site, telling));
            }
        });
    }
    for (outer, (site, telling)) in told {
        let Some(keeper) = keepers.get(&outer) else { continue };
        let what = telling
            .as_ref()
            .map_or("whatever it is told".to_owned(), |name| format!("whatever its `{name}` is"));
        report
            .at(
                keeper.kept,
                format!(
                    "`{}` is the one result of what is wrapped, {what}: all get what the first caller got",
                    keeper.name
                ),
            )
            .severity(if telling.is_some() { Severity::Medium } else { Severity::Low })
            .confidence(Confidence::Medium)
            .related(site.module, project.span(site), "this is wrapped in it");
    }
}

/// The function that wraps, when an inner one keeps in a variable around it what the wrapped one gives for its own parameters.
fn wraps_in(
    unit: &Unit,
    home: FunctionId,
    id: FunctionId,
    value: ExprId,
    variable: BindingId,
) -> Option<FunctionId> {
    let function = unit.ir.function(id)?;
    let own = params(function);
    let mut around = Vec::new();
    let mut up = function.parent;
    while let Some(here) = up.filter(|here| *here != FunctionId::MODULE && around.len() < DEPTH) {
        around.push(here);
        up = unit.ir.function(here).and_then(|function| function.parent);
    }
    let given: Vec<BindingId> =
        around.iter().filter_map(|id| unit.ir.function(*id)).flat_map(params).collect();
    let keeps = !own.is_empty()
        && around.contains(&home)
        && gives_wrapped(unit, value, &given, &own, 2)
        && is_asked_and_given(unit, id, function, variable)
        && !looks_at_own(unit, id, function, &own);
    around.last().copied().filter(|_| keeps)
}

fn params(function: &Function) -> Vec<BindingId> {
    let mut found = Vec::new();
    function.params.iter().for_each(|own| own.pattern.for_each_binding(&mut |id| found.push(id)));
    found
}

fn is_one_of(unit: &Unit, expr: ExprId, of: &[BindingId]) -> bool {
    matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if of.contains(id))
}

fn mentions(unit: &Unit, expr: ExprId, of: &[BindingId]) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |expr| found |= is_one_of(unit, expr, of));
    found
}

/// Whether a value is what the wrapped function gives for the parameters of the inner one: `await fn(...args)`, `fn.apply(this, args)`.
fn gives_wrapped(unit: &Unit, value: ExprId, given: &[BindingId], own: &[BindingId], steps: u32) -> bool {
    match unit.ir.expr(value) {
        ExprKind::Await(inner) => gives_wrapped(unit, *inner, given, own, steps),
        ExprKind::Logical { op: LogicalOp::Nullish | LogicalOp::Or, right, .. } => {
            gives_wrapped(unit, *right, given, own, steps)
        }
        ExprKind::Call(call) => {
            let callee = match unit.ir.expr(call.callee) {
                ExprKind::Member { object, property, .. }
                    if matches!(unit.ir.text(*property), "apply" | "call") =>
                {
                    *object
                }
                _ => call.callee,
            };
            is_one_of(unit, callee, given) && call.args.iter().any(|arg| mentions(unit, arg.value, own))
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            let Some(steps) = steps.checked_sub(1) else { return false };
            matches!(unit.index.sources(*id), [source] if source.path.is_empty() && gives_wrapped(unit, source.value, given, own, steps))
        }
        _ => false,
    }
}

/// Whether a function asks whether a variable is set, and gives it.
fn is_asked_and_given(unit: &Unit, id: FunctionId, function: &Function, variable: BindingId) -> bool {
    let gives = unit.index.returns(id).iter().any(|value| {
        let mut found = false;
        walk::exprs_below(&unit.ir, *value, &mut |expr| found |= is_one_of(unit, expr, &[variable]));
        found
    });
    let mut asks = unit.index.sources(variable).iter().any(|source| source.function == id && source.updates);
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        if let StmtKind::If { test, .. } = unit.ir.stmt(stmt) {
            asks |= mentions(unit, *test, &[variable]);
        }
    });
    walk::function_exprs(&unit.ir, id, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Conditional { test, .. } => asks |= mentions(unit, *test, &[variable]),
        ExprKind::Logical { left, .. } => asks |= is_one_of(unit, *left, &[variable]),
        _ => {}
    });
    gives && asks
}

/// Whether a function looks at its parameters before it gives what was kept: compares them, asks by them.
fn looks_at_own(unit: &Unit, id: FunctionId, function: &Function, own: &[BindingId]) -> bool {
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        if let StmtKind::If { test, .. } = unit.ir.stmt(stmt) {
            found |= mentions(unit, *test, own);
        }
    });
    walk::function_exprs(&unit.ir, id, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Compare { left, right, .. } => {
            found |= mentions(unit, *left, own) || mentions(unit, *right, own)
        }
        ExprKind::Conditional { test, .. } => found |= mentions(unit, *test, own),
        ExprKind::Index { index, .. } => found |= mentions(unit, *index, own),
        _ => {}
    });
    found
}

/// Calls `see` for each function that is wrapped in a keeper: by a decorator, or handed to it.
fn wrapped(
    project: &Project,
    module: ModuleId,
    unit: &Unit,
    keepers: &BTreeMap<Fun, Keeper>,
    see: &mut impl FnMut(Fun, At, &Function, &Unit),
) {
    let wraps = |expr: ExprId| {
        let callee = match unit.ir.expr(expr) {
            ExprKind::Call(call) => call.callee,
            _ => expr,
        };
        match project.symbol(At { module, expr: callee }) {
            Symbol::Function(fun) if keepers.contains_key(&fun) => Some(fun),
            _ => None,
        }
    };
    for (_, function) in unit.ir.functions() {
        for decorator in function.decorators.iter() {
            if let Some(outer) = wraps(*decorator) {
                see(outer, At { module, expr: *decorator }, function, unit);
            }
        }
    }
    for expr in &unit.index.calls {
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
        let Some(outer) = call.positional(0).and_then(|first| wraps(*expr).zip(Some(first))) else {
            continue;
        };
        let (outer, first) = outer;
        for fun in project.functions_of(At { module, expr: first }).into_iter().take(2) {
            if let Some(home) = project.unit(fun.module)
                && let Some(function) = home.ir.function(fun.id)
            {
                see(outer, At { module, expr: *expr }, function, home);
            }
        }
    }
}

/// Whether a function is told something, and the parameter that tells one caller from another.
fn telling(unit: &Unit, function: &Function) -> Option<Option<String>> {
    let names: Vec<&str> = params(function).into_iter().map(|id| unit.ir.binding_name(id)).collect();
    if names.is_empty() {
        return None;
    }
    let tells = |name: &&&str| {
        vocabulary::says_whose(name)
            || vocabulary::is_user(name)
            || vocabulary::words(name).last().is_some_and(|last| TELLING.contains(&last.as_str()))
    };
    Some(names.iter().find(tells).map(|name| (*name).to_owned()))
}
