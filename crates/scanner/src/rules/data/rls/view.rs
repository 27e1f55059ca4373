//! A view that reads protected tables with its owner's rights.

use partywall_model::{Axis, Confidence, Severity};

use super::{Found, Note, SchemaRule, is_internal, is_public, owned};
use crate::{
    lang::sql::{Command, Condition},
    tables::{Schema, Table, View, key},
    vocabulary,
};

pub(super) const RULE: SchemaRule = SchemaRule {
    id: "rls-view-as-owner",
    summary: "A view reads a protected table with the rights of its owner, who does not meet the policies.",
    axis: Axis::Security,
    severity: Severity::High,
    cwe: "CWE-863",
    markdown: include_str!("view.md"),
    check,
};

/// The deepest views on views that are followed.
const DEEPEST: usize = 8;

fn check(schema: &Schema, found: &mut Found<'_>) {
    let protected: Vec<&Table> = owned(schema)
        .filter(|table| table.enabled && !table.policies.is_empty() && !is_read_by_all(table))
        .collect();
    for view in schema.views.values().filter(|view| !view.invoker && !view.closed) {
        let Some(table) = reads(schema, view, &protected, 0) else { continue };
        let reachable = schema.exposed && is_public(view.name.schema.as_deref());
        let granted = view.privileges.iter().any(|privilege| !is_internal(&privilege.role));
        if asks_caller(&view.condition) || (schema.exposed && !reachable) {
            continue;
        }
        let (kind, fix) = if view.materialized {
            (
                "materialized view",
                format!(
                    "REVOKE ALL ON {} FROM PUBLIC; and read it through a function that tests the caller",
                    view.name
                ),
            )
        } else {
            ("view", format!("ALTER VIEW {} SET (security_invoker = true);", view.name))
        };
        let forced = table.forced && !view.materialized;
        found.add(Note {
            severity: if (reachable || granted) && !forced && !view.materialized && !only_counts(&view.condition) { Severity::High } else { Severity::Medium },
            confidence: if reachable { Confidence::High } else { Confidence::Medium },
            place: &view.place,
            message: format!("{kind} `{}` reads `{}` with the rights of its owner", view.name, table.name),
            why: "Policies are applied for a view's owner and not for who reads it, unless it says security_invoker. An \
                  owner who owns the table too, or a superuser, sees every row.",
            fix,
            related: vec![(&table.place, format!("`{}` is protected by policies", table.name))],
        });
    }
}

/// Whether everybody may read all rows of a table by its own policies, so that a view shows nothing else; that is told of the policy.
fn is_read_by_all(table: &Table) -> bool {
    table.policies.iter().map(|placed| &placed.policy).any(|policy| {
        policy.permissive
            && matches!(policy.command, Command::Select | Command::All)
            && (policy.roles.is_empty() || policy.roles.iter().any(|role| role == "public"))
            && policy.using.as_ref().is_some_and(|using| using.always)
            && !super::always_true::held_back(table, policy)
    })
}

/// The protected table that a view reads, through other views too.
fn reads<'a>(schema: &Schema, view: &View, protected: &[&'a Table], depth: usize) -> Option<&'a Table> {
    view.reads.iter().find_map(|name| {
        protected.iter().find(|table| key(&table.name) == key(name)).copied().or_else(|| {
            let inner = schema
                .views
                .get(&key(name))
                .filter(|inner| depth < DEEPEST && key(&inner.name) != key(&view.name))?;
            reads(schema, inner, protected, depth + 1)
        })
    })
}

/// Whether a query names the caller itself.
fn asks_caller(condition: &Condition) -> bool {
    let text = condition.text.to_lowercase().replace(' ', "");
    ["current_setting(", "auth.", "current_user", "session_user", "jwt"]
        .iter()
        .any(|word| text.contains(word))
}

/// Whether a query only counts, by what is nobody's: it groups, and neither shows nor groups by an owner, an id or all columns.
fn only_counts(condition: &Condition) -> bool {
    let text = outside_parentheses(&condition.text.to_lowercase());
    let Some((shown, rest)) = text.split_once(" from ") else { return false };
    let Some((_, grouped)) = rest.split_once("group by") else { return false };
    let tells = |text: &str| {
        text.split(|char: char| !(char.is_alphanumeric() || char == '_' || char == '*'))
            .any(|word| word == "id" || word == "*" || word.ends_with("_id") || vocabulary::is_owner(word))
    };
    !tells(shown) && !tells(grouped) && !text.contains(" union ")
}

/// A text without what stands in parentheses.
fn outside_parentheses(text: &str) -> String {
    let mut depth = 0_u32;
    text.chars()
        .filter(|char| match char {
            '(' => {
                depth += 1;
                false
            }
            ')' => {
                depth = depth.saturating_sub(1);
                false
            }
            _ => depth == 0,
        })
        .map(|char| if char.is_whitespace() { ' ' } else { char })
        .collect()
}
