//! What a policy's expression tests, from its text as the server writes it (`pg_get_expr`).
//!
//! The catalogue knows which columns a policy depends on, but not in which of its two expressions and how; so the text is
//! read. An expression tests the tenant when it compares the bare column with a value of the session, or leads to it through
//! a subquery that is tied to both. What is not understood is [`Tests::Unknown`], and never a test.

mod bound;
mod calls;
mod from;
mod known;
mod parse;
mod select;
mod texts;
mod tokens;
mod value;
mod views;

#[cfg(test)]
mod tests;

use self::{
    bound::{Bound, bound},
    parse::{Expr, expression},
    select::Select,
    tokens::tokens,
    value::{Scope, Value},
};
pub(crate) use self::{
    calls::{
        asks_strictly, casts_the_empty_text, lets_the_empty_text_through, reads_a_setting,
        takes_null_for_a_tenant,
    },
    known::{Asked, Body, Keys, Known},
    texts::{
        asks_for_the_user, compares_folded, compares_with_itself, leaves_one_case, names, only_compares,
        settings_read,
    },
    views::{Filter, Filtered},
};

/// What an expression does with the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tests {
    /// No row passes that is not the tenant's.
    Tenant,
    /// No row passes: `false`.
    Never,
    /// Rows pass without a test of the tenant.
    Nothing,
    /// A branch (OR, COALESCE, IS NULL) lets rows pass without a test of the tenant.
    FailsOpen,
    /// It may or may not: a function decides, or something else that a text does not tell.
    Unknown,
}

impl Tests {
    /// Whether no row of another tenant passes.
    pub(crate) const fn holds(self) -> bool {
        matches!(self, Self::Tenant | Self::Never)
    }
}

/// An expression, and what it is read with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading<'r> {
    /// The table whose rows are tested, without its schema; what its columns have before them in subqueries.
    pub(crate) table: &'r str,
    /// The tenant's column.
    pub(crate) column: &'r str,
    /// The setting that names the tenant.
    pub(crate) setting: &'r str,
    /// The column's type in the catalogue, below domains; nothing if it is not known.
    pub(crate) base: &'r str,
    /// Whether no two of its values differ in their case alone.
    pub(crate) one_case: bool,
    pub(crate) known: &'r Known,
    pub(crate) asked: Asked,
}

