//! Statements that are tried as the application's role, and rolled back: what the server does, and not what its catalogue
//! says.
//!
//! The tenants are made up, so every row that such a statement reaches is another's. Row-level security is asked before
//! constraints: a statement that only a constraint stopped had been let through.

use partywall_model::Skipped;
use tokio_postgres::{Client, GenericClient, Transaction, error::SqlState};

use super::{
    CheckError, Options, Report,
    catalogue::{Catalogue, Table, TenantColumn},
    found,
    rules::{Hit, RULES, quoted},
};

/// How many tables are tried.
const MOST_TABLES: usize = 500;

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
        let tables = catalogue.tenant_tables().filter(|(table, _)| table.rights.any());
        for (number, (table, tenant)) in tables.enumerate() {
            if number >= MOST_TABLES {
                skip(at, format!("statements were tried on the first {MOST_TABLES} tables only"));
                break;
            }
            let Some([one, other]) = made_up(tenant) else {
                skip(
                    &table.name,
                    format!("nothing was tried: no tenant can be made up for the type `{}`", tenant.kind),
                );
                continue;
            };
            let trial = Trial { catalogue, table, tenant, one: &one, other: &other };
            for (rule, outcome, ask) in trial.run(transaction).await? {
                match outcome {
                    Outcome::Rows(0) | Outcome::Refused => {}
                    Outcome::Rows(rows) => {
                        hits.push((rule, trial.hit(rule, &format!("{ask} reached {rows} rows"))))
                    }
                    Outcome::Constraint(what) => {
                        hits.push((
                            rule,
                            trial.hit(rule, &format!("only a constraint stopped {ask}: {what}")),
                        ));
                    }
                    Outcome::Other(what) => skip(&table.name, format!("{ask} told nothing: {what}")),
                }
            }
        }
    }
    report.skipped.extend(skipped);
    for (id, hit) in hits {
        if let Some(rule) = RULES.iter().find(|rule| rule.id == id).filter(|rule| options.wants(rule.id)) {
            report.found.push(found(rule, hit, at));
        }
    }
    Ok(())
}

/// Takes the role on until the transaction ends.
async fn become_role(transaction: &mut Transaction<'_>, role: &str) -> Result<(), String> {
    // In a part of its own, so that a refusal does not end the transaction.
    let part = transaction.transaction().await.map_err(|error| error.to_string())?;
    let begin = format!(
        "SET LOCAL search_path = pg_catalog; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s';
         SET LOCAL ROLE {}",
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
    match tenant.kind.split('(').next()? {
        "text" | "citext" => pair("partywall-check-4f1c7a", "partywall-check-9b02de"),
        // Short, in case there is not room for more.
        "character varying" | "character" => pair("~4f1c", "~9b02"),
        "uuid" => pair("b7d5e1f0-4c5a-4d1e-9a4b-6f1c7a4f1c01", "b7d5e1f0-4c5a-4d1e-9a4b-6f1c7a4f1c02"),
        "bigint" | "integer" => pair("-1971046", "-1971047"),
        _ => None,
    }
}

struct Trial<'t> {
    catalogue: &'t Catalogue,
    table: &'t Table,
    tenant: &'t TenantColumn,
    one: &'t str,
    other: &'t str,
}

impl Trial<'_> {
    fn hit(&self, rule: &str, what: &str) -> Hit {
        Hit {
            object: self.table.name.clone(),
            message: format!("{}: as `{}`, {what}", self.table.name, self.catalogue.app.name),
            advice: RULES.iter().find(|known| known.id == rule).map(|known| known.advice),
            ..Hit::default()
        }
    }

    async fn run(
        &self,
        transaction: &mut Transaction<'_>,
    ) -> Result<Vec<(&'static str, Outcome, String)>, CheckError> {
        let name = &self.table.name;
        let column = quoted(&self.tenant.name);
        let rights = self.table.rights;
        let one = self.one;
        let mut outcomes = Vec::new();
        if rights.select {
            // As many as tell something, so that a large table costs little.
            let read = format!("SELECT FROM {name} LIMIT 100");
            let outcome = self.ask(transaction, "", &read).await?;
            outcomes.push(("reads-without-context", outcome, "a SELECT without a tenant".to_owned()));
            let outcome = self.ask(transaction, one, &read).await?;
            outcomes.push((
                "reads-without-context",
                outcome,
                "a SELECT as a tenant that does not exist".to_owned(),
            ));
        }
        if rights.update {
            let update = format!("UPDATE {name} SET {column} = '{one}'");
            let outcome = self.ask(transaction, one, &update).await?;
            outcomes.push((
                "update-reaches-others",
                outcome,
                "an UPDATE as a tenant that does not exist".to_owned(),
            ));
        }
        if rights.delete {
            let outcome = self.ask(transaction, one, &format!("DELETE FROM {name}")).await?;
            outcomes.push((
                "delete-reaches-others",
                outcome,
                "a DELETE as a tenant that does not exist".to_owned(),
            ));
        }
        if rights.insert {
            let insert = format!("INSERT INTO {name} ({column}) VALUES ('{}')", self.other);
            let outcome = self.ask(transaction, one, &insert).await?;
            outcomes.push(("insert-for-others", outcome, "an INSERT as one tenant for another".to_owned()));
        }
        Ok(outcomes)
    }

    async fn ask(
        &self,
        transaction: &mut Transaction<'_>,
        tenant: &str,
        sql: &str,
    ) -> Result<Outcome, CheckError> {
        let part = transaction.transaction().await.map_err(CheckError::Read)?;
        let outcome = statement(&part, &self.catalogue.setting, tenant, sql).await;
        part.rollback().await.map_err(CheckError::Read)?;
        Ok(outcome)
    }
}

async fn statement(client: &impl GenericClient, setting: &str, tenant: &str, sql: &str) -> Outcome {
    let told = |error: &tokio_postgres::Error| {
        error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
    };
    if let Err(error) = client.execute("SELECT set_config($1, $2, true)", &[&setting, &tenant]).await {
        return Outcome::Other(told(&error));
    }
    match client.execute(sql, &[]).await {
        Ok(rows) => Outcome::Rows(rows),
        Err(error) => match error.code() {
            Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Outcome::Refused,
            // The empty text is no uuid: there is no row then either.
            Some(&SqlState::INVALID_TEXT_REPRESENTATION) if tenant.is_empty() => Outcome::Refused,
            Some(&SqlState::UNDEFINED_OBJECT) => Outcome::Refused,
            // Class 23: a constraint.
            Some(code) if code.code().starts_with("23") => Outcome::Constraint(told(&error)),
            _ => Outcome::Other(told(&error)),
        },
    }
}
