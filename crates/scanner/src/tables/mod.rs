//! The schema that a project's migrations and models add up to: which tables belong to tenants, and what row-level security
//! each of them has in the end.
//!
//! Migrations are replayed in their order. A single file says little: a later one may drop the policy, and a loop may
//! enable security for a list of tables.

mod order;
pub mod orm;
mod owner;
mod parties;
mod replay;

use std::{collections::BTreeMap, sync::Arc};

pub use order::{compare, is_way_back};
pub(crate) use orm::SCHEMAS;
pub use owner::{Level, Owner, level_of_column, level_of_table};
pub use replay::Replay;

use crate::lang::sql::{Column, Condition, Name, Policy};

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as in findings.
    pub path: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

/// Where a table is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A migration or a schema in SQL.
    Sql,
    /// A Prisma schema.
    Prisma,
    /// A model in code.
    Model,
}

/// A policy and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedPolicy {
    /// The policy.
    pub policy: Policy,
    /// Where it was made or changed last.
    pub place: Place,
}

/// Privileges that somebody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Privilege {
    /// The role, in lower case.
    pub role: String,
    /// The privileges; `all` is one.
    pub privileges: Vec<String>,
    /// Where they were given.
    pub place: Place,
}

/// A table at the end of all migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: Name,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Whose rows it holds; nothing where rows belong to nobody.
    pub owner: Option<Owner>,
    /// Whether policies apply.
    pub enabled: bool,
    /// Whether they apply to the owner too.
    pub forced: bool,
    /// Its policies.
    pub policies: Vec<PlacedPolicy>,
    /// Privileges on it.
    pub privileges: Vec<Privilege>,
    /// Whether the roles of clients lost their privileges on it.
    pub closed: bool,
    /// The table whose partition it is.
    pub partition_of: Option<Name>,
    /// Whether a statement that is put together while it runs makes its policies.
    pub promised: bool,
    /// Where it was made.
    pub place: Place,
    /// Where security was switched on last.
    pub enabled_at: Option<Place>,
    /// Where it is known from.
    pub source: Source,
}

/// A view at the end of all migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub name: Name,
    /// Whether it holds a copy.
    pub materialized: bool,
    /// Whether it reads with the rights of the reader.
    pub invoker: bool,
    /// The tables and views that it reads.
    pub reads: Vec<Name>,
    /// What it tests by itself.
    pub condition: Condition,
    /// Where it was made.
    pub place: Place,
    /// Privileges on it.
    pub privileges: Vec<Privilege>,
    /// Whether the roles of clients lost their privileges on it.
    pub closed: bool,
}

/// A function at the end of all migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: Name,
    /// Whether it runs with the rights of its owner.
    pub definer: bool,
    /// Whether its search path is fixed.
    pub search_path: bool,
    /// Whether it is the body of a trigger.
    pub trigger: bool,
    /// The tables that it reads or writes.
    pub touches: Vec<Name>,
    /// What its body tests.
    pub condition: Condition,
    /// A setting that it sets for the whole session.
    pub sets: Option<String>,
    /// Where it was made.
    pub place: Place,
}

/// All tables, views and functions of a project.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// Tables by their names; see [`Schema::table`].
    pub tables: BTreeMap<String, Table>,
    /// Views by their names.
    pub views: BTreeMap<String, View>,
    /// Functions by their names.
    pub functions: BTreeMap<String, Function>,
    /// Settings of the application that a migration sets for its session.
    pub session_settings: Vec<(String, Place)>,
    /// Whether security is set by statements whose tables are not known: then nothing can be said of a table without it.
    pub dynamic: bool,
    /// Whether clients speak to the database themselves, through roles such as `anon` (Supabase, PostgREST).
    pub exposed: bool,
    /// The keys of tables by the names of their models in code.
    pub models: BTreeMap<String, String>,
    /// Lines that could not be read.
    pub unread: Vec<Place>,
}

/// The key of a name: without the schema that is meant when none is said.
#[must_use]
pub fn key(name: &Name) -> String {
    match name.schema.as_deref() {
        None | Some("public" | "dbo") => name.name.to_lowercase(),
        Some(schema) => format!("{}.{}", schema.to_lowercase(), name.name.to_lowercase()),
    }
}

impl Schema {
    /// A table by its name. One without a schema finds a table of any schema, if there is one of that name only.
    #[must_use]
    pub fn table(&self, name: &Name) -> Option<&Table> {
        if let Some(table) = self.tables.get(&key(name)) {
            return Some(table);
        }
        if name.schema.is_some() {
            return None;
        }
        let end = format!(".{}", name.name.to_lowercase());
        let mut found = self.tables.iter().filter(|(key, _)| key.ends_with(&end)).map(|(_, table)| table);
        let first = found.next();
        if found.next().is_some() { None } else { first }
    }

    /// A table by the name that its model has in code: a class, a variable, a delegate such as `prisma.document`.
    #[must_use]
    pub fn model(&self, code: &str) -> Option<&Table> {
        self.models.get(code).and_then(|key| self.tables.get(key))
    }

    /// Whether row-level security is relied on: some table of a tenant has it.
    #[must_use]
    pub fn relies_on_policies(&self) -> bool {
        self.tables.values().any(|table| table.enabled && !table.policies.is_empty())
    }
}

#[cfg(test)]
mod tests;
