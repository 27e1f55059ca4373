//! What a request got for what its caller sent: `token = await exchange(code)`, `user = verify(request.headers["authorization"])`.

use crate::{
    flow::{Lifetimes, Origins, SharedWrite},
    ir::{ExprId, ExprKind, NameRef, walk},
    project::{At, Project, Unit},
    vocabulary,
};

/// Whether a variable that is named for a caller or a credential is set, in a request, to what something outside of the project gave for
/// what the caller sent.
pub(in crate::rules) fn is_got_for_caller(
    project: &Project,
    lives: &Lifetimes<'_>,
    write: &SharedWrite,
    name: &str,
) -> bool {
    let Some(unit) = project.unit(write.value.module) else { return false };
    let name = name.trim_start_matches(['_', '#']);
    let whose = vocabulary::is_credential(name)
        || vocabulary::is_principal(name)
        || matches!(
            name,
            "user"
                | "tenant"
                | "caller"
                | "identity"
                | "workspace"
                | "organization"
                | "org"
                | "account"
                | "company"
        );
    if !whose || !lives.is_per_request(write.fun) {
        return false;
    }
    let mut value: ExprId = write.value.expr;
    while let ExprKind::Await(inner) = unit.ir.expr(value) {
        value = *inner;
    }
    asked_with(project, unit, write.value.to(value), STEPS)
}

/// How many parts and variables an answer is followed through.
const STEPS: u32 = 6;

/// Whether a value is what a call gave that was told what the caller sent, or a part of it: `(await post(url, code)).json()["access_token"]`.
fn asked_with(project: &Project, unit: &Unit, at: At, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    match unit.ir.expr(at.expr) {
        ExprKind::Await(inner) => asked_with(project, unit, at.to(*inner), steps),
        ExprKind::Index { object, .. } | ExprKind::Member { object, .. } => {
            asked_with(project, unit, at.to(*object), steps)
        }
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] if !unit.ir.is_module_level(*id) => {
                asked_with(project, unit, at.to(source.value), steps)
            }
            _ => false,
        },
        ExprKind::Call(call) => {
            let sent = Origins::INPUT
                | Origins::UNVERIFIED
                | Origins::REQUEST
                | Origins::PRINCIPAL
                | Origins::SECRET;
            let told = |arg: ExprId| {
                let mut told = project.origins(at.to(arg)).has(sent);
                let mut made = Vec::new();
                walk::exprs_below(&unit.ir, arg, &mut |inner| {
                    told |= project.origins(at.to(inner)).has(sent);
                    if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(inner)
                        && !unit.ir.is_module_level(*id)
                    {
                        made.extend(unit.index.sources(*id).iter().take(2).map(|source| source.value));
                    }
                });
                // `digest = sha256(sent).hexdigest()`: what it is made of was sent.
                for value in made {
                    if matches!(unit.ir.expr(value), ExprKind::Call(_)) {
                        walk::exprs_below(&unit.ir, value, &mut |inner| {
                            told |= project.origins(at.to(inner)).has(sent);
                        });
                    }
                }
                told
            };
            // `response.json()`, `found.get("token")`: a part of what was given before.
            let part = match unit.ir.expr(call.callee) {
                ExprKind::Member { object, property, .. }
                    if matches!(
                        unit.ir.text(*property),
                        "json"
                            | "get"
                            | "fetchone"
                            | "fetchall"
                            | "first"
                            | "one"
                            | "one_or_none"
                            | "scalar"
                            | "scalar_one"
                            | "scalar_one_or_none"
                            | "mappings"
                    ) =>
                {
                    Some(*object)
                }
                _ => None,
            };
            call.args.iter().any(|arg| told(arg.value))
                || was_told(unit, at, call.callee).is_some_and(told)
                || part.is_some_and(|object| asked_with(project, unit, at.to(object), steps))
        }
        _ => false,
    }
}

/// What the object of a call was told before, in the function, by setting a credential of it: `client.token = sent`.
fn was_told(unit: &Unit, at: At, callee: ExprId) -> Option<ExprId> {
    let ExprKind::Member { object, .. } = unit.ir.expr(callee) else { return None };
    let ExprKind::Name(NameRef::Binding(client)) = unit.ir.expr(*object) else { return None };
    if unit.ir.is_module_level(*client) {
        return None;
    }
    unit.index.writes.iter().find_map(|write| {
        let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { return None };
        let own = matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(id)) if id == client);
        let before =
            write.function == unit.index.function(at.expr) && write.order < unit.index.order(at.expr);
        (own && before && vocabulary::is_credential(unit.ir.text(*property))).then_some(write.value)
    })
}

/// Whether a value is made of nothing but parts of the object that keeps it, of the module's and of what is written out, itself or by
/// variables of its function: `settings = self.settings.writer`, `model = await self.models.get(settings.model)`.
pub(super) fn is_of_own_parts(project: &Project, value: At, steps: u32) -> bool {
    let (Some(steps), Some(unit)) = (steps.checked_sub(1), project.unit(value.module)) else { return false };
    let mut own = false;
    let mut other = false;
    let mut roots = Vec::new();
    walk::exprs_below(&unit.ir, value.expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::This => own = true,
        ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => roots.push(*id),
        ExprKind::Function(_) => other = true,
        _ => {}
    });
    let of_own = |id: &crate::ir::BindingId| {
        let sources = unit.index.sources(*id);
        project.parameter_of(value.module, *id).is_none()
            && !sources.is_empty()
            && sources.iter().take(4).all(|source| is_of_own_parts(project, value.to(source.value), steps))
    };
    !other && (own || !roots.is_empty()) && roots.iter().all(of_own)
}
