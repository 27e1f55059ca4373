//! Replays migrations to the schema in which they end.

use std::sync::Arc;

use super::{
    Function, Place, PlacedPolicy, Privilege, Schema, Source, Table, View, key, orm::Model, owner, parties,
};
use crate::lang::sql::{Change, Changes, Column, Name, Placed, Policy, RowSecurity};

/// Roles through which clients speak to a database themselves.
const CLIENT_ROLES: [&str; 3] = ["anon", "authenticated", "web_anon"];

fn is_client(role: &str) -> bool {
    role == "public" || CLIENT_ROLES.contains(&role)
}

/// A replay under way.
#[derive(Debug, Default)]
pub struct Replay {
    schema: Schema,
    /// Tables for which security is enabled by a loop, perhaps before they are made.
    promised: Vec<(String, bool)>,
}

impl Replay {
    /// Applies what one file does. Files have to come in their order.
    pub fn apply(&mut self, path: &str, changes: &Changes) {
        let path: Arc<str> = Arc::from(path);
        let supabase = path.split('/').any(|part| part == "supabase");
        self.schema.exposed |= supabase && !changes.changes.is_empty();
        self.schema.unread.extend(changes.unread.iter().map(|line| Place {
            path: Arc::clone(&path),
            line: *line,
            column: 1,
        }));
        for placed in &changes.changes {
            self.one(&path, placed);
        }
    }

    /// Says of the tables that a file makes that no client's role can reach them, since their database has no roles.
    pub fn without_roles(&mut self, changes: &Changes) {
        for placed in &changes.changes {
            if let Change::CreateTable { table, .. } = &placed.change
                && let Some(known) = self.schema.tables.get_mut(&key(table))
            {
                known.closed = true;
            }
        }
    }

    /// Adds tables that are known from models. A table that migrations made stays as they made it, with the columns and
    /// references that only the model knows. References that name a model by its name in code are resolved.
    pub fn models(&mut self, models: Vec<(Model, Place, Source)>) {
        for (model, _, _) in &models {
            self.schema.models.entry(model.code.clone()).or_insert_with(|| key(&model.table));
        }
        for (mut model, place, source) in models {
            for column in &mut model.columns {
                let known = column.references.as_ref().and_then(|to| self.schema.models.get(&to.name));
                if let Some(known) = known {
                    column.references = Some(Name::bare(known));
                }
            }
            self.create(&model.table, model.columns, None, place.clone(), source);
            if model.secured {
                self.security(&model.table, RowSecurity::Enable, place);
            }
        }
    }

    /// The project's own words for tenants, by what its tables and the names in its code say.
    #[must_use]
    pub fn words<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<String> {
        parties::find(&self.schema.tables, names)
    }

