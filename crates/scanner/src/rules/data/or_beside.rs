//! Alternatives that stand beside the condition of the owner: `.where({ teamId }).where("title", t).orWhere("body", t)` finds the
//! bodies of everybody, since `AND` binds before `OR`.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{Arg, ExprId, ExprKind, Language, NameRef, PropertyKey, walk},
    project::{At, Project, Unit},
    rules::Report,
    tables::level_of_column,
    vocabulary,
};

/// How many calls of a chain are looked at.
const CALLS: usize = 24;

/// Reports such alternatives, where the condition of the owner is one of the same chain.
pub(super) fn or_beside(project: &Project, report: &mut Report<'_>) {
    let likely = project.calls_named(|name| name.starts_with("orWhere"));
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::JavaScript) {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { continue };
            if names_owner(unit, &call.args) || !owner_before(unit, *object) || owner_after(unit, *expr) {
                continue;
            }
            report
                .reached(at, "this alternative stands beside the condition of the owner, and finds the rows of everybody")
                .severity(Severity::High)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a condition before it in the same chain names an owner: `.where("team_id", id)`, `.andWhere("note.teamId = :teamId", …)`.
fn owner_before(unit: &Unit, mut here: ExprId) -> bool {
    for _ in 0..CALLS {
        match unit.ir.expr(here) {
            ExprKind::Call(call) => {
                let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else {
                    return false;
                };
                let name = unit.ir.text(*property);
                if (name == "where" || name.starts_with("andWhere") || name.starts_with("where"))
                    && names_owner(unit, &call.args)
                {
                    return true;
                }
                here = *object;
            }
            ExprKind::Await(value) => here = *value,
            // `own = notes.where({ userId })`, and then `own.orWhere(…)`
            ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
                [source] if source.path.is_empty() => here = source.value,
                _ => return false,
            },
            _ => return false,
        }
    }
    false
}

/// Whether a condition after it names the owner as well: all alternatives may do so.
fn owner_after(unit: &Unit, mut here: ExprId) -> bool {
    use crate::project::Parent;
    for _ in 0..CALLS {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        match unit.ir.expr(up) {
            ExprKind::Member { object, .. } if *object == here => here = up,
            ExprKind::Call(call) if call.callee == here => {
                let joins = matches!(unit.ir.expr(call.callee), ExprKind::Member { property, .. } if unit.ir.text(*property).to_lowercase().contains("where"));
                if joins && names_owner(unit, &call.args) {
                    return true;
                }
                here = up;
            }
            _ => return false,
        }
    }
    false
}

/// Whether arguments name an owner: a key, a column, a text of conditions.
fn names_owner(unit: &Unit, args: &[Arg]) -> bool {
    let is = |name: &str| level_of_column(name).is_some() || vocabulary::is_owner(name);
    let mut found = false;
    for arg in args {
        walk::exprs_below(&unit.ir, arg.value, &mut |expr| {
            found |= match unit.ir.expr(expr) {
                ExprKind::String(text) => {
                    unit.ir.text(*text).split(|char: char| !(char.is_alphanumeric() || char == '_')).any(is)
                }
                ExprKind::Object(properties) => properties.iter().any(
                    |property| matches!(property.key, PropertyKey::Name(name) if is(unit.ir.text(name))),
                ),
                ExprKind::Member { property, .. } => is(unit.ir.text(*property)),
                _ => false,
            };
        });
    }
    found
}
