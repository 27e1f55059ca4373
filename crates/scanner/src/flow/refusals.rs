//! What functions refuse, and to whom: what stands before handlers, and what a function asks before it goes on.

use super::operators::{Admits, DEPTH, REFUSES, says};
use crate::{
    ir::{ExprId, ExprKind, FunctionId, StmtId, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    vocabulary,
};

impl Project {
    /// Whom a function lets through that stands before others: by what it refuses in itself, in a function inside of it that it
    /// gives, or in one that it calls for that.
    pub(super) fn admits_through(&self, fun: Fun, depth: u32) -> Admits {
        let Some(depth) = depth.checked_sub(1) else { return Admits::Anybody };
        if let Some(known) = self.memory.admits.borrow().get(&fun) {
            return *known;
        }
        self.memory.admits.borrow_mut().insert(fun, Admits::Anybody);
        let Some(unit) = self.unit(fun.module) else { return Admits::Anybody };
        let inner = unit.index.inner(fun.id).iter().take(4);
        let own = inner
            .map(|id| self.admits_through(Fun { module: fun.module, id: *id }, depth))
            .fold(self.refuses(unit, fun, depth), Ord::max);
        self.memory.admits.borrow_mut().insert(fun, own);
        own
    }

    fn refuses(&self, unit: &Unit, fun: Fun, depth: u32) -> Admits {
        let Some(function) = unit.ir.function(fun.id) else { return Admits::Anybody };
        let mut found = self.dependencies(unit, fun, depth);
        for stmt in outer(unit, &function.body) {
            found = found.max(self.lets_past(unit, fun, stmt, depth));
        }
        // `if (user.isSuperAdmin) return next(); res.status(403).end()`
        let last = function.body.last().is_some_and(|stmt| {
            matches!(unit.ir.stmt(*stmt), StmtKind::Throw(_)) || self.says_no(unit, fun, *stmt)
        });
        if last {
            let mut ways = function.body.iter().filter_map(|stmt| match unit.ir.stmt(*stmt) {
                StmtKind::If { test, then, .. } if self.leaves(fun, then) => {
                    Some(self.admits_where(At { module: fun.module, expr: *test }, true, DEPTH))
                }
                _ => None,
            });
            let first = ways.next().unwrap_or_default();
            // Beside a key for all there may be another way in, which asks who it is.
            let own = if first == Admits::Holders { ways.fold(first, Ord::min) } else { first };
            found = found.max(own);
        }
        // A predicate: `lambda u: u.is_superuser`, `canActivate() { return user.isSuperAdmin }`.
        let whole = |expr: &ExprId| self.admits_where(At { module: fun.module, expr: *expr }, true, DEPTH);
        let gives = unit
            .index
            .returns(fun.id)
            .iter()
            .filter(|expr| !matches!(unit.ir.expr(**expr), ExprKind::Bool(false)));
        found.max(gives.map(whole).min().unwrap_or_default())
    }

    /// Whom those are who come past a statement.
    pub(super) fn lets_past(&self, unit: &Unit, fun: Fun, stmt: StmtId, depth: u32) -> Admits {
        let at = |expr: ExprId| At { module: fun.module, expr };
        match unit.ir.stmt(stmt) {
            StmtKind::If { test, then, .. } if self.always_leaves(unit, fun, then) => {
                self.admits_where(at(*test), false, DEPTH)
            }
            StmtKind::If { test, otherwise, .. } if self.always_leaves(unit, fun, otherwise) => {
                self.admits_where(at(*test), true, DEPTH)
            }
            StmtKind::Assert { test, .. } => self.admits_where(at(*test), true, DEPTH),
            StmtKind::Expr(value) | StmtKind::Assign { value, .. } | StmtKind::Return(Some(value)) => {
                self.lets_past_call(at(*value), depth)
            }
            _ => Admits::Anybody,
        }
    }

    /// Whether whoever comes into a block comes no further, and is not handed on to what is next.
    pub(crate) fn always_leaves(&self, unit: &Unit, fun: Fun, block: &[StmtId]) -> bool {
        let Some(last) = block.last() else { return false };
        let on = match unit.ir.stmt(*last) {
            StmtKind::Return(Some(value)) => {
                let at = At { module: fun.module, expr: *value };
                self.last_written(at).is_some_and(|name| matches!(name, "next" | "call_next" | "handler"))
            }
            StmtKind::If { .. } => true,
            _ => false,
        };
        !on && self.leaves(fun, std::slice::from_ref(last))
    }

    /// Whom a call lets through that refuses by itself: `await requireSuperAdmin(request)`.
    fn lets_past_call(&self, at: At, depth: u32) -> Admits {
        let Some(unit) = self.unit(at.module) else { return Admits::Anybody };
        let at = match unit.ir.expr(at.expr) {
            ExprKind::Await(value) => at.to(*value),
            _ => at,
        };
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return Admits::Anybody };
        let path = self.written_as_exported(at);
        let Some(name) = path.last() else { return Admits::Anybody };
        let words = vocabulary::words(name);
        if call.is_new || !words.first().is_some_and(|verb| REFUSES.contains(&verb.as_str())) {
            return Admits::Anybody;
        }
        let told = self.settled(says(name)).max(self.roles_of(at, call));
        match self.callee(at).filter(|callee| callee.certain && !callee.targets.is_empty()) {
            Some(callee) => callee
                .targets
                .iter()
                .map(|target| match self.may_refuse(*target, 3) {
                    true => told.max(self.admits_through(*target, depth)),
                    false => Admits::Anybody,
                })
                .min()
                .unwrap_or_default(),
            None => told,
        }
    }

    /// Whom what a framework asks first for a function's parameters lets through: `user = Depends(require_superuser)`.
    fn dependencies(&self, unit: &Unit, fun: Fun, depth: u32) -> Admits {
        let Some(function) = unit.ir.function(fun.id) else { return Admits::Anybody };
        let mut found = Admits::Anybody;
        for parameter in &function.params {
            for at in self.injections(fun.module, parameter) {
                found = found.max(self.asks_first(at, depth));
            }
        }
        found
    }

    /// The same of one parameter, by what its default or its type says.
    pub(super) fn asks_first(&self, at: At, depth: u32) -> Admits {
        let Some(unit) = self.unit(at.module) else { return Admits::Anybody };
        let mut found = Admits::Anybody;
        walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            let named = self.last_written(at.to(call.callee));
            if let (Some("Depends" | "Security"), Some(first)) = (named, call.positional(0)) {
                found = found.max(self.admits_guard(at.to(first), depth));
            }
        });
        found
    }

    /// Whether the last statement of a function answers with a refusal.
    fn says_no(&self, unit: &Unit, fun: Fun, stmt: StmtId) -> bool {
        let (StmtKind::Expr(value) | StmtKind::Return(Some(value))) = unit.ir.stmt(stmt) else {
            return false;
        };
        let text = self.snippet(At { module: fun.module, expr: *value }).to_lowercase();
        ["403", "401", "404", "forbidden", "unauthorized", "denied"].iter().any(|word| text.contains(word))
    }

    /// Whether a function refuses anything, or gives what a condition comes to: one that lets everybody through is no check, whatever
    /// its name.
    pub(super) fn may_refuse(&self, fun: Fun, depth: u32) -> bool {
        let (Some(depth), Some(unit)) = (depth.checked_sub(1), self.unit(fun.module)) else { return true };
        let Some(function) = unit.ir.function(fun.id) else { return false };
        let mut found = false;
        walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
            found |= match unit.ir.stmt(stmt) {
                StmtKind::Throw(_) | StmtKind::Assert { .. } => true,
                StmtKind::If { then, otherwise, .. } => self.leaves(fun, then) || self.leaves(fun, otherwise),
                StmtKind::Return(Some(value)) => {
                    !matches!(
                        unit.ir.expr(*value),
                        ExprKind::Bool(_)
                            | ExprKind::Null
                            | ExprKind::Name(_)
                            | ExprKind::Function(_)
                            | ExprKind::Call(_)
                    ) && unit.ir.function(fun.id).is_some()
                }
                _ => false,
            };
        });
        let of = |id| Fun { module: fun.module, id };
        let calls = || {
            let own = unit.index.calls.iter().filter(|expr| unit.index.function(**expr) == fun.id).take(16);
            own.into_iter().any(|expr| {
                let at = At { module: fun.module, expr: *expr };
                let next = |name: &str| matches!(name, "next" | "call_next" | "Depends");
                match self.callee(at).filter(|callee| callee.certain && !callee.targets.is_empty()) {
                    Some(callee) => callee.targets.iter().any(|target| self.may_refuse(*target, depth)),
                    None => self.last_written(at).is_some_and(|name| {
                        !next(name)
                            && vocabulary::words(name)
                                .first()
                                .is_some_and(|verb| REFUSES.contains(&verb.as_str()))
                    }),
                }
            })
        };
        found || unit.index.inner(fun.id).iter().take(4).any(|id| self.may_refuse(of(*id), depth)) || calls()
    }

    /// Whether everybody has been refused before a place in a function, or in one around it, who is not one of the operator's own
    /// people, or it stands where a condition says that one is: `if not user.is_superuser: return forbidden`.
    #[must_use]
    pub fn is_superusers(&self, at: At) -> bool {
        self.admitted_before(at) == Admits::Operators
    }

    /// Whom what is asked before a place in a function, or in one around it, lets come to it.
    #[must_use]
    pub fn admitted_before(&self, at: At) -> Admits {
        let fun = self.function_of(at);
        let mut here = at;
        let mut found = Admits::Anybody;
        for around in self.around(fun) {
            if around.id == FunctionId::MODULE || found == Admits::Operators {
                break;
            }
            found = found.max(self.admitted_within(around, here));
            let Some(site) = self.unit(around.module).and_then(|unit| unit.index.site(around.id)) else {
                break;
            };
            here = at.to(site);
        }
        found
    }

    fn admitted_within(&self, fun: Fun, at: At) -> Admits {
        let mut found = Admits::Anybody;
        let Some(unit) = self.unit(at.module) else { return found };
        let Some(function) = unit.ir.function(fun.id) else { return found };
        // What stands around the place, the nearest first.
        let mut here = unit.index.stmt_of(at.expr);
        for _ in 0..16 {
            let Some(stmt) = here else { break };
            let up = unit.index.stmt_parent(stmt);
            if let Some(StmtKind::If { test, then, otherwise }) = up.map(|up| unit.ir.stmt(up)) {
                let test = at.to(*test);
                if then.contains(&stmt) {
                    found = found.max(self.admits_where(test, true, DEPTH));
                }
                if otherwise.contains(&stmt) {
                    found = found.max(self.admits_where(test, false, DEPTH));
                }
            }
            // And before it, in the same block.
            let block = up.map_or(&*function.body, |up| block_of(unit, up, stmt));
            for own in block.iter().take_while(|own| **own != stmt) {
                for own in outer(unit, std::slice::from_ref(own)) {
                    found = found.max(self.lets_past(unit, fun, own, 3));
                }
                if found == Admits::Operators {
                    return found;
                }
            }
            here = up;
        }
        found
    }
}

