//! Findings that were there before: a list in a file, so that only new ones count.
//!
//! Findings are known by fingerprints, which stay the same when lines move. One that is worse than its entry is new: how bad a finding
//! is depends on other files too.

mod place;

use std::collections::BTreeMap;

use partywall_model::{Finding, Severity, fingerprint};
use serde::{Deserialize, Serialize};

/// The version of the file.
const SCHEMA: u32 = 1;
/// The kind of fingerprints that are written. Files that name none have those of the first kind, which hash the first line of a place.
const KIND: &str = "partywall/v2";

/// A list of known findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The version of this format: 1.
    schema: u32,
    /// The kind of fingerprints; the first where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprints: Option<String>,
    /// The findings.
    findings: Vec<Known>,
}

/// A known finding. Only the fingerprint and the severity count; the rest is for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    path: String,
    rule: String,
    message: String,
    /// How bad it was; nothing in older files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    severity: Option<Severity>,
    fingerprint: String,
}

/// What a baseline makes of findings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Those that it does not list.
    pub new: Vec<Finding>,
    /// Those that it lists.
    pub known: Vec<Finding>,
    /// How many of its entries are no longer found.
    pub gone: usize,
    /// What a reader has to know: which findings have become worse.
    pub notes: Vec<String>,
}

/// A baseline that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// It is no JSON of the right form.
    #[error("is no baseline ({0}); write it anew with --write-baseline")]
    Form(String),
    /// It was written by another version.
    #[error(
        "has the version {0}, and this version of Partywall reads version 1; write it anew with --write-baseline"
    )]
    Version(u32),
    /// Its fingerprints were made by another version.
    #[error(
        "has fingerprints of the kind {0:?}, which this version of Partywall does not know; write it anew with --write-baseline"
    )]
    Kind(String),
}

impl Baseline {
    /// The list of these findings.
    #[must_use]
    pub fn of(findings: &[Finding]) -> Self {
        let mut known: Vec<Known> = findings
            .iter()
            .map(|finding| Known {
                path: finding.path.clone(),
                rule: finding.rule.clone(),
                message: finding.message.clone(),
                severity: Some(finding.severity),
                fingerprint: finding.fingerprint.clone(),
            })
            .collect();
        known.sort();
        Self { schema: SCHEMA, fingerprints: Some(KIND.to_owned()), findings: known }
    }

    /// Reads a list.
    ///
    /// # Errors
    /// When the text is no baseline.
    pub fn read(text: &str) -> Result<Self, BaselineError> {
        let baseline: Self =
            serde_json::from_str(text).map_err(|error| BaselineError::Form(error.to_string()))?;
        if baseline.schema != SCHEMA {
            return Err(BaselineError::Version(baseline.schema));
        }
        if let Some(kind) = baseline.fingerprints.as_deref().filter(|kind| *kind != KIND) {
            return Err(BaselineError::Kind(kind.to_owned()));
        }
        Ok(baseline)
    }

