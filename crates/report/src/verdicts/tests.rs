//! What each format shows of the same verdicts and of a bundle, and that nothing hostile gets through.

use partywall_model::{Evidence, Face, Layer, Outcome, Page, Severity, Verdict, VerdictStats, Verdicts};
use serde_json::Value;

use super::VerdictReport;
use crate::{AuditedLog, Bundle, Format, Piece, Style};

const HOSTILE: &str = "</pre><script>alert(1)</script>\u{1b}[31m```";

fn verdict(outcome: Outcome, layer: Layer) -> Verdict {
    let evidence = Evidence {
        tenant: "acme".to_owned(),
        request: "POST /mcp\nauthorization: Bearer [token of acme]".to_owned(),
        response: format!("HTTP 200\n\nReactor leak {HOSTILE}"),
        why: "acme was shown \"Reactor leak\"".to_owned(),
        foreign: "Reactor leak".to_owned(),
    };
    Verdict {
        probe: "foreign-ids".to_owned(),
        technique: "DA-01".to_owned(),
        name: "another tenant's ids".to_owned(),
        layer,
        verdict: outcome,
        severity: Severity::High,
        reason: format!("because {HOSTILE}"),
        evidence: if outcome == Outcome::Leaked { vec![evidence] } else { Vec::new() },
        replay: "partywall probe http://127.0.0.1/mcp --probe DA-01 --seed-run 1".to_owned(),
    }
}

fn verdicts() -> Verdicts {
    let all = vec![
        verdict(Outcome::Leaked, Layer::Data),
        verdict(Outcome::Isolated, Layer::Cache),
        verdict(Outcome::Inconclusive, Layer::State),
        verdict(Outcome::NotRun, Layer::Routing),
    ];
    let stats = VerdictStats { requests: 7, seconds: 0.5 };
    let notes = vec![format!("a note {HOSTILE}")];
    Verdicts::new(
        "0.1.0",
        "http://127.0.0.1/mcp".to_owned(),
        vec!["2025-11-25".to_owned()],
        all,
        stats,
        notes,
    )
}

fn show(format: Format) -> String {
    let verdicts = verdicts();
    VerdictReport { verdicts: &verdicts, pages: &[] as &[Page], style: Style::default() }
        .render(format)
        .unwrap()
}

#[test]
fn every_format_shows_what_leaked_and_lets_nothing_hostile_through() {
    for format in [Format::Text, Format::Markdown, Format::Html, Format::Sarif, Format::Json, Format::Jsonl] {
        let shown = show(format);
        assert!(shown.contains("DA-01") && shown.contains("Reactor leak"), "{format}: {shown}");
        assert!(!shown.contains('\u{1b}'), "{format} has control characters");
    }
    let html = show(Format::Html);
    assert!(!html.contains("<script>"), "{html}");
    assert!(html.contains("<mark>Reactor leak</mark>"), "{html}");
    assert!(html.find("What was not covered") < html.find("<h2>Layers"), "{html}");
    let text = show(Format::Text);
    assert!(text.contains("1 leaked, 1 isolated, 1 inconclusive, 1 not run"), "{text}");
    assert!(text.contains("replay: partywall probe"), "{text}");
    let verdicts = verdicts();
    let report = VerdictReport { verdicts: &verdicts, pages: &[], style: Style::default() };
    assert!(report.render(Format::Badge).unwrap_err().to_string().contains("no badge form"));
}

#[test]
fn a_narrow_terminal_gets_whole_words() {
    let mut verdicts = verdicts();
    verdicts.notes =
        vec!["a note of many words that do not fit into one line of a narrow terminal".to_owned()];
    let style = Style { width: 40, colour: true, ..Style::default() };
    let text = VerdictReport { verdicts: &verdicts, pages: &[], style }.render(Format::Text).unwrap();
    assert!(text.contains("note: a note of many words that do not\n  fit into one line"), "{text}");
    let copied = ["> ", "< ", "replay: "];
    for line in text.lines().filter(|line| !copied.iter().any(|sign| line.trim_start().starts_with(sign))) {
        // A word that is longer than the line stays whole.
        let words = line.split_whitespace().count();
        assert!(words < 2 || console::measure_text_width(line) <= 40, "{line}");
    }
}

