//! Markdown for a comment on a change: the grades, then every finding with its code, short enough to be read there.

use partywall_model::{Axis, Finding, Severity};

use crate::{
    Report, counted, excerpt,
    inline::{fence, language, markdown, one_line, plain},
};

/// Code hosts refuse comments beyond some 65,000 characters; what does not fit is counted.
const LONGEST: usize = 60_000;

/// The document as Markdown.
pub(crate) fn render(report: &Report<'_>) -> String {
    let document = report.document;
    let mut text = format!("## Partywall: grade {}\n\n", document.grade);
    text.push_str("| axis | grade | score |\n|---|---|---|\n");
    for axis in Axis::ALL {
        if let Some(score) = document.axes.get(axis.name()) {
            let points = score.score.map_or_else(|| "–".to_owned(), |score| score.to_string());
            text.push_str(&format!("| {} | {} | {points} |\n", axis.name(), score.grade));
        }
    }
    text.push('\n');
    if let Some(why) = crate::not_assessed(document) {
        text.push_str(&format!("Not assessed: {why}.\n\n"));
    }
    // That nothing was found is no news of what nobody looked at.
    if document.findings.is_empty() && !document.is_of_nothing() {
        text.push_str("Nothing found.\n");
    }
    let mut left = 0;
    for finding in &document.findings {
        let shown = one(finding, report);
        if text.len() + shown.len() > LONGEST {
            left += 1;
        } else {
            text.push_str(&shown);
        }
    }
    if left > 0 {
        text.push_str(&format!("\n{} more did not fit here.\n", counted(left, "finding")));
    }
    for note in &document.notes {
        text.push_str(&format!("\n> {}\n", markdown(note)));
    }
    text
}

fn one(finding: &Finding, report: &Report<'_>) -> String {
    let mark = match finding.severity {
        Severity::High => "🔴",
        Severity::Medium => "🟠",
        Severity::Low => "🔵",
    };
    let mut text = format!(
        "### {mark} {}\n\n{}, `{}`, {} confidence · {}\n\n",
        markdown(&finding.message),
        finding.severity.name(),
        one_line(&finding.rule).replace('`', ""),
        finding.confidence.name(),
        place(&finding.path, finding.line),
    );
    if let Some(excerpt) = report
        .sources
        .text(&finding.path)
        .and_then(|source| excerpt::of(source, finding.line, finding.column, finding.end_line, 1))
    {
        text.push_str(&fence(&excerpt.text(), language(&finding.path)));
        text.push('\n');
    }
    for (number, step) in (1_usize..).zip(&finding.related) {
        text.push_str(&format!("{number}. {}: {}\n", place(&step.path, step.line), markdown(&step.message)));
    }
    if !finding.related.is_empty() {
        text.push('\n');
    }
    text.push_str(&format!("**Why:** {}\n\n", markdown(&finding.why)));
    if finding.fix.contains('\n') {
        text.push_str(&format!("**Fix:**\n\n{}\n", fence(&plain(&finding.fix), language(&finding.path))));
    } else {
        text.push_str(&format!("**Fix:** {}\n\n", markdown(&finding.fix)));
    }
    text
}

/// A path with its line, as code.
fn place(path: &str, line: u32) -> String {
    let path = one_line(path).replace('`', "'");
    if path.contains("://") { format!("`{path}`") } else { format!("`{path}:{line}`") }
}
