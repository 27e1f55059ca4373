//! Row-level security without a policy that lets anything through.

use partywall_model::{Axis, Confidence, Severity};

use super::{Found, Note, SchemaRule, owned, predicate};
use crate::tables::Schema;

pub(super) const RULE: SchemaRule = SchemaRule {
    id: "rls-no-policy",
    summary: "Row-level security is enabled for a table without a policy that lets a row through.",
    axis: Axis::Maintenance,
    severity: Severity::Low,
    cwe: "CWE-284",
    markdown: include_str!("no_policy.md"),
    check,
};

fn check(schema: &Schema, found: &mut Found<'_>) {
    // Where clients speak to the database themselves, a table without policies is one that only the service reads.
    if schema.dynamic || schema.exposed {
        return;
    }
    for table in owned(schema).filter(|table| table.enabled && table.partition_of.is_none()) {
        if table.promised || table.policies.iter().any(|placed| placed.policy.permissive) {
            continue;
        }
        let name = &table.name;
        let what = if table.policies.is_empty() { "no policy" } else { "only policies that hold rows back" };
        found.add(Note {
            severity: Severity::Low,
            confidence: Confidence::Medium,
            place: table.enabled_at.as_ref().unwrap_or(&table.place),
            message: format!("`{name}` has row-level security and {what}, so that nobody but its owner sees a row"),
            why: "It is safe and does not work; in a hurry it is mended with `USING (true)` or with a stronger role.",
            fix: format!("CREATE POLICY tenant ON {name} USING ({});", predicate(schema, table)),
            related: Vec::new(),
        });
    }
}
