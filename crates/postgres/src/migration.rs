//! A migration that makes a table keep tenants apart: roles, the column, keys, index, policy and rights.
//!
//! It can be applied twice: what is there already is left as it is.

use std::fmt::Write as _;

use tokio_postgres::{GenericClient, Row};

use crate::check::quoted;

/// What to make safe.
#[derive(Debug, Clone)]
pub struct Table {
    /// The table, with its schema or without.
    pub name: String,
    /// The column that says whose a row is.
    pub column: String,
    /// The application's role.
    pub role: String,
    /// The role that owns tables.
    pub owner: String,
    /// The setting that holds the tenant's id.
    pub setting: String,
}

/// Why there is no migration.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The name is none.
    #[error(
        "`{0}` is no name of a table or column; write it as in SQL, such as orders, shop.orders or \"Orders\""
    )]
    Name(String),
    /// There is no such table.
    #[error("there is no table {0} in this database; write its schema too if it is not in the search path")]
    NoTable(String),
    /// There is no such column.
    #[error(
        "{table} has no column {column}; add it, fill it for the rows that are there, and run this again"
    )]
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The server refused, or is gone.
    #[error("looking at the table: {}", crate::connect::chain(.0))]
    Read(#[source] tokio_postgres::Error),
}

/// What is known of a table.
struct Known {
    /// `schema.table`, quoted where it has to be.
    table: String,
    schema: Option<String>,
    column: String,
    kind: String,
    not_null: bool,
    /// Constraint's name, whether it is the primary key, its columns.
    keys: Vec<(String, bool, Vec<String>)>,
    /// Unique indexes that are no constraints: name, the SQL that makes them, and the foreign keys that need them.
    indexes: Vec<(String, String, Vec<String>)>,
    /// Foreign keys that do not hold the tenant: name, other table, our columns, theirs, the other's tenant column.
    references: Vec<Reference>,
    indexed: bool,
    policies: Vec<String>,
    /// Sequences that its columns take their default from.
    sequences: Vec<String>,
}

struct Reference {
    name: String,
    other: String,
    ours: Vec<String>,
    theirs: Vec<String>,
    /// ON UPDATE, ON DELETE and DEFERRABLE, as they were.
    actions: String,
}

/// A name as it may be written in SQL, with or without quotes; without anything else in it.
fn parse(word: &str) -> Option<String> {
    if let Some(inner) = word.strip_prefix('"').and_then(|word| word.strip_suffix('"')) {
        let name = inner.replace("\"\"", "\"");
        return (!name.is_empty() && !name.contains('\0')).then_some(name);
    }
    let plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$');
    plain.then(|| word.to_lowercase())
}

/// Schema and table.
fn parts(name: &str) -> Result<(Option<String>, String), MigrationError> {
    let wrong = || MigrationError::Name(name.to_owned());
    // A dot inside of quotes is not one between names.
    let mut in_quotes = false;
    let dot = name.char_indices().find(|(_, c)| {
        in_quotes ^= *c == '"';
        *c == '.' && !in_quotes
    });
    match dot {
        None => Ok((None, parse(name).ok_or_else(wrong)?)),
        Some((at, _)) => {
            let (schema, rest) = name.split_at(at);
            let table = rest.strip_prefix('.').unwrap_or_default();
            Ok((Some(parse(schema).ok_or_else(wrong)?), parse(table).ok_or_else(wrong)?))
        }
    }
}

/// A migration for a table of which nothing is known but its name.
///
/// # Errors
/// A name is none.
pub fn without_database(table: &Table) -> Result<String, MigrationError> {
    let (schema, name) = parts(&table.name)?;
    let column = parse(&table.column).ok_or_else(|| MigrationError::Name(table.column.clone()))?;
    let known = Known {
        table: schema.iter().chain([&name]).map(|name| quoted(name)).collect::<Vec<_>>().join("."),
        schema,
        column,
        kind: "text".to_owned(),
        not_null: false,
        keys: Vec::new(),
        indexes: Vec::new(),
        references: Vec::new(),
        indexed: false,
        policies: Vec::new(),
        sequences: Vec::new(),
    };
    let mut text = write(&known, table);
    text.push_str(
        "\n-- Keys are not known without the database (--database URL prints them too). Each unique key and each foreign key\n\
         -- of the table has to begin with the tenant's column; of another type than text, cast the setting in the policy.\n",
    );
    Ok(text)
}

