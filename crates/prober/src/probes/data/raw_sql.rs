//! Tools that take SQL.

mod database;
mod statements;

use partywall_model::{Layer, Severity};
use serde_json::json;

use self::{
    database::{Database, databases},
    statements::Statements,
};
use crate::{
    arguments,
    oracle::{Judged, difference, judge, reading::failed},
    probes::{Probe, Technique, attempt},
    site::{Party, Site},
    survey::Tool,
    tally::Tally,
};

pub(super) static PROBE: Probe = Probe::new(
    "raw-sql",
    Layer::Data,
    Severity::High,
    "Sends statements that try to leave the tenant, through tools that take SQL.",
    include_str!("raw_sql.md"),
    &[
        Technique::new("DB-01", "statements that set the tenant", Severity::High, |site| {
            Box::pin(reading(site, statements::SETTING))
        }),
        Technique::new("DB-02", "statements that leave the transaction", Severity::High, |site| {
            Box::pin(lasting(site, statements::TRANSACTION))
        }),
        Technique::new("DB-03", "statements that change the role", Severity::High, |site| {
            Box::pin(lasting(site, statements::ROLE))
        }),
        Technique::new("DB-04", "an update of every row, to what it is", Severity::High, |site| {
            Box::pin(lasting(site, statements::UPDATE))
        }),
        Technique::new("DB-05", "every table, view and function of the catalogue", Severity::High, |site| {
            Box::pin(reading(site, statements::OBJECTS))
        }),
        Technique::new("DB-06", "what a session leaves for the next", Severity::High, |site| {
            Box::pin(residue(site, &statements::RESIDUE))
        }),
        Technique::new("DB-07", "statistics, plans and what others run", Severity::Medium, |site| {
            Box::pin(reading(site, statements::STATISTICS))
        }),
        Technique::new("DB-08", "files and other databases", Severity::High, |site| Box::pin(files(site))),
        Technique::new("DB-09", "errors that tell of foreign rows", Severity::Medium, |site| {
            Box::pin(errors(site))
        }),
        Technique::new("DB-11", "a temporary table of an application's name", Severity::High, |site| {
            Box::pin(residue(site, &statements::SHADOW))
        }),
    ],
);

/// The first tool of a tenant's that takes SQL, and the argument that takes it.
pub(in crate::probes) fn sql_tool<'a>(site: &Site, party: &'a Party) -> Option<(&'a Tool, &'a str)> {
    let tools = party.surface.tools.iter().filter(|tool| tool.runs_sql(site.plan.allow_writes));
    tools.filter_map(|tool| Some((tool, tool.takes_sql()?))).next()
}

const NO_SQL: &str = "no tool that may be called takes SQL";

/// Statements as one tenant, for values of the other.
async fn reading(site: &Site, statements: Statements) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for base in databases(&mut tally, site, attacker, victim).await {
            // Something of the victim's to be seen in what others run.
            let mark = attempt::fresh("statement");
            base.as_party(victim).run(&format!("select '{mark}' as mark")).await;
            for statement in statements(&base, attacker, victim) {
                let exchange = base.run(&statement).await;
                if attempt::shows(&exchange, &mark) {
                    let why = format!("{} was shown a statement that {} ran", attacker.tenant, victim.tenant);
                    tally.leak(vec![site.redactor.evidence(&exchange, why, &mark)]);
                } else {
                    attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
                }
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
            }
        }
    }
    tally.absent(NO_SQL);
    tally
}

/// The same with statements that may leave something behind, and a look at the other afterwards.
async fn lasting(site: &Site, statements: Statements) -> Tally {
    if !site.plan.allow_writes {
        return Tally::not_run("its statements may leave something behind; --allow-writes allows them");
    }
    let mut tally = reading(site, statements).await;
    for (attacker, victim) in site.directions() {
        for base in databases(&mut Tally::default(), site, attacker, victim).await {
            base.clean().await;
            attempt::intact(&mut tally, site, victim).await;
        }
    }
    tally
}

