//! Things that one caller leaves in the process under a made-up id, and anybody gets who says the id: `jobs[job_id]`,
//! `self._handles.get(handle_id)`, `pending.pop(token)`; and lists of records that say whose they are.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::{Confidence, Severity};

use super::kept_records::{looks_whose, says_whose};
use crate::{
    flow::{Access, Lifetimes, Origins, Store},
    ir::{ExprId, ExprKind, FunctionId, Language, NameRef, walk},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many functions are told of one store; the others do the same.
const MOST: usize = 3;

/// Reports reads of such things by an id that the caller sends, where nobody asks whose they are.
pub(super) fn kept_things(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let mut stores: BTreeMap<Store, Vec<Access>> = BTreeMap::new();
    for access in project.accesses() {
        if !vocabulary::is_cache(&access.name) && !is_of_sessions(&access.name) {
            stores.entry(access.store.clone()).or_default().push(access.clone());
        }
    }
    for (store, accesses) in stores {
        if matches!(&store, Store::Field(class, _) if lives.outlives(*class) == Some(false)) {
            continue;
        }
        super::kept_owned::kept_owned(project, &lives, report, &accesses);
        let made = accesses
            .iter()
            .any(|access| access.value.is_some() && is_made_up(project, access) && !is_wait(project, access));
        let anonymous = accesses.iter().all(|access| !says_party(project, access.key));
        if !made || !anonymous {
            continue;
        }
        let mut told = BTreeSet::new();
        for access in accesses.iter().filter(|access| access.value.is_none()) {
            if told.len() < MOST
                && !told.contains(&access.function)
                && found(project, &lives, report, access.at, access.key, access.function, &access.name)
            {
                told.insert(access.function);
            }
        }
        popped(project, &lives, report, &accesses);
    }
    lists(project, &lives, report);
    super::kept_lists::kept_lists(project, &lives, report);
}

/// Whether a key names a party: in itself, or in a variable that it is made of.
pub(super) fn says_party(project: &Project, key: At) -> bool {
    let Some(unit) = project.unit(key.module) else { return true };
    let party = |name: &str| vocabulary::is_owner(name) || vocabulary::is_principal(name);
    let mut says = matches!(unit.ir.expr(key.expr), ExprKind::Array { .. } | ExprKind::Template(_))
        && project.origins(key).has_owner();
    walk::exprs_below(&unit.ir, key.expr, &mut |expr| {
        says |= match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => party(unit.ir.text(*property)),
            ExprKind::Name(NameRef::Binding(id)) => party(unit.ir.binding_name(*id)),
            _ => false,
        };
    });
    says
}

pub(super) fn found(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    at: At,
    key: At,
    fun: Fun,
    name: &str,
) -> bool {
    let reached = lives.is_per_request(fun);
    let origins = project.origins(key);
    if fun.id == FunctionId::MODULE
        || !reached
        || !origins.is_chosen()
        || says_party(project, key)
        || !knows_callers(project, at.module)
    {
        return false;
    }
    if looks_whose(project, fun) || asked_by_callers(project, fun) || writes_under(project, fun, key) {
        return false;
    }
    report
        .reached(at, format!("what a caller left in `{name}` is found by its id alone, whoever says it"))
        .severity(Severity::Medium)
        .confidence(Confidence::Medium);
    true
}

/// `pending.pop(token)` is no read of a map as such.
fn popped(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>, accesses: &[Access]) {
    let Some(first) = accesses.first() else { return };
    let Some(unit) = project.unit(first.at.module) else { return };
    for expr in &unit.index.calls {
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
        let at = At { module: first.at.module, expr: *expr };
        let Some(key) = call.positional(0).filter(|_| unit.ir.text(*property) == "pop") else { continue };
        if project.store(at.to(*object)).is_some_and(|(store, _)| store == first.store) && takes(unit, *expr)
        {
            found(project, lives, report, at, at.to(key), project.function_of(at), &first.name);
        }
    }
}

/// Whether what a call gives is used.
fn takes(unit: &Unit, expr: ExprId) -> bool {
    let alone = unit
        .index
        .stmt_of(expr)
        .is_some_and(|stmt| matches!(unit.ir.stmt(stmt), crate::ir::StmtKind::Expr(own) if *own == expr));
    !alone
}

