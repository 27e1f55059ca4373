//! Checks that are asked about whom the request names: `if note.owner_id != body.user_id: raise Forbidden()` lets in who knows the
//! owner's id.

use std::collections::BTreeSet;

use partywall_model::Confidence;

use crate::{
    flow::{Guard, Origins, is_request},
    ir::{ExprId, ExprKind, FunctionId, NameRef, StmtId, StmtKind, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Functions by which a framework asks whether a request may do something to a thing.
const DECIDES: &[&str] =
    &["has_object_permission", "has_permission", "canActivate", "can_activate", "can_access"];

/// What a refusal of somebody who may not says.
const FORBIDS: &[&str] = &[
    "403",
    "forbidden",
    "denied",
    "permission",
    "not allowed",
    "unauthorized",
    "not authorized",
    "not_authorized",
];

/// Words of what says who belongs to a thing or may use it.
const MEMBERS: &[&str] = &[
    "member",
    "members",
    "membership",
    "memberships",
    "collaborator",
    "participant",
    "owner",
    "owns",
    "access",
    "permission",
    "allowed",
    "belongs",
];

/// How many calls and texts a value may stand in.
const WRAPPED: usize = 3;

/// How far up a look-up stands below what tests it.
const UP: usize = 12;

/// Reports such checks, once a function.
pub(super) fn checked_as_told(project: &Project, seen: &BTreeSet<(Fun, String)>, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            let decides = function.name.is_some_and(|name| DECIDES.contains(&unit.ir.text(name)));
            if id == FunctionId::MODULE
                || !(decides || project.entry(fun).is_some() || project.reach(fun).is_some())
            {
                continue;
            }
            let Some((at, name)) = told(project, unit, fun, decides) else { continue };
            if seen.contains(&(fun, name.clone())) || is_held(project, fun, &name) {
                continue;
            }
            report
                .reached(at, format!("whether this is allowed is asked about `{name}`, whom the request names, and not about who was verified"))
                .confidence(Confidence::Medium);
        }
    }
}

/// The first check of a function that is asked about somebody whom the request names, and the name.
fn told(project: &Project, unit: &Unit, fun: Fun, decides: bool) -> Option<(At, String)> {
    let known = || knows_caller(project, unit, fun);
    let found = project.guards(fun).iter().find_map(|guard| {
        let (chosen, other) = [(guard.left, guard.right), (guard.right, guard.left)]
            .into_iter()
            .find_map(|(one, other)| Some((chosen_user(project, unit, one)?, other)))?;
        let holds = if guard.right == other && matches!(unit.ir.expr(other.expr), ExprKind::Call(_)) {
            asks_members(project, unit, other) && !known()
        } else {
            is_owner_of_row(project, unit, other)
        };
        (holds && (decides || forbids(project, unit, guard))).then_some((guard.left, chosen))
    });
    found.or_else(|| not_found(project, unit, fun).filter(|_| !known()))
}

/// The name of a user whom the request names, where a value is one: `body.user_id`, `request.data["user_id"]`, `str(user_id)`.
fn chosen_user(project: &Project, unit: &Unit, at: At) -> Option<String> {
    let mut here = at;
    for _ in 0..WRAPPED {
        let name = match unit.ir.expr(here.expr) {
            ExprKind::Call(call) => match (&*call.args, unit.ir.expr(call.callee)) {
                ([only], ExprKind::Name(_)) => {
                    here = here.to(only.value);
                    continue;
                }
                // `request.data.get("user_id")`
                ([first, ..], ExprKind::Member { .. }) => match unit.ir.expr(first.value) {
                    ExprKind::String(text) => unit.ir.text(*text).to_owned(),
                    _ => return None,
                },
                _ => return None,
            },
            ExprKind::Index { index, .. } => match unit.ir.expr(*index) {
                ExprKind::String(text) => unit.ir.text(*text).to_owned(),
                _ => return None,
            },
            ExprKind::Name(_) | ExprKind::Member { .. } => project.last_written(here)?.to_owned(),
            _ => return None,
        };
        // What a helper is given was told apart where it came in, or is told there.
        let handed = project.roots(here).iter().any(|id| {
            let of = project.parameter_of(here.module, *id);
            of.is_some_and(|(fun, ..)| project.entry(fun).is_none() && !is_request(unit.ir.binding_name(*id)))
        });
        if handed {
            return None;
        }
        if is_found(project, unit, here) {
            return None;
        }
        let origins = project.origins(here);
        let whom = vocabulary::is_user(&name)
            && origins.has(Origins::INPUT)
            && !origins.has(Origins::PRINCIPAL | Origins::SECRET);
        return whom.then_some(name);
    }
    None
}

/// Calls that read what was sent, and look nothing up.
const READS: &[&str] = &[
    "json",
    "parse",
    "safeParse",
    "parseAsync",
    "get_json",
    "model_validate",
    "model_dump",
    "dict",
    "form",
    "validate",
    "getReader",
];

/// Whether a value is a part of what a call gave that looked something up: `job.user_id` of `job = await jobs.find(id)`.
fn is_found(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Member { object, .. } = unit.ir.expr(at.expr) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return false };
    unit.index.sources(*id).iter().any(|source| {
        let mut value = source.value;
        while let ExprKind::Await(inner) = unit.ir.expr(value) {
            value = *inner;
        }
        let ExprKind::Call(call) = unit.ir.expr(value) else { return false };
        !project.last_written(at.to(call.callee)).is_some_and(|name| READS.contains(&name))
    })
}

