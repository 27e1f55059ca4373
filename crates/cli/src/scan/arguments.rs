//! The arguments of `scan`, `explain` and `rules`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use partywall_model::{Confidence, Layer};
use partywall_scanner::Tenancy;

use super::formats::Output;

#[derive(Args)]
pub(crate) struct ScanArguments {
    /// Folders or files; the current folder when there is none.
    pub(crate) paths: Vec<PathBuf>,
    /// text, json, jsonl, sarif, html, markdown or badge; FORMAT=FILE writes to a file, and may stand several times
    #[arg(long, value_name = "FORMAT[=FILE]")]
    pub(crate) format: Vec<Output>,
    /// The file for the format that names none, instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The least severity that gives exit status 1.
    #[arg(long, value_enum, default_value_t = FailOn::High)]
    pub(crate) fail_on: FailOn,
    /// Only this layer; may stand several times.
    #[arg(long, value_parser = layer, value_delimiter = ',')]
    pub(crate) layer: Vec<Layer>,
    /// Only this rule; may stand several times.
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) rule: Vec<String>,
    /// Only findings that are at least this sure.
    #[arg(long, value_enum, default_value_t = Sure::Low)]
    pub(crate) min_confidence: Sure,
    /// A file of known findings, which do not count.
    #[arg(long, value_name = "FILE")]
    pub(crate) baseline: Option<PathBuf>,
    /// Write what is found to a baseline, and end with status 0; reports are written too where --format or --output asks for them.
    #[arg(long, value_name = "FILE", conflicts_with = "baseline")]
    pub(crate) write_baseline: Option<PathBuf>,
    /// Exit status 1 too when a file, or every file, could not be read or understood, or when the baseline lists what is no longer found.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Read tests too.
    #[arg(long)]
    pub(crate) include_tests: bool,
    /// What is left out below each folder, as in .gitignore ("examples/", "**/*.gen.ts"); may stand several times. The report says so.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,
    /// Whether several parties use one process of the server; auto tells it from the source and says why.
    #[arg(long, value_enum, default_value_t = Parties::Auto)]
    pub(crate) tenancy: Parties,
    /// A file that says what a library of your own does; may stand several times.
    #[arg(long, value_name = "FILE")]
    pub(crate) library: Vec<PathBuf>,
    /// Offer the scanner to an MCP client on standard input, for the one folder that is named.
    #[arg(long, conflicts_with_all = ["format", "output", "baseline", "write_baseline", "fail_on", "layer", "rule", "min_confidence", "strict"])]
    pub(crate) mcp: bool,
}

/// A layer by its name.
pub(crate) fn layer(word: &str) -> Result<Layer, String> {
    word.to_lowercase().parse::<Layer>().map_err(|_| {
        let names = Layer::ALL.map(Layer::name).join(", ");
        format!("the layers are {names}")
    })
}

/// The severity from which findings give exit status 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    High,
    Medium,
    Low,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sure {
    High,
    Medium,
    Low,
}

impl From<Sure> for Confidence {
    fn from(sure: Sure) -> Self {
        match sure {
            Sure::High => Self::High,
            Sure::Medium => Self::Medium,
            Sure::Low => Self::Low,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Parties {
    Single,
    Multi,
    Auto,
}

impl From<Parties> for Tenancy {
    fn from(parties: Parties) -> Self {
        match parties {
            Parties::Single => Self::Single,
            Parties::Multi => Self::Multi,
            Parties::Auto => Self::Auto,
        }
    }
}

#[derive(Args)]
pub(crate) struct Explain {
    /// The id of a rule or probe, as it stands in findings.
    pub(crate) id: String,
    /// With all examples, which are the rule's tests.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args)]
pub(crate) struct RulesArguments {
    /// How to print them.
    #[arg(long, value_enum, default_value_t = Listing::Text)]
    pub(crate) format: Listing,
    /// Only this layer; may stand several times.
    #[arg(long, value_parser = layer, value_delimiter = ',')]
    pub(crate) layer: Vec<Layer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Listing {
    Text,
    Json,
}
