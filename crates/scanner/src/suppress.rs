//! Findings that the source itself allows: `// partywall: allow RULE -- reason`, with `#` or `--` in other languages.
//!
//! A reason is required: whoever reads the line later, an auditor among them, has to learn why it is safe. A line that
//! allows nothing any more is a finding, so that it does not hide the next one.

use std::collections::BTreeSet;

use partywall_model::{Allowed, Axis, Check, Confidence, Face, Finding, Layer, Maps, Page, Severity};

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
/// The same but for its first letter, which may be a large one.
const ANY_WORD: &str = "artywall:";
/// What other tools call it. Whoever writes this means to allow something, and is told that it does not.
const OTHERS: [&str; 7] = ["ignore", "disable", "suppress", "skip", "noqa", "nolint", "nosec"];
/// The most lines of one statement that a comment before it is about.
const LONGEST: usize = 40;
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
    /// The last line of the statement that begins there.
    pub last: u32,
    /// What it says instead of `allow`, if it does.
    pub instead: Option<String>,
}

/// The suppressions of a text, in any language.
#[must_use]
pub fn find(text: &str) -> Vec<Suppression> {
    // Most files have none, and looking for a word is quick.
    if !text.contains(ANY_WORD) {
        return Vec::new();
    }
    let mut found: Vec<Suppression> = Vec::new();
    let mut waiting = 0;
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let number = u32::try_from(at).unwrap_or(u32::MAX).saturating_add(1);
        let code_before = match comment(line) {
            Some((before, mut suppression)) if found.len() < MOST => {
                suppression.line = number;
                found.push(suppression);
                !before.trim().is_empty()
            }
            _ => !line.trim().is_empty() && !is_comment(line),
        };
        if code_before && waiting < found.len() {
            let more = u32::try_from(statement(lines.get(at..).unwrap_or_default())).unwrap_or(0);
            for suppression in found.iter_mut().skip(waiting) {
                suppression.target = number;
                suppression.last = number.saturating_add(more);
            }
            waiting = found.len();
        }
    }
    for suppression in found.iter_mut().skip(waiting) {
        (suppression.target, suppression.last) = (suppression.line, suppression.line);
    }
    found
}

/// How many lines after the first one belong to its statement: those that stand in its open brackets. The body of a function that
/// begins in it does not.
fn statement(lines: &[&str]) -> usize {
    let (mut depth, mut quote) = (0_i32, None);
    for (at, line) in lines.iter().take(LONGEST).enumerate() {
        let mut before = '\0';
        for c in line.chars() {
            match (quote, c) {
                (Some(open), _) if c == open && before != '\\' => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'' | '`') => quote = Some(c),
                (None, '(' | '[' | '{') => depth += 1,
                (None, ')' | ']' | '}') => depth -= 1,
                _ => {}
            }
            before = c;
        }
        // Only such texts go on in the next line.
        quote = quote.filter(|open| *open == '`');
        if depth <= 0 || begins_block(line) {
            return at;
        }
    }
    0
}

/// Whether the last bracket of a line opens a body, and no list of fields.
fn begins_block(line: &str) -> bool {
    let line = line.split("//").next().unwrap_or(line).trim_end();
    line.strip_suffix('{').is_some_and(|before| {
        let before = before.trim_end();
        !before.is_empty()
            && (before.ends_with("=>") || !before.ends_with(['(', ',', '[', '=', ':', '?', '&', '|', '{']))
    })
}

