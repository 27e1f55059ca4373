//! A function that sets the tenant for the session and not for the transaction.

use partywall_model::{Axis, Confidence, Severity};

use super::{Found, Note, SchemaRule};
use crate::tables::Schema;

pub(super) const RULE: SchemaRule = SchemaRule {
    id: "rls-session-setting",
    summary: "A function sets the tenant for the whole session, so that it stays on a pooled connection.",
    axis: Axis::Security,
    severity: Severity::Medium,
    cwe: "CWE-488",
    markdown: include_str!("session_setting.md"),
    check,
};

/// Whether a setting of an application says who the caller is.
pub(crate) fn names_caller(setting: &str) -> bool {
    let name = setting.rsplit('.').next().unwrap_or(setting);
    [
        "tenant",
        "org",
        "workspace",
        "account",
        "user",
        "customer",
        "company",
        "team",
        "jwt",
        "claim",
        "role",
        "client",
        "owner",
        "principal",
        "current",
    ]
    .iter()
    .any(|word| name.contains(word))
}

fn check(schema: &Schema, found: &mut Found<'_>) {
    for function in schema.functions.values() {
        let Some(setting) = function.sets.as_deref().filter(|setting| names_caller(setting)) else {
            continue;
        };
        found.add(Note {
            severity: Severity::Medium,
            confidence: Confidence::High,
            place: &function.place,
            message: format!("function `{}` sets `{setting}` for the session and not for the transaction", function.name),
            why: "A pool gives the connection to somebody else, who then is this tenant until the setting changes.",
            fix: format!("Set it for the transaction: set_config('{setting}', …, true), between BEGIN and COMMIT"),
            related: Vec::new(),
        });
    }
}
