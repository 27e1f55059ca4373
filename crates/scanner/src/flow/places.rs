//! Where library data says that something is in a call.

use crate::{
    ir::{Arg, ArgKind, ExprKind, NameRef, PropertyKey},
    library::PlaceArg,
    project::{At, Project, Symbol},
};

impl Project {
    /// The values at a place of a call: the first alternative that is there.
    #[must_use]
    pub fn at_place(&self, call: At, place: &crate::library::Place) -> Vec<At> {
        let Some(unit) = self.unit(call.module) else { return Vec::new() };
        let ExprKind::Call(expr) = unit.ir.expr(call.expr) else { return Vec::new() };
        for path in &place.0 {
            let args: Vec<At> = match &path.arg {
                PlaceArg::Number(number) => {
                    expr.positional(*number).into_iter().map(|expr| call.to(expr)).collect()
                }
                PlaceArg::Last => {
                    let plain = expr.args.iter().rev().find(|arg| matches!(arg.kind, ArgKind::Positional));
                    plain.into_iter().map(|arg| call.to(arg.value)).collect()
                }
                PlaceArg::Keyword(name) => {
                    let named = expr
                        .args
                        .iter()
                        .find(|arg| matches!(arg.kind, ArgKind::Keyword(own) if unit.ir.text(own) == name));
                    let spread = || {
                        let records =
                            expr.args.iter().filter(|arg| matches!(arg.kind, ArgKind::KeywordSpread));
                        records.filter_map(|arg| self.property_value(call.to(arg.value), name)).collect()
                    };
                    named.map_or_else(spread, |arg| vec![call.to(arg.value)])
                }
                PlaceArg::All => expr.args.iter().map(|arg| call.to(arg.value)).collect(),
                PlaceArg::Receiver => match unit.ir.expr(expr.callee) {
                    ExprKind::Member { object, .. } => vec![call.to(*object)],
                    _ => Vec::new(),
                },
                PlaceArg::Decorated => Vec::new(),
            };
            let mut found = args;
            for name in &path.properties {
                found = found.into_iter().filter_map(|at| self.property_value(at, name)).collect();
            }
            if !found.is_empty() {
                return found;
            }
        }
        Vec::new()
    }

    /// The value of a property of an object literal, or of what is written `dict(name=value)`.
    #[must_use]
    pub fn literal_property(&self, at: At, name: &str) -> Option<At> {
        let unit = self.unit(at.module)?;
        let value = match unit.ir.expr(at.expr) {
            ExprKind::Object(properties) => {
                properties.iter().rev().find_map(|property| match property.key {
                    PropertyKey::Name(key) if unit.ir.text(key) == name => Some(property.value),
                    _ => None,
                })?
            }
            ExprKind::Call(call) => {
                let dict = matches!(unit.ir.expr(call.callee), ExprKind::Name(NameRef::Global(name)) if unit.ir.text(*name) == "dict");
                let named =
                    |arg: &&Arg| matches!(arg.kind, ArgKind::Keyword(own) if unit.ir.text(own) == name);
                call.args.iter().find(named).filter(|_| dict)?.value
            }
            _ => return None,
        };
        Some(at.to(value))
    }

    /// The value of a property of what an expression stands for, when it is an object literal.
    #[must_use]
    pub fn property_value(&self, at: At, name: &str) -> Option<At> {
        if let Some(found) = self.literal_property(at, name) {
            return Some(found);
        }
        if let Symbol::Value(value) = self.symbol(at)
            && let Some(found) = self.literal_property(value, name)
        {
            return Some(found);
        }
        // `KEPT = dict(ttl=60)` makes an object of a library, which is no value.
        let unit = self.unit(at.module)?;
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return None };
        match unit.index.sources(*id) {
            [source] if source.path.is_empty() => self.literal_property(at.to(source.value), name),
            _ => None,
        }
    }
}
