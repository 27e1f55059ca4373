//! `partywall`: serve many tenants from one MCP server, and show that they cannot see each other.
//!
//! The only crate that prints, exits and reads the environment.

mod args;
mod audit;
mod check;
mod demo;
mod lab;
mod matrix;
mod output;
mod probe;
mod report;
mod scan;
mod serve;
mod stores;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::{Arguments, Command};

/// Scans make very many small things, and that is quicker here than with the system's.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // This process may be one that a server is started through.
    if let Some(code) = partywall_gateway::launcher::enter() {
        return code;
    }
    let arguments = Arguments::parse();
    output::start_log(&arguments);
    match run(&arguments) {
        Ok(code) => code,
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::Demo(demo) => demo::run(demo)?,
        Command::Serve(serve) => serve::run(serve)?,
        Command::Tenant(tenant) => stores::tenant(tenant)?,
        Command::Secret(secret) => stores::secret(secret)?,
        Command::Token(token) => stores::token(token)?,
        Command::Audit(audit) => return audit::run(audit),
        Command::Scan(scan) => return scan::run(arguments, scan),
        Command::Probe(probe) => return probe::run(arguments, probe),
        Command::Probes(probes) => probe::list(probes)?,
        Command::Report(report) => return report::run(report),
        Command::Check(check) => return check::run(arguments, check),
        Command::Rls(rls) => check::rls(rls)?,
        Command::Explain(explain) => scan::explain(explain)?,
        Command::Rules(rules) => scan::rules(rules)?,
        Command::Matrix => output::print(&matrix::table()?)?,
        Command::Schema { document } => output::print(&serve::schema(*document)?)?,
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "partywall", &mut text);
            output::print(&String::from_utf8_lossy(&text))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
