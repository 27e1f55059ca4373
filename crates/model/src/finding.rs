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
    /// Every severity, the worst first.
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

    /// What one finding of it costs its axis, in points of 100.
    #[must_use]
    pub const fn points(self) -> u32 {
        match self {
            Self::High => 30,
            Self::Medium => 10,
            Self::Low => 3,
        }
    }

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

impl Confidence {
    /// Every confidence, the surest first.
    pub const ALL: [Self; 3] = [Self::High, Self::Medium, Self::Low];

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
    /// Clients cannot speak with it.
    Compatibility,
    /// It says something else than it does, or nothing.
    Documentation,
}

impl Axis {
    /// Every axis, in the order of reports.
    pub const ALL: [Self; 6] = [
        Self::Security,
        Self::Permissions,
        Self::Credentials,
        Self::Maintenance,
        Self::Compatibility,
        Self::Documentation,
    ];

    /// The axes that isolation is judged by. They are graded in every run of all rules over something that was read.
    pub const ISOLATION: [Self; 3] = [Self::Security, Self::Permissions, Self::Credentials];

    /// The word as it stands in findings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Permissions => "permissions",
            Self::Credentials => "credentials",
            Self::Maintenance => "maintenance",
            Self::Compatibility => "compatibility",
            Self::Documentation => "documentation",
        }
    }

    /// What it is about, in a few words.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Security => "tenants can meet",
            Self::Permissions => "something may do more than it needs",
            Self::Credentials => "a credential can be read, or serves a tenant that it does not belong to",
            Self::Maintenance => "something will break or be slow",
            Self::Compatibility => "clients cannot speak with it",
            Self::Documentation => "it says something else than it does, or nothing",
        }
    }
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
    /// From 100, nothing found, down to 0; null where nothing was looked at.
    pub score: Option<u32>,
    /// `A` to `F`, or `not assessed`.
    pub grade: String,
}

/// How one layer does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LayerStatus {
    /// The number of findings.
    pub findings: usize,
    /// `clean` or `findings`; `known` where a baseline lists all that was found, `partly looked at` where not all of its rules were
    /// run and nothing was found, `not assessed` where nothing was read.
    pub status: String,
}

/// A finding that does not count, because the source allows it, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allowed {
    /// What was found.
    #[serde(flatten)]
    pub finding: Finding,
    /// Why it is allowed.
    pub reason: String,
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
    /// Those among them that hold a program, SQL or models, and not only how a project is built and started.
    #[serde(default)]
    pub programs: u64,
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
    /// What a reader has to know about this run: choices that were made for him, and findings that were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What was found and stands in the baseline, so that it does not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<Finding>,
    /// What was found and is allowed by a comment, so that it does not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<Allowed>,
}

/// How many findings of one severity count against one axis; more make it no worse.
pub const COUNTED: usize = 3;

/// What the grade of an axis says that nothing was looked at for.
pub const NOT_ASSESSED: &str = "not assessed";

/// The status of a layer of which only some rules were run, which found nothing.
pub const PARTLY: &str = "partly looked at";

/// The status of a layer whose findings all stand in the baseline.
pub const KNOWN: &str = "known";

/// The grades with the least score that each needs, the best first.
pub const GRADES: [(u32, &str); 5] = [(90, "A"), (80, "B"), (70, "C"), (60, "D"), (0, "F")];