impl Reading<'_> {
    /// What `text` tests.
    pub(crate) fn tests(self, text: &str) -> Tests {
        self.known.begin();
        self.of(&expression(&tokens(text)))
    }

    /// Whether it, or a part of it, compares the column with the setting itself: then the column says whose a row is,
    /// whatever it is called.
    pub(crate) fn compares_with_the_setting(self, text: &str) -> bool {
        self.known.begin();
        self.names(&expression(&tokens(text)))
    }

    /// Whether a row passes whatever stands in the column.
    pub(crate) fn leaves_free(self, text: &str) -> bool {
        self.known.begin();
        self.leaves(&expression(&tokens(text)))
    }

    fn leaves(self, expr: &Expr<'_>) -> bool {
        match expr {
            Expr::And(all) => all.iter().all(|part| self.leaves(part)),
            Expr::Or(all) => all.iter().any(|part| self.leaves(part)),
            // A call may look at all of the row.
            _ => !self.mentions(expr) || matches!(self.of(expr), Tests::Nothing | Tests::FailsOpen),
        }
    }

    fn names(self, expr: &Expr<'_>) -> bool {
        match expr {
            Expr::And(all) | Expr::Or(all) => all.iter().any(|part| self.names(part)),
            // With rows of another table in between it is one of their columns that the setting is compared with.
            _ => {
                expr.any(&|part| matches!(part, Expr::Text(text) if text == self.setting))
                    && !expr.any(&reads_rows)
                    && self.of(expr) == Tests::Tenant
            }
        }
    }

    fn of(self, expr: &Expr<'_>) -> Tests {
        match expr {
            Expr::True => Tests::Nothing,
            Expr::False | Expr::Null => Tests::Never,
            Expr::Cast(of, kind) if kind.name == "boolean" || kind.name == "bool" => self.of(of),
            Expr::Or(all) => self.either(all),
            Expr::And(all) => self.both(all),
            Expr::Case(conditions, results) => self.case(conditions, results),
            Expr::Call(name, all) if matches!(name.as_slice(), [name] if name == "coalesce") => {
                self.either(all)
            }
            Expr::Not(of) => match &**of {
                Expr::Distinct(a, b) => self.compared(expr, a, b),
                Expr::Op(a, sign, b) if sign == "<>" || sign == "!=" => self.compared(expr, a, b),
                of => self.inverted(of),
            },
            Expr::Is(of, what) => self.is(expr, of, what),
            Expr::Op(a, sign, b) => match (sign.as_str(), a.bare(), b.bare()) {
                ("=", other, Expr::True) | ("=", Expr::True, other) => self.of(other),
                ("=", other, Expr::False) | ("=", Expr::False, other) => self.inverted(other),
                ("=", ..) => self.compared(expr, a, b),
                ("<>" | "!=", ..) if self.asks_for_presence(a, b) || self.asks_for_presence(b, a) => {
                    Tests::Nothing
                }
                _ => self.other(expr),
            },
            Expr::Any(a, sign, list) if sign == "=" => self.listed(expr, a, list),
            Expr::Exists(select) => self.exists(expr, select),
            _ => self.other(expr),
        }
    }

    /// Every branch of an OR lets rows pass.
    fn either(self, parts: &[Expr<'_>]) -> Tests {
        any_of(&parts.iter().map(|part| self.of(part)).collect::<Vec<_>>())
    }

    /// One part of an AND is enough.
    fn both(self, parts: &[Expr<'_>]) -> Tests {
        all_of(&parts.iter().map(|part| self.of(part)).collect::<Vec<_>>())
    }

    /// A row passes by a branch if its condition and what comes of it let it, and those before did not.
    fn case(self, conditions: &[Expr<'_>], results: &[Expr<'_>]) -> Tests {
        // With a value after CASE each condition is one to compare it with.
        let (of, conditions) = match conditions.split_first() {
            Some((of, rest)) if conditions.len() == results.len() => (Some(of), rest),
            _ => (None, conditions),
        };
        let mut asked = false;
        let mut all = Vec::new();
        for (at, result) in results.iter().enumerate() {
            let result = match self.of(result) {
                // Whose rows are left when a condition before has asked for the tenant is not known.
                Tests::Nothing if asked => Tests::Unknown,
                other => other,
            };
            let Some(condition) = conditions.get(at) else {
                all.push(result);
                break;
            };
            let condition = match of {
                None => condition.clone(),
                Some(of) => Expr::Op(Box::new(of.clone()), "=".to_owned(), Box::new(condition.clone())),
            };
            let tested = self.of(&condition);
            all.push(all_of(&[tested, result]));
            asked |= tested != Tests::Tenant && self.mentions(&condition);
        }
        any_of(&all)
    }

    /// NOT, and what comes to the same.
    fn inverted(self, of: &Expr<'_>) -> Tests {
        match self.of(of) {
            // Every row but the tenant's, or a test of something else.
            Tests::Tenant | Tests::Nothing | Tests::Never => Tests::Nothing,
            Tests::FailsOpen | Tests::Unknown => Tests::Unknown,
        }
    }

    fn is(self, expr: &Expr<'_>, of: &Expr<'_>, what: &str) -> Tests {
        match what {
            "true" => self.of(of),
            "false" | "not true" => self.inverted(of),
            // Without a tenant the test is neither true nor false.
            "not false" => match self.of(of) {
                Tests::Tenant => Tests::FailsOpen,
                // So is a comparison with nothing.
                Tests::Never => Tests::Nothing,
                other => other,
            },
            // `auth.uid() IS NOT NULL`: whoever asks.
            "null" | "not null" if !self.mentions(of) && self.present(of) => Tests::Nothing,
            _ => self.other(expr),
        }
    }

    /// Whether something is a value of the session that everybody has who has a tenant: the setting, or what a function
    /// makes of one.
    fn present(self, of: &Expr<'_>) -> bool {
        let own = |part: &Expr<'_>| match part {
            Expr::Text(text) => text == self.setting,
            Expr::Call(name, _) => name.len() > 1,
            _ => false,
        };
        matches!(self.value(of), Value::Session | Value::Folded | Value::Shared) && of.any(&own)
    }

    /// `setting <> ''`, `auth.role() = 'authenticated'`: passes for everybody, or for everybody without a tenant.
    fn asks_for_presence(self, a: &Expr<'_>, b: &Expr<'_>) -> bool {
        let all = |text: &str| matches!(text, "" | "authenticated" | "anon");
        self.present(a) && matches!(b.bare(), Expr::Text(text) if all(text))
    }

    /// `a = b`, or what comes to the same.
    fn compared(self, whole: &Expr<'_>, a: &Expr<'_>, b: &Expr<'_>) -> Tests {
        if whole.any(&folds) {
            return if self.mentions(whole) { Tests::Unknown } else { self.other(whole) };
        }
        // A digest of both is as good as both.
        if let (Expr::Call(one, a), Expr::Call(other, b)) = (a.bare(), b.bare())
            && let ([a], [b]) = (a.as_slice(), b.as_slice())
            && one == other
            && matches!(one.as_slice(), [name] if name == "md5")
        {
            return self.compared(whole, a, b);
        }
        let other = if self.is_column(a) {
            b
        } else if self.is_column(b) {
            a
        } else if self.asks_for_presence(a, b) || self.asks_for_presence(b, a) {
            return Tests::Nothing;
        } else {
            return self.other(whole);
        };
        self.of_value(self.compared_value(other))
    }

    /// `column = ANY (…)` and `column IN (…)`.
    fn listed<'t>(self, whole: &Expr<'t>, a: &Expr<'t>, list: &Expr<'t>) -> Tests {
        if whole.any(&folds) {
            return Tests::Unknown;
        }
        // The row's list of tenants.
        if self.is_column(list) && matches!(self.value(a), Value::Session | Value::Rows) {
            return Tests::Tenant;
        }
        if !self.is_column(a) {
            return if self.among(a, list) { Tests::Tenant } else { self.other(whole) };
        }
        match list.bare() {
            Expr::Array(all) => {
                let all: Vec<Tests> =
                    all.iter().map(|part| self.of_value(self.compared_value(part))).collect();
                let some = |wanted: Tests| all.contains(&wanted);
                if some(Tests::FailsOpen)
                    || (some(Tests::Nothing) && (some(Tests::Tenant) || some(Tests::Unknown)))
                {
                    Tests::FailsOpen
                } else {
                    [Tests::Nothing, Tests::Unknown, Tests::Tenant]
                        .into_iter()
                        .find(|t| some(*t))
                        .unwrap_or(Tests::Never)
                }
            }
            _ => self.of_value(self.listed_value(list)),
        }
    }

    /// `session IN (SELECT …)`: the same as EXISTS with one condition more.
    fn among<'t>(self, a: &Expr<'t>, list: &Expr<'t>) -> bool {
        let select = match list {
            Expr::Select(select) => select,
            Expr::Array(all) if let [Expr::Select(select)] = all.as_slice() => select,
            _ => return false,
        };
        let of_session = matches!(self.value(a), Value::Session | Value::Folded | Value::Rows);
        let tied = |branch: &select::Branch<'t>| match branch.targets.as_slice() {
            [target] if matches!(lossless(target), Some(Expr::Name(_))) => {
                let mut branch = branch.clone();
                let same = Expr::Op(Box::new(target.clone()), "=".to_owned(), Box::new(a.clone()));
                branch.conditions.push(same);
                self.tied_to_row(&branch)
            }
            _ => false,
        };
        of_session
            && select
                .understood()
                .filter(|_| self.known.enters())
                .is_some_and(|branches| branches.iter().all(tied))
    }

    fn exists(self, whole: &Expr<'_>, select: &Select<'_>) -> Tests {
        let Some(branches) = select.understood().filter(|_| self.known.enters()) else {
            return Tests::Unknown;
        };
        if branches.iter().any(|branch| branch.of_nothing) {
            return Tests::Unknown;
        }
        if branches.iter().all(|branch| self.tied_to_row(branch)) {
            return Tests::Tenant;
        }
        let named = |column: &str, table: Option<&str>| {
            whole.any(&|part| match part {
                Expr::Name(path) => match (path.as_slice(), table) {
                    ([.., before, _], Some(table)) => before == table,
                    ([.., last], None) => last == column,
                    _ => false,
                },
                Expr::Opaque(tokens) => {
                    tokens.iter().any(|token| token.name() == Some(table.unwrap_or(column)))
                }
                _ => false,
            })
        };
        // It names the column, but another table's: it says nothing of the row.
        if named(self.column, None) && !named(self.column, Some(self.table)) {
            Tests::Nothing
        } else {
            Tests::Unknown
        }
    }

    /// Whether a subquery's rows are the session's and the row's tenant is theirs.
    fn tied_to_row(self, branch: &select::Branch<'_>) -> bool {
        let bound: Bound<'_> = bound(self.known, branch, &Scope::of(self.asked));
        conjuncts(&branch.conditions).into_iter().any(|condition| {
            if condition.any(&folds) {
                return false;
            }
            let (a, b) = match condition {
                Expr::Op(a, sign, b) if sign == "=" => (a, b),
                Expr::Any(a, sign, b) if sign == "=" => (a, b),
                _ => return false,
            };
            let other = if self.is_outer(a) {
                b
            } else if self.is_outer(b) {
                a
            } else {
                return false;
            };
            match lossless(other) {
                Some(Expr::Name(path)) => bound.has(branch, path),
                _ if matches!(condition, Expr::Any(..)) => {
                    self.of_value(self.listed_value(other)) == Tests::Tenant
                }
                _ => self.of_value(self.compared_value(other)) == Tests::Tenant,
            }
        })
    }

    /// Anything else: it tests nothing if it takes no value from anywhere but the row.
    fn other(self, expr: &Expr<'_>) -> Tests {
        let source = |part: &Expr<'_>| match part {
            Expr::User | Expr::Select(_) | Expr::Exists(_) | Expr::Opaque(_) | Expr::Param(_) => true,
            Expr::Call(name, _) => !matches!(name.as_slice(), [name] if PURE.contains(&name.as_str())),
            _ => false,
        };
        if expr.any(&source) { Tests::Unknown } else { Tests::Nothing }
    }

    /// Whether the row's column is named somewhere.
    fn mentions(self, expr: &Expr<'_>) -> bool {
        expr.any(&|part| match part {
            Expr::Name(path) => path.last().is_some_and(|last| last == self.column || last == "*"),
            Expr::Opaque(tokens) => tokens.iter().any(|token| token.name() == Some(self.column)),
            _ => false,
        })
    }

    /// Whether it is the bare column, or the column as a type in which different values stay different.
    fn is_column(self, expr: &Expr<'_>) -> bool {
        matches!(uncast(expr, self.base), Some(Expr::Name(path)) if match path.as_slice() {
            [name] => name == self.column,
            [.., table, name] => table == self.table && name == self.column,
            [] => false,
        })
    }

    /// The same in a subquery, where the server writes the table before it.
    fn is_outer(self, expr: &Expr<'_>) -> bool {
        matches!(uncast(expr, self.base), Some(Expr::Name(path)) if path.len() > 1) && self.is_column(expr)
    }

    fn value(self, expr: &Expr<'_>) -> Value {
        value::of(self.known, expr, &Scope::of(self.asked))
    }

    /// The same of what a column is compared with.
    fn compared_value(self, expr: &Expr<'_>) -> Value {
        let plain = !self.base.starts_with('_') && !["json", "jsonb", "hstore"].contains(&self.base);
        if plain { value::text(self.known, expr, &Scope::of(self.asked)) } else { self.value(expr) }
    }

    /// The same of the elements of a list.
    fn listed_value(self, list: &Expr<'_>) -> Value {
        match list {
            Expr::Select(_) => self.value(list),
            _ => value::list(self.known, list, &Scope::of(self.asked)),
        }
    }

    /// What a comparison of the column with a value tests.
    const fn of_value(self, value: Value) -> Tests {
        match value {
            Value::Session | Value::Rows => Tests::Tenant,
            // Two tenants whose names differ in case alone would be one.
            Value::Folded if self.one_case => Tests::Tenant,
            Value::Null => Tests::Never,
            Value::Fallback => Tests::FailsOpen,
            Value::Constant | Value::Empty | Value::Row => Tests::Nothing,
            Value::Folded | Value::Shared | Value::Unknown => Tests::Unknown,
        }
    }
}

