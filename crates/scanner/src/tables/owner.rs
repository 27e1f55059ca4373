//! Whose rows a table holds, by its columns and what they refer to.

use std::collections::BTreeMap;

use super::{Source, Table, key};
use crate::vocabulary;

/// How large a party is that rows belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// One person.
    User,
    /// A tenant with many of them.
    Tenant,
}

/// How the rows of a table are tied to their owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The column that says it.
    pub column: String,
    /// How large the owner is.
    pub level: Level,
    /// The table through which it is said: the column refers to a row there, and that one has an owner.
    pub through: Option<String>,
    /// Whether the table lists the owners themselves: its key is their id.
    pub itself: bool,
    /// Whether only the name of the column says which table it refers to: `agent_id` beside a table `agents`.
    pub guessed: bool,
}

/// The longest way through other tables.
const FARTHEST: usize = 4;

/// What a column with this name says of its row's owner.
#[must_use]
pub fn level_of_column(column: &str) -> Option<Level> {
    let name: String = column.chars().filter(|c| *c != '_').collect::<String>().to_ascii_lowercase();
    let stem =
        ["uuid", "guid", "slug", "key", "id"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    match stem {
        thing if vocabulary::own::is_thing(thing) => None,
        "tenant" | "org" | "organization" | "organisation" | "workspace" | "account" | "team" | "company"
        | "business" | "owningorganization" | "ownerorg" | "ownertenant" | "clinic" | "school"
        | "merchant" | "shop" => {
            // A column `account` or `team` without `id` holds all kinds of things.
            (stem != name || matches!(stem, "tenant" | "org" | "organization" | "organisation" | "workspace"))
                .then_some(Level::Tenant)
        }
        "user" | "owner" | "owneruser" | "createdby" | "createdbyuser" | "author" | "principal"
        | "subject" | "customer" | "member" => {
            let whole =
                matches!(name.as_str(), "createdby" | "owner" | "principal" | "ownerid" | "createdbyid");
            (stem != name || whole).then_some(Level::User)
        }
        "u" if name == "uid" => Some(Level::User),
        "useremail" | "owneremail" | "createdbyemail" => Some(Level::User),
        own if own != name && vocabulary::own::is_own(own) => Some(Level::Tenant),
        _ => None,
    }
}

/// Whether a table with this name lists tenants or people themselves.
#[must_use]
pub fn level_of_table(table: &str) -> Option<Level> {
    match table.to_ascii_lowercase().trim_start_matches("app_") {
        thing if vocabulary::own::is_thing(thing) => None,
        "tenant" | "tenants" | "organization" | "organizations" | "organisation" | "organisations"
        | "org" | "orgs" | "workspace" | "workspaces" | "account" | "accounts" | "team" | "teams"
        | "company" | "companies" => Some(Level::Tenant),
        "user" | "users" | "profile" | "profiles" | "auth_user" | "auth.users" | "customer" | "customers"
        | "members" => Some(Level::User),
        own if vocabulary::own::is_own(&vocabulary::singular(own)) => Some(Level::Tenant),
        _ => None,
    }
}

/// Finds the owner of every table.
pub(super) fn find(tables: &mut BTreeMap<String, Table>) {
    let of_users =
        tables.values().any(holds_accounts_of_users) && !tables.values().any(lists_members_of_accounts);
    let mut owners: BTreeMap<String, Owner> =
        tables.iter().filter_map(|(key, table)| Some((key.clone(), own(table, of_users)?))).collect();
    for _ in 0..FARTHEST {
        let more: Vec<(String, Owner)> = tables
            .iter()
            .filter(|(key, _)| !owners.contains_key(*key))
            .filter_map(|(key, table)| {
                Some((
                    key.clone(),
                    through(table, &owners)
                        .or_else(|| guessed(table, &owners).filter(|_| table.source != Source::Sql))?,
                ))
            })
            .collect();
        if more.is_empty() {
            break;
        }
        owners.extend(more);
    }
    for (key, table) in tables {
        table.owner = owners.remove(key);
    }
}

/// Whether a table lists accounts, at a bank or another service, that belong to users each: no account is a tenant then.
fn holds_accounts_of_users(table: &Table) -> bool {
    matches!(table.name.name.to_lowercase().as_str(), "account" | "accounts")
        && table
            .columns
            .iter()
            .any(|column| matches!(column.name.to_lowercase().as_str(), "user_id" | "userid"))
        && !table.columns.iter().any(|column| level_of_column(&column.name) == Some(Level::Tenant))
}

/// Whether a table says which users may act in an account.
fn lists_members_of_accounts(table: &Table) -> bool {
    let named = |level: Level, start: &str| {
        table.columns.iter().any(|column| {
            level_of_column(&column.name) == Some(level) && column.name.to_lowercase().starts_with(start)
        })
    };
    let name = table.name.name.to_lowercase();
    ["member", "account_user", "user_account", "role"].iter().any(|word| name.contains(word))
        && named(Level::Tenant, "account")
        && named(Level::User, "")
}

/// The owner that a table names by itself: the largest one, and of these the first.
fn own(table: &Table, accounts_of_users: bool) -> Option<Owner> {
    let is_account = |name: &str| accounts_of_users && name.to_lowercase().starts_with("account");
    let by_column = |level: Level| {
        table.columns.iter().filter(|column| !is_account(&column.name)).find(|column| {
            level_of_column(&column.name) == Some(level)
                || column.references.as_ref().and_then(|to| level_of_table(&to.name)).is_some_and(|of| {
                    of == level && (level == Level::Tenant || level_of_column(&column.name).is_some())
                })
        })
    };
    for level in [Level::Tenant, Level::User] {
        if let Some(column) = by_column(level) {
            return Some(Owner {
                column: column.name.clone(),
                level,
                through: None,
                itself: false,
                guessed: false,
            });
        }
        if level_of_table(&table.name.name) == Some(level) && !is_account(&table.name.name) {
            let column = table
                .columns
                .iter()
                .find(|column| column.name == "id")
                .map_or("id", |column| column.name.as_str());
            return Some(Owner {
                column: column.to_owned(),
                level,
                through: None,
                itself: true,
                guessed: false,
            });
        }
    }
    None
}

/// The owner of the row that a column refers to.
fn through(table: &Table, owners: &BTreeMap<String, Owner>) -> Option<Owner> {
    table.columns.iter().find_map(|column| {
        let to = key(column.references.as_ref()?);
        // `reviewer references users` says who reviewed and not whose it is.
        let owner = owners.get(&to).filter(|owner| !(owner.itself && owner.level == Level::User))?;
        // A column that may be empty ties nothing.
        (!column.nullable || owner.level == Level::Tenant).then(|| Owner {
            column: column.name.clone(),
            level: owner.level,
            through: Some(to),
            itself: false,
            guessed: owner.guessed,
        })
    })
}

/// The owner of the row that a column names without a reference: `agent_id` beside a table `agents`.
fn guessed(table: &Table, owners: &BTreeMap<String, Owner>) -> Option<Owner> {
    table.columns.iter().filter(|column| column.references.is_none()).find_map(|column| {
        let thing = column.name.to_ascii_lowercase();
        let thing = thing.strip_suffix("_id")?;
        let mut found = owners.iter().filter(|(name, owner)| {
            let bare = name.rsplit('.').next().unwrap_or(name);
            !owner.itself && (bare == thing || bare.strip_suffix('s') == Some(thing))
        });
        let (name, owner) = found.next()?;
        found.next().is_none().then(|| Owner {
            column: column.name.clone(),
            level: owner.level,
            through: Some(name.clone()),
            itself: false,
            guessed: true,
        })
    })
}