/// What stands before a suppression in its line, and the suppression without its place.
fn comment(line: &str) -> Option<(&str, Suppression)> {
    let at = line.find(ANY_WORD)?.checked_sub(1)?;
    let (before, rest) = (line.get(..at)?, line.get(at..)?);
    let (word, rest) = rest.split_at_checked(WORD.len())?;
    if !word.eq_ignore_ascii_case(WORD) {
        return None;
    }
    let before = before.trim_end();
    let code = ["//", "#", "--", "/*", "*", "<!--"].iter().find_map(|mark| before.strip_suffix(mark))?;
    let rest = rest.trim_start();
    let (verb, rest) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let nothing =
        Suppression { rules: Vec::new(), reason: String::new(), line: 0, target: 0, last: 0, instead: None };
    if OTHERS.iter().any(|other| verb.to_lowercase().starts_with(other)) {
        return Some((code, Suppression { instead: Some(verb.to_owned()), ..nothing }));
    }
    // Nothing follows the word only where somebody has not finished.
    if !verb.eq_ignore_ascii_case("allow") || rest.is_empty() {
        return None;
    }
    // The text of the reason begins after its mark; without rules the mark comes first.
    let rest = format!(" {rest}");
    let (rules, reason) = rest.split_once(" --").unwrap_or((&rest, ""));
    let clean = |text: &str| text.trim().trim_end_matches("*/").trim_end_matches("-->").trim().to_owned();
    let rules = clean(rules)
        .split([',', ' '])
        .map(|rule| rule.trim().to_owned())
        .filter(|rule| !rule.is_empty())
        .collect();
    Some((code, Suppression { rules, reason: clean(reason), ..nothing }))
}

/// Whether a line is nothing but a comment, in the languages that are read.
fn is_comment(line: &str) -> bool {
    let line = line.trim_start();
    ["//", "#", "--", "/*", "* ", "*/", "<!--"].iter().any(|mark| line.starts_with(mark))
}

/// What is left of the findings of a file.
#[derive(Debug, Default)]
pub struct Applied {
    /// Findings that nothing allows, with those about the suppressions themselves.
    pub findings: Vec<Finding>,
    /// Those that are allowed, with the reasons.
    pub allowed: Vec<Allowed>,
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
    let found: Vec<(String, u32)> =
        findings.iter().map(|finding| (finding.rule.clone(), finding.line)).collect();
    let mut used = vec![BTreeSet::new(); suppressions.len()];
    for finding in findings {
        let mut allowed = None;
        for (suppression, used) in suppressions.iter().zip(&mut used) {
            let about = suppression.rules.contains(&finding.rule)
                && finding.line <= suppression.last
                && suppression.target <= finding.end_line.max(finding.line);
            if about && !suppression.reason.is_empty() {
                allowed = Some(suppression.reason.clone());
                used.insert(finding.rule.clone());
            }
        }
        match allowed {
            Some(reason) => applied.allowed.push(Allowed { finding, reason }),
            None => applied.findings.push(finding),
        }
    }
    for (suppression, used) in suppressions.iter().zip(used) {
        let message = wrong(suppression, known).or_else(|| {
            let idle: Vec<&str> = suppression.rules.iter().map(String::as_str).collect();
            let idle: Vec<&str> =
                idle.into_iter().filter(|rule| !used.contains(*rule) && ran(rule)).collect();
            let all = idle.len() == suppression.rules.len() || !used.is_empty();
            (all && !idle.is_empty()).then(|| allows_nothing(suppression, &idle, &found))
        });
        applied.findings.extend(message.map(|message| unused(path, suppression, message)));
    }
    applied
}

/// What is wrong with a suppression itself, if anything is.
fn wrong(suppression: &Suppression, known: &dyn Fn(&str) -> bool) -> Option<String> {
    let rules = suppression.rules.join("`, `");
    if let Some(instead) = &suppression.instead {
        return Some(format!("`partywall: {instead}` allows nothing; the word is `allow`"));
    }
    if suppression.rules.is_empty() {
        return Some("a suppression names no rule".to_owned());
    }
    if let Some(unknown) = suppression.rules.iter().find(|rule| !known(rule)) {
        let hint = if suppression.reason.is_empty() { "; a reason follows ` -- `" } else { "" };
        return Some(format!("a suppression names `{unknown}`, and there is no such rule{hint}"));
    }
    suppression.reason.is_empty().then(|| {
        format!("a suppression of `{rules}` gives no reason, so it allows nothing; write it after ` -- `")
    })
}

