//! A table of tenants without row-level security, in a schema that relies on it.

use partywall_model::{Axis, Confidence, Severity};

use super::{Found, Note, SchemaRule, is_public, owned, predicate};
use crate::tables::{Schema, Table};

pub(super) const RULE: SchemaRule = SchemaRule {
    id: "rls-not-enabled",
    summary: "A table of tenants has no row-level security, while others of the same schema do.",
    axis: Axis::Security,
    severity: Severity::High,
    cwe: "CWE-284",
    markdown: include_str!("not_enabled.md"),
    check,
};

fn check(schema: &Schema, found: &mut Found<'_>) {
    // Where no table has policies, the project keeps tenants apart in its queries, and other rules look at those.
    if schema.dynamic || !schema.relies_on_policies() {
        return;
    }
    let example = owned(schema).find(|table| table.enabled && !table.policies.is_empty());
    // What is read through a partitioned table is held to its policies; a partition is reached only by who has a right to it.
    let reached =
        |table: &&Table| table.partition_of.is_none() || schema.exposed || !table.privileges.is_empty();
    let open = owned(schema).filter(|table| !table.enabled && table.policies.is_empty() && !table.closed);
    for table in open.filter(reached) {
        let Some(owner) = &table.owner else { continue };
        let reachable = schema.exposed && is_public(table.name.schema.as_deref());
        if schema.exposed && !reachable {
            continue;
        }
        let severity = if reachable && !owner.itself { Severity::High } else { Severity::Medium };
        let name = &table.name;
        found.add(Note {
            severity,
            confidence: if reachable { Confidence::High } else { Confidence::Medium },
            place: &table.place,
            message: format!("`{name}` has no row-level security, but its rows belong to whoever `{}` names", owner.column),
            why: "Other tables of this schema are kept apart by policies. Whoever may read this one sees the rows of every \
                  tenant, whatever the query forgets.",
            fix: format!(
                "ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;\nALTER TABLE {name} FORCE ROW LEVEL SECURITY;\n\
                 CREATE POLICY tenant ON {name} USING ({});",
                predicate(schema, table)
            ),
            related: example
                .and_then(|other| other.enabled_at.as_ref().map(|place| (place, format!("`{}` has it", other.name))))
                .into_iter()
                .collect(),
        });
    }
}