    /// The list as text.
    ///
    /// # Errors
    /// When it cannot be written as JSON, which no list of ours is.
    pub fn write(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Takes the known findings out. `earlier` has the fingerprints of the first kind, which older files hold. Rules that were not
    /// `asked` found nothing, which says nothing of the list.
    #[must_use]
    pub fn apply(
        &self,
        findings: Vec<Finding>,
        earlier: &BTreeMap<String, String>,
        asked: &dyn Fn(&str) -> bool,
    ) -> Applied {
        let mut left: BTreeMap<&str, Vec<&Known>> = BTreeMap::new();
        for known in &self.findings {
            left.entry(known.fingerprint.as_str()).or_default().push(known);
        }
        let mut applied = Applied::default();
        for finding in findings {
            let own = &finding.fingerprint;
            let key = if self.fingerprints.is_none() { earlier.get(own).unwrap_or(own) } else { own };
            let entry = left.get_mut(key.as_str()).and_then(Vec::pop);
            match entry.map(|entry| entry.severity) {
                None => applied.new.push(finding),
                Some(Some(was)) if was < finding.severity => {
                    applied.notes.push(format!(
                        "`{}` in {}:{} is {}, and was {} when the baseline was written, so it counts",
                        finding.rule,
                        finding.path,
                        finding.line,
                        finding.severity.name(),
                        was.name()
                    ));
                    applied.new.push(finding);
                }
                Some(_) => applied.known.push(finding),
            }
        }
        applied.gone = left.values().flatten().filter(|known| asked(&known.rule)).count();
        applied
    }
}

/// Gives every finding its fingerprint: of its rule, its path, the text of its place without blanks and the names of what it stands in,
/// and a number where there is more than one such place. Findings have to come in a fixed order. Gives the fingerprints of the first
/// kind too, by these: of them only the place's first line is a part.
pub fn stamp<'a>(
    findings: &mut [Finding],
    text: &dyn Fn(&str) -> Option<&'a str>,
) -> BTreeMap<String, String> {
    let (mut seen, mut seen_first) = (BTreeMap::new(), BTreeMap::new());
    let mut earlier = BTreeMap::new();
    // Findings are sorted by their files, and a file is cut into lines once.
    let (mut of, mut lines) = (String::new(), Vec::new());
    for finding in findings {
        if of != finding.path {
            lines = text(&finding.path).unwrap_or_default().lines().collect();
            of.clone_from(&finding.path);
        }
        let line = usize::try_from(finding.line).unwrap_or(1).saturating_sub(1);
        let last = usize::try_from(finding.end_line).unwrap_or(1).saturating_sub(1).max(line);
        let first = place::text(&lines, line, line, 500);
        let first = numbered(&mut seen_first, fingerprint(&[&finding.rule, &finding.path, &first]));
        let whole = place::text(&lines, line, last, 4_000);
        let around = place::around(&lines, line);
        let key = fingerprint(&[&finding.rule, &finding.path, &around, &whole]);
        finding.fingerprint = numbered(&mut seen, key);
        earlier.insert(finding.fingerprint.clone(), first);
    }
    earlier
}

/// A fingerprint that no other finding has.
fn numbered(seen: &mut BTreeMap<String, u32>, key: String) -> String {
    let count = seen.entry(key.clone()).or_default();
    *count += 1;
    if *count == 1 { key } else { fingerprint(&[&key, &(*count - 1).to_string()]) }
}

#[cfg(test)]
mod tests {
    use partywall_model::{Axis, Confidence, Layer, Maps, Severity};

    use super::*;

    fn finding(line: u32) -> Finding {
        Finding {
            rule: "r".to_owned(),
            layer: Layer::Cache,
            axis: Axis::Security,
            severity: Severity::High,
            confidence: Confidence::High,
            path: "a.ts".to_owned(),
            line,
            column: 1,
            end_line: line,
            message: "m".to_owned(),
            why: String::new(),
            fix: String::new(),
            related: Vec::new(),
            fingerprint: String::new(),
            maps: Maps::default(),
        }
    }

    fn stamped(text: &str, lines: &[u32]) -> Vec<Finding> {
        let mut findings: Vec<Finding> = lines.iter().copied().map(finding).collect();
        stamp(&mut findings, &|_| Some(text));
        findings
    }

    fn apply(baseline: &Baseline, findings: Vec<Finding>) -> (usize, usize, usize) {
        let applied = baseline.apply(findings, &BTreeMap::new(), &|_| true);
        (applied.new.len(), applied.known.len(), applied.gone)
    }

    #[test]
    fn a_finding_is_known_again_when_its_line_moves_and_is_indented() {
        let before = stamped("a()\nb()\n", &[1, 2]);
        let baseline = Baseline::read(&Baseline::of(&before).write().unwrap()).unwrap();
        let after = stamped("// new\n  b( )\n\na()\n", &[2, 4]);
        assert_eq!(apply(&baseline, after), (0, 2, 0));
    }

