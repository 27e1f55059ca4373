//! What the application's role writes as it likes: columns that no policy, trigger or key binds.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::GenericClient;

use super::{Function, Oid, Policy, Table, Trigger, read::Reader};
use crate::check::{
    CheckError,
    predicate::{self, Asked, Known, Reading},
};

/// A column that the role has the right to fill in.
#[derive(Debug)]
pub(super) struct Writable {
    table: Oid,
    column: String,
    insert: bool,
    update: bool,
}

impl<C: GenericClient> Reader<'_, C> {
    /// The columns that the role has the right to fill in, of tables and partitioned ones.
    pub(super) async fn writable(&self) -> Result<Vec<Writable>, CheckError> {
        let rows = self
            .rows(
                "SELECT table_oid, name, inserts, updates FROM (
                     SELECT c.oid AS table_oid, a.attname::text AS name,
                         bool_or(has_column_privilege(r.oid, c.oid, a.attnum, 'INSERT')) AS inserts,
                         bool_or(has_column_privilege(r.oid, c.oid, a.attnum, 'UPDATE')) AS updates
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                         AND a.attgenerated = '' AND a.attidentity <> 'a'
                     JOIN unnest($1::oid[]) r (oid) ON has_schema_privilege(r.oid, n.oid, 'USAGE')
                     WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'
                         AND n.nspname <> 'information_schema'
                     GROUP BY 1, 2) w WHERE inserts OR updates",
                &[&self.taken_on().await?],
            )
            .await?;
        let read = |row: &tokio_postgres::Row| {
            Ok(Writable {
                table: row.try_get(0)?,
                column: row.try_get(1)?,
                insert: row.try_get(2)?,
                update: row.try_get(3)?,
            })
        };
        rows.iter().map(read).collect::<Result<_, tokio_postgres::Error>>().map_err(CheckError::Read)
    }
}

/// What says what may be written.
#[derive(Debug)]
pub(super) struct Written<'w> {
    pub(super) policies: &'w [Policy],
    pub(super) functions: &'w BTreeMap<Oid, Function>,
    pub(super) triggers: &'w [Trigger],
}

impl Written<'_> {
    /// Columns in which nothing says what they may be, by tables' names without schemas.
    pub(super) fn free(
        &self,
        known: &Known,
        tables: &BTreeMap<Oid, Table>,
        writable: &[Writable],
    ) -> BTreeMap<String, BTreeSet<String>> {
        let mut free: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for one in writable {
            let Some(table) = tables.get(&one.table) else { continue };
            // Another's value is there already.
            let key = known
                .keys
                .get(&table.short)
                .is_some_and(|keys| keys.unique.contains(&BTreeSet::from([one.column.clone()])));
            let open = |commands: [char; 2]| !table.rls || self.open(known, table, &one.column, commands);
            let any = (one.insert && open(['*', 'a'])) || (one.update && open(['*', 'w']));
            if any && !key && !self.triggered(table, &one.column) {
                free.entry(table.short.clone()).or_default().insert(one.column.clone());
            }
        }
        free
    }

    /// Whether a permissive policy lets rows be written whatever stands in a column, and no restrictive one says more.
    fn open(&self, known: &Known, table: &Table, column: &str, commands: [char; 2]) -> bool {
        let reading = Reading {
            table: &table.short,
            column,
            setting: "",
            base: "",
            one_case: true,
            known,
            asked: Asked::default(),
        };
        let unbound = |policy: &Policy| {
            let text = policy.check.as_ref().or(policy.using.as_ref());
            text.is_none_or(|text| reading.leaves_free(text))
        };
        let of_table = || {
            let counts = |policy: &&Policy| {
                policy.table == table.oid && policy.within_reach && commands.contains(&policy.command)
            };
            self.policies.iter().filter(counts)
        };
        of_table().any(|policy| policy.permissive && unbound(policy))
            && of_table().all(|policy| policy.permissive || unbound(policy))
    }

    /// Whether a trigger's function names the column: it may refuse or change what is written.
    fn triggered(&self, table: &Table, column: &str) -> bool {
        let names = |trigger: &Trigger| {
            let function = self.functions.get(&trigger.function);
            function.is_none_or(|function| {
                let whole = function.source.contains(".*");
                whole || predicate::names(&function.source, column)
            })
        };
        self.triggers.iter().any(|trigger| trigger.table == table.oid && names(trigger))
    }
}
