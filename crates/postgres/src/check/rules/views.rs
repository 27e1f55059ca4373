//! Views: with whose eyes they look at tenants' tables.

use super::Hit;
use crate::check::{
    catalogue::{Catalogue, Table, View},
    predicate::{self, Reading, Tests},
};

/// Tenants' tables of which a view shows all rows to whoever reads it.
fn opened<'c>(catalogue: &'c Catalogue, view: &View) -> Vec<&'c Table> {
    catalogue
        .seen_by(view)
        .into_iter()
        .filter_map(|(table, looks)| Some((catalogue.tables.get(&table)?, looks)))
        // A table that is open to the role itself is another rule's.
        .filter(|(table, looks)| {
            let hidden = table.rls || !table.rights.any();
            table.of_tenants() && hidden && catalogue.sees_all(*looks, table)
        })
        .map(|(table, _)| table)
        .collect()
}

fn names(tables: &[&Table]) -> String {
    let mut names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    names.dedup();
    names.join(", ")
}

/// Whether the view's own text tests the tenant.
fn filters(catalogue: &Catalogue, view: &View) -> bool {
    // Of several conditions it is not known which one holds which rows.
    let joined = ["UNION", "INTERSECT", "EXCEPT", "WITH "].into_iter().any(|word| view.text.contains(word));
    let Some((_, condition)) = view.text.split_once("WHERE").filter(|_| !joined) else { return false };
    let Some(condition) = predicate::first_group(condition) else { return false };
    catalogue.tenant_columns.iter().any(|column| {
        let reading = Reading { column, setting: &catalogue.setting };
        condition.contains("current_setting") && reading.tests(condition) == Tests::Tenant
    })
}

fn plain(catalogue: &Catalogue, filtering: bool) -> impl Iterator<Item = (&View, Vec<&Table>)> {
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
            let message = format!(
                "the view {} looks at {} with the rights of `{}`, whom no policy binds there",
                view.name,
                names(&tables),
                catalogue.role_name(view.owner)
            );
            Hit::new(&view.name, message).mended_by(invoker(view))
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
                names(&tables)
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
                names(&tables)
            );
            let sql = format!("REVOKE ALL ON {} FROM {}, PUBLIC;", view.name, super::roles::quoted(&catalogue.app.name));
            Some(Hit::new(&view.name, message).mended_by(sql))
        })
        .collect()
}
