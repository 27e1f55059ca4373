//! Whether an id comes straight from what was sent, or is a part of what was found with something else.

use crate::{
    flow::Query,
    ir::{BindingKind, ExprId, ExprKind, NameRef, Property, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::data::callers::is_caller,
    vocabulary,
};

/// How many variables and calls an id is followed through.
const DEPTH: u32 = 6;

/// Methods that run a function for each of some things.
const EACH: &[&str] = &["map", "forEach", "flatMap", "filter", "find", "some", "every", "reduce", "mapAsync"];

/// Whether no id of a finding is taken from what was sent, but from what was found before, or is the caller's own.
pub(super) fn is_found(project: &Project, at: At, fun: Fun, query: Option<&Query>) -> bool {
    let Some(query) = query else { return is_part_of_found(project, at, fun, Looked::Narrowly, DEPTH) };
    let found = |filter: &At| is_part_of_found(project, *filter, fun, Looked::Anyhow, DEPTH);
    let chosen = |filter: &At| project.origins(*filter).is_chosen();
    // What SQL is given may be what it writes.
    let mut ids = query
        .filters
        .iter()
        .filter(|filter| !project.is_fixed(**filter) && is_id(project, **filter))
        .peekable();
    if ids.peek().is_some() {
        return ids.all(|filter| !chosen(filter) || found(filter));
    }
    let mut others =
        query.filters.iter().filter(|filter| !project.is_fixed(**filter) && chosen(filter)).peekable();
    others.peek().is_some() && others.all(found)
}

/// How something has to be looked up that an id is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looked {
    /// By whatever: who finds it by an id of the request is a finding there.
    Anyhow,
    /// By a secret or for the caller: the tenant of what anybody may name is still anybody's choice.
    Narrowly,
}

/// Whether a value is named for an id.
fn is_id(project: &Project, at: At) -> bool {
    let name = project.last_written(at).unwrap_or_default();
    vocabulary::words(name)
        .last()
        .is_some_and(|last| matches!(last.as_str(), "id" | "ids" | "uuid" | "did" | "slug"))
}

/// Methods that give what was found.
const FINDS: &[&str] = &[
    "search",
    "query_points",
    "similarity_search",
    "execute",
    "fetchone",
    "fetchall",
    "scalars",
    "retrieve",
    "scroll",
];

/// Whether a call of a library finds things.
fn finds(project: &Project, unit: &Unit, call: &crate::ir::Call, at: At) -> bool {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return false };
    FINDS.contains(&unit.ir.text(*property))
        && !project.origins(at.to(*object)).has(crate::flow::Origins::REQUEST)
}

fn is_part_of_found(project: &Project, at: At, fun: Fun, how: Looked, depth: u32) -> bool {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(at.module)) else { return false };
    match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            if matches!(unit.ir.binding(*id).map(|own| &own.kind), Some(BindingKind::Parameter(_))) {
                return is_given_found(project, unit, at, *id, fun, how, depth);
            }
            let sources = unit.index.sources(*id);
            !sources.is_empty()
                && sources.len() < 4
                && sources
                    .iter()
                    .all(|source| is_part_of_found(project, at.to(source.value), fun, how, depth))
        }
        ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => {
            is_callers_object(project, at.to(*object))
                || is_part_of_found(project, at.to(*object), fun, how, depth)
        }
        ExprKind::Await(value) => is_part_of_found(project, at.to(*value), fun, how, depth),
        ExprKind::Logical { left, right, .. } => {
            is_part_of_found(project, at.to(*left), fun, how, depth)
                && (project.is_fixed(at.to(*right))
                    || is_part_of_found(project, at.to(*right), fun, how, depth))
        }
        ExprKind::Call(call) => {
            if is_query(project, at, how)
                || is_state_of_caller(unit, call)
                || (how == Looked::Anyhow && finds(project, unit, call, at))
            {
                return true;
            }
            let callee = project.callee(at);
            let ours = callee.is_some_and(|callee| callee.certain && !callee.targets.is_empty());
            let told = call.args.iter().any(|arg| {
                has_caller(project, at.to(arg.value)) || is_named_secret(project, at.to(arg.value))
            });
            if ours
                && (told
                    || how == Looked::Anyhow
                        && callee.is_some_and(|callee| {
                            callee.targets.iter().all(|target| looks_up(project, *target))
                        }))
            {
                return true;
            }
            // `str(row.id)`, `rows.filter(…)`
            match (unit.ir.expr(call.callee), &*call.args) {
                (ExprKind::Name(_), [only]) if !ours => {
                    is_part_of_found(project, at.to(only.value), fun, how, depth)
                }
                (ExprKind::Member { object, .. }, _) if !ours => {
                    is_part_of_found(project, at.to(*object), fun, how, depth)
                }
                _ => false,
            }
        }
        ExprKind::Object(properties) => are_found(project, at, properties, fun, how, depth),
        ExprKind::Comprehension(made) => {
            let [first, ..] = &*made.clauses else { return false };
            is_part_of_found(project, at.to(first.iter), fun, how, depth)
        }
        _ => false,
    }
}

