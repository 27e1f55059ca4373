//! Models that are imported under another name: `import Notes from "./models/note"`, whose file says `model("Note", schema)`.

use crate::{
    ir::{BindingId, BindingKind, Call, Export, ExportKind, ExprKind, ImportKind, NameRef},
    project::{At, ModuleId, Project},
};

impl Project {
    /// What the model is called that a method is called on, where that is not what the name says.
    pub(super) fn model_behind(&self, at: At, call: &Call) -> Option<String> {
        let unit = self.unit(at.module)?;
        let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return None };
        let value = self.value_behind(at.module, *id)?;
        self.named_model(value, 3)
    }

    /// The name that a model is made with: `model("Note", schema)`, also behind `models.Note ||`.
    fn named_model(&self, at: At, depth: u32) -> Option<String> {
        let depth = depth.checked_sub(1)?;
        let unit = self.unit(at.module)?;
        match unit.ir.expr(at.expr) {
            ExprKind::Logical { left, right, .. } => {
                self.named_model(at.to(*right), depth).or_else(|| self.named_model(at.to(*left), depth))
            }
            ExprKind::Call(call) => {
                if !matches!(self.last_written(at.to(call.callee))?, "model" | "define") {
                    return None;
                }
                let ExprKind::String(name) = unit.ir.expr(call.positional(0)?) else { return None };
                Some(unit.ir.text(*name).to_owned())
            }
            ExprKind::Name(NameRef::Binding(id)) => {
                self.named_model(self.value_behind(at.module, *id)?, depth)
            }
            _ => None,
        }
    }

    /// The value that a variable was set to once, also in the module that it is imported from.
    fn value_behind(&self, module: ModuleId, id: BindingId) -> Option<At> {
        let unit = self.unit(module)?;
        let BindingKind::Import(number) = unit.ir.binding(id)?.kind else {
            let [only] = unit.index.sources(id) else { return None };
            return only.path.is_empty().then_some(At { module, expr: only.value });
        };
        let import = unit.ir.imports.get(number as usize)?;
        if let Some((home, own)) = self.declared(module, id)
            && (home, own) != (module, id)
        {
            return self.value_behind(home, own);
        }
        let wanted = match import.kind {
            ImportKind::Default => "default",
            ImportKind::Namespace => Export::WHOLE,
            _ => return None,
        };
        let from =
            self.imported_module(module, unit.ir.text(import.specifier)).filter(|from| *from != module)?;
        let home = self.unit(from)?;
        let export = |wanted: &str| home.ir.exports.iter().find(|export| home.ir.text(export.name) == wanted);
        match export(wanted).or_else(|| export(Export::WHOLE))?.kind {
            ExportKind::Value(expr) => Some(At { module: from, expr }),
            ExportKind::Binding(own) => self.value_behind(from, own),
            _ => None,
        }
    }
}
