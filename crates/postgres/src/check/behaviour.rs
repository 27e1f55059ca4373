//! Statements that are tried as the application's role, and rolled back: what the server does, and not what its catalogue
//! says.
//!
//! The tenants are made up, so every row that such a statement reaches is another's. Row-level security is asked before
//! constraints: a statement that only a constraint stopped had been let through.

use std::time::{Duration, Instant};

use partywall_model::Skipped;
use tokio_postgres::{Client, SimpleQueryMessage, Transaction, error::SqlState};

use super::{
    CheckError, Options, Report,
    catalogue::{Catalogue, Table, TenantColumn},
    found,
    rules::{Hit, RULES, quoted},
};

/// How many tables are tried.
const MOST_TABLES: usize = 1_000;
/// How long all of it may take; a statement has its own limit ([`become_role`]).
const MOST_TIME: Duration = Duration::from_secs(60);
/// From how many rows on a table is read only: a statement that reached them all would lock them until it is undone.
const MANY_ROWS: f32 = 1_000_000.0;

/// What a statement did.
enum Outcome {
    /// It reached so many rows.
    Rows(u64),
    /// A policy refused it.
    Refused,
    /// A constraint refused what the policies had let through.
    Constraint(String),
    /// Something else, which tells nothing.
    Other(String),
}

/// Tries statements on every tenant table that the role may use.
pub(super) async fn attempt(
    client: &mut Client,
    catalogue: &Catalogue,
    at: &str,
    options: &Options,
    report: &mut Report,
) -> Result<(), CheckError> {
    let mut transaction = client.transaction().await.map_err(CheckError::Read)?;
    try_in(&mut transaction, catalogue, at, options, report).await?;
    transaction.rollback().await.map_err(CheckError::Read)
}

/// What a statement is tried for.
const RULES_OF_STATEMENTS: [&str; 4] =
    ["reads-without-context", "update-reaches-others", "delete-reaches-others", "insert-for-others"];

/// The same in a transaction that the caller undoes.
pub(super) async fn try_in(
    transaction: &mut Transaction<'_>,
    catalogue: &Catalogue,
    at: &str,
    options: &Options,
    report: &mut Report,
) -> Result<(), CheckError> {
    let mut skipped = Vec::new();
    let mut skip = |path: &str, reason: String| skipped.push(Skipped { path: path.to_owned(), reason });
    let mut hits = Vec::new();
    if !RULES_OF_STATEMENTS.iter().any(|rule| options.wants(rule)) {
        return Ok(());
    }
    if catalogue.app.superuser || catalogue.app.bypassrls {
        skip(at, format!("nothing was tried as `{}`: no policy binds it", catalogue.app.name));
    } else if let Err(why) = become_role(transaction, &catalogue.app.name).await {
        skip(
            at,
            format!(
                "nothing was tried as `{}`: {why}; connect as that role or as a member of it",
                catalogue.app.name
            ),
        );
    } else {
        let trials = trials(catalogue, &mut skip);
        let began = Instant::now();
        let mut late = false;
        for (number, trial) in trials.iter().enumerate() {
            late = began.elapsed() > MOST_TIME;
            if number >= MOST_TABLES || late {
                break;
            }
            // Before any tenant is set: from then on the setting is empty, and no longer missing.
            trial.judge(trial.unset(transaction).await?, &mut hits, &mut skip);
        }
        for (number, trial) in trials.iter().enumerate() {
            late = late || began.elapsed() > MOST_TIME;
            if number >= MOST_TABLES || late {
                skip(at, format!("statements were tried on {number} of {} tables only", trials.len()));
                break;
            }
            trial.judge(trial.run(transaction, &mut skip).await?, &mut hits, &mut skip);
        }
    }
    report.skipped.extend(skipped);
    let mut told = std::collections::BTreeSet::new();
    for (id, hit) in hits {
        if !told.insert((id, hit.object.clone())) {
            continue;
        }
        if let Some(rule) = RULES.iter().find(|rule| rule.id == id).filter(|rule| options.wants(rule.id)) {
            report.found.push(found(rule, hit, at));
        }
    }
    Ok(())
}