/// Whether all that a statement is given by name is found: `{"id": note_id}`.
fn are_found(project: &Project, at: At, properties: &[Property], fun: Fun, how: Looked, depth: u32) -> bool {
    let given = properties.iter().map(|property| at.to(property.value));
    let mut values = given.filter(|value| !project.is_fixed(*value)).peekable();
    values.peek().is_some() && values.all(|value| is_part_of_found(project, value, fun, how, depth))
}

/// Whether a function of ours looks up what it gives: what is asked for there is looked at there.
fn looks_up(project: &Project, fun: Fun) -> bool {
    project.entry(fun).is_none()
        && project
            .queries()
            .iter()
            .any(|query| query.function == fun && query.verb == crate::lang::sql::Verb::Select)
}

/// Whether a parameter is each of some things that were found, or what a caller of the function gives of such.
fn is_given_found(
    project: &Project,
    unit: &Unit,
    at: At,
    id: crate::ir::BindingId,
    fun: Fun,
    how: Looked,
    depth: u32,
) -> bool {
    let Some((own, number, _)) = project.parameter_of(at.module, id) else { return false };
    if project.entry(own).is_some() {
        return false;
    }
    if let Some(site) = unit.index.site(own.id)
        && let Parent::Expr(up) = unit.index.parent(site)
        && let ExprKind::Call(call) = unit.ir.expr(up)
        && let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee)
        && EACH.contains(&unit.ir.text(*property))
    {
        return is_part_of_found(project, at.to(*object), fun, how, depth);
    }
    let Some((from, call)) = project.reach(own).and_then(|reach| reach.from) else { return false };
    project
        .argument(call, own, number)
        .is_some_and(|given| is_part_of_found(project, given, from, how, depth))
}

/// Whether an object is the caller by its name, and its fields are the caller's own.
fn is_callers_object(project: &Project, at: At) -> bool {
    let origins = project.origins(at);
    let named = project.last_written(at).is_some_and(vocabulary::is_principal);
    !origins.is_chosen() && (named || origins.has(crate::flow::Origins::PRINCIPAL))
}

/// Whether a call reads who calls out of the state of the request: `c.get("principal")`.
fn is_state_of_caller(unit: &Unit, call: &crate::ir::Call) -> bool {
    let Some(first) = call.positional(0) else { return false };
    let ExprKind::String(name) = unit.ir.expr(first) else { return false };
    let reads = matches!(unit.ir.expr(call.callee), ExprKind::Member { property, .. } if unit.ir.text(*property) == "get");
    let words = vocabulary::words(unit.ir.text(*name));
    reads
        && (vocabulary::is_principal(unit.ir.text(*name))
            || words.iter().any(|word| matches!(word.as_str(), "principal" | "auth" | "claims")))
}

/// Whether an expression has the verified caller in it.
pub(super) fn has_caller(project: &Project, at: At) -> bool {
    has_caller_but(project, at, &|_| false)
}

/// Whether an expression has the verified caller in it, but for some expressions.
pub(super) fn has_caller_but(project: &Project, at: At, but: &impl Fn(At) -> bool) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let mut found = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        found = found
            || match unit.ir.expr(expr) {
                ExprKind::Name(_) | ExprKind::Member { .. } => {
                    !but(at.to(expr)) && is_of_caller(project, at.to(expr))
                }
                ExprKind::Call(call) => is_state_of_party(unit, call) || is_caller(project, at.to(expr)),
                _ => false,
            };
    });
    found
}

fn is_of_caller(project: &Project, at: At) -> bool {
    if is_caller(project, at) {
        return true;
    }
    let chosen = project.origins(at).is_chosen();
    let path = project.written(at);
    let speaks =
        path.iter().any(|part| vocabulary::words(part).iter().any(|word| CALLERS.contains(&word.as_str())));
    // `note.orgId` is the row's; `ctx.orgId`, `orgId` and `this.orgId` are whoever's the code works for.
    let own = path.len() < 2 && path.last().is_some_and(|name| vocabulary::is_owner(name));
    !chosen && (speaks || own)
}

