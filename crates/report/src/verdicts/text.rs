//! Text for people at a terminal: what leaked with its transcript, then one line a layer, then what was not tried.

use partywall_model::{Evidence, Layer, Outcome, Verdict};

use super::VerdictReport;
use crate::inline::{one_line, plain};

/// The most lines of one transcript.
const LINES: usize = 24;
/// The most characters of one line.
const WIDTH: usize = 400;

/// The verdicts as text.
pub(super) fn render(report: &VerdictReport<'_>) -> String {
    let verdicts = report.verdicts;
    let mut text = String::new();
    for verdict in verdicts.verdicts.iter().filter(|verdict| verdict.verdict == Outcome::Leaked) {
        text.push_str(&leak(report, verdict));
    }
    for layer in Layer::ALL {
        text.push_str(&row(report, layer));
    }
    let summary = verdicts.summary;
    text.push_str(&format!(
        "\n{}: {} leaked, {} isolated, {} inconclusive, {} not run ({} requests, {:.1} s, {})\n",
        plain(&verdicts.target),
        summary.leaked,
        summary.isolated,
        summary.inconclusive,
        summary.not_run,
        verdicts.stats.requests,
        verdicts.stats.seconds,
        verdicts.protocols.join(" and "),
    ));
    for note in &verdicts.notes {
        text.push_str(&format!("note: {}\n", one_line(note)));
    }
    text
}

fn painted(report: &VerdictReport<'_>, outcome: Outcome, word: &str) -> String {
    if !report.style.colour {
        return word.to_owned();
    }
    let colour = match outcome {
        Outcome::Leaked => "1;31",
        Outcome::Isolated => "32",
        Outcome::Inconclusive => "33",
        Outcome::NotRun => "2",
    };
    format!("\u{1b}[{colour}m{word}\u{1b}[0m")
}

fn leak(report: &VerdictReport<'_>, verdict: &Verdict) -> String {
    let mut text = format!(
        "{} [{} {}] {}\n  {} layer, {} severity: {}\n",
        painted(report, Outcome::Leaked, "leaked"),
        verdict.probe,
        verdict.technique,
        one_line(&verdict.name),
        verdict.layer,
        verdict.severity.name(),
        one_line(&verdict.reason),
    );
    for evidence in &verdict.evidence {
        text.push_str(&transcript(evidence));
    }
    text.push_str(&format!("  replay: {}\n", one_line(&verdict.replay)));
    text.push_str(&format!("  `partywall explain {}` says how to mend it\n\n", verdict.probe));
    text
}

fn transcript(evidence: &Evidence) -> String {
    let mut text = format!("  {}\n", one_line(&evidence.why));
    for (sign, part) in [('>', &evidence.request), ('<', &evidence.response)] {
        for line in plain(part).lines().take(LINES) {
            let cut: String = line.chars().take(WIDTH).collect();
            let more = if line.chars().count() > WIDTH { " …" } else { "" };
            text.push_str(&format!("  {sign} {cut}{more}\n"));
        }
    }
    text
}

fn row(report: &VerdictReport<'_>, layer: Layer) -> String {
    let of: Vec<&Verdict> =
        report.verdicts.verdicts.iter().filter(|verdict| verdict.layer == layer).collect();
    if of.is_empty() {
        return format!("{:<12} {}\n", layer.name(), painted(report, Outcome::NotRun, "not attacked"));
    }
    let mut counts = Vec::new();
    for outcome in Outcome::ALL {
        let count = of.iter().filter(|verdict| verdict.verdict == outcome).count();
        if count > 0 {
            counts.push(painted(report, outcome, &format!("{count} {}", outcome.name())));
        }
    }
    let mut text = format!("{:<12} {}\n", layer.name(), counts.join(", "));
    let told =
        |outcome| outcome == Outcome::Inconclusive || (report.style.verbose && outcome != Outcome::Leaked);
    for verdict in of.iter().filter(|verdict| told(verdict.verdict)) {
        text.push_str(&format!(
            "  {} {} ({}): {}\n",
            painted(report, verdict.verdict, verdict.verdict.name()),
            verdict.technique,
            one_line(&verdict.name),
            one_line(&verdict.reason)
        ));
    }
    text
}
