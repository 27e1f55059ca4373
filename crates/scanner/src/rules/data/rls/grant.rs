//! Privileges that row-level security does not govern.

use partywall_model::{Axis, Confidence, Severity};

use super::{Found, Note, SchemaRule, is_internal, owned};
use crate::tables::Schema;

pub(super) const RULE: SchemaRule = SchemaRule {
    id: "rls-ungoverned-privilege",
    summary: "A role may TRUNCATE a table of tenants, or everybody may read one that has no row-level security.",
    axis: Axis::Permissions,
    severity: Severity::High,
    cwe: "CWE-732",
    markdown: include_str!("grant.md"),
    check,
};

fn check(schema: &Schema, found: &mut Found<'_>) {
    for table in owned(schema) {
        let name = &table.name;
        for privilege in &table.privileges {
            let everybody = matches!(privilege.role.as_str(), "public" | "anon");
            let has = |word: &str| privilege.privileges.iter().any(|given| given == word || given == "all");
            if everybody && !table.enabled && !schema.dynamic && has("select") {
                found.add(Note {
                    severity: Severity::High,
                    confidence: Confidence::High,
                    place: &privilege.place,
                    message: format!(
                        "everybody (`{}`) may read `{name}`, which has no row-level security",
                        privilege.role
                    ),
                    why: "Every role of the database, or every visitor, sees the rows of every tenant.",
                    fix: format!("REVOKE ALL ON {name} FROM {};", privilege.role),
                    related: vec![(&table.place, format!("`{name}` is made here"))],
                });
            } else if !schema.exposed && table.enabled && has("truncate") && !is_internal(&privilege.role) {
                found.add(Note {
                    severity: Severity::Low,
                    confidence: Confidence::High,
                    place: &privilege.place,
                    message: format!(
                        "`{}` may TRUNCATE `{name}`, which policies do not govern",
                        privilege.role
                    ),
                    why: "TRUNCATE empties the table for every tenant, FORCE or not. GRANT ALL includes it.",
                    fix: format!("REVOKE TRUNCATE, TRIGGER, REFERENCES ON {name} FROM {};", privilege.role),
                    related: Vec::new(),
                });
            }
        }
    }
}