/// What is tried on each table.
fn trials<'t>(catalogue: &'t Catalogue, skip: &mut impl FnMut(&str, String)) -> Vec<Trial<'t>> {
    let mut trials = Vec::new();
    for (table, tenant) in catalogue.tenant_tables().filter(|(table, _)| table.rights.any()) {
        if !table.own_rights.any() {
            skip(
                &table.name,
                "nothing was tried: the role's rights are those of a role that it can become".to_owned(),
            );
            continue;
        }
        // What happens on another server may not be undone when the transaction is.
        if let Some(foreign) = elsewhere(catalogue, table) {
            skip(&table.name, format!("nothing was tried: {foreign} is a foreign table"));
            continue;
        }
        match made_up(tenant) {
            Some([one, other]) => trials.push(Trial { catalogue, table, tenant, one, other }),
            None => skip(
                &table.name,
                format!("nothing was tried: no tenant can be made up for the type `{}`", tenant.kind),
            ),
        }
    }
    trials
}

/// The table's name if it is a foreign one, or that of such a partition or child.
fn elsewhere<'c>(catalogue: &'c Catalogue, table: &Table) -> Option<&'c str> {
    let foreign = catalogue.tables.values().filter(|other| other.kind == 'f');
    foreign
        .filter(|other| {
            other.oid == table.oid
                || catalogue.ancestors(other).into_iter().any(|parent| parent.oid == table.oid)
        })
        .map(|other| other.name.as_str())
        .next()
}

/// Takes the role on until the transaction ends.
async fn become_role(transaction: &mut Transaction<'_>, role: &str) -> Result<(), String> {
    // In a part of its own, so that a refusal does not end the transaction.
    let part = transaction.transaction().await.map_err(|error| error.to_string())?;
    let begin = format!(
        "SET LOCAL search_path = pg_catalog; SET LOCAL standard_conforming_strings = on;
         SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '5s'; SET LOCAL ROLE {}",
        quoted(role)
    );
    match part.batch_execute(&begin).await {
        Ok(()) => part.commit().await.map_err(|error| error.to_string()),
        Err(error) => {
            Err(error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned()))
        }
    }
}

/// Two tenants that nobody has, as the column's type writes them.
fn made_up(tenant: &TenantColumn) -> Option<[String; 2]> {
    let pair = |one: &str, other: &str| Some([one.to_owned(), other.to_owned()]);
    match tenant.base.as_str() {
        "text" | "citext" => pair("partywall-check-4f1c7a", "partywall-check-9b02de"),
        // Short, in case there is not room for more.
        "varchar" | "bpchar" => pair("~4f1c", "~9b02"),
        "uuid" => pair("b7d5e1f0-4c5a-4d1e-9a4b-6f1c7a4f1c01", "b7d5e1f0-4c5a-4d1e-9a4b-6f1c7a4f1c02"),
        "int8" | "int4" => pair("-1971046", "-1971047"),
        "int2" => pair("-19710", "-19711"),
        _ => None,
    }
}

struct Trial<'t> {
    catalogue: &'t Catalogue,
    table: &'t Table,
    tenant: &'t TenantColumn,
    one: String,
    other: String,
}

