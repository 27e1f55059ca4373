//! The report card: one HTML page that needs no network, no script and no other file.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use partywall_model::{Allowed, Axis, Document, Finding, Layer, Severity};

use crate::{
    Report, badge, counted,
    excerpt::{self, Excerpt},
    inline::{html as prose, plain},
};

pub(crate) const CSS: &str = include_str!("html.css");
/// The browser loads nothing and runs nothing, whatever got into the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";
/// More findings than this are counted and not shown: nobody reads them, and browsers get slow.
const MOST: usize = 2_000;
/// More skipped files than this are counted and not listed.
const MOST_SKIPPED: usize = 500;

/// The document as a page.
pub(crate) fn render(report: &Report<'_>) -> String {
    let document = report.document;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { "Partywall: grade " (document.grade) " for " (plain(&document.target)) }
                style { (PreEscaped(CSS)) }
            }
            body {
                main {
                    (head(document))
                    (axes(document))
                    (layers(document))
                    (findings(report))
                    (limits(document))
                }
                footer {
                    "Made by " (document.tool.name) " " (document.tool.version) ". Findings are judged by "
                    "reading what is written; a page without findings is no proof that there are none."
                }
            }
        }
    };
    page.into_string() + "\n"
}

fn grade(word: &str, class: &str) -> Markup {
    html! { span class={ "grade " (class) } style={ "background:" (badge::colour(word)) } { (word) } }
}

fn head(document: &Document) -> Markup {
    let stats = &document.stats;
    let high = document.findings.iter().filter(|finding| finding.severity == Severity::High).count();
    html! {
        header {
            (grade(badge::short(&document.grade), "big"))
            div {
                h1 { "Tenant isolation report" }
                p class="target" { (plain(&document.target)) }
                @if let Some(why) = crate::not_assessed(document) { p { "Not assessed: " (why) "." } }
                p {
                    (counted(document.findings.len(), "finding")) ", " (high) " high"
                    @if stats.files > 0 { " · " (stats.files) " files, " (stats.lines) " lines" }
                    @if stats.relations > 0 { " · " (stats.relations) " relations" }
                    " · " (format!("{:.2}", stats.seconds)) " s"
                }
            }
        }
    }
}

fn axes(document: &Document) -> Markup {
    html! {
        section {
            h2 { "Axes" }
            p class="hint" { "The whole is as good as its worst axis. An axis that nothing was looked at for does not count." }
            div class="cards" {
                @for axis in Axis::ALL {
                    @if let Some(score) = document.axes.get(axis.name()) {
                        div class="card" {
                            h3 { (axis.name()) }
                            @if let Some(points) = score.score {
                                (grade(&score.grade, ""))
                                span class="points" { (points) " of 100" }
                                meter min="0" max="100" low="70" high="90" optimum="100" value=(points) {}
                            } @else {
                                p class="none" { (score.grade) }
                            }
                            p class="hint" { (axis.summary()) }
                        }
                    }
                }
            }
        }
    }
}

fn layers(document: &Document) -> Markup {
    html! {
        section {
            h2 { "Layers" }
            table {
                thead { tr { th { "layer" } th { "promise" } th { "findings" } } }
                tbody {
                    @for layer in Layer::ALL {
                        tr {
                            td { (layer.name()) }
                            td { (layer.promise()) }
                            @match document.layers.get(layer.name()) {
                                Some(status) if status.findings == 0 => {
                                    td class=(if status.status == "clean" { "clean" } else { "none" }) { (status.status) }
                                },
                                Some(status) => td class="found" { (status.findings) },
                                None => td class="none" { "not looked at" },
                            }
                        }
                    }
                }
            }
        }
    }
}

fn findings(report: &Report<'_>) -> Markup {
    let all = &report.document.findings;
    html! {
        section {
            h2 { "Findings" }
            @if all.is_empty() { p { "Nothing found." } }
            @for finding in all.iter().take(MOST) { (one(finding, report)) }
            (aside("known: the baseline lists them", &report.document.known, &[]))
            (aside("allowed by comments", &[], &report.document.allowed))
            @if all.len() > MOST { p { (counted(all.len() - MOST, "more finding")) ", the less severe ones, are in the JSON document only." } }
        }
    }
}

