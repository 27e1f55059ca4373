//! Evidence from several faces in one: what scan, probe, check and audit said, layer by layer, what they did not cover first.

mod html;

use std::collections::BTreeMap;

use partywall_model::{
    Allowed, Document, Finding, Layer, NOT_ASSESSED, Outcome, PARTLY, SOC2, Tool, Verdict, Verdicts,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::NO_DATABASE;

/// What one file holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// What `scan` or `check` printed.
    Findings(Document),
    /// What `probe` printed.
    Verdicts(Verdicts),
    /// What `audit verify --json` printed: one log a line.
    Audit(Vec<AuditedLog>),
}

/// One audit log, as `audit verify` judged it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditedLog {
    /// The tenant, or `-unattributed`.
    pub log: String,
    /// Whether it is whole.
    pub verdict: String,
    /// The number of the last line.
    pub last: u64,
    /// SHA-256 of the last line.
    pub head: String,
    /// What is wrong with it, if it is damaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// How many lines could not be written at the time.
    #[serde(default, skip_serializing_if = "is_none")]
    pub lost: u64,
    /// What a reader has to know about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl AuditedLog {
    /// Whether nothing in it was changed or taken away.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.verdict == "whole"
    }
}

/// Where evidence came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceOf {
    /// The file.
    pub file: String,
    /// `scan`, `check`, `probe` or `audit`.
    pub face: String,
    /// What was looked at or attacked.
    pub target: String,
    /// The version of Partywall that did it.
    pub version: String,
}

/// Something that the evidence does not speak of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// What.
    pub what: String,
    /// Why not.
    pub reason: String,
}

/// What is known of one layer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LayerEvidence {
    /// `found`, `held`, `inconclusive`, `known` where a baseline lists all that was found, `read, nothing found`, `partly read, nothing
    /// found` or `not covered`.
    pub status: String,
    /// What rules found.
    pub findings: Vec<Finding>,
    /// What rules found and a baseline lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<Finding>,
    /// What rules found and the source allows, with the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<Allowed>,
    /// Attacks by which tenants met.
    pub leaked: Vec<Verdict>,
    /// Attacks that showed nothing.
    pub held: Vec<Verdict>,
    /// Attacks that could not be judged.
    pub inconclusive: Vec<Verdict>,
}

/// One line of a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mapped {
    /// `SOC 2`, `OWASP` or `CWE`.
    pub list: String,
    /// The entry.
    pub id: String,
    /// What it asks for, where it is a criterion.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub asks: String,
    /// The evidence behind the line: counts by layer.
    pub evidence: Vec<String>,
    /// Whether something was found that speaks against it.
    pub found: bool,
}

/// The whole: what `partywall report` writes as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bundle {
    /// The version of this format: 1.
    pub schema: u32,
    /// What made it.
    pub tool: Tool,
    /// When, RFC 3339 in UTC.
    pub date: String,
    /// The commit that was looked at, if it was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Where the evidence came from.
    pub sources: Vec<SourceOf>,
    /// What the evidence does not speak of.
    pub not_covered: Vec<Gap>,
    /// By layer.
    pub layers: BTreeMap<String, LayerEvidence>,
    /// Audit logs that were verified.
    pub audit: Vec<AuditedLog>,
    /// By list and entry. A mapping, not certification.
    pub mapping: Vec<Mapped>,
    /// The words that go with the mapping.
    pub caveat: String,
    /// Why this is no pass, whatever was found: a run was not complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
}

/// What every page and document of the mapping says.
pub const CAVEAT: &str = "This is a mapping, not certification: an auditor decides what the evidence shows.";

impl Bundle {
    /// Puts evidence together.
    #[must_use]
    pub fn new(version: &str, date: String, commit: Option<String>, pieces: &[(String, Piece)]) -> Self {
        let mut layers: BTreeMap<String, LayerEvidence> =
            Layer::ALL.iter().map(|layer| (layer.name().to_owned(), LayerEvidence::default())).collect();
        let mut audit = Vec::new();
        let mut incomplete = Vec::new();
        for (file, piece) in pieces {
            match piece {
                Piece::Findings(document) => take_findings(&mut layers, document),
                Piece::Verdicts(verdicts) => {
                    take_verdicts(&mut layers, verdicts);
                    incomplete.extend(verdicts.incomplete.iter().map(|reason| format!("{file}: {reason}")));
                }
                Piece::Audit(logs) => audit.extend(logs.iter().cloned()),
            }
        }
        let looked = looked(pieces);
        for layer in Layer::ALL {
            if let Some(evidence) = layers.get_mut(layer.name()) {
                status(evidence, looked.get(&layer).copied()).clone_into(&mut evidence.status);
            }
        }
        let mapping = mapping(&layers, &audit);
        Self {
            schema: 1,
            tool: Tool { name: "partywall".to_owned(), version: version.to_owned() },
            date,
            commit,
            sources: pieces.iter().map(|(file, piece)| source(file, piece)).collect(),
            not_covered: gaps(pieces, &looked),
            layers,
            audit,
            mapping,
            caveat: CAVEAT.to_owned(),
            incomplete,
        }
    }

