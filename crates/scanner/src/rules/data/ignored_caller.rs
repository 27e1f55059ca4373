//! A handler that is told who calls, and reaches something by an id without saying so.

use std::collections::BTreeMap;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::callers::{asks_caller, asks_itself, is_caller, is_id, own_code};
use crate::{
    flow::{Entry, Origins},
    ir::{Call, ExprId, ExprKind, FunctionId, NameRef, PropertyKey, StmtKind, walk},
    project::{At, Fun, ModuleId, Parent, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "ignored-caller",
        layer: Layer::Data,
        summary: "A handler that is told who calls reaches a thing by an id from the request, and never looks whose it is.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "That somebody is signed in says nothing about whose the thing is: whoever knows or guesses an id reaches it.",
    fix: "Load the thing first, compare its owner with the verified caller and refuse; or hand the caller to what is called.",
    cwe: &["CWE-639", "CWE-862"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("ignored_caller.md"),
    run,
};

/// First words of methods that change something.
const CHANGES: &[&str] = &[
    "delete", "remove", "destroy", "revoke", "update", "cancel", "archive", "disable", "enable", "rotate", "patch", "terminate", "transfer",
    "rename", "restore", "pause", "resume", "renew", "mark", "close", "complete", "approve", "reject", "publish", "submit", "reopen",
    "activate", "deactivate", "suspend", "reset", "assign", "confirm",
];

/// First words of methods that read something.
const READS: &[&str] = &["get", "find", "fetch", "retrieve", "load", "read", "download", "export"];

/// Words of what is asked that keep nothing for anybody, or have rules of their own.
const ASIDE: &[&str] = &[
    "params", "param", "headers", "header", "cookies", "cookie", "map", "set", "cache", "redis", "kv", "form", "query", "search", "url", "local", "request",
    "req", "res", "response", "list", "registry", "router", "axios", "http", "fetch", "logger", "log", "memo", "pool", "limiter", "ratelimit", "queue",
    "analytics", "body", "object", "reflect", "json", "math", "input", "data", "store", "state", "i18n", "schema", "config",
];

/// Words of functions that note who calls, count or limit, and decide nothing.
pub(super) const NOTES: &[&str] =
    &["log", "logger", "console", "track", "analytics", "capture", "ratelimit", "limit", "limiter", "span", "sentry", "posthog", "telemetry", "debug", "info"];

fn run(project: &Project, report: &mut Report<'_>) {
    super::neighbours::neighbours(project, report);
    super::unread_owner::unread_owner(project, report);
    super::streamed::streamed(project, report);
    super::file_paths::file_paths(project, report);
    let gates = gates(project);
    for entry in project.entries().iter().filter(|entry| entry.kind == "http" || entry.kind == "tool") {
        let Some(unit) = project.unit(entry.handler.module) else { continue };
        if project.is_operators(entry) || project.is_checked_before(entry) || !project.has_owners(entry.handler.module) {
            continue;
        }
        let named = gate_of(project, entry);
        let told = named.as_ref().and_then(|gate| gates.get(gate)).is_some_and(|gate| gate.tells(entry.handler.module));
        if !told && !asks_itself(project, entry.handler) {
            continue;
        }
        let served = served(project, entry.handler);
        let home = if served.module == entry.handler.module { unit } else { project.unit(served.module).unwrap_or(unit) };
        judge(project, report, home, served);
    }
    super::unused_caller::unused_caller(project, report);
    super::by_id_alone::by_id_alone(project, report);
    super::told_unused::told_unused(project, report);
    super::continued::continued(project, report);
}

/// Handlers behind one gate, and which of them use the caller.
#[derive(Default)]
struct Gate {
    users: BTreeMap<ModuleId, usize>,
}

impl Gate {
    /// Whether what stands before the handlers tells them who calls: one of the same file uses it, or several of the project do.
    fn tells(&self, module: ModuleId) -> bool {
        self.users.contains_key(&module) || self.users.values().sum::<usize>() > 1
    }
}

/// What stands before a handler, by its name; for a decorated one the parameter that the caller is injected into.
fn gate_of(project: &Project, entry: &Entry) -> Option<String> {
    project.gate(entry).or_else(|| {
        let unit = project.unit(entry.handler.module)?;
        let function = unit.ir.function(entry.handler.id)?;
        let injected = function.params.iter().find_map(|parameter| {
            let caller = parameter.pattern.as_binding().is_some_and(|id| {
                let name = unit.ir.binding_name(id);
                vocabulary::is_owner(name) || vocabulary::is_principal(name)
            });
            let injections = project.injections(entry.handler.module, parameter);
            let texts = injections.iter().map(|at| project.snippet(*at));
            let says = |text: &&str| text.contains("Depends") || text.contains("Security") || text.contains('@');
            texts.filter(|_| caller).find(says).map(str::to_owned)
        });
        // Methods of one class of handlers, which a guard stands before.
        let class = || project.this_of(entry.handler).map(|class| format!("{class:?}"));
        // Tools that a file describes as objects, one beside the other.
        let described = || {
            let unit = project.unit(entry.registration.module)?;
            let object = entry.kind == "tool" && matches!(unit.ir.expr(entry.registration.expr), ExprKind::Object(_));
            object.then(|| format!("tools of {}", unit.ir.path))
        };
        injected.or_else(class).or_else(described)
    })
}

fn gates(project: &Project) -> BTreeMap<String, Gate> {
    let mut gates: BTreeMap<String, Gate> = BTreeMap::new();
    for entry in project.entries() {
        let Some(name) = gate_of(project, entry) else { continue };
        let uses = !uses_of_caller(project, served(project, entry.handler)).is_empty();
        let gate = gates.entry(name).or_default();
        if uses {
            *gate.users.entry(entry.handler.module).or_default() += 1;
        }
    }
    gates
}

/// The function that does what a handler is for, where the handler only hands on what it is given: `(req, res) => notes.get(req, res)`.
pub(in crate::rules) fn served(project: &Project, handler: Fun) -> Fun {
    let next = |fun: Fun| {
        let unit = project.unit(fun.module)?;
        let [stmt] = *unit.ir.function(fun.id)?.body else { return None };
        let StmtKind::Return(Some(mut value)) = *unit.ir.stmt(stmt) else { return None };
        if let ExprKind::Await(inner) = unit.ir.expr(value) {
            value = *inner;
        }
        let ExprKind::Call(call) = unit.ir.expr(value) else { return None };
        let callee = project.callee(At { module: fun.module, expr: value })?;
        let [target] = *callee.targets else { return None };
        let handed = call.args.iter().all(|arg| match unit.ir.expr(arg.value) {
            ExprKind::Name(NameRef::Binding(id)) => project.parameter_of(fun.module, *id).is_some(),
            _ => false,
        });
        (callee.certain && handed && !call.args.is_empty()).then_some(target)
    };
    let mut fun = handler;
    for _ in 0..3 {
        let Some(target) = next(fun) else { break };
        fun = target;
    }
    fun
}

fn of_caller(project: &Project, unit: &Unit, at: At) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        let value = matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Call(_));
        found = found || (value && is_caller(project, at.to(expr)));
    });
    found
}

