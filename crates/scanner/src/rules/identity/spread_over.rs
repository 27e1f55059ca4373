//! What was sent, spread over the caller's own id: `{"org_id": org_id, **payload}` has the owner that the payload says.

use partywall_model::{Confidence, Severity};

use super::owner_from_body::{PUTS, is_owner, is_sent, may_hold_owner};
use crate::{
    flow::Origins,
    ir::{ExprId, ExprKind, Kinds, Language, NameRef, Property, PropertyKey, StmtKind},
    project::{At, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many lists and records a record may stand in below the call that keeps it.
const BELOW: usize = 6;

/// How many uses of a record's variable are looked at.
const USES: usize = 12;

/// Reports such records of Python, where they are put into a store; those of JavaScript are told by `spread_last` and where a query
/// writes them.
pub(super) fn spread_over(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        if !project.has_owners(module) {
            continue;
        }
        for (expr, kind) in unit.ir.exprs_of(Kinds::OBJECT) {
            let ExprKind::Object(properties) = kind else { continue };
            let at = At { module, expr };
            if let Some((owner, sent)) = covered(project, unit, at, properties)
                && is_kept(unit, expr)
                && !drops_owner(project, unit, at.to(sent), owner)
            {
                report
                    .reached(at, format!("what was sent is spread over `{owner}`, and can say another one"))
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// The owner that a record says before everything that was sent is put into it, and what was sent; nothing where it is said again after.
fn covered<'u>(
    project: &Project,
    unit: &'u Unit,
    at: At,
    properties: &[Property],
) -> Option<(&'u str, ExprId)> {
    let spread = properties.iter().rposition(|property| matches!(property.key, PropertyKey::Spread))?;
    let owner_in = |properties: &[Property]| {
        properties.iter().find_map(|property| match property.key {
            PropertyKey::Name(name) if is_owner(unit.ir.text(name)) => {
                Some((unit.ir.text(name), property.value))
            }
            _ => None,
        })
    };
    let (before, rest) = properties.split_at_checked(spread)?;
    let (sent, after) = rest.split_first()?;
    let (owner, value) = owner_in(before)?;
    let sent = sent.value;
    let known = says_caller(project, unit, at.to(value)) && owner_in(after).is_none();
    (known && is_sent(project, unit, at.to(sent)) && may_hold_owner(project, unit, at.to(sent)))
        .then_some((owner, sent))
}

/// Whether a value is the caller's own id, or one that a function is told.
fn says_caller(project: &Project, unit: &Unit, at: At) -> bool {
    let origins = project.origins(at);
    if origins.is_chosen() {
        return false;
    }
    let told = match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            project.parameter_of(at.module, *id).is_some() && vocabulary::is_owner(unit.ir.binding_name(*id))
        }
        _ => false,
    };
    told || origins.has_owner() || origins.has(Origins::PRINCIPAL)
}

/// Whether a record is put into a store: as an argument, or by its variable.
fn is_kept(unit: &Unit, record: ExprId) -> bool {
    let mut here = record;
    for _ in 0..BELOW {
        match unit.index.parent(here) {
            Parent::Expr(up) => match unit.ir.expr(up) {
                ExprKind::Call(call) if call.callee != here => return puts(unit, call.callee),
                ExprKind::Object(_) | ExprKind::Array { .. } => here = up,
                _ => return false,
            },
            Parent::Stmt(stmt) => {
                let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
                let Some(id) = target.as_binding() else { return false };
                let own = unit.index.function(record);
                return unit.index.uses(id).iter().take(USES).any(|used| {
                    unit.index.function(*used) == own
                        && matches!(unit.index.parent(*used), Parent::Expr(up) if is_kept(unit, *used)
                            && matches!(unit.ir.expr(up), ExprKind::Call(_) | ExprKind::Array { .. } | ExprKind::Object(_)))
                });
            }
            _ => return false,
        }
    }
    false
}

/// Whether what is called is a method that puts a row into a store.
fn puts(unit: &Unit, callee: ExprId) -> bool {
    matches!(unit.ir.expr(callee), ExprKind::Member { property, .. } if PUTS.contains(&unit.ir.text(*property)))
}

/// Whether the owner's key is taken out of what was sent in the same function, or looked for there: `payload.pop("org_id", None)`,
/// `if "org_id" in payload`.
fn drops_owner(project: &Project, unit: &Unit, sent: At, owner: &str) -> bool {
    let fun = project.function_of(sent);
    let mut found = false;
    crate::ir::walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Call(call) => call.positional(0).is_some_and(
                |arg| matches!(unit.ir.expr(arg), ExprKind::String(text) if unit.ir.text(*text) == owner),
            ),
            ExprKind::Compare { left, .. } => {
                matches!(unit.ir.expr(*left), ExprKind::String(text) if unit.ir.text(*text) == owner)
            }
            _ => false,
        };
    });
    found
}
