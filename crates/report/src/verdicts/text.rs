//! Text for people at a terminal: what leaked with its transcript, then one line a layer, then what was not tried. What is
//! left out of a transcript here stands in the other forms, and here too when more is asked for.

use partywall_model::{Evidence, Layer, Outcome, Verdict};

use super::VerdictReport;
use crate::inline::{one_line, plain};

/// The most lines of one part of a transcript.
const LINES: usize = 24;
/// How many of them come before a foreign value that stands further down.
const BEFORE: usize = 6;
/// Narrower than this nothing is broken further.
const NARROWEST: usize = 40;
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
    let left: Vec<&str> =
        Layer::ALL.into_iter().filter(|layer| of(report, *layer).next().is_none()).map(Layer::name).collect();
    if !left.is_empty() {
        text.push_str(&painted(report, Outcome::NotRun, &format!("not attacked: {}", left.join(", "))));
        text.push('\n');
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
    wrapped(&text, report.style.width.max(NARROWEST))
}

/// The text with its lines broken between words where they are longer than the terminal. Transcripts and commands, which are
/// copied, stay as they are.
fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let body = line.trim_start();
        let copied = ["> ", "< ", "replay: "].iter().any(|sign| body.starts_with(sign));
        if copied || console::measure_text_width(line) <= width {
            out.push_str(line);
            out.push('\n');
            continue;
        }
        let indent = line.len() - body.len();
        let mut column = 0;
        for word in line.split_inclusive(' ') {
            let long = console::measure_text_width(word.trim_end());
            if column > indent && column + long > width {
                while out.ends_with(' ') {
                    out.pop();
                }
                out.push('\n');
                out.push_str(&" ".repeat(indent + 2));
                column = indent + 2;
            }
            out.push_str(word);
            column += console::measure_text_width(word);
        }
        out.push('\n');
    }
    out
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
    let reason = one_line(&verdict.reason);
    let mut told: Vec<&str> = Vec::new();
    for evidence in &verdict.evidence {
        // Several attempts often show the same; who reads this wants one of each.
        if report.style.verbose || !told.contains(&evidence.why.as_str()) {
            told.push(&evidence.why);
            text.push_str(&transcript(report, evidence, &reason));
        }
    }
    let more = verdict.evidence.len().saturating_sub(told.len());
    if more > 0 {
        text.push_str(&format!("  {more} more of the same kind: -v shows them\n"));
    }
    text.push_str(&format!("  replay: {}\n", one_line(&verdict.replay)));
    text.push_str(&format!("  `partywall explain {}` says how to mend it\n\n", verdict.probe));
    text
}

fn transcript(report: &VerdictReport<'_>, evidence: &Evidence, reason: &str) -> String {
    let why = one_line(&evidence.why);
    // The reason is the first attempt's, in most cases.
    let mut text = if reason.starts_with(&why) { String::new() } else { format!("  {why}\n") };
    let foreign = plain(&evidence.foreign);
    for (sign, part) in [('>', &evidence.request), ('<', &evidence.response)] {
        let part = plain(part);
        let lines: Vec<&str> = match sign {
            '<' if !report.style.verbose => telling(&part, &foreign),
            _ => part.lines().collect(),
        };
        let lines: Vec<String> = lines.into_iter().map(|line| cut(line, &foreign)).collect();
        for line in if report.style.verbose { lines } else { around(lines, &foreign) } {
            text.push_str(&format!("  {sign} {}\n", marked(report, &line, &foreign)));
        }
    }
    text
}

/// The lines of an answer without the headers that say nothing about the foreign value in it.
fn telling<'a>(answer: &'a str, foreign: &str) -> Vec<&'a str> {
    let mut lines = answer.lines();
    let mut kept: Vec<&str> = lines.next().into_iter().collect();
    let head = lines.by_ref().take_while(|line| !line.is_empty()).filter(|line| {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        foreign.is_empty() || line.contains(foreign) || name == "content-type" || name.starts_with("mcp-")
    });
    kept.extend(head);
    kept.push("");
    kept.extend(lines);
    while kept.last().is_some_and(|line| line.is_empty()) {
        kept.pop();
    }
    kept
}

/// A line of bearable length, cut around the foreign value.
fn cut(line: &str, foreign: &str) -> String {
    let total = line.chars().count();
    if total <= WIDTH {
        return line.to_owned();
    }
    let at = if foreign.is_empty() { None } else { line.split_once(foreign) };
    let before = at.map_or(0, |(head, _)| head.chars().count());
    let start = if before + foreign.chars().count() <= WIDTH { 0 } else { before.saturating_sub(WIDTH / 2) };
    let part: String = line.chars().skip(start).take(WIDTH).collect();
    let (head, tail) = (if start > 0 { "… " } else { "" }, if start + WIDTH < total { " …" } else { "" });
    format!("{head}{part}{tail}")
}

/// As many lines as are read, with the foreign value among them.
fn around(lines: Vec<String>, foreign: &str) -> Vec<String> {
    let total = lines.len();
    if total <= LINES {
        return lines;
    }
    let at = if foreign.is_empty() { None } else { lines.iter().position(|line| line.contains(foreign)) };
    let from = at.filter(|at| *at >= LINES).map_or(0, |at| at - BEFORE);
    let mut shown = Vec::new();
    if from > 0 {
        shown.push(format!("… {from} lines"));
    }
    shown.extend(lines.into_iter().skip(from).take(LINES));
    if from + LINES < total {
        shown.push(format!("… {} lines", total - from - LINES));
    }
    shown
}

/// A line with the foreign value marked, where there is colour.
fn marked(report: &VerdictReport<'_>, line: &str, foreign: &str) -> String {
    if report.style.colour && !foreign.is_empty() {
        line.replace(foreign, &format!("\u{1b}[7m{foreign}\u{1b}[0m"))
    } else {
        line.to_owned()
    }
}

fn of<'a>(report: &'a VerdictReport<'_>, layer: Layer) -> impl Iterator<Item = &'a Verdict> {
    report.verdicts.verdicts.iter().filter(move |verdict| verdict.layer == layer)
}

fn row(report: &VerdictReport<'_>, layer: Layer) -> String {
    let of: Vec<&Verdict> = of(report, layer).collect();
    if of.is_empty() {
        return String::new();
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
