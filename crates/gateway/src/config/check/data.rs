//! `[data.NAME]`.

use super::{Found, names};
use crate::config::{Config, DataSource, Driver, Isolation};

pub(super) fn check_data(config: &Config, found: &mut Found) {
    for (name, source) in &config.data {
        let key = |key: &str| format!("data.{name}{key}");
        found.say_unless(
            names::is_source_name(name),
            &key(""),
            "a source's name has 1 to 64 of the characters a-z 0-9 _ -",
        );
        match source.driver {
            Driver::Sqlite => check_sqlite(source, &key, found),
            Driver::Postgres => check_postgres(source, &key, found),
        }
    }
}

fn check_sqlite(source: &DataSource, key: &dyn Fn(&str) -> String, found: &mut Found) {
    found.number(
        &key(".max_open_files"),
        u64::try_from(source.max_open_files).unwrap_or(u64::MAX),
        1,
        100_000,
    );
    found.number(&key(".max_file_bytes"), source.max_file_bytes.0, 64 << 10, 1 << 40);
    for (name, given) in [
        (".url", source.url.is_some()),
        (".isolation", source.isolation.is_some()),
        (".setting", source.setting.is_some()),
        (".tenant_columns", !source.tenant_columns.is_empty()),
        (".schema", source.schema.is_some()),
        (".template", source.template.is_some()),
        (".role", source.role.is_some()),
        (".password", source.password.is_some()),
        (".database", source.database.is_some()),
        (".pooler", source.pooler),
        (".max_connections", source.max_connections.is_some()),
        (".idle", source.idle.is_some()),
        (".connect_timeout", source.connect_timeout.is_some()),
        (".allow", !source.allow.is_empty()),
    ] {
        found.say_unless(!given, &key(name), "is for `driver = \"postgres\"`; remove it");
    }
}

fn check_postgres(source: &DataSource, key: &dyn Fn(&str) -> String, found: &mut Found) {
    found.say_unless(
        source.migrations.is_none(),
        &key(".migrations"),
        "is for `driver = \"sqlite\"`; the gateway's role must not be able to change tables, so run the migrations of \
         a PostgreSQL database yourself, as the owner of its tables",
    );
    found.say_unless(
        source.url.is_some(),
        &key(".url"),
        "is missing; write `env:NAME` or `file:PATH` for where the database's URL is",
    );
    if let Some(most) = source.max_connections {
        found.number(&key(".max_connections"), u64::try_from(most).unwrap_or(u64::MAX), 1, 10_000);
    }
    for (name, time) in [(".idle", source.idle), (".connect_timeout", source.connect_timeout)] {
        if let Some(time) = time {
            found.duration(&key(name), time);
        }
    }
    if let Some(setting) = &source.setting {
        found.say_unless(
            is_setting(setting),
            &key(".setting"),
            "must be a setting of your own: two words of a-z 0-9 _ with a dot between them, such as `app.tenant`",
        );
    }
    for allowed in &source.allow {
        found.say_unless(
            !allowed.rule.trim().is_empty() && !allowed.reason.trim().is_empty(),
            &key(".allow"),
            "each needs a `rule` and a `reason`",
        );
        let rule = allowed.rule.trim();
        found.say_unless(
            rule.is_empty() || partywall_postgres::check::pages().iter().any(|page| page.check.id == rule),
            &key(".allow"),
            format!("`{rule}` is no rule for databases, so it allows nothing; `partywall rules` lists all"),
        );
        found.say_unless(
            allowed.object.as_ref().is_none_or(|object| !object.trim().is_empty()),
            &key(".allow"),
            "an `object` is a table, view, function or policy as the error names it; leave it out to allow the rule for all",
        );
    }
    check_columns(source, key, found);
    let own = [(".role", &source.role), (".password", &source.password), (".database", &source.database)];
    match source.isolation {
        None => found.say(
            &key(".isolation"),
            "is missing; write \"rls\" for shared tables with policies, or \"schema\" or \"database\" for a role of \
             each tenant",
        ),
        Some(Isolation::Rls) => {
            for (name, given) in own {
                found.say_unless(
                    given.is_none(),
                    &key(name),
                    "is for `isolation = \"schema\"` and `\"database\"`; remove it",
                );
            }
        }
        Some(Isolation::Schema) => found.say_unless(
            source.database.is_none(),
            &key(".database"),
            "is for `isolation = \"database\"`; remove it",
        ),
        Some(Isolation::Database) => {}
    }
}

fn check_columns(source: &DataSource, key: &dyn Fn(&str) -> String, found: &mut Found) {
    for column in &source.tenant_columns {
        found.say_unless(
            (1..=63).contains(&column.len()) && !column.contains(char::is_control),
            &key(".tenant_columns"),
            "each is the name of a column, as it stands in the catalogue: 1 to 63 bytes, without quotes around it",
        );
    }
    found.say_unless(
        source.tenant_columns.is_empty() || matches!(source.isolation, None | Some(Isolation::Rls)),
        &key(".tenant_columns"),
        "is for `isolation = \"rls\"`; remove it",
    );
}

/// A custom setting has a dot in its name; without one it would be a setting of the server itself.
fn is_setting(text: &str) -> bool {
    let is_word = |word: &str| {
        (1..=30).contains(&word.len())
            && word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    text.split_once('.').is_some_and(|(one, two)| is_word(one) && is_word(two))
}