/// What passes if one of several lets it.
fn any_of(all: &[Tests]) -> Tests {
    let some = |wanted: &[Tests]| all.iter().any(|tests| wanted.contains(tests));
    let open = some(&[Tests::Nothing]);
    if some(&[Tests::FailsOpen]) || (open && some(&[Tests::Tenant, Tests::Unknown])) {
        Tests::FailsOpen
    } else if open {
        Tests::Nothing
    } else if some(&[Tests::Unknown]) {
        Tests::Unknown
    } else if some(&[Tests::Tenant]) {
        Tests::Tenant
    } else {
        Tests::Never
    }
}

/// What passes if all of several let it.
fn all_of(all: &[Tests]) -> Tests {
    [Tests::Never, Tests::Tenant, Tests::Unknown, Tests::FailsOpen]
        .into_iter()
        .find(|wanted| all.contains(wanted))
        .unwrap_or(Tests::Nothing)
}

/// The parts of ANDs.
fn conjuncts<'e, 't>(conditions: &'e [Expr<'t>]) -> Vec<&'e Expr<'t>> {
    let mut all = Vec::new();
    let mut todo: Vec<&Expr<'t>> = conditions.iter().collect();
    while let Some(condition) = todo.pop() {
        match condition {
            Expr::And(parts) => todo.extend(parts),
            other => all.push(other),
        }
    }
    all
}

