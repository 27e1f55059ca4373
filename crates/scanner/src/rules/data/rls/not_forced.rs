//! Policies that do not apply to the owner of the tables.

use partywall_model::{Axis, Confidence, Severity};

use super::{Found, Note, SchemaRule, owned};
use crate::tables::Schema;

pub(super) const RULE: SchemaRule = SchemaRule {
    id: "rls-not-forced",
    summary: "Row-level security is not forced, so that the tables' owner does not meet it.",
    axis: Axis::Permissions,
    severity: Severity::Low,
    cwe: "CWE-284",
    markdown: include_str!("not_forced.md"),
    check,
};

fn check(schema: &Schema, found: &mut Found<'_>) {
    // Clients that speak to the database themselves never do so as the owner.
    if schema.exposed || schema.dynamic {
        return;
    }
    let tables: Vec<_> =
        owned(schema).filter(|table| table.enabled && !table.forced && !table.policies.is_empty()).collect();
    let Some(first) = tables.first() else { return };
    let names: Vec<String> = tables.iter().take(5).map(|table| format!("`{}`", table.name)).collect();
    let more = tables.len().saturating_sub(5);
    let others = if more > 0 { format!(" and {more} more") } else { String::new() };
    found.add(Note {
        severity: Severity::Low,
        confidence: Confidence::Medium,
        place: first.enabled_at.as_ref().unwrap_or(&first.place),
        message: format!("row-level security is not forced for {}{others}", names.join(", ")),
        why: "A table's owner, and every member of that role, does not meet its policies. That is the case when the \
              application connects with the role that runs the migrations.",
        fix: tables
            .iter()
            .take(5)
            .map(|table| format!("ALTER TABLE {} FORCE ROW LEVEL SECURITY;", table.name))
            .collect::<Vec<_>>()
            .join("\n"),
        related: Vec::new(),
    });
}
