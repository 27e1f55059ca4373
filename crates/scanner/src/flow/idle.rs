//! Code that nobody who calls the server comes to: what nothing names, jobs of a queue or a timer, commands of the operator's.

use std::collections::BTreeSet;

use crate::{
    ir::{ExprKind, FunctionId, FunctionKind, NameRef, Span},
    project::{At, Fun, Parent, Project, Unit},
    vocabulary,
};

/// How many functions are looked at on the way back.
const MOST: usize = 24;

/// Words of decorators that make a function a job: `@celery_app.task`, `@shared_task`, `@dramatiq.actor`, `@scheduler.scheduled_job`.
const JOBS: &[&str] = &["task", "actor", "job", "periodic", "cron", "scheduled"];

/// Who is given a function and runs it by itself, by their last names.
const TIMERS: &[&str] = &["setInterval", "schedule", "scheduleJob", "add_job", "CronJob", "Worker"];

/// Classes whose `handle` an operator starts from a shell.
const COMMANDS: &[&str] = &["BaseCommand", "AppCommand", "LabelCommand", "NoArgsCommand"];

impl Project {
    /// Whether all ways back from a function end at what nothing names, at a job or at a command, and no handler is on them. What a
    /// library has is there for others.
    pub(crate) fn is_idle(&self, fun: Fun) -> bool {
        let mut seen: BTreeSet<Fun> = BTreeSet::new();
        let mut open = vec![fun];
        while let Some(here) = open.pop() {
            let Some(outer) = self.outermost(here) else { return false };
            if seen.contains(&outer) {
                continue;
            }
            if seen.len() >= MOST || !self.may_be_idle(outer) {
                return false;
            }
            seen.insert(outer);
            if self.is_job(outer) {
                continue;
            }
            let Some(from) = self.places_that_call(outer) else { return false };
            if from.is_empty() && !self.is_of_server(outer) {
                return false;
            }
            open.extend(from.into_iter().filter(|from| from.id != FunctionId::MODULE));
        }
        true
    }

    /// Whether the package of a function has handlers: what a library has is there for others.
    fn is_of_server(&self, fun: Fun) -> bool {
        let folder = self.folder(fun.module);
        folder.is_some() && self.entries().iter().any(|entry| self.folder(entry.handler.module) == folder)
    }

    /// The function around all others that a function stands in; none for code that runs when a module is loaded.
    pub(super) fn outermost(&self, fun: Fun) -> Option<Fun> {
        self.around(fun).into_iter().rfind(|around| around.id != FunctionId::MODULE)
    }

    /// Whether nothing says that something outside of the project calls a function: it is no handler, no default export, and neither
    /// decorated nor a method that a framework's class may call.
    fn may_be_idle(&self, fun: Fun) -> bool {
        if self.entry(fun).is_some() || self.reach(fun).is_some() {
            return false;
        }
        let Some(unit) = self.unit(fun.module) else { return false };
        let Some(function) = unit.ir.function(fun.id) else { return false };
        if self.is_job(fun) {
            return true;
        }
        let name = self.function_name(fun);
        // What a page or an action of a framework is called by is no name in the code.
        let own = function.decorators.is_empty()
            && function.name.is_some()
            && !name.starts_with(char::is_uppercase)
            && !name.starts_with("__");
        let method = !matches!(function.kind, FunctionKind::Constructor) && self.is_of_plain_class(fun, unit);
        own && method && !is_default(unit, function.span) && !is_exported_to_framework(unit)
    }

    /// Whether a function is no method, or one of a class that nothing but the project calls.
    fn is_of_plain_class(&self, fun: Fun, unit: &Unit) -> bool {
        let Some(class) =
            unit.ir.function(fun.id).and_then(|function| function.class).and_then(|id| unit.ir.class(id))
        else {
            return true;
        };
        let head: String = unit.ir.snippet(class.span).chars().take(160).collect();
        let implements = head.split('{').next().is_some_and(|head| head.contains(" implements "));
        let foreign = class.bases.iter().any(|base| {
            !matches!(self.symbol(At { module: fun.module, expr: *base }), crate::project::Symbol::Class(_))
        });
        !implements && !foreign
    }

    fn is_timer(&self, call: At) -> bool {
        self.last_written(call).is_some_and(|name| TIMERS.contains(&name))
    }

