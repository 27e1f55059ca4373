//! Messages that a handler posts on to the session that the client names, and does not ask whose that is:
//! `await broker.publish(session_id=session_id, message=await request.json())`.

use partywall_model::{Confidence, Severity};

use super::session_without_owner::{is_compared, sees_caller};
use crate::{
    flow::Origins,
    ir::{ArgKind, BindingId, Call, ExprKind, FunctionId, Language, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// First words of functions that hand a message on.
const POSTS: &[&str] = &[
    "publish", "post", "send", "enqueue", "dispatch", "deliver", "forward", "push", "put", "submit", "route",
    "handle",
];

/// How many variables a session's id is followed through.
const STEPS: usize = 8;

/// Reports such calls, the first of each handler.
pub(super) fn posted_on(project: &Project, report: &mut Report<'_>) {
    for entry in project.entries().iter().filter(|entry| entry.kind == "http") {
        let fun = entry.handler;
        let Some(unit) = project.unit(fun.module).filter(|unit| unit.ir.language == Language::Python) else {
            continue;
        };
        if fun.id == FunctionId::MODULE || !project.has_owners(fun.module) {
            continue;
        }
        let mut found: Option<(At, Vec<BindingId>)> = None;
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            if found.is_none()
                && let ExprKind::Call(call) = unit.ir.expr(expr)
                && let Some(names) = posts(project, unit, at, call)
            {
                found = Some((at, names));
            }
        });
        let Some((at, names)) = found else { continue };
        if !is_compared(project, fun, &names)
            && !is_looked_up(project, unit, fun, at, &names)
            && sees_caller(project, fun)
        {
            report
                .reached(at, "this goes to the session that the client names, and nothing says that it is the caller's")
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// The variables of a session's id that a call hands a message on to, when it is not told who calls.
fn posts(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<Vec<BindingId>> {
    let name = project.last_written(at)?;
    let verb = vocabulary::words(name).first().cloned()?;
    if !POSTS.contains(&verb.as_str()) || !matches!(unit.ir.expr(call.callee), ExprKind::Member { .. }) {
        return None;
    }
    let mut names = None;
    let mut message = false;
    for arg in &call.args {
        let value = at.to(arg.value);
        let origins = project.origins(value);
        if origins.has(Origins::PRINCIPAL) {
            return None;
        }
        let roots = session_roots(project, unit, value);
        let said =
            matches!(arg.kind, ArgKind::Keyword(name) if vocabulary::is_session_id(unit.ir.text(name)));
        let named = said || roots.iter().any(|id| vocabulary::is_session_id(unit.ir.binding_name(*id)));
        if named && origins.has(Origins::INPUT) && !origins.has_owner() && !roots.is_empty() {
            names = names.or(Some(roots));
        } else {
            message |= origins.has(Origins::INPUT)
                && matches!(
                    unit.ir.expr(arg.value),
                    ExprKind::Name(_) | ExprKind::Await(_) | ExprKind::Call(_)
                );
        }
    }
    names.filter(|_| message)
}

/// The variables of a value, and of what they were set to.
fn session_roots(project: &Project, unit: &Unit, value: At) -> Vec<BindingId> {
    let mut roots = project.roots(value);
    let mut next = 0;
    while let Some(id) = roots.get(next).copied().filter(|_| next < STEPS) {
        next += 1;
        for source in unit.index.sources(id).iter().take(3) {
            for root in project.roots(value.to(source.value)) {
                if !roots.contains(&root) {
                    roots.push(root);
                }
            }
        }
    }
    roots
}

/// Whether a session's id was handed to something together with the caller, which may look whose it is.
fn is_looked_up(project: &Project, unit: &Unit, fun: Fun, posted: At, names: &[BindingId]) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        if at == posted || call.args.len() < 2 {
            return;
        }
        let session = call.args.iter().any(|arg| matches!(unit.ir.expr(arg.value), ExprKind::Name(NameRef::Binding(id)) if names.contains(id)));
        found |=
            session && call.args.iter().any(|arg| project.origins(at.to(arg.value)).has(Origins::PRINCIPAL));
    });
    found
}
