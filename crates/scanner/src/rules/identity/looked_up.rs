//! Chosen ids that are compared with the caller, or looked up with it, before they are used.

use crate::{
    flow::Origins,
    ir::{BindingId, CompareOp, ExprId, ExprKind, NameRef, StmtKind, UnaryOp, walk},
    project::{At, Project, Unit},
    rules::data::callers::is_caller,
};

/// The most uses of a variable that are looked at.
const USES: usize = 24;

/// Whether a chosen id is what a row is looked up by together with the verified caller, and who has no such row is refused: at
/// the look-up itself, and after the refusal. `seat = await seats.find(user.id, teamId)`, `if (!seat) return refuse()`.
pub(in crate::rules) fn is_of_callers_row(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    let own = unit.index.function(at.expr);
    let uses = unit.index.uses(*id).iter().take(USES).filter(|used| unit.index.function(**used) == own);
    uses.filter_map(|used| Some((*used, refused_after(project, unit, at.to(*used))?)))
        .any(|(used, refused)| used == at.expr || unit.index.order(at.expr) > refused)
}

/// Whether a chosen id goes into a variable that is used after it was compared with the caller only: `org = req.query.org`,
/// `if (org !== req.user.org) return refuse()`.
pub(super) fn is_checked_where_used(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
    let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
    let Some(id) = target.as_binding() else { return false };
    let tests = |used: &ExprId| {
        unit.index.stmt_of(*used).is_some_and(|stmt| matches!(unit.ir.stmt(stmt), StmtKind::If { .. }))
    };
    let uses: Vec<ExprId> = unit.index.uses(id).iter().copied().filter(|used| !tests(used)).collect();
    !uses.is_empty()
        && uses.len() <= USES
        && uses
            .into_iter()
            .all(|used| project.is_checked(at.to(used)) || is_of_callers_row(project, at.to(used)))
}

/// Whether a variable holds a row that was looked up with the verified caller, and who has none was refused.
pub(in crate::rules) fn is_callers_row(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    let [source] = unit.index.sources(*id) else { return false };
    refused_after(project, unit, at.to(source.value))
        .is_some_and(|refused| unit.index.order(at.expr) > refused)
}

/// When who has no row is refused, for a use in a look-up, or the whole of it, that the verified caller stands in too.
fn refused_after(project: &Project, unit: &Unit, used: At) -> Option<u32> {
    let StmtKind::Assign { target, value, .. } = unit.ir.stmt(unit.index.stmt_of(used.expr)?) else {
        return None;
    };
    // What is called is no caller, whatever it is called: `prisma.user.findUnique(…)`.
    let mut given = Vec::new();
    walk::exprs_below(&unit.ir, *value, &mut |expr| {
        if let ExprKind::Call(call) = unit.ir.expr(expr) {
            given.extend(call.args.iter().map(|arg| arg.value));
        }
    });
    let (mut asked, mut callers) = (used.expr == *value, false);
    for arg in given {
        walk::exprs_below(&unit.ir, arg, &mut |expr| {
            asked |= expr == used.expr;
            if !callers
                && matches!(unit.ir.expr(expr), ExprKind::Member { .. } | ExprKind::Name(_))
                && expr != used.expr
            {
                let at = used.to(expr);
                // `Student.id` is a column.
                callers =
                    !is_of_class(unit, expr) && is_caller(project, at) && !project.origins(at).is_chosen();
            }
        });
    }
    // What is asked, as `db` of `db.query(…)`, is nothing that a row is found by.
    if !asked {
        return None;
    }
    if !callers {
        return None;
    }
    let mut rows = Vec::new();
    target.for_each_binding(&mut |binding| rows.push(binding));
    let fun = project.function_of(used);
    let mut refused = None;
    walk::stmts_below(&unit.ir, &unit.ir.function(fun.id)?.body, &mut |stmt| {
        if let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt)
            && unit.index.order(*test) > unit.index.order(used.expr)
            && refused.is_none()
            && is_missing(unit, *test, &rows)
            && project.leaves(fun, then)
        {
            refused = Some(unit.index.order(*test));
        }
    });
    refused
}

/// Whether a value is a class, or what one has: `Student.id`.
fn is_of_class(unit: &Unit, mut expr: ExprId) -> bool {
    while let ExprKind::Member { object, .. } = unit.ir.expr(expr) {
        expr = *object;
    }
    matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if unit.ir.binding_name(*id).starts_with(char::is_uppercase))
}

/// Whether a test holds when one of the variables has nothing: `!row`, `row is None`, `error || !row`.
fn is_missing(unit: &Unit, test: ExprId, rows: &[BindingId]) -> bool {
    let is_row = |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if rows.contains(id));
    let mut found = false;
    walk::exprs_below(&unit.ir, test, &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Unary { op: UnaryOp::Not, operand } => is_row(*operand),
            ExprKind::Compare { op: CompareOp::Eq, left, right } => {
                is_row(*left) && matches!(unit.ir.expr(*right), ExprKind::Null)
            }
            _ => false,
        };
    });
    found
}

/// Whether a part of what was looked up goes into a variable that is compared with the caller: `owner = room.get("owner")`,
/// `if owner != subject`.
pub(super) fn is_held_against(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
    let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
    let Some(id) = target.as_binding() else { return false };
    let root = match unit.ir.expr(at.expr) {
        ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => *object,
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { object, .. } => *object,
            _ => return false,
        },
        _ => return false,
    };
    let looked_up = matches!(unit.ir.expr(root), ExprKind::Name(NameRef::Binding(of))
        if unit.index.sources(*of).iter().any(|source| matches!(unit.ir.expr(source.value), ExprKind::Await(_))));
    if !looked_up {
        return false;
    }
    let is_it =
        |side: At| matches!(unit.ir.expr(side.expr), ExprKind::Name(NameRef::Binding(own)) if *own == id);
    let caller = |side: At| {
        let origins = project.origins(side);
        let call = matches!(unit.ir.expr(side.expr), ExprKind::Call(_));
        !call && origins.has(Origins::PRINCIPAL) && !origins.has(Origins::INPUT)
    };
    project
        .guards(project.function_of(at))
        .iter()
        .any(|guard| (is_it(guard.left) && caller(guard.right)) || (is_it(guard.right) && caller(guard.left)))
}
