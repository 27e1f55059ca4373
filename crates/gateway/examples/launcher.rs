//! A program that servers are started through, and nothing else: what the crate's own tests start them with.

use std::process::ExitCode;

fn main() -> ExitCode {
    partywall_gateway::launcher::enter().unwrap_or(ExitCode::FAILURE)
}
