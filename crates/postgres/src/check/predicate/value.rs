//! Where a value comes from: the session, the row, or nowhere.

use std::collections::BTreeSet;

use super::{
    Bodies, Body, conjuncts,
    parse::{Expr, expression},
    select::{Branch, Select, read},
    tokens::{Token, tokens},
};

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// A setting or the user's name, or nothing where there is none.
    Session,
    Null,
    /// The empty text, or an empty object.
    Empty,
    /// It stands there.
    Constant,
    /// The session, or something else where that has nothing; or what a user may say of itself.
    Fallback,
    /// The row, or another table's.
    Row,
    Unknown,
}

/// What names and parameters mean in a function's body.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope<'s> {
    names: &'s [String],
    arguments: Vec<Value>,
    /// How many functions have been entered.
    depth: usize,
}

/// How many functions may call one another.
const DEEPEST: usize = 8;

/// Built-in functions and operators that make one value of the session from another, and two of two.
const KEEPING: [&str; 11] = [
    "lower",
    "upper",
    "btrim",
    "ltrim",
    "rtrim",
    "trim",
    "concat",
    "json_extract_path_text",
    "jsonb_extract_path_text",
    "json_extract_path",
    "jsonb_extract_path",
];

/// What a user may change by itself, of what stands in its token.
const OWN: [&str; 2] = ["user_metadata", "raw_user_meta_data"];

pub(super) fn of(bodies: &Bodies, expr: &Expr<'_>, scope: &Scope<'_>) -> Value {
    let value = |expr: &Expr<'_>| of(bodies, expr, scope);
    match expr {
        Expr::Null => Value::Null,
        Expr::Text(text) if text.is_empty() || text == "{}" => Value::Empty,
        Expr::Text(_) | Expr::Number | Expr::True | Expr::False => Value::Constant,
        Expr::User => Value::Session,
        Expr::Cast(inner, _) | Expr::Collate(inner, _) => value(inner),
        Expr::Param(number) => {
            number.checked_sub(1).and_then(|at| scope.arguments.get(at)).copied().unwrap_or(Value::Unknown)
        }
        Expr::Name(path) => match scope.names.iter().position(|name| path.as_slice() == [name.as_str()]) {
            Some(at) => scope.arguments.get(at).copied().unwrap_or(Value::Unknown),
            None => Value::Row,
        },
        Expr::Call(name, with) => called(bodies, name, with, scope),
        Expr::Op(a, sign, b) => match sign.as_str() {
            "->" | "->>" | "#>" | "#>>" => {
                let of_its_user = b.any(
                    &|part| matches!(part, Expr::Text(text) if OWN.iter().any(|own| text.contains(own))),
                );
                match together([value(a), value(b)]) {
                    Value::Session if of_its_user => Value::Fallback,
                    other => other,
                }
            }
            "||" => together([value(a), value(b)]),
            _ => Value::Unknown,
        },
        Expr::Array(all) => one_of(all.iter().map(value)),
        Expr::Case(_, results) => one_of(results.iter().map(value)),
        Expr::Select(select) => selected(bodies, select, scope),
        _ => Value::Unknown,
    }
}

/// A value that is made of others.
fn together(all: impl IntoIterator<Item = Value>) -> Value {
    let all: Vec<Value> = all.into_iter().collect();
    [Value::Row, Value::Unknown, Value::Fallback, Value::Session, Value::Null]
        .into_iter()
        .find(|value| all.contains(value))
        .unwrap_or(Value::Constant)
}

/// A value that is one of others.
fn one_of(all: impl IntoIterator<Item = Value>) -> Value {
    let all: Vec<Value> = all.into_iter().collect();
    let some = |wanted: &[Value]| all.iter().any(|value| wanted.contains(value));
    let from_elsewhere = some(&[Value::Constant, Value::Row]);
    if some(&[Value::Fallback]) || (from_elsewhere && some(&[Value::Session, Value::Unknown])) {
        Value::Fallback
    } else {
        [Value::Unknown, Value::Row, Value::Constant, Value::Session, Value::Empty]
            .into_iter()
            .find(|value| all.contains(value))
            .unwrap_or(Value::Null)
    }
}

