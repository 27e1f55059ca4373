//! Attacks a running MCP server as two tenants and shows whether they can meet.
//!
//! `target` speaks the protocol, also wrongly; `survey` finds out what each tenant sees alone; `oracle` says whether
//! an answer shows one tenant to another; `probes` are the attacks, by layer. It shares no code with the gateway: a judge
//! that reuses the defendant's parser inherits its mistakes.

mod arguments;
mod canary;
mod choices;
mod cleanup;
mod disguise;
mod errand;
mod error;
mod facts;
mod oracle;
mod places;
mod plan;
mod probes;
mod race;
mod run;
mod site;
mod survey;
mod tally;
mod target;
mod transcript;

pub use errand::Errands;
pub use error::ProbeError;
pub use plan::{Credential, Pauses, Plan, Protocol};
pub use probes::{Probe, Technique, coverage, pages, probes};
pub use run::{Progress, run};