/// A migration for a table as it is now.
///
/// # Errors
/// There is no such table or column, or they cannot be looked at.
pub async fn of_live(client: &impl GenericClient, table: &Table) -> Result<String, MigrationError> {
    let (schema, name) = parts(&table.name)?;
    let column = parse(&table.column).ok_or_else(|| MigrationError::Name(table.column.clone()))?;
    let written = schema.iter().chain([&name]).map(|name| quoted(name)).collect::<Vec<_>>().join(".");
    let found = client
        .query_opt(
            "SELECT c.oid, n.nspname::text, format('%I.%I', n.nspname, c.relname) FROM pg_class c
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1) AND c.relkind IN ('r', 'p')",
            &[&written],
        )
        .await
        .map_err(MigrationError::Read)?
        .ok_or_else(|| MigrationError::NoTable(written.clone()))?;
    let read = |row: &tokio_postgres::Row| {
        Ok::<_, tokio_postgres::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
    };
    let (oid, schema, full): (u32, String, String) = read(&found).map_err(MigrationError::Read)?;
    let known = look(client, oid, schema, full, column).await?;
    Ok(write(&known, table))
}

async fn look(
    client: &impl GenericClient,
    oid: u32,
    schema: String,
    table: String,
    column: String,
) -> Result<Known, MigrationError> {
    let row = client
        .query_opt(
            "SELECT format_type(a.atttypid, a.atttypmod), a.attnotnull,
                    EXISTS (SELECT FROM pg_index i WHERE i.indrelid = $1 AND i.indisvalid AND i.indpred IS NULL
                        AND i.indkey[0] = a.attnum),
                    ARRAY(SELECT p.polname::text FROM pg_policy p WHERE p.polrelid = $1),
                    ARRAY(SELECT format('%I.%I', n.nspname, s.relname) FROM pg_depend d
                        JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
                        WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                          AND d.refobjid = $1 AND d.deptype = 'a' ORDER BY 1)
             FROM pg_attribute a WHERE a.attrelid = $1 AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped",
            &[&oid, &column],
        )
        .await
        .map_err(MigrationError::Read)?
        .ok_or_else(|| MigrationError::NoColumn { table: table.clone(), column: column.clone() })?;
    let keys = client
        .query(
            "SELECT quote_ident(k.conname), k.contype = 'p', ARRAY(SELECT quote_ident(a.attname) FROM unnest(k.conkey)
                 WITH ORDINALITY u (number, place) JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = u.number
                 ORDER BY u.place)
             FROM pg_constraint k WHERE k.conrelid = $1 AND k.contype IN ('p', 'u')
               AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = $1 AND a.attname = $2 AND a.attnum = ANY (k.conkey))
             ORDER BY 1",
            &[&oid, &column],
        )
        .await
        .map_err(MigrationError::Read)?;
    let indexes = client
        .query(
            "SELECT format('%I.%I', n.nspname, c.relname), pg_get_indexdef(i.indexrelid),
                    ARRAY(SELECT format('%I of %I.%I', k.conname, m.nspname, t.relname) FROM pg_constraint k
                        JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace m ON m.oid = t.relnamespace
                        WHERE k.conindid = i.indexrelid AND k.contype = 'f' ORDER BY 1)
             FROM pg_index i
             JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE i.indrelid = $1 AND i.indisunique
               AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
               AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = $1 AND a.attname = $2
                   AND (a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]) OR (0 = ANY (i.indkey::int2[])
                       AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                           AND d.refobjid = $1 AND d.refobjsubid = a.attnum))))
             ORDER BY 1",
            &[&oid, &column],
        )
        .await
        .map_err(MigrationError::Read)?;
    let references = client
        .query(
            "SELECT quote_ident(k.conname), format('%I.%I', n.nspname, c.relname),
                    ARRAY(SELECT quote_ident(a.attname) FROM unnest(k.conkey) WITH ORDINALITY u (number, place)
                        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number ORDER BY u.place),
                    ARRAY(SELECT quote_ident(a.attname) FROM unnest(k.confkey) WITH ORDINALITY u (number, place)
                        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number ORDER BY u.place),
                    regexp_replace(pg_get_constraintdef(k.oid), '^.*? REFERENCES ', '')
             FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE k.conrelid = $1 AND k.contype = 'f'
               AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = k.confrelid AND a.attname = $2)
               AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = $1 AND a.attname = $2 AND a.attnum = ANY (k.conkey))
             ORDER BY 1",
            &[&oid, &column],
        )
        .await
        .map_err(MigrationError::Read)?;
    read(&row, &keys, &indexes, &references, schema, table, column).map_err(MigrationError::Read)
}

