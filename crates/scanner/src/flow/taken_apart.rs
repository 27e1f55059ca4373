//! Records that a function takes apart which is handed all that was sent: `getNote(args)` of `getNote({ id, tenantId })`,
//! `get_note(**arguments)`.

use super::{Origins, origins::CALLERS};
use crate::{
    ir::{ArgKind, ExprKind, Language, NameRef, ParameterKind, PropertyKey},
    project::{At, Fun, Project, Step},
};

impl Project {
    /// The record whose part of that name a parameter gets: `arguments` of `get_note(**arguments)`.
    pub(super) fn spread_argument(&self, call: At, target: Fun, parameter: usize) -> Option<At> {
        let unit = self.unit(call.module).filter(|unit| unit.ir.language == Language::Python)?;
        let ExprKind::Call(expr) = unit.ir.expr(call.expr) else { return None };
        let own = self.unit(target.module)?.ir.function(target.id)?.params.get(parameter)?;
        if !matches!(own.kind, ParameterKind::Normal | ParameterKind::KeywordOnly) || own.name.is_none() {
            return None;
        }
        let mut records = expr.args.iter().filter(|arg| matches!(arg.kind, ArgKind::KeywordSpread));
        records.next().map(|arg| call.to(arg.value))
    }

    /// Whether a part of a parameter is taken out of a record that callers pass on whole as it was sent, so that the part is read here
    /// first.
    pub(crate) fn takes_apart_sent(&self, fun: Fun, number: usize, path: &[Step]) -> bool {
        let Some(unit) = self.unit(fun.module) else { return false };
        let sent = |at: At| self.origins(at).has(Origins::INPUT | Origins::UNVERIFIED);
        self.callers(fun).iter().take(CALLERS).any(|call| match self.argument(*call, fun, number) {
            Some(given) => {
                let Some(Step::Key(key)) = path.first() else { return false };
                self.passes_on(given, unit.ir.text(*key)) && sent(given)
            }
            None => path.is_empty() && self.spread_argument(*call, fun, number).is_some_and(sent),
        })
    }

    /// Whether a record is passed on as it is, and its part of that name is not written out in it.
    fn passes_on(&self, record: At, name: &str) -> bool {
        let Some(unit) = self.unit(record.module) else { return false };
        match unit.ir.expr(record.expr) {
            ExprKind::Object(properties) => {
                let last = properties.iter().rev().find(|property| match property.key {
                    PropertyKey::Name(key) => unit.ir.text(key) == name,
                    PropertyKey::Spread => true,
                    PropertyKey::Computed(_) => false,
                });
                last.is_some_and(|property| matches!(property.key, PropertyKey::Spread))
            }
            // `const input = { ...args, tenantId }`
            ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
                [source]
                    if source.path.is_empty()
                        && matches!(unit.ir.expr(source.value), ExprKind::Object(_)) =>
                {
                    self.passes_on(record.to(source.value), name)
                }
                _ => true,
            },
            ExprKind::Member { .. } | ExprKind::Index { .. } | ExprKind::Logical { .. } => true,
            _ => false,
        }
    }
}