/// The statements of a block, and of those that run with it whatever happens: `try`, `with`.
pub(super) fn outer(unit: &Unit, block: &[StmtId]) -> Vec<StmtId> {
    let mut found = Vec::new();
    let mut open: Vec<StmtId> = block.iter().rev().copied().collect();
    while let Some(stmt) = open.pop() {
        found.push(stmt);
        if found.len() > 256 {
            break;
        }
        match unit.ir.stmt(stmt) {
            StmtKind::Try { body, .. } | StmtKind::With { body, .. } | StmtKind::Block(body) => {
                open.extend(body.iter().rev());
            }
            _ => {}
        }
    }
    found
}

/// The block of a statement that another one stands in.
fn block_of(unit: &Unit, stmt: StmtId, child: StmtId) -> &[StmtId] {
    match unit.ir.stmt(stmt) {
        StmtKind::If { then, otherwise, .. } => {
            if then.contains(&child) {
                then
            } else {
                otherwise
            }
        }
        StmtKind::Try { body, .. }
        | StmtKind::With { body, .. }
        | StmtKind::Block(body)
        | StmtKind::While { body, .. }
        | StmtKind::For { body, .. }
        | StmtKind::ForEach { body, .. }
            if body.contains(&child) =>
        {
            body
        }
        _ => &[],
    }
}
