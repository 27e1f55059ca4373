//! Tables: whether row-level security is on, and what it does not govern.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use super::{Hit, roles::quoted};
use crate::check::{
    catalogue::{Catalogue, Oid, Table, TenantColumn},
    predicate,
};

/// A policy that tests the tenant, as SQL, for a column of any type.
pub(in crate::check) fn policy(catalogue: &Catalogue, table: &Table, tenant: &TenantColumn) -> String {
    // Another finding's fix may have made it already.
    format!(
        "DROP POLICY IF EXISTS of_tenant ON {0};\nCREATE POLICY of_tenant ON {0} TO {1}\n    USING ({2} = {3});",
        table.name,
        quoted(&catalogue.app.name),
        quoted(&tenant.name),
        setting(catalogue, tenant)
    )
}

/// The tenant of the transaction, as an expression of the column's type; nothing when there is none.
pub(in crate::check) fn setting(catalogue: &Catalogue, tenant: &TenantColumn) -> String {
    of_setting(&catalogue.setting, tenant)
}

/// The same of a setting that a policy names.
pub(in crate::check) fn of_setting(setting: &str, tenant: &TenantColumn) -> String {
    let text = format!("nullif(current_setting('{}', true), '')", setting.replace('\'', "''"));
    match tenant.kind.split('(').next().unwrap_or_default() {
        "text" | "character varying" | "character" | "bpchar" => text,
        kind => format!("{text}::{kind}"),
    }
}

fn protect(catalogue: &Catalogue, table: &Table, tenant: &TenantColumn) -> String {
    format!(
        "ALTER TABLE {0} ENABLE ROW LEVEL SECURITY;\nALTER TABLE {0} FORCE ROW LEVEL SECURITY;\n{1}",
        table.name,
        policy(catalogue, table, tenant)
    )
}

fn has_policies(catalogue: &Catalogue, table: &Table) -> bool {
    catalogue.policies_of(table).next().is_some()
}

/// Whether a table is a partition or a child of one that has row-level security; another rule speaks of those.
fn of_protected(catalogue: &Catalogue, table: &Table) -> bool {
    table.parents.iter().any(|parent| catalogue.tables.get(parent).is_some_and(|parent| parent.rls))
}

pub(super) fn not_enabled(catalogue: &Catalogue) -> Vec<Hit> {
    catalogue
        .tenant_tables()
        .filter(|(table, _)| table.kind != 'f' && !table.rls && table.rights.any())
        .filter(|(table, _)| !has_policies(catalogue, table) && !of_protected(catalogue, table))
        .map(|(table, tenant)| {
            let message = format!(
                "{} has no row-level security: `{}` {} the rows of every tenant",
                table.name,
                catalogue.app.name,
                if table.rights.select { "reads" } else { "changes" }
            );
            Hit::new(&table.name, message).mended_by(protect(catalogue, table, tenant))
        })
        .collect()
}

pub(super) fn inert_policies(catalogue: &Catalogue) -> Vec<Hit> {
    catalogue
        .tables
        .values()
        .filter(|table| !table.rls && table.rights.any() && has_policies(catalogue, table))
        .map(|table| {
            let message =
                format!("{} has policies, but row-level security is off: they do nothing", table.name);
            let sql = format!(
                "ALTER TABLE {0} ENABLE ROW LEVEL SECURITY;\nALTER TABLE {0} FORCE ROW LEVEL SECURITY;",
                table.name
            );
            Hit::new(&table.name, message).mended_by(sql)
        })
        .collect()
}

pub(super) fn not_forced(catalogue: &Catalogue) -> Vec<Hit> {
    catalogue
        .tenant_tables()
        .filter(|(table, _)| table.rls && !table.forced && table.rights.any())
        .map(|(table, _)| {
            let owner = catalogue.roles.get(&table.owner);
            let inherited = owner.is_some_and(|owner| owner.inherited && !catalogue.app.superuser);
            let message = format!(
                "{} does not force row-level security: its owner `{}`{} sees all rows",
                table.name,
                catalogue.role_name(table.owner),
                if inherited { ", whose rights the application's role has," } else { "" }
            );
            let sql = format!("ALTER TABLE {} FORCE ROW LEVEL SECURITY;", table.name);
            let hit = Hit::new(&table.name, message).mended_by(sql);
            if inherited { hit.severity(Severity::High) } else { hit }
        })
        .collect()
}

