//! What the prober says: one verdict for each technique, and the document of all.
//!
//! The field names are an outside contract: scripts read them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Layer, Severity, Tool};

/// What a technique came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// One tenant met another; the evidence shows it.
    Leaked,
    /// It was tried, the control worked, and the tenants did not meet.
    Isolated,
    /// It was tried and could not be judged.
    Inconclusive,
    /// It was not tried.
    NotRun,
}

impl Outcome {
    /// Every outcome, the worst first.
    pub const ALL: [Self; 4] = [Self::Leaked, Self::Inconclusive, Self::Isolated, Self::NotRun];

    /// The word as it stands in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leaked => "leaked",
            Self::Isolated => "isolated",
            Self::Inconclusive => "inconclusive",
            Self::NotRun => "not-run",
        }
    }
}

/// One request and its answer, and what is wrong with it. Tokens are replaced by the names of their owners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Who sent the request.
    pub tenant: String,
    /// The request as it went out.
    pub request: String,
    /// The answer as it came in, or what happened instead.
    pub response: String,
    /// What it shows.
    pub why: String,
    /// The foreign value, as it stands in the response; empty where the leak is not a value.
    #[serde(default)]
    pub foreign: String,
}

/// What one technique came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The probe's id.
    pub probe: String,
    /// The technique's id in the catalogue.
    pub technique: String,
    /// The technique in a few words.
    pub name: String,
    /// The layer it attacks.
    pub layer: Layer,
    /// What it came to.
    pub verdict: Outcome,
    /// How bad a leak by it is.
    pub severity: Severity,
    /// Why it came to that, in a sentence.
    pub reason: String,
    /// What shows it; empty unless it leaked.
    pub evidence: Vec<Evidence>,
    /// The command that runs it again with the same schedule.
    pub replay: String,
}

/// How many verdicts there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// Techniques by which tenants met.
    pub leaked: usize,
    /// Techniques that held.
    pub isolated: usize,
    /// Techniques that could not be judged.
    pub inconclusive: usize,
    /// Techniques that were not tried.
    pub not_run: usize,
}

/// What the run cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictStats {
    /// Requests that were sent.
    pub requests: u64,
    /// How long it took.
    pub seconds: f64,
}

/// All verdicts of a run: what `partywall probe --format json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdicts {
    /// The version of this format: 1.
    pub schema: u32,
    /// What made it.
    pub tool: Tool,
    /// The endpoint, without credentials.
    pub target: String,
    /// The revisions of the protocol that were spoken.
    pub protocols: Vec<String>,
    /// One for each technique, in the order of the layers.
    pub verdicts: Vec<Verdict>,
    /// How many there are of each kind.
    pub summary: Summary,
    /// What the run cost.
    pub stats: VerdictStats,
    /// What a reader has to know about this run: what was seen of the target, and what was left out.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Why this run is no pass, whatever its verdicts are: it was not complete. Empty where it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
}

impl Verdicts {
    /// Puts verdicts in order and counts them.
    #[must_use]
    pub fn new(
        version: &str,
        target: String,
        protocols: Vec<String>,
        mut verdicts: Vec<Verdict>,
        stats: VerdictStats,
        notes: Vec<String>,
    ) -> Self {
        verdicts.sort_by(|a, b| (a.layer, &a.probe, &a.technique).cmp(&(b.layer, &b.probe, &b.technique)));
        let count = |outcome| verdicts.iter().filter(|verdict| verdict.verdict == outcome).count();
        let summary = Summary {
            leaked: count(Outcome::Leaked),
            isolated: count(Outcome::Isolated),
            inconclusive: count(Outcome::Inconclusive),
            not_run: count(Outcome::NotRun),
        };
        Self {
            schema: 1,
            tool: Tool { name: "partywall".to_owned(), version: version.to_owned() },
            target,
            protocols,
            verdicts,
            summary,
            stats,
            notes,
            incomplete: Vec::new(),
        }
    }
}
