//! What a wrapper of the project's own calls a handler with: `answer(({ accountId, q }) => …)` of
//! `answer = (run) => async (args, extra) => run({ ...args, accountId: extra.authInfo.accountId })`.

use super::Origins;
use crate::{
    ir::{ExprId, ExprKind, PropertyKey, StmtKind},
    project::{At, Fun, Parent, Project, Step},
};

/// How many functions a wrapper may be that are looked at.
const TARGETS: usize = 2;

impl Project {
    /// What a parameter of a handler is that a wrapper of the project's calls, and what a pattern takes out of it.
    pub(super) fn wrapped_origins(
        &self,
        fun: Fun,
        number: usize,
        path: &[Step],
        depth: u32,
    ) -> Option<(Origins, usize)> {
        let given = self.wrapped_argument(fun, number)?;
        let unit = self.unit(given.module)?;
        let Some((Step::Key(name), _)) = path.split_first() else {
            return Some((self.origins_in(given, depth), 0));
        };
        let name = self.unit(fun.module)?.ir.text(*name);
        let ExprKind::Object(properties) = unit.ir.expr(given.expr) else {
            return Some((self.member_origins(given, name, depth), 1));
        };
        // What is put in last counts; what is spread has the rest.
        let put = properties.iter().rev().find_map(|property| match property.key {
            PropertyKey::Name(key) if unit.ir.text(key) == name => {
                Some(self.origins_in(given.to(property.value), depth))
            }
            PropertyKey::Spread => Some(self.member_origins(given.to(property.value), name, depth)),
            _ => None,
        });
        Some((put.unwrap_or(Origins::UNKNOWN), 1))
    }

    /// The argument that a wrapper gives for a parameter of a function that it was given.
    fn wrapped_argument(&self, fun: Fun, number: usize) -> Option<At> {
        let unit = self.unit(fun.module)?;
        let function = unit.ir.function(fun.id)?;
        let sites: Vec<ExprId> = match function.binding {
            Some(id) => unit.index.uses(id).iter().copied().take(4).collect(),
            None => unit.index.site(fun.id).into_iter().collect(),
        };
        let named = unit.index.site(fun.id).and_then(|site| match unit.index.parent(site) {
            Parent::Stmt(stmt) => match unit.ir.stmt(stmt) {
                StmtKind::Assign { target, .. } => target.as_binding(),
                _ => None,
            },
            _ => None,
        });
        let more = named.map(|id| unit.index.uses(id)).unwrap_or_default().iter().copied().take(4);
        sites.into_iter().chain(more).find_map(|site| {
            let Parent::Expr(up) = unit.index.parent(site) else { return None };
            let ExprKind::Call(call) = unit.ir.expr(up) else { return None };
            let place = call.args.iter().position(|arg| arg.value == site)?;
            let callee = self.callee(At { module: fun.module, expr: up }).filter(|callee| callee.certain)?;
            callee.targets.iter().take(TARGETS).find_map(|target| self.called_inside(*target, place, number))
        })
    }

    /// The argument of the call that a function which a wrapper gives makes of what the wrapper was given.
    fn called_inside(&self, wrapper: Fun, place: usize, number: usize) -> Option<At> {
        let unit = self.unit(wrapper.module)?;
        let id = unit.ir.function(wrapper.id)?.params.get(place)?.pattern.as_binding()?;
        unit.index.uses(id).iter().take(8).find_map(|used| {
            let Parent::Expr(up) = unit.index.parent(*used) else { return None };
            let ExprKind::Call(call) = unit.ir.expr(up) else { return None };
            let at = At { module: wrapper.module, expr: up };
            let inner = call.callee == *used && self.function_of(at) != wrapper;
            let argument = call.args.get(number).filter(|_| inner)?;
            Some(at.to(argument.value))
        })
    }
}
