//! Choices of a tenant that only decide what is asked of tables whose policies ask for the caller.

use crate::{
    ir::StmtKind,
    lang::sql::{Command, Name},
    project::{At, Project},
};

/// Whether a value goes into a variable, and every query that is asked with it meets a table whose policies ask who calls, by a client that is
/// bound by them: another tenant's rows do not come back, whatever is named.
pub(super) fn only_asks_what_policies_allow(project: &Project, chosen: At) -> bool {
    let Some(unit) = project.unit(chosen.module) else { return false };
    let Some(StmtKind::Assign { target, .. }) =
        unit.index.stmt_of(chosen.expr).map(|stmt| unit.ir.stmt(stmt))
    else {
        return false;
    };
    let Some(id) = target.as_binding() else { return false };
    let mut asked = 0_u32;
    let mut tested = 0_u32;
    let uses = unit.index.uses(id);
    for used in uses {
        if is_tested(project, chosen.to(*used)) {
            tested += 1;
            continue;
        }
        let span = unit.ir.span(*used);
        let mut queries = project
            .queries()
            .iter()
            .filter(|query| query.at.module == chosen.module && unit.ir.span(query.at.expr).contains(span))
            .peekable();
        let bound = queries.peek().is_some()
            && queries.all(|query| project.is_behind_policies(query) && asks_caller(project, &query.shown));
        asked += u32::from(bound);
    }
    asked > 0 && usize::try_from(asked + tested).is_ok_and(|all| all == uses.len())
}

/// Whether a use only asks whether there is a value: `if (companyId)`.
fn is_tested(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    unit.index
        .stmt_of(at.expr)
        .is_some_and(|stmt| matches!(unit.ir.stmt(stmt), StmtKind::If { test: own, .. } if *own == at.expr))
}

/// Whether the policies by which rows of a table are seen ask for the caller, each of them.
fn asks_caller(project: &Project, shown: &str) -> bool {
    let table = project.tables.table(&Name::bare(shown)).or_else(|| project.tables.model(shown));
    table.is_some_and(|table| {
        let mut seen = table
            .policies
            .iter()
            .map(|placed| &placed.policy)
            .filter(|policy| policy.permissive && matches!(policy.command, Command::Select | Command::All))
            .peekable();
        seen.peek().is_some()
            && seen.all(|policy| policy.using.as_ref().is_some_and(|using| using.asks_caller))
    })
}
