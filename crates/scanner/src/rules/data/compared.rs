//! Rows whose owner is compared after they were read.

use crate::{
    ir::{ExprId, ExprKind, NameRef, Pattern, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    vocabulary,
};

/// Whether a function compares the owner of the row that a call gives.
pub(in crate::rules) fn compares_after(project: &Project, call: At) -> bool {
    let Some(unit) = project.unit(call.module) else { return false };
    let Some(stmt) = unit.index.stmt_of(call.expr) else { return false };
    let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
    let mut bindings = Vec::new();
    target.for_each_binding(&mut |id| bindings.push(id));
    let fun = project.function_of(call);
    // `[page, pageUserId] = await load(id)`
    let owners: Vec<_> = bindings
        .iter()
        .copied()
        .filter(|id| bindings.len() > 1 && ends_in_owner(unit.ir.binding_name(*id)))
        .collect();
    let taken_out = project.guards(fun).iter().any(|guard| {
        [guard.left, guard.right].into_iter().any(|side| {
            matches!(unit.ir.expr(side.expr), ExprKind::Name(NameRef::Binding(id)) if owners.contains(id))
                && project.origins(other_side(guard, side)).has_owner()
        })
    });
    taken_out || compares_owner(project, fun, unit, &bindings)
}

/// Whether a name ends in one of an owner: `pageUserId`.
fn ends_in_owner(name: &str) -> bool {
    let words = vocabulary::words(name);
    (0..words.len()).any(|from| words.get(from..).is_some_and(|rest| vocabulary::is_owner(&rest.join("_"))))
}

pub(super) fn mentions(
    unit: &crate::project::Unit,
    expr: crate::ir::ExprId,
    bindings: &[crate::ir::BindingId],
) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if bindings.contains(id));
    });
    found
}

fn other_side(guard: &crate::flow::Guard, side: At) -> At {
    if side == guard.left { guard.right } else { guard.left }
}

/// Whether an expression ends in the id of what a row belongs to: `row.programId`, and not `row.id`.
fn is_parent(unit: &crate::project::Unit, expr: crate::ir::ExprId) -> bool {
    let ExprKind::Member { property, .. } = unit.ir.expr(expr) else { return false };
    let words = vocabulary::words(unit.ir.text(*property));
    words.len() > 1 && words.last().is_some_and(|last| last == "id")
}

/// Whether a name is that of a row's owner, or of what says who may see it.
fn says_who_sees(name: &str) -> bool {
    vocabulary::is_owner(name)
        || matches!(
            name,
            "visibility" | "is_public" | "isPublic" | "published" | "is_published" | "isPublished"
        )
}

pub(super) fn compares_owner(
    project: &Project,
    fun: Fun,
    unit: &crate::project::Unit,
    bindings: &[crate::ir::BindingId],
) -> bool {
    compares_row(
        project,
        fun,
        unit,
        |expr| matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if bindings.contains(id)),
    )
}

/// Whether a function compares the owner of the row that it keeps at a place: `context["room"] = await Room.get(id)`, then
/// `user.id in context["room"].members`.
pub(super) fn compares_kept(
    project: &Project,
    fun: Fun,
    unit: &crate::project::Unit,
    place: crate::ir::ExprId,
) -> bool {
    let kept = unit.ir.snippet(unit.ir.span(place));
    compares_row(project, fun, unit, |expr| {
        matches!(unit.ir.expr(expr), ExprKind::Index { .. } | ExprKind::Member { .. })
            && unit.ir.snippet(unit.ir.span(expr)) == kept
    })
}