    /// Whether customers are rows that the project's users keep, and no party that signs in.
    #[must_use]
    pub fn keeps_customers<'a>(&self, names: impl Iterator<Item = &'a str>) -> bool {
        parties::keeps_customers(&self.schema.tables, names)
    }

    /// The schema at the end.
    #[must_use]
    pub fn finish(mut self) -> Schema {
        for (name, policies) in std::mem::take(&mut self.promised) {
            for table in
                self.schema.tables.values_mut().filter(|table| table.name.name.eq_ignore_ascii_case(&name))
            {
                table.enabled = true;
                table.forced = true;
                table.promised |= policies;
            }
        }
        // Policies of a partitioned table hold for reads through it; its partitions have its owner.
        owner::find(&mut self.schema.tables);
        self.schema
    }

    fn one(&mut self, path: &Arc<str>, placed: &Placed) {
        let place = || Place { path: Arc::clone(path), line: placed.line, column: placed.column };
        match &placed.change {
            Change::CreateTable { table, columns, temporary: false, partition_of, like, .. } => {
                self.create(table, columns.clone(), partition_of.clone(), place(), Source::Sql);
                self.columns_of(table, like.as_ref());
            }
            Change::Attach { table, to } => {
                if let Some(table) = self.schema.tables.get_mut(&key(table)) {
                    table.partition_of = Some(to.clone());
                }
            }
            Change::CreateTable { .. } => {}
            Change::Drop(names) => {
                for name in names {
                    self.schema.tables.remove(&key(name));
                    self.schema.views.remove(&key(name));
                }
            }
            Change::Rename { table, to } => self.rename(table, to),
            Change::AddColumn { table, column } => {
                if let Some(table) = self.schema.tables.get_mut(&key(table)) {
                    merge(&mut table.columns, vec![column.clone()]);
                }
            }
            Change::AddReference { table, columns, references } => {
                self.columns(table, |column| {
                    if columns.iter().any(|name| name.eq_ignore_ascii_case(&column.name)) {
                        column.references = Some(references.clone());
                    }
                });
            }
            Change::DropColumn { table, column } => {
                if let Some(table) = self.schema.tables.get_mut(&key(table)) {
                    table.columns.retain(|known| !known.name.eq_ignore_ascii_case(column));
                }
            }
            Change::RenameColumn { table, column, to } => self.columns(table, |known| {
                if known.name.eq_ignore_ascii_case(column) {
                    known.name.clone_from(to);
                }
            }),
            Change::RowSecurity { table, change } => self.security(table, *change, place()),
            Change::CreatePolicy(policy) => self.policy(policy.clone(), place()),
            Change::AlterPolicy(policy) => self.alter(policy, &place()),
            Change::DropPolicy { name, table } => {
                if let Some(table) = self.schema.tables.get_mut(&key(table)) {
                    table.policies.retain(|known| known.policy.name != *name);
                }
            }
            Change::Grant { privileges, tables, schema, roles } => {
                self.grant(privileges, tables, schema.as_deref(), roles, &place());
            }
            Change::Revoke { tables, schema, roles } => self.revoke(tables, schema.as_deref(), roles),
            Change::SetSession { setting } => self.schema.session_settings.push((setting.clone(), place())),
            Change::Dynamic { tables, .. } if tables.is_empty() => self.schema.dynamic = true,
            Change::Dynamic { tables, policies } => {
                self.promised.extend(tables.iter().map(|table| (table.clone(), *policies)));
            }
            change => self.object(change, place()),
        }
    }

    /// Views and functions.
    fn object(&mut self, change: &Change, place: Place) {
        match change {
            Change::CreateView { view, materialized, invoker, reads, condition } => {
                let view = View {
                    name: view.clone(),
                    materialized: *materialized,
                    invoker: *invoker,
                    reads: reads.clone(),
                    condition: condition.clone(),
                    place,
                    privileges: Vec::new(),
                    closed: false,
                };
                self.schema.views.insert(key(&view.name), view);
            }
            Change::AlterView { view, invoker } => {
                if let Some(view) = self.schema.views.get_mut(&key(view)) {
                    view.invoker = *invoker;
                }
            }
            Change::AlterFunction { function, definer, search_path } => {
                if let Some(function) = self.schema.functions.get_mut(&key(function)) {
                    function.definer = definer.unwrap_or(function.definer);
                    function.search_path |= *search_path;
                }
            }
            Change::CreateFunction { function, definer, search_path, trigger, touches, condition, sets } => {
                let function = Function {
                    name: function.clone(),
                    definer: *definer,
                    search_path: *search_path,
                    trigger: *trigger,
                    touches: touches.clone(),
                    condition: condition.clone(),
                    sets: sets.clone(),
                    place,
                };
                self.schema.functions.insert(key(&function.name), function);
            }
            _ => {}
        }
    }

    fn create(
        &mut self,
        name: &Name,
        columns: Vec<Column>,
        partition_of: Option<Name>,
        place: Place,
        source: Source,
    ) {
        let inherited = partition_of
            .as_ref()
            .and_then(|parent| self.schema.table(parent))
            .map(|parent| parent.columns.clone())
            .unwrap_or_default();
        let table = self.schema.tables.entry(key(name)).or_insert_with(|| Table {
            name: name.clone(),
            columns: inherited,
            owner: None,
            enabled: false,
            forced: false,
            policies: Vec::new(),
            privileges: Vec::new(),
            closed: false,
            partition_of,
            promised: false,
            place,
            enabled_at: None,
            source,
        });
        merge(&mut table.columns, columns);
    }

    /// A table that is made like another one, or as a copy of it, has its columns. Neither `LIKE` nor a copy takes
    /// over what they refer to.
    fn columns_of(&mut self, table: &Name, other: Option<&Name>) {
        let other = other.and_then(|other| self.schema.table(other));
        let Some(mut columns) = other.map(|other| other.columns.clone()) else { return };
        columns.iter_mut().for_each(|column| column.references = None);
        if let Some(table) = self.schema.tables.get_mut(&key(table)) {
            merge(&mut table.columns, columns);
        }
    }

    fn rename(&mut self, from: &Name, to: &Name) {
        if let Some(mut table) = self.schema.tables.remove(&key(from)) {
            table.name = to.clone();
            for policy in &mut table.policies {
                policy.policy.table = to.clone();
            }
            let (from, to) = (key(from), to.clone());
            for other in self.schema.tables.values_mut() {
                for column in &mut other.columns {
                    if column.references.as_ref().is_some_and(|name| key(name) == from) {
                        column.references = Some(to.clone());
                    }
                }
            }
            self.schema.tables.insert(key(&to), table);
        }
    }

    fn columns(&mut self, table: &Name, mut change: impl FnMut(&mut Column)) {
        if let Some(table) = self.schema.tables.get_mut(&key(table)) {
            table.columns.iter_mut().for_each(&mut change);
        }
    }

    fn security(&mut self, name: &Name, change: RowSecurity, place: Place) {
        let Some(table) = self.schema.tables.get_mut(&key(name)) else { return };
        match change {
            RowSecurity::Enable => {
                table.enabled = true;
                table.enabled_at = Some(place);
            }
            RowSecurity::Disable => table.enabled = false,
            RowSecurity::Force => table.forced = true,
            RowSecurity::NoForce => table.forced = false,
        }
    }

    fn policy(&mut self, policy: Policy, place: Place) {
        self.schema.exposed |= policy.roles.iter().any(|role| CLIENT_ROLES.contains(&role.as_str()))
            || [&policy.using, &policy.check]
                .into_iter()
                .flatten()
                .any(|c| c.text.to_lowercase().contains("auth . uid"));
        let Some(table) = self.schema.tables.get_mut(&key(&policy.table)) else { return };
        table.policies.retain(|known| known.policy.name != policy.name);
        table.policies.push(PlacedPolicy { policy, place });
    }

    fn alter(&mut self, change: &Policy, place: &Place) {
        let Some(table) = self.schema.tables.get_mut(&key(&change.table)) else { return };
        for known in table.policies.iter_mut().filter(|known| known.policy.name == change.name) {
            if !change.roles.is_empty() {
                known.policy.roles.clone_from(&change.roles);
            }
            if change.using.is_some() {
                known.policy.using.clone_from(&change.using);
            }
            if change.check.is_some() {
                known.policy.check.clone_from(&change.check);
            }
            known.place = place.clone();
        }
    }

    /// The lists of privileges that a GRANT or REVOKE is about.
    fn privileges(
        &mut self,
        tables: &[Name],
        schema: Option<&str>,
        mut change: impl FnMut(&mut Vec<Privilege>, &mut bool),
    ) {
        let keys: Vec<String> = tables.iter().map(key).collect();
        let chosen = |name: &Name| {
            keys.contains(&key(name))
                || schema.is_some_and(|schema| name.schema.as_deref().unwrap_or("public") == schema)
        };
        for table in self.schema.tables.values_mut().filter(|table| chosen(&table.name)) {
            change(&mut table.privileges, &mut table.closed);
        }
        for view in self.schema.views.values_mut().filter(|view| chosen(&view.name)) {
            change(&mut view.privileges, &mut view.closed);
        }
    }

    fn grant(
        &mut self,
        privileges: &[String],
        tables: &[Name],
        schema: Option<&str>,
        roles: &[String],
        place: &Place,
    ) {
        self.schema.exposed |= roles.iter().any(|role| CLIENT_ROLES.contains(&role.as_str()));
        for role in roles {
            let given =
                Privilege { role: role.clone(), privileges: privileges.to_vec(), place: place.clone() };
            self.privileges(tables, schema, |known, closed| {
                *closed &= !is_client(&given.role);
                known.push(given.clone());
            });
        }
    }

    fn revoke(&mut self, tables: &[Name], schema: Option<&str>, roles: &[String]) {
        self.privileges(tables, schema, |known, closed| {
            *closed |= roles.iter().any(|role| is_client(role));
            known.retain(|privilege| !roles.contains(&privilege.role));
        });
    }
}

/// Adds columns that are new, and what is new about known ones.
fn merge(known: &mut Vec<Column>, more: Vec<Column>) {
    for column in more {
        match known.iter_mut().find(|other| other.name.eq_ignore_ascii_case(&column.name)) {
            Some(other) => other.references = other.references.take().or(column.references),
            None => known.push(column),
        }
    }
}