/// When a handler uses the caller for more than to see that there is one: as a part of an argument, or compared.
pub(in crate::rules) fn uses_of_caller(project: &Project, fun: Fun) -> Vec<u32> {
    let mut found = Vec::new();
    let Some(unit) = project.unit(fun.module) else { return found };
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            let uses = match unit.ir.expr(expr) {
                ExprKind::Call(call) => call_uses_caller(project, unit, at, call),
                ExprKind::Compare { left, right, .. } => {
                    let pair = |one: ExprId, other: ExprId| is_caller(project, at.to(one)) && !project.is_fixed(at.to(other));
                    pair(*left, *right) || pair(*right, *left)
                }
                ExprKind::Tagged { .. } => of_caller(project, unit, at),
                _ => false,
            };
            if uses {
                found.push(project.order(at));
            }
        });
    }
    found
}

fn call_uses_caller(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    let path = project.written(at);
    let says = |list: &[&str]| path.iter().any(|part| vocabulary::words(part).iter().any(|word| list.contains(&word.as_str())));
    let name = path.last().map_or("", |name| name.as_str());
    // To ask who calls, or to have it injected, is no use of the answer.
    if says(NOTES) || asks_caller(name) || matches!(name, "Depends" | "Security") {
        return false;
    }
    Project::is_check(name) || call.args.iter().any(|arg| of_caller(project, unit, at.to(arg.value)))
}

fn judge(project: &Project, report: &mut Report<'_>, unit: &Unit, fun: Fun) {
    let uses = uses_of_caller(project, fun);
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            let Some(changes) = does(project, at) else { return };
            let order = project.order(at);
            // What is read may be compared later; what was changed is changed.
            let earlier = if changes && here == fun { uses.iter().any(|other| *other < order) } else { !uses.is_empty() };
            if earlier || !is_asked(project, unit, at, call) {
                return;
            }
            let Some(id) = chosen_id(project, unit, at, call) else { return };
            let verb = if changes { "changes" } else { "reads" };
            report
                .reached(at, format!("this {verb} what `{id}` of the request names, and the caller is left out"))
                .confidence(Confidence::Medium);
        });
    }
}

/// Whether a call by its name changes or reads a thing of something else; nothing for all others, and for queries and functions
/// of ours, which are looked into.
fn does(project: &Project, at: At) -> Option<bool> {
    let path = project.written(at);
    let (name, before) = path.split_last()?;
    let words = vocabulary::words(name);
    let verb = words.first()?.as_str();
    let changes = CHANGES.contains(&verb);
    if before.is_empty() || !(changes || READS.contains(&verb)) {
        return None;
    }
    let last = vocabulary::words(before.last()?);
    if last.iter().any(|word| ASIDE.contains(&word.as_str())) {
        return None;
    }
    let seen = project.callee(at).is_some_and(|callee| callee.certain && !callee.targets.is_empty());
    let query = project.queries().iter().any(|query| {
        // `client.delete(fileId)` is taken for a query of a table that is named so.
        !is_id(&query.shown) && query.at.module == at.module && project.span(query.at).contains(project.span(at)) && project.function_of(query.at) == project.function_of(at)
    });
    (!seen && !query).then_some(changes)
}

