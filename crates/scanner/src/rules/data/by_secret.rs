//! Rows that are found by a secret, which is what entitles whoever has it: a ticket under its hash, a key whose hash is verified.

use crate::{
    flow::Query,
    ir::{BindingId, ExprKind, FunctionId, NameRef, StmtKind, walk},
    lang::sql::Verb,
    project::{At, Fun, Parent, Project, Unit},
    vocabulary,
};

/// Words of what is a secret, or of what holds one.
const SECRETS: &[&str] = &[
    "ticket",
    "token",
    "otp",
    "invite",
    "invitation",
    "nonce",
    "magic",
    "secret",
    "key",
    "refresh",
    "reset",
    "apikey",
    "pat",
    "code",
    "password",
];

/// Words of functions that work out a hash.
const HASHES: &[&str] = &["hash", "hashed", "digest", "sha256", "sha", "hmac", "fingerprint"];

/// Words of functions that hold what was sent against what is kept.
const VERIFIES: &[&str] =
    &["verify", "check", "compare", "matches", "match", "equal", "digest", "validate", "safe"];

/// Whether what a query finds is the bearer's of a secret: it is found under a hash of one, its own secret is verified afterwards, or it
/// was read so just before.
pub(super) fn is_found_by_secret(project: &Project, query: &Query) -> bool {
    is_by_hash(project, query)
        || (query.verb == Verb::Select && is_verified_after(project, query))
        || was_read_by_secret(project, query)
}

/// Whether a value is the hash of a secret, by its name or by what made it: `ticketHash`, `hashToken(token)`. A hash of contents is none.
pub(in crate::rules) fn is_hash_of_secret(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let says =
        |text: &str, list: &[&str]| vocabulary::words(text).iter().any(|word| list.contains(&word.as_str()));
    match unit.ir.expr(at.expr) {
        ExprKind::Call(call) => {
            let name = project.last_written(at.to(call.callee)).unwrap_or_default();
            let of = |expr| project.last_written(at.to(expr)).is_some_and(|name| says(name, SECRETS));
            says(name, HASHES) && (says(name, SECRETS) || call.args.iter().any(|arg| of(arg.value)))
        }
        ExprKind::Name(_) | ExprKind::Member { .. } => project.last_written(at).is_some_and(is_named_so),
        _ => false,
    }
}

/// Whether a name is that of a secret's hash: `ticketHash`, `key_hash`.
fn is_named_so(name: &str) -> bool {
    let words = vocabulary::words(name);
    words.len() > 1
        && words.last().is_some_and(|last| HASHES.contains(&last.as_str()))
        && words.iter().any(|word| SECRETS.contains(&word.as_str()))
}

/// Whether a query finds rows by a secret's hash. SQL says by which column it does; what it is given may be what it writes.
fn is_by_hash(project: &Project, query: &Query) -> bool {
    if query.is_sql {
        return query.tests.iter().any(|column| is_named_so(column));
    }
    query.filters.iter().any(|at| is_hash_of_secret(project, *at)) || is_key_by_hash(project, query)
}

/// Whether keys or tokens are found by a hash that the query itself works out: `ApiKey.objects.filter(digest=sha256(raw).hexdigest())`.
fn is_key_by_hash(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    if !vocabulary::words(&query.shown).iter().any(|word| SECRETS.contains(&word.trim_end_matches('s'))) {
        return false;
    }
    let mut hashes = false;
    walk::exprs_below(&unit.ir, query.at.expr, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let name = project.last_written(query.at.to(call.callee)).unwrap_or_default();
        let words = vocabulary::words(name);
        hashes |= name == "hexdigest" || words.iter().any(|word| HASHES.contains(&word.as_str()));
    });
    hashes
}

