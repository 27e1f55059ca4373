//! Evidence from several faces in one: what scan, probe, check and audit said, layer by layer, what they did not cover first.

mod html;

use std::collections::BTreeMap;

use partywall_model::{Document, Finding, Layer, Outcome, SOC2, Tool, Verdict, Verdicts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditedLog {
    /// The tenant, or `-unattributed`.
    pub log: String,
    /// Whether it is whole.
    pub verdict: String,
    /// The number of the last line.
    pub last: u64,
    /// SHA-256 of the last line.
    pub head: String,
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
    /// `found`, `held`, `inconclusive` or `not covered`.
    pub status: String,
    /// What rules found.
    pub findings: Vec<Finding>,
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

/// The whole: what `partywall report --format json` prints.
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
}

/// The target of a check of a configuration that names no database.
const NO_DATABASE: &str = "no database";

/// What every page and document of the mapping says.
pub const CAVEAT: &str = "This is a mapping, not certification: an auditor decides what the evidence shows.";

impl Bundle {
    /// Puts evidence together.
    #[must_use]
    pub fn new(version: &str, date: String, commit: Option<String>, pieces: &[(String, Piece)]) -> Self {
        let mut layers: BTreeMap<String, LayerEvidence> =
            Layer::ALL.iter().map(|layer| (layer.name().to_owned(), LayerEvidence::default())).collect();
        let mut audit = Vec::new();
        let mut looked: Vec<(&str, Layer)> = Vec::new();
        for (_, piece) in pieces {
            match piece {
                Piece::Findings(document) => {
                    looked.extend(
                        Layer::ALL
                            .into_iter()
                            .filter(|l| {
                                document.target != NO_DATABASE && document.layers.contains_key(l.name())
                            })
                            .map(|l| (face(piece), l)),
                    );
                    for finding in &document.findings {
                        layers
                            .entry(finding.layer.name().to_owned())
                            .or_default()
                            .findings
                            .push(finding.clone());
                    }
                }
                Piece::Verdicts(verdicts) => {
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
                Piece::Audit(logs) => audit.extend(logs.iter().cloned()),
            }
        }
        for (name, layer) in &mut layers {
            let read = looked.iter().any(|(_, known)| known.name() == name);
            layer.status = status(layer, read).to_owned();
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
        }
    }

    /// Whether something was found or leaked.
    #[must_use]
    pub fn has_found(&self) -> bool {
        self.layers.values().any(|layer| layer.status == "found")
    }

    /// The one page.
    #[must_use]
    pub fn html(&self) -> String {
        html::render(self)
    }
}

fn status(layer: &LayerEvidence, read: bool) -> &'static str {
    if !layer.leaked.is_empty() || !layer.findings.is_empty() {
        "found"
    } else if !layer.held.is_empty() {
        "held"
    } else if !layer.inconclusive.is_empty() {
        "inconclusive"
    } else if read {
        "read, nothing found"
    } else {
        "not covered"
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
fn gaps(pieces: &[(String, Piece)], looked: &[(&str, Layer)]) -> Vec<Gap> {
    let mut gaps = Vec::new();
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
    for (file, piece) in pieces {
        if matches!(piece, Piece::Findings(document) if document.target == NO_DATABASE) {
            let what = "no database's catalogue was checked".to_owned();
            gaps.push(Gap {
                what,
                reason: format!("the configuration of {file} names no PostgreSQL database"),
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
        let read = looked.iter().any(|(_, known)| *known == layer);
        if !attacked && has("probe") {
            let reason = "no attack on it came to a verdict".to_owned();
            gaps.push(Gap { what: format!("the layer {layer} was not attacked"), reason });
        }
        if !read && (has("scan") || has("check")) {
            gaps.push(Gap {
                what: format!("the layer {layer} was not read"),
                reason: "no rule of it was run".to_owned(),
            });
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
            Piece::Audit(_) => {}
        }
    }
    gaps
}

fn mapping(layers: &BTreeMap<String, LayerEvidence>, audit: &[AuditedLog]) -> Vec<Mapped> {
    let mut lines: BTreeMap<(u8, String), Mapped> = BTreeMap::new();
    for layer in Layer::ALL {
        let Some(evidence) = layers.get(layer.name()) else { continue };
        let told = format!(
            "{layer}: {} found, {} leaked, {} attacked and held, {} inconclusive",
            evidence.findings.len(),
            evidence.leaked.len(),
            evidence.held.len(),
            evidence.inconclusive.len()
        );
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
                line.found |= evidence.status == "found";
            }
        }
    }
    if let Some(line) = lines.get_mut(&(0, "CC7.2".to_owned())).filter(|_| !audit.is_empty()) {
        let whole = audit.iter().filter(|log| log.verdict == "whole").count();
        line.evidence.push(format!("audit: {whole} of {} logs are whole and chained", audit.len()));
        line.found |= whole < audit.len();
    }
    lines.into_values().collect()
}
