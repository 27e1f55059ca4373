//! A policy that lets everything through when there is no caller.

use partywall_model::{Axis, Confidence, Severity};

use super::{
    Found, Note, SchemaRule,
    always_true::{applies, held_back},
    owned, predicate,
};
use crate::tables::Schema;

pub(super) const RULE: SchemaRule = SchemaRule {
    id: "rls-policy-fails-open",
    summary: "A policy lets every row through when no tenant is set.",
    axis: Axis::Security,
    severity: Severity::High,
    cwe: "CWE-636",
    markdown: include_str!("fails_open.md"),
    check,
};

fn check(schema: &Schema, found: &mut Found<'_>) {
    for table in owned(schema).filter(|table| table.enabled) {
        for placed in &table.policies {
            let policy = &placed.policy;
            let open =
                [&policy.using, &policy.check].into_iter().flatten().any(|condition| condition.fails_open);
            if !open || !applies(policy) || held_back(table, policy) {
                continue;
            }
            found.add(Note {
                severity: Severity::High,
                confidence: Confidence::High,
                place: &placed.place,
                message: format!("policy `{}` lets every row of `{}` through when no tenant is set", policy.name, table.name),
                why: "A connection on which the setting was forgotten, or was reset, then sees the rows of every tenant. \
                      After RESET and on pooled connections a setting is empty and not NULL.",
                fix: format!("Let no row through then: USING ({})", predicate(schema, table)),
                related: vec![(&table.place, format!("`{}` is made here", table.name))],
            });
        }
    }
}
