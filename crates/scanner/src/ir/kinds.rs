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
    #[cfg(test)]
    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Kinds {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// How many kinds there are.
const KINDS: usize = 8;

/// What the expressions of a module are: a row of bits for each kind, cut into pieces that stand together.
#[derive(Debug, Default)]
pub(super) struct Rows(Box<[[u64; KINDS]]>);

impl Rows {
    /// Those of expressions.
    pub(super) fn of<'e>(kinds: impl ExactSizeIterator<Item = &'e ExprKind>) -> Self {
        let mut rows = vec![[0; KINDS]; kinds.len().div_ceil(64)].into_boxed_slice();
        for (number, kind) in kinds.enumerate() {
            let row = Kinds::of(kind).0.trailing_zeros() as usize;
            if let Some(bits) = rows.get_mut(number / 64).and_then(|piece| piece.get_mut(row)) {
                *bits |= 1 << (number % 64);
            }
        }
        Self(rows)
    }

    /// The numbers of the expressions that are of some kinds, in order.
    pub(super) fn numbers(&self, kinds: Kinds) -> impl Iterator<Item = u32> {
        let pieces = (0_u32..).zip(&self.0).map(move |(piece, rows)| {
            let wanted = rows.iter().zip(0..).filter(|(_, row)| (kinds.0 >> row) & 1 == 1);
            (piece * 64, wanted.fold(0, |bits, (own, _)| bits | own))
        });
        pieces.flat_map(|(first, bits)| Ones(bits).map(move |bit| first + bit))
    }
}

/// The places of the bits that are set.
struct Ones(u64);

impl Iterator for Ones {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        (self.0 != 0).then(|| {
            let place = self.0.trailing_zeros();
            self.0 &= self.0 - 1;
            place
        })
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
