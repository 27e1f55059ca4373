//! SARIF 2.1.0, the format that code hosts take.
//!
//! Written out here rather than with types generated from the schema: the generator brings unmaintained dependencies, and
//! a test validates what is written against the official schema.

use std::collections::BTreeMap;

use partywall_model::{Confidence, Finding, Page, Severity};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use crate::Report;

/// What may not stand as it is in the path of a URI.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b':');

/// The most findings of one run that code hosts take; the worst come first.
const MOST: usize = 25_000;

/// The document as a SARIF log.
pub(crate) fn render(report: &Report<'_>) -> Value {
    let document = report.document;
    let rules = rules(report);
    let results: Vec<Value> = document
        .findings
        .iter()
        .take(MOST)
        .map(|finding| result(finding, &id(finding, report.pages), &rules))
        .collect();
    let mut descriptors: Vec<(usize, Value)> = rules.into_values().collect();
    descriptors.sort_by_key(|(index, _)| *index);
    let notices: Vec<Value> = document
        .skipped
        .iter()
        .map(|skipped| {
            json!({
                "level": if is_failure(&skipped.reason) { "warning" } else { "note" },
                "message": { "text": format!("not looked at: {}", skipped.reason) },
                "locations": [{ "physicalLocation": { "artifactLocation": artifact(&skipped.path) } }],
            })
        })
        .chain(document.notes.iter().map(|note| json!({ "level": "note", "message": { "text": note } })))
        .collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": document.tool.name,
                "semanticVersion": document.tool.version,
                "rules": descriptors.into_iter().map(|(_, descriptor)| descriptor).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{ "executionSuccessful": true, "toolExecutionNotifications": notices }],
            "results": results,
        }],
    })
}

/// Whether something should have been looked at and could not be.
fn is_failure(reason: &str) -> bool {
    ["cannot be read", "was not understood", "is no UTF-8", "was changed"]
        .iter()
        .any(|word| reason.starts_with(word))
}

/// The id of a result's descriptor. Code hosts judge a result by the severity of its descriptor, so one that is less severe than its
/// rule can be has a descriptor of its own below the rule's: `tenant-from-input/low`.
fn id(finding: &Finding, pages: &[Page]) -> String {
    let page = pages.iter().find(|page| page.check.id == finding.rule);
    match page {
        Some(page) if page.severity != finding.severity => {
            format!("{}/{}", finding.rule, finding.severity.name())
        }
        _ => finding.rule.clone(),
    }
}

/// A descriptor for each rule and severity that found something, with its index. Those that found nothing would make every log large.
fn rules(report: &Report<'_>) -> BTreeMap<String, (usize, Value)> {
    let mut found: BTreeMap<String, Vec<&Finding>> = BTreeMap::new();
    for finding in &report.document.findings {
        found.entry(id(finding, report.pages)).or_default().push(finding);
    }
    found
        .into_iter()
        .enumerate()
        .map(|(index, (id, findings))| {
            let page = |rule: &str| report.pages.iter().find(|page| page.check.id == rule);
            let described = match findings.first().and_then(|finding| Some((finding, page(&finding.rule)?))) {
                Some((finding, page)) => descriptor(&id, page, finding.severity, &findings),
                None => json!({ "id": id }),
            };
            (id, (index, described))
        })
        .collect()
}

fn descriptor(id: &str, page: &Page, severity: Severity, findings: &[&Finding]) -> Value {
    let help = page.brief();
    let sure = findings.iter().map(|finding| finding.confidence).max().unwrap_or(Confidence::Low);
    let mut tags =
        vec!["security".to_owned(), "tenant-isolation".to_owned(), page.check.layer.name().to_owned()];
    for cwe in findings.iter().flat_map(|finding| &finding.maps.cwe) {
        let tag = format!("external/cwe/{}", cwe.to_lowercase());
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    json!({
        "id": id,
        "name": pascal(&id.replace('/', "-")),
        "shortDescription": { "text": page.check.summary },
        "fullDescription": { "text": page.check.summary },
        "help": { "text": help, "markdown": help },
        "defaultConfiguration": { "level": level(severity) },
        "properties": {
            "tags": tags,
            "precision": sure.name(),
            "security-severity": score(severity),
        },
    })
}

fn result(finding: &Finding, id: &str, rules: &BTreeMap<String, (usize, Value)>) -> Value {
    let steps: Vec<Value> = finding
        .related
        .iter()
        .map(|step| {
            json!({
                "physicalLocation": {
                    "artifactLocation": artifact(&step.path),
                    "region": { "startLine": step.line.max(1) },
                },
                "message": { "text": step.message },
            })
        })
        .collect();
    let region = json!({
        "startLine": finding.line.max(1),
        "startColumn": finding.column.max(1),
        "endLine": finding.end_line.max(finding.line).max(1),
    });
    let place =
        json!({ "physicalLocation": { "artifactLocation": artifact(&finding.path), "region": region } });
    let mut result = json!({
        "ruleId": id,
        "level": level(finding.severity),
        "message": { "text": format!("{}\n\nWhy: {}\n\nFix: {}", finding.message, finding.why, finding.fix) },
        "locations": [place],
        "partialFingerprints": { fingerprints(&finding.path): finding.fingerprint },
        "properties": {
            "rule": finding.rule,
            "layer": finding.layer.name(),
            "axis": finding.axis.name(),
            "severity": finding.severity.name(),
            "confidence": finding.confidence.name(),
            "cwe": finding.maps.cwe,
            "soc2": finding.maps.soc2,
            "owasp": finding.maps.owasp,
        },
    });
    if let Some(map) = result.as_object_mut() {
        if let Some((index, _)) = rules.get(id) {
            map.insert("ruleIndex".to_owned(), json!(index));
        }
        if !steps.is_empty() {
            // The way that leads to the place ends there.
            let flow: Vec<Value> =
                steps.iter().chain(std::iter::once(&place)).map(|step| json!({ "location": step })).collect();
            map.insert("codeFlows".to_owned(), json!([{ "threadFlows": [{ "locations": flow }] }]));
            map.insert("relatedLocations".to_owned(), Value::Array(steps));
        }
    }
    result
}

/// The kind of a finding's fingerprint: that of a place in a file has the whole place and what it stands in as its parts.
fn fingerprints(path: &str) -> &'static str {
    if path.contains("://") { "partywall/v1" } else { "partywall/v2" }
}

/// A file of the repository, or a thing that has a URL of its own.
fn artifact(path: &str) -> Value {
    if path.contains("://") {
        return json!({ "uri": path });
    }
    let path = path.replace('\\', "/");
    let relative = path.trim_start_matches("./");
    if relative.starts_with('/') {
        return json!({ "uri": format!("file://{}", utf8_percent_encode(relative, PATH)) });
    }
    json!({ "uri": utf8_percent_encode(relative, PATH).to_string(), "uriBaseId": "%SRCROOT%" })
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

/// The number that code hosts sort security findings by, from 0 to 10.
const fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "3.0",
    }
}

fn pascal(id: &str) -> String {
    id.split('-')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
        })
        .collect()
}
