//! One file of a fixed name that requests write what they were sent to, and read back, in a server that knows its callers.

use partywall_model::{Confidence, Severity};

use super::{
    callers::is_caller,
    named_places::{Place, Verb},
};
use crate::{
    flow::Origins,
    ir::{ExprKind, FunctionId, walk},
    project::{At, Fun, Project},
    rules::Report,
    vocabulary,
};

/// Words of files that are the server's own.
const OWN: &[&str] = &[
    "config",
    "configuration",
    "settings",
    "token",
    "tokens",
    "credentials",
    "cache",
    "log",
    "logs",
    "audit",
    "lock",
    "pid",
    "state",
    "env",
    "schema",
    "index",
    "package",
    "manifest",
    "public",
    "static",
    "assets",
];

/// How many calls are followed back.
const DEPTH: u32 = 3;

/// Reports such files, where they are written.
pub(super) fn one_file(project: &Project, all: &[Place], report: &mut Report<'_>) {
    for place in all.iter().filter(|place| place.is_file && place.verb == Verb::Write) {
        let (Some(key), Some(data)) = (place.key, place.data) else { continue };
        let origins = project.origins(data);
        let fun = project.function_of(place.at);
        if !project.is_fixed(key)
            || !project.handlers_know_callers(place.at.module)
            || !origins.has(Origins::INPUT)
            || origins.has(Origins::PRINCIPAL | Origins::OWNER | Origins::SECRET)
            || is_own(project, key)
            || uses_caller(project, fun, DEPTH)
        {
            continue;
        }
        let other = all
            .iter()
            .find(|other| other.is_file && other.verb == Verb::Read && reads_back(project, place, other));
        let Some(other) = other else { continue };
        let here = project.function_of(other.at) == fun;
        let found = report.reached(
            place.at,
            "all requests write what they were sent to this one file, and read what is there",
        );
        found.severity(Severity::Medium).confidence(if here { Confidence::Medium } else { Confidence::Low });
        found.related(other.at.module, project.span(other.at), "whoever comes is given it here");
    }
}

/// Whether a read is of what was written: in another function, or in the same one after it waited.
fn reads_back(project: &Project, write: &Place, read: &Place) -> bool {
    let (Some(wrote), Some(reads)) = (write.key, read.key) else { return false };
    let (fun, reader) = (project.function_of(write.at), project.function_of(read.at));
    let same = name_of(project, wrote) == name_of(project, reads);
    if fun == reader {
        let waited = project.unit(fun.module).is_some_and(|unit| {
            unit.index.waits_between(fun.id, unit.index.order(write.at.expr), unit.index.order(read.at.expr))
        });
        // What a program makes of it stands beside it.
        let beside = project.is_fixed(reads) && is_temporary(project, wrote) && is_temporary(project, reads);
        return waited && (same || beside);
    }
    same && project.is_fixed(reads) && !uses_caller(project, reader, DEPTH)
}

/// The name of a file as far as it is written.
fn name_of(project: &Project, key: At) -> String {
    let Some(unit) = project.unit(key.module) else { return String::new() };
    match unit.ir.expr(key.expr) {
        ExprKind::String(name) => unit.ir.text(*name).to_owned(),
        ExprKind::Name(_) | ExprKind::Member { .. } => {
            project.last_written(key).unwrap_or_default().to_owned()
        }
        _ => project.snippet(key).to_owned(),
    }
}

fn is_temporary(project: &Project, key: At) -> bool {
    name_of(project, key).starts_with("/tmp/")
}

fn is_own(project: &Project, key: At) -> bool {
    let name = name_of(project, key);
    name.split(['/', '.', '-', ' ', '"', '\'', '(', ')', ','])
        .any(|part| vocabulary::words(part).iter().any(|word| OWN.contains(&word.as_str())))
}

/// Whether a function, or one that calls it, has to do with who calls: it may keep apart what is in the file.
fn uses_caller(project: &Project, fun: Fun, depth: u32) -> bool {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(fun.module)) else { return false };
    if fun.id == FunctionId::MODULE {
        return false;
    }
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let value =
            matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Call(_));
        found = found || (value && is_caller(project, At { module: fun.module, expr }));
    });
    found
        || project
            .callers(fun)
            .iter()
            .take(8)
            .any(|call| uses_caller(project, project.function_of(*call), depth))
}
