//! The project's own words for tenants: what its users are members of.

use std::collections::BTreeSet;

use crate::{project::Project, vocabulary};

/// Words of tables that say who belongs to what.
const JOINS: &[&str] = &["user", "users", "member", "members", "membership", "memberships"];

/// Words that such tables are named with besides, and that are no tenant.
const NO_TENANT: &[&str] = &[
    "id",
    "user",
    "role",
    "token",
    "session",
    "invite",
    "key",
    "permission",
    "group",
    "chat",
    "channel",
    "thread",
    "conversation",
    "event",
];

impl Project {
    /// Words of what users are members of, by tables that join both: `project` of `ProjectUsers(userId, projectId)`. What has a
    /// column for it belongs to that tenant, whatever the word.
    pub(super) fn tenant_words(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for table in self.tables.tables.values() {
            let name = vocabulary::words(&table.name.name);
            let joins = name.len() > 1 && name.iter().any(|word| JOINS.contains(&word.as_str()));
            if !joins || !table.columns.iter().any(|column| vocabulary::is_user(&column.name)) {
                continue;
            }
            for column in &table.columns {
                let words = vocabulary::words(&column.name);
                if let [word, id] = words.as_slice()
                    && id == "id"
                    && name.iter().any(|own| own.trim_end_matches('s') == word)
                    && !NO_TENANT.contains(&word.as_str())
                {
                    found.insert(word.clone());
                }
            }
        }
        found
    }
}

/// Whether a name is the id of a tenant in the project's own word: `projectId`, `project_id`.
pub(super) fn is_own_tenant(name: &str, words: &BTreeSet<String>) -> bool {
    !words.is_empty()
        && matches!(vocabulary::words(name).as_slice(), [word, id] if id == "id" && words.contains(word))
}
