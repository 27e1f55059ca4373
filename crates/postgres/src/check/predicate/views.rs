//! Whether a view's own text leaves the tenant's rows alone.

use std::collections::BTreeSet;

use super::{
    Bodies, Reading, Tests, conjuncts, folds, lossless,
    parse::Expr,
    select::{Branch, Select, read},
    tokens::tokens,
};

/// The tables of tenants that a view may name, and how they are told apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filter<'f> {
    /// Tables' names without schemas, and their tenants' columns.
    pub(crate) tables: &'f [(&'f str, &'f str)],
    pub(crate) setting: &'f str,
    pub(crate) bodies: &'f Bodies,
}

impl Filter<'_> {
    /// Whether the text of a view that reads tables alone tests the tenant of each of these tables wherever it stands.
    pub(crate) fn holds(self, text: &str) -> bool {
        let tokens = tokens(text.trim_end().trim_end_matches(';'));
        self.select(&read(&tokens, 0), &BTreeSet::new())
    }

    fn select(self, select: &Select<'_>, outer: &BTreeSet<(String, String)>) -> bool {
        select.understood().is_some_and(|branches| branches.iter().all(|branch| self.branch(branch, outer)))
    }

    /// `outer` are names of tables around a subquery that are held already, with their tenants' columns.
    fn branch(self, branch: &Branch<'_>, outer: &BTreeSet<(String, String)>) -> bool {
        let wanted: BTreeSet<(String, String)> = branch
            .from
            .iter()
            .flat_map(|relation| {
                let of_it = self.tables.iter().filter(|(table, _)| *table == relation.table);
                of_it.map(|(_, column)| (relation.alias.clone(), (*column).to_owned()))
            })
            .collect();
        let mut held = outer.clone();
        held.extend(wanted.iter().filter(|(alias, column)| self.tested(branch, alias, column)).cloned());
        let all: Vec<&(String, String)> = wanted.iter().chain(outer).collect();
        loop {
            let before = held.len();
            for one in &all {
                if all.iter().any(|other| held.contains(*other) && same(branch, one, other)) {
                    held.insert((*one).clone());
                }
            }
            if held.len() == before {
                break;
            }
        }
        let parts = || branch.targets.iter().chain(&branch.conditions).chain(&branch.rest);
        branch.plain
            && wanted.is_subset(&held)
            && !parts().any(|part| {
                part.any(&|part| match part {
                    Expr::Select(select) | Expr::Exists(select) => !self.select(select, &held),
                    Expr::Opaque(tokens) => tokens.iter().any(|token| token.is("select")),
                    _ => false,
                })
            })
    }

    /// Whether a condition that every row fulfils tests a relation's tenant.
    fn tested(self, branch: &Branch<'_>, alias: &str, column: &str) -> bool {
        let reading = Reading { table: alias, column, setting: self.setting, bodies: self.bodies };
        // Without a table before it a name is the only relation's.
        let bare = |part: &Expr<'_>| matches!(part, Expr::Name(path) if path.len() == 1);
        conjuncts(&branch.conditions).into_iter().any(|condition| {
            (branch.from.len() == 1 || !condition.any(&bare)) && reading.of(condition) == Tests::Tenant
        })
    }
}

/// Whether the tenants of two relations are compared.
fn same(branch: &Branch<'_>, one: &(String, String), other: &(String, String)) -> bool {
    let is = |expr: &Expr<'_>, of: &(String, String)| {
        matches!(lossless(expr), Some(Expr::Name(path))
            if matches!(path.as_slice(), [.., table, column] if *table == of.0 && *column == of.1))
    };
    let compared = |condition: &Expr<'_>| match condition {
        Expr::Op(a, sign, b) if sign == "=" => {
            !condition.any(&folds) && ((is(a, one) && is(b, other)) || (is(a, other) && is(b, one)))
        }
        _ => false,
    };
    // ON of outer joins too: the rows of a LEFT JOIN that have no partner have nothing of the other's.
    let in_conditions =
        conjuncts(&branch.conditions).into_iter().chain(conjuncts(&branch.rest)).any(compared);
    let by_name = |part: &Expr<'_>| matches!(part, Expr::Name(path) if matches!(path.as_slice(), [name] if *name == one.1));
    in_conditions || (branch.tied && one.1 == other.1 && branch.rest.iter().any(by_name))
}
