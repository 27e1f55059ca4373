//! Who may ask for a query's rows: several callers, or nobody who could be told from another.

use crate::{
    flow::{Origins, Query, is_repository},
    ir::{ExprId, ExprKind, NameRef, walk},
    lang::sql::Name,
    project::{At, Fun, Project},
    vocabulary,
};

/// How many functions a call may be of that are looked at.
const TARGETS: usize = 4;

/// Whether several may ask for a query's rows. Where no handler knows who calls, the owner of a repository, a folder or the author of a
/// note is no caller.
pub(super) fn has_callers(project: &Project, query: &Query) -> bool {
    project.has_owners(query.at.module)
        && (!is_of_a_thing(project, query) || project.handlers_know_callers(query.at.module))
}

/// Whether the owner of a query's rows is a word that is as often said of things: `owner`, `workspace`, `author`, `created_by`.
fn is_of_a_thing(project: &Project, query: &Query) -> bool {
    const THINGS: &[&str] =
        &["owner", "workspace", "author", "by", "repo", "repository", "project", "namespace", "group"];
    const STEPS: usize = 4;
    let mut table =
        project.tables.table(&Name::bare(&query.shown)).or_else(|| project.tables.model(&query.shown));
    // Rows below another table's are whose those are.
    for _ in 0..STEPS {
        let through = table.and_then(|table| table.owner.as_ref()?.through.as_deref());
        let Some(parent) = through.and_then(|name| project.tables.table(&Name::bare(name))) else { break };
        table = Some(parent);
    }
    let columns = table
        .into_iter()
        .flat_map(|table| &table.columns)
        .filter(|column| vocabulary::is_owner(&column.name));
    let mut any = false;
    for column in columns {
        any = true;
        if !vocabulary::words(&column.name).iter().any(|word| THINGS.contains(&word.as_str())) {
            return false;
        }
    }
    any
}

/// Whether a query is a call of a repository that the project writes itself: what its method asks for is what counts.
pub(super) fn is_of_own_repository(project: &Project, query: &Query) -> bool {
    let Some(callee) = project.callee(query.at).filter(|_| !query.is_sql) else { return false };
    callee
        .targets
        .iter()
        .take(TARGETS)
        .any(|target| project.this_of(*target).is_some_and(|class| is_repository(project.class_name(class))))
}

/// Whether a handler that has another function ask for rows may have looked itself whose they are: it compares something with the caller or
/// tells ranks apart, or compares what the row is found by with what it listed for the caller. What stands in the handler itself is seen.
pub(super) fn is_left_to_handler(project: &Project, query: &Query) -> bool {
    let around = project.around(query.function);
    if around.iter().any(|fun| project.entry(*fun).is_some()) {
        return false;
    }
    let from = around.into_iter().find_map(|fun| project.reach(fun)?.from);
    from.is_some_and(|(handler, call)| {
        compares_caller(project, handler)
            || project.tells_ranks_apart(handler)
            || finds_among_callers(project, handler, call)
    })
}

/// Whether a function is told the caller, and compares what it gives to a call with something: `keys = list_of(user)`, a key of the id
/// among them, `delete(id)`.
fn finds_among_callers(project: &Project, fun: Fun, handed: At) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let ExprKind::Call(given) = unit.ir.expr(handed.expr) else { return false };
    let ids: Vec<_> = given.args.iter().flat_map(|arg| project.roots(handed.to(arg.value))).collect();
    let (mut told, mut compared) = (false, false);
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        match unit.ir.expr(expr) {
            ExprKind::Call(call) if at != handed => {
                told |= call.args.iter().any(|arg| {
                    let origins = project.origins(at.to(arg.value));
                    origins.has(Origins::PRINCIPAL) && !origins.is_chosen()
                });
            }
            ExprKind::Compare { left, right, .. } => {
                let is_id = |side: ExprId| matches!(unit.ir.expr(side), ExprKind::Name(NameRef::Binding(id)) if ids.contains(id));
                let is_part = |side: ExprId| {
                    matches!(unit.ir.expr(side), ExprKind::Member { .. } | ExprKind::Index { .. })
                };
                compared |= (is_id(*left) && is_part(*right)) || (is_id(*right) && is_part(*left));
            }
            _ => {}
        }
    });
    told && compared
}

/// Whether a function compares anything with the verified caller: the row that it read by the same id, as a rule.
pub(super) fn compares_caller(project: &Project, fun: Fun) -> bool {
    let is_caller = |side: At| {
        let origins = project.origins(side);
        origins.has(Origins::PRINCIPAL) && !origins.is_chosen()
    };
    project.guards(fun).iter().any(|guard| {
        [(guard.left, guard.right), (guard.right, guard.left)]
            .into_iter()
            .any(|(own, other)| is_caller(own) && !project.is_fixed(other) && !is_caller(other))
    })
}
