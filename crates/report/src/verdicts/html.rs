//! One self-contained page: layer by layer what leaked and what held, with transcripts side by side.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use partywall_model::{Evidence, Layer, Outcome, Verdict};

use super::VerdictReport;
use crate::inline::plain;

/// The browser loads nothing and runs nothing, whatever got into the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// What the page looks like, beside the style of all reports.
pub(crate) const STYLE: &str = "
.outcome{display:inline-block;padding:.1rem .5rem;border-radius:.6rem;font-weight:600;font-size:.85rem;color:#fff}
.leaked{background:#b3261e}.isolated{background:#1e7d43}.inconclusive{background:#8a6100}.not-run{background:#5f6368}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr));gap:.8rem;margin:.6rem 0}
.pair pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;max-height:26rem;overflow:auto}
.pair figure{margin:0;min-width:0}.pair figcaption{font-weight:600;margin-bottom:.2rem}
mark{background:#ffd54a;color:#1a1a1a;padding:0 .15rem}
details{margin:.3rem 0}
.wide{overflow-x:auto}.wide th{white-space:nowrap}
@media (max-width:44rem){.promise{display:none}}
";

/// The verdicts as a page.
pub(super) fn render(report: &VerdictReport<'_>) -> String {
    let verdicts = report.verdicts;
    let summary = verdicts.summary;
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { "Partywall: " (summary.leaked) " leaked at " (plain(&verdicts.target)) }
                style { (PreEscaped(crate::html::CSS)) (PreEscaped(STYLE)) }
            }
            body {
                main {
                    header {
                        div {
                            h1 { "Attacked as two tenants" }
                            p class="target" { (plain(&verdicts.target)) }
                            p {
                                @for outcome in Outcome::ALL {
                                    (badge(outcome, &format!("{} {}", count(report, None, outcome), outcome.name()))) " "
                                }
                            }
                            p class="hint" {
                                (verdicts.stats.requests) " requests in " (format!("{:.1}", verdicts.stats.seconds))
                                " s, protocol " (verdicts.protocols.join(", "))
                            }
                        }
                    }
                    (limits(report))
                    (overview(report))
                    @for layer in Layer::ALL { (layer_section(report, layer)) }
                }
                footer {
                    "Made by " (verdicts.tool.name) " " (verdicts.tool.version)
                    ". What held was attacked and did not leak in this run; that is evidence, and no proof."
                }
            }
        }
    };
    page.into_string() + "\n"
}

fn badge(outcome: Outcome, text: &str) -> Markup {
    html! { span class={ "outcome " (outcome.name()) } { (text) } }
}

fn count(report: &VerdictReport<'_>, layer: Option<Layer>, outcome: Outcome) -> usize {
    report
        .verdicts
        .verdicts
        .iter()
        .filter(|verdict| layer.is_none_or(|layer| verdict.layer == layer) && verdict.verdict == outcome)
        .count()
}

fn limits(report: &VerdictReport<'_>) -> Markup {
    let left: Vec<&str> =
        Layer::ALL.into_iter().filter(|layer| !attacked(report, *layer)).map(Layer::name).collect();
    html! {
        section {
            h2 { "What was not covered, and what was known" }
            ul {
                @if !left.is_empty() { li { "Layers that were not attacked: " (left.join(", ")) } }
                @for note in &report.verdicts.notes { li { (plain(note)) } }
            }
            @for outcome in [Outcome::Inconclusive, Outcome::NotRun] {
                @if count(report, None, outcome) > 0 {
                    details {
                        summary { (count(report, None, outcome)) " " (outcome.name()) }
                        table {
                            tbody {
                                @for verdict in report.verdicts.verdicts.iter().filter(|v| v.verdict == outcome) {
                                    tr { td { (verdict.technique) } td { (verdict.name) } td { (plain(&verdict.reason)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn attacked(report: &VerdictReport<'_>, layer: Layer) -> bool {
    report.verdicts.verdicts.iter().any(|verdict| verdict.layer == layer)
}

fn overview(report: &VerdictReport<'_>) -> Markup {
    html! {
        section {
            h2 { "Layers" }
            div class="wide" {
                table {
                    thead {
                        tr {
                            th { "layer" }
                            th class="promise" { "promise" }
                            @for outcome in Outcome::ALL { th { (outcome.name()) } }
                        }
                    }
                    tbody { @for layer in Layer::ALL { (overview_row(report, layer)) } }
                }
            }
        }
    }
}

fn overview_row(report: &VerdictReport<'_>, layer: Layer) -> Markup {
    html! {
        tr {
            td { (layer.name()) }
            td class="promise" { (layer.promise()) }
            @if attacked(report, layer) {
                @for outcome in Outcome::ALL {
                    @let count = count(report, Some(layer), outcome);
                    @if outcome == Outcome::Leaked && count > 0 { td class="found" { (count) } } @else { td { (count) } }
                }
            } @else {
                td colspan="4" class="none" { "not attacked" }
            }
        }
    }
}

fn layer_section(report: &VerdictReport<'_>, layer: Layer) -> Markup {
    let of: Vec<&Verdict> =
        report.verdicts.verdicts.iter().filter(|verdict| verdict.layer == layer).collect();
    html! {
        @if !of.is_empty() {
            section {
                h2 { (layer.name()) }
                @for verdict in of.iter().filter(|verdict| verdict.verdict == Outcome::Leaked) { (transcripts(verdict)) }
                @let held: Vec<_> = of.iter().filter(|verdict| verdict.verdict == Outcome::Isolated).collect();
                @let judged = |verdict: &&Verdict| matches!(verdict.verdict, Outcome::Leaked | Outcome::Isolated);
                @if !of.iter().any(judged) { p class="none" { "Nothing of it came to a verdict: see above, why." } }
                @if !held.is_empty() {
                    details {
                        summary { (held.len()) " attacked and held" }
                        table {
                            tbody {
                                @for verdict in held {
                                    tr { td { (verdict.technique) } td { (verdict.name) } td { (plain(&verdict.reason)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A leak with its transcripts.
pub(crate) fn transcripts(verdict: &Verdict) -> Markup {
    html! {
        article class={ "finding " (verdict.severity.name()) } {
            h3 { (badge(Outcome::Leaked, "leaked")) " " (verdict.technique) " " (verdict.name) }
            p { (plain(&verdict.reason)) }
            @for evidence in &verdict.evidence { (pair(evidence, &verdict.reason)) }
            p class="hint" { "To see it again:" }
            pre { (plain(&verdict.replay)) }
        }
    }
}

fn pair(evidence: &Evidence, reason: &str) -> Markup {
    html! {
        @if !reason.starts_with(&evidence.why) { p class="hint" { (plain(&evidence.why)) } }
        div class="pair" {
            figure { figcaption { (evidence.tenant) " sent" } pre { (plain(&evidence.request)) } }
            figure { figcaption { "came back" } pre { (marked(&evidence.response, &evidence.foreign)) } }
        }
    }
}

/// A text with the foreign value marked wherever it stands.
fn marked(text: &str, foreign: &str) -> Markup {
    let text = plain(text);
    html! {
        @if foreign.is_empty() { (text) } @else {
            @for (number, part) in text.split(foreign).enumerate() {
                @if number > 0 { mark { (foreign) } }
                (part)
            }
        }
    }
}
