//! A look whether there is a member of what the caller wants to reach, and not whether the caller is one:
//! `Member.objects.filter(family=family, role="organizer").exists()`.

use partywall_model::Confidence;

use crate::{
    flow::Query,
    ir::{ArgKind, ExprId, ExprKind, NameRef, Pattern, PropertyKey, StmtId, StmtKind, walk},
    lang::sql::Verb,
    project::{Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Words of rows that say who belongs to what.
const MEMBERS: &[&str] = &[
    "member",
    "members",
    "membership",
    "memberships",
    "participant",
    "participants",
    "collaborator",
    "collaborators",
];

/// Words of names that say which member is meant.
const PERSONS: &[&str] = &[
    "user",
    "users",
    "person",
    "profile",
    "account",
    "email",
    "caller",
    "principal",
    "actor",
    "sub",
    "uid",
    "me",
    "invitee",
    "member",
    "id",
    "pk",
    "uuid",
    "token",
    "code",
    "employee",
    "customer",
    "author",
    "owner",
    "self",
    "identity",
    "subject",
    "participant",
    "collaborator",
];

/// What stands in code that refuses somebody for who they are.
const REFUSALS: &[&str] = &[
    "403",
    "401",
    "forbid",
    "permission",
    "unauthor",
    "denied",
    "not a member",
    "notallowed",
    "not allowed",
    "access",
];

/// Reports such queries.
pub(super) fn anybodys_membership(project: &Project, report: &mut Report<'_>) {
    for query in project.queries().iter().filter(|query| !query.is_sql && query.verb == Verb::Select) {
        let words = vocabulary::words(&query.shown);
        if !words.iter().any(|word| MEMBERS.contains(&word.as_str()))
            || words.len() < 2 && !words.iter().any(|word| word.starts_with("membership"))
        {
            continue;
        }
        let Some(unit) = project.unit(query.at.module) else { continue };
        let several = query.filters.iter().any(|at| !project.is_fixed(*at));
        if several && decides(project, unit, query) && knows_caller(unit, query) && !names_person(unit, query)
        {
            let text = format!(
                "this asks whether anybody is a `{}` of what is meant, and not whether the caller is",
                query.shown
            );
            report.reached(query.at, text).confidence(Confidence::Medium);
        }
    }
}

/// Whether a function speaks of who calls: it has a request, a user, or a session.
fn knows_caller(unit: &Unit, query: &Query) -> bool {
    unit.ir.bindings().any(|(id, binding)| {
        let name = unit.ir.text(binding.name);
        unit.ir.binding_function(id) == query.function.id
            && (vocabulary::is_user(name)
                || vocabulary::is_principal(name)
                || matches!(name, "request" | "req" | "user" | "session"))
    })
}

/// Whether a query names a person, or a row by its own id.
fn names_person(unit: &Unit, query: &Query) -> bool {
    let says = |name: &str| vocabulary::words(name).iter().any(|word| PERSONS.contains(&word.as_str()));
    let column = |name: &str| {
        // `family_id` says the family.
        let words = vocabulary::words(name);
        match words.as_slice() {
            [.., last] if words.len() > 1 && matches!(last.as_str(), "id" | "pk" | "uuid") => {
                says(&words.get(..words.len() - 1).unwrap_or_default().join("_"))
            }
            _ => says(name),
        }
    };
    let mut found = false;
    walk::exprs_below(&unit.ir, query.at.expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let name = unit.ir.binding_name(*id);
            found |= !name.starts_with(char::is_uppercase)
                && (column(name) || is_conditions(name))
                && !is_carrier(name);
        }
        ExprKind::Member { property, .. } => {
            let name = unit.ir.text(*property);
            found |= name != query.shown && column(name);
        }
        ExprKind::String(text) => {
            let name = unit.ir.text(*text);
            found |= name.contains('_') && column(name) || matches!(name, "user" | "id" | "pk");
        }
        ExprKind::Object(properties) => properties.iter().for_each(|own| match own.key {
            PropertyKey::Name(name) => found |= column(unit.ir.text(name)),
            _ => found = true,
        }),
        ExprKind::Call(call) => call.args.iter().for_each(|arg| match arg.kind {
            ArgKind::Keyword(name) => found |= column(unit.ir.text(name)),
            ArgKind::Positional => {}
            _ => found = true,
        }),
        _ => {}
    });
    found
}

