//! Arguments that a framework fills in by what stands for their default.

use super::Origins;
use crate::{
    ir::{ExprKind, Language},
    project::{At, Fun, Project},
};

impl Project {
    /// What a handler's parameter is whose default is a call that a library says something of: `tenant: str = TokenClaim("tenant_id")`.
    /// The framework asks it in each request, and the caller cannot send it.
    pub(super) fn told_by_default(&self, fun: Fun, number: usize) -> Option<Origins> {
        let unit = self.unit(fun.module)?;
        let default = unit.ir.function(fun.id)?.params.get(number)?.default?;
        if unit.ir.language != Language::Python || !matches!(unit.ir.expr(default), ExprKind::Call(_)) {
            return None;
        }
        self.entry(fun)?;
        let callee = self.callee(At { module: fun.module, expr: default })?;
        callee.defs.iter().find_map(|def| def.is).map(Origins::of)
    }
}
