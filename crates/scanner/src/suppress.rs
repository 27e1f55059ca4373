//! Findings that the source itself allows: `// partywall: allow RULE -- reason`, with `#` or `--` in other languages.
//!
//! A reason is required: whoever reads the line later, an auditor among them, has to learn why it is safe. A line that
//! allows nothing any more is a finding, so that it does not hide the next one.

use partywall_model::{Axis, Check, Confidence, Face, Finding, Layer, Maps, Page, Severity};

/// The rule that speaks of suppressions.
pub const RULE: &str = "unused-suppression";

/// Its page.
pub const PAGE: Page = Page {
    check: Check {
        id: RULE,
        layer: Layer::Disclosure,
        summary: "A comment allows a finding that is not there, has no reason, or names no rule.",
    },
    face: Face::Scan,
    severity: Severity::Low,
    markdown: include_str!("suppress.md"),
};

/// What the comment begins with, after the mark of a comment.
const WORD: &str = "partywall:";
/// The most of them in one file.
const MOST: usize = 10_000;

/// A comment that allows findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// The rules it names.
    pub rules: Vec<String>,
    /// Why; empty when it does not say.
    pub reason: String,
    /// The line of the comment, from 1.
    pub line: u32,
    /// The line that it is about: its own, or the next one with code.
    pub target: u32,
}

/// The suppressions of a text, in any language.
#[must_use]
pub fn find(text: &str) -> Vec<Suppression> {
    // Most files have none, and looking for a word is quick.
    if !text.contains(WORD) {
        return Vec::new();
    }
    let mut found: Vec<Suppression> = Vec::new();
    let mut waiting = 0;
    for (number, line) in (1_u32..).zip(text.lines()) {
        let code_before = match comment(line) {
            Some((before, rules, reason)) if found.len() < MOST => {
                found.push(Suppression { rules, reason, line: number, target: number });
                !before.trim().is_empty()
            }
            _ => !line.trim().is_empty() && !is_comment(line),
        };
        if code_before {
            for suppression in found.iter_mut().skip(waiting) {
                suppression.target = number;
            }
            waiting = found.len();
        }
    }
    found
}

/// The rules and the reason of a comment in this line, and what stands before it.
fn comment(line: &str) -> Option<(&str, Vec<String>, String)> {
    let (before, rest) = line.split_once(WORD)?;
    let before = before.trim_end();
    let code = ["//", "#", "--", "/*", "*", "<!--"].iter().find_map(|mark| before.strip_suffix(mark))?;
    let rest = rest.trim_start().strip_prefix("allow")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    let (rules, reason) = rest.split_once(" --").unwrap_or((rest, ""));
    let clean = |text: &str| text.trim().trim_end_matches("*/").trim_end_matches("-->").trim().to_owned();
    let rules = clean(rules)
        .split([',', ' '])
        .map(|rule| rule.trim().to_owned())
        .filter(|rule| !rule.is_empty())
        .collect();
    Some((code, rules, clean(reason)))
}

fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    ["//", "#", "--", "/*", "* ", "*/", "<!--"].iter().any(|mark| line.starts_with(mark))
}

/// What is left of the findings of a file.
#[derive(Debug, Default)]
pub struct Applied {
    /// Findings that nothing allows, with those about the suppressions themselves.
    pub findings: Vec<Finding>,
    /// How many were allowed.
    pub allowed: usize,
}

/// Takes out the findings that the suppressions of their file allow. `ran` says whether a rule looked at the file in this
/// run, and `known` whether there is such a rule.
pub fn apply(
    path: &str,
    suppressions: &[Suppression],
    findings: Vec<Finding>,
    ran: &dyn Fn(&str) -> bool,
    known: &dyn Fn(&str) -> bool,
) -> Applied {
    let mut applied = Applied::default();
    let mut used = vec![false; suppressions.len()];
    for finding in findings {
        let mut allowed = false;
        for (suppression, used) in suppressions.iter().zip(&mut used) {
            let about = suppression.rules.contains(&finding.rule)
                && (finding.line..=finding.end_line.max(finding.line)).contains(&suppression.target);
            if about && !suppression.reason.is_empty() {
                allowed = true;
                *used = true;
            }
        }
        if allowed {
            applied.allowed += 1;
        } else {
            applied.findings.push(finding);
        }
    }
    for (suppression, used) in suppressions.iter().zip(used) {
        let unknown = suppression.rules.iter().find(|rule| !known(rule));
        let message = if suppression.rules.is_empty() {
            "a suppression names no rule".to_owned()
        } else if let Some(unknown) = unknown {
            format!("a suppression names `{unknown}`, and there is no such rule")
        } else if suppression.reason.is_empty() {
            format!(
                "a suppression of `{}` gives no reason, so it allows nothing",
                suppression.rules.join("`, `")
            )
        } else if !used && suppression.rules.iter().all(|rule| ran(rule)) {
            format!("a suppression of `{}` allows nothing that is found", suppression.rules.join("`, `"))
        } else {
            continue;
        };
        applied.findings.push(unused(path, suppression, message));
    }
    applied
}