/// Whether the secret of the row that a query gives is verified in the same function: `verify(sent, row.key_hash)`.
fn is_verified_after(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    let mut rows = kept_from(project, unit, query.at, query.function);
    if rows.is_empty() {
        return false;
    }
    let each = run_for_each(unit, query.function, &mut rows);
    let mut found = false;
    for id in each.into_iter().chain([query.function.id]) {
        walk::function_exprs(&unit.ir, id, &mut |expr| {
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            let name = project.last_written(query.at.to(call.callee)).unwrap_or_default();
            let verifies = vocabulary::words(name).iter().any(|word| VERIFIES.contains(&word.as_str()));
            found |= verifies
                && call.args.len() > 1
                && call.args.iter().any(|arg| {
                    let mut secret = false;
                    walk::exprs_below(&unit.ir, arg.value, &mut |own| {
                        secret |= is_secret_of(unit, own, &rows)
                    });
                    secret
                });
        });
    }
    found
        || project.guards(query.function).iter().any(|guard| {
            [(guard.left, guard.right), (guard.right, guard.left)].into_iter().any(|(own, other)| {
                own.module == query.at.module
                    && is_secret_of(unit, own.expr, &rows)
                    && !project.is_fixed(other)
            })
        })
}

/// The functions that are run for each of some rows, `rows.find((row) => …)`, whose parameters are rows then.
fn run_for_each(unit: &Unit, fun: Fun, rows: &mut Vec<BindingId>) -> Vec<FunctionId> {
    let mut found = Vec::new();
    for id in unit.index.inner(fun.id) {
        let Some(Parent::Expr(up)) = unit.index.site(*id).map(|site| unit.index.parent(site)) else {
            continue;
        };
        let ExprKind::Call(call) = unit.ir.expr(up) else { continue };
        let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { continue };
        if super::compared::mentions(unit, *object, rows) {
            let own = unit.ir.function(*id).and_then(|own| own.params.first()?.pattern.as_binding());
            rows.extend(own);
            found.push(*id);
        }
    }
    found
}

/// Whether an expression is the secret that a row has, or its hash: `row.secret`, `row["key_hash"]`.
fn is_secret_of(unit: &Unit, expr: crate::ir::ExprId, rows: &[BindingId]) -> bool {
    let (object, name) = match unit.ir.expr(expr) {
        ExprKind::Member { object, property, .. } => (*object, *property),
        ExprKind::Index { object, index, .. } => match unit.ir.expr(*index) {
            ExprKind::String(text) => (*object, *text),
            _ => return false,
        },
        _ => return false,
    };
    let words = vocabulary::words(unit.ir.text(name));
    let secret = words.iter().any(|word| {
        matches!(word.as_str(), "secret" | "hash" | "hashed" | "password" | "digest" | "passphrase" | "token")
    }) && !words
        .last()
        .is_some_and(|last| matches!(last.as_str(), "id" | "at" | "type" | "count"));
    secret && matches!(unit.ir.expr(object), ExprKind::Name(NameRef::Binding(id)) if rows.contains(id))
}

/// Whether a query is by a part of a row that was found by a secret before, in the same function: `row["id"]`.
fn was_read_by_secret(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    let parts: Vec<At> = query
        .filters
        .iter()
        .copied()
        .filter(|at| matches!(unit.ir.expr(at.expr), ExprKind::Member { .. } | ExprKind::Index { .. }))
        .collect();
    if parts.is_empty() {
        return false;
    }
    let order = project.order(query.at);
    project.queries().iter().any(|other| {
        other.function == query.function
            && other.verb == Verb::Select
            && project.order(other.at) < order
            && is_by_hash(project, other)
            && {
                let rows = kept_from(project, unit, other.at, other.function);
                parts.iter().any(|part| super::compared::mentions(unit, part.expr, &rows))
            }
    })
}

/// The variables of a function that hold what a call gives, or parts of it.
fn kept_from(project: &Project, unit: &Unit, call: At, fun: Fun) -> Vec<BindingId> {
    let mut rows: Vec<BindingId> = Vec::new();
    if let Some(stmt) = unit.index.stmt_of(call.expr)
        && let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt)
    {
        target.for_each_binding(&mut |id| rows.push(id));
    }
    let holds = |expr, rows: &[BindingId]| {
        let mut found = expr == call.expr || super::compared::mentions(unit, expr, rows);
        walk::exprs_below(&unit.ir, expr, &mut |inner| found |= inner == call.expr);
        found
    };
    let around = project.around(fun);
    for _ in 0..3 {
        for (id, _) in unit.ir.bindings() {
            let own = around.iter().any(|around| around.id == unit.ir.binding_function(id))
                && !unit.ir.is_module_level(id);
            if own
                && rows.len() < 16
                && !rows.contains(&id)
                && unit.index.sources(id).iter().any(|source| holds(source.value, &rows))
            {
                rows.push(id);
            }
        }
    }
    rows
}
