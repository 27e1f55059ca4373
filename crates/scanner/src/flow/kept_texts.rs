//! Texts of SQL that a module keeps under a name, and that other functions and modules run: `export const QUERIES = { byId: "…" }`.

use super::prepared::Run;
use crate::{
    ir::{BindingId, ExprId, ExprKind, FunctionId},
    project::{At, Parent, Project, Unit},
};

/// How many uses of one text are looked at.
const MOST: usize = 12;

impl Project {
    /// The runs of a text that is kept under a name of a module, or under a key of an object that has the name.
    pub(super) fn runs_of_kept(&self, unit: &Unit, at: At, id: BindingId, key: Option<&str>) -> Vec<Run> {
        if unit.index.function(at.expr) != FunctionId::MODULE {
            return Vec::new();
        }
        let own = unit.index.uses(id).iter().map(|used| at.to(*used));
        let elsewhere = self
            .importing(at.module)
            .iter()
            .filter(|(module, own)| self.declared(*module, *own) == Some((at.module, id)));
        let elsewhere = elsewhere.flat_map(|(module, own)| {
            let uses = self.unit(*module).map(|other| other.index.uses(*own)).unwrap_or_default();
            uses.iter().map(|used| At { module: *module, expr: *used })
        });
        let mut runs = Vec::new();
        for used in own.chain(elsewhere) {
            let Some(home) = self.unit(used.module).filter(|_| runs.len() < MOST) else { break };
            let Some(text) = key.map_or(Some(used.expr), |key| member(home, used.expr, key)) else {
                continue;
            };
            runs.extend(self.run_at(home, used, text));
        }
        runs
    }
}

/// The member of that name that is read of an object.
fn member(unit: &Unit, object: ExprId, key: &str) -> Option<ExprId> {
    let Parent::Expr(up) = unit.index.parent(object) else { return None };
    match unit.ir.expr(up) {
        ExprKind::Member { object: of, property, .. } if *of == object && unit.ir.text(*property) == key => {
            Some(up)
        }
        _ => None,
    }
}
