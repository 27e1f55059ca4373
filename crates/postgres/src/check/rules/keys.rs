//! Keys and indexes: what they tell, and whether they lead with the tenant.

use partywall_model::Severity;

use super::{Hit, roles::quoted};
use crate::check::catalogue::{Catalogue, ForeignKey};

pub(super) fn global_unique(catalogue: &Catalogue) -> Vec<Hit> {
    let mut hits = Vec::new();
    for index in catalogue.indexes.iter().filter(|index| index.unique) {
        let Some(table) = catalogue.tables.get(&index.table) else { continue };
        let Some(tenant) = &table.tenant else { continue };
        let writes = table.rights.insert || table.rights.update;
        // An expression has the number 0, and may well hold the tenant.
        if !writes || index.columns.contains(&tenant.number) || index.columns.contains(&0) {
            continue;
        }
        let message = format!(
            "the unique key {} of {} is one for all tenants: an error tells that another tenant has the value",
            index.name, table.name
        );
        let columns = format!("{}, {}", quoted(&tenant.name), index.names);
        let name = index.name.rsplit('.').next().unwrap_or(&index.name);
        let sql = match (index.primary, index.constraint) {
            (true, _) => format!(
                "ALTER TABLE {0} DROP CONSTRAINT {name} CASCADE, ADD PRIMARY KEY ({columns}); -- and its foreign keys again",
                table.name
            ),
            (false, true) => {
                format!("ALTER TABLE {0} DROP CONSTRAINT {name}, ADD UNIQUE ({columns});", table.name)
            }
            (false, false) => {
                format!("DROP INDEX {};\nCREATE UNIQUE INDEX ON {} ({columns});", index.name, table.name)
            }
        };
        hits.push(Hit::new(&index.name, message).mended_by(sql));
    }
    hits
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
            let sql = format!("CREATE INDEX CONCURRENTLY ON {} ({});", table.name, quoted(&tenant.name));
            Hit::new(&table.name, message).mended_by(sql).severity(Severity::Low)
        })
        .collect()
}
