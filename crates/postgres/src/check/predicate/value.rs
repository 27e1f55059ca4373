//! Where a value comes from: the session, the row, or nowhere.

use super::{
    bound::bound,
    known::{Asked, Body, Known},
    lossless,
    parse::{Expr, Type, expression},
    select::{Branch, Select, read},
    tokens::{Token, tokens},
};

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// A setting or the user's name, or nothing where there is none.
    Session,
    /// The same in one case: two names that differ in nothing else come to one.
    Folded,
    /// A column of rows that are the session's.
    Rows,
    /// The session's, and the same for many who ask: its role.
    Shared,
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
    /// What the arguments say, where they are literals.
    literals: Vec<Option<String>>,
    /// How many functions have been entered.
    depth: usize,
    pub(super) asked: Asked,
    /// Whether it is read for what a list or an object has in it.
    listed: bool,
}

impl Scope<'_> {
    pub(super) fn of(asked: Asked) -> Self {
        Self { asked, ..Self::default() }
    }

    /// The place of the argument that a name or a parameter means.
    fn argument(&self, expr: &Expr<'_>) -> Option<usize> {
        match expr {
            Expr::Param(number) => number.checked_sub(1),
            Expr::Name(path) => self.names.iter().position(|name| path.as_slice() == [name.as_str()]),
            _ => None,
        }
    }

    /// What a literal says, or an argument that is one; several with commas between them.
    fn literal(&self, expr: &Expr<'_>) -> Option<String> {
        match expr.bare() {
            Expr::Text(text) => Some(text.clone()),
            Expr::Number => Some(String::new()),
            Expr::Array(all) => {
                let all: Option<Vec<String>> = all.iter().map(|part| self.literal(part)).collect();
                all.map(|all| all.join(","))
            }
            other => self.literals.get(self.argument(other)?)?.clone(),
        }
    }
}

/// How many functions may call one another.
const DEEPEST: usize = 8;

/// What a user may change by itself, of what stands in its token; without the signs between words.
const OWN: [&str; 3] = ["usermetadata", "rawusermetadata", "unsafemetadata"];

/// What stands in the tokens of many users alike, by the last word of its name.
const ALIKE: [&str; 35] = [
    "role",
    "roles",
    "aud",
    "iss",
    "exp",
    "iat",
    "nbf",
    "alg",
    "aal",
    "amr",
    "anonymous",
    "admin",
    "plan",
    "tier",
    "edition",
    "level",
    "region",
    "country",
    "locale",
    "lang",
    "language",
    "timezone",
    "currency",
    "status",
    "env",
    "environment",
    "type",
    "kind",
    "verified",
    "active",
    "enabled",
    "version",
    "scope",
    "scopes",
    "permissions",
];

/// Types of objects with names in them.
const OBJECTS: [&str; 3] = ["json", "jsonb", "hstore"];

/// Functions that take a part out of an object, by its path.
const PATHS: [&str; 4] =
    ["json_extract_path_text", "jsonb_extract_path_text", "json_extract_path", "jsonb_extract_path"];

/// Types in which different values of the session stay different.
const KEEPING: [&str; 13] = [
    "text",
    "varchar",
    "character varying",
    "uuid",
    "bigint",
    "int8",
    "integer",
    "int",
    "int4",
    "smallint",
    "int2",
    "numeric",
    "jsonb",
];

/// Functions of the server itself that give one text.
const TEXTS: [&str; 11] = [
    "current_setting",
    "lower",
    "upper",
    "btrim",
    "ltrim",
    "rtrim",
    "md5",
    "concat",
    "replace",
    "json_extract_path_text",
    "jsonb_extract_path_text",
];