#[test]
fn a_terminal_shows_one_of_each_kind_around_the_foreign_value() {
    let mut verdicts = verdicts();
    let leak = verdicts.verdicts.iter_mut().find(|verdict| verdict.verdict == Outcome::Leaked).unwrap();
    let long = format!("{} Reactor leak {}", "a".repeat(900), "b".repeat(900));
    leak.evidence[0].response =
        format!("HTTP 200\ndate: today\nmcp-session-id: 7\n\n{}{long}\n", "event: x\n".repeat(60));
    leak.evidence.push(leak.evidence[0].clone());
    leak.reason = "acme was shown \"Reactor leak\" (2 of 2 attempts)".to_owned();
    let show = |style| VerdictReport { verdicts: &verdicts, pages: &[], style }.render(Format::Text).unwrap();
    let text = show(Style::default());
    assert_eq!(text.matches("acme was shown").count(), 1, "{text}");
    assert!(text.contains("1 more of the same kind"), "{text}");
    assert_eq!(text.matches("Reactor leak").count(), 2, "{text}");
    assert!(text.contains("aa Reactor leak bb") && !text.contains("today"), "{text}");
    assert!(text.contains("not attacked: identity, context"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() < 420), "{text}");
    let all = show(Style { verbose: true, colour: true, ..Style::default() });
    assert!(all.contains("today") && all.contains("\u{1b}[7mReactor leak\u{1b}[0m"), "{all}");
    assert!(!all.contains("more of the same kind"), "{all}");
}

#[test]
fn only_leaks_are_sarif_results_and_json_reads_back() {
    let schema: Value = serde_json::from_str(include_str!("../../tests/sarif-2.1.0.schema.json")).unwrap();
    let schema = jsonschema::draft4::new(&schema).unwrap();
    let sarif: Value = serde_json::from_str(&show(Format::Sarif)).unwrap();
    let errors: Vec<String> = schema.iter_errors(&sarif).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(sarif["runs"][0]["results"].as_array().map(Vec::len), Some(1));
    let back: Verdicts = serde_json::from_str(&show(Format::Json)).unwrap();
    assert_eq!(back, verdicts());
    assert_eq!(show(Format::Jsonl).lines().count(), 4);
}

#[test]
fn a_check_without_a_database_has_read_none() {
    let text = r#"{"schema":1,"tool":{"name":"partywall","version":"0.1.0"},"target":"no database","grade":"A","axes":{},
        "layers":{"data":{"findings":0,"status":"clean"}},"findings":[],"skipped":[],
        "stats":{"files":0,"lines":0,"bytes":0,"relations":0,"seconds":0.1}}"#;
    let pieces = [("check.json".to_owned(), Piece::Findings(serde_json::from_str(text).unwrap()))];
    let bundle = Bundle::new("0.1.0", "2026-11-26T10:00:00Z".to_owned(), None, &pieces);
    assert_eq!(bundle.sources[0].face, "check");
    assert!(bundle.not_covered.iter().any(|gap| gap.reason.contains("names no PostgreSQL database")));
    assert!(bundle.not_covered.iter().any(|gap| gap.what == "the layer data was not read"));
}