impl Document {
    /// Grades findings. Each costs its axis [`Severity::points`], at most [`COUNTED`] of a severity; the whole is as
    /// good as its worst axis, so nothing with a high finding is an A. An axis outside [`Axis::ISOLATION`] is graded
    /// only when something was found that counts against it, or when [`Document::assessing`] says that it was looked at.
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
            (b.severity, &a.path, a.line, &a.rule, &a.message)
                .cmp(&(a.severity, &b.path, b.line, &b.rule, &b.message))
        });
        let axes: BTreeMap<String, Score> = Axis::ALL
            .into_iter()
            .map(|axis| {
                let assessed = Axis::ISOLATION.contains(&axis) || findings.iter().any(|f| f.axis == axis);
                let score = assessed.then(|| score(&findings, axis));
                let grade = score.map_or(NOT_ASSESSED, grade).to_owned();
                (axis.name().to_owned(), Score { score, grade })
            })
            .collect();
        let worst = axes.values().filter_map(|score| score.score).min().unwrap_or(100);
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
            notes: Vec::new(),
            known: Vec::new(),
            allowed: Vec::new(),
        }
    }

    /// Says that these axes were looked at too, so that no finding means a full score.
    #[must_use]
    pub fn assessing(mut self, axes: &[Axis]) -> Self {
        for axis in axes {
            if let Some(score) = self.axes.get_mut(axis.name()).filter(|score| score.score.is_none()) {
                *score = Score { score: Some(100), grade: grade(100).to_owned() };
            }
        }
        self
    }

    /// Says that nothing was read, so that no axis has a grade: what nobody looked at is not good.
    #[must_use]
    pub fn of_nothing(mut self) -> Self {
        NOT_ASSESSED.clone_into(&mut self.grade);
        for score in self.axes.values_mut() {
            *score = Score { score: None, grade: NOT_ASSESSED.to_owned() };
        }
        for layer in self.layers.values_mut().filter(|layer| layer.findings == 0) {
            NOT_ASSESSED.clone_into(&mut layer.status);
        }
        self
    }

    /// Whether the document says of nothing that it was looked at.
    #[must_use]
    pub fn is_of_nothing(&self) -> bool {
        self.grade == NOT_ASSESSED && self.axes.values().all(|score| score.score.is_none())
    }

    /// Says that only some rules were run: those of these axes, and not all of those of the `partly` layers. The whole has no grade
    /// then, and neither has an axis that no rule looked at.
    #[must_use]
    pub fn narrowed(mut self, axes: &[Axis], partly: &[Layer]) -> Self {
        NOT_ASSESSED.clone_into(&mut self.grade);
        for axis in Axis::ALL.into_iter().filter(|axis| !axes.contains(axis)) {
            let found = self.findings.iter().any(|finding| finding.axis == axis);
            if let Some(score) = self.axes.get_mut(axis.name()).filter(|_| !found) {
                *score = Score { score: None, grade: NOT_ASSESSED.to_owned() };
            }
        }
        for layer in partly {
            if let Some(layer) = self.layers.get_mut(layer.name()).filter(|layer| layer.findings == 0) {
                PARTLY.clone_into(&mut layer.status);
            }
        }
        self
    }

    /// Leaves `new` of the findings, and sets those aside that were `known`.
    #[must_use]
    pub fn with_known(mut self, new: Vec<Finding>, known: Vec<Finding>) -> Self {
        self.findings = new;
        self.known = known;
        for (name, value) in &mut self.axes {
            if let Some(axis) =
                Axis::ALL.into_iter().find(|axis| axis.name() == name && value.score.is_some())
            {
                let points = score(&self.findings, axis);
                *value = Score { score: Some(points), grade: grade(points).to_owned() };
            }
        }
        if self.grade != NOT_ASSESSED {
            let worst = self.axes.values().filter_map(|score| score.score).min().unwrap_or(100);
            grade(worst).clone_into(&mut self.grade);
        }
        for (name, layer) in &mut self.layers {
            layer.findings = self.findings.iter().filter(|finding| finding.layer.name() == name).count();
            if layer.findings == 0 && self.known.iter().any(|finding| finding.layer.name() == name) {
                KNOWN.clone_into(&mut layer.status);
            }
        }
        self
    }

    /// Adds what was found and is allowed.
    #[must_use]
    pub fn with_allowed(mut self, allowed: Vec<Allowed>) -> Self {
        self.allowed.extend(allowed);
        self
    }

    /// The grade with everything that was found, whether a baseline lists it or not: what a picture shows for long.
    #[must_use]
    pub fn grade_with_known(&self) -> &str {
        if self.grade == NOT_ASSESSED || self.known.is_empty() {
            return &self.grade;
        }
        let all: Vec<Finding> = self.findings.iter().chain(&self.known).cloned().collect();
        let graded = Axis::ALL
            .into_iter()
            .filter(|axis| self.axes.get(axis.name()).is_some_and(|score| score.score.is_some()));
        grade(graded.map(|axis| score(&all, axis)).min().unwrap_or(100))
    }

    /// Adds notes for the reader.
    #[must_use]
    pub fn with_notes(mut self, notes: Vec<String>) -> Self {
        self.notes.extend(notes);
        self
    }
}