fn called(bodies: &Bodies, name: &[String], with: &[Expr<'_>], scope: &Scope<'_>) -> Value {
    let value = |expr: &Expr<'_>| of(bodies, expr, scope);
    let builtin = match name {
        [name] => Some(name.as_str()),
        [schema, name] if schema == "pg_catalog" => Some(name.as_str()),
        _ => None,
    };
    match (builtin, with) {
        (Some("current_setting"), [setting, ..]) if matches!(setting.bare(), Expr::Text(_)) => Value::Session,
        (Some("nullif"), [of, nothing]) => match (value(of), value(nothing)) {
            (of, Value::Constant | Value::Empty | Value::Null) => of,
            _ => Value::Unknown,
        },
        (Some("coalesce"), all) => one_of(all.iter().map(value)),
        (Some(name), all) if KEEPING.contains(&name) => together(all.iter().map(value)),
        _ => {
            let arguments: Vec<Value> = with.iter().map(value).collect();
            // What a function makes of the row's own value is not followed.
            if arguments.contains(&Value::Row) || scope.depth >= DEEPEST {
                return Value::Unknown;
            }
            let Some((short, schema)) = name.split_last() else { return Value::Unknown };
            let found = bodies.get(short).map(Vec::as_slice).unwrap_or_default();
            let named: Vec<&Body> = found
                .iter()
                .filter(|body| schema.last().is_none_or(|schema| *schema == body.schema))
                .collect();
            // Without a schema before it, it is a function of the server itself, unless it stands in a function's body.
            if named.is_empty() || (schema.is_empty() && scope.depth == 0) {
                return Value::Unknown;
            }
            let values: BTreeSet<u8> =
                named.iter().map(|body| rank(of_body(bodies, body, &arguments, scope.depth + 1))).collect();
            // The one that is called is one of these.
            values.last().map_or(Value::Unknown, |worst| from_rank(*worst))
        }
    }
}

/// The worse one is higher.
const RANKS: [Value; 7] =
    [Value::Session, Value::Null, Value::Empty, Value::Constant, Value::Row, Value::Unknown, Value::Fallback];

fn rank(value: Value) -> u8 {
    RANKS.iter().position(|known| *known == value).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

fn from_rank(rank: u8) -> Value {
    RANKS.get(usize::from(rank)).copied().unwrap_or(Value::Unknown)
}

/// What a function gives, if all that it does is to give something.
fn of_body(bodies: &Bodies, body: &Body, arguments: &[Value], depth: usize) -> Value {
    let tokens = tokens(&body.source);
    let mut rest = tokens.as_slice();
    let end = |rest: &mut &[Token]| {
        while let [inner @ .., last] = *rest
            && last.is_sign(";")
        {
            *rest = inner;
        }
    };
    end(&mut rest);
    match (body.language.as_str(), rest) {
        ("sql", [begin, atomic, inner @ .., last])
            if begin.is("begin") && atomic.is("atomic") && last.is("end") =>
        {
            rest = inner;
        }
        ("plpgsql", [begin, inner @ .., last]) if begin.is("begin") && last.is("end") => rest = inner,
        ("sql", _) => {}
        _ => return Value::Unknown,
    }
    end(&mut rest);
    if rest.iter().any(|token| token.is_sign(";")) {
        return Value::Unknown;
    }
    let scope = Scope { names: &body.arguments, arguments: arguments.to_vec(), depth };
    match rest {
        [word, given @ ..] if word.is("return") => of(bodies, &expression(given), &scope),
        [word, ..] if word.is("select") && body.language == "sql" => selected(bodies, &read(rest, 0), &scope),
        _ => Value::Unknown,
    }
}

/// What a subquery gives: the session's if its rows are.
fn selected(bodies: &Bodies, select: &Select<'_>, scope: &Scope<'_>) -> Value {
    let Some(branches) = select.understood() else { return Value::Unknown };
    // Where there are rows, a name is a column before it is an argument.
    let inner = Scope { names: &[], ..scope.clone() };
    one_of(branches.iter().map(|branch| {
        let [target] = branch.targets.as_slice() else { return Value::Unknown };
        if branch.from.is_empty() && branch.plain {
            return of(bodies, target, scope);
        }
        let of_all =
            |name: &[String]| matches!(name, [name] if ["array_agg", "min", "max"].contains(&name.as_str()));
        let column = match target.bare() {
            Expr::Call(name, with) if of_all(name) => with.first().map(Expr::bare),
            other => Some(other),
        };
        match column {
            Some(Expr::Name(path))
                if branch.alias(path).is_some_and(|alias| bound(bodies, branch, &inner).contains(alias)) =>
            {
                Value::Session
            }
            // The session's, whatever the rows are.
            _ if of(bodies, target, &inner) == Value::Session => Value::Session,
            _ => Value::Unknown,
        }
    }))
}

impl Branch<'_> {
    /// The relation that a column is of.
    pub(super) fn alias(&self, path: &[String]) -> Option<&str> {
        let known = |name: &str| self.from.iter().find(|relation| relation.alias == name);
        match (path, self.from.as_slice()) {
            ([_], [only]) => Some(only.alias.as_str()),
            ([.., table, _], _) => known(table).map(|relation| relation.alias.as_str()),
            _ => None,
        }
    }
}

/// The relations of which only rows of the session's are left: a column is compared with a value of the session, or with a
/// column of one that is.
pub(super) fn bound<'b>(bodies: &Bodies, branch: &'b Branch<'_>, scope: &Scope<'_>) -> BTreeSet<&'b str> {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    let mut edges: Vec<(&str, &str)> = Vec::new();
    let column = |expr: &Expr<'_>| match expr.bare() {
        Expr::Name(path) => branch.alias(path),
        _ => None,
    };
    for condition in conjuncts(&branch.conditions) {
        let (a, b) = match condition {
            Expr::Op(a, sign, b) if sign == "=" => (a, b),
            Expr::Any(a, sign, b) if sign == "=" => (a, b),
            _ => continue,
        };
        match (column(a), column(b)) {
            (Some(one), Some(other)) => edges.push((one, other)),
            (Some(one), None) if of(bodies, b, scope) == Value::Session => {
                found.insert(one);
            }
            (None, Some(other)) if of(bodies, a, scope) == Value::Session => {
                found.insert(other);
            }
            _ => {}
        }
    }
    let aliases: Vec<&str> = branch.from.iter().map(|relation| relation.alias.as_str()).collect();
    if branch.tied {
        edges.extend(aliases.iter().zip(aliases.iter().skip(1)).map(|(a, b)| (*a, *b)));
    }
    loop {
        let before = found.len();
        for (a, b) in &edges {
            if found.contains(a) || found.contains(b) {
                found.extend([*a, *b]);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}
