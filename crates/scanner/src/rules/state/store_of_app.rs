//! The caller in the store of an Elysia application, of which there is one for all requests: `store.user = user` in a hook. Source:
//! Elysia's documentation, "Handler", `store`: "a single global mutable store object".

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Origins,
    ir::{BindingKind, ExprKind, NameRef},
    project::{At, Project},
    rules::Report,
    vocabulary,
};

/// Reports such writes.
pub(super) fn store_of_app(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        if !unit.ir.imports.iter().any(|import| matches!(unit.ir.text(import.specifier), "elysia")) {
            continue;
        }
        for write in &unit.index.writes {
            let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { continue };
            let of_store = match unit.ir.expr(*object) {
                // `({ store, request }) => …`, `const { store } = context`
                ExprKind::Name(NameRef::Binding(id)) => {
                    let kind = unit.ir.binding(*id).map(|binding| binding.kind);
                    let taken = || {
                        unit.index.sources(*id).iter().any(|source| match unit.ir.expr(source.value) {
                            ExprKind::Name(NameRef::Binding(of)) => {
                                !source.path.is_empty() && project.parameter_of(module, *of).is_some()
                            }
                            _ => false,
                        })
                    };
                    unit.ir.binding_name(*id) == "store"
                        && (matches!(kind, Some(BindingKind::Parameter(_))) || taken())
                }
                // `context.store.user`
                ExprKind::Member { object, property, .. } => {
                    let parameter = match unit.ir.expr(*object) {
                        ExprKind::Name(NameRef::Binding(id)) => project.parameter_of(module, *id).is_some(),
                        _ => false,
                    };
                    unit.ir.text(*property) == "store" && parameter
                }
                _ => false,
            };
            let name = unit.ir.text(*property);
            let value = project.origins(At { module, expr: write.value });
            let whose = vocabulary::is_principal(name)
                || vocabulary::is_owner(name)
                || vocabulary::is_credential(name)
                || value.has(Origins::PRINCIPAL | Origins::SECRET | Origins::UNVERIFIED);
            if of_store && whose {
                report
                    .reached(At { module, expr: write.place }, format!("`{name}` of this caller is left in the application's one store, which all requests read"))
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}
