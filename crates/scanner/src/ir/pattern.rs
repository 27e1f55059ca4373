//! What can be assigned to.

use super::{BindingId, ExprId, List, PropertyKey};

/// The target of an assignment, a parameter, a loop variable.
#[derive(Debug)]
pub enum Pattern {
    /// A name of this module.
    Binding(BindingId),
    /// A member, an index, or a name that this module does not bind.
    Place(ExprId),
    /// `{ a, b: c, ...rest }`.
    Object {
        /// The properties that are taken out.
        properties: List<PatternProperty>,
        /// What takes the others.
        rest: Option<Box<Pattern>>,
    },
    /// `[a, , b, ...rest]`, and Python's tuples and starred names.
    Array {
        /// The items; a hole is nothing.
        items: List<Option<Pattern>>,
        /// What takes the others; in Python it may stand in the middle.
        rest: Option<Box<Pattern>>,
    },
    /// A pattern with a value for when there is none.
    Default {
        /// The pattern.
        pattern: Box<Pattern>,
        /// The value.
        value: ExprId,
    },
}

/// A property that an object pattern takes out.
#[derive(Debug)]
pub struct PatternProperty {
    /// Which.
    pub key: PropertyKey,
    /// Where it goes.
    pub pattern: Pattern,
}

impl Pattern {
    /// The binding, when the pattern is one name, with or without a default.
    #[must_use]
    pub fn as_binding(&self) -> Option<BindingId> {
        match self {
            Self::Binding(id) => Some(*id),
            Self::Default { pattern, .. } => pattern.as_binding(),
            _ => None,
        }
    }

    /// Calls `visit` for every binding in the pattern.
    pub fn for_each_binding(&self, visit: &mut impl FnMut(BindingId)) {
        match self {
            Self::Binding(id) => visit(*id),
            Self::Place(_) => {}
            Self::Object { properties, rest } => {
                properties.iter().for_each(|property| property.pattern.for_each_binding(visit));
                rest.iter().for_each(|rest| rest.for_each_binding(visit));
            }
            Self::Array { items, rest } => {
                items.iter().flatten().for_each(|item| item.for_each_binding(visit));
                rest.iter().for_each(|rest| rest.for_each_binding(visit));
            }
            Self::Default { pattern, .. } => pattern.for_each_binding(visit),
        }
    }
}
