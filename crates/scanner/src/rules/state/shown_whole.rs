//! Maps of the module that hold what requests brought, and are shown whole: `[...notes.values()]`; and events of one name, which whoever
//! waits is given: `bus.once("done", resolve)`.

use std::collections::BTreeMap;

use partywall_model::{Confidence, Severity};

use super::request_in_shared_list::is_other;
use crate::{
    flow::{Access, Lifetimes, Origins, Store, is_on_shared_object},
    ir::{BindingId, ExprId, ExprKind, FunctionKind, Language, NameRef, StmtKind, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::{Report, data::named_objects::has_owner},
    vocabulary,
};

/// Reports such maps, where they are filled, and such events, where they are sent.
pub(super) fn shown_whole(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    maps(project, lives, report);
    events(project, lives, report);
}

fn maps(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let mut by_store: BTreeMap<Store, Vec<&Access>> = BTreeMap::new();
    for access in project.accesses() {
        by_store.entry(access.store.clone()).or_default().push(access);
    }
    for (store, accesses) in by_store {
        let Some(first) = accesses.first() else { continue };
        if is_other(&first.name)
            || vocabulary::is_cache(&first.name)
            || vocabulary::has_own_rules(&first.name)
        {
            continue;
        }
        let fills = |access: &&&Access| {
            access.value.is_some_and(|value| {
                let javascript =
                    project.unit(value.module).is_some_and(|unit| unit.ir.language == Language::JavaScript);
                javascript
                    && !is_constructor(project, access.function)
                    && lives.is_per_request(access.function)
                    && project.handlers_know_callers(value.module)
                    && project.origins(value).has(Origins::INPUT | Origins::PRINCIPAL)
                    && !has_owner(project, own_key(project, access.key), 3)
            })
        };
        let Some(fill) = accesses.iter().find(fills) else { continue };
        let Some(cell) = cell_of(lives, project, fill) else { continue };
        let shown = lives
            .reads(project, &cell)
            .into_iter()
            .filter(|(_, fun, _)| lives.is_per_request(*fun))
            .find_map(|(read, ..)| {
                let all = whole(project, read);
                let given =
                    all.is_some_and(|all| project.is_shown(all)) || is_gathered(project, all.unwrap_or(read));
                given.then_some(all.unwrap_or(read))
            });
        let Some(shown) = shown else { continue };
        if matches!(store, Store::Field(..)) && !is_on_shared_object(project, lives, fill.function) {
            continue;
        }
        report
            .reached(
                fill.at,
                format!("`{}` keeps what all callers send, and is shown whole to each of them", fill.name),
            )
            .severity(Severity::Medium)
            .confidence(Confidence::Medium)
            .related(shown.module, project.span(shown), "its content is given to whoever asks");
    }
}

/// Whether a function makes an object: what it fills is that one's own.
pub(super) fn is_constructor(project: &Project, fun: Fun) -> bool {
    let function = project.unit(fun.module).and_then(|unit| unit.ir.function(fun.id));
    function.is_some_and(|function| function.kind == FunctionKind::Constructor)
}

/// A key, or the value of the property that it is of something that was written out before: `made.id` of `made = { id: newId(), … }`.
fn own_key(project: &Project, key: At) -> At {
    let Some(unit) = project.unit(key.module) else { return key };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(key.expr) else { return key };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return key };
    let [source] = unit.index.sources(*id) else { return key };
    project.literal_property(key.to(source.value), unit.ir.text(*property)).unwrap_or(key)
}

/// What holds the map that an access is of.
fn cell_of(lives: &Lifetimes<'_>, project: &Project, access: &Access) -> Option<crate::flow::Cell> {
    let unit = project.unit(access.at.module)?;
    let map = match unit.ir.expr(access.at.expr) {
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, .. } => *object,
            _ => return None,
        },
        ExprKind::Index { object, .. } => *object,
        _ => return None,
    };
    lives.cell(access.at.to(map))
}

/// The expression that takes all that is in a map: `map.values()`, `Object.values(map)`, `Array.from(map)`, `[...map]`.
fn whole(project: &Project, read: At) -> Option<At> {
    let unit = project.unit(read.module)?;
    let Parent::Expr(up) = unit.index.parent(read.expr) else { return None };
    match unit.ir.expr(up) {
        ExprKind::Member { object, property, .. } if *object == read.expr => {
            let all = matches!(unit.ir.text(*property), "values" | "entries" | "items");
            let Parent::Expr(call) = unit.index.parent(up) else { return None };
            (all && matches!(unit.ir.expr(call), ExprKind::Call(own) if own.callee == up))
                .then_some(read.to(call))
        }
        ExprKind::Call(call) if call.callee != read.expr => {
            let path = project.written(read.to(call.callee));
            let [of, name] = path.as_slice() else { return None };
            let all =
                matches!((of.as_str(), name.as_str()), ("Object", "values" | "entries") | ("Array", "from"));
            all.then_some(read.to(up))
        }
        ExprKind::Spread(_) => Some(read.to(up)),
        _ => None,
    }
}