/// Whether a value is the owner of something that was found: `note.owner_id`, `obj.user`.
fn is_owner_of_row(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(at.expr) else { return false };
    let name = unit.ir.text(*property);
    let owner =
        vocabulary::is_user(name) || matches!(name, "user" | "owner" | "author" | "created_by" | "createdBy");
    let row = matches!(unit.ir.expr(*object), ExprKind::Name(_))
        && !project.last_written(at.to(*object)).is_some_and(|of| {
            let whose = matches!(of, "session" | "auth" | "claims" | "ctx" | "context" | "payload" | "token");
            whose || vocabulary::is_principal(of) || of.starts_with(char::is_uppercase)
        });
    let origins = project.origins(at.to(*object));
    owner && row && !origins.has(Origins::PRINCIPAL | Origins::REQUEST | Origins::INPUT)
}

/// Whether a call asks who belongs to a thing or may use it, and is told no verified caller.
fn asks_members(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let named = vocabulary::words(project.last_written(at.to(call.callee)).unwrap_or_default());
    named.iter().any(|word| MEMBERS.contains(&word.as_str()))
        && !call.args.iter().any(|arg| project.origins(at.to(arg.value)).has(Origins::PRINCIPAL))
}

/// Whether a function knows the verified caller at all.
fn knows_caller(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let mut known = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let likely = matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. });
        known = known
            || (likely
                && !is_sent(project, unit, At { module: fun.module, expr })
                && project
                    .origins(At { module: fun.module, expr })
                    .has(Origins::PRINCIPAL | Origins::SECRET));
    });
    known
}

/// Whether a value is of a parameter whose type is what somebody sends, whatever its name says: `member: RemoveMemberRequest`.
fn is_sent(project: &Project, unit: &Unit, at: At) -> bool {
    project.roots(at).iter().any(|id| {
        let Some((own, number, _)) = project.parameter_of(at.module, *id) else { return false };
        let parameter = unit.ir.function(own.id).and_then(|function| function.params.get(number));
        let typed = parameter.and_then(|own| own.type_text).map_or("", |text| unit.ir.text(text));
        let words = vocabulary::words(typed);
        words.len() > 2 && words.last().is_some_and(|last| last == "request")
    })
}

/// Whether somebody is compared with the verified caller, here or before.
fn is_held(project: &Project, fun: Fun, name: &str) -> bool {
    let names = |side: At| project.last_written(side) == Some(name);
    let verified = |side: At| project.origins(side).has(Origins::PRINCIPAL);
    super::belonging::held_before(project, fun, name)
        || project.guards(fun).iter().any(|guard| {
            (names(guard.left) && verified(guard.right)) || (names(guard.right) && verified(guard.left))
        })
}

/// Whether a block refuses somebody who may not.
fn is_refusal(unit: &Unit, block: &[StmtId]) -> bool {
    block.iter().any(|stmt| vocabulary::mentions(unit.ir.snippet(unit.ir.stmt_span(*stmt)), FORBIDS))
}

/// Whether what a guard gives is tested, and who fails is told that they may not.
fn forbids(project: &Project, unit: &Unit, guard: &Guard) -> bool {
    let Some(stmt) = unit.index.stmt_of(guard.left.expr) else { return false };
    match unit.ir.stmt(stmt) {
        StmtKind::If { then, .. } => is_refusal(unit, then),
        // `allowed = await is_member(…)`, and then `if not allowed`
        StmtKind::Assign { target, .. } => target.as_binding().is_some_and(|id| {
            let fun = project.function_of(guard.left);
            unit.index.uses(id).iter().take(8).filter(|used| unit.index.function(**used) == fun.id).any(|used| {
                let tested = unit.index.stmt_of(*used).map(|stmt| unit.ir.stmt(stmt));
                matches!(tested, Some(StmtKind::If { test, then, .. }) if unit.ir.span(*test).contains(unit.ir.span(*used)) && is_refusal(unit, then))
            })
        }),
        _ => false,
    }
}

/// A look-up of a member by whom the request names, where a function refuses if there is none:
/// `if not Member.objects.filter(team=team, user=request.data["user_id"]).exists()`.
fn not_found(project: &Project, unit: &Unit, fun: Fun) -> Option<(At, String)> {
    let function = unit.ir.function(fun.id)?;
    let mut found = None;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt) else { return };
        if found.is_some() || !is_refusal(unit, then) {
            return;
        }
        walk::exprs_below(&unit.ir, *test, &mut |expr| {
            let at = At { module: fun.module, expr };
            if found.is_none()
                && let Some(name) = chosen_user(project, unit, at)
                && is_asked_of_members(project, unit, at)
            {
                found = Some((at, name));
            }
        });
    });
    found
}

/// Whether a value is given to a call of what says who belongs to a thing.
fn is_asked_of_members(project: &Project, unit: &Unit, at: At) -> bool {
    let mut here: ExprId = at.expr;
    for _ in 0..UP {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        if let ExprKind::Call(call) = unit.ir.expr(up)
            && call.callee != here
        {
            let says =
                |name: &str| vocabulary::words(name).iter().any(|word| MEMBERS.contains(&word.as_str()));
            return project.written(at.to(call.callee)).iter().any(|name| says(name.as_str()));
        }
        here = up;
    }
    false
}
