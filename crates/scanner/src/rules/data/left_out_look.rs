//! What a function without a check does instead, for [`super::left_out_check`]: whether it has the same things, what it does with them, and
//! whether it asks in another way.

use std::collections::BTreeSet;

use partywall_model::Confidence;

use super::{
    callers::own_code,
    ignored_caller::NOTES,
    left_out_check::{Asked, Has},
};
use crate::{
    flow::is_admin,
    ir::{ExprKind, NameRef, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    rules::{
        Report,
        refusing::{is_about_reach, refuses_by_name},
    },
    vocabulary,
};

/// First words of functions that keep what they are given: that they are told both says nothing of whose the thing is.
const KEEPS: &[&str] = &[
    "create", "insert", "add", "save", "put", "set", "append", "record", "publish", "emit", "notify", "send",
];

/// Functions of which a call in two places says nothing.
const ANY: &[&str] = &[
    "get", "find", "execute", "query", "where", "filter", "eq", "json", "send", "select", "first", "set",
    "add", "push", "delete", "update", "scalar", "commit", "str", "String", "is", "has", "format", "append",
    "map", "join",
];

/// Words of conditions under which a thing is for everybody, or who calls may have it.
const OPEN: &[&str] =
    &["public", "shared", "internal", "system", "owner", "owned", "own", "role", "mine", "allowed", "access"];

/// What is looked for in the functions of a file.
pub(super) struct Look<'a> {
    pub(super) project: &'a Project,
    pub(super) unit: &'a Unit,
    pub(super) asked: &'a Asked,
    /// What all functions call that check: it takes the place of no check.
    pub(super) common: &'a BTreeSet<String>,
}

