//! A database behind a tool that takes SQL, as one tenant reaches it.

use serde_json::{Map, json};

use crate::{
    arguments,
    facts::{Facts, key},
    oracle::reading::failed,
    probes::attempt,
    site::{Party, Site},
    survey::Tool,
    tally::Tally,
    target::Exchange,
};

/// A tool that takes SQL, and what is known of what lies behind it.
pub(super) struct Database<'a> {
    party: &'a Party,
    tool: &'a Tool,
    place: &'a str,
    /// Tables and views with their schemas.
    pub(super) tables: Vec<String>,
    /// Names of columns.
    pub(super) columns: Vec<String>,
    /// Settings that policies read.
    pub(super) settings: Vec<String>,
    /// What the victim may be called in the data.
    pub(super) names: Vec<String>,
    /// A table, a column and a value in it that is the victim's.
    pub(super) known: Option<(String, String, String)>,
}

/// The databases behind the tools that both tenants are offered; their owners read their own rows first, as the control.
pub(super) async fn databases<'a>(
    tally: &mut Tally,
    site: &Site,
    attacker: &'a Party,
    victim: &Party,
) -> Vec<Database<'a>> {
    let mut all = Vec::new();
    for tool in &attacker.surface.tools {
        let Some(place) = tool.takes_sql() else { continue };
        if tool.destroys {
            continue;
        }
        if !tool.runs_sql(site.plan.allow_writes) {
            let why = if tool.says_it_writes() {
                "says that it writes"
            } else {
                "may do more than run it, by its name"
            };
            tally.absent(format!("{} takes SQL and {why}: --allow-writes calls it", tool.name));
            continue;
        }
        if victim.surface.tool(&tool.name).is_none() || all.len() >= 2 {
            continue;
        }
        let names = attempt::names_of(victim, site);
        let mut base = Database {
            party: attacker,
            tool,
            place,
            tables: Vec::new(),
            columns: Vec::new(),
            settings: Vec::new(),
            names: names.iter().filter_map(|name| Some(name.as_str()?.replace('\'', "''"))).collect(),
            known: None,
        };
        let works = base.run("select 1 as one").await;
        tally.control(
            works.success().is_some(),
            &format!("{} runs no statement: {}", tool.name, failed(&works)),
        );
        if works.success().is_some() {
            base.explore(tally, site, victim).await;
            all.push(base);
        }
    }
    all
}

const TABLES: [&str; 2] = [
    "select table_schema || '.' || table_name as t from information_schema.tables where table_schema not in ('pg_catalog', 'information_schema') limit 40",
    "select 'main.' || name as t from sqlite_master where type in ('table', 'view') limit 40",
];

impl<'a> Database<'a> {
    /// The same database as another tenant reaches it.
    pub(super) fn as_party<'b>(&self, party: &'b Party) -> Database<'b>
    where
        'a: 'b,
    {
        Database {
            party,
            tool: self.tool,
            place: self.place,
            tables: self.tables.clone(),
            columns: self.columns.clone(),
            settings: self.settings.clone(),
            names: self.names.clone(),
            known: self.known.clone(),
        }
    }

    /// Runs a statement.
    pub(super) async fn run(&self, sql: &str) -> Exchange {
        let given = Map::from_iter([(self.place.to_owned(), json!(sql))]);
        self.party.caller.call(&self.tool.name, &arguments::object(&self.tool.schema, &given, 3)).await
    }

    /// Takes back what statements may have left in a session, as far as that can be done from outside.
    pub(super) async fn clean(&self) {
        for statement in [
            "rollback",
            "reset role",
            "reset all",
            "select pg_advisory_unlock_all()",
            "discard temp",
            "unlisten *",
        ] {
            self.run(statement).await;
        }
    }

    async fn explore(&mut self, tally: &mut Tally, site: &Site, victim: &Party) {
        for catalogue in TABLES {
            let found = words(&self.run(catalogue).await);
            let tables = found.into_iter().filter(|word| word.matches('.').count() == 1);
            self.tables.extend(tables.filter(|table| !table.contains("cnry_")).take(8));
            if !self.tables.is_empty() {
                break;
            }
        }
        let policies = self
            .run("select coalesce(qual, '') || coalesce(with_check, '') as q from pg_policies limit 40")
            .await;
        if let Some(reply) = policies.reply().filter(|_| policies.success().is_some()) {
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            for part in text.split("current_setting('").skip(1) {
                let name = part.split('\'').next().unwrap_or_default();
                if !name.is_empty() && name.len() < 60 && !self.settings.iter().any(|known| known == name) {
                    self.settings.push(name.to_owned());
                }
            }
        }
        let mut seen = false;
        for table in self.tables.clone() {
            let own = self.as_party(victim).run(&format!("select * from {table} limit 20")).await;
            let Some(facts) = own.success().map(Facts::of) else { continue };
            let names = facts.leaves().map(|(path, _)| key(path).to_owned());
            for name in names.filter(|name| identifier(name) && !["text", "type"].contains(&name.as_str())) {
                if !self.columns.contains(&name) && self.columns.len() < 8 {
                    self.columns.push(name);
                }
            }
            let mark =
                facts.leaves().find(|(_, text)| site.marks.of(&victim.tenant).any(|mark| mark.text == *text));
            if let Some((path, text)) = mark {
                seen = true;
                self.known.get_or_insert_with(|| (table.clone(), key(path).to_owned(), text.to_owned()));
            }
            seen |= own.reply().is_some_and(|reply| site.marks.own(&victim.tenant, &reply.haystack()));
        }
        tally.control(seen, "no table shows its owner a value that is known to be his own, so a foreign one would not be seen");
        if !seen {
            tally.doubt(format!(
                "{} shows no value that is known to be {}'s: name some with --seed",
                self.tool.name, victim.tenant
            ));
        }
    }
}

/// Names in an answer, however it is written.
fn words(exchange: &Exchange) -> Vec<String> {
    let Some(result) = exchange.success() else { return Vec::new() };
    let mut all: Vec<String> = Vec::new();
    for (_, text) in Facts::of(result).leaves() {
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')) {
            if word.split('.').all(identifier) && !all.iter().any(|known| known == word) {
                all.push(word.to_owned());
            }
        }
    }
    all
}

fn identifier(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word.len() < 64
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
