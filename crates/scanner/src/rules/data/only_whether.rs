//! Queries whose rows are given to nobody: whether a name is taken, one more in a counter.

use crate::{
    flow::Query,
    ir::{ExprId, ExprKind, Pattern, StmtId, StmtKind, walk},
    lang::sql::Verb,
    project::{Parent, Project, Unit},
    vocabulary,
};

/// Words of the columns that are asked for a name that may be taken.
const NAMES: &[&str] = &[
    "name",
    "email",
    "slug",
    "username",
    "title",
    "code",
    "domain",
    "handle",
    "phone",
    "login",
    "subdomain",
    "mail",
];

/// Whether a query is only asked whether a name is taken: it finds by one, and its rows are tested and then forgotten, where a branch refuses.
pub(super) fn is_only_whether(project: &Project, query: &Query) -> bool {
    if query.verb != Verb::Select {
        return false;
    }
    let Some(unit) = project.unit(query.at.module) else { return false };
    let says = |text: &str| vocabulary::words(text).iter().any(|word| NAMES.contains(&word.as_str()));
    let named = query.filters.iter().any(|at| says(project.snippet(*at)))
        || query.tests.iter().any(|column| says(column))
        || (!query.is_sql && says(project.snippet(query.at)));
    if !named {
        return false;
    }
    // `Plan.objects.filter(slug=slug).exists()`
    if project.last_written(query.at) == Some("exists") {
        return true;
    }
    let Some(stmt) = unit.index.stmt_of(query.at.expr) else { return false };
    match unit.ir.stmt(stmt) {
        StmtKind::If { then, .. } => ends(unit, then),
        StmtKind::Assign { target: Pattern::Binding(id), .. } => {
            let uses = unit.index.uses(*id);
            !uses.is_empty() && uses.iter().all(|used| is_tested(unit, *used))
        }
        _ => false,
    }
}

/// Whether a use of a variable stands in the test of a branch that refuses: `if (taken.rows.length > 0) throw …`.
fn is_tested(unit: &Unit, used: ExprId) -> bool {
    let mut here = used;
    for _ in 0..8 {
        match unit.index.parent(here) {
            Parent::Expr(up) => match unit.ir.expr(up) {
                ExprKind::Member { object, .. } if *object == here => here = up,
                ExprKind::Index { .. }
                | ExprKind::Compare { .. }
                | ExprKind::Logical { .. }
                | ExprKind::Unary { .. } => here = up,
                // `len(taken.data)`
                ExprKind::Call(call) if call.args.len() <= 1 => here = up,
                _ => return false,
            },
            Parent::Stmt(stmt) => {
                return matches!(unit.ir.stmt(stmt), StmtKind::If { test, then, .. } if *test == here && ends(unit, then));
            }
            _ => return false,
        }
    }
    false
}

/// Whether a branch refuses: it throws or leaves.
fn ends(unit: &Unit, block: &[StmtId]) -> bool {
    let mut found = false;
    walk::stmts_below(&unit.ir, block, &mut |stmt| {
        found |= match unit.ir.stmt(stmt) {
            StmtKind::Throw(_) | StmtKind::Return(_) => true,
            StmtKind::Expr(expr) => gathers_refusal(unit, *expr),
            _ => false,
        };
    });
    found
}

/// Whether a call adds to what the caller is told is wrong: `errors.push(…)`, `invalidFields.append(…)`.
fn gathers_refusal(unit: &Unit, expr: ExprId) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(expr) else { return false };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return false };
    let words = vocabulary::words(unit.ir.snippet(unit.ir.span(*object)));
    matches!(unit.ir.text(*property), "push" | "append" | "add")
        && words.iter().any(|word| {
            matches!(word.as_str(), "error" | "errors" | "invalid" | "issues" | "problems" | "violations")
        })
}

/// Whether all that a statement changes is a number that goes up by one: `UPDATE papers SET views = views + 1 WHERE id = $1`.
pub(super) fn only_steps(project: &Project, query: &Query) -> bool {
    if !query.is_sql || query.verb != Verb::Update {
        return false;
    }
    let text = project.snippet(query.at).to_lowercase();
    let Some((_, sets)) = text.split_once(" set ") else { return false };
    let sets = sets.split(" where ").next().unwrap_or(sets);
    !sets.contains("returning")
        && sets.split(',').all(|set| {
            let Some((column, value)) = set.split_once('=') else { return false };
            let (column, value) = (column.trim(), value.trim());
            value.strip_prefix(column).is_some_and(|rest| {
                let rest = rest.trim_start();
                rest.strip_prefix('+')
                    .is_some_and(|step| step.trim().chars().all(|char| char.is_ascii_digit()))
            })
        })
}

/// Whether a statement reads nothing but one number of all rows: `SELECT MAX(user_id) + 1 FROM users`.
pub(super) fn only_a_number(project: &Project, query: &Query) -> bool {
    if !query.is_sql && query.verb == Verb::Select && only_counts(project, query) {
        return true;
    }
    if !query.is_sql || query.verb != Verb::Select || !query.filters.is_empty() {
        return false;
    }
    let text = project.snippet(query.at).to_lowercase();
    let Some((_, rest)) = text.split_once("select ") else { return false };
    let Some((columns, rest)) = rest.split_once(" from ") else { return false };
    let number = ["max(", "min(", "count(", "sum(", "avg(", "coalesce(max("]
        .iter()
        .any(|call| columns.trim_start().starts_with(call));
    number && !columns.contains(',') && !rest.contains("group by") && !rest.contains("where")
}

/// Whether all that a query of an ORM gives is how many rows there are: `.count()`, `select(func.count())`, `{ total: count() }`.
fn only_counts(project: &Project, query: &Query) -> bool {
    let text: String = project.snippet(query.at).split_whitespace().collect();
    let Some(Some(last)) = project.unit(query.at.module).map(|unit| match unit.ir.expr(query.at.expr) {
        ExprKind::Call(call) => project.last_written(query.at.to(call.callee)),
        _ => None,
    }) else {
        return false;
    };
    matches!(last, "count" | "countDocuments" | "count_documents")
        || ["select(func.count(", "query(func.count("].iter().any(|begin| text.contains(begin))
        || text.contains("select({") && text.contains(":count(") && text.matches(':').count() == 1
}