    /// Whether something was found or leaked, or an audit log is damaged.
    #[must_use]
    pub fn has_found(&self) -> bool {
        self.layers.values().any(|layer| layer.status == "found")
            || !self.audit.iter().all(AuditedLog::is_whole)
    }

    /// The one page.
    #[must_use]
    pub fn html(&self) -> String {
        html::render(self)
    }
}

/// How much of a layer was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Read {
    /// Some of its rules were run.
    Partly,
    /// All of them were.
    Whole,
}

/// The layers that were read.
fn looked(pieces: &[(String, Piece)]) -> BTreeMap<Layer, Read> {
    let mut looked = BTreeMap::new();
    for (_, piece) in pieces {
        let Piece::Findings(document) = piece else { continue };
        if document.target == NO_DATABASE {
            continue;
        }
        for layer in Layer::ALL {
            let read = match document.layers.get(layer.name()).map(|layer| layer.status.as_str()) {
                None | Some(NOT_ASSESSED) => continue,
                Some(PARTLY) => Read::Partly,
                Some(_) => Read::Whole,
            };
            let most = looked.entry(layer).or_insert(read);
            *most = read.max(*most);
        }
    }
    looked
}

fn take_findings(layers: &mut BTreeMap<String, LayerEvidence>, document: &Document) {
    let mut of = |layer: Layer, take: &dyn Fn(&mut LayerEvidence)| {
        take(layers.entry(layer.name().to_owned()).or_default());
    };
    for finding in &document.findings {
        of(finding.layer, &|layer| layer.findings.push(finding.clone()));
    }
    for finding in &document.known {
        of(finding.layer, &|layer| layer.known.push(finding.clone()));
    }
    for allowed in &document.allowed {
        of(allowed.finding.layer, &|layer| layer.allowed.push(allowed.clone()));
    }
}

fn take_verdicts(layers: &mut BTreeMap<String, LayerEvidence>, verdicts: &Verdicts) {
    for verdict in &verdicts.verdicts {
        let layer = layers.entry(verdict.layer.name().to_owned()).or_default();
        match verdict.verdict {
            Outcome::Leaked => layer.leaked.push(verdict.clone()),
            Outcome::Isolated => layer.held.push(verdict.clone()),
            Outcome::Inconclusive => layer.inconclusive.push(verdict.clone()),
            Outcome::NotRun => {}
        }
    }
}

fn status(layer: &LayerEvidence, read: Option<Read>) -> &'static str {
    if !layer.leaked.is_empty() || !layer.findings.is_empty() {
        "found"
    } else if !layer.known.is_empty() {
        "known"
    } else if !layer.held.is_empty() {
        "held"
    } else if !layer.inconclusive.is_empty() {
        "inconclusive"
    } else {
        match read {
            Some(Read::Whole) => "read, nothing found",
            Some(Read::Partly) => "partly read, nothing found",
            None => "not covered",
        }
    }
}

fn face(piece: &Piece) -> &'static str {
    match piece {
        Piece::Findings(document)
            if document.stats.relations > 0
                || document.target.starts_with("postgres")
                || document.target == NO_DATABASE =>
        {
            "check"
        }
        Piece::Findings(_) => "scan",
        Piece::Verdicts(_) => "probe",
        Piece::Audit(_) => "audit",
    }
}

fn source(file: &str, piece: &Piece) -> SourceOf {
    let (target, version) = match piece {
        Piece::Findings(document) => (document.target.clone(), document.tool.version.clone()),
        Piece::Verdicts(verdicts) => (verdicts.target.clone(), verdicts.tool.version.clone()),
        Piece::Audit(logs) => (format!("{} audit logs", logs.len()), String::new()),
    };
    SourceOf { file: file.to_owned(), face: face(piece).to_owned(), target, version }
}