pub(super) fn no_policy(catalogue: &Catalogue) -> Vec<Hit> {
    catalogue
        .tables
        .values()
        .filter(|table| table.rls && table.rights.any() && !has_policies(catalogue, table))
        .map(|table| {
            let message = format!("{} has row-level security and no policy: nobody sees a row", table.name);
            let hit = Hit::new(&table.name, message);
            match &table.tenant {
                Some(tenant) => hit.mended_by(policy(catalogue, table, tenant)),
                None => hit,
            }
        })
        .collect()
}

pub(super) fn only_restrictive(catalogue: &Catalogue) -> Vec<Hit> {
    catalogue
        .tables
        .values()
        .filter(|table| table.rls && table.rights.any() && has_policies(catalogue, table))
        .filter(|table| catalogue.policies_of(table).all(|policy| !policy.permissive))
        .map(|table| {
            let message = format!("{} has restrictive policies only: nobody sees a row", table.name);
            let hit = Hit::new(&table.name, message);
            match &table.tenant {
                Some(tenant) => hit.mended_by(policy(catalogue, table, tenant)),
                None => hit,
            }
        })
        .collect()
}

pub(super) fn command_without_policy(catalogue: &Catalogue) -> Vec<Hit> {
    let mut hits = Vec::new();
    for table in catalogue.tables.values().filter(|table| table.rls) {
        let permissive = || catalogue.policies_of(table).filter(|policy| policy.permissive && policy.for_app);
        if permissive().next().is_none() {
            continue;
        }
        let rights = table.rights;
        for (granted, letter, command) in [
            (rights.select, 'r', "SELECT"),
            (rights.insert, 'a', "INSERT"),
            (rights.update, 'w', "UPDATE"),
            (rights.delete, 'd', "DELETE"),
        ] {
            if granted && !permissive().any(|policy| policy.command == '*' || policy.command == letter) {
                let message =
                    format!("{command} on {} is granted, and no policy lets it do anything", table.name);
                let sql = format!("REVOKE {command} ON {} FROM {};", table.name, table.granted_to);
                hits.push(Hit::new(format!("{} {command}", table.name), message).mended_by(sql));
            }
        }
    }
    hits
}

/// Tables whose rows belong to tenants because they have, or refer to rows that have, a tenant. One with a tenant's column
/// that is open to the role is another rule's, and what refers to it is as open.
fn belonging_to_tenants(catalogue: &Catalogue) -> BTreeSet<Oid> {
    let mut of_tenants: BTreeSet<Oid> = catalogue
        .tables_of_tenants()
        .filter(|table| table.rls || !table.rights.any())
        .map(|table| table.oid)
        .collect();
    loop {
        let before = of_tenants.len();
        for key in &catalogue.foreign_keys {
            let without = catalogue.tables.get(&key.table).is_some_and(|table| table.tenant.is_none());
            if without && of_tenants.contains(&key.references) {
                of_tenants.insert(key.table);
            }
        }
        if of_tenants.len() == before {
            return of_tenants;
        }
    }
}

pub(super) fn child_without_tenant(catalogue: &Catalogue) -> Vec<Hit> {
    let of_tenants = belonging_to_tenants(catalogue);
    let mut hits = Vec::new();
    for key in &catalogue.foreign_keys {
        let (Some(table), Some(parent)) =
            (catalogue.tables.get(&key.table), catalogue.tables.get(&key.references))
        else {
            continue;
        };
        let open = !table.rls && table.rights.any() && table.tenant.is_none() && table.oid != parent.oid;
        if open && of_tenants.contains(&parent.oid) {
            let message = format!(
                "{} has no tenant's column and no row-level security, and its rows belong to rows of {}",
                table.name, parent.name
            );
            let object = format!("{} {}", table.name, key.name);
            hits.push(Hit::new(object, message).confidence(Confidence::Medium).in_doubt());
        }
    }
    hits
}

