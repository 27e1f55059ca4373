//! Whether what answers requests knows who asks.

use std::collections::BTreeSet;

use super::{Origins, stores::is_within};
use crate::{
    ir::{ExprId, ExprKind, walk},
    project::{At, Fun, ModuleId, Project},
};

/// How many functions a parameter's value is followed through.
const FARTHEST: u32 = 8;

impl Project {
    /// Whether a handler of a module's package, or of one that imports from it, is given the verified caller, or asks who it is. A word
    /// such as `caller` in code that no request begins with says less: `callerCount` of a graph of calls.
    #[must_use]
    pub fn handlers_know_callers(&self, module: ModuleId) -> bool {
        let folders = self.memory.handlers_know.get_or_init(|| {
            let mut folders = self.verifying_packages();
            for entry in self.entries() {
                let folder = self.folder(entry.handler.module).unwrap_or_default();
                if !folders.contains(folder) && self.knows_who_asks(entry.handler) {
                    folders.insert(folder.to_owned());
                }
            }
            self.with_importers(folders)
        });
        self.folder(module).is_some_and(|own| folders.iter().any(|folder| is_within(own, folder)))
    }

    /// The folders of packages that have an SDK verify the tokens of their callers, whether or not a handler asks whose they are.
    pub(super) fn verifying_packages(&self) -> BTreeSet<String> {
        self.packages
            .iter()
            .filter(|(_, package)| package.verifies)
            .map(|(folder, _)| folder.clone())
            .collect()
    }

    /// Whether a handler is given the verified caller, or asks who it is.
    pub(crate) fn knows_who_asks(&self, handler: Fun) -> bool {
        let Some(unit) = self.unit(handler.module) else { return false };
        let Some(function) = unit.ir.function(handler.id) else { return false };
        let principal =
            |expr: ExprId| self.origins(At { module: handler.module, expr }).has(Origins::PRINCIPAL);
        let given = function.params.iter().enumerate().any(|(number, parameter)| {
            parameter.default.is_some_and(principal)
                || self.parameter_origins(handler, number, &[], FARTHEST).has(Origins::PRINCIPAL)
        });
        let mut asks = given;
        walk::function_exprs(&unit.ir, handler.id, &mut |expr| {
            asks = asks
                || (matches!(unit.ir.expr(expr), ExprKind::Call(_) | ExprKind::Member { .. })
                    && principal(expr));
        });
        asks
    }
}