fn compares_row(
    project: &Project,
    fun: Fun,
    unit: &crate::project::Unit,
    is_row: impl Fn(crate::ir::ExprId) -> bool,
) -> bool {
    project.guards(fun).iter().any(|guard| {
        [guard.left, guard.right].iter().any(|side| {
            let mut row = false;
            let mut owner = false;
            walk::exprs_below(&unit.ir, side.expr, &mut |expr| {
                row = row || is_row(expr);
                match unit.ir.expr(expr) {
                    ExprKind::Member { property, .. } => owner |= says_who_sees(unit.ir.text(*property)),
                    // `getattr(row, "visibility", "public")`
                    ExprKind::String(text) => owner |= says_who_sees(unit.ir.text(*text)),
                    // `session_user_id = rows[0].get("user_id")`
                    ExprKind::Name(NameRef::Binding(id)) => {
                        owner |= is_row(expr) && ends_in_owner(unit.ir.binding_name(*id)) && is_owner_of_row(unit, *id);
                    }
                    _ => {}
                }
            });
            // A row whose parent is compared, `row.programId !== programId`, is compared for its owner.
            owner |= row && is_parent(unit, side.expr) && !project.is_fixed(other_side(guard, *side));
            let call = guard.right != *side && matches!(unit.ir.expr(guard.right.expr), ExprKind::Call(_));
            let other = At { module: fun.module, expr: other_side(guard, *side).expr };
            // `task.assignee !== userId`: whatever it is called, it is somebody whom the caller has to be.
            let part = matches!(unit.ir.expr(side.expr), ExprKind::Member { property, .. } if !matches!(unit.ir.text(*property), "id" | "_id" | "role" | "status" | "type"));
            let plain = matches!(unit.ir.expr(other.expr), ExprKind::Name(_) | ExprKind::Member { .. });
            let somebody = || plain && project.last_written(other).is_some_and(vocabulary::is_user);
            row && (owner
                || (part && somebody())
                || is_list_with_caller(project, unit, *side, other)
                || (call && project.snippet(other).to_lowercase().contains("user")))
        })
    })
}

/// Whether a variable is set to what stands in a row under the name of an owner: `rows[0].get("user_id")`.
fn is_owner_of_row(unit: &Unit, id: crate::ir::BindingId) -> bool {
    unit.index.sources(id).iter().take(4).any(|source| {
        let ExprKind::Call(call) = unit.ir.expr(source.value) else { return false };
        let first = call.positional(0).map(|first| unit.ir.expr(first));
        matches!(first, Some(ExprKind::String(text)) if vocabulary::is_owner(unit.ir.text(*text)))
    })
}

/// Whether one side of a comparison is those whose a row is, and the other one the verified caller: `user.id not in room.members`.
fn is_list_with_caller(project: &Project, unit: &crate::project::Unit, side: At, other: At) -> bool {
    let ExprKind::Member { property, .. } = unit.ir.expr(side.expr) else { return false };
    let people = vocabulary::words(unit.ir.text(*property)).last().is_some_and(|last| {
        matches!(
            last.as_str(),
            "members" | "participants" | "users" | "owners" | "people" | "readers" | "recipients" | "admins"
        )
    });
    let origins = project.origins(other);
    people && origins.has_owner() && !origins.is_chosen()
}

/// Of several values at once the one that has an expression in it, and what that is put into: `notes.one(id)` and `note` of
/// `const [note, tags] = await Promise.all([notes.one(id), tags.all()])`.
pub(in crate::rules) fn item_of<'p>(
    unit: &Unit,
    value: ExprId,
    inside: ExprId,
    target: &'p Pattern,
) -> Option<(ExprId, &'p Pattern)> {
    let Pattern::Array { items: targets, .. } = target else { return None };
    let span = unit.ir.span(inside);
    let mut found = None;
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        if let ExprKind::Array { items, .. } = unit.ir.expr(expr)
            && found.is_none()
        {
            found = items
                .iter()
                .enumerate()
                .find(|(_, item)| unit.ir.span(**item).contains(span))
                .map(|(number, item)| (number, *item));
        }
    });
    let (number, item) = found?;
    Some((item, targets.get(number)?.as_ref()?))
}
