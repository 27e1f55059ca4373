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
    pub(crate) fn tenant_words(&self) -> &BTreeSet<String> {
        self.memory.tenant_words.get_or_init(|| self.find_tenant_words())
    }

    /// Whether a name speaks of tenants in a word that is not the project's own: its users are members of something else, and it
    /// has no table of that name. `tenantId` of a customer's record may be an id in the customer's own system.
    pub(crate) fn is_foreign_word(&self, name: &str) -> bool {
        let words = vocabulary::words(name);
        let [word, id] = words.as_slice() else { return false };
        let own = self.tenant_words();
        let table = || self.tables.tables.values().any(|table| super::singular(&table.name.name) == *word);
        id == "id" && !own.is_empty() && vocabulary::is_tenant(word) && !own.contains(word) && !table()
    }

    fn find_tenant_words(&self) -> BTreeSet<String> {
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