/// Whether a name is that of conditions that were made elsewhere: what they name is not seen.
fn is_conditions(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| {
        matches!(
            word.as_str(),
            "filter"
                | "filters"
                | "condition"
                | "conditions"
                | "where"
                | "query"
                | "criteria"
                | "clauses"
                | "q"
        )
    })
}

/// Whether a name is that of what a query is asked of.
fn is_carrier(name: &str) -> bool {
    matches!(name, "session" | "db" | "prisma" | "self")
}

/// Whether what a query gives only decides: it is given back by a function that says whether, or tested where somebody is refused.
fn decides(project: &Project, unit: &Unit, query: &Query) -> bool {
    let mut here = query.at.expr;
    let mut truth = project.last_written(query.at) == Some("exists");
    for _ in 0..8 {
        match unit.index.parent(here) {
            Parent::Expr(up) => {
                match unit.ir.expr(up) {
                    ExprKind::Compare { right, .. } => {
                        truth |= matches!(unit.ir.expr(*right), ExprKind::Null)
                    }
                    ExprKind::Unary { .. } | ExprKind::Logical { .. } => truth = true,
                    ExprKind::Await(_) | ExprKind::Member { .. } => {}
                    // `bool(session.scalar(…))`
                    ExprKind::Call(call) => {
                        truth |=
                            matches!(project.last_written(query.at.to(call.callee)), Some("bool" | "Boolean"))
                    }
                    _ => return false,
                }
                here = up;
            }
            Parent::Stmt(stmt) => {
                return match unit.ir.stmt(stmt) {
                    StmtKind::Return(_) => truth && says_whether(project.function_name(query.function)),
                    StmtKind::If { then, .. } => refuses(unit, then),
                    StmtKind::Assign { target: Pattern::Binding(id), .. } => {
                        let uses = unit.index.uses(*id);
                        !uses.is_empty() && uses.iter().all(|used| is_refused(unit, *used))
                    }
                    _ => false,
                };
            }
            _ => return false,
        }
    }
    false
}

/// Whether a function's name says that it gives yes or no: `is_member`, `has_object_permission`.
fn says_whether(name: &str) -> bool {
    let words = vocabulary::words(name);
    let asks = words
        .first()
        .is_some_and(|first| matches!(first.as_str(), "is" | "has" | "can" | "may" | "check" | "verify"));
    // `has_members`, `has_any_admin`: whether there is somebody is what is asked.
    let anybody = words.iter().any(|word| {
        matches!(word.as_str(), "any" | "members" | "users" | "admins" | "other" | "others" | "last" | "only")
    });
    asks && !anybody
}

/// Whether a use of a variable is the test of a branch that refuses.
fn is_refused(unit: &Unit, used: ExprId) -> bool {
    let mut here = used;
    for _ in 0..6 {
        match unit.index.parent(here) {
            Parent::Expr(up)
                if matches!(
                    unit.ir.expr(up),
                    ExprKind::Unary { .. } | ExprKind::Compare { .. } | ExprKind::Logical { .. }
                ) =>
            {
                here = up
            }
            Parent::Stmt(stmt) => {
                return matches!(unit.ir.stmt(stmt), StmtKind::If { test, then, .. } if *test == here && refuses(unit, then));
            }
            _ => return false,
        }
    }
    false
}

/// Whether a branch refuses somebody for who they are.
fn refuses(unit: &Unit, block: &[StmtId]) -> bool {
    let text: String =
        block.iter().map(|stmt| unit.ir.snippet(unit.ir.stmt_span(*stmt)).to_lowercase()).collect();
    REFUSALS.iter().any(|word| text.contains(word))
}
