//! Calls of one kind, found by what they call: the question is put once to each callee, and not to each of its many calls.

use rustc_hash::FxHashMap;

use super::{At, Callee, ModuleId, Project, Word, compact::Few};
use crate::{
    ir::{ExprId, ExprKind},
    library::Role,
};

/// The last names with which calls are written, `find` of `this.db.notes.find(…)`, by numbers: a project has far fewer than calls.
#[derive(Debug, Default)]
pub(crate) struct CalledNames {
    all: Vec<Word>,
    /// By module and expression; one more than the number, and nothing for what is no call or has no name.
    of: Vec<Few>,
    calls: Calls,
}

impl CalledNames {
    /// Those of all calls.
    pub(super) fn find(project: &Project) -> Self {
        let mut names = Self::default();
        let mut numbers: FxHashMap<&str, u32> = FxHashMap::default();
        let mut calls = Vec::new();
        for (module, unit) in project.units() {
            let mut of = Vec::new();
            for (place, expr) in (0..).zip(&unit.index.calls) {
                let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
                let Some(name) = project.last_written(At { module, expr: call.callee }) else { continue };
                let number = *numbers.entry(name).or_insert_with(|| {
                    names.all.push(Word::new(name));
                    u32::try_from(names.all.len()).unwrap_or(0)
                });
                calls.push((number, Placed { module, place, expr: *expr }));
                of.push((expr.0, number));
            }
            names.of.push(Few::of(unit.ir.exprs.len(), of));
        }
        names.calls = Calls::of(names.all.len(), &calls);
        names
    }
}

/// A call, and its place among those of its module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    module: ModuleId,
    place: u32,
    expr: ExprId,
}

impl Default for Placed {
    fn default() -> Self {
        Self { module: ModuleId(0), place: 0, expr: ExprId::MISSING }
    }
}

/// Calls by a number, those of each one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Where those of each number begin, and where the last ones end.
    starts: Box<[u32]>,
    all: Box<[Placed]>,
}

impl Calls {
    /// Those of numbers from 1 to `count`; what has another one is left out.
    fn of(count: usize, calls: &[(u32, Placed)]) -> Self {
        let mut starts = vec![0; count + 1].into_boxed_slice();
        for (number, _) in calls {
            if let Some(some) = starts.get_mut(*number as usize) {
                *some += 1;
            }
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        // Those of one number stay in the order of the modules.
        let mut free = starts.clone();
        let mut all = vec![Placed::default(); calls.len()].into_boxed_slice();
        for (number, call) in calls {
            let free = number.checked_sub(1).and_then(|before| free.get_mut(before as usize));
            if let Some(free) = free
                && let Some(place) = all.get_mut(*free as usize)
            {
                *place = *call;
                *free += 1;
            }
        }
        Self { starts, all }
    }

    /// Those whose numbers are held, in the order of the modules and as they stand in each.
    fn held(&self, held: &[bool]) -> Box<[Placed]> {
        let ranges = self.starts.windows(2).zip(held.iter().skip(1)).filter(|(_, held)| **held);
        let mut lists = 0;
        let mut found = Vec::new();
        for (bounds, _) in ranges {
            let [start, end] = bounds else { continue };
            lists += 1;
            found.extend_from_slice(self.all.get(*start as usize..*end as usize).unwrap_or_default());
        }
        if lists > 1 {
            found.sort_unstable();
        }
        found.into()
    }
}

/// Those of a module among calls that are in the order of modules.
fn among(calls: &[Placed], module: ModuleId) -> impl DoubleEndedIterator<Item = &ExprId> {
    let start = calls.partition_point(|call| call.module < module);
    let rest = calls.get(start..).unwrap_or_default();
    let end = rest.partition_point(|call| call.module == module);
    rest.get(..end).unwrap_or_default().iter().map(|call| &call.expr)
}

/// The calls that are written with some names.
#[derive(Debug)]
pub struct NameSet<'p> {
    names: &'p CalledNames,
    /// By the names' numbers; 0 stands for none.
    held: Box<[bool]>,
    calls: Box<[Placed]>,
}

impl NameSet<'_> {
    /// Whether a call is one of these.
    #[must_use]
    #[inline]
    pub fn has(&self, call: At) -> bool {
        let number = self.names.of.get(call.module.index()).and_then(|module| module.get(call.expr.index()));
        number.is_some_and(|number| self.held.get(number as usize) == Some(&true))
    }

    /// Those of a module, in the order of its index.
    pub fn among(&self, module: ModuleId) -> impl DoubleEndedIterator<Item = &ExprId> {
        among(&self.calls, module)
    }
}

/// The calls whose callee is of some kind.
#[derive(Debug)]
pub struct CallSet {
    /// By the callees' numbers; 0 stands for what is no call.
    held: Box<[bool]>,
    calls: Box<[Placed]>,
}

impl CallSet {
    /// Those of a module, in the order of its index.
    pub fn among(&self, module: ModuleId) -> impl DoubleEndedIterator<Item = &ExprId> {
        among(&self.calls, module)
    }
}

impl Project {
    /// The calls whose last name, as it is written, is what `holds` asks for. It is asked once for each name.
    #[must_use]
    pub fn calls_named(&self, mut holds: impl FnMut(&str) -> bool) -> NameSet<'_> {
        let names = self.memory.called.get_or_init(|| CalledNames::find(self));
        let held = names.all.iter().map(|name| holds(name));
        let held: Box<[bool]> = std::iter::once(false).chain(held).collect();
        NameSet { names, calls: names.calls.held(&held), held }
    }

    /// The calls whose callee is what `holds` asks for.
    #[must_use]
    pub fn calls_of(&self, holds: impl FnMut(&Callee) -> bool) -> CallSet {
        let all = self.memory.called_callees.get_or_init(|| self.calls_by_callee());
        let held: Box<[bool]> = std::iter::once(false).chain(self.callees.iter().map(holds)).collect();
        CallSet { calls: all.held(&held), held }
    }

    /// All calls, decorators without brackets left out, by the numbers of their callees.
    fn calls_by_callee(&self) -> Calls {
        let mut calls = Vec::new();
        for (module, unit) in self.units() {
            let Some(numbers) = self.callee_of.get(module.index()) else { continue };
            for (place, expr) in (0..).zip(&unit.index.calls) {
                let number = numbers.get(expr.index()).unwrap_or(0);
                if number > 0 {
                    calls.push((number, Placed { module, place, expr: *expr }));
                }
            }
        }
        Calls::of(self.callees.len(), &calls)
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
        number.is_some_and(|number| calls.held.get(number as usize) == Some(&true))
    }
}