/// Without casts to types in which different values stay different; nothing with others.
fn lossless<'e, 't>(expr: &'e Expr<'t>) -> Option<&'e Expr<'t>> {
    uncast(expr, "")
}

/// The same for values of a type, as the catalogue calls it: `'01'` and `'1'` are one number and two texts.
fn uncast<'e, 't>(expr: &'e Expr<'t>, base: &str) -> Option<&'e Expr<'t>> {
    const NUMBERS: [&str; 3] = ["int2", "int4", "int8"];
    match expr {
        Expr::Cast(of, kind) if !kind.limited => {
            let keeps = match kind.name.as_str() {
                "text" | "varchar" | "character varying" | "uuid" => true,
                "numeric" => base == "numeric" || base.is_empty() || NUMBERS.contains(&base),
                "bigint" | "int8" | "integer" | "int" | "int4" | "smallint" | "int2" => {
                    base.is_empty() || NUMBERS.contains(&base)
                }
                _ => false,
            };
            if keeps { uncast(of, base) } else { None }
        }
        Expr::Cast(..) => None,
        Expr::Collate(of, _) => uncast(of, base),
        other => Some(other),
    }
}

/// Whether it names a collation that may take different texts for the same.
fn folds(expr: &Expr<'_>) -> bool {
    matches!(expr, Expr::Collate(_, name) if !["C", "POSIX", "default", "ucs_basic"].contains(&name.as_str()))
}

/// Whether rows are read.
fn reads_rows(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Select(select) | Expr::Exists(select) => select
            .understood()
            .is_none_or(|branches| branches.iter().any(|branch| !branch.from.is_empty() || !branch.plain)),
        Expr::Opaque(tokens) => tokens.iter().any(|token| token.is("select")),
        _ => false,
    }
}

/// Built-in functions of a row's own values and the clock: what they give is not the session's.
const PURE: [&str; 26] = [
    "lower",
    "upper",
    "btrim",
    "ltrim",
    "rtrim",
    "md5",
    "length",
    "char_length",
    "left",
    "right",
    "substr",
    "substring",
    "replace",
    "concat",
    "abs",
    "split_part",
    "initcap",
    "greatest",
    "least",
    "nullif",
    "coalesce",
    "now",
    "clock_timestamp",
    "date_trunc",
    "jsonb_array_length",
    "cardinality",
];
