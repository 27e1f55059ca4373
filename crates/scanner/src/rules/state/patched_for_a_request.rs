//! A shared object that is changed for a request and changed back.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, captured, captured_by},
    ir::{BindingKind, ExprId, ExprKind, FunctionId, Language, NameRef, StmtKind},
    project::{At, Fun, Project, Symbol, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "patched-for-a-request",
        layer: Layer::State,
        summary: "A shared object is changed for one request, and changed back after the request has waited.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "While this request waits, every other request uses the changed object; and what is put back at the end may be \
          another request's change.",
    fix: "Make an object for the request, or hand the value down instead of changing what all use.",
    cwe: &["CWE-488", "CWE-362"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("patched_for_a_request.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    super::emptied::emptied(project, report);
    super::left_patched::left_patched(project, report);
    super::left_patched::between(project, report);
    super::wrapped::wrapped(project, report);
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (number, write) in unit.index.writes.iter().enumerate() {
            let fun = Fun { module, id: write.function };
            let reached = lives.is_per_request(fun);
            // Python's threads run at the same time whether a function waits or not.
            let threads = unit.ir.language == Language::Python;
            // `store.set = async function …`, put back in a `finally`: nobody does that to an object of his own.
            let method = matches!(unit.ir.expr(write.value), ExprKind::Function(_));
            if write.function == FunctionId::MODULE || !(reached || threads || method) {
                continue;
            }
            let place = At { module, expr: write.place };
            let text = project.snippet(place);
            let back = unit.index.writes.iter().skip(number + 1).find(|back| {
                back.function == write.function
                    && project.snippet(At { module, expr: back.place }) == text
                    && puts_back(project, unit, At { module, expr: back.value }, text, write.order)
                    && (unit.index.waits_between(write.function, write.order, back.order) || (threads && in_finally(unit, back.place)))
            });
            let Some(back) = back.filter(|_| !is_locked(unit, write.place)) else { continue };
            let shared = is_shared(project, &lives, place);
            let others = shared || ((threads || method) && is_of_others(project, unit, place));
            if !others {
                continue;
            }
            let span = unit.ir.span(back.place);
            let found = report
                .reached(place, format!("`{text}` is changed for this request, which waits before it is changed back"));
            found.related(module, span, "it is changed back here");
            let value = At { module, expr: write.value };
            let taken = match project.symbol(value) {
                Symbol::Function(fun) => captured_by(project, fun),
                _ => captured(project, value) | project.origins(value),
            };
            // The same change for everybody mixes nobody's data up.
            if !reached {
                found.severity(Severity::Low).confidence(Confidence::Medium);
            } else if !taken.is_of_request() || !shared {
                found.severity(Severity::Medium).confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a place is changed while a lock is held, which lets one go on at a time: `with lock_of(agent):`.
fn is_locked(unit: &Unit, place: ExprId) -> bool {
    let mut here = unit.index.stmt_of(place);
    for _ in 0..16 {
        let Some(stmt) = here else { return false };
        if let StmtKind::With { items, .. } = unit.ir.stmt(stmt)
            && items.iter().any(|(expr, _)| {
                let mut text = unit.ir.snippet(unit.ir.span(*expr)).to_lowercase();
                // `_one_at_a_time = Lock()`
                if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*expr) {
                    let sources = unit.index.sources(*id).iter();
                    text.extend(sources.map(|source| unit.ir.snippet(unit.ir.span(source.value)).to_lowercase()));
                }
                ["lock", "mutex", "semaphore"].iter().any(|word| text.contains(word))
            })
        {
            return true;
        }
        here = unit.index.stmt_parent(stmt);
    }
    false
}

/// Whether a place is changed in a `finally`, so that what stands between may fail, and takes time.
fn in_finally(unit: &Unit, place: ExprId) -> bool {
    let mut here = unit.index.stmt_of(place);
    for _ in 0..16 {
        let Some(stmt) = here else { return false };
        let up = unit.index.stmt_parent(stmt);
        if let Some(StmtKind::Try { after, .. }) = up.map(|up| unit.ir.stmt(up))
            && after.finally.contains(&stmt)
        {
            return true;
        }
        here = up;
    }
    false
}

/// Whether a place is an attribute of an object that the function was given, or found: it is there for others as well. What the
/// function makes is its own.
fn is_of_others(project: &Project, unit: &Unit, place: At) -> bool {
    let ExprKind::Member { object, .. } = unit.ir.expr(place.expr) else { return false };
    // `self._loop` is there before the call, and after it.
    if let ExprKind::Member { object: of, .. } = unit.ir.expr(*object) {
        return matches!(unit.ir.expr(*of), ExprKind::This);
    }
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return false };
    match unit.ir.binding(*id).map(|binding| binding.kind) {
        Some(BindingKind::Parameter(_)) => !project.origins(place.to(*object)).is_of_request(),
        Some(BindingKind::Variable) => {
            let [source] = unit.index.sources(*id) else { return false };
            let ExprKind::Call(call) = unit.ir.expr(source.value) else { return false };
            let name = project.written(place.to(call.callee)).pop().unwrap_or_default();
            let finds = vocabulary::words(&name).first().is_some_and(|verb| matches!(verb.as_str(), "get" | "resolve" | "find" | "lookup"));
            finds && !matches!(project.symbol(place.to(call.callee)), Symbol::Class(_))
        }
        _ => false,
    }
}

/// Whether a value was read from the place before it was written.
fn puts_back(project: &Project, unit: &Unit, value: At, place: &str, before: u32) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(value.expr) else { return false };
    unit.index.sources(*id).iter().any(|source| {
        let text = project.snippet(value.to(source.value));
        source.order < before && (text == place || text.starts_with(&format!("{place}.bind(")))
    })
}

fn is_shared(project: &Project, lives: &Lifetimes<'_>, place: At) -> bool {
    if lives.cell(place).is_some() {
        return true;
    }
    let Some(unit) = project.unit(place.module) else { return false };
    let root = root(unit, place.expr);
    match unit.ir.expr(root) {
        ExprKind::Name(NameRef::Global(_)) => true,
        ExprKind::Name(NameRef::Binding(_)) => {
            matches!(project.symbol(place.to(root)), Symbol::Module(_))
        }
        _ => false,
    }
}

fn root(unit: &Unit, expr: ExprId) -> ExprId {
    let mut here = expr;
    for _ in 0..32 {
        match unit.ir.expr(here) {
            ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => here = *object,
            _ => break,
        }
    }
    here
}