/// Words of what says who calls.
const CALLERS: &[&str] = &[
    "user",
    "session",
    "principal",
    "viewer",
    "caller",
    "identity",
    "claims",
    "auth",
    "current",
    "ctx",
    "context",
];

/// `c.get("teamId")`: what something before has left there.
fn is_state_of_party(unit: &Unit, call: &crate::ir::Call) -> bool {
    let ([only], ExprKind::Member { object, property, .. }) = (&*call.args, unit.ir.expr(call.callee)) else {
        return false;
    };
    let ExprKind::String(name) = unit.ir.expr(only.value) else { return false };
    let name = unit.ir.text(*name);
    let of_request = matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(id)) if matches!(unit.ir.binding_name(*id), "c" | "ctx" | "context"));
    of_request
        && unit.ir.text(*property) == "get"
        && (vocabulary::is_owner(name) || vocabulary::is_principal(name))
}

/// Whether a call is a query, or ends one.
fn is_query(project: &Project, at: At, how: Looked) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let span = unit.ir.span(at.expr);
    project.queries().iter().any(|query| {
        query.at.module == at.module && {
            let own = unit.ir.span(query.at.expr);
            let narrowly = || {
                is_by_secret(project, query)
                    || query.filters.iter().any(|filter| has_caller(project, *filter))
            };
            (how == Looked::Anyhow || narrowly())
                && (own.contains(span)
                    || (span.contains(own)
                        && super::frames::innermost(unit, at.expr)
                            == super::frames::innermost(unit, query.at.expr)))
        }
    })
}

/// Words of what only one knows.
const SECRETS: &[&str] = &["token", "secret", "apikey", "nonce", "password", "otp"];

/// Last words of what only one knows, where another word says so.
const FORMS: &[&str] = &["hash", "digest", "code", "key", "state", "link"];

/// Words that say so.
const OPENS: &[&str] = &[
    "token",
    "secret",
    "ticket",
    "otp",
    "invite",
    "invitation",
    "api",
    "access",
    "refresh",
    "reset",
    "verification",
    "oauth",
    "pairing",
    "join",
    "magic",
    "share",
];

/// Whether a value is named like a secret, or like a key that opens something.
fn is_named_secret(project: &Project, at: At) -> bool {
    let Some(name) = project.last_written(at) else { return false };
    is_secret(name)
}

/// Whether a name is that of what only one knows: `token`, `api_key`, `trackingId`.
fn is_secret(name: &str) -> bool {
    let words = vocabulary::words(name);
    let Some(last) = words.last() else { return false };
    let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    // A link in a mail has an id of its own, which only who got the mail knows.
    let tracks = last == "id" && has(&["tracking", "share", "invite"]);
    tracks || SECRETS.contains(&last.as_str()) || (FORMS.contains(&last.as_str()) && has(OPENS))
}

/// Whether rows are found by what is named like a secret, in the code or in the columns that are tested.
pub(super) fn is_by_secret(project: &Project, query: &Query) -> bool {
    let chosen = |at: &&At| !project.is_fixed(**at);
    query.tests.iter().any(|column| is_secret(column))
        || query.filters.iter().filter(chosen).any(|at| is_named_secret(project, *at))
        || tests_secret(project, query)
}

/// Whether a call of a query names a column for a secret: `.eq("token", token)`, `where: { token }`.
fn tests_secret(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    let mut found = false;
    for filter in &query.filters {
        let named = match unit.index.parent(filter.expr) {
            Parent::Expr(up) => match unit.ir.expr(up) {
                ExprKind::Call(call) => call.args.iter().any(|arg| is_text_of_secret(unit, arg.value)),
                ExprKind::Compare { left, right, .. } => {
                    [*left, *right].into_iter().any(|side| matches!(unit.ir.expr(side), ExprKind::Member { property, .. } if is_secret(unit.ir.text(*property))))
                }
                _ => false,
            },
            _ => false,
        };
        found |= named;
    }
    found
}

fn is_text_of_secret(unit: &Unit, expr: ExprId) -> bool {
    matches!(unit.ir.expr(expr), ExprKind::String(text) if is_secret(unit.ir.text(*text)))
}
