//! Functions that run with their owner's rights, and what runs by itself when rows are written.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use partywall_model::{Confidence, Severity};

use super::{
    Hit,
    reach::{Graph, Words},
};
use crate::check::{
    catalogue::{Catalogue, Function, Oid, Sight, Table},
    predicate,
};

/// Functions with their owner's rights that the application's role may call.
fn definers(catalogue: &Catalogue) -> impl Iterator<Item = (&Oid, &Function)> {
    catalogue
        .functions
        .iter()
        .filter(|(_, function)| function.definer && function.executable && !catalogue.app.superuser)
}

/// Whether a text has the name of a table, with its schema or without.
fn names(text: &str, table: &Table) -> bool {
    Words::of(text).names(&table.short)
}

/// The word for it in ALTER and REVOKE.
const fn kind(function: &Function) -> &'static str {
    if function.procedure { "PROCEDURE" } else { "FUNCTION" }
}

/// Whether a trigger does something with the tenant: it is not called, and what it does with whole rows is ordinary.
fn carries_the_tenant(catalogue: &Catalogue, function: &Function) -> bool {
    let source = function.source.to_lowercase();
    let column = || catalogue.tenant_columns.iter().any(|column| source.contains(column));
    function.trigger && (predicate::reads_a_setting(&source) || column())
}

pub(super) fn bypasses(catalogue: &Catalogue) -> Vec<Hit> {
    let of_policies: BTreeSet<Oid> =
        catalogue.policy_functions.iter().map(|(_, _, function)| *function).collect();
    let graph = Graph::of(catalogue);
    let sights = RefCell::new(BTreeMap::new());
    // What a role sees of a table is asked for many functions alike.
    let sees = |looks: Oid, table: &Table| {
        *sights.borrow_mut().entry((looks, table.oid)).or_insert_with(|| catalogue.sees(looks, table))
    };
    definers(catalogue)
        .filter_map(|(oid, function)| {
            let reach = graph.reach(function);
            let (first, sight) = reach
                .tables
                .iter()
                .filter_map(|(oid, looks)| Some((catalogue.tables.get(oid)?, *looks)))
                .map(|(table, looks)| (table.name.as_str(), sees(looks, table)))
                .filter(|(_, sight)| *sight > Sight::Bound)
                .max_by_key(|(_, sight)| *sight)
                .or_else(|| {
                    // Whatever SQL it is given, if there is something to see.
                    let mut all = catalogue.tables_of_tenants();
                    let open = all.find(|table| sees(function.owner, table) == Sight::All)?;
                    (reach.dynamic && !function.trigger).then_some((open.name.as_str(), Sight::Perhaps))
                })?;
            let how = match sight {
                Sight::All => format!("whom no policy of {first} binds"),
                _ if reach.dynamic => format!("whom no policy of {first} binds, and runs SQL that stands in a text"),
                _ => format!("whom a policy of {first} that is not understood may let see all of it"),
            };
            let owner = catalogue.role_name(function.owner);
            let message = format!("{} runs with the rights of `{owner}`, {how}", function.name);
            let hit = Hit::new(&function.name, message);
            let hit = if of_policies.contains(oid) {
                // With its caller's rights it would read the table whose policy calls it, and so on.
                hit.advised("A policy calls it, so it cannot run with its caller's rights: see that it gives nothing but what \
                             the caller may see, and allow this rule for it with the reason.")
            } else {
                hit.mended_by(format!("ALTER {} {} SECURITY INVOKER;", kind(function), function.name))
            };
            Some(if carries_the_tenant(catalogue, function) {
                hit.severity(Severity::Medium).confidence(Confidence::Low)
            } else if reach.asks || sight != Sight::All {
                // Whether it filters, and rightly, is not known.
                hit.severity(Severity::Medium).confidence(Confidence::Low).in_doubt()
            } else {
                hit.confidence(Confidence::Medium)
            })
        })
        .collect()
}

/// What is wrong with a function's search path, if something is.
fn unsafe_path(catalogue: &Catalogue, function: &Function) -> Option<&'static str> {
    let can_plant = catalogue.may_make_temp || !catalogue.may_make_in.is_empty();
    let Some(path) = function.settings.iter().find_map(|setting| setting.strip_prefix("search_path=")) else {
        return Some(if can_plant {
            "the search path of whoever calls it, who can make objects that are found first"
        } else {
            "the search path of whoever calls it"
        });
    };
    let schemas: Vec<&str> =
        path.split(',').map(str::trim).filter(|schema| !matches!(*schema, "" | "\"\"")).collect();
    if schemas.iter().any(|schema| catalogue.may_make_in.iter().any(|open| open == schema)) {
        return Some("a search path with a schema in which its callers can make objects");
    }
    // A schema of temporary tables that is not named is looked at first.
    let temporary_last = schemas.last().is_none_or(|last| *last == "pg_temp");
    (catalogue.may_make_temp && !temporary_last).then_some(
        "a search path that does not end with pg_temp, so temporary tables of its callers are found first",
    )
}

