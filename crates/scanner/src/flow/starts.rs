//! Which functions run when the process starts.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Lifetimes;
use crate::{
    ir::{ExprKind, FunctionId, FunctionKind},
    project::{At, Fun, Parent, is_lifespan},
};

/// How many calls below the module a function still belongs to the start of the process: what is further down works, for whomever.
const START: u32 = 5;

impl Lifetimes<'_> {
    /// Whether a function that no request reaches runs when the process starts, as far as that is seen: the module calls it, it
    /// sets handlers up, or it is named for it. Elsewhere it may as well be a job's, and what it makes lives as long as the job.
    pub(super) fn runs_at_start(&self, fun: Fun) -> bool {
        let starts = self.objects.starts.get_or_init(|| self.starts());
        self.project.around(fun).into_iter().filter(|fun| fun.id != FunctionId::MODULE).any(|fun| {
            let constructor = self
                .project
                .unit(fun.module)
                .and_then(|unit| unit.ir.function(fun.id))
                .is_some_and(|function| function.kind == FunctionKind::Constructor);
            let name = self.project.function_name(fun).to_lowercase();
            let named = [
                "main",
                "create_app",
                "createapp",
                "create_server",
                "createserver",
                "build_server",
                "buildserver",
                "make_app",
                "setup",
                "set_up",
                "init",
                "start",
                "serve",
                "lifespan",
                "register",
                "configure",
                "bootstrap",
            ]
            .iter()
            .any(|word| name.starts_with(word) || name.starts_with(&format!("_{word}")));
            // What is named so and called from elsewhere only runs when that does.
            let nobody = self.project.callers(fun).is_empty();
            let around = || {
                self.project.unit(fun.module).is_some_and(|unit| {
                    unit.ir.function(fun.id).is_some_and(|function| is_lifespan(unit, function))
                })
            };
            starts.contains(&fun) || constructor || (named && nobody) || around()
        })
    }

    /// The functions that the modules call as they are loaded, and that set handlers up.
    fn starts(&self) -> FxHashSet<Fun> {
        let mut found: FxHashSet<Fun> = FxHashSet::default();
        let mut open: std::collections::VecDeque<(Fun, u32)> =
            self.project.units().map(|(module, _)| (Fun { module, id: FunctionId::MODULE }, START)).collect();
        open.extend(
            self.project
                .entries()
                .iter()
                // What sets up a handler of events of an object that it has may do so for each request.
                .filter(|entry| entry.kind != "event")
                .flat_map(|entry| self.project.around(entry.handler).into_iter().skip(1))
                .map(|fun| (fun, START)),
        );
        let mut calls: FxHashMap<Fun, Vec<At>> = FxHashMap::default();
        let ours = self.project.calls_of(|callee| callee.certain && !callee.targets.is_empty());
        for (module, unit) in self.project.units() {
            for expr in ours.among(module) {
                let at = At { module, expr: *expr };
                // What a function calls in a callback is called when the function runs, unless a request runs it.
                for fun in self.project.around(self.project.function_of(at)) {
                    calls.entry(fun).or_default().push(at);
                    let callback = unit.index.site(fun.id).is_some_and(|site| {
                        matches!(unit.index.parent(site), Parent::Expr(up) if matches!(unit.ir.expr(up), ExprKind::Call(_)))
                    });
                    if !callback || self.project.entry(fun).is_some() {
                        break;
                    }
                }
            }
        }
        while let Some((fun, calls_left)) = open.pop_front() {
            if !found.insert(fun) {
                continue;
            }
            let Some(calls_left) = calls_left.checked_sub(1) else { continue };
            for at in calls.get(&fun).into_iter().flatten() {
                let targets = self.project.callee(*at).map_or(&[][..], |callee| &callee.targets);
                open.extend(targets.iter().map(|target| (*target, calls_left)));
            }
        }
        found
    }
}