/// Findings that do not count: those that are known, or allowed with a reason.
fn aside(what: &str, known: &[Finding], allowed: &[Allowed]) -> Markup {
    let all = known.iter().map(|finding| (finding, ""));
    let all: Vec<(&Finding, &str)> =
        all.chain(allowed.iter().map(|one| (&one.finding, one.reason.as_str()))).collect();
    html! {
        @if !all.is_empty() {
            details {
                summary { (counted(all.len(), "finding")) " " (what) }
                ul {
                    @for (finding, reason) in all.iter().take(MOST) {
                        li {
                            (finding.severity.name()) " " code { (plain(&finding.rule)) } " "
                            (place(&finding.path, finding.line)) ": " (prose(&finding.message))
                            @if !reason.is_empty() { span class="hint" { " – " (plain(reason)) } }
                        }
                    }
                }
            }
        }
    }
}

fn one(finding: &Finding, report: &Report<'_>) -> Markup {
    let excerpt = |path: &str, line, column, end_line, around| {
        report.sources.text(path).and_then(|text| excerpt::of(text, line, column, end_line, around))
    };
    html! {
        article id=(finding.fingerprint) class=(finding.severity.name()) {
            h3 {
                span class="severity" { (finding.severity.name()) } " " (prose(&finding.message))
            }
            p class="hint" {
                code { (plain(&finding.rule)) } " · " (finding.layer.name()) " · " (finding.axis.name()) " · "
                (finding.confidence.name()) " confidence · " (place(&finding.path, finding.line))
            }
            @if let Some(excerpt) = excerpt(&finding.path, finding.line, finding.column, finding.end_line, 2) {
                (code(&excerpt))
            }
            @if !finding.related.is_empty() {
                ol class="steps" {
                    @for step in &finding.related {
                        li {
                            (prose(&step.message)) " " span class="hint" { (place(&step.path, step.line)) }
                            @if let Some(excerpt) = excerpt(&step.path, step.line, 1, step.line, 0) { (code(&excerpt)) }
                        }
                    }
                }
            }
            h4 { "Why" }
            p { (prose(&finding.why)) }
            h4 { "How to fix" }
            @if finding.fix.contains('\n') { pre { (plain(&finding.fix)) } } @else { p { (prose(&finding.fix)) } }
            p class="hint" { (maps(finding)) "fingerprint " code { (finding.fingerprint) } }
        }
    }
}

fn place(path: &str, line: u32) -> Markup {
    html! {
        span class="place" { (plain(path)) @if !path.contains("://") { ":" (line) } }
    }
}

fn maps(finding: &Finding) -> Markup {
    let lists = [("", &finding.maps.cwe), ("SOC 2 ", &finding.maps.soc2), ("OWASP ", &finding.maps.owasp)];
    html! {
        @for (name, list) in lists {
            @for item in list { span class="map" { (name) (plain(item)) } " " }
        }
    }
}

fn code(excerpt: &Excerpt) -> Markup {
    html! {
        pre class="code" {
            @for line in &excerpt.lines {
                // A block each: a line break in one would stand inside of it, and not end the line.
                span class=[line.marked.then_some("marked")] {
                    span class="number" { (line.number) } (line.text)
                }
            }
        }
    }
}

fn limits(document: &Document) -> Markup {
    html! {
        section {
            h2 { "What was not looked at" }
            @for note in &document.notes { p { (prose(note)) } }
            @if document.skipped.is_empty() { p { "Nothing was skipped." } } @else {
                details {
                    summary { (counted(document.skipped.len(), "file")) " skipped" }
                    ul {
                        @for skipped in document.skipped.iter().take(MOST_SKIPPED) {
                            li { code { (plain(&skipped.path)) } ": " (prose(&skipped.reason)) }
                        }
                        @if document.skipped.len() > MOST_SKIPPED {
                            li { (document.skipped.len() - MOST_SKIPPED) " more are in the JSON document." }
                        }
                    }
                }
            }
        }
    }
}