#[test]
fn a_bundle_says_first_what_it_does_not_cover_and_maps_what_it_does() {
    let log = AuditedLog {
        log: "acme".into(),
        verdict: "whole".into(),
        last: 3,
        head: "ab".into(),
        ..AuditedLog::default()
    };
    let pieces = [
        ("probe.json".to_owned(), Piece::Verdicts(verdicts())),
        ("audit.json".to_owned(), Piece::Audit(vec![log])),
    ];
    let bundle = Bundle::new("0.1.0", "2026-11-26T10:00:00Z".to_owned(), Some("abc".to_owned()), &pieces);
    let status = |layer: Layer| bundle.layers[layer.name()].status.as_str();
    assert_eq!(
        [Layer::Data, Layer::Cache, Layer::State, Layer::Routing].map(status),
        ["found", "held", "inconclusive", "not covered"]
    );
    assert!(bundle.has_found());
    assert!(bundle.not_covered.iter().any(|gap| gap.what == "the source was not read"));
    assert!(bundle.not_covered.iter().any(|gap| gap.what.starts_with("the layer routing")));
    let of = |id: &str| bundle.mapping.iter().find(|line| line.id == id).unwrap();
    assert!(of("CC6.1").found && !of("CC7.2").found);
    assert!(of("CC7.2").evidence.iter().any(|text| text.contains("1 of 1 logs are whole")));
    let html = bundle.html();
    assert!(html.find("What was not covered") < html.find("<h2>Layers"));
    assert!(
        html.contains("mapping, not certification") && !html.contains("<script>") && !html.contains('\u{1b}')
    );
    let faces: Vec<&str> = bundle.sources.iter().map(|source| source.face.as_str()).collect();
    assert_eq!(faces, [Face::Probe.name(), "audit"]);
}

fn bundle(pieces: &[(String, Piece)]) -> Bundle {
    Bundle::new("0.1.0", "2026-11-26T10:00:00Z".to_owned(), None, pieces)
}

fn gap(bundle: &Bundle, text: &str) -> bool {
    bundle.not_covered.iter().any(|gap| format!("{}: {}", gap.what, gap.reason).contains(text))
}

#[test]
fn a_damaged_log_and_a_run_that_was_not_complete_are_no_pass() {
    let log = AuditedLog {
        log: "acme".into(),
        verdict: "damaged".into(),
        problem: Some("line 2 does not follow".into()),
        lost: 4,
        ..AuditedLog::default()
    };
    let damaged = bundle(&[("audit.json".to_owned(), Piece::Audit(vec![log]))]);
    assert!(damaged.has_found() && gap(&damaged, "line 2 does not follow") && gap(&damaged, "4 lines"));
    assert!(damaged.html().contains("line 2 does not follow"));
    let mut verdicts = verdicts();
    verdicts.incomplete = vec!["the time was up".to_owned()];
    let cut = bundle(&[("probe.json".to_owned(), Piece::Verdicts(verdicts))]);
    assert_eq!(cut.incomplete, ["probe.json: the time was up"]);
    assert!(cut.not_covered[0].reason.contains("the time was up"));
}

#[test]
fn what_was_not_read_or_does_not_count_is_not_called_clean() {
    use partywall_model::{Axis, Document, Stats};
    let document = |layers: &[Layer]| {
        Document::new("0.1.0", "src".to_owned(), layers, Vec::new(), Vec::new(), Stats::default())
    };
    let of = |document: Document| bundle(&[("scan.json".to_owned(), Piece::Findings(document))]);
    let nothing = of(document(&Layer::ALL).of_nothing());
    assert!(nothing.layers.values().all(|layer| layer.status == "not covered"));
    assert!(gap(&nothing, "no program was read"));
    assert!(
        nothing.mapping.iter().all(|line| line.evidence.iter().all(|text| text.ends_with("not covered")))
    );
    let partly = of(document(&Layer::ALL).narrowed(&[Axis::Security], &[Layer::Cache]));
    assert_eq!(partly.layers["cache"].status, "partly read, nothing found");
    assert!(gap(&partly, "the layer cache was read in part only"));
    let mut finding = super::sarif::finding("src", &verdict(Outcome::Leaked, Layer::Data));
    finding.severity = Severity::High;
    let layer = finding.layer;
    let known = of(document(&Layer::ALL).with_known(Vec::new(), vec![finding]));
    assert_eq!(known.layers[layer.name()].status, "known");
    assert!(!known.has_found());
    assert!(known.mapping.iter().any(|line| line.found && line.evidence[0].contains("1 known")));
}
