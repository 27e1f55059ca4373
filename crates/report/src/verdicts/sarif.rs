//! SARIF of what leaked: each leak is a finding at the endpoint's address.

use partywall_model::{Axis, Confidence, Document, Finding, Layer, Outcome, Stats, Verdict, fingerprint};

use super::VerdictReport;
use crate::{Format, Report, Style};

/// The verdicts as a SARIF log.
pub(super) fn render(report: &VerdictReport<'_>) -> Result<String, serde_json::Error> {
    let verdicts = report.verdicts;
    let findings = verdicts
        .verdicts
        .iter()
        .filter(|verdict| verdict.verdict == Outcome::Leaked)
        .map(|verdict| finding(&verdicts.target, verdict))
        .collect();
    let layers: Vec<Layer> = Layer::ALL
        .into_iter()
        .filter(|layer| verdicts.verdicts.iter().any(|verdict| verdict.layer == *layer))
        .collect();
    let document = Document::new(
        &verdicts.tool.version,
        verdicts.target.clone(),
        &layers,
        findings,
        Vec::new(),
        Stats { seconds: verdicts.stats.seconds, ..Stats::default() },
    )
    .with_notes(verdicts.notes.clone());
    Report {
        document: &document,
        pages: report.pages,
        sources: &(),
        style: Style::default(),
        below: "",
        here: "",
    }
    .render(Format::Sarif)
}

pub(super) fn finding(target: &str, verdict: &Verdict) -> Finding {
    Finding {
        rule: verdict.probe.clone(),
        layer: verdict.layer,
        axis: Axis::Security,
        severity: verdict.severity,
        confidence: Confidence::High,
        path: target.to_owned(),
        line: 1,
        column: 1,
        end_line: 1,
        message: format!("{} {}: {}", verdict.technique, verdict.name, verdict.reason),
        why: verdict.evidence.iter().map(|evidence| evidence.why.as_str()).collect::<Vec<_>>().join("; "),
        fix: format!(
            "`partywall explain {}` says how to mend it; to see it again: {}",
            verdict.probe, verdict.replay
        ),
        related: Vec::new(),
        fingerprint: fingerprint(&[&verdict.probe, &verdict.technique, target]),
        maps: verdict.layer.maps(),
    }
}
