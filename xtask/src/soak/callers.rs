//! Those who call: a mixture of everything, each reply looked at.

use std::{net::SocketAddr, sync::atomic::Ordering::Relaxed, time::Duration};

use anyhow::Result;

use super::{Tally, Tenant};
use crate::client::{Client, Reply, request};

/// Calls one after the other until it is told to stop.
pub(super) struct Caller<'s> {
    pub(super) address: SocketAddr,
    pub(super) tenant: &'s Tenant,
    pub(super) tally: &'s Tally,
    /// Between two calls.
    pub(super) pace: Duration,
    pub(super) seed: u64,
}

/// What the reply to a call may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// A result with the tenant's canary, if it has rows.
    Result,
    /// An error.
    Error,
    /// Nobody waits for it.
    HangUp,
}

impl Caller<'_> {
    pub(super) fn run(mut self) {
        let mut client = None;
        let mut failures = 0;
        while !self.tally.stop.load(Relaxed) {
            std::thread::sleep(self.pace);
            match self.one(&mut client) {
                Ok(()) => failures = 0,
                Err(error) => {
                    // A server may close a connection between two calls; twice in a row is another matter.
                    client = None;
                    failures += 1;
                    self.tally.reconnected.fetch_add(1, Relaxed);
                    if failures > 2 && !self.tally.stop.load(Relaxed) {
                        self.tally.wrong(format!("{} gets no reply: {error:#}", self.tenant.id));
                    }
                }
            }
        }
    }

    fn one(&mut self, open: &mut Option<Client>) -> Result<()> {
        let (tool, arguments, expected) = self.choose();
        let mut client = match open.take() {
            Some(client) => client,
            None => Client::connect(self.address)?,
        };
        let before = self.tenant.suspensions.load(Relaxed);
        client.send(&request(self.address, &self.tenant.token(), tool, &arguments))?;
        self.tally.calls.fetch_add(1, Relaxed);
        if expected == Expected::HangUp {
            std::thread::sleep(Duration::from_millis(5));
            self.tally.hung_up.fetch_add(1, Relaxed);
            return Ok(());
        }
        let reply = client.reply()?;
        let after = self.tenant.suspensions.load(Relaxed);
        match reply.status {
            200 => check(self.tenant, &reply, expected == Expected::Result, self.tally),
            429 => drop(self.tally.over_limit.fetch_add(1, Relaxed)),
            401 if after % 2 == 1 || before != after => drop(self.tally.suspended.fetch_add(1, Relaxed)),
            _ => self.tally.wrong(format!(
                "{} is refused: {tool} {arguments} → {} {}",
                self.tenant.id, reply.status, reply.body
            )),
        }
        if reply.open {
            *open = Some(client);
        }
        Ok(())
    }

    fn choose(&mut self) -> (&'static str, String, Expected) {
        // A generator of numbers that are mixed enough for this (Knuth's MMIX).
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = self.seed >> 33;
        let canary = &self.tenant.canary;
        match number % 100 {
            0..=19 => ("whoami", "{}".to_owned(), Expected::Result),
            20..=49 => ("list_notes", "{}".to_owned(), Expected::Result),
            50..=54 => ("find_notes", r#"{"word":"canary"}"#.to_owned(), Expected::Result),
            55..=69 => ("add_note", format!(r#"{{"body":"{canary} {number}","rank":1}}"#), Expected::Result),
            70..=72 => ("trim_notes", "{}".to_owned(), Expected::Result),
            73..=87 => ("profile", format!(r#"{{"name":"n{}"}}"#, number / 100 % 7), Expected::Result),
            88..=90 => ("add_note", format!(r#"{{"body":"{canary}","rank":-1}}"#), Expected::Error),
            91..=93 => ("list_notes", r#"{"no":"such argument"}"#.to_owned(), Expected::Error),
            94..=95 => ("no_such_tool", "{}".to_owned(), Expected::Error),
            96..=97 => ("count_far", "{}".to_owned(), Expected::HangUp),
            98 => ("count_far", "{}".to_owned(), Expected::Error),
            _ => ("list_notes", "{}".to_owned(), Expected::HangUp),
        }
    }
}

/// Looks for anybody else's values in a reply, and for what it should be.
pub(super) fn check(tenant: &Tenant, reply: &Reply, should_succeed: bool, tally: &Tally) {
    let foreign = reply.body.split("canary-").skip(1).any(|rest| {
        let own = tenant.canary.strip_prefix("canary-").unwrap_or_default();
        !rest.starts_with(own)
    });
    let body = &reply.body;
    if foreign || (body.contains("\"tenant\":\"") && !body.contains(&format!("\"tenant\":\"{}\"", tenant.id)))
    {
        tally.wrong(format!("{} was told what belongs to another tenant: {body}", tenant.id));
    }
    let failed = body.contains("\"isError\":true") || body.contains("\"error\":{");
    // A tool may be busy when everything happens at once, and says so.
    let busy = body.contains("busy") || body.contains("try again") || body.contains("Try again");
    match (failed, should_succeed) {
        (false, true) => drop(tally.served.fetch_add(1, Relaxed)),
        (true, false) => drop(tally.errors.fetch_add(1, Relaxed)),
        (true, true) if busy => drop(tally.errors.fetch_add(1, Relaxed)),
        _ => tally.wrong(format!("{} got an unexpected reply: {body}", tenant.id)),
    }
}
