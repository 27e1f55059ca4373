//! One default that is kept under many keys: `def create(self, data={}): self.sessions[sid] = data`.

use partywall_model::{Confidence, Severity};

use super::mutable_default::{defaulted, passed_always};
use crate::{
    ir::{ExprId, ExprKind, Language, NameRef},
    project::{At, Project, Unit},
    rules::Report,
};

/// Reports where a parameter's default is put under a key of its own: whoever leaves it out gets the one object that all others have
/// who left it out.
pub(super) fn kept_default(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for write in &unit.index.writes {
            let ExprKind::Index { object, index, .. } = unit.ir.expr(write.place) else { continue };
            let at = At { module, expr: write.place };
            if !outlives(unit, *object) || project.is_fixed(at.to(*index)) {
                continue;
            }
            let fun = project.function_of(at);
            let kept = parts(unit, write.value).into_iter().find_map(|part| {
                let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(part) else { return None };
                let (own, number) = defaulted(project, unit, fun, *id)?;
                (own == fun && !passed_always(project, own, number)).then_some(*id)
            });
            let Some(id) = kept else { continue };
            let name = unit.ir.binding_name(id);
            let severity = if project.has_owners(module) { Severity::Medium } else { Severity::Low };
            report
                .reached(
                    at,
                    format!("`{name}` is kept under each key, and is one object for all who left it out"),
                )
                .severity(severity)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether what is written to is a field of an object, or a variable of the module.
fn outlives(unit: &Unit, object: ExprId) -> bool {
    match unit.ir.expr(object) {
        ExprKind::Member { object, .. } => matches!(unit.ir.expr(*object), ExprKind::This),
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.is_module_level(*id),
        _ => false,
    }
}

/// A value, or what stands in the list or record that it is.
fn parts(unit: &Unit, value: ExprId) -> Vec<ExprId> {
    match unit.ir.expr(value) {
        ExprKind::Array { items, .. } => items.iter().copied().collect(),
        ExprKind::Object(properties) => properties.iter().map(|property| property.value).collect(),
        _ => vec![value],
    }
}