/// Whether a loop goes over all, asks nothing of any of them, and puts each into a list that is shown.
fn is_gathered(project: &Project, all: At) -> bool {
    let Some(unit) = project.unit(all.module) else { return false };
    let Parent::Stmt(stmt) = unit.index.parent(all.expr) else { return false };
    let StmtKind::ForEach { iter, body, .. } = unit.ir.stmt(stmt) else { return false };
    let (mut asks, mut lists) = (*iter != all.expr, Vec::new());
    walk::stmts_below(&unit.ir, body, &mut |own| {
        asks |= matches!(unit.ir.stmt(own), StmtKind::If { .. });
        walk::parts(&unit.ir, own, &mut |part| {
            let walk::Part::Expr(expr) = part else { return };
            walk::exprs_below(&unit.ir, expr, &mut |inner| match unit.ir.expr(inner) {
                ExprKind::Compare { .. } => asks = true,
                ExprKind::Call(call) => {
                    if let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee)
                        && unit.ir.text(*property) == "push"
                        && let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object)
                    {
                        lists.push(*id);
                    }
                }
                _ => {}
            });
        });
    });
    let shown = |id: &BindingId| unit.index.uses(*id).iter().any(|used| project.is_shown(all.to(*used)));
    !asks && lists.iter().any(shown)
}

/// Whether a read of a list takes one thing out of it: `waiting.shift()`.
pub(super) fn takes_out(project: &Project, read: At) -> bool {
    let Some(unit) = project.unit(read.module) else { return false };
    let Parent::Expr(up) = unit.index.parent(read.expr) else { return false };
    matches!(unit.ir.expr(up), ExprKind::Member { object, property, .. }
        if *object == read.expr && matches!(unit.ir.text(*property), "shift" | "pop" | "popleft"))
}

/// An event of a fixed name: where it stands, what emits it, and the name.
struct Event {
    at: At,
    of: crate::flow::Cell,
    name: String,
}

fn events(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let (mut sent, mut awaited): (Vec<Event>, Vec<Event>) = (Vec::new(), Vec::new());
    let likely = project.calls_named(|name| matches!(name, "emit" | "once" | "on" | "addListener"));
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::JavaScript) {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            if !lives.is_per_request(project.function_of(at)) || !project.handlers_know_callers(module) {
                continue;
            }
            let Some((object, method, name, given)) = event(unit, *expr) else { continue };
            let Some(of) = lives.cell(at.to(object)) else { continue };
            let brings = || project.origins(at.to(given)).has(Origins::INPUT | Origins::PRINCIPAL);
            if method == "emit" && brings() {
                sent.push(Event { at, of, name });
            } else if method != "emit" && gives_on(unit, given) {
                awaited.push(Event { at, of, name });
            }
        }
    }
    for event in &sent {
        let heard = awaited.iter().find(|other| other.of == event.of && other.name == event.name);
        if let Some(heard) = heard {
            report
                .reached(event.at, "whoever waits for this event is given what this caller sent")
                .severity(Severity::Medium)
                .confidence(Confidence::Medium)
                .related(
                    heard.at.module,
                    project.span(heard.at),
                    "it is waited for here, whoever it is about",
                );
        }
    }
}

/// A call that sends or awaits an event of a fixed name: the emitter, the method, the name, and the second argument.
fn event(unit: &Unit, expr: ExprId) -> Option<(ExprId, &str, String, ExprId)> {
    let ExprKind::Call(call) = unit.ir.expr(expr) else { return None };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    let method = unit.ir.text(*property);
    let ExprKind::String(name) = unit.ir.expr(call.positional(0)?) else { return None };
    let kind = matches!(method, "emit" | "once" | "on" | "addListener");
    kind.then(|| Some((*object, method, unit.ir.text(*name).to_owned(), call.positional(1)?))).flatten()
}

/// Whether what hears an event ends a promise with whatever it is: `new Promise((resolve) => bus.once("done", resolve))`.
fn gives_on(unit: &Unit, given: ExprId) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(given) else { return false };
    matches!(unit.ir.binding_name(*id), "resolve" | "res" | "done" | "accept" | "fulfil" | "fulfill")
        && unit
            .ir
            .binding(*id)
            .is_some_and(|binding| matches!(binding.kind, crate::ir::BindingKind::Parameter(_)))
}
