//! Handlers behind a guard that holds the tenant whom the path names against what the caller belongs to.

use crate::{
    flow::Entry,
    project::{Fun, Project},
    vocabulary,
};

/// The handler that a function is, or stands in.
fn handler(project: &Project, fun: Fun) -> Option<&Entry> {
    project.around(fun).into_iter().find_map(|around| project.entry(around))
}

/// Whether what stands before a handler refuses who does not belong to what is named so.
pub(super) fn held_before(project: &Project, fun: Fun, name: &str) -> bool {
    handler(project, fun).is_some_and(|entry| project.is_held_before(entry, name))
}

/// Whether it does so for a tenant that is a parameter of the handler: what else is named is looked for within that one.
pub(super) fn tenant_held_before(project: &Project, fun: Fun) -> bool {
    let Some(entry) = handler(project, fun) else { return false };
    let Some(unit) = project.unit(entry.handler.module) else { return false };
    let Some(function) = unit.ir.function(entry.handler.id) else { return false };
    let names = function.params.iter().filter_map(|own| own.name).map(|name| unit.ir.text(name));
    names.filter(|name| vocabulary::is_tenant(name)).any(|name| project.is_held_before(entry, name))
}
