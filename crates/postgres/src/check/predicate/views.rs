//! Whether a view's own text leaves the tenant's rows alone.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Asked, Known, Reading, Tests, conjuncts, folds,
    parse::Expr,
    select::{Branch, Select, read},
    tokens::tokens,
    uncast,
};

/// A table of tenants that a view may name, and how they are told apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filtered<'f> {
    /// Its name without a schema.
    pub(crate) table: &'f str,
    pub(crate) column: &'f str,
    /// The column's type in the catalogue, below domains.
    pub(crate) base: &'f str,
    /// Whether no two of its values differ in their case alone.
    pub(crate) one_case: bool,
}

/// The tables of tenants that a view may name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filter<'f> {
    pub(crate) tables: &'f [Filtered<'f>],
    pub(crate) setting: &'f str,
    pub(crate) known: &'f Known,
}

/// A tenant's column, with the name that stands before it.
type Column = (String, String);

impl<'f> Filter<'f> {
    /// Whether the text of a view that reads tables alone tests the tenant of each of these tables wherever it stands.
    pub(crate) fn holds(self, text: &str) -> bool {
        self.known.begin();
        let tokens = tokens(text.trim_end().trim_end_matches(';'));
        self.select(&read(&tokens, 0), &BTreeMap::new())
    }

    fn select(self, select: &Select<'_>, outer: &BTreeMap<Column, Filtered<'f>>) -> bool {
        select.understood().is_some_and(|branches| branches.iter().all(|branch| self.branch(branch, outer)))
    }

    /// `outer` are columns of tables around a subquery that are held already.
    fn branch(self, branch: &Branch<'_>, outer: &BTreeMap<Column, Filtered<'f>>) -> bool {
        let wanted: BTreeMap<Column, Filtered<'f>> = branch
            .from
            .iter()
            .flat_map(|relation| {
                let of_it = self.tables.iter().filter(|known| known.table == relation.table);
                of_it.map(|known| ((relation.alias.clone(), known.column.to_owned()), *known))
            })
            .collect();
        // A name in here is not the one outside.
        let hidden = |alias: &str| branch.from.iter().any(|relation| relation.alias == alias);
        let mut all: BTreeMap<Column, Filtered<'f>> = outer
            .iter()
            .filter(|((alias, _), _)| !hidden(alias))
            .map(|(column, known)| (column.clone(), *known))
            .collect();
        let mut held: BTreeSet<Column> = all.keys().cloned().collect();
        held.extend(
            wanted
                .iter()
                .filter(|((alias, _), known)| self.tested(branch, alias, **known))
                .map(|(column, _)| column.clone()),
        );
        all.extend(wanted.iter().map(|(column, known)| (column.clone(), *known)));
        spread(&equal(branch, &all), &mut held);
        if !branch.plain || !wanted.keys().all(|column| held.contains(column)) {
            return false;
        }
        all.retain(|column, _| held.contains(column));
        // Everything in a subquery is judged with it.
        let open = |part: &Expr<'_>| match part {
            Expr::Select(select) | Expr::Exists(select) => Some(!self.select(select, &all)),
            Expr::Opaque(tokens) => Some(tokens.iter().any(|token| token.is("select"))),
            _ => None,
        };
        !branch.parts().any(|part| part.any_until(&open))
    }

    /// Whether a condition that every row fulfils, or every one of a left join's right side, tests a relation's tenant.
    fn tested(self, branch: &Branch<'_>, alias: &str, of: Filtered<'_>) -> bool {
        let reading = Reading {
            table: alias,
            column: of.column,
            setting: self.setting,
            base: of.base,
            one_case: of.one_case,
            known: self.known,
            asked: Asked::default(),
        };
        // Without a table before it a name is the only relation's.
        let bare = |part: &Expr<'_>| matches!(part, Expr::Name(path) if path.len() == 1);
        let tests = |condition: &Expr<'_>| {
            (branch.from.len() == 1 || !condition.any(&bare)) && reading.of(condition) == Tests::Tenant
        };
        let of_side = |of: &[String]| of.iter().any(|known| known == alias);
        conjuncts(&branch.conditions).into_iter().any(tests)
            || branch
                .sided
                .iter()
                .filter(|sided| of_side(&sided.of))
                .any(|sided| conjuncts(std::slice::from_ref(&sided.condition)).into_iter().any(tests))
    }
}

/// Tenants' columns that are compared with one another: what holds the first holds the second.
fn equal(branch: &Branch<'_>, all: &BTreeMap<Column, Filtered<'_>>) -> Vec<(Column, Column)> {
    let column = |expr: &Expr<'_>| -> Option<Column> {
        let Expr::Name(path) = uncast(expr, "")? else { return None };
        let [.., table, name] = path.as_slice() else { return None };
        let column = (table.clone(), name.clone());
        let known = all.get(&column)?;
        uncast(expr, known.base).map(|_| column)
    };
    let pair = |condition: &Expr<'_>| match condition {
        Expr::Op(a, sign, b) if sign == "=" && !condition.any(&folds) => column(a).zip(column(b)),
        _ => None,
    };
    let mut found = Vec::new();
    for (a, b) in conjuncts(&branch.conditions).into_iter().filter_map(pair) {
        found.push((b.clone(), a.clone()));
        found.push((a, b));
    }
    // The rows of a left join's left side are all there, whatever ON says; those of its right side fulfil it.
    for sided in &branch.sided {
        let right = |column: &Column| sided.of.contains(&column.0);
        for (a, b) in conjuncts(std::slice::from_ref(&sided.condition)).into_iter().filter_map(pair) {
            if right(&a) {
                found.push((b.clone(), a.clone()));
            }
            if right(&b) {
                found.push((a, b));
            }
        }
    }
    found
}

/// Adds what is held because something else is.
fn spread(equal: &[(Column, Column)], held: &mut BTreeSet<Column>) {
    let mut next: BTreeMap<&Column, Vec<&Column>> = BTreeMap::new();
    for (one, other) in equal {
        next.entry(one).or_default().push(other);
    }
    let mut todo: Vec<Column> = held.iter().cloned().collect();
    while let Some(column) = todo.pop() {
        for other in next.get(&column).into_iter().flatten() {
            if held.insert((*other).clone()) {
                todo.push((*other).clone());
            }
        }
    }
}
