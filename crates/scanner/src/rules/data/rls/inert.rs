//! Policies that do not apply, because row-level security is off.

use partywall_model::{Axis, Confidence, Severity};

use super::{Found, Note, SchemaRule, owned};
use crate::tables::Schema;

pub(super) const RULE: SchemaRule = SchemaRule {
    id: "rls-policies-inert",
    summary: "A table has policies, but row-level security is not enabled for it, so that they do nothing.",
    axis: Axis::Security,
    severity: Severity::High,
    cwe: "CWE-284",
    markdown: include_str!("inert.md"),
    check,
};

fn check(schema: &Schema, found: &mut Found<'_>) {
    if schema.dynamic {
        return;
    }
    for table in owned(schema).filter(|table| !table.enabled && table.partition_of.is_none()) {
        let Some(policy) = table.policies.first() else { continue };
        let name = &table.name;
        found.add(Note {
            severity: Severity::High,
            confidence: Confidence::High,
            place: &policy.place,
            message: format!("`{name}` has policies, but row-level security is not enabled for it"),
            why: "PostgreSQL keeps policies of a table without row-level security and does not apply them: every row is seen.",
            fix: format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;\nALTER TABLE {name} FORCE ROW LEVEL SECURITY;"),
            related: vec![(&table.place, format!("`{name}` is made here"))],
        });
    }
}
