//! What the application's role is, and what it can become.

use std::collections::BTreeSet;

use partywall_model::Confidence;

use super::Hit;
use crate::check::catalogue::{Catalogue, Oid, Role};

/// Roles that the application's role may take on, itself left out.
fn others(catalogue: &Catalogue) -> impl Iterator<Item = &Role> {
    catalogue.roles.values().filter(|role| role.reachable && role.name != catalogue.app.name)
}

pub(super) fn bypasses(catalogue: &Catalogue) -> Vec<Hit> {
    let app = &catalogue.app;
    if app.superuser || app.bypassrls {
        let what = if app.superuser { "is a superuser" } else { "has BYPASSRLS" };
        let sql = format!("ALTER ROLE {0} NOSUPERUSER NOBYPASSRLS;", quoted(&app.name));
        // Whoever is a superuser is a member of everything, so nothing else is worth saying.
        return vec![
            Hit::new(&app.name, format!("the role `{}` {what}: no policy binds it", app.name)).mended_by(sql),
        ];
    }
    others(catalogue)
        .filter(|role| role.superuser || role.bypassrls)
        .map(|role| {
            let message =
                format!("the role `{}` can become `{}`, which no policy binds", app.name, role.name);
            Hit::new(format!("{}>{}", app.name, role.name), message).mended_by(revoke(catalogue, role))
        })
        .collect()
}

/// SQL that takes a role away from whoever leads to it: the application's role, or one that it may become.
fn revoke(catalogue: &Catalogue, role: &Role) -> String {
    let of = |oid: &Oid| catalogue.roles.get(oid);
    let members: Vec<String> = catalogue
        .memberships
        .iter()
        .filter(|(_, to)| of(to).is_some_and(|to| to.name == role.name))
        .filter_map(|(member, _)| of(member))
        .filter(|member| member.reachable || member.name == catalogue.app.name)
        .map(|member| quoted(&member.name))
        .collect();
    let members = if members.is_empty() { quoted(&catalogue.app.name) } else { members.join(", ") };
    format!("REVOKE {} FROM {members};", quoted(&role.name))
}

pub(super) fn owns(catalogue: &Catalogue) -> Vec<Hit> {
    if catalogue.app.superuser || catalogue.app.bypassrls {
        return Vec::new();
    }
    let owned = catalogue.tables_of_tenants().filter(|table| {
        let owner = catalogue.roles.get(&table.owner);
        // Who may become the owner can switch row-level security off, forced or not; who has its rights is past it.
        owner.is_some_and(|owner| owner.reachable && !owner.superuser && !owner.bypassrls)
    });
    owned
        .map(|table| {
            let owner = catalogue.role_name(table.owner);
            let how = if owner == catalogue.app.name { "is" } else { "can become" };
            let message = format!("the role `{}` {how} the owner of {}", catalogue.app.name, table.name);
            let sql = match owner == catalogue.app.name {
                true => format!(
                    "DO $$ BEGIN\n    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'table_owner') THEN CREATE ROLE \
                     table_owner NOLOGIN; END IF;\nEND $$;\nALTER TABLE {} OWNER TO table_owner;\n\
                     GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {};",
                    table.name,
                    table.name,
                    quoted(&catalogue.app.name)
                ),
                false => match catalogue.roles.get(&table.owner) {
                    Some(owner) => revoke(catalogue, owner),
                    None => format!("REVOKE {} FROM {};", quoted(owner), quoted(&catalogue.app.name)),
                },
            };
            Hit::new(&table.name, message).mended_by(sql)
        })
        .collect()
}

pub(super) fn becomes(catalogue: &Catalogue) -> Vec<Hit> {
    if catalogue.app.superuser {
        return Vec::new();
    }
    // Roles whose rights it does not have without SET ROLE and that policies name: several of them are tenants' roles.
    let named: BTreeSet<&str> = catalogue
        .policies
        .iter()
        .flat_map(|policy| &policy.roles)
        .filter_map(|oid| catalogue.roles.get(oid))
        .filter(|role| role.reachable && !role.inherited)
        .map(|role| role.name.as_str())
        .collect();
    let several = named.len() > 1;
    others(catalogue)
        .filter(|role| !role.superuser && !role.bypassrls)
        .filter(|role| role.login || (several && named.contains(role.name.as_str())))
        .map(|role| {
            let message = format!(
                "the role `{}` can become `{}`: with a role for each tenant, SET ROLE is all it takes",
                catalogue.app.name, role.name
            );
            Hit::new(&role.name, message).mended_by(revoke(catalogue, role)).confidence(Confidence::Medium)
        })
        .collect()
}

const SERVER: [&str; 3] = ["pg_read_server_files", "pg_write_server_files", "pg_execute_server_program"];

pub(super) fn reads_server(catalogue: &Catalogue) -> Vec<Hit> {
    let app = &catalogue.app;
    if app.superuser {
        return Vec::new();
    }
    let mut hits: Vec<Hit> = others(catalogue)
        .filter(|role| SERVER.contains(&role.name.as_str()))
        .map(|role| {
            let message = format!("the role `{}` is a member of {}", app.name, role.name);
            Hit::new(&role.name, message).mended_by(revoke(catalogue, role))
        })
        .collect();
    if app.replication || others(catalogue).any(|role| role.replication && !role.superuser) {
        let message =
            format!("the role `{}` may replicate: it can read every change of every table", app.name);
        hits.push(
            Hit::new("replication", message)
                .mended_by(format!("ALTER ROLE {} NOREPLICATION;", quoted(&app.name))),
        );
    }
    hits
}

pub(super) fn makes_roles(catalogue: &Catalogue) -> Vec<Hit> {
    let app = &catalogue.app;
    if app.superuser || !(app.createrole || others(catalogue).any(|role| role.createrole)) {
        return Vec::new();
    }
    let message = format!("the role `{}` may make and grant roles", app.name);
    vec![Hit::new("createrole", message).mended_by(format!("ALTER ROLE {} NOCREATEROLE;", quoted(&app.name)))]
}

const STATISTICS: [&str; 3] = ["pg_monitor", "pg_read_all_stats", "pg_signal_backend"];

pub(super) fn sees_statistics(catalogue: &Catalogue) -> Vec<Hit> {
    if catalogue.app.superuser {
        return Vec::new();
    }
    others(catalogue)
        .filter(|role| STATISTICS.contains(&role.name.as_str()))
        .map(|role| {
            let message = format!("the role `{}` is a member of {}", catalogue.app.name, role.name);
            Hit::new(&role.name, message).mended_by(revoke(catalogue, role))
        })
        .collect()
}

/// Words that are no names without quotes (`pg_get_keywords`, all but the unreserved ones).
const KEYWORDS: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

/// A name as it stands in SQL.
pub(crate) fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain && !KEYWORDS.contains(&name) {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_quoted_where_they_have_to_be() {
        for (name, wanted) in [
            ("shop", "shop"),
            ("user", "\"user\""),
            ("Shop", "\"Shop\""),
            ("a\"b", "\"a\"\"b\""),
            ("1st", "\"1st\""),
        ] {
            assert_eq!(super::quoted(name), wanted);
        }
    }
}
