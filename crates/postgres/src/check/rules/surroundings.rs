//! What stands around the tables: sequences, extensions, publications, and where things can be made.

use partywall_model::Severity;

use super::{Hit, roles::quoted};
use crate::check::catalogue::Catalogue;

pub(super) fn sequence(catalogue: &Catalogue) -> Vec<Hit> {
    if catalogue.app.superuser {
        return Vec::new();
    }
    let hit = |(name, granted_to): &(String, String)| {
        let message = format!(
            "`{}` can look at the sequence {name}: how many rows all tenants make",
            catalogue.app.name
        );
        let sql = format!("REVOKE SELECT ON SEQUENCE {name} FROM {granted_to};");
        Hit::new(name, message).mended_by(sql)
    };
    catalogue.sequences.iter().map(hit).collect()
}

/// What each lets a statement reach, besides this database's tables.
const EXTENSIONS: [(&str, &str, Severity); 9] = [
    ("dblink", "connects to other servers, and back to this one as somebody else", Severity::Medium),
    ("file_fdw", "reads the server's files", Severity::Medium),
    ("adminpack", "reads and writes the server's files", Severity::Medium),
    ("plpython3u", "runs programs with the server's rights", Severity::Medium),
    ("plperlu", "runs programs with the server's rights", Severity::Medium),
    ("pg_stat_statements", "shows the statements of everybody with the same role", Severity::Low),
    ("pg_cron", "runs statements later, without the tenant", Severity::Low),
    ("http", "sends requests to anywhere", Severity::Medium),
    ("pg_net", "sends requests to anywhere", Severity::Medium),
];

pub(super) fn extension(catalogue: &Catalogue) -> Vec<Hit> {
    EXTENSIONS
        .into_iter()
        .filter(|(name, ..)| catalogue.extensions.contains(*name))
        .map(|(name, what, severity)| {
            let message = format!("the extension {name} is there: it {what}");
            Hit::new(name, message).severity(severity)
        })
        .collect()
}

pub(super) fn mapping(catalogue: &Catalogue) -> Vec<Hit> {
    let hit = |(server, everybodys): &(String, bool)| {
        let message = format!(
            "`{}` has a login at the foreign server {server}, the same for every tenant",
            catalogue.app.name
        );
        let of = if *everybodys { "PUBLIC".to_owned() } else { quoted(&catalogue.app.name) };
        let sql = format!("DROP USER MAPPING FOR {of} SERVER {};", quoted(server));
        Hit::new(server, message).mended_by(sql)
    };
    catalogue.mappings.iter().map(hit).collect()
}

pub(super) fn published(catalogue: &Catalogue) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (name, table) in &catalogue.publications {
        let table = match table {
            None => "all tables".to_owned(),
            Some(oid) => match catalogue.tables.get(oid).filter(|table| table.tenant.is_some()) {
                Some(table) => table.name.clone(),
                None => continue,
            },
        };
        let message =
            format!("the publication {name} sends {table} to its subscribers, past row-level security");
        hits.push(Hit::new(format!("{name} {table}"), message));
    }
    hits
}

pub(super) fn large_objects(catalogue: &Catalogue) -> Vec<Hit> {
    if catalogue.large_objects == 0 {
        return Vec::new();
    }
    let message = format!(
        "there are {} large objects: row-level security does not exist for them, and one role has those of all tenants",
        catalogue.large_objects
    );
    vec![Hit::new("large objects", message)]
}

pub(super) fn temp(catalogue: &Catalogue) -> Vec<Hit> {
    if !catalogue.may_make_temp || catalogue.app.superuser {
        return Vec::new();
    }
    let message = format!(
        "`{}` may make temporary tables: on a pooled connection the next tenant finds them, and they hide tables of the \
         same name",
        catalogue.app.name
    );
    let sql = format!(
        "REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC, {};",
        catalogue.database,
        quoted(&catalogue.app.name)
    );
    vec![Hit::new("temporary tables", message).mended_by(sql)]
}

pub(super) fn create(catalogue: &Catalogue) -> Vec<Hit> {
    if catalogue.app.superuser {
        return Vec::new();
    }
    let hit = |schema: &String| {
        let message = format!("`{}` may make objects in the schema {schema}", catalogue.app.name);
        let sql = format!("REVOKE CREATE ON SCHEMA {schema} FROM {}, PUBLIC;", quoted(&catalogue.app.name));
        Hit::new(schema, message).mended_by(sql)
    };
    catalogue.may_make_in.iter().map(hit).collect()
}
