//! What a rule reports: one finding, and the document of many.
//!
//! The field names are an outside contract: scripts and code hosts read them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Layer;

/// How bad it is when a finding is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It costs something, or tells a little.
    Low,
    /// It breaks isolation together with something else, or breaks the service.
    Medium,
    /// One tenant reads or changes what is another's.
    High,
}

impl Severity {
    /// The word as it stands in findings and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// How sure a rule is that a finding is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// A hint.
    Low,
    /// It was read from a text that could mean something else, or it matters only if callers can run SQL.
    Medium,
    /// It was read from facts, or was seen to happen.
    High,
}

/// The side of a server that a finding counts against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// Tenants can meet.
    Security,
    /// Something may do more than it needs.
    Permissions,
    /// A credential can be read.
    Credentials,
    /// It will break or be slow.
    Maintenance,
}

/// The lists that auditors and code hosts group findings by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Maps {
    /// Weaknesses of the CWE list.
    pub cwe: Vec<String>,
    /// Criteria of SOC 2.
    pub soc2: Vec<String>,
    /// Categories of OWASP lists.
    pub owasp: Vec<String>,
}

/// Another place that a finding speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Related {
    /// The file, or the database.
    pub path: String,
    /// The line, from 1; 1 in a database.
    pub line: u32,
    /// What is there.
    pub message: String,
}

/// One thing that a rule found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// The layer that is broken.
    pub layer: Layer,
    /// The side it counts against.
    pub axis: Axis,
    /// How bad it is.
    pub severity: Severity,
    /// How sure the rule is.
    pub confidence: Confidence,
    /// The file; of a database `postgres://HOST:PORT/NAME`, without credentials.
    pub path: String,
    /// The line, from 1. An object of a database has no line: it is 1 there.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// The last line.
    pub end_line: u32,
    /// What was found, in one sentence, with the names of what it is about.
    pub message: String,
    /// Why that matters.
    pub why: String,
    /// What mends it: the exact change where there is one, else what to do.
    pub fix: String,
    /// Other places that belong to it: the policy, the view's table.
    pub related: Vec<Related>,
    /// The same for the same finding in the next run, wherever the database stands or the line has moved.
    pub fingerprint: String,
    /// The lists it belongs to.
    pub maps: Maps,
}

/// A stable name for a finding: 32 hexadecimal digits of FNV-1a over its parts. It is no protection against forgery,
/// only a name that baselines and code hosts can compare.
#[must_use]
pub fn fingerprint(parts: &[&str]) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for part in parts {
        // The end of a part counts too, so that ("ab", "c") and ("a", "bc") differ.
        for byte in part.bytes().chain([0xff]) {
            hash ^= u128::from(byte);
            hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
    format!("{hash:032x}")
}

/// What made a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// `partywall`
    pub name: String,
    /// The version.
    pub version: String,
}

/// How one side does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Score {
    /// From 100, nothing found, down to 0.
    pub score: u32,
    /// `A` to `F`.
    pub grade: String,
}

/// How one layer does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LayerStatus {
    /// The number of findings.
    pub findings: usize,
    /// `clean` or `findings`.
    pub status: String,
}

/// What was not looked at or not counted, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    /// The file or the object.
    pub path: String,
    /// The reason.
    pub reason: String,
}

/// How much was looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Files that were read.
    pub files: u64,
    /// Lines that were read.
    pub lines: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Tables, views and other relations of a database.
    #[serde(default)]
    pub relations: u64,
    /// How long it took.
    pub seconds: f64,
}

/// All findings of a run, with grades: what `--format json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Document {
    /// The version of this format: 1.
    pub schema: u32,
    /// What made it.
    pub tool: Tool,
    /// What was looked at.
    pub target: String,
    /// The worst grade of the sides.
    pub grade: String,
    /// The sides.
    pub axes: BTreeMap<String, Score>,
    /// The layers that were looked at.
    pub layers: BTreeMap<String, LayerStatus>,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// What was not looked at or not counted.
    pub skipped: Vec<Skipped>,
    /// How much was looked at.
    pub stats: Stats,
}

