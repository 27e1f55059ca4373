//! Findings that were there before: a list in a file, so that only new ones count.
//!
//! Findings are known by fingerprints, which stay the same when lines move.

use std::collections::BTreeMap;

use partywall_model::{Finding, fingerprint};
use serde::{Deserialize, Serialize};

/// The version of the file.
const SCHEMA: u32 = 1;

/// A list of known findings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The version of this format: 1.
    schema: u32,
    /// The findings.
    findings: Vec<Known>,
}

/// A known finding. Only the fingerprint counts; the rest is for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    path: String,
    rule: String,
    message: String,
    fingerprint: String,
}

/// A baseline that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// It is no JSON of the right form.
    #[error("is no baseline: {0}; write it anew with --write-baseline")]
    Form(#[from] serde_json::Error),
    /// It was written by another version.
    #[error(
        "has the version {0}, and this version of Partywall reads version 1; write it anew with --write-baseline"
    )]
    Version(u32),
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
                fingerprint: finding.fingerprint.clone(),
            })
            .collect();
        known.sort();
        Self { schema: SCHEMA, findings: known }
    }

    /// Reads a list.
    ///
    /// # Errors
    /// When the text is no baseline.
    pub fn read(text: &str) -> Result<Self, BaselineError> {
        let baseline: Self = serde_json::from_str(text)?;
        if baseline.schema != SCHEMA {
            return Err(BaselineError::Version(baseline.schema));
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

    /// Takes the known findings out; the number of those that were there, and of those that are no longer found. Rules that were not
    /// `asked` found nothing, which says nothing of the list.
    #[must_use]
    pub fn apply(
        &self,
        findings: Vec<Finding>,
        asked: &dyn Fn(&str) -> bool,
    ) -> (Vec<Finding>, usize, usize) {
        let mut left: BTreeMap<&str, usize> = BTreeMap::new();
        for known in &self.findings {
            *left.entry(known.fingerprint.as_str()).or_default() += 1;
        }
        let before = findings.len();
        let new: Vec<Finding> = findings
            .into_iter()
            .filter(|finding| match left.get_mut(finding.fingerprint.as_str()) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    false
                }
                _ => true,
            })
            .collect();
        let known = before - new.len();
        for known in self.findings.iter().filter(|known| !asked(&known.rule)) {
            if let Some(count) = left.get_mut(known.fingerprint.as_str()) {
                *count = count.saturating_sub(1);
            }
        }
        (new, known, left.values().sum())
    }
}

/// Gives every finding its fingerprint: of its rule, its path, the text of its line without blanks, and a number where the
/// same line stands more than once. Findings have to come in a fixed order.
pub fn stamp<'a>(findings: &mut [Finding], text: &dyn Fn(&str) -> Option<&'a str>) {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    // Findings are sorted by their files, and a file is cut into lines once.
    let (mut of, mut lines) = (String::new(), Vec::new());
    for finding in findings {
        if of != finding.path {
            lines = text(&finding.path).unwrap_or_default().lines().collect();
            of.clone_from(&finding.path);
        }
        let line = usize::try_from(finding.line).unwrap_or(1).saturating_sub(1);
        let line: String = lines
            .get(line)
            .copied()
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_whitespace())
            .take(500)
            .collect();
        let key = fingerprint(&[&finding.rule, &finding.path, &line]);
        let count = seen.entry(key.clone()).or_default();
        finding.fingerprint = if *count == 0 { key } else { fingerprint(&[&key, &count.to_string()]) };
        *count += 1;
    }
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

    #[test]
    fn a_finding_is_known_again_when_its_line_moves_and_is_indented() {
        let before = stamped("a()\nb()\n", &[1, 2]);
        let baseline = Baseline::read(&Baseline::of(&before).write().unwrap()).unwrap();
        let after = stamped("// new\n  b( )\n\na()\n", &[2, 4]);
        assert_eq!(baseline.apply(after, &|_| true), (Vec::new(), 2, 0));
    }

    #[test]
    fn a_second_one_like_it_is_new_and_one_that_went_is_told() {
        let baseline = Baseline::of(&stamped("a()\nb()\n", &[1, 2]));
        let (new, known, gone) = baseline.apply(stamped("a()\na()\n", &[1, 2]), &|_| true);
        assert_eq!((new.len(), known, gone), (1, 1, 1));
    }

    #[test]
    fn what_was_not_asked_for_is_not_gone() {
        let baseline = Baseline::of(&stamped("a()\n", &[1]));
        assert_eq!(baseline.apply(Vec::new(), &|rule| rule != "r"), (Vec::new(), 0, 0));
        assert_eq!(baseline.apply(Vec::new(), &|rule| rule == "r"), (Vec::new(), 0, 1));
    }

    #[test]
    fn what_is_no_baseline_says_so() {
        for text in ["", "[]", "{\"schema\":1}", "{\"schema\":2,\"findings\":[]}"] {
            let error = Baseline::read(text).unwrap_err().to_string();
            assert!(error.contains("--write-baseline"), "{error}");
        }
    }
}