pub(super) fn unprotected_partition(catalogue: &Catalogue) -> Vec<Hit> {
    catalogue
        .tables
        .values()
        .filter(|table| !table.rls && table.rights.any() && of_protected(catalogue, table))
        .map(|table| {
            let message = format!(
                "{} is a part of a table with row-level security and has none itself: addressed by its own name, it shows \
                 every tenant's rows",
                table.name
            );
            let sql = match &table.tenant {
                Some(tenant) => protect(catalogue, table, tenant),
                None => format!("REVOKE ALL ON {} FROM {};", table.name, table.granted_to),
            };
            Hit::new(&table.name, message).mended_by(sql)
        })
        .collect()
}

pub(super) fn child_only(catalogue: &Catalogue) -> Vec<Hit> {
    let mut hits = Vec::new();
    for table in catalogue.tables.values().filter(|table| table.rls) {
        for parent in table.parents.iter().filter_map(|parent| catalogue.tables.get(parent)) {
            if !parent.rls && parent.rights.select {
                let message = format!(
                    "{} has row-level security, but not {}, through which its rows are read without it",
                    table.name, parent.name
                );
                let hit = Hit::new(format!("{} {}", table.name, parent.name), message);
                hits.push(match &parent.tenant {
                    Some(tenant) => hit.mended_by(protect(catalogue, parent, tenant)),
                    None => hit,
                });
            }
        }
    }
    hits
}

pub(super) fn nullable(catalogue: &Catalogue) -> Vec<Hit> {
    catalogue
        .tenant_tables()
        .filter(|(table, tenant)| table.rights.any() && table.kind != 'f' && !tenant.not_null)
        .map(|(table, tenant)| {
            let message = format!("{}.{} may be NULL: such a row is nobody's", table.name, tenant.name);
            let sql =
                format!("ALTER TABLE {} ALTER COLUMN {} SET NOT NULL;", table.name, quoted(&tenant.name));
            Hit::new(&table.name, message).mended_by(sql)
        })
        .collect()
}

fn is_text(tenant: &TenantColumn) -> bool {
    matches!(tenant.base.as_str(), "text" | "varchar" | "citext")
}

pub(super) fn empty_allowed(catalogue: &Catalogue) -> Vec<Hit> {
    let lets_through = |table: &Table| {
        catalogue.policies_of(table).any(|policy| {
            [&policy.using, &policy.check]
                .into_iter()
                .flatten()
                .any(|text| predicate::lets_the_empty_text_through(text))
        })
    };
    catalogue
        .tenant_tables()
        .filter(|(table, tenant)| table.rights.any() && is_text(tenant) && lets_through(table))
        .filter(|(table, tenant)| {
            !table.checks.iter().any(|check| check.contains(&tenant.name) && (check.contains("''") || check.contains('~') || check.contains("length")))
        })
        .map(|(table, tenant)| {
            let message = format!(
                "{}.{} may be empty, and a connection that had a tenant before has the empty one afterwards: it then sees \
                 such rows",
                table.name, tenant.name
            );
            let sql = format!("ALTER TABLE {} ADD CHECK ({} <> '');", table.name, quoted(&tenant.name));
            Hit::new(&table.name, message).mended_by(sql)
        })
        .collect()
}

pub(super) fn default_may_be_empty(catalogue: &Catalogue) -> Vec<Hit> {
    catalogue
        .tenant_tables()
        .filter(|(table, _)| table.rights.insert)
        // For another type the empty text is an error, and no row.
        .filter(|(_, tenant)| is_text(tenant))
        .filter_map(|(table, tenant)| Some((table, tenant, tenant.default.as_deref()?)))
        .filter(|(_, _, default)| predicate::lets_the_empty_text_through(default))
        .map(|(table, tenant, _)| {
            let message = format!(
                "the default of {}.{} takes the setting as it is: without a tenant it is the empty text, and the row has \
                 that for its tenant",
                table.name, tenant.name
            );
            let sql = format!(
                "ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {};",
                table.name,
                quoted(&tenant.name),
                setting(catalogue, tenant)
            );
            Hit::new(&table.name, message).mended_by(sql)
        })
        .collect()
}

