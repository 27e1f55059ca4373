//! What a caller may do, as far as a function asks for that and not for whose a thing is.

use super::{Guard, Origins, operators::is_admin};
use crate::{
    ir::{ExprKind, NameRef, StmtKind, walk},
    project::{Fun, Project},
    vocabulary,
};

/// Whether a word is one of ranks: of who works for the operator, or rules a tenant.
fn is_rank(word: &str) -> bool {
    rules(word) || matches!(word, "operator" | "role" | "rank")
}

/// Whether a word is one of who may reach what is not their own.
fn rules(word: &str) -> bool {
    is_admin(word) || matches!(word, "staff" | "roles")
}

impl Project {
    /// Whether a guard is a call that asks what a caller may do, and is told of nothing else: `canUse(req.user, "notes")`.
    #[must_use]
    pub fn is_permission(&self, guard: &Guard) -> bool {
        let Some(unit) = self.unit(guard.right.module) else { return false };
        let ExprKind::Call(call) = unit.ir.expr(guard.right.expr) else { return false };
        guard.left.module == guard.right.module
            && call.args.iter().any(|arg| arg.value == guard.left.expr)
            && call.args.iter().all(|arg| {
                let at = guard.right.to(arg.value);
                self.is_fixed(at) || self.origins(at).has(Origins::PRINCIPAL | Origins::SECRET)
            })
    }

    /// Whether a function, or one around it, asks what the caller may do or is, and refuses: who may do more may reach more.
    #[must_use]
    pub fn refuses_by_rank(&self, fun: Fun) -> bool {
        self.around(fun).into_iter().any(|around| {
            self.guards(around).iter().any(|guard| self.is_permission(guard)) || self.asks_for_rank(around)
        })
    }

    /// Whether a function, or one around it, asks whether the caller is one of the operator's or the tenant's own people, whatever it does
    /// then: `if (user.roles.includes("admin")) rows = await all(); else …`
    #[must_use]
    pub fn tells_ranks_apart(&self, fun: Fun) -> bool {
        self.around(fun).into_iter().any(|around| {
            let Some(unit) = self.unit(around.module) else { return false };
            let Some(function) = unit.ir.function(around.id) else { return false };
            let says = |name: &str| vocabulary::words(name).iter().any(|word| rules(word));
            let mut found = false;
            walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
                let StmtKind::If { test, .. } = unit.ir.stmt(stmt) else { return };
                walk::exprs_below(&unit.ir, *test, &mut |expr| {
                    found |= match unit.ir.expr(expr) {
                        ExprKind::Member { property, .. } => says(unit.ir.text(*property)),
                        ExprKind::Name(NameRef::Binding(id)) => says(unit.ir.binding_name(*id)),
                        ExprKind::String(text) => rules(unit.ir.text(*text)),
                        _ => false,
                    };
                });
            });
            found
        })
    }

    /// `if (!isAdmin(user)) return …`, `if (user.role !== "admin") throw …`
    fn asks_for_rank(&self, fun: Fun) -> bool {
        let Some(unit) = self.unit(fun.module) else { return false };
        let Some(function) = unit.ir.function(fun.id) else { return false };
        let says = |name: &str| vocabulary::words(name).iter().any(|word| is_rank(word));
        let mut found = false;
        walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
            let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt) else { return };
            if !self.leaves(fun, then) {
                return;
            }
            walk::exprs_below(&unit.ir, *test, &mut |expr| {
                found |= match unit.ir.expr(expr) {
                    ExprKind::Member { property, .. } => says(unit.ir.text(*property)),
                    ExprKind::Call(call) => self
                        .last_written(crate::project::At { module: fun.module, expr: call.callee })
                        .is_some_and(says),
                    _ => false,
                };
            });
        });
        found
    }
}
