//! A query of rows that belong to tenants or users, without saying whose.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Owned, Query, Scope, lists_owners},
    ir::{ExprKind, NameRef, StmtKind, walk},
    lang::sql::{Name, Verb},
    project::{At, Fun, Parent, Project},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "unscoped-query",
        layer: Layer::Data,
        summary: "A query reads, changes or deletes rows of tenants or users without naming whose they are.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "Whoever knows or guesses an id reaches the row, whoever it belongs to.",
    fix: "Test for the owner in the same query, with the verified principal as a required value, or compare the row's owner and refuse before it is used.",
    cwe: &["CWE-639", "CWE-862"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("unscoped_query.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    for (query, is) in open(project) {
        judge(project, query, is, report);
    }
}

/// The queries that name nobody, though the rows may belong to somebody and nothing is compared.
pub(super) fn open(project: &Project) -> Vec<(&Query, Owned)> {
    let queries = project.queries();
    let owned = project.owned_entities(queries);
    let rows = queries.iter().any(|query| query.scope != Scope::None);
    let asked = |query: &&Query| query.scope == Scope::None && query.verb != Verb::Insert && project.has_owners(query.at.module);
    let known = queries.iter().filter(asked).map(|query| (query, owned.get(&query.entity).copied().unwrap_or(Owned::Unknown)));
    known
        .filter(|(query, is)| {
            *is != Owned::No && !skipped(project, query) && (*is != Owned::Unknown || rows) && !is_checked(project, query)
        })
        .collect()
}

fn judge(project: &Project, query: &Query, is: Owned, report: &mut Report<'_>) {
    let chosen = query.filters.iter().any(|at| project.origins(*at).is_chosen());
    let does = match query.verb {
        Verb::Select => "reads",
        Verb::Update => "changes",
        Verb::Delete => "deletes",
        Verb::Insert => "adds",
    };
    let known = match is {
        Owned::Yes => "whose rows have an owner",
        Owned::Sibling => "for which other queries name an owner",
        _ => "of which nothing says that its rows are everybody's",
    };
    let found = report.reached(query.at, format!("this query {does} `{}`, {known}, without naming one", query.shown));
    match is {
        Owned::Yes | Owned::Sibling if chosen && !callers_check(project, query) => {}
        Owned::Yes | Owned::Sibling => {
            found.severity(Severity::Medium).confidence(Confidence::Medium);
        }
        _ => {
            found.severity(Severity::Low).confidence(Confidence::Low);
        }
    }
}

/// Whether every caller of the function that a query stands in compares an owner with the verified one: a route that reads the
/// row, refuses a foreign one, and then asks a function of queries to change it.
fn callers_check(project: &Project, query: &Query) -> bool {
    let callers = project.callers(query.function);
    !callers.is_empty()
        && callers.iter().take(CALLERS).all(|call| {
            let order = project.order(*call);
            let fun = project.function_of(*call);
            project.around(fun).into_iter().any(|around| {
                project.guards(around).iter().any(|guard| {
                    let earlier = around != fun || guard.order <= order;
                    let names_owner = |side: At| project.written(side).last().is_some_and(|name| vocabulary::is_owner(name));
                    let verified = |side: At| project.origins(side).has_owner();
                    let pair = (names_owner(guard.left) && verified(guard.right)) || (names_owner(guard.right) && verified(guard.left));
                    earlier && pair
                })
            })
        })
}

/// Of how many callers the checks are looked for.
const CALLERS: usize = 32;

/// Queries that are no tenant's business, or are looked up by what only one party has.
fn skipped(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return true };
    let path = unit.ir.path.to_lowercase();
    let aside = path.split(['/', '.', '_', '-']).any(|part| {
        matches!(part, "migrations" | "migration" | "migrate" | "seed" | "seeds" | "admin" | "alembic" | "scripts" | "backup" | "cron" | "cleanup" | "maintenance" | "bootstrap")
    });
    if aside || query.function.id == crate::ir::FunctionId::MODULE {
        return true;
    }
    let table = project.tables.table(&Name::bare(&query.shown));
    if table.is_some_and(|table| table.enabled && !table.policies.is_empty()) {
        return true;
    }
    // Rows of the list of users or tenants are looked up by the verified caller.
    if lists_owners(&query.shown) && query.filters.iter().any(|at| project.origins(*at).has_owner()) {
        return true;
    }
    let name = project.function_name(query.function).to_lowercase();
    if ["cleanup", "purge", "expire", "prune", "migrate", "seed", "login", "authenticate", "verify", "health", "init", "_all_tenants", "sweep", "reap"].iter().any(|word| name.contains(word)) {
        return true;
    }
    let text = project.snippet(query.at).to_lowercase();
    let secret = ["token", "email", "api_key", "apikey", "key_hash", "keyhash", "secret", "session_id", "state", "code_verifier"];
    // An authorization code, an invitation, a code that was mailed: whoever has it may use it.
    let codes = ["auth", "code", "otp", "invit", "verification"].iter().any(|word| query.shown.to_lowercase().contains(word));
    let secret = secret.into_iter().chain(codes.then_some("code"));
    // The connection, the table and the functions of the query builder stand among what it names.
    let own = |at: &&At| !project.is_fixed(**at) && !is_of_module(project, **at);
    let few = query.filters.iter().filter(own).count() <= 2;
    few && secret.into_iter().any(|word| text.contains(word) && names_filter(project, query, word))
}

