//! Keys and indexes: what they tell, and whether they lead with the tenant.

use std::collections::BTreeSet;

use partywall_model::Severity;

use super::{Hit, roles::quoted};
use crate::check::catalogue::{Catalogue, ForeignKey, Index, Table, TenantColumn};

/// Whether an index has the tenant among its columns; an expression does when it names it.
fn holds_tenant(index: &Index, tenant: &TenantColumn) -> bool {
    index.columns.contains(&tenant.number)
        || (index.columns.contains(&0) && index.depends.contains(&tenant.number))
}

/// SQL that makes a unique index or constraint anew with the tenant before its columns, and everything else as it was.
fn with_tenant(catalogue: &Catalogue, index: &Index, table: &Table, tenant: &TenantColumn) -> Option<String> {
    let columns = |columns: &[i16]| columns.iter().copied().collect::<BTreeSet<i16>>();
    let referred = catalogue
        .foreign_keys
        .iter()
        .any(|key| key.references == table.oid && columns(&key.referenced) == columns(&index.columns));
    if referred {
        return None;
    }
    let column = quoted(&tenant.name);
    match &index.constraint {
        Some((name, definition)) => {
            let (kind, rest) = definition.split_once('(')?;
            let column = if index.exclusion { format!("{column} WITH =") } else { column };
            let table = &table.name;
            Some(format!(
                "ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {kind}({column}, {rest};"
            ))
        }
        None => {
            // Of a partitioned table it says ONLY; made anew it is made for the partitions too.
            let definition = index.definition.replacen(" ON ONLY ", " ON ", 1);
            let (before, after) = definition.split_once(&format!(" ON {} USING ", table.name))?;
            let (method, rest) = after.split_once('(')?;
            Some(format!(
                "DROP INDEX {};\n{before} ON {} USING {method}({column}, {rest};",
                index.name, table.name
            ))
        }
    }
}

pub(super) fn global_unique(catalogue: &Catalogue) -> Vec<Hit> {
    let mut hits = Vec::new();
    for index in catalogue.indexes.iter().filter(|index| index.unique || index.exclusion) {
        let Some(table) = catalogue.tables.get(&index.table) else { continue };
        let Some(tenant) = &table.tenant else { continue };
        // A partition is written to through its parents.
        let may_write = |table: &Table| table.rights.insert || table.rights.update;
        let writes = may_write(table) || catalogue.ancestors(table).into_iter().any(may_write);
        // What a partition has of its parent's is told of the parent.
        let inherited = catalogue.ancestors(table).into_iter().any(|parent| {
            catalogue.indexes.iter().any(|other| other.table == parent.oid && same_columns(index, other))
        });
        if !writes || inherited || holds_tenant(index, tenant) {
            continue;
        }
        let what = if index.exclusion { "exclusion constraint" } else { "unique key" };
        let message = format!(
            "the {what} {} of {} is one for all tenants: an error tells that another tenant has the value",
            index.name, table.name
        );
        let hit = Hit::new(&index.name, message);
        hits.push(match with_tenant(catalogue, index, table, tenant) {
            Some(sql) => hit.mended_by(sql),
            None => hit.advised(
                "Make a unique key of the tenant and its columns beside it, lead the foreign keys that refer to it there, with \
                 the tenant, and drop it then.",
            ),
        });
    }
    hits
}

/// Whether two indexes, of a partition and of its parent, are about the same.
fn same_columns(index: &Index, parent: &Index) -> bool {
    index.unique == parent.unique
        && index.exclusion == parent.exclusion
        && index.columns == parent.columns
        && index.depends.len() == parent.depends.len()
}

/// Whether a key's columns pair the tenant with the tenant.
fn pairs_tenants(catalogue: &Catalogue, key: &ForeignKey) -> Option<bool> {
    let ours = catalogue.tables.get(&key.table)?.tenant.as_ref()?;
    let theirs = catalogue.tables.get(&key.references)?.tenant.as_ref()?;
    Some(key.columns.iter().zip(&key.referenced).any(|(a, b)| *a == ours.number && *b == theirs.number))
}

pub(super) fn foreign_key(catalogue: &Catalogue) -> Vec<Hit> {
    let mut hits = Vec::new();
    for key in &catalogue.foreign_keys {
        let (Some(table), Some(other)) =
            (catalogue.tables.get(&key.table), catalogue.tables.get(&key.references))
        else {
            continue;
        };
        let writes = table.rights.insert || table.rights.update;
        if pairs_tenants(catalogue, key) != Some(false) || !writes {
            continue;
        }
        let mut message = format!(
            "the foreign key {} of {} does not hold the tenant: a row can refer to another tenant's row of {}",
            key.name, table.name, other.name
        );
        if key.cascades {
            message.push_str(", and is deleted with it");
        }
        hits.push(Hit::new(format!("{} {}", table.name, key.name), message));
    }
    hits
}

pub(super) fn no_index(catalogue: &Catalogue) -> Vec<Hit> {
    catalogue
        .tenant_tables()
        .filter(|(table, tenant)| {
            let led = catalogue.indexes.iter().any(|index| {
                index.table == table.oid && index.whole && index.columns.first() == Some(&tenant.number)
            });
            // A part of a partitioned table has its own indexes, and one that is a list of one tenant needs none.
            table.kind != 'f' && table.rls && table.rights.any() && !led && table.parents.is_empty()
        })
        .map(|(table, tenant)| {
            let message = format!(
                "{} has no index that begins with {}: each query reads every tenant's rows",
                table.name, tenant.name
            );
            // Not possible for a partitioned table.
            let how = if table.kind == 'p' { "" } else { "CONCURRENTLY " };
            let sql = format!("CREATE INDEX {how}ON {} ({});", table.name, quoted(&tenant.name));
            Hit::new(&table.name, message).mended_by(sql).severity(Severity::Low)
        })
        .collect()
}
