//! Calls of one kind, found by what they call: the question is put once to each callee, and not to each of its many calls.

use super::{At, Callee, Project};
use crate::library::Role;

/// The calls whose callee is of some kind.
#[derive(Debug)]
pub struct CallSet {
    /// By the callees' numbers; 0 stands for what is no call.
    held: Box<[bool]>,
}

impl Project {
    /// The calls whose callee is what `holds` asks for.
    #[must_use]
    pub fn calls_of(&self, holds: impl FnMut(&Callee) -> bool) -> CallSet {
        CallSet { held: std::iter::once(false).chain(self.callees.iter().map(holds)).collect() }
    }

    /// The calls of what has a role.
    #[must_use]
    pub fn calls_with(&self, role: Role) -> CallSet {
        self.calls_of(|callee| callee.defs.iter().any(|def| def.role == role))
    }

    /// Whether an expression is one of these calls.
    #[must_use]
    #[inline]
    pub fn is_one_of(&self, calls: &CallSet, at: At) -> bool {
        let number = self.callee_of.get(at.module.index()).and_then(|module| module.get(at.expr.index()));
        number.is_some_and(|number| calls.held.get(*number as usize) == Some(&true))
    }
}
