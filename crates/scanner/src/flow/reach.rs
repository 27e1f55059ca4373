//! Which functions callers of the server reach, and how.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::Admits;
use crate::{
    ir::{ExprKind, NameRef},
    project::{At, Fun, ModuleId, Project, Symbol, Unit},
};

/// Of how many callers of a function the functions that they pass are looked at.
const PASSED: usize = 32;

/// How a function is reached.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// The entry point, as a number into [`Project::entries`].
    pub entry: usize,
    /// The function before, and the call there; none for the entry's own handler.
    pub from: Option<(Fun, At)>,
    /// Whether every step was resolved by names, not only by a method's name.
    pub certain: bool,
}

/// Follows calls from all entry points, the nearest first.
pub(crate) fn find_reach(project: &Project) -> FxHashMap<Fun, Reach> {
    let mut reach: FxHashMap<Fun, Reach> = FxHashMap::default();
    let mut open: VecDeque<Fun> = VecDeque::new();
    let by_function = calls_by_function(project);
    let queued = super::queued::queued(project);
    // What several kinds of callers reach is reached by tenants, and behind no wrapper.
    let kinds: Vec<u8> = project
        .entries
        .iter()
        .map(|entry| match (project.is_operators(entry), project.is_wrapped(entry)) {
            _ if project.assumed(entry.handler).is_some() => 4,
            _ if project.admits(entry.handler) == Admits::Operators => 3,
            (false, false) if project.admits(entry.handler) < Admits::Admins => 0,
            (false, _) => 1,
            (true, _) => 2,
        })
        .collect();
    for kind in 0..=4 {
        for ((number, entry), own) in project.entries.iter().enumerate().zip(&kinds) {
            if *own != kind {
                continue;
            }
            reach.entry(entry.handler).or_insert_with(|| {
                open.push_back(entry.handler);
                Reach { entry: number, from: None, certain: true }
            });
        }
        follow(project, &by_function, &queued, &mut reach, &mut open);
    }
    reach
}

/// Goes on from functions that are reached to those that they call.
fn follow(
    project: &Project,
    by_function: &FxHashMap<Fun, Vec<At>>,
    queued: &FxHashMap<Fun, Vec<(Fun, At)>>,
    reach: &mut FxHashMap<Fun, Reach>,
    open: &mut VecDeque<Fun>,
) {
    while let Some(fun) = open.pop_front() {
        let Some(here) = reach.get(&fun).copied() else { continue };
        for (target, at, certain) in next(project, fun, by_function.get(&fun).map_or(&[], Vec::as_slice)) {
            reach.entry(target).or_insert_with(|| {
                open.push_back(target);
                Reach { entry: here.entry, from: Some((fun, at)), certain: certain && here.certain }
            });
        }
        // What a worker runs for the job that was put into its queue here.
        for (target, at) in queued.get(&fun).into_iter().flatten() {
            reach.entry(*target).or_insert_with(|| {
                open.push_back(*target);
                Reach { entry: here.entry, from: Some((fun, *at)), certain: here.certain }
            });
        }
    }
}

fn calls_by_function(project: &Project) -> FxHashMap<Fun, Vec<At>> {
    let mut all: FxHashMap<Fun, Vec<At>> = FxHashMap::default();
    for (module, unit) in project.units() {
        for expr in &unit.index.calls {
            let fun = Fun { module, id: unit.index.function(*expr) };
            all.entry(fun).or_default().push(At { module, expr: *expr });
        }
    }
    all
}

fn next(project: &Project, fun: Fun, calls: &[At]) -> Vec<(Fun, At, bool)> {
    let mut targets = Vec::new();
    let Some(unit) = project.unit(fun.module) else { return targets };
    for id in unit.index.inner(fun.id) {
        let at = At { module: fun.module, expr: unit.index.site(*id).unwrap_or(crate::ir::ExprId::MISSING) };
        targets.push((Fun { module: fun.module, id: *id }, at, true));
    }
    for at in calls {
        if let Some(callee) = project.callee(*at) {
            targets.extend(callee.targets.iter().map(|target| (*target, *at, callee.certain)));
        }
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { continue };
        targets.extend(passed(project, at.to(call.callee)).into_iter().map(|target| (target, *at, true)));
        for arg in &call.args {
            let is_name = matches!(
                unit.ir.expr(arg.value),
                ExprKind::Name(NameRef::Binding(_)) | ExprKind::Member { .. }
            );
            if is_name && let Symbol::Function(target) = project.symbol(at.to(arg.value)) {
                targets.push((target, *at, true));
            }
        }
    }
    targets
}

/// The functions that a parameter is given by the callers of its function: `handle` of `serve(handle)`.
fn passed(project: &Project, callee: At) -> Vec<Fun> {
    let Some(unit) = project.unit(callee.module) else { return Vec::new() };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(callee.expr) else { return Vec::new() };
    let Some((fun, number, path)) = project.parameter_of(callee.module, *id) else { return Vec::new() };
    // A function that is called with the same function for every request: the call stands in a handler that is made inside.
    let handler = |around: &Fun| *around != fun && project.entry(*around).is_some();
    let within = project.around(project.function_of(callee));
    if !path.is_empty() || !within.iter().take_while(|around| **around != fun).any(handler) {
        return Vec::new();
    }
    let given = project.callers(fun).iter().take(PASSED);
    given
        .filter_map(|call| match project.symbol(project.argument(*call, fun, number)?) {
            Symbol::Function(target) => Some(target),
            _ => None,
        })
        .collect()
}

/// Whether each function, by module, or one around it is reached by callers.
pub(crate) fn find_served(project: &Project) -> Vec<Box<[bool]>> {
    let is_served = |fun: Fun| project.is_around(fun, |around| project.reach(around).is_some());
    let of = |(module, unit): (ModuleId, &Unit)| {
        unit.ir.functions().map(|(id, _)| is_served(Fun { module, id })).collect()
    };
    project.units().map(of).collect()
}

impl Project {
    /// Whether callers of the server reach a function of a module.
    #[must_use]
    pub fn serves(&self, module: ModuleId) -> bool {
        self.served.get(module.index()).is_some_and(|functions| functions.contains(&true))
    }

    /// How callers of the server reach a function; nothing when no way was found.
    #[must_use]
    pub fn reach(&self, fun: Fun) -> Option<&Reach> {
        self.reach.get(&fun)
    }

    /// The entry point that a function is a part of: its own, that of a function around it, or the one that callers reach it by.
    #[must_use]
    pub fn entry_around(&self, fun: Fun) -> Option<&super::Entry> {
        let around = self.around(fun);
        let own = around.iter().find_map(|fun| self.entry(*fun));
        own.or_else(|| around.iter().find_map(|fun| self.entries().get(self.reach(*fun)?.entry)))
    }

    /// The calls that lead from an entry point to a function, the first call first.
    #[must_use]
    pub fn way(&self, fun: Fun) -> Vec<At> {
        self.steps(fun).into_iter().map(|(call, _)| call).collect()
    }

    /// The same calls, each with the function that it leads to.
    pub(crate) fn steps(&self, fun: Fun) -> Vec<(At, Fun)> {
        let mut way = Vec::new();
        let mut at = fun;
        while let Some((from, call)) = self.reach(at).and_then(|reach| reach.from) {
            if way.len() > 64 {
                break;
            }
            way.push((call, at));
            at = from;
        }
        way.reverse();
        way
    }
}