pub(super) fn of(known: &Known, expr: &Expr<'_>, scope: &Scope<'_>) -> Value {
    let value = |expr: &Expr<'_>| of(known, expr, scope);
    match expr {
        Expr::Null => Value::Null,
        // The signs of a list's own text are no element.
        Expr::Text(text) if scope.listed && text.chars().all(|sign| "{},\" ".contains(sign)) => Value::Null,
        Expr::Text(text) if text.is_empty() || text == "{}" => Value::Empty,
        Expr::Text(_) | Expr::Number | Expr::True | Expr::False => Value::Constant,
        Expr::User => by_name(known, scope.asked),
        // A text that was put together is a list or an object of all that was put in.
        Expr::Cast(inner, kind) if kind.array || OBJECTS.contains(&kind.name.as_str()) => {
            cast(known, list(known, inner, scope), kind)
        }
        Expr::Cast(inner, kind) => cast(known, value(inner), kind),
        Expr::Collate(inner, _) => value(inner),
        Expr::Param(_) | Expr::Name(_) => match scope.argument(expr) {
            Some(at) => scope.arguments.get(at).copied().unwrap_or(Value::Unknown),
            None if matches!(expr, Expr::Name(_)) => Value::Row,
            None => Value::Unknown,
        },
        Expr::Call(name, with) => called(known, name, with, scope),
        Expr::Op(a, sign, b) => match sign.as_str() {
            "->" | "->>" | "#>" | "#>>" => picked(known, a, std::slice::from_ref(b), scope),
            "||" if scope.listed => one_of([value(a), value(b)]),
            "||" => joined([value(a), value(b)], a, b),
            _ => Value::Unknown,
        },
        Expr::Array(all) => {
            let scope = Scope { listed: false, ..scope.clone() };
            one_of(all.iter().map(|element| of(known, element, &scope)))
        }
        Expr::Case(_, results) => one_of(results.iter().map(value)),
        Expr::Select(select) => selected(known, select, scope),
        _ => Value::Unknown,
    }
}

/// A value that is made of others.
fn together(all: impl IntoIterator<Item = Value>) -> Value {
    let all: Vec<Value> = all.into_iter().collect();
    [
        Value::Row,
        Value::Unknown,
        Value::Fallback,
        Value::Folded,
        Value::Session,
        Value::Rows,
        Value::Shared,
        Value::Null,
    ]
    .into_iter()
    .find(|value| all.contains(value))
    .unwrap_or(Value::Constant)
}

/// `a || b`: one text, or a list or an object that has the values of both.
fn joined(values: [Value; 2], a: &Expr<'_>, b: &Expr<'_>) -> Value {
    if is_text(a) && is_text(b) {
        return together(values);
    }
    match one_of(values) {
        // Of what type it is does not stand there.
        Value::Fallback if !values.contains(&Value::Fallback) && !composed(a) && !composed(b) => {
            Value::Unknown
        }
        value => value,
    }
}

/// Whether it is a list or an object for sure.
fn composed(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Array(_) => true,
        Expr::Cast(_, kind) => kind.array || OBJECTS.contains(&kind.name.as_str()),
        Expr::Op(a, sign, b) => sign == "||" && (composed(a) || composed(b)),
        _ => false,
    }
}

/// Whether it is one value for sure, and neither a list nor an object.
fn is_text(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Text(_) | Expr::Number | Expr::User | Expr::Null => true,
        Expr::Cast(_, kind) => !kind.array && KEEPING.contains(&kind.name.as_str()) && kind.name != "jsonb",
        Expr::Collate(inner, _) => is_text(inner),
        Expr::Op(a, sign, b) => match sign.as_str() {
            "->>" | "#>>" => true,
            "||" => is_text(a) && is_text(b),
            _ => false,
        },
        Expr::Call(name, with) => match name.as_slice() {
            [name] if name == "coalesce" => with.iter().all(is_text),
            [name] if name == "nullif" => with.first().is_some_and(is_text),
            [name] => TEXTS.contains(&name.as_str()),
            _ => false,
        },
        Expr::Select(select) => match select.understood() {
            Some([branch]) => matches!(branch.targets.as_slice(), [target] if is_text(target)),
            _ => false,
        },
        _ => false,
    }
}