    #[test]
    fn a_second_one_like_it_is_new_and_one_that_went_is_told() {
        let baseline = Baseline::of(&stamped("a()\nb()\n", &[1, 2]));
        assert_eq!(apply(&baseline, stamped("a()\na()\n", &[1, 2])), (1, 1, 1));
    }

    #[test]
    fn one_that_has_become_worse_is_new() {
        let mut before = stamped("a()\n", &[1]);
        before[0].severity = Severity::Low;
        let baseline = Baseline::of(&before);
        let applied = baseline.apply(stamped("a()\n", &[1]), &BTreeMap::new(), &|_| true);
        assert_eq!((applied.new.len(), applied.gone), (1, 0));
        assert!(applied.notes[0].contains("was low when the baseline was written"), "{:?}", applied.notes);
        let better = Baseline::of(&stamped("a()\n", &[1]));
        assert_eq!(apply(&better, before), (0, 1, 0));
    }

    /// Two tools whose first lines are the same, as a formatter leaves them.
    const TOOLS: &str = "server.registerTool(\n  \"read\",\n  {},\n  async ({ id }) => {\n    const { data } = await supabase\n      .from(\"notes\")\n      .select()\n  },\n)\nserver.registerTool(\n  \"drop\",\n  {},\n  async ({ id }) => {\n    const { data } = await supabase\n      .from(\"notes\")\n      .select()\n  },\n)\n";

    fn of_tool(line: u32, text: &str) -> Vec<Finding> {
        let mut findings = vec![Finding { end_line: line + 2, ..finding(line) }];
        stamp(&mut findings, &|_| Some(text));
        findings
    }

    #[test]
    fn another_tool_and_another_statement_are_not_the_known_one() {
        let baseline = Baseline::of(&of_tool(5, TOOLS));
        assert_eq!(apply(&baseline, of_tool(5, TOOLS)), (0, 1, 0));
        assert_eq!(apply(&baseline, of_tool(14, TOOLS)), (1, 0, 1), "the other tool");
        let deletes = TOOLS.replacen(".select()", ".delete()", 1);
        assert_eq!(apply(&baseline, of_tool(5, &deletes)), (1, 0, 1), "another statement");
    }

    #[test]
    fn a_file_of_the_first_kind_is_still_read() {
        let mut findings = of_tool(5, TOOLS);
        let earlier = stamp(&mut findings, &|_| Some(TOOLS));
        let first = fingerprint(&["r", "a.ts", "const{data}=awaitsupabase"]);
        let text = format!(
            r#"{{"schema":1,"findings":[{{"path":"a.ts","rule":"r","message":"m","fingerprint":"{first}"}}]}}"#
        );
        let applied = Baseline::read(&text).unwrap().apply(findings, &earlier, &|_| true);
        assert_eq!((applied.new.len(), applied.known.len(), applied.gone), (0, 1, 0));
    }

    #[test]
    fn what_was_not_asked_for_is_not_gone() {
        let baseline = Baseline::of(&stamped("a()\n", &[1]));
        let gone = |asked: &dyn Fn(&str) -> bool| baseline.apply(Vec::new(), &BTreeMap::new(), asked).gone;
        assert_eq!((gone(&|rule| rule != "r"), gone(&|rule| rule == "r")), (0, 1));
    }

    #[test]
    fn what_is_no_baseline_says_so() {
        let other = "{\"schema\":1,\"fingerprints\":\"x/v9\",\"findings\":[]}";
        for text in ["", "[]", "{\"schema\":1}", "{\"schema\":2,\"findings\":[]}", other] {
            let error = Baseline::read(text).unwrap_err().to_string();
            assert!(error.contains("--write-baseline"), "{error}");
        }
    }
}
