//! Code that stands in the tree and that nobody starts any more: a copy beside what took its place, a view that no route names.

use super::never_run;
use crate::{
    ir::{ClassId, Language, Span},
    project::{Cls, ModuleId, Project, Unit},
    vocabulary,
};

/// Last words of the names of files that something else took the place of.
const REPLACED: &[&str] = &["old", "backup", "bak", "deprecated", "orig"];

/// Whether a finding stands in code that is left behind.
pub(super) fn is_left_behind(project: &Project, module: ModuleId, span: Span) -> bool {
    project.unit(module).is_some_and(|unit| {
        is_replaced(project, module, unit)
            || is_unrouted(project, module, unit, span)
            || never_run::is_never_run(unit, span)
    })
}

/// Whether a file is a copy of another one that lies beside it and is in use, and nothing imports it: `server_old.py` beside `server.py`.
fn is_replaced(project: &Project, module: ModuleId, unit: &Unit) -> bool {
    let (folder, name) = unit.ir.path.rsplit_once('/').unwrap_or(("", unit.ir.path.as_str()));
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    let Some((before, _)) = stem.rsplit_once(['_', '-', '.']).filter(|(_, last)| REPLACED.contains(last))
    else {
        return false;
    };
    let beside = if folder.is_empty() {
        format!("{before}.{extension}")
    } else {
        format!("{folder}/{before}.{extension}")
    };
    let others = || project.units().filter(|(other, _)| *other != module).map(|(_, other)| other);
    others().any(|other| other.ir.path == beside)
        && project.importing(module).is_empty()
        && !others().any(|other| other.ir.source.mentions(stem))
}

/// Whether a place of Python stands in a view of Django that no route names, where routes name other ones of its module.
fn is_unrouted(project: &Project, module: ModuleId, unit: &Unit, span: Span) -> bool {
    if unit.ir.language != Language::Python {
        return false;
    }
    let Some((id, name)) = view_around(unit, span) else { return false };
    let routed = project
        .importing(module)
        .iter()
        .any(|(other, _)| project.unit(*other).is_some_and(|other| other.ir.path.ends_with("urls.py")));
    routed
        && project.subclasses(Cls { module, id }).is_empty()
        && !project.units().any(|(other, unit)| other != module && unit.ir.source.mentions(name))
        && unit.ir.class(id).and_then(|decl| decl.binding).is_some_and(|own| unit.index.uses(own).is_empty())
}

/// The view that a place stands in, and its name.
fn view_around(unit: &Unit, span: Span) -> Option<(ClassId, &str)> {
    unit.ir.classes().find_map(|(id, decl)| {
        let name = unit.ir.text(decl.name?);
        let view = decl.bases.iter().any(|base| {
            let text = unit.ir.snippet(unit.ir.span(*base));
            let last = vocabulary::words(text.rsplit('.').next().unwrap_or(text));
            last.last().is_some_and(|word| matches!(word.as_str(), "view" | "viewset"))
        });
        (view && decl.span.contains(span)).then_some((id, name))
    })
}