/// That nothing is found which it allows, and where it might have been meant for.
fn allows_nothing(suppression: &Suppression, idle: &[&str], found: &[(String, u32)]) -> String {
    let near = found
        .iter()
        .filter(|(rule, line)| idle.contains(&rule.as_str()) && *line > suppression.last)
        .map(|(_, line)| *line)
        .min()
        .filter(|line| *line <= suppression.last.saturating_add(20));
    let hint = near.map_or_else(String::new, |line| {
        format!("; one is found in line {line}, and it would have to stand there")
    });
    format!("a suppression of `{}` allows nothing that is found{hint}", idle.join("`, `"))
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
        let suppression = Suppression {
            rules: Vec::new(),
            reason: String::new(),
            line,
            target: line,
            last: line,
            instead: None,
        };
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
            applied.allowed.len(),
        )
    }

    #[test]
    fn a_comment_allows_its_own_line_or_the_next_one_with_code() {
        for text in [
            "f() // partywall: allow r -- it is safe",
            "// partywall: allow r -- it is safe\n\n  // more\nf()",
            "# partywall: allow r -- it is safe\nf()",
            "-- partywall: allow r -- it is safe\nf",
            "/* partywall: allow r -- it is safe */\nf()",
        ] {
            let line = u32::try_from(text.lines().count()).unwrap();
            assert_eq!(run(text, vec![finding("r", line)]), (Vec::new(), 1), "{text}");
        }
    }

    #[test]
    fn it_is_about_the_whole_statement_and_not_about_a_body_that_begins_there() {
        let wrapped =
            "// partywall: allow r -- safe\nres.json(\n  await pool.query(\n    `SELECT (1`,\n  ),\n);\ng();";
        assert_eq!(run(wrapped, vec![finding("r", 3)]), (Vec::new(), 1));
        assert_eq!(run(wrapped, vec![finding("r", 4)]), (Vec::new(), 1));
        assert_eq!(run(wrapped, vec![finding("r", 7)]).1, 0);
        let fields = "// partywall: allow r -- safe\nawait db.doc.findMany({\n  where: {\n  },\n});";
        assert_eq!(run(fields, vec![finding("r", 3)]), (Vec::new(), 1));
        for body in
            ["app.get('/', async (req, res) => {\n", "if (a) {\n", "function f() {\n", "def f(\n    a):\n"]
        {
            let text = format!("// partywall: allow r -- safe\n{body}  g();\n  h();\n}}");
            let line = 2 + u32::try_from(body.lines().count()).unwrap();
            assert_eq!(run(&text, vec![finding("r", line)]).1, 0, "{body}");
        }
    }

    #[test]
    fn what_is_nearly_right_says_what_is_wrong() {
        let told = |text: &str, findings: Vec<Finding>| {
            let applied = apply("a.ts", &find(text), findings, &|_| true, &|rule| rule.len() == 1);
            applied.findings.into_iter().map(|finding| finding.message).collect::<Vec<_>>().join("; ")
        };
        assert!(told("// partywall: ignore r -- x\nf()", Vec::new()).contains("the word is `allow`"));
        assert!(
            told("// partywall: allow r \u{2014} because\nf()", Vec::new())
                .contains("a reason follows ` -- `")
        );
        assert!(told("// partywall: allow r: because\nf()", Vec::new()).contains("a reason follows ` -- `"));
        assert_eq!(told("// Partywall: Allow r -- safe\nf()", vec![finding("r", 2)]), "");
        let other = told("// partywall: allow r, q -- safe\nf()", vec![finding("r", 2)]);
        assert_eq!(other, "a suppression of `q` allows nothing that is found");
        let far = told("// partywall: allow r -- safe\nf()\n\ng()", vec![finding("r", 4)]);
        assert!(far.contains("found in line 4"), "{far}");
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
