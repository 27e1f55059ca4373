//! The expressions of functions in the order of a walk: rules walk through all functions again and again, and read a list instead.

use super::{ExprId, FunctionId, Module, Numbers, walk};

/// Expressions by their functions, those of each one behind the other.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Where those of each function begin, and where the last ones end.
    starts: Numbers,
    exprs: Numbers,
}

impl Walked {
    /// Those of a module that is complete.
    pub(super) fn of(module: &Module) -> Self {
        let count = |exprs: &Vec<u32>| u32::try_from(exprs.len()).unwrap_or(u32::MAX);
        let mut starts = Vec::with_capacity(module.functions.len() + 1);
        let mut exprs = Vec::with_capacity(module.exprs.len());
        for (id, _) in module.functions() {
            starts.push(count(&exprs));
            walk::walk_function(module, id, &mut |expr| exprs.push(expr.0));
        }
        starts.push(count(&exprs));
        Self { starts: Numbers::of(&starts), exprs: Numbers::of(&exprs) }
    }

    /// Those of a function; nothing when they were not gathered.
    pub(super) fn of_function(&self, id: FunctionId) -> Option<impl Iterator<Item = ExprId>> {
        let (start, end) = (self.starts.get(id.index())?, self.starts.get(id.index() + 1)?);
        Some((start as usize..end as usize).filter_map(|place| self.exprs.get(place)).map(ExprId))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_what_a_walk_meets() {
        let text = "const a = (b, { c = f(1) }) => { if (b) return [c, () => d(c)]; }; class E { x = a(2); y() { return this.x; } }";
        let module = crate::lang::lower("a.ts", text.into()).unwrap().module;
        for (id, _) in module.functions() {
            let mut met = Vec::new();
            walk::walk_function(&module, id, &mut |expr| met.push(expr));
            assert!(module.walked.of_function(id).unwrap().eq(met));
        }
    }
}
