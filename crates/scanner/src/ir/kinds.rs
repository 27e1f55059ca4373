//! What expressions are, roughly: who looks for a few kinds of them does not read all others.

use std::ops::BitOr;

use super::{BinaryOp, ExprKind};

/// Some kinds of expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds(u8);

impl Kinds {
    /// Object literals and dicts.
    pub const OBJECT: Self = Self(1);
    /// One value or another: `&&`, `||`, `??`, `?:`.
    pub const CHOICE: Self = Self(1 << 1);
    /// `object[index]`.
    pub const INDEX: Self = Self(1 << 2);
    /// Calls, those of templates left out.
    pub const CALL: Self = Self(1 << 3);
    /// `object.property`.
    pub const MEMBER: Self = Self(1 << 4);
    /// Strings, templates, and what is joined with a `+`.
    pub const TEXT: Self = Self(1 << 5);
    /// Comparisons.
    pub const COMPARE: Self = Self(1 << 6);
    /// Comprehensions.
    pub const COMPREHENSION: Self = Self(1 << 7);

    /// What an expression is.
    pub(super) const fn of(kind: &ExprKind) -> Self {
        match kind {
            ExprKind::Object(_) => Self::OBJECT,
            ExprKind::Logical { .. } | ExprKind::Conditional { .. } => Self::CHOICE,
            ExprKind::Index { .. } => Self::INDEX,
            ExprKind::Call(_) => Self::CALL,
            ExprKind::Member { .. } => Self::MEMBER,
            ExprKind::String(_)
            | ExprKind::Template(_)
            | ExprKind::Tagged { .. }
            | ExprKind::Binary { op: BinaryOp::Add, .. } => Self::TEXT,
            ExprKind::Compare { .. } => Self::COMPARE,
            ExprKind::Comprehension(_) => Self::COMPREHENSION,
            _ => Self(0),
        }
    }

    /// Whether any of `other` is among these.
    #[inline]
    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::ExprId;

    #[test]
    fn what_is_found_by_its_kind_is_all_that_there_is_of_it() {
        let text = "const a = b ? { c: d[0] } : f(`x${y}`) || z.w === 'q' + r;";
        let module = crate::lang::lower("a.ts", text.into()).unwrap().module;
        let kinds = [
            Kinds::OBJECT,
            Kinds::CHOICE,
            Kinds::INDEX,
            Kinds::CALL,
            Kinds::MEMBER,
            Kinds::TEXT,
            Kinds::COMPARE,
        ];
        for kinds in kinds.into_iter().chain([Kinds::OBJECT | Kinds::CALL]) {
            let found: Vec<ExprId> = module.exprs_of(kinds).map(|(id, _)| id).collect();
            let all = module.exprs().filter(|(_, kind)| Kinds::of(kind).has(kinds));
            assert!(!found.is_empty() && found == all.map(|(id, _)| id).collect::<Vec<_>>(), "{kinds:?}");
        }
    }
}
