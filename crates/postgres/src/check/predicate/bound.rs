//! Of which relations of a subquery only rows of the session's are left.

use std::collections::BTreeSet;

use super::{
    conjuncts,
    known::Known,
    lossless,
    parse::Expr,
    select::{Branch, Relation},
    value::{self, Scope, Value},
};

/// A column, with the name that stands before it.
type Column<'b> = (&'b str, String);

/// What is the session's of a subquery's rows.
#[derive(Debug, Default)]
pub(super) struct Bound<'b> {
    /// Relations with a column that is compared with a value of the session, and what belongs to one of their rows.
    own: BTreeSet<&'b str>,
    /// Relations with the one row that a row of the session's refers to.
    referred: BTreeSet<&'b str>,
    /// Columns that have a value of one of those.
    columns: BTreeSet<Column<'b>>,
    /// Lists that have a value of the session among others.
    lists: BTreeSet<Column<'b>>,
    /// Columns that whoever asks fills in as it likes, where that does not count.
    free: BTreeSet<Column<'b>>,
}

impl Bound<'_> {
    /// Whether a column's values are the session's.
    pub(super) fn has(&self, branch: &Branch<'_>, path: &[String]) -> bool {
        let (Some(alias), Some(name)) = (branch.alias(path), path.last()) else { return false };
        self.holds(alias, name)
    }

    fn holds(&self, alias: &str, name: &str) -> bool {
        let one_of = |columns: &BTreeSet<Column<'_>>| {
            columns.iter().any(|(relation, column)| *relation == alias && column == name)
        };
        one_of(&self.columns) || (self.relation(alias) && !one_of(&self.lists) && !one_of(&self.free))
    }

    /// Whether a column is the whole key of rows that are the session's own, or a tenant's.
    pub(super) fn is_key(&self, known: &Known, branch: &Branch<'_>, path: &[String]) -> bool {
        let (Some(alias), Some(name)) = (branch.alias(path), path.last()) else { return false };
        let relation = branch.from.iter().find(|relation| relation.alias == alias);
        let Some(keys) = relation.and_then(|relation| known.keys.get(&relation.table)) else { return false };
        let whole = self.own.contains(alias) || (self.referred.contains(alias) && keys.tenant.is_some());
        whole && keys.unique.contains(&BTreeSet::from([name.clone()]))
    }

    fn relation(&self, alias: &str) -> bool {
        self.own.contains(alias) || self.referred.contains(alias)
    }
}

impl Branch<'_> {
    /// The relation that a column is of.
    pub(super) fn alias(&self, path: &[String]) -> Option<&str> {
        let known = |name: &str| self.from.iter().find(|relation| relation.alias == name);
        let relation = match (path, self.from.as_slice()) {
            ([_], [only]) => only,
            ([.., table, _], _) => known(table)?,
            _ => return None,
        };
        (!relation.opaque).then_some(relation.alias.as_str())
    }
}

/// What a value of the session leads to. A value is carried on to another relation over a key alone: two rows that have the
/// same country are not one's.
pub(super) fn bound<'b>(known: &Known, branch: &'b Branch<'_>, scope: &Scope<'_>) -> Bound<'b> {
    let mut found = Bound::default();
    let mut ties = Ties::default();
    if scope.asked.strictly {
        found.free = free(known, branch);
    }
    let column = |expr: &Expr<'_>| -> Option<Column<'b>> {
        match lossless(expr)? {
            Expr::Name(path) => Some((branch.alias(path)?, path.last()?.clone())),
            _ => None,
        }
    };
    for condition in conjuncts(&branch.conditions) {
        let (a, b, listed) = match condition {
            Expr::Op(a, sign, b) if sign == "=" => (a, b, false),
            Expr::Any(a, sign, b) if sign == "=" => (a, b, true),
            _ => continue,
        };
        let (one, other) = match (column(a), column(b)) {
            // What is in a list has a value of the list, and the list has others too.
            (Some(one), Some(other)) if listed => {
                ties.elements.push((other, one));
                continue;
            }
            (Some(one), Some(other)) => {
                ties.equal.push((other.clone(), one.clone()));
                ties.equal.push((one, other));
                continue;
            }
            (Some(one), None) => (one, b),
            (None, Some(one)) => (one, a),
            (None, None) => continue,
        };
        let is_list = listed && std::ptr::eq(other, a);
        let (value, key) = value::keyed(known, other, scope, listed && !is_list);
        let key = key && value == Value::Rows;
        let of_session = matches!(value, Value::Session | Value::Folded);
        if of_session || key {
            found.own.insert(one.0);
        }
        if is_list {
            found.lists.insert(one);
        } else if of_session || value == Value::Rows {
            found.columns.insert(one);
        }
    }
    spread(known, branch, &ties, &mut found);
    found
}

