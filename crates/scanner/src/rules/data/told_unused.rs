//! Methods of stores, services and handlers that are handed the caller, reach what is kept for all of them, and never look at the
//! caller: `async def get(self, task_id, context: ServerCallContext): return self.tasks.get(task_id)`. And those beside them that are
//! not even handed one, where the others look.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::Confidence;

use super::{
    asked_by::compares_caller,
    by_id_alone::is_common,
    callers::{asks_caller, is_id, own_code},
    told::{is_told, says_other},
    unscoped_query::open,
};
use crate::{
    flow::{Query, Scope},
    ir::{
        BindingId, Call, ClassId, ExprId, ExprKind, Function, FunctionId, FunctionKind, NameRef, Parameter,
        walk,
    },
    lang::sql::Verb,
    project::{At, Fun, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many calls of a method are looked at.
const CALLERS: usize = 8;

/// First words of methods that reach what is kept.
const REACHES: &[&str] = &[
    "get", "find", "fetch", "retrieve", "load", "read", "download", "export", "list", "delete", "remove",
    "search", "destroy", "revoke", "update", "cancel", "archive", "pop", "pause", "resume", "count",
];

/// Words of what keeps things of all callers.
const KEEPERS: &[&str] = &[
    "store",
    "storage",
    "repo",
    "repository",
    "dao",
    "crud",
    "db",
    "database",
    "backend",
    "persistence",
    "manager",
];

/// Words of fields that keep nothing for anybody.
const ASIDE: &[&str] = &[
    "config",
    "configs",
    "settings",
    "cache",
    "lock",
    "locks",
    "registry",
    "handlers",
    "types",
    "schemas",
    "tools",
    "prompts",
    "plugins",
    "providers",
    "models",
    "templates",
    "headers",
    "params",
    "options",
    "metrics",
    "env",
    "factories",
    "classes",
];

/// Words of methods, classes and files in which no caller is told from another on purpose.
const OPEN: &[&str] = &[
    "admin",
    "system",
    "internal",
    "public",
    "global",
    "shared",
    "test",
    "tests",
    "testing",
    "mock",
    "fake",
    "stub",
    "dummy",
    "example",
    "examples",
    "migration",
    "migrations",
    "health",
    "login",
    "authenticate",
    "token",
    "secret",
    "invite",
    "invitation",
];

/// What a method reaches.
struct Reached {
    at: At,
    /// The field and the method that are asked, where it is another thing: `storage.load_task`.
    through: Option<String>,
}

/// Reports what such methods reach, once for each.
pub(super) fn told_unused(project: &Project, report: &mut Report<'_>) {
    let mut queries: BTreeMap<Fun, Vec<&Query>> = BTreeMap::new();
    for query in project.queries() {
        queries.entry(query.function).or_default().push(query);
    }
    let mut said: Option<BTreeSet<At>> = None;
    for (module, unit) in project.units() {
        if has(&unit.ir.path, OPEN) {
            continue;
        }
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            if !is_method(unit, function)
                || has(project.function_name(fun), OPEN)
                || is_given_connection(unit, function)
            {
                continue;
            }
            let Some(parameter) =
                function.params.iter().find(|own| is_told(unit, own) && is_unread(unit, own))
            else {
                continue;
            };
            let Some(reached) = reached(project, unit, fun, &queries) else { continue };
            if says_other(project, unit, fun) || is_decided(project, unit, fun, function) {
                continue;
            }
            // Queries that name nobody are told as such.
            let said =
                said.get_or_insert_with(|| open(project).into_iter().map(|(query, _)| query.at).collect());
            if said.contains(&reached.at) {
                continue;
            }
            let name = parameter.name.map_or("", |name| unit.ir.text(name));
            report
                .reached(
                    reached.at,
                    format!("`{name}` says who calls, and this is reached without it: whoever asks gets it"),
                )
                .confidence(Confidence::Medium)
                .related(module, parameter.span, "it is never looked at");
        }
    }
    beside(project, report, &queries);
}

/// Whether one of a name's words is one of a list.
fn has(name: &str, list: &[&str]) -> bool {
    vocabulary::words(name).iter().any(|word| list.contains(&word.as_str()))
}

/// Whether a function is a method of a class that is for no operators and no tests.
fn is_method(unit: &Unit, function: &Function) -> bool {
    let class = function.class.and_then(|id| unit.ir.class(id)?.name);
    matches!(function.kind, FunctionKind::Method | FunctionKind::Plain | FunctionKind::Arrow)
        && !function.body.is_empty()
        && class.is_some_and(|name| !has(unit.ir.text(name), OPEN))
}

/// Whether a method is handed a connection, which may have been opened for somebody: `client: PoolClient`, `tx`.
fn is_given_connection(unit: &Unit, function: &Function) -> bool {
    function.params.iter().filter_map(|own| own.name).any(|name| {
        matches!(
            unit.ir.text(name),
            "client" | "tx" | "trx" | "conn" | "connection" | "transaction" | "manager" | "em"
        )
    })
}

/// Whether a parameter is never read.
fn is_unread(unit: &Unit, parameter: &Parameter) -> bool {
    parameter.pattern.as_binding().is_some_and(|id| unit.index.uses(id).is_empty())
}

/// Whether something around a method decides who may call it, or who calls it compares the caller itself.
fn is_decided(project: &Project, unit: &Unit, fun: Fun, function: &Function) -> bool {
    let decorated = function.decorators.iter().any(|expr| {
        let text = unit.ir.snippet(unit.ir.span(*expr));
        has(
            text,
            &[
                "permission",
                "permissions",
                "owner",
                "access",
                "authorize",
                "authorized",
                "role",
                "policy",
                "scope",
                "abstractmethod",
            ],
        )
    });
    decorated
        || project
            .callers(fun)
            .iter()
            .take(CALLERS)
            .any(|call| compares_caller(project, project.function_of(*call)))
}

/// The first thing that a method reaches and that is kept for all callers.
fn reached(
    project: &Project,
    unit: &Unit,
    fun: Fun,
    queries: &BTreeMap<Fun, Vec<&Query>>,
) -> Option<Reached> {
    let own = own_code(project, fun);
    let query = own.iter().filter_map(|here| queries.get(here)).flatten().find(|query| {
        query.scope == Scope::None
            && query.verb != Verb::Insert
            && !is_common(query.shown.trim_end_matches("Model"))
            && !has(&query.shown, OPEN)
    });
    if let Some(query) = query {
        return Some(Reached { at: query.at, through: None });
    }
    let mut found = None;
    for here in own {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            if found.is_none() {
                found = reaches(project, unit, At { module: fun.module, expr });
            }
        });
    }
    found
}