/// Statements whose effect stays in a session; then everything that the other reads must be his.
async fn residue(site: &Site, statements: &Statements) -> Tally {
    if !site.plan.allow_writes {
        return Tally::not_run("its statements may leave something behind; --allow-writes allows them");
    }
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for base in databases(&mut tally, site, attacker, victim).await {
            for statement in statements(&base, attacker, victim) {
                let exchange = base.run(&statement).await;
                if !exchange.replied() {
                    tally.doubt(failed(&exchange));
                    continue;
                }
                let leaked = after(&mut tally, site, &base, (attacker, victim)).await;
                base.clean().await;
                if leaked || site.target.late() {
                    return tally;
                }
            }
            attempt::intact(&mut tally, site, victim).await;
        }
    }
    tally.absent(NO_SQL);
    tally
}

/// What the victim is shown after the attacker's statement, through other tools and through this one, several times: a pool
/// has several sessions.
async fn after(
    tally: &mut Tally,
    site: &Site,
    base: &Database<'_>,
    (attacker, victim): (&Party, &Party),
) -> bool {
    for _ in 0..2 {
        for reading in site.telling().take(3) {
            let exchange = attempt::read(&victim.caller, &reading.what).await;
            match judge(site, &victim.tenant, reading, &exchange) {
                Judged::Own | Judged::Changed(_) => tally.held(),
                Judged::Foreign(evidence) => {
                    tally.leak(vec![evidence]);
                    return true;
                }
                Judged::Failed(why) => {
                    tally.doubt(format!("after a statement of {}: {why}", attacker.tenant))
                }
            }
        }
        for table in base.tables.iter().take(2) {
            let exchange = base.as_party(victim).run(&format!("select * from {table} limit 20")).await;
            if !attempt::denied(tally, site, &victim.tenant, &exchange) && tally.has_leaked() {
                return true;
            }
        }
    }
    false
}

async fn files(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for base in databases(&mut tally, site, attacker, victim).await {
            for statement in statements::FILES {
                let exchange = base.run(statement).await;
                let facts = exchange.success().map(crate::facts::Facts::of).unwrap_or_default();
                let shown =
                    facts.leaves().any(|(_, text)| text.contains("root:") || text.contains("PG_VERSION"));
                if shown && site.foreign(&attacker.tenant, &exchange).is_none() {
                    let why = format!(
                        "{} reads files of the database's machine, on which everybody's data lies, by {statement}",
                        attacker.tenant
                    );
                    tally.leak(vec![attempt::shown(site, &exchange, why)]);
                } else {
                    attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
                }
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
            }
            for statement in statements::elsewhere(&base, attacker, victim) {
                let exchange = base.run(&statement).await;
                attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
            }
        }
    }
    tally.absent(NO_SQL);
    tally
}

async fn errors(site: &Site) -> Tally {
    let mut tally = reading(site, statements::CASTS).await;
    if tally.has_leaked() {
        return tally;
    }
    let mut chance = site.chance("DB-09");
    for (attacker, victim) in site.directions() {
        for base in databases(&mut Tally::default(), site, attacker, victim).await {
            let Some((table, column, value)) = base.known.clone() else { continue };
            // A division by the number of rows that have the value: it works only where there is one.
            let ask = |value: &str| {
                let value = value.replace('\'', "''");
                format!(
                    "select 1/(select count(*) from {table} where cast({column} as text) = '{value}') as one"
                )
            };
            let unknown: Vec<String> = (0..2)
                .map(|_| {
                    arguments::unknown(&json!(value), &mut chance).as_str().unwrap_or_default().to_owned()
                })
                .collect();
            let [first, second] = unknown.as_slice() else { continue };
            let his = base.as_party(victim).run(&ask(&value)).await;
            tally.control(
                his.success().is_some(),
                &format!("the owner's own row is not counted: {}", failed(&his)),
            );
            let foreign = base.run(&ask(&value)).await;
            let (one, other) = (base.run(&ask(first)).await, base.run(&ask(second)).await);
            if difference(&one, &json!(first), &other, &json!(second)).is_some() {
                tally.note("Two unknown values are answered in two ways, so errors could not be compared.");
            } else if let Some(what) = difference(&foreign, &json!(value), &one, &json!(first)) {
                let why = format!(
                    "{} can tell a value of {}'s rows from one that nobody has: {what}",
                    attacker.tenant, victim.tenant
                );
                tally.leak(vec![
                    attempt::shown(site, &one, "a value that nobody has"),
                    attempt::shown(site, &foreign, why),
                ]);
            } else {
                tally.held();
            }
        }
    }
    tally
}
