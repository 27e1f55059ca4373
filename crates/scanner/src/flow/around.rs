//! What stands around a function or a name: classes, functions, fields that are written out.

use crate::{
    ir::{ExprKind, FunctionId},
    project::{At, Cls, Fun, Project, this_class},
};

impl Project {
    /// What a field of a class itself is written out as, where no method sets it to anything else.
    pub(super) fn constant_field(&self, class: Cls, name: &str) -> Option<At> {
        let unit = self.unit(class.module)?;
        let field = unit.ir.class(class.id)?.fields.iter().find(|field| unit.ir.text(field.name) == name)?;
        let value = At { module: class.module, expr: field.value? };
        let plain = matches!(unit.ir.expr(value.expr), ExprKind::String(_) | ExprKind::Number(_));
        (plain && self.field_writes(class, name).is_empty()).then_some(value)
    }

    /// The class whose object `this` is in a function.
    #[must_use]
    pub fn this_of(&self, fun: Fun) -> Option<Cls> {
        let unit = self.unit(fun.module)?;
        this_class(&unit.ir, fun.id).map(|id| Cls { module: fun.module, id })
    }

    /// Whether something holds of a function or one around it.
    #[must_use]
    pub fn is_around(&self, fun: Fun, mut holds: impl FnMut(Fun) -> bool) -> bool {
        let Some(unit) = self.unit(fun.module) else { return holds(fun) };
        let mut at = fun.id;
        for _ in 0..=65 {
            if holds(Fun { module: fun.module, id: at }) {
                return true;
            }
            match unit.ir.function(at).and_then(|function| function.parent) {
                Some(parent) if at != FunctionId::MODULE => at = parent,
                _ => return false,
            }
        }
        false
    }

    /// The functions around a function, itself first, the module last.
    #[must_use]
    pub fn around(&self, fun: Fun) -> Vec<Fun> {
        let mut all = vec![fun];
        let mut at = fun.id;
        while let Some(parent) = self.unit(fun.module).and_then(|unit| unit.ir.function(at)?.parent) {
            if all.len() > 64 || at == FunctionId::MODULE {
                break;
            }
            all.push(Fun { module: fun.module, id: parent });
            at = parent;
        }
        all
    }
}
