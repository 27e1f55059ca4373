//! What posts messages to sessions, mounted beside routes that ask who calls: dependencies of routes do not run for what is mounted.
//! `app.mount("/messages", transport.handle_post_message)` beside `Depends(verified)`.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{ExprKind, Language},
    marks::POSTS,
    project::{At, ModuleId, Project, Unit},
    rules::Report,
};

/// Reports such mounts in modules whose routes have dependencies, when nothing stands before the whole application.
pub(super) fn mounted(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        let source = &unit.ir.source;
        if !POSTS.iter().any(|name| source.mentions(name)) || !has_dependencies(project, module, unit) {
            continue;
        }
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { continue };
            let posts = call.positional(1).is_some_and(|app| {
                matches!(unit.ir.expr(app), ExprKind::Member { property, .. } if POSTS.contains(&unit.ir.text(*property)))
            });
            if unit.ir.text(*property) == "mount" && posts {
                report
                    .at(at, "what is mounted here does not run the routes' dependencies: whoever knows a session's id posts to it")
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether routes of a module are given a dependency, and no middleware is added that would stand before a mount too.
fn has_dependencies(project: &Project, module: ModuleId, unit: &Unit) -> bool {
    let mut depends = false;
    let mut before = false;
    for expr in &unit.index.calls {
        let at = At { module, expr: *expr };
        match project.last_written(at) {
            Some("Depends" | "Security") => depends = true,
            Some("add_middleware" | "middleware" | "RequireAuthMiddleware" | "AuthenticationMiddleware") => {
                before = true
            }
            _ => {}
        }
    }
    depends && !before
}
