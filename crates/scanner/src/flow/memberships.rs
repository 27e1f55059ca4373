//! The project's own words for tenants: what its users are members of.

use std::collections::BTreeSet;

use crate::{
    ir::ExprKind,
    project::{At, Parent, Project, Unit},
    vocabulary,
};

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

/// Words for what an application keeps apart: where a client names one in a header of each request, it is the application's tenant.
const APART: &[&str] = &["project", "space", "namespace", "vault", "site", "realm"];

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
        // Who rents a flat is no tenant of the program.
        if word == "tenant" && id == "id" && self.lets_flats() {
            return true;
        }
        id == "id" && !own.is_empty() && vocabulary::is_tenant(word) && !own.contains(word) && !table()
    }

    /// Whether the program is for those who let flats: its modules are named for rents, leases and landlords.
    pub(crate) fn lets_flats(&self) -> bool {
        *self.memory.lets_flats.get_or_init(|| self.find_flats())
    }

    fn find_flats(&self) -> bool {
        const LETS: &[&str] = &[
            "rent",
            "rents",
            "lease",
            "leases",
            "landlord",
            "landlords",
            "rental",
            "rentals",
            "electricity",
            "deposits",
            "evictions",
        ];
        let mut words = BTreeSet::new();
        for (_, unit) in self.units() {
            let name = unit.ir.path.rsplit('/').next().unwrap_or("");
            words.extend(
                vocabulary::words(name).iter().filter_map(|word| LETS.iter().position(|own| own == word)),
            );
        }
        words.len() >= 2
    }

    /// Whether a name is the id of a tenant in the project's own word.
    pub(crate) fn is_own_tenant(&self, name: &str) -> bool {
        is_own_tenant(name, self.tenant_words())
    }

    /// Words of what clients name in a header of each request: `project` of `request.header("X-Project")`.
    pub(crate) fn header_words(&self) -> &BTreeSet<String> {
        self.memory.header_words.get_or_init(|| {
            let mut found = BTreeSet::new();
            for (module, unit) in self.units() {
                for (expr, kind) in unit.ir.exprs() {
                    if let ExprKind::String(text) = kind
                        && let Some(word) = word_of_header(unit.ir.text(*text))
                        && self.reads_header(unit, At { module, expr })
                    {
                        found.insert(word.to_owned());
                    }
                }
            }
            found
        })
    }

    /// Whether a text is what a header is read by: `header("X-Project")`, `headers["x-project"]`.
    fn reads_header(&self, unit: &Unit, at: At) -> bool {
        let Parent::Expr(up) = unit.index.parent(at.expr) else { return false };
        match unit.ir.expr(up) {
            ExprKind::Index { index, .. } => *index == at.expr,
            ExprKind::Call(call) => {
                call.callee != at.expr
                    && self.last_written(at.to(call.callee)).is_some_and(|name| {
                        name == "get" || vocabulary::words(name).iter().any(|word| word == "header")
                    })
            }
            _ => false,
        }
    }

    fn find_tenant_words(&self) -> BTreeSet<String> {
        let mut found = self.header_words().clone();
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

/// The word of a header that names what the application keeps apart: `project` of `X-Project-Id`.
fn word_of_header(text: &str) -> Option<&'static str> {
    let rest = text.get(..2).filter(|start| start.eq_ignore_ascii_case("x-")).and_then(|_| text.get(2..))?;
    let (word, more) = rest.split_once('-').unwrap_or((rest, "id"));
    let key = ["id", "name", "key", "slug"].iter().any(|own| own.eq_ignore_ascii_case(more));
    APART.iter().copied().find(|own| key && own.eq_ignore_ascii_case(word))
}

/// Whether a name is the id of a tenant in the project's own word: `projectId`, `project_id`, and `project` where that is such a word.
pub(super) fn is_own_tenant(name: &str, words: &BTreeSet<String>) -> bool {
    !words.is_empty()
        && match vocabulary::words(name).as_slice() {
            [word, id] => id == "id" && words.contains(word),
            [word] => APART.contains(&word.as_str()) && words.contains(word),
            _ => false,
        }
}