fn read(
    row: &Row,
    keys: &[Row],
    indexes: &[Row],
    references: &[Row],
    schema: String,
    table: String,
    column: String,
) -> Result<Known, tokio_postgres::Error> {
    let key = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    let index = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    let reference = |row: &Row| {
        let ours: Vec<String> = row.try_get(2)?;
        let theirs: Vec<String> = row.try_get(3)?;
        let definition: String = row.try_get(4)?;
        let actions = actions(&definition, &ours, &theirs);
        Ok(Reference { name: row.try_get(0)?, other: row.try_get(1)?, ours, theirs, actions })
    };
    Ok(Known {
        table,
        schema: Some(schema),
        column,
        kind: row.try_get(0)?,
        not_null: row.try_get(1)?,
        indexed: row.try_get(2)?,
        policies: row.try_get(3)?,
        sequences: row.try_get(4)?,
        keys: keys.iter().map(key).collect::<Result<_, tokio_postgres::Error>>()?,
        indexes: indexes.iter().map(index).collect::<Result<_, tokio_postgres::Error>>()?,
        references: references.iter().map(reference).collect::<Result<_, tokio_postgres::Error>>()?,
    })
}

/// What a foreign key's definition says after the columns that it refers to. What sets columns to nothing leaves the tenant
/// out; that can be said of a deletion alone.
fn actions(definition: &str, ours: &[String], theirs: &[String]) -> String {
    let after = definition.split_once(&format!("({})", theirs.join(", "))).map_or("", |(_, after)| after);
    let ours = ours.join(", ");
    // The tenant is there always: with MATCH FULL the others would have to be too.
    let mut actions = after.replace(" MATCH FULL", "");
    for what in ["SET NULL", "SET DEFAULT"] {
        let deletion = format!("ON DELETE {what}");
        if actions.contains(&deletion) && !actions.contains(&format!("{deletion} (")) {
            actions = actions.replace(&deletion, &format!("{deletion} ({ours})"));
        }
        actions = actions.replace(&format!(" ON UPDATE {what}"), "");
    }
    actions
}

/// The tenant of the transaction, as an expression of the column's type.
fn setting(known: &Known, table: &Table) -> String {
    let text = format!("nullif(current_setting('{}', true), '')", table.setting.replace('\'', "''"));
    match known.kind.split('(').next().unwrap_or_default() {
        "text" | "character varying" => text,
        kind => format!("{text}::{kind}"),
    }
}

/// Writing to a String does not fail.
macro_rules! say {
    ($text:ident, $($rest:tt)*) => { let _written = writeln!($text, $($rest)*); };
}

