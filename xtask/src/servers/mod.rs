//! Servers that tests talk to: started on free loopback ports for one run, and stopped with it.

mod postgres;
mod redis;

use std::{net::TcpListener, path::Path, process::Command};

use anyhow::Result;

pub(crate) use self::postgres::Postgres;
use crate::tools::fresh_folder;

/// What runs, and what tests are told of it.
pub(crate) struct Servers {
    variables: Vec<(&'static str, String)>,
    _redis: redis::Redis,
    _postgres: postgres::Postgres,
}

impl Servers {
    /// Starts all of them, with their files in a folder of this run.
    pub(crate) fn start(own: &Path) -> Result<Self> {
        let folder = fresh_folder(own.join("servers"))?;
        let redis = redis::Redis::start(&folder)?;
        let postgres = postgres::Postgres::start()?;
        let mut variables = redis.variables();
        variables.push(("PARTYWALL_TEST_POSTGRES", postgres.url.clone()));
        Ok(Self { variables, _redis: redis, _postgres: postgres })
    }

    /// Tells a command where they are.
    pub(crate) fn tell<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.envs(self.variables.iter().map(|(name, value)| (name, value)))
    }
}

/// A port that nobody has now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