impl Look<'_> {
    /// Whether a function has a caller and things of the same names, which come from the same.
    pub(super) fn is_alike(&self, fun: Fun, has: &Has) -> bool {
        self.project.this_of(fun) == self.asked.class
            && self.asked.callers.iter().all(|name| has.named.contains_key(name))
            && self.asked.things.iter().all(|(name, source)| has.named.get(name) == Some(source))
    }

    /// Whether something below an expression is named so.
    fn mentions(&self, at: At, holds: impl Fn(&str) -> bool) -> bool {
        let mut found = false;
        walk::exprs_below(&self.unit.ir, at.expr, &mut |expr| {
            found = found
                || match self.unit.ir.expr(expr) {
                    ExprKind::Name(NameRef::Binding(id)) => holds(self.unit.ir.binding_name(*id)),
                    ExprKind::Member { property, .. } => holds(self.unit.ir.text(*property)),
                    _ => false,
                };
        });
        found
    }

    fn of_thing(&self, at: At) -> bool {
        self.mentions(at, |name| self.asked.things.contains_key(name))
    }

    fn of_caller(&self, at: At) -> bool {
        self.mentions(at, |name| self.asked.callers.contains(name))
    }

    fn is_note(&self, at: At) -> bool {
        let path = self.project.written(at);
        path.iter().any(|part| vocabulary::words(part).iter().any(|word| NOTES.contains(&word.as_str())))
    }

    /// The first call that is told a thing, and does something with it.
    pub(super) fn used(&self, has: &Has) -> Option<At> {
        let told = has.calls.iter().copied().filter(|at| {
            let name = self.project.last_written(*at).unwrap_or_default();
            !self.is_note(*at) && !refuses_by_name(name) && self.is_told(*at)
        });
        told.min_by_key(|at| self.project.order(*at))
    }

    /// Whether an argument of a call is a thing, or made of one.
    fn is_told(&self, at: At) -> bool {
        let ExprKind::Call(call) = self.unit.ir.expr(at.expr) else { return false };
        call.args.iter().any(|arg| self.of_thing(at.to(arg.value)))
    }

    /// Whether a function asks in another way, or those who call it do.
    pub(super) fn is_kept(&self, fun: Fun, has: &Has) -> bool {
        let guarded = own_code(self.project, fun).into_iter().any(|own| {
            self.project.guards(own).iter().any(|guard| {
                (self.of_caller(guard.left) || self.of_caller(guard.right)) && !self.is_common(guard.right)
            })
        });
        let callers = || {
            self.project.callers(fun).iter().take(8).any(|site| self.asks(self.project.function_of(*site), 1))
        };
        guarded || has.calls.iter().any(|at| self.is_asked(*at)) || callers()
    }

    /// Whether a value is a call that all functions with the check make as well, and is told nothing of the thing.
    fn is_common(&self, at: At) -> bool {
        matches!(self.unit.ir.expr(at.expr), ExprKind::Call(_))
            && !self.of_thing(at)
            && self.project.last_written(at).is_some_and(|name| self.common.contains(name))
    }

    /// Whether a call asks whose a thing is, or is told so.
    fn is_asked(&self, at: At) -> bool {
        let targets = self.targets(at);
        if targets.contains(&self.asked.check) {
            return true;
        }
        if !self.of_thing(at) || self.is_note(at) {
            return false;
        }
        let name = self.project.last_written(at).unwrap_or_default();
        if self.common.contains(name) {
            return false;
        }
        let caller = self.of_caller(at);
        let checks = Project::is_check(name) && (caller || is_about_reach(name));
        let keeps = vocabulary::words(name).first().is_some_and(|verb| KEEPS.contains(&verb.as_str()));
        let makes = name.starts_with(char::is_uppercase);
        checks || (caller && !keeps && !makes) || targets.iter().any(|target| self.asks(*target, 2))
    }

    fn targets(&self, at: At) -> Vec<Fun> {
        self.project
            .callee(at)
            .filter(|callee| callee.certain)
            .map_or_else(Vec::new, |callee| callee.targets.clone())
    }

    /// Whether a function calls the check, or another of who may reach what; itself or in what it calls.
    fn asks(&self, fun: Fun, depth: u32) -> bool {
        let (Some(depth), Some(unit)) = (depth.checked_sub(1), self.project.unit(fun.module)) else {
            return false;
        };
        let own = unit.index.calls.iter().filter(|expr| unit.index.function(**expr) == fun.id).take(32);
        own.into_iter().any(|expr| {
            let at = At { module: fun.module, expr: *expr };
            let name = self.project.last_written(at).unwrap_or_default();
            (Project::is_check(name) && is_about_reach(name))
                || self.targets(at).iter().any(|target| {
                    *target == self.asked.check || (*target != fun && self.asks(*target, depth))
                })
        })
    }

    /// Whether a function does to the thing what another one does.
    pub(super) fn does_the_same(&self, has: &Has, all: &[(Fun, Has)], peer: Fun) -> bool {
        let names = |has: &Has| -> BTreeSet<String> {
            let told = has.calls.iter().filter(|at| self.is_told(**at) && !self.is_note(**at));
            let names = told.filter_map(|at| self.project.last_written(*at));
            names.filter(|name| !ANY.contains(name) && !refuses_by_name(name)).map(str::to_owned).collect()
        };
        let other = all.iter().find(|(fun, _)| *fun == peer);
        other.is_some_and(|(_, other)| !names(other).is_disjoint(&names(has)))
    }

    /// Tells the branches of a function that do to a thing what another branch does after the check, without it.
    pub(super) fn other_branches(&self, report: &mut Report<'_>, has: &Has, checks: &[At]) {
        let acts: Vec<(At, &str)> = has
            .calls
            .iter()
            .filter(|at| self.is_told(**at) && !self.is_note(**at))
            .filter_map(|at| Some((*at, self.project.last_written(*at)?)))
            .filter(|(_, name)| !ANY.contains(name) && !refuses_by_name(name))
            .collect();
        let open: Vec<&(At, &str)> =
            acts.iter().filter(|(at, _)| !checks.iter().any(|check| self.comes_after(*at, *check))).collect();
        let kept = |name: &str| {
            acts.iter().any(|(at, own)| *own == name && !open.iter().any(|(other, _)| other == at))
        };
        for (at, name) in &open {
            let (Some(check), true) = (checks.first(), kept(name)) else { continue };
            if self.is_let_through(*at)
                || self.is_asked(*at)
                || acts.iter().any(|(other, _)| self.is_asked(*other) && self.comes_after(*at, *other))
            {
                continue;
            }
            let checks = self.project.function_name(self.asked.check);
            report
                .reached(*at, format!("`{name}` is called here without `{checks}`, which another branch of this function calls first"))
                .confidence(Confidence::Medium)
                .related(check.module, self.project.span(*check), "it is checked here");
        }
    }

    /// Whether a place is come to only past another one of the same function: that stands before it, in the same block or one around it.
    fn comes_after(&self, at: At, before: At) -> bool {
        let index = &self.unit.index;
        let (Some(mut here), Some(first)) = (index.stmt_of(at.expr), index.stmt_of(before.expr)) else {
            return true;
        };
        let around = index.stmt_parent(first);
        if self.project.order(before) >= self.project.order(at) {
            return false;
        }
        for _ in 0..32 {
            let up = index.stmt_parent(here);
            if up == around {
                return true;
            }
            let Some(up) = up else { return false };
            here = up;
        }
        true
    }

    /// Whether a place stands under a condition of who calls, or of what is for everybody.
    fn is_let_through(&self, at: At) -> bool {
        let index = &self.unit.index;
        let mut here = index.stmt_of(at.expr);
        for _ in 0..32 {
            let Some(up) = here.and_then(|stmt| index.stmt_parent(stmt)) else { return false };
            if let StmtKind::If { test, .. } = self.unit.ir.stmt(up) {
                let told = |name: &str| {
                    self.asked.callers.contains(name)
                        || vocabulary::words(name)
                            .iter()
                            .any(|word| is_admin(word) || OPEN.contains(&word.as_str()))
                };
                if self.mentions(at.to(*test), told) {
                    return true;
                }
            }
            here = Some(up);
        }
        true
    }
}