/// What is missing: faces that said nothing, layers that nobody looked at, what each face left out.
fn gaps(pieces: &[(String, Piece)], looked: &BTreeMap<Layer, Read>) -> Vec<Gap> {
    let mut gaps = Vec::new();
    gaps.extend(pieces.iter().flat_map(|(file, piece)| no_pass(file, piece)));
    let has = |name: &str| pieces.iter().any(|(_, piece)| face(piece) == name);
    for (name, what) in [
        ("scan", "the source was not read"),
        ("probe", "no running server was attacked"),
        ("check", "no database's catalogue was checked"),
        ("audit", "no audit log was verified"),
    ] {
        if !has(name) {
            gaps.push(Gap {
                what: what.to_owned(),
                reason: format!("no output of `partywall {name}` was given"),
            });
        }
    }
    for layer in Layer::ALL {
        let attacked = pieces.iter().any(|(_, piece)| match piece {
            Piece::Verdicts(verdicts) => verdicts.verdicts.iter().any(|verdict| {
                verdict.layer == layer && matches!(verdict.verdict, Outcome::Leaked | Outcome::Isolated)
            }),
            _ => false,
        });
        if !attacked && has("probe") {
            let reason = "no attack on it came to a verdict".to_owned();
            gaps.push(Gap { what: format!("the layer {layer} was not attacked"), reason });
        }
        let (what, reason) = match looked.get(&layer) {
            None => ("not read", "no rule of it was run over anything"),
            Some(Read::Partly) => ("read in part only", "not all of its rules were run"),
            Some(Read::Whole) => continue,
        };
        if has("scan") || has("check") {
            gaps.push(Gap { what: format!("the layer {layer} was {what}"), reason: reason.to_owned() });
        }
    }
    for (file, piece) in pieces {
        match piece {
            Piece::Findings(document) => {
                gaps.extend(document.skipped.iter().map(|skipped| Gap {
                    what: format!("{file}: {}", skipped.path),
                    reason: skipped.reason.clone(),
                }));
                gaps.extend(
                    document.notes.iter().map(|note| Gap { what: file.clone(), reason: note.clone() }),
                );
            }
            Piece::Verdicts(verdicts) => {
                for verdict in verdicts.verdicts.iter().filter(|v| v.verdict == Outcome::NotRun) {
                    gaps.push(Gap {
                        what: format!("{} {}", verdict.technique, verdict.name),
                        reason: verdict.reason.clone(),
                    });
                }
                gaps.extend(
                    verdicts.notes.iter().map(|note| Gap { what: file.clone(), reason: note.clone() }),
                );
            }
            Piece::Audit(logs) => gaps.extend(logs.iter().flat_map(of_log)),
        }
    }
    gaps
}

/// Why a piece is no pass, whatever it found: it was not complete, or looked at nothing.
fn no_pass(file: &str, piece: &Piece) -> Vec<Gap> {
    let gap = |what: &str, reason: String| Gap { what: what.to_owned(), reason };
    match piece {
        Piece::Verdicts(verdicts) => verdicts
            .incomplete
            .iter()
            .map(|reason| gap(&format!("the run of {file} was not complete"), reason.clone()))
            .collect(),
        Piece::Findings(document) if document.target == NO_DATABASE => vec![gap(
            "no database's catalogue was checked",
            format!("the configuration of {file} names no PostgreSQL database"),
        )],
        Piece::Findings(document) if document.is_of_nothing() => {
            vec![gap("no program was read", format!("the scan of {file} found none to read"))]
        }
        _ => Vec::new(),
    }
}

/// What a log cannot say.
fn of_log(log: &AuditedLog) -> Vec<Gap> {
    let what = format!("audit log {}", log.log);
    let lost = (log.lost > 0).then(|| format!("{} lines could not be written at the time", log.lost));
    let reasons = log.problem.iter().cloned().chain(lost).chain(log.notes.iter().cloned());
    reasons.map(|reason| Gap { what: what.clone(), reason }).collect()
}

/// The evidence of a layer in one line.
fn told(layer: Layer, evidence: &LayerEvidence) -> String {
    if evidence.status == "not covered" {
        return format!("{layer}: not covered");
    }
    let mut text = format!(
        "{layer}: {} found, {} leaked, {} attacked and held, {} inconclusive",
        evidence.findings.len(),
        evidence.leaked.len(),
        evidence.held.len(),
        evidence.inconclusive.len()
    );
    for (count, word) in [(evidence.known.len(), "known"), (evidence.allowed.len(), "allowed")] {
        if count > 0 {
            text.push_str(&format!(", {count} {word}"));
        }
    }
    if evidence.status.starts_with("partly") {
        text.push_str(", read in part only");
    }
    text
}

fn mapping(layers: &BTreeMap<String, LayerEvidence>, audit: &[AuditedLog]) -> Vec<Mapped> {
    let mut lines: BTreeMap<(u8, String), Mapped> = BTreeMap::new();
    for layer in Layer::ALL {
        let Some(evidence) = layers.get(layer.name()) else { continue };
        let told = told(layer, evidence);
        let maps = layer.maps();
        for (rank, list, ids) in [(0, "SOC 2", maps.soc2), (1, "OWASP", maps.owasp), (2, "CWE", maps.cwe)] {
            for id in ids {
                let asks =
                    SOC2.iter().find(|criterion| criterion.id == id).map_or("", |criterion| criterion.asks);
                let line = lines.entry((rank, id.clone())).or_insert_with(|| Mapped {
                    list: list.to_owned(),
                    id,
                    asks: asks.to_owned(),
                    evidence: Vec::new(),
                    found: false,
                });
                line.evidence.push(told.clone());
                line.found |= matches!(evidence.status.as_str(), "found" | "known");
            }
        }
    }
    if let Some(line) = lines.get_mut(&(0, "CC7.2".to_owned())).filter(|_| !audit.is_empty()) {
        let whole = audit.iter().filter(|log| log.is_whole()).count();
        line.evidence.push(format!("audit: {whole} of {} logs are whole and chained", audit.len()));
        line.found |= whole < audit.len();
    }
    lines.into_values().collect()
}
