//! Calls of one kind, found by what they call: the question is put once to each callee, and not to each of its many calls.

use rustc_hash::FxHashMap;

use super::{At, Callee, Project, Word};
use crate::{ir::ExprKind, library::Role};

/// The last names with which calls are written, `find` of `this.db.notes.find(…)`, by numbers: a project has far fewer than calls.
#[derive(Debug, Default)]
pub(crate) struct CalledNames {
    all: Vec<Word>,
    /// By module and expression; 0 for what is no call or has no name, else one more than the number.
    of: Vec<Box<[u32]>>,
}

impl CalledNames {
    /// Those of all calls.
    pub(super) fn find(project: &Project) -> Self {
        let mut names = Self::default();
        let mut numbers: FxHashMap<&str, u32> = FxHashMap::default();
        for (module, unit) in project.units() {
            let mut of = vec![0; unit.ir.exprs.len()].into_boxed_slice();
            for expr in &unit.index.calls {
                let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
                let Some(name) = project.last_written(At { module, expr: call.callee }) else { continue };
                let number = *numbers.entry(name).or_insert_with(|| {
                    names.all.push(Word::new(name));
                    u32::try_from(names.all.len()).unwrap_or(0)
                });
                if let Some(slot) = of.get_mut(expr.index()) {
                    *slot = number;
                }
            }
            names.of.push(of);
        }
        names
    }
}

/// The calls that are written with some names.
#[derive(Debug)]
pub struct NameSet<'p> {
    names: &'p CalledNames,
    /// By the names' numbers; 0 stands for none.
    held: Box<[bool]>,
}

impl NameSet<'_> {
    /// Whether a call is one of these.
    #[must_use]
    #[inline]
    pub fn has(&self, call: At) -> bool {
        let number = self.names.of.get(call.module.index()).and_then(|module| module.get(call.expr.index()));
        number.is_some_and(|number| self.held.get(*number as usize) == Some(&true))
    }
}

/// The calls whose callee is of some kind.
#[derive(Debug)]
pub struct CallSet {
    /// By the callees' numbers; 0 stands for what is no call.
    held: Box<[bool]>,
}

impl Project {
    /// The calls whose last name, as it is written, is what `holds` asks for. It is asked once for each name.
    #[must_use]
    pub fn calls_named(&self, mut holds: impl FnMut(&str) -> bool) -> NameSet<'_> {
        let names = self.memory.called.get_or_init(|| CalledNames::find(self));
        let held = names.all.iter().map(|name| holds(name));
        NameSet { names, held: std::iter::once(false).chain(held).collect() }
    }

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