fn write(known: &Known, table: &Table) -> String {
    let Known { table: name, column, .. } = known;
    let (role, owner) = (quoted(&table.role), quoted(&table.owner));
    let column_name = quoted(column);
    let mut text = String::new();
    say!(
        text,
        "-- Makes {} keep tenants apart by {}. Read it, then run it as a superuser or as the owner.",
        in_comment(name),
        in_comment(&column_name)
    );
    say!(text, "BEGIN;\n");
    say!(
        text,
        "-- Roles: one owns tables and nobody logs in as it; the application's has no attributes and no memberships."
    );
    for (role, login) in [(&table.owner, "NOLOGIN"), (&table.role, "LOGIN")] {
        say!(
            text,
            "DO $$ BEGIN\n    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {}) THEN CREATE ROLE {} {login}; END IF;\nEND $$;",
            literal(role),
            quoted(role)
        );
    }
    say!(text, "ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION;");
    say!(text, "ALTER TABLE {name} OWNER TO {owner};\n");
    write_column(&mut text, known);
    write_keys(&mut text, known);
    say!(text, "-- The policy: without a tenant no row, for every command.");
    say!(text, "ALTER TABLE {name} ENABLE ROW LEVEL SECURITY;\nALTER TABLE {name} FORCE ROW LEVEL SECURITY;");
    for policy in known.policies.iter().filter(|policy| *policy != "of_tenant") {
        say!(
            text,
            "-- There is a policy {} too. Permissive policies are joined by OR: drop it unless it tests the tenant.",
            in_comment(&quoted(policy))
        );
    }
    say!(text, "DROP POLICY IF EXISTS of_tenant ON {name};");
    say!(
        text,
        "CREATE POLICY of_tenant ON {name} TO {role}\n    USING ({column_name} = {});\n",
        setting(known, table)
    );
    say!(text, "-- Rights that policies govern, and no others.");
    say!(text, "REVOKE ALL ON {name} FROM PUBLIC, {role};");
    if let Some(schema) = &known.schema {
        say!(text, "GRANT USAGE ON SCHEMA {} TO {role};", quoted(schema));
    }
    say!(text, "GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {role};");
    for sequence in &known.sequences {
        say!(
            text,
            "REVOKE ALL ON SEQUENCE {sequence} FROM PUBLIC, {role};\nGRANT USAGE ON SEQUENCE {sequence} TO {role};"
        );
    }
    text.push('\n');
    say!(text, "COMMIT;");
    text
}

fn write_column(text: &mut String, known: &Known) {
    let (name, column) = (&known.table, quoted(&known.column));
    say!(
        text,
        "-- A row belongs to somebody. This fails while there are rows without a tenant: give them to one first."
    );
    if !known.not_null {
        say!(text, "ALTER TABLE {name} ALTER COLUMN {column} SET NOT NULL;");
    }
    if matches!(known.kind.split('(').next(), Some("text" | "character varying")) {
        let constraint = quoted(&format!("{}_not_empty", known.column));
        say!(text, "ALTER TABLE {name} DROP CONSTRAINT IF EXISTS {constraint};");
        say!(text, "ALTER TABLE {name} ADD CONSTRAINT {constraint} CHECK ({column} <> '');");
    }
    text.push('\n');
}

fn write_keys(text: &mut String, known: &Known) {
    let (name, column) = (&known.table, quoted(&known.column));
    if !(known.references.is_empty() && known.keys.is_empty() && known.indexes.is_empty()) {
        say!(
            text,
            "-- Keys hold the tenant: else an error tells what others have, and rows refer to other tenants' rows."
        );
    }
    for reference in &known.references {
        let (ours, theirs) = (reference.ours.join(", "), reference.theirs.join(", "));
        say!(
            text,
            "-- {}",
            in_comment(&format!(
                "{} has to have a unique key ({column}, {theirs}) for this.",
                reference.other
            ))
        );
        say!(text, "ALTER TABLE {name} DROP CONSTRAINT {};", reference.name);
        say!(
            text,
            "ALTER TABLE {name} ADD CONSTRAINT {} FOREIGN KEY ({column}, {ours}) REFERENCES {} ({column}, {theirs}){};",
            reference.name,
            reference.other,
            reference.actions
        );
    }
    for (key, primary, columns) in &known.keys {
        let columns = columns.join(", ");
        let kind = if *primary { "PRIMARY KEY" } else { "UNIQUE" };
        say!(
            text,
            "-- Foreign keys of other tables to ({}) have to be dropped before and made anew after, with the tenant.",
            in_comment(&columns)
        );
        say!(text, "ALTER TABLE {name} DROP CONSTRAINT {key};");
        say!(text, "ALTER TABLE {name} ADD CONSTRAINT {key} {kind} ({column}, {columns});");
    }
    write_indexes(text, known);
    let by_key = known.keys.iter().any(|_| true);
    if !known.indexed && !by_key {
        say!(text, "CREATE INDEX IF NOT EXISTS {} ON {name} ({column});", quoted(&index_name(known)));
    }
    text.push('\n');
}

