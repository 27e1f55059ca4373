//! Markdown for a comment on a change: one row a layer, then what leaked.

use partywall_model::{Layer, Outcome};

use super::VerdictReport;
use crate::inline::{fence, markdown, one_line, plain};

/// Code hosts refuse comments beyond some 65,000 characters; what does not fit is counted.
const LONGEST: usize = 60_000;

/// The verdicts as Markdown.
pub(super) fn render(report: &VerdictReport<'_>) -> String {
    let verdicts = report.verdicts;
    let summary = verdicts.summary;
    let mut text = format!(
        "## Partywall: {} leaked, {} isolated, {} inconclusive, {} not run\n\n{}\n\n| layer | leaked | isolated | inconclusive | not run |\n|---|---|---|---|---|\n",
        summary.leaked,
        summary.isolated,
        summary.inconclusive,
        summary.not_run,
        markdown(&verdicts.target)
    );
    for layer in Layer::ALL {
        let count =
            |outcome| verdicts.verdicts.iter().filter(|v| v.layer == layer && v.verdict == outcome).count();
        text.push_str(&format!(
            "| {layer} | {} | {} | {} | {} |\n",
            count(Outcome::Leaked),
            count(Outcome::Isolated),
            count(Outcome::Inconclusive),
            count(Outcome::NotRun)
        ));
    }
    let mut left = 0;
    for verdict in verdicts.verdicts.iter().filter(|verdict| verdict.verdict == Outcome::Leaked) {
        let mut shown = format!(
            "\n### 🔴 {} ({}, {})\n\n{}\n",
            markdown(&verdict.name),
            verdict.probe,
            verdict.technique,
            markdown(&one_line(&verdict.reason))
        );
        for evidence in &verdict.evidence {
            let why = markdown(&one_line(&evidence.why));
            shown.push_str(&format!("\n**{}**: {why}\n", markdown(&one_line(&evidence.tenant))));
            let both = format!("{}\n\n{}", evidence.request, evidence.response);
            shown.push_str(&format!("\n{}\n", fence(&plain(&both), "http")));
        }
        shown.push_str(&format!("\n{}\n", fence(&plain(&verdict.replay), "sh")));
        if text.len() + shown.len() > LONGEST {
            left += 1;
        } else {
            text.push_str(&shown);
        }
    }
    if left > 0 {
        text.push_str(&format!("\n{left} more leaks did not fit here.\n"));
    }
    for note in &verdicts.notes {
        text.push_str(&format!("\n> {}\n", markdown(note)));
    }
    text
}