/// The schema in `schema.name`, quoted as it is there.
fn schema_of(name: &str) -> Option<&str> {
    match name.strip_prefix('"') {
        None => name.split('.').next(),
        Some(rest) => rest.find("\".").and_then(|end| name.get(..end + 2)),
    }
}

pub(super) fn search_path(catalogue: &Catalogue) -> Vec<Hit> {
    definers(catalogue)
        .filter_map(|(_, function)| Some((function, unsafe_path(catalogue, function)?)))
        .map(|(function, what)| {
            let message = format!(
                "{} runs with the rights of `{}` and {what}",
                function.name,
                catalogue.role_name(function.owner)
            );
            let schema = schema_of(&function.name)
                .filter(|schema| !catalogue.may_make_in.iter().any(|open| open == schema));
            let path = schema
                .map_or_else(|| "pg_catalog, pg_temp".to_owned(), |schema| format!("{schema}, pg_temp"));
            let sql = format!("ALTER {} {} SET search_path = {path};", kind(function), function.name);
            let hit = Hit::new(&function.name, message).mended_by(sql);
            if what == "the search path of whoever calls it" { hit } else { hit.severity(Severity::High) }
        })
        .collect()
}

pub(super) fn open_to_public(catalogue: &Catalogue) -> Vec<Hit> {
    catalogue
        .functions
        .values()
        .filter(|function| function.definer && function.open_to_all)
        .filter(|function| {
            catalogue.tables_of_tenants().any(|table| catalogue.sees_all(function.owner, table))
        })
        .map(|function| {
            let message = format!(
                "everybody may call {}, which runs with the rights of `{}`",
                function.name,
                catalogue.role_name(function.owner)
            );
            let sql = format!("REVOKE EXECUTE ON {} {} FROM PUBLIC;", kind(function), function.name);
            Hit::new(&function.name, message).mended_by(sql)
        })
        .collect()
}

pub(super) fn sets_tenant(catalogue: &Catalogue) -> Vec<Hit> {
    let prefix = format!("{}=", catalogue.setting);
    catalogue
        .functions
        .values()
        .filter(|function| {
            function.executable && function.settings.iter().any(|setting| setting.starts_with(&prefix))
        })
        .map(|function| {
            let message = format!("{} runs as one fixed tenant, whoever calls it", function.name);
            let sql = format!("ALTER {} {} RESET {};", kind(function), function.name, catalogue.setting);
            Hit::new(&function.name, message).mended_by(sql)
        })
        .collect()
}

pub(super) fn leakproof(catalogue: &Catalogue) -> Vec<Hit> {
    catalogue
        .functions
        .values()
        .filter(|function| function.leakproof && function.executable)
        .map(|function| {
            let message = format!(
                "{} is marked LEAKPROOF: in a query's WHERE it is given other tenants' rows before the policy is asked",
                function.name
            );
            Hit::new(&function.name, message).mended_by(format!("ALTER FUNCTION {} NOT LEAKPROOF;", function.name))
        })
        .collect()
}

pub(super) fn trigger_copies(catalogue: &Catalogue) -> Vec<Hit> {
    let mut hits = Vec::new();
    for trigger in &catalogue.triggers {
        let (Some(table), Some(function)) =
            (catalogue.tables.get(&trigger.table), catalogue.functions.get(&trigger.function))
        else {
            continue;
        };
        if !table.rls {
            continue;
        }
        let open = catalogue.tables.values().filter(|other| {
            other.oid != table.oid && !other.rls && other.rights.select && names(&function.source, other)
        });
        for other in open.filter(|_| function.source.to_lowercase().contains("insert")) {
            let message = format!(
                "the trigger {} of {} writes to {}, which has no row-level security and which `{}` reads",
                trigger.name, table.name, other.name, catalogue.app.name
            );
            let object = format!("{} {} {}", table.name, trigger.name, other.name);
            hits.push(Hit::new(object, message).confidence(Confidence::Medium));
        }
    }
    hits
}

pub(super) fn rewrites(catalogue: &Catalogue) -> Vec<Hit> {
    catalogue
        .rewrites
        .iter()
        .filter_map(|rewrite| Some((rewrite, catalogue.tables.get(&rewrite.table)?)))
        .filter(|(_, table)| {
            table.of_tenants() && table.rights.any() && catalogue.sees_all(table.owner, table)
        })
        .map(|(rewrite, table)| {
            let message = format!(
                "the rule {} of {} runs with the rights of the table's owner `{}`, whom no policy binds",
                rewrite.name,
                table.name,
                catalogue.role_name(table.owner)
            );
            let sql = format!("DROP RULE {} ON {};", super::roles::quoted(&rewrite.name), table.name);
            Hit::new(format!("{} {}", table.name, rewrite.name), message).mended_by(sql)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_schema_is_told_from_what_follows_it() {
        assert_eq!(super::schema_of("shop.first()"), Some("shop"));
        assert_eq!(super::schema_of("\"My.Shop\".\"f\"(text)"), Some("\"My.Shop\""));
    }
}