fn score(findings: &[Finding], axis: Axis) -> u32 {
    let lost = Severity::ALL.into_iter().fold(0_u32, |lost, severity| {
        let count =
            findings.iter().filter(|f| f.axis == axis && f.severity == severity).take(COUNTED).count();
        lost.saturating_add(severity.points().saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)))
    });
    100_u32.saturating_sub(lost)
}

fn grade(score: u32) -> &'static str {
    GRADES.into_iter().find(|(least, _)| score >= *least).map_or("F", |(_, grade)| grade)
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
        assert_eq!(one.axes["security"].score, Some(67));
        assert_eq!(one.axes["permissions"].score, Some(100));
    }

    #[test]
    fn an_axis_that_nothing_looked_at_has_no_grade_and_does_not_count() {
        let empty = Document::new("0", "t".to_owned(), &[], Vec::new(), Vec::new(), Stats::default());
        assert_eq!(empty.axes.len(), Axis::ALL.len());
        assert_eq!(empty.axes["documentation"], Score { score: None, grade: NOT_ASSESSED.to_owned() });
        assert_eq!(empty.grade, "A");
        let looked = empty.assessing(&[Axis::Maintenance, Axis::Security]);
        assert_eq!(looked.axes["maintenance"].score, Some(100));
        let mut slow = finding(Severity::Medium);
        slow.axis = Axis::Maintenance;
        let found = Document::new("0", "t".to_owned(), &[], vec![slow; 4], Vec::new(), Stats::default());
        assert_eq!(found.axes["maintenance"].score, Some(70), "three of a severity count");
        assert_eq!(found.grade, "C");
    }

    #[test]
    fn a_narrowed_run_has_no_grade_of_the_whole_and_none_of_what_no_rule_looked_at() {
        let empty =
            Document::new("0", "t".to_owned(), &[Layer::Data], Vec::new(), Vec::new(), Stats::default());
        let narrowed = empty.narrowed(&[Axis::Security], &[Layer::Data]);
        assert_eq!((narrowed.grade.as_str(), narrowed.is_of_nothing()), (NOT_ASSESSED, false));
        assert_eq!(narrowed.axes["security"].score, Some(100));
        assert_eq!(narrowed.axes["credentials"].score, None);
        assert_eq!(narrowed.layers["data"].status, PARTLY);
        assert!(narrowed.of_nothing().is_of_nothing());
    }

    #[test]
    fn known_findings_do_not_count_and_are_not_forgotten() {
        let (high, low) = (finding(Severity::High), finding(Severity::Low));
        let all = vec![high.clone(), low.clone()];
        let document = Document::new("0", "t".to_owned(), &[Layer::Data], all, Vec::new(), Stats::default());
        let left = document.clone().with_known(vec![low.clone()], vec![high.clone()]);
        assert_eq!((left.grade.as_str(), left.grade_with_known()), ("A", document.grade.as_str()));
        assert_eq!(left.layers["data"].findings, 1);
        let left = document.with_known(Vec::new(), vec![high, low]);
        assert_eq!(left.layers["data"].status, KNOWN);
        assert_eq!(serde_json::to_value(&left).unwrap()["known"].as_array().unwrap().len(), 2);
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
