//! Variables of a function that goes on after it has made what uses them, and so has them anew in each of its calls.

use crate::{
    flow::{Cell, SharedWrite},
    ir::{BindingId, FunctionId},
    project::{ModuleId, Project},
    vocabulary,
};

/// First words of functions that set up what lasts.
const SETS_UP: &[&str] = &[
    "main",
    "create",
    "make",
    "build",
    "setup",
    "set",
    "register",
    "start",
    "init",
    "initialize",
    "bootstrap",
    "configure",
    "serve",
    "server",
    "mount",
    "add",
    "define",
    "connect",
    "run",
    "use",
    "new",
    "get",
    "load",
];

/// Whether what is written stands in a variable of a function that is given something, and waits after it has made the variable: it does
/// its work and ends, and its next call has another one.
pub(super) fn is_of_each_call(project: &Project, write: &SharedWrite) -> bool {
    let Some((module, id)) = variable(&write.cell) else { return false };
    let Some(unit) = project.unit(module) else { return false };
    let own = unit.ir.binding_function(id);
    if own == FunctionId::MODULE || own == write.fun.id || project.parameter_of(module, id).is_some() {
        return false;
    }
    let Some(function) = unit.ir.function(own) else { return false };
    let name = function.name.map_or("", |name| unit.ir.text(name));
    let words = vocabulary::words(name);
    // `runOnce`, `runMentionAgent` do something and end; `run` serves.
    let sets_up = words.first().is_some_and(|first| SETS_UP.contains(&first.as_str()))
        && !(words.len() > 1 && words.first().is_some_and(|first| first == "run"));
    let made = unit.index.sources(id).iter().map(|source| source.order).min().unwrap_or_default();
    !name.is_empty()
        && !sets_up
        && !function.params.is_empty()
        && unit.index.waits_between(own, made, u32::MAX)
}

/// The variable that a cell is, or is a part of.
fn variable(cell: &Cell) -> Option<(ModuleId, BindingId)> {
    match cell {
        Cell::Binding(module, id) => Some((*module, *id)),
        Cell::Property(of, _) => variable(of),
        _ => None,
    }
}