/// What is compared with a column of plain values: `||` there joins texts, whatever its sides are.
pub(super) fn text(known: &Known, expr: &Expr<'_>, scope: &Scope<'_>) -> Value {
    match expr {
        // An element may be a list itself.
        _ if composed(expr) => of(known, expr, scope),
        Expr::Op(a, sign, b) if sign == "||" => together([text(known, a, scope), text(known, b, scope)]),
        Expr::Cast(inner, kind) if !kind.array && !OBJECTS.contains(&kind.name.as_str()) => {
            cast(known, text(known, inner, scope), kind)
        }
        _ => of(known, expr, scope),
    }
}

/// What the elements of a list, or the values of an object are: of one that was put together, those of all of its parts.
pub(super) fn list(known: &Known, expr: &Expr<'_>, scope: &Scope<'_>) -> Value {
    of(known, expr, &Scope { listed: true, ..scope.clone() })
}

/// The name by which the server knows who asks.
const fn by_name(known: &Known, asked: Asked) -> Value {
    if known.users_differ && !asked.by_one_user { Value::Session } else { Value::Shared }
}

/// A value as a type: what is the session's is nobody knows whose in a type that leaves something out.
fn cast(known: &Known, value: Value, kind: &Type) -> Value {
    let name = kind.name.as_str();
    let keeps = !kind.limited && (KEEPING.contains(&name) || name == "json" || known.types.contains(name));
    match value {
        Value::Session | Value::Folded | Value::Rows if !keeps => Value::Unknown,
        value => value,
    }
}

/// A setting's value: the session's, if it is one of the application's own or of its user's token.
fn setting(known: &Known, name: &str, asked: Asked) -> Value {
    let name = name.to_ascii_lowercase();
    match name.split_once('.') {
        _ if known.tenants.contains(&name) => Value::Session,
        None if name == "role" || name == "session_authorization" => by_name(known, asked),
        // The server's own settings are anybody's to set, by SET or when it connects.
        None => Value::Fallback,
        Some(("request", rest)) => match rest.strip_prefix("jwt.") {
            Some(token) => token.strip_prefix("claim.").map_or(Value::Session, |name| claim(known, name)),
            // What a request says of itself: headers, cookies, its path.
            None => Value::Fallback,
        },
        Some((_, rest)) => claim(known, rest),
    }
}

/// What a token has by a name.
fn claim(known: &Known, whole: &str) -> Value {
    let word = |name: &str| name.to_ascii_lowercase().replace(['_', '-'], "");
    let name = whole.trim_matches(['{', '}']);
    let name = name.rsplit(',').next().unwrap_or(name);
    let last = name.rsplit(['_', '-', '/', ':', '.']).next().unwrap_or(name).to_ascii_lowercase();
    if OWN.iter().any(|own| word(whole).contains(own)) {
        Value::Fallback
    } else if ALIKE.contains(&last.as_str()) && !known.tenants.contains(name) {
        Value::Shared
    } else {
        Value::Session
    }
}

/// What stands in an object by names.
fn picked(known: &Known, object: &Expr<'_>, keys: &[Expr<'_>], scope: &Scope<'_>) -> Value {
    let whole = of(known, object, scope);
    match together(std::iter::once(whole).chain(keys.iter().map(|key| of(known, key, scope)))) {
        own @ (Value::Session | Value::Folded) if whole == own => {
            let literals: Option<Vec<String>> = keys.iter().map(|key| scope.literal(key)).collect();
            let Some(literals) = literals else { return Value::Unknown };
            let claims: Vec<Value> = literals.iter().map(|literal| claim(known, literal)).collect();
            match claims.last() {
                _ if claims.contains(&Value::Fallback) => Value::Fallback,
                Some(Value::Session) => own,
                Some(other) => *other,
                None => Value::Unknown,
            }
        }
        other => other,
    }
}

