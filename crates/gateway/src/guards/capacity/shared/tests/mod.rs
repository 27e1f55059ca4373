//! Shared limits on real servers: one that `cargo xtask test` starts, a cluster of three, and some that a test starts
//! itself to kill them.

mod cluster;
mod holds;
mod keys;
mod outage;
pub(in crate::guards) mod server;
mod tls;

use std::path::Path;

use futures_util::future::join_all;

use super::*;
use crate::guards::capacity::LimitTable;

/// The URL of the server for tests.
pub(in crate::guards) fn test_server() -> String {
    variable("PARTYWALL_TEST_REDIS", "start a redis-server and give its URL, such as redis://127.0.0.1:6379")
}

/// Nodes of the cluster for tests.
pub(in crate::guards) fn test_cluster() -> String {
    let how =
        "start a Redis Cluster and give its nodes, such as redis://127.0.0.1:7000,redis://127.0.0.1:7001";
    variable("PARTYWALL_TEST_REDIS_CLUSTER", how)
}

fn variable(name: &str, how: &str) -> String {
    let value = std::env::var_os(name).and_then(|value| value.into_string().ok());
    value.unwrap_or_else(|| panic!("{name} is not set; run `cargo xtask test`, which sets it, or {how}"))
}

/// A prefix that no other test has.
pub(in crate::guards) fn prefix() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    format!("test-{}", hex::encode(bytes))
}

fn open(url: &str, prefix: &str, lines: &str) -> Result<Arc<SharedLimits>, SharedError> {
    let text = format!("[shared]\nredis = \"env:URL\"\nprefix = \"{prefix}\"\nreplicas = 3\n{lines}");
    let config = Config::parse(&text, "test", Path::new("/")).unwrap();
    let url = url.to_owned();
    let environment = Environment::from_fn(move |name| (name == "URL").then(|| url.clone()));
    SharedLimits::open(&config, &environment, None).map(Option::unwrap)
}

/// One process' part of it, with a connection of its own. It waits long for answers: the machine may be busy.
fn process(url: &str, prefix: &str) -> Arc<SharedLimits> {
    open(url, prefix, "timeout = \"1s\"").unwrap()
}

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

fn limits(requests_per_second: u32, burst: u32) -> Limits {
    let config = Config::parse("", "test", Path::new("/")).unwrap();
    let usual = LimitTable::new(&config, 1).of(&tenant("any"));
    Limits { requests_per_second, burst, ..usual }
}

/// A tenant's rate at each of the processes, in its first life.
fn rates(processes: &[Arc<SharedLimits>], id: &str, per_second: u32, burst: u32) -> Vec<Arc<SharedRate>> {
    let limits = limits(per_second, burst);
    processes.iter().map(|shared| shared.rate(&tenant(id), Incarnation(1), &limits, None)).collect()
}

/// How calls went.
#[derive(Debug, Default)]
struct Went {
    admitted: u32,
    refused: u32,
    slowest: Duration,
    took: Duration,
}

/// Calls at all of the rates at once for that long, each as fast as it may; a refused caller pauses.
async fn flood(rates: &[Arc<SharedRate>], time: Duration) -> Went {
    calls(rates, time, Duration::ZERO, Duration::from_millis(2)).await
}

/// Calls at all of the rates, one after the other at each, with a pause after each call.
async fn calls(rates: &[Arc<SharedRate>], time: Duration, served: Duration, refused: Duration) -> Went {
    let start = Instant::now();
    let each = join_all(rates.iter().map(|rate| async {
        let mut went = Went::default();
        while start.elapsed() < time {
            let before = Instant::now();
            let taken = rate.take().await;
            went.slowest = went.slowest.max(before.elapsed());
            match taken {
                Ok(()) => went.admitted += 1,
                Err(_) => went.refused += 1,
            }
            tokio::time::sleep(if taken.is_ok() { served } else { refused }).await;
        }
        went
    }))
    .await;
    let mut sum = Went { took: start.elapsed(), ..Went::default() };
    for went in each {
        sum.admitted += went.admitted;
        sum.refused += went.refused;
        sum.slowest = sum.slowest.max(went.slowest);
    }
    sum
}

impl Went {
    /// What was admitted is what the rate allows in that time: a tenth more at most. A machine that does other things too may
    /// stall whoever calls, so that less is admitted; two processes of three would admit a third less, or half as much again.
    #[track_caller]
    fn is_about(&self, per_second: u32) {
        let wanted = f64::from(per_second) * self.took.as_secs_f64();
        let off = f64::from(self.admitted) / wanted - 1.0;
        assert!((-0.3..=0.1).contains(&off), "{self:?} and not about {wanted:.0}");
    }
}

/// Waits for something that must come.
async fn until(what: &str, come: impl Fn() -> bool) {
    let since = Instant::now();
    while !come() {
        assert!(since.elapsed() < Duration::from_secs(30), "it never came: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A connection to look at the server with.
pub(in crate::guards) async fn look(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

const SECOND: Duration = Duration::from_secs(1);