/// Names of stores that other rules look at, or that hold no caller's data.
pub(super) fn is_of_sessions(name: &str) -> bool {
    vocabulary::has_own_rules(name)
        || vocabulary::words(name).iter().any(|word| {
            matches!(
                word.as_str(),
                "handler"
                    | "handlers"
                    | "listeners"
                    | "subscribers"
                    | "metrics"
                    | "registry"
                    | "waiters"
                    | "futures"
                    | "events"
                    | "queues"
                    | "callbacks"
                    | "spans"
                    | "traces"
                    | "codes"
                    | "states"
                    | "state"
                    | "nonces"
                    | "nonce"
                    | "clients"
                    | "connections"
                    | "writers"
                    | "readers"
                    | "index"
                    | "oauth"
                    | "auth"
                    | "token"
                    | "tokens"
                    | "instance"
                    | "instances"
                    | "server"
                    | "servers"
                    | "otp"
                    | "csrf"
                    | "code"
                    | "challenges"
                    | "requests"
            )
        })
}

/// Calls that make an id up.
const MAKERS: &[&str] = &[
    "uuid4",
    "uuid1",
    "uuid7",
    "token_hex",
    "token_urlsafe",
    "token_bytes",
    "nanoid",
    "ulid",
    "hex",
    "urandom",
    "new_id",
    "generate_id",
    "make_id",
    "randomUUID",
    "uuidv4",
    "v4",
    "randomBytes",
    "createId",
    "generateId",
    "makeId",
    "newId",
];

/// Whether a key is made up here: by such a call, or it is the id of what was made here.
fn is_made_up(project: &Project, access: &Access) -> bool {
    let Some(unit) = project.unit(access.key.module) else { return false };
    let mut values = vec![access.key.expr];
    for root in project.roots(access.key) {
        values.extend(unit.index.sources(root).iter().take(3).map(|source| source.value));
    }
    let of_thing = matches!(unit.ir.expr(access.key.expr), ExprKind::Member { property, .. } if vocabulary::words(unit.ir.text(*property)).last().is_some_and(|word| word == "id"));
    let mut made = false;
    for value in values {
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            let name = match unit.ir.expr(expr) {
                ExprKind::Call(_) => {
                    project.written(access.key.to(expr)).pop().map(String::from).unwrap_or_default()
                }
                ExprKind::Member { property, .. } => unit.ir.text(*property).to_owned(),
                _ => return,
            };
            let makes = name.chars().next().is_some_and(char::is_uppercase)
                && matches!(unit.ir.expr(expr), ExprKind::Call(_));
            made |= MAKERS.contains(&name.as_str()) || (of_thing && makes);
        });
    }
    made
}

/// Whether what is kept is only waited for: a future, an event, a queue.
fn is_wait(project: &Project, access: &Access) -> bool {
    let (Some(value), Some(unit)) = (access.value, project.unit(access.at.module)) else { return true };
    let mut values = vec![value.expr];
    for root in project.roots(value) {
        values.extend(unit.index.sources(root).iter().take(3).map(|source| source.value));
    }
    values.into_iter().any(|expr| {
        matches!(unit.ir.expr(expr), ExprKind::Function(_) | ExprKind::Bool(_) | ExprKind::Number(_))
            || project.written(value.to(expr)).pop().is_some_and(|name| {
                matches!(
                    name.as_str(),
                    "Future"
                        | "Event"
                        | "Queue"
                        | "Lock"
                        | "create_future"
                        | "create_task"
                        | "Semaphore"
                        | "Promise"
                        | "AbortController"
                        | "setTimeout"
                        | "setInterval"
                        | "now"
                        | "time"
                        | "monotonic"
                )
            })
    })
}

/// Whether a function puts something under the same key before: what it reads is its own.
pub(super) fn writes_under(project: &Project, fun: Fun, key: At) -> bool {
    let roots = project.roots(key);
    project.puts_of(fun).any(|access| {
        project.order(access.at) < project.order(key)
            && project.roots(access.key).iter().any(|root| roots.contains(root))
    })
}

/// Whether whoever calls a function asks whose the thing is.
pub(super) fn asked_by_callers(project: &Project, fun: Fun) -> bool {
    project.callers(fun).iter().take(6).any(|call| {
        let own = project.function_of(*call);
        own != fun
            && looks_whose(project, own)
            && own.id != FunctionId::MODULE
            && !only_about_another(project, *call)
    })
}

