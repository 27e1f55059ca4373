//! Calls at a fixed rate, whatever the replies take; a process of its own, so that it can have a core of its own.
//!
//! `cargo xtask load` is for the benchmarks here. It writes one line: what the calls came to, and each latency.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    client::{Client, request},
    process::Running,
};

/// What one such process is to do.
pub(crate) struct Order<'o> {
    pub(crate) address: SocketAddr,
    pub(crate) token: &'o str,
    pub(crate) per_second: u32,
    pub(crate) connections: u32,
    pub(crate) seconds: u64,
}

/// What the calls came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) served: usize,
    pub(crate) refused: usize,
    pub(crate) failed: usize,
    /// Of the served ones, in microseconds: from the moment when the call was due, or from when it was sent if its
    /// connection had been waiting for that moment.
    pub(crate) latencies_us: Vec<f64>,
}

/// A load process that was started.
pub(crate) struct Loading(Running, Duration);

impl Order<'_> {
    /// Starts it on the load generators' core. One that `measures` goes before all others there, where the system
    /// allows it: what the generators do to each other is not the server's doing.
    pub(crate) fn start(&self, measures: bool) -> Result<Loading> {
        let mut command = Command::new("taskset");
        command.args(["-c", "1"]);
        match measures {
            true if goes_first() => command.args(["chrt", "--fifo", "10"]),
            true => command.args(["nice", "-n", "0"]),
            false => command.args(["nice", "-n", "19"]),
        };
        command.arg(std::env::current_exe()?).arg("load").arg(self.address.to_string());
        command.args([self.per_second, self.connections].map(|number| number.to_string()));
        command.arg(self.seconds.to_string()).arg(self.token).stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(Loading(Running::start(&mut command)?, Duration::from_secs(self.seconds + 60)))
    }
}

/// Whether a process may have itself scheduled before all others, which takes the right to do so.
fn goes_first() -> bool {
    let tried = Command::new("chrt").args(["--fifo", "10", "true"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

impl Loading {
    pub(crate) fn outcome(mut self) -> Result<Outcome> {
        let line = self.0.first_line(self.1)?;
        let mut words = line.split_whitespace();
        let mut number =
            || words.next().and_then(|word| word.parse().ok()).context("a load process said nothing");
        let (served, refused, failed) = (number()?, number()?, number()?);
        let latencies_us = words.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Outcome { served, refused, failed, latencies_us })
    }
}

/// The process itself: `load ADDRESS PER_SECOND CONNECTIONS SECONDS TOKEN`.
pub(crate) fn run(words: &[&str]) -> Result<bool> {
    let [address, per_second, connections, seconds, token] = words else {
        bail!("usage: xtask load ADDRESS PER_SECOND CONNECTIONS SECONDS TOKEN");
    };
    let (address, connections): (SocketAddr, u32) = (address.parse()?, connections.parse()?);
    let per_second: u32 = per_second.parse()?;
    ensure!(
        per_second > 0 && (1..=1000).contains(&connections),
        "1 to 1000 connections, at least one call a second"
    );
    let end = Duration::from_secs(seconds.parse()?);
    let step = Duration::from_secs(1) / per_second;
    let call = request(address, token, "whoami", "{}");
    let start = Instant::now() + Duration::from_millis(100);
    let total = std::thread::scope(|scope| {
        let call = &call;
        let callers: Vec<_> = (0..connections)
            .map(|n| {
                scope.spawn(move || caller(address, call, start + step * n, step * connections, start + end))
            })
            .collect();
        let mut total = Outcome::default();
        for caller in callers {
            // A caller that panicked did not do what it should have.
            let own = caller.join().unwrap_or(Outcome { failed: 1, ..Outcome::default() });
            total.served += own.served;
            total.refused += own.refused;
            total.failed += own.failed;
            total.latencies_us.extend(own.latencies_us);
        }
        total
    });
    let mut line = format!("{} {} {}", total.served, total.refused, total.failed);
    for latency in &total.latencies_us {
        line.push_str(&format!(" {latency:.0}"));
    }
    println!("{line}");
    Ok(true)
}

fn caller(address: SocketAddr, call: &[u8], mut due: Instant, step: Duration, end: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    let mut client = Client::connect(address).ok();
    // A caller whose replies come late makes fewer calls and does not go on for longer.
    while due < end && Instant::now() < end {
        let now = Instant::now();
        // Waking up takes this process a while, which is not the server's fault.
        let since = if due > now {
            std::thread::sleep(due - now);
            Instant::now()
        } else {
            due
        };
        due += step;
        let reply = match client.as_mut() {
            Some(client) => client.send(call).and_then(|()| client.reply()),
            None => Err(anyhow::anyhow!("no connection")),
        };
        match reply {
            Ok(reply) => {
                if reply.status == 200 {
                    outcome.served += 1;
                    outcome.latencies_us.push(since.elapsed().as_secs_f64() * 1e6);
                } else {
                    outcome.refused += 1;
                }
                if reply.open {
                    continue;
                }
            }
            Err(_closed) => outcome.failed += 1,
        }
        client = Client::connect(address).ok();
    }
    outcome
}
