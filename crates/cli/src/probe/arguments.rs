//! The arguments of `probe` and `probes`.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use partywall_model::Layer;
use partywall_prober::Protocol;

use crate::scan::{Listing, Output, layer};

#[derive(Args)]
pub(crate) struct ProbeArguments {
    /// The MCP endpoint, for example http://127.0.0.1:8787/mcp
    pub(crate) url: String,
    /// A tenant and its bearer token: NAME=@FILE, NAME=env:VARIABLE or NAME=TOKEN; give two.
    #[arg(long, value_name = "NAME=TOKEN", required = true)]
    pub(crate) tenant: Vec<String>,
    /// Another user of one of the tenants, and his token.
    #[arg(long, value_name = "NAME=TOKEN")]
    pub(crate) user: Vec<String>,
    /// A TOML file with texts that stand in each tenant's data already: tenant = ["text", …]
    #[arg(long, value_name = "FILE")]
    pub(crate) seed: Option<PathBuf>,
    /// Call tools that write or may write too, and plant values that can be recognised.
    #[arg(long)]
    pub(crate) allow_writes: bool,
    /// Only this layer; may stand several times. Load tests run only with --layer capacity.
    #[arg(long, value_parser = layer)]
    pub(crate) layer: Vec<Layer>,
    /// Only this probe or technique, of whatever layer; may stand several times. --layer beside it only allows load tests.
    #[arg(long, value_name = "ID")]
    pub(crate) probe: Vec<String>,
    /// Only the techniques that find the most common leaks; shows no isolation.
    #[arg(long)]
    pub(crate) quick: bool,
    /// The generation of the protocol: auto, 2026-07-28 or 2025-11-25
    #[arg(long, default_value = "auto")]
    pub(crate) protocol: Protocol,
    /// The most time for the whole run.
    #[arg(long, default_value = "180s", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,
    /// The most requests at a time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) concurrency: u16,
    /// The most requests a second; as many as come when it is not given.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) rate: Option<NonZeroU32>,
    /// The seed of all chance: the same number makes the same schedules.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub(crate) seed_run: u64,
    /// The JSON of an earlier run: what leaked in it is run again, with the same schedules and nothing beside it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["probe", "seed_run", "quick"])]
    pub(crate) replay: Option<PathBuf>,
    /// A file with the private key (PEM, not encrypted) that the target's tokens are signed with, for hostile tokens.
    #[arg(long, value_name = "FILE")]
    pub(crate) issuer_key: Option<PathBuf>,
    /// A command that suspends the tenant in the variable TENANT; with --resume. It is run at the end.
    #[arg(long, value_name = "COMMAND", requires = "resume")]
    pub(crate) suspend: Option<String>,
    /// A command that lets the tenant in the variable TENANT in again.
    #[arg(long, value_name = "COMMAND", requires = "suspend")]
    pub(crate) resume: Option<String>,
    /// A command that removes the tenant in the variable TENANT, makes it anew and prints a token. It is run at the end.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) recreate: Option<String>,
    /// The header that a token stands in by itself, such as X-API-Key, instead of Authorization: Bearer.
    #[arg(long, value_name = "NAME", value_parser = header_name)]
    pub(crate) token_header: Option<String>,
    /// A file with certificates (PEM) of an authority that is believed beside those of this machine, for a target with TLS.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// A header that every request carries; may stand several times. The value may be @FILE or env:VARIABLE.
    #[arg(long, value_name = "NAME: VALUE")]
    pub(crate) header: Vec<String>,
    /// Attack a target that is not on this machine. Do it only to what is yours.
    #[arg(long)]
    pub(crate) i_own_this_target: bool,
    /// From which verdict on the exit status is 1: leaked, or inconclusive too, which by itself is no pass.
    #[arg(long, value_enum, default_value_t = FailOn::Leaked)]
    pub(crate) fail_on: FailOn,
    /// text, json, jsonl, sarif, html or markdown; FORMAT=FILE writes to a file, and may stand several times
    #[arg(long, value_name = "FORMAT[=FILE]")]
    pub(crate) format: Vec<Output>,
    /// The file for the format that names none, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// What a run fails on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// One tenant met the other.
    Leaked,
    /// That, or it was tried and could not be judged.
    Inconclusive,
}

fn header_name(word: &str) -> Result<String, String> {
    let letters = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if word.is_empty() || !word.chars().all(letters) {
        return Err(format!("{word:?} cannot be the name of a header"));
    }
    Ok(word.to_ascii_lowercase())
}

#[derive(Args)]
pub(crate) struct ProbesArguments {
    /// How to list them.
    #[arg(long, value_enum, default_value_t = Listing::Text)]
    pub(crate) format: Listing,
}