/// Columns with the same value, both ways, and lists with what is in them.
#[derive(Debug, Default)]
struct Ties<'b> {
    equal: Vec<(Column<'b>, Column<'b>)>,
    elements: Vec<(Column<'b>, Column<'b>)>,
}

/// Columns of the relations that whoever asks may have filled in.
fn free<'b>(known: &Known, branch: &'b Branch<'_>) -> BTreeSet<Column<'b>> {
    let of = |relation: &'b Relation| {
        let columns = known.free.get(&relation.table);
        columns.into_iter().flatten().map(|column| (relation.alias.as_str(), column.clone()))
    };
    branch.from.iter().flat_map(of).collect()
}

/// Carries the session's rows on over keys, until there is nothing more.
fn spread<'b>(known: &Known, branch: &'b Branch<'_>, ties: &Ties<'b>, found: &mut Bound<'b>) {
    loop {
        let before = (found.own.len() + found.referred.len(), found.columns.len());
        for (one, other) in ties.equal.iter().chain(&ties.elements) {
            if found.holds(one.0, &one.1) {
                found.columns.insert(other.clone());
            }
        }
        for relation in branch.from.iter().filter(|relation| !relation.opaque) {
            let alias = relation.alias.as_str();
            if !found.relation(alias) {
                match carried(known, branch, &ties.equal, found, relation) {
                    Some(true) => found.own.insert(alias),
                    Some(false) => found.referred.insert(alias),
                    None => continue,
                };
            }
        }
        if before == (found.own.len() + found.referred.len(), found.columns.len()) {
            return;
        }
    }
}

/// Whether a relation's rows are the session's own, or those that they refer to; nothing where it is neither.
fn carried(
    known: &Known,
    branch: &Branch<'_>,
    equal: &[(Column<'_>, Column<'_>)],
    found: &Bound<'_>,
    relation: &Relation,
) -> Option<bool> {
    let keys = known.keys.get(&relation.table);
    let has = |column: &String| {
        found.columns.iter().any(|(alias, name)| *alias == relation.alias && name == column)
    };
    // Rows of the session's tenant.
    if keys.and_then(|keys| keys.tenant.as_ref()).is_some_and(has) {
        return Some(true);
    }
    // What belongs to a row of the session's: it has that row's key. The row has to be the session's own, or a tenant's: what
    // refers to the same country or plan is everybody's.
    let belongs = branch.from.iter().any(|other| {
        let of_other = known.keys.get(&other.table);
        let whole = found.own.contains(other.alias.as_str())
            || (found.referred.contains(other.alias.as_str())
                && of_other.is_some_and(|k| k.tenant.is_some()));
        let given = |column: &String| {
            let tied = |((a, name), (b, _)): &(Column<'_>, Column<'_>)| {
                *a == other.alias && name == column && *b == relation.alias
            };
            equal.iter().any(tied)
        };
        whole && of_other.is_some_and(|keys| keys.unique.iter().any(|key| key.iter().all(given)))
    });
    if belongs {
        return Some(true);
    }
    keys.is_some_and(|keys| keys.unique.iter().any(|key| key.iter().all(has))).then_some(false)
}