fn is_of_module(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    matches!(unit.ir.expr(at.expr), ExprKind::Name(NameRef::Binding(id)) if unit.ir.is_module_level(*id))
}

/// Whether a filter's value is named so: a row that is found by a token is its bearer's. A token's id is no secret.
fn names_filter(project: &Project, query: &Query, word: &str) -> bool {
    query.filters.iter().any(|at| {
        let text = project.snippet(*at);
        let words = vocabulary::words(text);
        let is_id = words.len() > 1 && words.last().is_some_and(|last| matches!(last.as_str(), "id" | "ids" | "uuid"));
        text.to_lowercase().contains(word) && (word.ends_with("id") || !is_id)
    })
}

/// Whether an earlier query of the function found the same rows by the same id and their owner: `findFirst({ id, userId })`, then
/// `delete({ id })`.
fn found_before(project: &Project, query: &Query) -> bool {
    let order = project.order(query.at);
    let ids: Vec<_> = query.filters.iter().flat_map(|at| project.roots(*at)).collect();
    project.queries().iter().any(|other| {
        other.function == query.function
            && other.scope == Scope::Owner
            && other.verb == Verb::Select
            && other.entity == query.entity
            && project.order(other.at) < order
            && other.filters.iter().any(|at| project.roots(*at).iter().any(|root| ids.contains(root)))
    })
}

/// Whether the owner is compared before the query or on the row it gives, or the function is told an owner and checks it.
fn is_checked(project: &Project, query: &Query) -> bool {
    if query.filters.iter().any(|at| !project.is_fixed(*at) && project.is_checked(*at)) || found_before(project, query) {
        return true;
    }
    let Some(unit) = project.unit(query.at.module) else { return false };
    // What the row, or a part of it, is compared with afterwards.
    let mut at = query.at.expr;
    for _ in 0..6 {
        match unit.index.parent(at) {
            Parent::Expr(parent) => at = parent,
            Parent::Stmt(stmt) => {
                let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
                let mut bindings = Vec::new();
                target.for_each_binding(&mut |id| bindings.push(id));
                let mut copies = bindings.clone();
                for (id, _) in unit.ir.bindings() {
                    let from = unit.index.sources(id).iter().any(|source| mentions(unit, source.value, &bindings));
                    if from && copies.len() < 16 {
                        copies.push(id);
                    }
                }
                return compares_owner(project, query.function, unit, &copies);
            }
            _ => return false,
        }
    }
    false
}

fn mentions(unit: &crate::project::Unit, expr: crate::ir::ExprId, bindings: &[crate::ir::BindingId]) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, expr, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if bindings.contains(id));
    });
    found
}

fn compares_owner(project: &Project, fun: Fun, unit: &crate::project::Unit, bindings: &[crate::ir::BindingId]) -> bool {
    project.guards(fun).iter().any(|guard| {
        [guard.left, guard.right].iter().any(|side| {
            let mut row = false;
            let mut owner = false;
            walk::exprs_below(&unit.ir, side.expr, &mut |expr| match unit.ir.expr(expr) {
                ExprKind::Name(NameRef::Binding(id)) => row |= bindings.contains(id),
                ExprKind::Member { property, .. } => owner |= vocabulary::is_owner(unit.ir.text(*property)),
                _ => {}
            });
            let call = guard.right != *side && matches!(unit.ir.expr(guard.right.expr), ExprKind::Call(_));
            let other = At { module: fun.module, expr: if *side == guard.left { guard.right.expr } else { guard.left.expr } };
            row && (owner || (call && project.snippet(other).to_lowercase().contains("user")))
        })
    })
}
