//! A policy that does not ask who the caller is.

use partywall_model::{Axis, Confidence, Severity};

use super::{
    Found, Note, SchemaRule,
    always_true::{applies, held_back},
    is_shared, of_tenants, owned, predicate,
};
use crate::{lang::sql::Condition, tables::Schema};

pub(super) const RULE: SchemaRule = SchemaRule {
    id: "rls-policy-without-caller",
    summary: "A policy of a table of tenants tests the row alone and not whose it is.",
    axis: Axis::Security,
    severity: Severity::Medium,
    cwe: "CWE-284",
    markdown: include_str!("without_caller.md"),
    check,
};

fn check(schema: &Schema, found: &mut Found<'_>) {
    for table in owned(schema).filter(|table| table.enabled && of_tenants(table)) {
        for placed in &table.policies {
            let policy = &placed.policy;
            // What a row is after a change is tested apart from what it was.
            let conditions = [&policy.using, &policy.check].into_iter().flatten();
            let Some(condition) = conditions.into_iter().find(|condition| row_alone(condition)) else {
                continue;
            };
            if !applies(policy) || held_back(table, policy) {
                continue;
            }
            found.add(Note {
                severity: Severity::Medium,
                confidence: Confidence::Medium,
                place: &placed.place,
                message: format!("policy `{}` of `{}` does not ask for the caller: `{}`", policy.name, table.name, condition.text),
                why: "The same rows pass for every tenant, since nothing in the condition depends on who asks.",
                fix: format!("Add the tenant to the condition: {}", predicate(schema, table)),
                related: vec![(&table.place, format!("`{}` is made here", table.name))],
            });
        }
    }
}

/// Whether a condition depends on the row only, and not on a column by which rows are shared on purpose.
fn row_alone(condition: &Condition) -> bool {
    !condition.always
        && !condition.never
        && !condition.asks_caller
        && !condition.text.is_empty()
        && !is_shared(&condition.text)
}
