//! A policy that decides by metadata that its user may edit.

use partywall_model::{Axis, Confidence, Severity};

use super::{Found, Note, SchemaRule};
use crate::{lang::sql::Condition, tables::Schema, vocabulary};

pub(super) const RULE: SchemaRule = SchemaRule {
    id: "rls-editable-metadata",
    summary: "A policy, or a function of one, takes a role or a tenant from metadata that users may edit themselves.",
    axis: Axis::Security,
    severity: Severity::High,
    cwe: "CWE-639",
    markdown: include_str!("editable_metadata.md"),
    check,
};

const WHY: &str = "Whoever is signed in writes this metadata with `supabase.auth.updateUser({ data })`, and so gives himself a role or \
                   another tenant. The token's signature says nothing of who wrote it.";

/// What the metadata is called in tokens and in the table of users.
const EDITABLE: &[&str] = &["user_metadata", "raw_user_meta_data"];

fn check(schema: &Schema, found: &mut Found<'_>) {
    for table in schema.tables.values() {
        for placed in &table.policies {
            let policy = &placed.policy;
            let conditions = [policy.using.as_ref(), policy.check.as_ref()];
            let Some(key) = conditions.into_iter().flatten().find_map(|condition| key_of(condition, true))
            else {
                continue;
            };
            found.add(Note {
                severity: if table.enabled && policy.permissive { Severity::High } else { Severity::Medium },
                confidence: Confidence::High,
                place: &placed.place,
                message: format!(
                    "policy `{}` of `{}` decides by `{key}` of the metadata that the user may edit",
                    policy.name, table.name
                ),
                why: WHY,
                fix: format!(
                    "Read `{key}` from `auth.jwt() -> 'app_metadata'`, or from a table of memberships"
                ),
                related: vec![(&table.place, format!("`{}` is made here", table.name))],
            });
        }
    }
    for function in schema.functions.values() {
        let Some(key) = key_of(&function.condition, false) else { continue };
        let message = if function.trigger {
            format!("function `{}` copies `{key}` out of what the user sent when signing up", function.name)
        } else {
            format!("function `{}` decides by `{key}` of the metadata that the user may edit", function.name)
        };
        found.add(Note {
            severity: if function.trigger { Severity::Medium } else { Severity::High },
            confidence: Confidence::Medium,
            place: &function.place,
            message,
            why: WHY,
            fix: format!(
                "Read `{key}` from `raw_app_meta_data`, or from a table that only the server writes"
            ),
            related: Vec::new(),
        });
    }
}

/// The key that is read of the metadata, when it is a role, a right or a tenant; in a policy everything but a name is.
fn key_of(condition: &Condition, all: bool) -> Option<String> {
    let text = condition.text.to_lowercase();
    for name in EDITABLE {
        let mut rest = text.as_str();
        while let Some(place) = rest.find(name) {
            rest = rest.get(place + name.len()..).unwrap_or("");
            let Some(key) = key_behind(rest) else { continue };
            if is_right(&key) || (all && !is_shown(&key)) {
                return Some(key);
            }
        }
    }
    None
}

/// The text literal behind the arrows that follow: `' ->> 'role'`.
fn key_behind(text: &str) -> Option<String> {
    let text = text.trim_start_matches(['\'', '"', ')', ' ']);
    let text = text.strip_prefix("->>").or_else(|| text.strip_prefix("->"))?;
    let (key, _) = text.trim_start().strip_prefix('\'')?.split_once('\'')?;
    Some(key.to_owned())
}

fn is_right(key: &str) -> bool {
    let words = vocabulary::words(key);
    let any = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    any(&[
        "role",
        "roles",
        "admin",
        "superadmin",
        "permission",
        "permissions",
        "tenant",
        "org",
        "organization",
        "organisation",
        "workspace",
        "company",
    ]) && !any(&["name", "preferred", "requested", "default", "title", "url", "logo"])
}

/// Whether a key says how somebody wants to be named and shown.
fn is_shown(key: &str) -> bool {
    let words = vocabulary::words(key);
    words.iter().any(|word| {
        matches!(
            word.as_str(),
            "name" | "avatar" | "locale" | "language" | "lang" | "theme" | "picture" | "email" | "phone"
        )
    })
}