/// Whether all that a caller asks about is another thing than the one that is looked up: the team that it names, say.
fn only_about_another(project: &Project, call: At) -> bool {
    let Some(unit) = project.unit(call.module) else { return false };
    let ExprKind::Call(written) = unit.ir.expr(call.expr) else { return false };
    let parts = |expr: ExprId| {
        let mut found = Vec::new();
        walk::exprs_below(&unit.ir, expr, &mut |expr| match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => found.push(unit.ir.text(*property).to_owned()),
            ExprKind::Name(NameRef::Binding(id)) => found.push(unit.ir.binding_name(*id).to_owned()),
            _ => {}
        });
        found
    };
    let mine: Vec<String> = written.args.iter().flat_map(|arg| parts(arg.value)).collect();
    let fun = project.function_of(call);
    let (mut asks, mut about_party) = (0, 0);
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Call(other) = unit.ir.expr(expr) else { return };
        let name = project.written(At { module: call.module, expr }).pop().unwrap_or_default();
        if !vocabulary::asks_whose(name.as_str()) {
            return;
        }
        asks += 1;
        // `authorize_team(user, body.team_id)`: of what is looked up only the party is asked about.
        let last = other.args.iter().filter_map(|arg| match unit.ir.expr(arg.value) {
            ExprKind::Member { property, .. } => Some(unit.ir.text(*property).to_owned()),
            ExprKind::Name(NameRef::Binding(id)) => Some(unit.ir.binding_name(*id).to_owned()),
            _ => None,
        });
        let names: Vec<String> = last.collect();
        let thing = names.iter().any(|name| {
            mine.contains(name) && !vocabulary::is_owner(name) && !vocabulary::is_principal(name)
        });
        about_party += usize::from(!thing && names.iter().any(|name| vocabulary::is_owner(name)));
    });
    asks > 0 && asks == about_party
}

/// Reports functions of requests that give all records of a map whose records say whose they are: `list(todos.values())`.
fn lists(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let mut owned: BTreeMap<Store, String> = BTreeMap::new();
    for access in project.accesses() {
        let Some(value) = access.value else { continue };
        let Some(unit) = project.unit(access.at.module).filter(|unit| unit.ir.language == Language::Python)
        else {
            continue;
        };
        if says_whose(project, unit, value)
            && !vocabulary::is_cache(&access.name)
            && !is_of_sessions(&access.name)
        {
            owned.insert(access.store.clone(), access.name.clone());
        }
    }
    if owned.is_empty() {
        return;
    }
    let all = project.calls_named(|name| matches!(name, "values" | "items"));
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for expr in all.among(module) {
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
            let at = At { module, expr: *expr };
            if !matches!(unit.ir.text(*property), "values" | "items") {
                continue;
            }
            let Some(name) = project.store(at.to(*object)).and_then(|(store, _)| owned.get(&store).cloned())
            else {
                continue;
            };
            let fun = project.function_of(at);
            let given = is_given_back(unit, fun, *expr);
            if fun.id == FunctionId::MODULE
                || !lives.is_per_request(fun)
                || !given
                || looks_whose(project, fun)
                || !knows_callers(project, module)
            {
                continue;
            }
            report
                .reached(at, format!("the records of `{name}` say whose they are, and all of them are given to whoever asks"))
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a function gives back what a call gives: in what it returns, or in a variable that it returns.
fn is_given_back(unit: &Unit, fun: Fun, expr: ExprId) -> bool {
    let mut names = Vec::new();
    let mut here = unit.index.stmt_of(expr);
    for _ in 0..4 {
        let Some(stmt) = here else { break };
        if let crate::ir::StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) {
            target.for_each_binding(&mut |id| names.push(id));
        }
        here = unit.index.stmt_parent(stmt);
    }
    unit.index.returns(fun.id).iter().any(|value| {
        let mut found = false;
        walk::exprs_below(&unit.ir, *value, &mut |inner| {
            found |= inner == expr
                || matches!(unit.ir.expr(inner), ExprKind::Name(NameRef::Binding(id)) if names.contains(id));
        });
        found
    })
}

/// Whether a module knows who calls: it asks for the verified caller, or a framework hands the caller to one of its functions.
pub(super) fn knows_callers(project: &Project, module: ModuleId) -> bool {
    let given = |unit: &Unit| {
        unit.ir.functions().any(|(_, function)| {
            function.params.iter().filter_map(|own| own.pattern.as_binding()).any(|id| {
                let first = unit.index.uses(id).first();
                first.is_some_and(|used| project.origins(At { module, expr: *used }).has(Origins::PRINCIPAL))
            })
        })
    };
    project.knows_callers(module) || project.unit(module).is_some_and(given)
}
