//! The bundle as one page that needs no network, no script and no other file.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use partywall_model::{Finding, Layer, Verdict};

use super::{Bundle, Gap, LayerEvidence};
use crate::{counted, inline::plain, verdicts};

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";
/// More gaps than this are counted and not listed.
const MOST_GAPS: usize = 400;

pub(super) fn render(bundle: &Bundle) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { "Partywall: evidence of tenant isolation" }
                style { (PreEscaped(crate::html::CSS)) (PreEscaped(verdicts::STYLE)) }
            }
            body {
                main {
                    (head(bundle))
                    (gaps(&bundle.not_covered))
                    (overview(bundle))
                    @for layer in Layer::ALL {
                        @if let Some(evidence) = bundle.layers.get(layer.name()) { (section(layer, evidence)) }
                    }
                    (audit(bundle))
                    (mapping(bundle))
                }
                footer { "Made by " (bundle.tool.name) " " (bundle.tool.version) " at " (bundle.date) ". " (bundle.caveat) }
            }
        }
    };
    page.into_string() + "\n"
}

fn head(bundle: &Bundle) -> Markup {
    html! {
        header {
            div {
                h1 { "Evidence of tenant isolation" }
                p {
                    (bundle.date)
                    @if let Some(commit) = &bundle.commit { " · commit " code { (plain(commit)) } }
                }
                p class="hint" { (bundle.caveat) }
            }
        }
        table {
            thead { tr { th { "from" } th { "file" } th { "target" } th { "version" } } }
            tbody {
                @for source in &bundle.sources {
                    tr {
                        td { (source.face) } td { (plain(&source.file)) } td { (plain(&source.target)) } td { (source.version) }
                    }
                }
            }
        }
    }
}

fn gaps(gaps: &[Gap]) -> Markup {
    html! {
        section {
            h2 { "What was not covered" }
            @if gaps.is_empty() { p { "Nothing was left out." } } @else {
                table {
                    tbody {
                        @for gap in gaps.iter().take(MOST_GAPS) { tr { td { (plain(&gap.what)) } td { (plain(&gap.reason)) } } }
                    }
                }
                @if gaps.len() > MOST_GAPS { p class="hint" { (gaps.len() - MOST_GAPS) " more stand in the JSON document." } }
            }
        }
    }
}

fn overview(bundle: &Bundle) -> Markup {
    html! {
        section {
            h2 { "Layers" }
            table {
                thead { tr { th { "layer" } th { "promise" } th { "status" } th { "found" } th { "known" } th { "leaked" } th { "held" } } }
                tbody {
                    @for layer in Layer::ALL {
                        @if let Some(evidence) = bundle.layers.get(layer.name()) {
                            tr {
                                td { (layer.name()) }
                                td { (layer.promise()) }
                                td class=(class(evidence)) { (evidence.status) }
                                td { (evidence.findings.len()) }
                                td { (evidence.known.len()) }
                                td { (evidence.leaked.len()) }
                                td { (evidence.held.len()) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn class(evidence: &LayerEvidence) -> &'static str {
    match evidence.status.as_str() {
        "found" => "found",
        "held" => "clean",
        _ => "none",
    }
}

fn section(layer: Layer, evidence: &LayerEvidence) -> Markup {
    html! {
        section {
            h2 { (layer.name()) }
            p class="hint" { (layer.promise()) }
            @if evidence.status == "not covered" { p class="none" { "Nothing looked at this layer." } }
            @for verdict in &evidence.leaked { (verdicts::transcripts(verdict)) }
            @for finding in &evidence.findings { (found(finding)) }
            (aside("known: a baseline lists them", evidence.known.iter().map(|finding| (finding, ""))))
            (aside("allowed by the source", evidence.allowed.iter().map(|one| (&one.finding, one.reason.as_str()))))
            (listed("attacked and held", &evidence.held))
            (listed("inconclusive", &evidence.inconclusive))
        }
    }
}

fn found(finding: &Finding) -> Markup {
    html! {
        article class=(finding.severity.name()) {
            h3 { span class="severity" { (finding.severity.name()) } " " (plain(&finding.message)) }
            p class="place" { (plain(&finding.path)) ":" (finding.line) " · " (finding.rule) }
            p { (plain(&finding.why)) }
            p { (plain(&finding.fix)) }
        }
    }
}

/// Findings that do not count.
fn aside<'a>(what: &str, findings: impl ExactSizeIterator<Item = (&'a Finding, &'a str)>) -> Markup {
    html! {
        @if findings.len() > 0 {
            details {
                summary { (findings.len()) " " (what) }
                table {
                    tbody {
                        @for (finding, reason) in findings {
                            tr {
                                td { (finding.severity.name()) } td { (plain(&finding.rule)) }
                                td class="place" { (plain(&finding.path)) ":" (finding.line) }
                                td { (plain(&finding.message)) @if !reason.is_empty() { p class="hint" { (plain(reason)) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn listed(what: &str, verdicts: &[Verdict]) -> Markup {
    html! {
        @if !verdicts.is_empty() {
            details {
                summary { (verdicts.len()) " " (what) }
                table {
                    tbody {
                        @for verdict in verdicts {
                            tr { td { (verdict.technique) } td { (verdict.name) } td { (plain(&verdict.reason)) } }
                        }
                    }
                }
            }
        }
    }
}

fn audit(bundle: &Bundle) -> Markup {
    html! {
        @if !bundle.audit.is_empty() {
            section {
                h2 { "Audit logs" }
                p { (counted(bundle.audit.len(), "log")) " verified" }
                table {
                    thead { tr { th { "log" } th { "verdict" } th { "lines" } th { "SHA-256 of the last line" } } }
                    tbody {
                        @for log in &bundle.audit {
                            tr { td { (plain(&log.log)) }
                                td class=(if log.is_whole() { "clean" } else { "found" }) {
                                    (plain(&log.verdict))
                                    @if let Some(problem) = &log.problem { p class="hint" { (plain(problem)) } }
                                    @if log.lost > 0 { p class="hint" { (log.lost) " lines could not be written" } }
                                } td { (log.last) } td class="place" { (log.head) } }
                        }
                    }
                }
            }
        }
    }
}

fn mapping(bundle: &Bundle) -> Markup {
    html! {
        section {
            h2 { "Mapping" }
            p { (bundle.caveat) }
            table {
                thead { tr { th { "list" } th { "entry" } th { "evidence" } th { "" } } }
                tbody {
                    @for line in &bundle.mapping {
                        tr {
                            td { (line.list) }
                            td { (line.id) @if !line.asks.is_empty() { p class="hint" { (line.asks) } } }
                            td { @for text in &line.evidence { div { (text) } } }
                            td class=(if line.found { "found" } else { "none" }) { @if line.found { "something was found" } }
                        }
                    }
                }
            }
        }
    }
}