/// A value that is one of others.
fn one_of(all: impl IntoIterator<Item = Value>) -> Value {
    let all: Vec<Value> = all.into_iter().collect();
    let some = |wanted: &[Value]| all.iter().any(|value| wanted.contains(value));
    let from_elsewhere = some(&[Value::Constant, Value::Row]);
    let from_session = [Value::Session, Value::Folded, Value::Rows, Value::Unknown];
    if some(&[Value::Fallback]) || (from_elsewhere && some(&from_session)) {
        Value::Fallback
    } else {
        [
            Value::Unknown,
            Value::Shared,
            Value::Row,
            Value::Constant,
            Value::Folded,
            Value::Rows,
            Value::Session,
            Value::Empty,
        ]
        .into_iter()
        .find(|value| all.contains(value))
        .unwrap_or(Value::Null)
    }
}

fn called(known: &Known, name: &[String], with: &[Expr<'_>], scope: &Scope<'_>) -> Value {
    let value = |expr: &Expr<'_>| of(known, expr, scope);
    let builtin = match name {
        [name] => Some(name.as_str()),
        [schema, name] if schema == "pg_catalog" => Some(name.as_str()),
        _ => None,
    };
    match (builtin, with) {
        (Some("current_setting"), [name, ..]) => {
            scope.literal(name).map_or(Value::Unknown, |name| setting(known, &name, scope.asked))
        }
        (Some("nullif"), [of, nothing]) => match (value(of), value(nothing)) {
            (of, Value::Constant | Value::Empty | Value::Null) => of,
            _ => Value::Unknown,
        },
        (Some("coalesce"), all) => one_of(all.iter().map(value)),
        (Some("lower" | "upper"), [of]) => match value(of) {
            Value::Session | Value::Rows => Value::Folded,
            other => other,
        },
        // With a second argument it leaves out what is named there.
        (Some("btrim" | "ltrim" | "rtrim" | "trim"), [of]) => value(of),
        (Some(name), [object, keys @ ..]) if PATHS.contains(&name) => picked(known, object, keys, scope),
        // It leaves out what is nothing, and the rest is a value then.
        (Some("concat"), all) => {
            let all: Vec<Value> = all.iter().map(value).collect();
            if scope.listed {
                return one_of(all);
            }
            match together(all.iter().copied()) {
                Value::Session | Value::Folded | Value::Rows if all.contains(&Value::Constant) => {
                    Value::Unknown
                }
                other => other,
            }
        }
        _ => by_body(known, name, with, scope).0,
    }
}

/// What a function of the database's own gives, and whether it is keys of rows that are the session's own.
fn by_body(known: &Known, name: &[String], with: &[Expr<'_>], scope: &Scope<'_>) -> (Value, bool) {
    let arguments: Vec<Value> = with.iter().map(|expr| of(known, expr, scope)).collect();
    // What a function makes of the row's own value is not followed.
    if arguments.contains(&Value::Row) || scope.depth >= DEEPEST || !known.enters() {
        return (Value::Unknown, false);
    }
    let Some((short, schema)) = name.split_last() else { return (Value::Unknown, false) };
    let found = known.functions.get(short).map(Vec::as_slice).unwrap_or_default();
    let named: Vec<&Body> =
        found.iter().filter(|body| schema.last().is_none_or(|schema| *schema == body.schema)).collect();
    // Without a schema before it, it is a function of the server itself, unless it stands in a function's body.
    if named.is_empty() || (schema.is_empty() && scope.depth == 0) {
        return (Value::Unknown, false);
    }
    let inner = Scope {
        names: &[],
        literals: with.iter().map(|part| scope.literal(part)).collect(),
        arguments,
        depth: scope.depth + 1,
        asked: scope.asked,
        listed: scope.listed,
    };
    let all: Vec<(Value, bool)> = named.iter().map(|body| of_body(known, body, &inner)).collect();
    // The one that is called is one of these.
    let worst = all.iter().map(|(value, _)| rank(*value)).max();
    (worst.map_or(Value::Unknown, from_rank), all.iter().all(|(_, key)| *key))
}

/// What a column is compared with, one value or the elements of a list, and whether it is keys of rows that are the
/// session's own: what has such a key belongs to them.
pub(super) fn keyed(known: &Known, expr: &Expr<'_>, scope: &Scope<'_>, listed: bool) -> (Value, bool) {
    match lossless(expr) {
        Some(Expr::Select(select)) => rows(known, select, scope),
        Some(Expr::Array(all)) if let [Expr::Select(select)] = all.as_slice() => rows(known, select, scope),
        Some(Expr::Call(name, with)) if name.first().is_some_and(|s| s != "pg_catalog") && name.len() > 1 => {
            by_body(known, name, with, &Scope { listed: listed || scope.listed, ..scope.clone() })
        }
        _ if listed => (list(known, expr, scope), false),
        _ => (text(known, expr, scope), false),
    }
}

/// The worse one is higher.
const RANKS: [Value; 10] = [
    Value::Session,
    Value::Rows,
    Value::Folded,
    Value::Null,
    Value::Empty,
    Value::Constant,
    Value::Row,
    Value::Shared,
    Value::Unknown,
    Value::Fallback,
];

fn rank(value: Value) -> u8 {
    RANKS.iter().position(|known| *known == value).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

fn from_rank(rank: u8) -> Value {
    RANKS.get(usize::from(rank)).copied().unwrap_or(Value::Unknown)
}

/// What a function gives, if all that it does is to give something.
fn of_body(known: &Known, body: &Body, with: &Scope<'_>) -> (Value, bool) {
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
        _ => return (Value::Unknown, false),
    }
    end(&mut rest);
    if rest.iter().any(|token| token.is_sign(";")) {
        return (Value::Unknown, false);
    }
    let scope = Scope { names: &body.arguments, ..with.clone() };
    match rest {
        [word, given @ ..] if word.is("return") => match expression(given) {
            Expr::Select(select) => rows(known, &select, &scope),
            given => (of(known, &given, &scope), false),
        },
        [word, ..] if word.is("select") && body.language == "sql" => rows(known, &read(rest, 0), &scope),
        _ => (Value::Unknown, false),
    }
}

/// What a subquery gives: the session's if its rows are.
fn selected(known: &Known, select: &Select<'_>, scope: &Scope<'_>) -> Value {
    rows(known, select, scope).0
}

/// The same, and whether all of it is keys of rows that are the session's own.
pub(super) fn rows(known: &Known, select: &Select<'_>, scope: &Scope<'_>) -> (Value, bool) {
    let Some(branches) = select.understood().filter(|_| known.enters()) else {
        return (Value::Unknown, false);
    };
    let all: Vec<(Value, bool)> = branches.iter().map(|branch| of_branch(known, branch, scope)).collect();
    (one_of(all.iter().map(|(value, _)| *value)), all.iter().all(|(_, key)| *key))
}

fn of_branch(known: &Known, branch: &Branch<'_>, scope: &Scope<'_>) -> (Value, bool) {
    let [target] = branch.targets.as_slice() else { return (Value::Unknown, false) };
    if branch.from.is_empty() && branch.plain {
        return match target {
            Expr::Select(_) | Expr::Call(..) if !scope.listed => keyed(known, target, scope, false),
            _ => (of(known, target, scope), false),
        };
    }
    // Where there are rows, a name is a column before it is an argument.
    let inner = Scope { names: &[], ..scope.clone() };
    let of_all =
        |name: &[String]| matches!(name, [name] if ["array_agg", "min", "max"].contains(&name.as_str()));
    let column = match target.bare() {
        Expr::Call(name, with) if of_all(name) => with.first().map(Expr::bare),
        other => Some(other),
    };
    if let Some(Expr::Name(path)) = column {
        let bound = bound(known, branch, &inner);
        if bound.has(branch, path) {
            return (Value::Rows, bound.is_key(known, branch, path));
        }
    }
    // The session's, whatever the rows are.
    let value = match of(known, target, &inner) {
        own @ (Value::Session | Value::Folded | Value::Shared) => own,
        _ => Value::Unknown,
    };
    (value, false)
}
