//! Text for people: what was found, where, the way that leads there, why it matters and what to change.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, renderer::DecorStyle};
use partywall_model::{Document, Finding, Related, Severity};

use crate::{
    Report, counted,
    excerpt::{self, Excerpt},
    inline::{one_line, plain},
};

/// How many of the skipped are named for one reason unless all are asked for.
const NAMED: usize = 3;

/// The document as text.
pub(crate) fn render(report: &Report<'_>) -> String {
    let renderer = if report.style.colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(report.style.width.max(40));
    let mut text = String::new();
    for finding in &report.document.findings {
        text.push_str(&renderer.render(&[group(finding, report)]));
        text.push_str("\n\n");
    }
    text.push_str(&summary(report));
    text
}

fn level(severity: Severity) -> Level<'static> {
    match severity {
        Severity::High => Level::ERROR,
        Severity::Medium => Level::WARNING,
        Severity::Low => Level::INFO,
    }
    .with_name(severity.name())
}

fn group<'a>(finding: &'a Finding, report: &Report<'a>) -> Group<'a> {
    let title = level(finding.severity).primary_title(one_line(&finding.message)).id(one_line(&finding.rule));
    let mut group = match excerpt_of(report, &finding.path, finding.line, finding.column, finding.end_line) {
        Some(excerpt) => title.element(snippet(&finding.path, &excerpt, AnnotationKind::Primary, None)),
        None => title.element(origin(&finding.path, finding.line)),
    };
    for (number, step) in (1_usize..).zip(&finding.related) {
        let label = format!("{number}. {}", one_line(&step.message));
        group = with_step(group, step, label, report);
    }
    if !finding.why.is_empty() {
        group = group.element(Level::NOTE.with_name("why").message(plain(&finding.why)));
    }
    if !finding.fix.is_empty() {
        group = group.element(Level::HELP.with_name("fix").message(plain(&finding.fix)));
    }
    let about = format!("{} layer, {} confidence", finding.layer, finding.confidence.name());
    let explain = format!("{about}; `partywall explain {}` says more", one_line(&finding.rule));
    group.element(Level::NOTE.message(explain))
}

fn with_step<'a>(group: Group<'a>, step: &'a Related, label: String, report: &Report<'a>) -> Group<'a> {
    match excerpt_of(report, &step.path, step.line, 1, step.line) {
        Some(excerpt) => group.element(snippet(&step.path, &excerpt, AnnotationKind::Context, Some(label))),
        None => {
            group.element(origin(&step.path, step.line)).element(Level::NOTE.with_name("step").message(label))
        }
    }
}

fn excerpt_of(report: &Report<'_>, path: &str, line: u32, column: u32, end_line: u32) -> Option<Excerpt> {
    excerpt::of(report.sources.text(path)?, line, column, end_line, 0)
}

fn snippet<'a>(
    path: &str,
    excerpt: &Excerpt,
    kind: AnnotationKind,
    label: Option<String>,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let mut annotation = kind.span(excerpt.span.clone());
    if let Some(label) = label {
        annotation = annotation.label(label);
    }
    Snippet::source(excerpt.text())
        .line_start(usize::try_from(excerpt.first()).unwrap_or(1))
        .path(one_line(path))
        .annotation(annotation)
}

fn origin<'a>(path: &str, line: u32) -> Origin<'a> {
    let origin = Origin::path(one_line(path));
    // What is in a database has no line.
    if path.contains("://") { origin } else { origin.line(usize::try_from(line).unwrap_or(1)) }
}

/// What was looked at and what was not, and last what was found by severity, with the grades.
fn summary(report: &Report<'_>) -> String {
    let document = report.document;
    let mut lines = Vec::new();
    let stats = &document.stats;
    if stats.files > 0 {
        lines.push(format!(
            "read {} ({} lines) in {:.2} s",
            counted(usize::try_from(stats.files).unwrap_or(usize::MAX), "file"),
            stats.lines,
            stats.seconds
        ));
    } else if stats.relations > 0 {
        lines.push(format!("read {} relations in {:.2} s", stats.relations, stats.seconds));
    }
    lines.extend(skipped(document, report.style.verbose));
    if report.style.verbose {
        lines.extend(aside(document));
    }
    lines.extend(document.notes.iter().map(|note| format!("note: {}", one_line(note))));
    lines.extend(Some(found(document)).filter(|found| !found.is_empty()));
    if let Some(why) = crate::not_assessed(document) {
        lines.push(format!("{why}: not assessed"));
    }
    lines.extend((!document.is_of_nothing()).then(|| grades(document)));
    lines.join("\n") + "\n"
}

/// The findings that do not count.
fn aside(document: &Document) -> impl Iterator<Item = String> {
    let one = |finding: &Finding, what: String| {
        let (path, rule) = (one_line(&finding.path), one_line(&finding.rule));
        format!("{what} {path}:{}: {rule} ({})", finding.line, finding.severity.name())
    };
    let known = document.known.iter().map(move |finding| one(finding, "known".to_owned()));
    let allowed = document.allowed.iter();
    known.chain(
        allowed.map(move |allowed| {
            one(&allowed.finding, "allowed".to_owned()) + ": " + &one_line(&allowed.reason)
        }),
    )
}

fn found(document: &Document) -> String {
    if document.findings.is_empty() {
        return if document.is_of_nothing() { String::new() } else { "nothing found".to_owned() };
    }
    let parts: Vec<String> = Severity::ALL
        .into_iter()
        .filter_map(|severity| {
            let count = document.findings.iter().filter(|finding| finding.severity == severity).count();
            (count > 0).then(|| format!("{count} {}", severity.name()))
        })
        .collect();
    format!("{}: {}", counted(document.findings.len(), "finding"), parts.join(", "))
}

fn grades(document: &Document) -> String {
    let axes: Vec<String> = partywall_model::Axis::ALL
        .into_iter()
        .filter_map(|axis| document.axes.get(axis.name()).map(|score| (axis, score)))
        .map(|(axis, score)| format!("{} {}", axis.name(), score.grade))
        .collect();
    format!("grade {} ({})", document.grade, axes.join(", "))
}

fn skipped(document: &Document, verbose: bool) -> Vec<String> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for skipped in &document.skipped {
        match reasons.iter_mut().find(|(reason, _)| *reason == skipped.reason) {
            Some((_, paths)) => paths.push(&skipped.path),
            None => reasons.push((&skipped.reason, vec![&skipped.path])),
        }
    }
    let mut lines = Vec::new();
    for (reason, paths) in reasons {
        let reason = one_line(reason);
        if verbose || paths.len() <= NAMED {
            lines.extend(paths.iter().map(|path| format!("skipped {}: {reason}", one_line(path))));
        } else {
            lines.push(format!("skipped {}: {reason} (-v names them)", paths.len()));
        }
    }
    lines
}