fn unused(path: &str, suppression: &Suppression, message: String) -> Finding {
    Finding {
        rule: RULE.to_owned(),
        layer: Layer::Disclosure,
        axis: Axis::Maintenance,
        severity: Severity::Low,
        confidence: Confidence::High,
        path: path.to_owned(),
        line: suppression.line,
        column: 1,
        end_line: suppression.line,
        message,
        why: "A comment that allows nothing today hides the next finding at this place.".to_owned(),
        fix: "Remove it, or write `partywall: allow RULE -- why this is safe`.".to_owned(),
        related: Vec::new(),
        fingerprint: String::new(),
        maps: Maps { cwe: Vec::new(), soc2: vec!["CC8.1".to_owned()], owasp: Vec::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(rule: &str, line: u32) -> Finding {
        let suppression = Suppression { rules: Vec::new(), reason: String::new(), line, target: line };
        Finding { rule: rule.to_owned(), ..unused("a.ts", &suppression, String::new()) }
    }

    fn run(text: &str, findings: Vec<Finding>) -> (Vec<String>, usize) {
        let applied =
            apply("a.ts", &find(text), findings, &|rule| rule != "not-run", &|rule| rule != "no-rule");
        (
            applied
                .findings
                .into_iter()
                .map(|finding| format!("{}:{}", finding.rule, finding.line))
                .collect(),
            applied.allowed,
        )
    }

    #[test]
    fn a_comment_allows_its_own_line_or_the_next_one_with_code() {
        for text in [
            "f() // partywall: allow r -- it is safe",
            "// partywall: allow r -- it is safe\n\n  // more\nf()",
            "# partywall: allow r, q -- it is safe\nf()",
            "-- partywall: allow r -- it is safe\nf",
            "/* partywall: allow r -- it is safe */\nf()",
        ] {
            let line = u32::try_from(text.lines().count()).unwrap();
            assert_eq!(run(text, vec![finding("r", line)]), (Vec::new(), 1), "{text}");
        }
    }

    #[test]
    fn it_allows_nothing_else() {
        let text = "// partywall: allow r -- safe\nf()\ng()";
        assert_eq!(
            run(text, vec![finding("r", 2), finding("q", 2), finding("r", 3)]),
            (vec!["q:2".to_owned(), "r:3".to_owned()], 1)
        );
    }

    #[test]
    fn without_a_reason_it_allows_nothing() {
        for text in ["f() // partywall: allow r", "f() // partywall: allow r --  "] {
            assert_eq!(
                run(text, vec![finding("r", 1)]),
                (vec!["r:1".to_owned(), "unused-suppression:1".to_owned()], 0)
            );
        }
    }

    #[test]
    fn one_that_is_not_needed_is_told_if_its_rule_ran() {
        assert_eq!(run("f() // partywall: allow r -- safe", Vec::new()).0, ["unused-suppression:1"]);
        assert_eq!(run("f() // partywall: allow not-run -- safe", Vec::new()).0, Vec::<String>::new());
        assert_eq!(run("f() // partywall: allow no-rule -- safe", Vec::new()).0, ["unused-suppression:1"]);
        assert_eq!(run("f() // partywall: allow -- safe", Vec::new()).0, ["unused-suppression:1"]);
    }

    #[test]
    fn words_that_are_no_comment_allow_nothing() {
        for text in ["say(\"partywall: allow r -- x\")", "// partywall: allowed", "// partywall is allow"] {
            assert_eq!(find(text), Vec::new(), "{text}");
        }
    }
}