/// Whether an expression reaches something that its object keeps, or asks another thing for it.
fn reaches(project: &Project, unit: &Unit, at: At) -> Option<Reached> {
    match unit.ir.expr(at.expr) {
        ExprKind::Index { object, index, .. } => (is_own_map(project, unit, at.to(*object))
            && is_parameters(project, at.to(*index)))
        .then_some(Reached { at, through: None }),
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, property, .. } => {
                let name = unit.ir.text(*property);
                let keyed = matches!(name, "get" | "delete" | "pop")
                    && call.positional(0).is_some_and(|key| is_parameters(project, at.to(key)));
                let all = matches!(name, "values" | "items" | "entries") && call.args.is_empty();
                if (keyed || all) && is_own_map(project, unit, at.to(*object)) {
                    return Some(Reached { at, through: None });
                }
                if name == "get"
                    && is_model(unit, call.positional(0))
                    && call.positional(1).is_some_and(|id| is_parameters(project, at.to(id)))
                {
                    return Some(Reached { at, through: None });
                }
                asked(project, unit, at, call, *object, name)
            }
            // `select(self.task_model).where(self.task_model.id == task_id)`
            ExprKind::Name(_) => {
                let name = project.last_written(at).unwrap_or_default();
                (matches!(name, "select" | "update" | "delete") && is_model(unit, call.positional(0)))
                    .then_some(Reached { at, through: None })
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether a value is a model that rows are read with: `TaskModel`, `self.task_model`.
fn is_model(unit: &Unit, value: Option<ExprId>) -> bool {
    let Some(value) = value else { return false };
    let name = match unit.ir.expr(value) {
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        _ => return false,
    };
    let named = name.ends_with("model") || name.ends_with("Model") || name.starts_with(char::is_uppercase);
    named && !is_common(name.trim_end_matches("_model").trim_end_matches("Model")) && !has(name, OPEN)
}

/// A call of what keeps things of all callers, with an id that the method is given: `self.storage.load_task(task_id)`.
fn asked(project: &Project, unit: &Unit, at: At, call: &Call, object: ExprId, name: &str) -> Option<Reached> {
    if matches!(unit.ir.expr(object), ExprKind::This) {
        return of_own_method(project, at, call);
    }
    let ExprKind::Member { object: of, property, .. } = unit.ir.expr(object) else { return None };
    let keeper = unit.ir.text(*property);
    let verb = vocabulary::words(name);
    let is_verb = verb.first().is_some_and(|verb| REACHES.contains(&verb.as_str()));
    // The other store may be told who asks by what it is made with.
    if !matches!(unit.ir.expr(*of), ExprKind::This) || !is_verb || !has(keeper, KEEPERS) || is_common(name) {
        return None;
    }
    let by_id = call.args.iter().any(|arg| {
        let own = project.written(at.to(arg.value)).pop().unwrap_or_default();
        is_id(&own) && !is_common(&own) && is_parameters(project, at.to(arg.value))
    });
    by_id.then(|| Reached { at, through: Some(format!("{keeper}.{name}")) })
}

/// A call of another method of the object that looks into what it keeps, by what the method is given: `self._task(params.id)`.
fn of_own_method(project: &Project, at: At, call: &Call) -> Option<Reached> {
    let callee = project.callee(at).filter(|callee| callee.certain)?;
    let [target] = *callee.targets.as_slice() else { return None };
    let home = project.unit(target.module)?;
    let given =
        call.args.len() == 1 && call.positional(0).is_some_and(|value| is_parameters(project, at.to(value)));
    let mut found = false;
    walk::function_exprs(&home.ir, target.id, &mut |expr| {
        let own = At { module: target.module, expr };
        // Only what it keeps itself: methods may call each other in a circle.
        let other = matches!(home.ir.expr(expr), ExprKind::Call(call) if matches!(home.ir.expr(call.callee),
            ExprKind::Member { object, .. } if matches!(home.ir.expr(*object), ExprKind::This)));
        found = found || (given && !other && reaches(project, home, own).is_some());
    });
    (found && !says_other(project, home, target)).then_some(Reached { at, through: None })
}

/// Whether a value is a map that the object itself keeps: `self.tasks`.
fn is_own_map(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(at.expr) else { return false };
    let name = unit.ir.text(*property);
    let Some(class) = project.this_of(project.function_of(at)) else { return false };
    matches!(unit.ir.expr(*object), ExprKind::This)
        && !has(name, ASIDE)
        && project.field_values(class, name).iter().any(|value| is_empty_map(project, *value))
}

/// Whether a value is an empty map.
fn is_empty_map(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    match unit.ir.expr(at.expr) {
        ExprKind::Object(properties) => properties.is_empty(),
        ExprKind::Call(call) => {
            let name = project.last_written(at).unwrap_or_default();
            matches!(name, "dict" | "Map" | "OrderedDict" | "TTLCache" | "defaultdict") && call.args.len() < 3
        }
        _ => false,
    }
}

/// Whether a value is made of what its function is given, by a part of it too: `request["params"]["task_id"]`.
fn is_parameters(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let given = |id: &BindingId| project.parameter_of(at.module, *id).is_some();
    let taken = |id: &BindingId| {
        unit.index.sources(*id).iter().take(2).any(|source| {
            let mut here = source.value;
            while let ExprKind::Member { object, .. } | ExprKind::Index { object, .. } = unit.ir.expr(here) {
                here = *object;
            }
            matches!(unit.ir.expr(here), ExprKind::Name(NameRef::Binding(id)) if given(id))
        })
    };
    project.roots(at).iter().any(|id| given(id) || taken(id))
}

/// Reports methods of handlers that reach by an id what the others of the class reach by the same call and hold against the caller
/// whom they are told, and which are told none themselves.
fn beside(project: &Project, report: &mut Report<'_>, queries: &BTreeMap<Fun, Vec<&Query>>) {
    let mut classes: BTreeMap<(ModuleId, ClassId), Vec<FunctionId>> = BTreeMap::new();
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions().filter(|(_, function)| is_method(unit, function)) {
            let Some(class) = function.class else { continue };
            classes.entry((module, class)).or_default().push(id);
        }
    }
    for ((module, _), methods) in classes {
        let Some(unit) = project.unit(module) else { continue };
        let told = |id: &FunctionId| {
            unit.ir
                .function(*id)
                .is_some_and(|own| own.params.iter().any(|own| is_told(unit, own) && !is_unread(unit, own)))
        };
        if !methods.iter().any(told) {
            continue;
        }
        let through = |id: &FunctionId| {
            reached(project, unit, Fun { module, id: *id }, queries)
                .and_then(|found| Some((found.at, found.through?)))
        };
        let looked: Vec<String> =
            methods.iter().filter(|id| told(id)).filter_map(through).map(|(_, name)| name).collect();
        for id in methods.iter().filter(|id| !told(id)) {
            let fun = Fun { module, id: *id };
            let Some(function) = unit.ir.function(*id) else { continue };
            let Some((at, name)) = through(id).filter(|(_, name)| looked.contains(name)) else { continue };
            let own = project.function_name(fun);
            let for_callers = !own.starts_with('_')
                && !own.starts_with('#')
                && !has(own, OPEN)
                && takes_request(unit, function);
            if for_callers && !says_other(project, unit, fun) && !is_decided(project, unit, fun, function) {
                report
                    .reached(at, format!("`{name}` is asked here for whatever the request names; the methods beside this one are told who calls"))
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a method is given a request as a whole.
fn takes_request(unit: &Unit, function: &Function) -> bool {
    function.params.iter().any(|own| {
        let name = own.name.map_or("", |name| unit.ir.text(name));
        let text = own.type_text.map_or("", |text| unit.ir.text(text));
        matches!(name, "request" | "req" | "params") || text.ends_with("Request") || text.ends_with("Params")
    })
}

/// Whether a name is that of a function that says who calls.
pub(super) fn finds_caller(name: &str) -> bool {
    asks_caller(name) || has(name, &["caller", "principal", "tenant", "current"])
}
