//! Functions that run with their owner's rights.

use partywall_model::{Axis, Confidence, Severity};

use super::{Found, Note, SchemaRule, is_public, is_shared, owned};
use crate::tables::{Function, Schema, Table, key};

pub(super) const UNFILTERED: SchemaRule = SchemaRule {
    id: "rls-definer-unfiltered",
    summary: "A SECURITY DEFINER function touches a protected table without asking for the caller or the row's owner.",
    axis: Axis::Security,
    severity: Severity::Medium,
    cwe: "CWE-863",
    markdown: include_str!("definer_unfiltered.md"),
    check: unfiltered,
};

pub(super) const SEARCH_PATH: SchemaRule = SchemaRule {
    id: "rls-definer-search-path",
    summary: "A SECURITY DEFINER function does not fix its search path.",
    axis: Axis::Permissions,
    severity: Severity::Low,
    cwe: "CWE-426",
    markdown: include_str!("definer_search_path.md"),
    check: search_path,
};

/// The protected table that a function touches.
fn touched<'a>(schema: &'a Schema, function: &Function) -> Option<&'a Table> {
    owned(schema)
        .filter(|table| table.enabled)
        .find(|table| function.touches.iter().any(|name| key(name) == key(&table.name)))
}

fn unfiltered(schema: &Schema, found: &mut Found<'_>) {
    for function in schema.functions.values().filter(|function| function.definer && !function.trigger) {
        let Some(table) = touched(schema, function) else { continue };
        let text = function.condition.text.to_lowercase();
        let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
        let caller = ["auth", "current_setting", "current_user", "session_user", "jwt", "pg_has_role"];
        let owner = table.owner.as_ref().map(|owner| owner.column.to_lowercase());
        let asks = words.iter().any(|word| caller.contains(word) || owner.as_deref() == Some(word));
        // Only where clients speak to the database themselves are there schemas that nobody reaches.
        let hidden = schema.exposed && !is_public(function.name.schema.as_deref());
        if asks || is_shared(&text.replace("public .", "")) || hidden {
            continue;
        }
        found.add(Note {
            severity: Severity::Medium,
            confidence: Confidence::Medium,
            place: &function.place,
            message: format!(
                "function `{}` touches `{}` with its owner's rights and asks neither for the caller nor for the row's owner",
                function.name, table.name
            ),
            why: "SECURITY DEFINER runs as the function's owner, who does not meet the policies of his own tables. Everybody \
                  may call a function unless that is revoked.",
            fix: format!(
                "Make it SECURITY INVOKER, or test the caller in it and REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC",
                function.name
            ),
            related: vec![(&table.place, format!("`{}` is protected by policies", table.name))],
        });
    }
}

fn search_path(schema: &Schema, found: &mut Found<'_>) {
    for function in schema.functions.values().filter(|function| function.definer && !function.search_path) {
        let Some(table) = touched(schema, function) else { continue };
        found.add(Note {
            severity: Severity::Low,
            confidence: Confidence::High,
            place: &function.place,
            message: format!("function `{}` runs with its owner's rights and the caller's search path", function.name),
            why: "A caller who may make a temporary table can put one with the same name before the real one.",
            fix: format!("ALTER FUNCTION {} SET search_path = '';  -- and write schemas before names", function.name),
            related: vec![(&table.place, format!("it touches `{}`", table.name))],
        });
    }
}
