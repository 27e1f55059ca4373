//! Views: with whose eyes they look at tenants' tables.

use partywall_model::{Confidence, Severity};

use super::Hit;
use crate::check::{
    catalogue::{Catalogue, Sight, Table, View},
    predicate::{Filter, Filtered},
};

/// Tenants' tables of which a view shows all rows to whoever reads it, or may.
fn opened<'c>(catalogue: &'c Catalogue, view: &View) -> Vec<(&'c Table, Sight)> {
    catalogue
        .seen_by(view)
        .into_iter()
        .filter_map(|(table, looks)| {
            let table = catalogue.tables.get(&table)?;
            Some((table, catalogue.sees(looks, table)))
        })
        // A table that is open to the role itself is another rule's.
        .filter(|(table, sight)| {
            let hidden = table.rls || !table.rights.any();
            table.of_tenants() && hidden && *sight > Sight::Bound
        })
        .collect()
}

fn names<'t>(tables: impl IntoIterator<Item = &'t Table>) -> String {
    let mut names: Vec<&str> = tables.into_iter().map(|table| table.name.as_str()).collect();
    names.dedup();
    names.join(", ")
}

/// Whether the view's own text tests the tenant of every table of tenants that it reads.
fn filters(catalogue: &Catalogue, view: &View) -> bool {
    let read: Vec<&Table> = view.reads.iter().filter_map(|oid| catalogue.tables.get(oid)).collect();
    // What a view that it reads tests is not known here, and neither is a table whose tenants nobody knows.
    let known =
        read.len() == view.reads.len() && read.iter().all(|table| table.tenant.is_some() || !table.rls);
    let tables: Vec<Filtered<'_>> = read
        .iter()
        .filter_map(|table| {
            let tenant = table.tenant.as_ref()?;
            Some(Filtered {
                table: &table.short,
                column: &tenant.name,
                base: &tenant.base,
                one_case: table.one_case(tenant),
            })
        })
        .collect();
    known
        && Filter { tables: &tables, setting: &catalogue.setting, known: &catalogue.known }.holds(&view.text)
}

fn plain(catalogue: &Catalogue, filtering: bool) -> impl Iterator<Item = (&View, Vec<(&Table, Sight)>)> {
    catalogue
        .views
        .values()
        .filter(|view| view.readable && !view.materialized && !view.invoker && !catalogue.app.superuser)
        .map(|view| (view, opened(catalogue, view)))
        .filter(move |(view, tables)| !tables.is_empty() && filters(catalogue, view) == filtering)
}

fn invoker(view: &View) -> String {
    format!("ALTER VIEW {} SET (security_invoker = true);", view.name)
}

pub(super) fn bypasses(catalogue: &Catalogue) -> Vec<Hit> {
    plain(catalogue, false)
        .map(|(view, tables)| {
            let certain = tables.iter().any(|(_, sight)| *sight == Sight::All);
            let message = format!(
                "the view {} looks at {} with the rights of `{}`, whom {}",
                view.name,
                names(tables.iter().map(|(table, _)| *table)),
                catalogue.role_name(view.owner),
                if certain {
                    "no policy binds there"
                } else {
                    "a policy that is not understood may let see all of it"
                }
            );
            let hit = Hit::new(&view.name, message).mended_by(invoker(view));
            if certain { hit } else { hit.severity(Severity::Medium).confidence(Confidence::Low).in_doubt() }
        })
        .collect()
}

pub(super) fn plain_filter(catalogue: &Catalogue) -> Vec<Hit> {
    plain(catalogue, true)
        .filter(|(view, _)| !view.barrier)
        .map(|(view, tables)| {
            let message = format!(
                "the view {} filters {} itself, without security_barrier: a cheap function in a query's WHERE sees other \
                 tenants' rows before the filter does",
                view.name,
                names(tables.iter().map(|(table, _)| *table))
            );
            Hit::new(&view.name, message).mended_by(invoker(view))
        })
        .collect()
}

pub(super) fn materialized(catalogue: &Catalogue) -> Vec<Hit> {
    catalogue
        .views
        .values()
        .filter(|view| view.readable && view.materialized)
        .filter_map(|view| {
            let tables: Vec<&Table> = catalogue
                .seen_by(view)
                .into_iter()
                .filter_map(|(table, _)| catalogue.tables.get(&table))
                .filter(|table| table.of_tenants())
                .collect();
            if tables.is_empty() {
                return None;
            }
            let message = format!(
                "the materialized view {} holds rows of {} of all tenants, and row-level security does not exist for it",
                view.name,
                names(tables)
            );
            let sql = format!("REVOKE ALL ON {} FROM {}, PUBLIC;", view.name, super::roles::quoted(&catalogue.app.name));
            Some(Hit::new(&view.name, message).mended_by(sql))
        })
        .collect()
}
