//! Statements whose text is only searched for the name of an owner's column before they run:
//! `if "tenant_id" not in sql: raise`, and then `execute(sql)`.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{CompareOp, ExprId, ExprKind, FunctionId, Kinds, NameRef, walk},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Methods that run a statement.
const RUNS: &[&str] = &[
    "execute",
    "executemany",
    "fetch",
    "fetchall",
    "fetchrow",
    "fetch_all",
    "query",
    "raw",
    "run",
    "exec",
    "read_sql",
    "sql",
    "$queryRawUnsafe",
    "queryRawUnsafe",
    "unsafe",
    "all",
];

/// Reports where such a statement runs.
pub(super) fn named_in_text(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (expr, _) in unit.ir.exprs_of(Kinds::COMPARE | Kinds::CALL) {
            let Some((name, text)) = searched(unit, expr) else { continue };
            let at = At { module, expr };
            let fun = project.function_of(at);
            if fun.id == FunctionId::MODULE || project.is_fixed(at.to(text)) {
                continue;
            }
            if let Some(run) = runs_after(project, unit, at, text) {
                report
                    .reached(run, format!("that `{name}` stands somewhere in this statement does not say whose rows it asks for"))
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium)
                    .related(module, project.span(at), "the text is searched here, and nothing else looks whose rows are meant");
            }
        }
    }
}

/// The column of an owner that a text is searched for, and the text: `"tenant_id" not in sql`, `sql.includes("tenant_id")`.
fn searched(unit: &Unit, expr: ExprId) -> Option<(&str, ExprId)> {
    let column = |value: ExprId| match unit.ir.expr(value) {
        ExprKind::String(text) => Some(unit.ir.text(*text)).filter(|text| vocabulary::is_owner(text)),
        _ => None,
    };
    match unit.ir.expr(expr) {
        ExprKind::Compare { op: CompareOp::In | CompareOp::NotIn, left, right } => {
            Some((column(*left)?, *right)).filter(|(_, text)| says_sql(unit, *text))
        }
        ExprKind::Call(call) => {
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
            let searches = matches!(unit.ir.text(*property), "includes" | "match");
            Some((column(call.positional(0).filter(|_| searches)?)?, *object))
                .filter(|(_, text)| says_sql(unit, *text))
        }
        _ => None,
    }
}

/// Whether a value, or what a variable was set to, is named for a statement.
fn says_sql(unit: &Unit, text: ExprId) -> bool {
    let says = |value: ExprId| {
        let words = vocabulary::words(unit.ir.snippet(unit.ir.span(value)));
        words.iter().any(|word| matches!(word.as_str(), "sql" | "query" | "statement" | "stmt"))
    };
    let sources = match unit.ir.expr(text) {
        ExprKind::Name(NameRef::Binding(id)) => unit.index.sources(*id),
        _ => &[],
    };
    says(text) || sources.iter().take(4).any(|source| says(source.value))
}

/// The call after a search that runs what the text was made of.
fn runs_after(project: &Project, unit: &Unit, search: At, text: ExprId) -> Option<At> {
    let fun = project.function_of(search);
    let (roots, order) = (project.roots(search.to(text)), project.order(search));
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = search.to(expr);
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let runs = project.last_written(at).is_some_and(|name| RUNS.contains(&name));
        if found.is_some() || !runs || project.order(at) <= order {
            return;
        }
        let Some(first) = call.args.first() else { return };
        let own = project.roots(at.to(first.value));
        let one = call.args.len() == 1;
        found = (one && own.iter().any(|root| roots.contains(root))).then_some(at);
    });
    found
}