pub(super) fn fuzzy(catalogue: &Catalogue) -> Vec<Hit> {
    catalogue
        .tenant_tables()
        .filter(|(table, tenant)| {
            let fuzzy = tenant.fuzzy || matches!(tenant.base.as_str(), "citext" | "bpchar");
            table.rights.any() && fuzzy
        })
        .map(|(table, tenant)| {
            let message = format!(
                "{}.{} is `{}`{}, for which different texts are equal: two tenants can be one",
                table.name,
                tenant.name,
                tenant.kind,
                if tenant.fuzzy { " with a collation that is not deterministic" } else { "" }
            );
            Hit::new(&table.name, message).mended_if(as_text(catalogue, table, tenant))
        })
        .chain(super::policies::folding(catalogue))
        .collect()
}

/// SQL that makes the tenant's column a plain text. A column that a policy names cannot be altered, so the policies are made
/// anew; nothing if one of them does more than compare the tenant.
fn as_text(catalogue: &Catalogue, table: &Table, tenant: &TenantColumn) -> Option<String> {
    let plain = TenantColumn { kind: "text".to_owned(), ..tenant.clone() };
    let column = quoted(&tenant.name);
    let (mut before, mut after) = (String::new(), String::new());
    for policy in catalogue.policies_of(table) {
        let name = quoted(&policy.name);
        let roles: Vec<String> = policy
            .roles
            .iter()
            .map(|role| if *role == 0 { "PUBLIC".to_owned() } else { quoted(catalogue.role_name(*role)) })
            .collect();
        let command = match policy.command {
            'r' => "SELECT",
            'a' => "INSERT",
            'w' => "UPDATE",
            'd' => "DELETE",
            _ => "ALL",
        };
        let test = |text: &Option<String>, word: &str| match text {
            None => Some(String::new()),
            Some(old) => predicate::only_compares(old, &tenant.name)
                .map(|setting| format!(" {word} ({column} = {})", of_setting(&setting, &plain))),
        };
        let (using, check) = (test(&policy.using, "USING")?, test(&policy.check, "WITH CHECK")?);
        let kind = if policy.permissive { "PERMISSIVE" } else { "RESTRICTIVE" };
        before.push_str(&format!("DROP POLICY {name} ON {};\n", table.name));
        after.push_str(&format!(
            "\nCREATE POLICY {name} ON {} AS {kind} FOR {command} TO {}{using}{check};",
            table.name,
            roles.join(", ")
        ));
    }
    Some(format!("{before}ALTER TABLE {} ALTER COLUMN {column} TYPE text COLLATE \"C\";{after}", table.name))
}

pub(super) fn foreign(catalogue: &Catalogue) -> Vec<Hit> {
    catalogue
        .tenant_tables()
        .filter(|(table, _)| table.kind == 'f' && table.rights.any())
        .map(|(table, _)| {
            let message =
                format!("{} is a foreign table: row-level security does not exist for it", table.name);
            let sql = format!("REVOKE ALL ON {} FROM {};", table.name, table.granted_to);
            Hit::new(&table.name, message).mended_by(sql)
        })
        .collect()
}

fn granted(catalogue: &Catalogue, command: &str, effect: &str, has: impl Fn(&Table) -> bool) -> Vec<Hit> {
    if catalogue.app.superuser {
        return Vec::new();
    }
    catalogue
        .tenant_tables()
        // The owner has it without a grant, and another rule speaks of owners.
        .filter(|(table, _)| {
            has(table) && !catalogue.roles.get(&table.owner).is_some_and(|owner| owner.inherited)
        })
        .map(|(table, _)| {
            let message = format!("{command} on {} is granted: {effect}", table.name);
            let sql = format!("REVOKE {command} ON {} FROM {};", table.name, table.granted_to);
            Hit::new(&table.name, message).mended_by(sql)
        })
        .collect()
}

pub(super) fn truncate(catalogue: &Catalogue) -> Vec<Hit> {
    granted(
        catalogue,
        "TRUNCATE",
        "it empties the table of all tenants, whatever the policies say",
        |table| table.rights.truncate,
    )
}

pub(super) fn trigger(catalogue: &Catalogue) -> Vec<Hit> {
    granted(catalogue, "TRIGGER", "a trigger of one's own sees every row that anybody writes", |table| {
        table.rights.trigger
    })
}

pub(super) fn references(catalogue: &Catalogue) -> Vec<Hit> {
    granted(catalogue, "REFERENCES", "a foreign key of one's own tells which keys exist", |table| {
        table.rights.references
    })
}