/// A rule, what a statement did, and the statement in words.
type Asked = (&'static str, Outcome, String);

impl Trial<'_> {
    fn hit(&self, rule: &str, what: &str) -> Hit {
        Hit {
            object: self.table.name.clone(),
            message: format!("{}: as `{}`, {what}", self.table.name, self.catalogue.app.name),
            advice: RULES.iter().find(|known| known.id == rule).map(|known| known.advice),
            ..Hit::default()
        }
    }

    fn judge(
        &self,
        asked: Vec<Asked>,
        hits: &mut Vec<(&'static str, Hit)>,
        skip: &mut impl FnMut(&str, String),
    ) {
        for (rule, outcome, ask) in asked {
            match outcome {
                Outcome::Rows(0) | Outcome::Refused => {}
                Outcome::Rows(rows) => {
                    hits.push((rule, self.hit(rule, &format!("{ask} reached {rows} rows"))))
                }
                Outcome::Constraint(what) => {
                    hits.push((rule, self.hit(rule, &format!("only a constraint stopped {ask}: {what}"))));
                }
                Outcome::Other(what) => skip(&self.table.name, format!("{ask} told nothing: {what}")),
            }
        }
    }

    /// What there is to see before a tenant was ever named.
    async fn unset(&self, transaction: &Transaction<'_>) -> Result<Vec<Asked>, CheckError> {
        if !self.table.own_rights.select {
            return Ok(Vec::new());
        }
        let read = format!("SELECT FROM {} LIMIT 100", self.table.name);
        let outcome = self.ask(transaction, None, &read).await?;
        Ok(vec![("reads-without-context", outcome, "a SELECT before there was a tenant".to_owned())])
    }

    async fn run(
        &self,
        transaction: &Transaction<'_>,
        skip: &mut impl FnMut(&str, String),
    ) -> Result<Vec<Asked>, CheckError> {
        let name = &self.table.name;
        let column = quoted(&self.tenant.name);
        let mut rights = self.table.own_rights;
        if self.table.rows > MANY_ROWS && (rights.update || rights.delete) {
            skip(name, format!("UPDATE and DELETE were not tried: it has about {} rows", self.table.rows));
            (rights.update, rights.delete) = (false, false);
        }
        let one = self.one.as_str();
        let mut outcomes = Vec::new();
        if rights.select {
            // As many as tell something, so that a large table costs little.
            let read = format!("SELECT FROM {name} LIMIT 100");
            let outcome = self.ask(transaction, Some(""), &read).await?;
            outcomes.push(("reads-without-context", outcome, "a SELECT without a tenant".to_owned()));
            let outcome = self.ask(transaction, Some(one), &read).await?;
            outcomes.push((
                "reads-without-context",
                outcome,
                "a SELECT as a tenant that does not exist".to_owned(),
            ));
        }
        if rights.update {
            let update = format!("UPDATE {name} SET {column} = '{one}'");
            let outcome = self.ask(transaction, Some(one), &update).await?;
            outcomes.push((
                "update-reaches-others",
                outcome,
                "an UPDATE as a tenant that does not exist".to_owned(),
            ));
        }
        if rights.delete {
            let outcome = self.ask(transaction, Some(one), &format!("DELETE FROM {name}")).await?;
            outcomes.push((
                "delete-reaches-others",
                outcome,
                "a DELETE as a tenant that does not exist".to_owned(),
            ));
        }
        if rights.insert {
            let insert = format!("INSERT INTO {name} ({column}) VALUES ('{}')", self.other);
            let outcome = self.ask(transaction, Some(one), &insert).await?;
            outcomes.push(("insert-for-others", outcome, "an INSERT as one tenant for another".to_owned()));
        }
        Ok(outcomes)
    }

    async fn ask(
        &self,
        transaction: &Transaction<'_>,
        tenant: Option<&str>,
        sql: &str,
    ) -> Result<Outcome, CheckError> {
        let outcome = statement(transaction, &self.catalogue.setting, tenant, sql).await;
        let undo = "ROLLBACK TO SAVEPOINT partywall; RELEASE SAVEPOINT partywall";
        transaction.batch_execute(undo).await.map_err(CheckError::Read)?;
        Ok(outcome)
    }
}

/// Runs a statement after a savepoint and, if there is one, as a tenant; all in one message, since there are many.
async fn statement(transaction: &Transaction<'_>, setting: &str, tenant: Option<&str>, sql: &str) -> Outcome {
    let told = |error: &tokio_postgres::Error| {
        error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
    };
    let named = tenant.map_or_else(String::new, |tenant| {
        format!("SELECT pg_catalog.set_config({}, {}, true);", literal(setting), literal(tenant))
    });
    match transaction.simple_query(&format!("SAVEPOINT partywall; {named} {sql}")).await {
        Ok(messages) => {
            let counts = messages.iter().rev().find_map(|message| match message {
                SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
                _ => None,
            });
            counts
                .map_or_else(|| Outcome::Other("the server told no number of rows".to_owned()), Outcome::Rows)
        }
        Err(error) => {
            // The server's function that raised it tells apart what shares a code; its texts are translated.
            let routine = error.as_db_error().and_then(|error| error.routine()).unwrap_or_default();
            match error.code() {
                Some(&SqlState::INSUFFICIENT_PRIVILEGE) if routine == "ExecWithCheckOptions" => {
                    Outcome::Refused
                }
                // The empty text is no uuid, a missing setting is an error for some policies: no row is seen then either.
                Some(&SqlState::INVALID_TEXT_REPRESENTATION) if tenant.is_none_or(str::is_empty) => {
                    Outcome::Refused
                }
                Some(&SqlState::UNDEFINED_OBJECT) if tenant.is_none() => Outcome::Refused,
                // Class 23: a constraint. Some are asked before row-level security: is there a partition for the row, and
                // does a value fit its domain?
                Some(code) if code.code().starts_with("23") && !BEFORE_POLICIES.contains(&routine) => {
                    Outcome::Constraint(told(&error))
                }
                _ => Outcome::Other(told(&error)),
            }
        }
    }
}

/// A text in SQL; standard_conforming_strings is on.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Functions of the server that refuse a row before its policies are asked.
const BEFORE_POLICIES: [&str; 6] = [
    "ExecFindPartition",
    "ExecPartitionCheckEmitError",
    "ExecEvalConstraintCheck",
    "ExecEvalConstraintNotNull",
    "domain_check_input",
    "domain_state_setup",
];
