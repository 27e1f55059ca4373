//! What the PostgreSQL guard promises, on a real server: `PARTYWALL_TEST_POSTGRES` is the URL of a superuser.

mod check;
mod grown;
mod lab;
mod lost;
mod measure;
mod model;
mod outage;
mod own;
mod pooler;
mod rls;
mod server;
mod stop;
mod tls;
mod values;

use std::{sync::Arc, time::Duration};

use partywall_model::TenantId;
use serde_json::{Value, json};

pub(crate) use self::{lab::Lab, own::Town, pooler::Bouncer};
use crate::{
    admit::Permit,
    guards::data::{
        Compiled, ConstraintKind, DataError, ErrorKind, Outside, QueryLimits, Rows, Source, Sources,
        Statement, postgres,
    },
};

fn limits() -> QueryLimits {
    QueryLimits { time: Duration::from_secs(30), rows: 1000, bytes: 1 << 20 }
}

fn short(millis: u64) -> QueryLimits {
    QueryLimits { time: Duration::from_millis(millis), ..limits() }
}

fn args(value: Value) -> Vec<(String, Value)> {
    match value {
        Value::Object(map) => map.into_iter().collect(),
        _ => Vec::new(),
    }
}

async fn run(
    sources: &Arc<Sources>,
    tenant: &str,
    statement: &Statement,
    given: Value,
) -> Result<Rows, DataError> {
    sources.run(&Permit::for_test(tenant, 1), statement, &args(given), limits()).await
}

/// Runs a statement that must compile and succeed, and parses its rows.
async fn rows(sources: &Arc<Sources>, tenant: &str, sql: &str) -> Value {
    let statement = sources.compile("desk", sql, &[], false).expect("compiles");
    sources.loaded();
    let rows = run(sources, tenant, &statement, json!({})).await.expect("runs");
    serde_json::from_str(&rows.json).expect("JSON")
}

/// A statement that no check has seen.
fn unchecked(sql: &str, writes: bool) -> Statement {
    Statement(Compiled::Postgres(postgres::Statement::unchecked("desk", sql, writes)))
}

fn source(sources: &Sources) -> &Arc<postgres::Source> {
    match sources.source("desk") {
        Ok(Source::Postgres(source)) => source,
        _ => panic!("no such server"),
    }
}

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).expect("a tenant id")
}
