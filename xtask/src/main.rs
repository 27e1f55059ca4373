//! The project's own chores: `cargo xtask test`, `cargo xtask bench` and `cargo xtask soak`.
//!
//! It uses the standard library and one error type, so that it is built in seconds.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for developers says what it does")]

mod bench;
mod client;
mod load;
mod proc;
mod process;
mod say;
mod servers;
mod soak;
mod summary;
mod test;
mod tools;

use std::{path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: cargo xtask test                 every test: unit, integration, compile-fail, conformance, real clients
       cargo xtask bench gateway        throughput and CPU for each request, beside a bare rmcp server
             [--beside PROGRAM]         and beside another gateway
       cargo xtask bench scale          memory, start and throughput with very many tenants [--tenants N]
       cargo xtask bench neighbour      what a tenant notices of another one that floods the server
       cargo xtask bench postgres       what policies cost, the gateway beside a bare server, many databases
       cargo xtask bench scan           speed and memory of the scanner [--tree PATH]
       cargo xtask bench start          size, time to the first reply, memory when idle
             [--rounds N] [--seconds N]
       cargo xtask soak [--minutes N]   everything at once for a while: nothing grows, nothing is mixed up";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test"] => root().and_then(test::run),
        ["bench", scenario, options @ ..] => root().and_then(|root| bench::run(root, scenario, options)),
        ["soak", options @ ..] => root().and_then(|_root| soak::run(options)),
        ["load", words @ ..] => load::run(words),
        _ => Err(anyhow::anyhow!(USAGE)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The repository, which is also made the current folder.
fn root() -> Result<&'static Path> {
    let Some(root) = Path::new(env!("CARGO_MANIFEST_DIR")).parent() else {
        bail!("xtask does not stand in a repository");
    };
    std::env::set_current_dir(root).with_context(|| format!("cannot go to {}", root.display()))?;
    Ok(root)
}