/// Unique indexes that are no constraints, with the tenant first.
fn write_indexes(text: &mut String, known: &Known) {
    let (name, column) = (&known.table, quoted(&known.column));
    for (index, definition, needed) in &known.indexes {
        if !needed.is_empty() {
            let of = needed.join(", ");
            say!(
                text,
                "-- {}",
                in_comment(&format!(
                    "The unique index {index} is one for all tenants, and the foreign key {of} needs it: make that anew with \
                     the tenant, and run this again."
                ))
            );
            continue;
        }
        let made = definition.split_once(&format!(" ON {name} USING ")).and_then(|(before, after)| {
            let (method, rest) = after.split_once('(')?;
            Some(format!("{before} ON {name} USING {method}({column}, {rest}"))
        });
        match made {
            Some(made) => {
                say!(text, "DROP INDEX {index};");
                say!(text, "{made};");
            }
            None => {
                say!(
                    text,
                    "-- {}",
                    in_comment(&format!("The unique index {index} is one for all tenants: {definition}"))
                );
            }
        }
    }
}

/// What may stand in a comment: a line break in a name would end it, and what comes after would be run.
fn in_comment(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

fn index_name(known: &Known) -> String {
    let table = known.table.rsplit('.').next().unwrap_or_default().trim_matches('"');
    format!("{table}_{}", known.column)
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, column: &str) -> Table {
        Table {
            name: name.to_owned(),
            column: column.to_owned(),
            role: "app".to_owned(),
            owner: "table_owner".to_owned(),
            setting: "app.tenant".to_owned(),
        }
    }

    #[test]
    fn what_a_foreign_key_does_stays_and_leaves_the_tenant() {
        let of = |definition: &str| actions(definition, &["pid".to_owned()], &["id".to_owned()]);
        assert_eq!(
            of("shop.p(id) ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE"),
            " ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE"
        );
        assert_eq!(of("shop.p(id) ON DELETE SET NULL"), " ON DELETE SET NULL (pid)");
        assert_eq!(of("shop.p(id) ON UPDATE SET NULL ON DELETE SET NULL (pid)"), " ON DELETE SET NULL (pid)");
        assert_eq!(of("shop.p(id)"), "");
        assert_eq!(of("shop.p(id) MATCH FULL ON DELETE CASCADE"), " ON DELETE CASCADE");
        assert_eq!(of("shop.p(id) MATCH FULL ON DELETE SET NULL"), " ON DELETE SET NULL (pid)");
    }

    #[test]
    fn names_are_names_and_nothing_else() {
        assert_eq!(parts("Shop.Orders").unwrap(), (Some("shop".to_owned()), "orders".to_owned()));
        assert_eq!(parts("\"My.Shop\".\"O\"\"x\"").unwrap(), (Some("My.Shop".to_owned()), "O\"x".to_owned()));
        for wrong in ["", "a.b.c", "orders; DROP TABLE x", "a b", "\"", "x.", "a--"] {
            assert!(parts(wrong).is_err(), "{wrong}");
        }
        let text = without_database(&table("\"a\nDROP TABLE b; --\"", "tenant_id")).unwrap();
        let comments = text.lines().filter(|line| line.starts_with("DROP TABLE b; --\" keep"));
        assert_eq!(comments.count(), 0, "{text}");
        assert!(without_database(&table("orders", "tenant id")).is_err());
        let text = without_database(&table("\"Orders\"", "org_id")).unwrap();
        assert!(text.contains("CREATE POLICY of_tenant ON \"Orders\" TO app"), "{text}");
    }
}