    /// Whether a queue, a timer or a shell runs a function, and no caller of the server does.
    fn is_job(&self, fun: Fun) -> bool {
        let Some(unit) = self.unit(fun.module) else { return false };
        let Some(function) = unit.ir.function(fun.id) else { return false };
        let decorated = function.decorators.iter().any(|decorator| {
            let said = unit.ir.snippet(unit.ir.span(*decorator));
            let head = said.split('(').next().unwrap_or(said);
            // `@mcp.task` and `@app.tool` are handlers.
            self.entry(fun).is_none()
                && vocabulary::words(head).iter().any(|word| JOBS.contains(&word.as_str()))
        });
        let given = unit.index.site(fun.id).is_some_and(|literal| match unit.index.parent(literal) {
            Parent::Expr(up) => {
                matches!(unit.ir.expr(up), ExprKind::Call(call) if call.callee != literal)
                    && self.is_timer(At { module: fun.module, expr: up })
            }
            _ => false,
        });
        let command = self.function_name(fun) == "handle"
            && function.class.and_then(|id| unit.ir.class(id)).is_some_and(|class| {
                class.bases.iter().any(|base| {
                    self.written(At { module: fun.module, expr: *base })
                        .last()
                        .is_some_and(|name| COMMANDS.contains(&name.as_str()))
                })
            });
        decorated || given || command
    }

    /// The functions in which something by the name of a function is called, whatever it means there; none when the name is anything else
    /// than called there, or given to a timer.
    fn places_that_call(&self, fun: Fun) -> Option<Vec<Fun>> {
        let name = self.function_name(fun);
        let mut found = Vec::new();
        for (module, unit) in self.units().filter(|(_, unit)| unit.ir.has_name(&[name])) {
            for (expr, kind) in unit.ir.exprs() {
                let is = match kind {
                    ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id) == name,
                    ExprKind::Name(NameRef::Global(text)) | ExprKind::String(text) => {
                        unit.ir.text(*text) == name
                    }
                    ExprKind::Member { property, .. } => unit.ir.text(*property) == name,
                    _ => false,
                };
                if !is {
                    continue;
                }
                let from = Fun { module, id: unit.index.function(expr) };
                // `module.exports = { sweep }` gives it to who imports it, by its name.
                if from.id == FunctionId::MODULE && is_given_out(unit, expr) {
                    continue;
                }
                let called = match unit.index.parent(expr) {
                    Parent::Expr(up) => {
                        matches!(unit.ir.expr(up), ExprKind::Call(call) if call.callee == expr || self.is_timer(At { module, expr: up }))
                    }
                    _ => false,
                };
                if !called {
                    return None;
                }
                found.push(from);
            }
        }
        Some(found)
    }
}

/// Whether an expression stands in what a module exports: `module.exports = { sweep }`, `exports.sweep = sweep`.
fn is_given_out(unit: &Unit, expr: crate::ir::ExprId) -> bool {
    let Some(stmt) = unit.index.stmt_of(expr) else { return false };
    let text = unit.ir.snippet(unit.ir.stmt_span(stmt));
    text.starts_with("module.exports") || text.starts_with("exports.") || text.starts_with("__all__")
}

/// Whether a function is what its module exports without a name.
pub(super) fn is_default(unit: &Unit, span: Span) -> bool {
    const BEFORE: u32 = 24;
    let before = unit.ir.snippet(Span { start: span.start.saturating_sub(BEFORE), end: span.start });
    before.contains("export default")
}

/// Whether what a module exports is called by a framework, by its place or by a directive: pages, routes and actions.
pub(super) fn is_exported_to_framework(unit: &Unit) -> bool {
    let path = &unit.ir.path;
    let head: String = unit.ir.source.chars().take(200).collect();
    head.contains("use server")
        || path.ends_with(".tsx")
        || path.ends_with(".jsx")
        || path.split('/').any(|part| {
            matches!(
                part,
                "pages"
                    | "routes"
                    | "api"
                    | "loaders"
                    | "actions"
                    | "functions"
                    | "netlify"
                    | "lambda"
                    | "lambdas"
            )
        })
        || path.rsplit('/').next().is_some_and(|name| {
            let stem = name.split('.').next().unwrap_or(name);
            matches!(
                stem,
                "page"
                    | "route"
                    | "layout"
                    | "loader"
                    | "action"
                    | "actions"
                    | "middleware"
                    | "urls"
                    | "admin"
                    | "signals"
                    | "apps"
            )
        })
}