impl Document {
    /// Grades findings. Each costs its side points (high 30, medium 10, low 3; at most three of a kind); the whole is as
    /// good as its worst side, and nothing with a high finding is an A.
    #[must_use]
    pub fn new(
        version: &str,
        target: String,
        layers: &[Layer],
        mut findings: Vec<Finding>,
        skipped: Vec<Skipped>,
        stats: Stats,
    ) -> Self {
        findings.sort_by(|a, b| {
            (b.severity, &a.path, &a.rule, &a.message).cmp(&(a.severity, &b.path, &b.rule, &b.message))
        });
        let axes: BTreeMap<String, Score> = [
            ("security", Axis::Security),
            ("permissions", Axis::Permissions),
            ("credentials", Axis::Credentials),
            ("maintenance", Axis::Maintenance),
        ]
        .into_iter()
        .map(|(name, axis)| (name.to_owned(), score(&findings, axis)))
        .collect();
        let worst = axes.values().map(|score| score.score).min().unwrap_or(100);
        let layers = layers
            .iter()
            .map(|layer| {
                let count = findings.iter().filter(|finding| finding.layer == *layer).count();
                let status = if count == 0 { "clean" } else { "findings" };
                (layer.name().to_owned(), LayerStatus { findings: count, status: status.to_owned() })
            })
            .collect();
        Self {
            schema: 1,
            tool: Tool { name: "partywall".to_owned(), version: version.to_owned() },
            target,
            grade: grade(worst).to_owned(),
            axes,
            layers,
            findings,
            skipped,
            stats,
        }
    }
}

fn score(findings: &[Finding], axis: Axis) -> Score {
    let lost: usize = [(Severity::High, 30), (Severity::Medium, 10), (Severity::Low, 3)]
        .into_iter()
        .map(|(severity, points)| {
            let count = findings.iter().filter(|f| f.axis == axis && f.severity == severity).count();
            count.min(3) * points
        })
        .sum();
    let score = 100_u32.saturating_sub(u32::try_from(lost).unwrap_or(100));
    Score { score, grade: grade(score).to_owned() }
}

const fn grade(score: u32) -> &'static str {
    match score {
        90.. => "A",
        80..90 => "B",
        70..80 => "C",
        60..70 => "D",
        _ => "F",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(severity: Severity) -> Finding {
        Finding {
            rule: "r".to_owned(),
            layer: Layer::Data,
            axis: Axis::Security,
            severity,
            confidence: Confidence::High,
            path: "p".to_owned(),
            line: 1,
            column: 1,
            end_line: 1,
            message: "m".to_owned(),
            why: String::new(),
            fix: String::new(),
            related: Vec::new(),
            fingerprint: fingerprint(&["r", "p"]),
            maps: Maps::default(),
        }
    }

    #[test]
    fn fingerprints_depend_on_every_part_and_where_it_ends() {
        assert_eq!(fingerprint(&["a", "b"]), fingerprint(&["a", "b"]));
        assert_ne!(fingerprint(&["ab", "c"]), fingerprint(&["a", "bc"]));
        assert_ne!(fingerprint(&["a"]), fingerprint(&["a", ""]));
        assert_eq!(fingerprint(&[]).len(), 32);
    }

    #[test]
    fn a_high_finding_is_never_an_a_and_the_worst_comes_first() {
        let of = |found: Vec<Finding>| {
            Document::new("0", "t".to_owned(), &[Layer::Data], found, Vec::new(), Stats::default())
        };
        assert_eq!(of(Vec::new()).grade, "A");
        assert_eq!(of(Vec::new()).layers["data"].status, "clean");
        let one = of(vec![finding(Severity::Low), finding(Severity::High)]);
        assert_eq!(one.grade, "D");
        assert_eq!(one.findings[0].severity, Severity::High);
        assert_eq!(one.axes["security"].score, 67);
        assert_eq!(one.axes["permissions"].score, 100);
    }

    #[test]
    fn a_finding_is_written_with_the_words_of_the_contract() {
        let json = serde_json::to_value(finding(Severity::High)).unwrap();
        assert_eq!(json["layer"], "data");
        assert_eq!(json["severity"], "high");
        assert_eq!(json["axis"], "security");
        assert_eq!(serde_json::from_value::<Finding>(json).unwrap(), finding(Severity::High));
    }
}