/// Whether a call asks another thing and not one of this process: it is waited for, or what is called is named for it; and that
/// thing was not made for this caller.
fn is_asked(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return false };
    let mut here = at.expr;
    let mut waited = false;
    for _ in 0..6 {
        match unit.index.parent(here) {
            Parent::Expr(parent) => {
                waited |= matches!(unit.ir.expr(parent), ExprKind::Await(_));
                here = parent;
            }
            _ => break,
        }
    }
    let path = project.written(at);
    let service = path.iter().rev().skip(1).any(|part| {
        vocabulary::words(part).iter().any(|word| matches!(word.as_str(), "service" | "client" | "controller" | "sdk" | "api" | "repo" | "repository"))
    });
    let mut root = *object;
    for _ in 0..16 {
        root = match unit.ir.expr(root) {
            ExprKind::Member { object, .. } => *object,
            ExprKind::Call(call) => call.callee,
            ExprKind::Await(value) => *value,
            _ => break,
        };
    }
    let origins = project.origins(at.to(root)) | project.origins(at.to(*object));
    let of_request = origins.has_owner() || origins.has(Origins::REQUEST | Origins::INPUT);
    (waited || service) && !of_request && !made_for_caller(project, unit, at.to(root))
}

/// Whether what a thing was made from has the request or the caller in it: `clientOf(req)`.
fn made_for_caller(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    unit.index.sources(*id).iter().take(4).any(|source| {
        let mut found = false;
        walk::exprs_below(&unit.ir, source.value, &mut |expr| {
            if let ExprKind::Call(call) = unit.ir.expr(expr) {
                found |= call.args.iter().any(|arg| {
                    let origins = project.origins(at.to(arg.value));
                    origins.has(Origins::REQUEST) || origins.has_owner()
                });
            }
        });
        found
    })
}

/// The id out of the request that a call is given, when nothing among what it is given is the caller and it was not compared.
fn chosen_id(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<String> {
    let mut found = None;
    for arg in &call.args {
        if of_caller(project, unit, at.to(arg.value)) {
            return None;
        }
        let named = match arg.kind {
            crate::ir::ArgKind::Keyword(name) => Some(unit.ir.text(name).to_owned()),
            _ => None,
        };
        values(project, unit, at.to(arg.value), named, 3, &mut |value, name| {
            let is = is_id(name) && project.origins(value).has(Origins::INPUT) && !is_compared(project, value);
            if is && found.is_none() {
                found = Some(name.to_owned());
            }
        });
    }
    found
}

/// The values in an argument, with the names that they have there.
pub(super) fn values(project: &Project, unit: &Unit, at: At, key: Option<String>, depth: u32, visit: &mut impl FnMut(At, &str)) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match unit.ir.expr(at.expr) {
        ExprKind::Object(properties) => {
            for property in properties {
                let key = match property.key {
                    PropertyKey::Name(name) => Some(unit.ir.text(name).to_owned()),
                    _ => None,
                };
                values(project, unit, at.to(property.value), key, depth, visit);
            }
        }
        ExprKind::Array { items, .. } => {
            for item in items.iter().take(4) {
                values(project, unit, at.to(*item), key.clone(), depth, visit);
            }
        }
        // `ids = [note_id]`
        ExprKind::Name(NameRef::Binding(id)) if let Some(list) = list_of(unit, *id) => {
            values(project, unit, at.to(list), key, depth, visit);
        }
        ExprKind::Name(_) | ExprKind::Member { .. } => {
            let own = project.written(at).pop().unwrap_or_default();
            visit(at, if is_id(&own) { &own } else { key.as_deref().unwrap_or(&own) });
        }
        _ => {}
    }
}

/// The list that a variable is set to, when it is set once and to a list that is written out.
fn list_of(unit: &Unit, id: crate::ir::BindingId) -> Option<ExprId> {
    let [source] = unit.index.sources(id) else { return None };
    matches!(unit.ir.expr(source.value), ExprKind::Array { .. }).then_some(source.value)
}

/// Whether a value, or what was found by it, is compared with the caller anywhere in its function.
pub(super) fn is_compared(project: &Project, value: At) -> bool {
    if project.is_checked(value) {
        return true;
    }
    let roots = project.roots(value);
    let shares = |side: At| project.roots(side).iter().any(|root| roots.contains(root));
    project.around(project.function_of(value)).into_iter().take_while(|fun| fun.id != FunctionId::MODULE).any(|fun| {
        project.guards(fun).iter().any(|guard| {
            (shares(guard.left) && is_caller(project, guard.right)) || (shares(guard.right) && is_caller(project, guard.left))
        })
    })
}
