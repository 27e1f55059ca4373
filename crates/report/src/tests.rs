//! What each format shows of the same document, and that nothing hostile gets through any of them.

use std::collections::BTreeMap;

use partywall_model::{
    Allowed, Axis, Check, Confidence, Document, Face, Finding, Layer, Maps, Page, Related, Severity, Skipped,
    Stats, fingerprint,
};
use serde_json::Value;

use crate::{Format, Report, RubricRule, Style, rubric};

const PAGE: Page = Page {
    check: Check {
        id: "unscoped-cache-key",
        layer: Layer::Cache,
        summary: "A cache key without the principal.",
    },
    face: Face::Scan,
    severity: Severity::High,
    markdown: "# unscoped-cache-key\n\nA page.\n",
};

fn finding() -> Finding {
    Finding {
        rule: "unscoped-cache-key".to_owned(),
        layer: Layer::Cache,
        axis: Axis::Security,
        severity: Severity::High,
        confidence: Confidence::High,
        path: "src/a b.ts".to_owned(),
        line: 2,
        column: 3,
        end_line: 2,
        message: "the key of `documents` does not hold the tenant".to_owned(),
        why: "The next tenant that asks for the same id gets this one's document.".to_owned(),
        fix: "Put the tenant into the key: `${tenant}:${id}`.".to_owned(),
        related: vec![
            Related {
                path: "src/a b.ts".to_owned(),
                line: 1,
                message: "`id` comes from the arguments".to_owned(),
            },
            Related {
                path: "src/gone.ts".to_owned(),
                line: 7,
                message: "`documents` is made here".to_owned(),
            },
        ],
        fingerprint: fingerprint(&["unscoped-cache-key", "src/a b.ts"]),
        maps: Maps { cwe: vec!["CWE-668".to_owned()], soc2: vec!["CC6.1".to_owned()], owasp: Vec::new() },
    }
}

fn document(findings: Vec<Finding>) -> Document {
    let skipped = vec![Skipped { path: "src/a.test.ts".to_owned(), reason: "a test".to_owned() }];
    let stats = Stats { files: 3, programs: 3, lines: 40, bytes: 900, relations: 0, seconds: 0.02 };
    Document::new("1.2.3", ".".to_owned(), &Layer::ALL, findings, skipped, stats)
        .with_notes(vec!["tenancy: multi, because `src/http.ts` serves HTTP".to_owned()])
}

fn sources() -> BTreeMap<String, String> {
    BTreeMap::from([(
        "src/a b.ts".to_owned(),
        "async function get({ id }) {\n  documents.set(id, doc)\n}\n".to_owned(),
    )])
}

fn show(document: &Document, format: Format) -> String {
    let report = Report {
        document,
        pages: &[PAGE],
        sources: &sources(),
        style: Style::default(),
        below: "",
        here: "",
    };
    report.render(format).unwrap()
}

#[test]
fn text_shows_the_code_the_steps_why_and_the_fix() {
    let text = show(&document(vec![finding()]), Format::Text);
    let expected = "\
high[unscoped-cache-key]: the key of `documents` does not hold the tenant
 --> src/a b.ts:2:3
  |
2 |   documents.set(id, doc)
  |   ^^^^^^^^^^^^^^^^^^^^^^
  |
 ::: src/a b.ts:1:1
  |
1 | async function get({ id }) {
  | ---------------------------- 1. `id` comes from the arguments
 ::: src/gone.ts:7
  = step: 2. `documents` is made here
  = why: The next tenant that asks for the same id gets this one's document.
  = fix: Put the tenant into the key: `${tenant}:${id}`.
  = note: cache layer, high confidence; `partywall explain unscoped-cache-key` says more

read 3 files (40 lines) in 0.02 s
skipped src/a.test.ts: a test
note: tenancy: multi, because `src/http.ts` serves HTTP
1 finding: 1 high
grade C (security C, permissions A, credentials A, maintenance not assessed, compatibility not assessed, documentation not assessed)
";
    assert_eq!(text, expected);
}

#[test]
fn colour_comes_only_when_it_is_asked_for() {
    let document = document(vec![finding()]);
    let style = Style { colour: true, ..Style::default() };
    let report = Report { document: &document, pages: &[], sources: &(), style, below: "", here: "" };
    assert!(report.render(Format::Text).unwrap().contains('\u{1b}'));
    for format in Format::ALL {
        assert!(!show(&document, format).contains('\u{1b}'), "{format}");
    }
}

fn hostile() -> Document {
    let attack = "</style><script>alert(1)</script>\u{1b}]0;x\u{7}\u{202e}`<img src=x onerror=y>`[a](javascript:b)|\n# @all";
    let mut finding = finding();
    for field in
        [&mut finding.message, &mut finding.why, &mut finding.fix, &mut finding.path, &mut finding.rule]
    {
        *field = attack.to_owned();
    }
    finding.related = vec![Related { path: attack.to_owned(), line: 1, message: attack.to_owned() }];
    finding.maps.owasp = vec![attack.to_owned()];
    let mut document = document(vec![finding]);
    document.target = attack.to_owned();
    document.skipped = vec![Skipped { path: attack.to_owned(), reason: attack.to_owned() }];
    document.notes = vec![attack.to_owned()];
    document
}

#[test]
fn what_a_repository_says_stays_text_in_every_format() {
    let document = hostile();
    let code = BTreeMap::from([(document.findings[0].path.clone(), document.target.clone())]);
    let report = Report {
        document: &document,
        pages: &[],
        sources: &code,
        style: Style::default(),
        below: "",
        here: "",
    };
    for format in [Format::Text, Format::Markdown, Format::Html] {
        let shown = report.render(format).unwrap();
        for character in ['\u{1b}', '\u{7}', '\u{202e}'] {
            assert!(!shown.contains(character), "{format} has {character:?}");
        }
    }
    let html = report.render(Format::Html).unwrap();
    assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    assert_eq!(html.matches("</style>").count(), 1);
    let markdown = report.render(Format::Markdown).unwrap();
    let mut fence: Option<String> = None;
    for line in markdown.lines() {
        let ticks: String = line.chars().take_while(|c| *c == '`').collect();
        match &fence {
            Some(open) if ticks.starts_with(open.as_str()) => fence = None,
            None if ticks.len() >= 3 => fence = Some(ticks),
            Some(_) => {}
            None => {
                // Raw HTML has no meaning inside a code span, and none is outside of one.
                let outside: String = line.split('`').step_by(2).collect();
                assert!(!outside.contains("<img") && !line.starts_with("# "), "{line}");
            }
        }
    }
    assert_eq!(fence, None);
}

#[test]
fn the_page_loads_nothing_and_shows_grades_layers_code_and_maps() {
    let html = show(&document(vec![finding()]), Format::Html);
    for needle in ["http://", "https://", "<script", "<link", "@import", "url("] {
        assert!(!html.contains(needle), "{needle} in the page");
    }
    for needle in [
        "Content-Security-Policy",
        "not assessed",
        "documents.set(id, doc)",
        "How to fix",
        "SOC 2 CC6.1",
        "CWE-668",
        "70 of 100",
        "src/a.test.ts",
        Layer::Routing.promise(),
    ] {
        assert!(html.contains(needle), "no {needle} in the page");
    }
}

#[test]
fn json_is_the_document_and_jsonl_its_findings() {
    let document = document(vec![finding(), finding()]);
    assert_eq!(serde_json::from_str::<Document>(&show(&document, Format::Json)).unwrap(), document);
    let lines = show(&document, Format::Jsonl);
    let findings: Vec<Finding> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(findings, document.findings);
    assert_eq!(show(&self::document(Vec::new()), Format::Jsonl), "");
}

fn schema() -> jsonschema::Validator {
    let text = include_str!("../tests/sarif-2.1.0.schema.json");
    jsonschema::draft4::new(&serde_json::from_str(text).unwrap()).unwrap()
}

#[test]
fn sarif_is_valid_and_says_the_same() {
    let schema = schema();
    let mut of_database = finding();
    of_database.path = "postgres://db.example:5432/app".to_owned();
    for document in [document(Vec::new()), document(vec![finding(), of_database]), hostile()] {
        let sarif: Value = serde_json::from_str(&show(&document, Format::Sarif)).unwrap();
        let errors: Vec<String> = schema
            .iter_errors(&sarif)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        assert_eq!(errors, Vec::<String>::new());
    }
    let sarif: Value = serde_json::from_str(&show(&document(vec![finding()]), Format::Sarif)).unwrap();
    let run = &sarif["runs"][0];
    let result = &run["results"][0];
    assert_eq!(run["tool"]["driver"]["rules"][0]["help"]["markdown"], PAGE.brief());
    assert_eq!(result["ruleIndex"], 0);
    assert_eq!(result["level"], "error");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "src/a%20b.ts");
    assert_eq!(place["region"]["startLine"], 2);
    assert_eq!(result["partialFingerprints"]["partywall/v2"], finding().fingerprint);
    assert_eq!(result["codeFlows"][0]["threadFlows"][0]["locations"].as_array().unwrap().len(), 3);
}

#[test]
fn code_hosts_are_told_paths_from_the_root_of_the_repository_on() {
    let (document, code) = (document(vec![finding()]), sources());
    let report = Report {
        document: &document,
        pages: &[],
        sources: &code,
        style: Style::default(),
        below: "services/mcp/",
        here: "mcp/",
    };
    let sarif: Value = serde_json::from_str(&report.render(Format::Sarif).unwrap()).unwrap();
    let result = &sarif["runs"][0]["results"][0];
    let uri = |place: &Value| place["physicalLocation"]["artifactLocation"]["uri"].clone();
    assert_eq!(uri(&result["locations"][0]), "services/mcp/src/a%20b.ts");
    assert_eq!(uri(&result["relatedLocations"][1]), "services/mcp/src/gone.ts");
    let comment = report.render(Format::Markdown).unwrap();
    assert!(comment.contains("`services/mcp/src/a b.ts:2`") && comment.contains("```ts"), "{comment}");
    assert!(report.render(Format::Json).unwrap().contains("\"path\": \"src/a b.ts\""));
    // Whoever reads text opens files from where he stands.
    let text = report.render(Format::Text).unwrap();
    assert!(text.contains("--> mcp/src/a b.ts:2:3") && text.contains("documents.set(id, doc)"), "{text}");
    let outside = Report { below: "/srv/mcp/", ..report };
    let sarif: Value = serde_json::from_str(&outside.render(Format::Sarif).unwrap()).unwrap();
    let place = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"];
    assert_eq!(place["uri"], "file:///srv/mcp/src/a%20b.ts");
}

#[test]
fn what_nobody_looked_at_has_no_grade() {
    let nothing =
        Document::new("1.2.3", ".".to_owned(), &Layer::ALL, Vec::new(), Vec::new(), Stats::default())
            .of_nothing();
    let told = show(&nothing, Format::Text);
    assert!(told.starts_with("no source file was read") && !told.contains("grade"), "{told}");
    assert!(show(&nothing, Format::Badge).contains("not assessed"));
    assert!(show(&nothing, Format::Markdown).contains("Not assessed: no source file was read"));
    assert!(show(&nothing, Format::Html).contains("no source file was read"));
}

#[test]
fn each_result_has_a_descriptor_of_its_own_severity() {
    let low = Finding { severity: Severity::Low, confidence: Confidence::Low, ..finding() };
    let sarif: Value = serde_json::from_str(&show(&document(vec![finding(), low]), Format::Sarif)).unwrap();
    let run = &sarif["runs"][0];
    let of = |index: usize| {
        let result = &run["results"][index];
        let rule =
            &run["tool"]["driver"]["rules"][usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        (rule["id"].clone(), rule["properties"]["security-severity"].clone(), result["level"].clone())
    };
    assert_eq!(of(0), ("unscoped-cache-key".into(), "8.0".into(), "error".into()));
    assert_eq!(of(1), ("unscoped-cache-key/low".into(), "3.0".into(), "note".into()));
    assert_eq!(run["results"][1]["properties"]["rule"], "unscoped-cache-key");
    let tags = run["tool"]["driver"]["rules"][0]["properties"]["tags"].as_array().unwrap();
    assert!(tags.contains(&"external/cwe/cwe-668".into()));
}

#[test]
fn every_line_of_a_frame_is_a_box_of_its_own() {
    let html = show(&document(vec![finding()]), Format::Html);
    let frame = html.split("<pre class=\"code\">").nth(1).unwrap().split("</pre>").next().unwrap();
    assert_eq!(frame.matches("class=\"number\"").count(), 3);
    assert!(!frame.contains('\n'), "a line break inside of a box does not end its line: {frame}");
    let css: String = crate::html::CSS.split_whitespace().collect();
    assert!(
        css.contains(".code>span{display:block;") && !css.contains(".marked{background:var(--mark);display")
    );
}

#[test]
fn what_does_not_count_is_told() {
    let (new, mut known) = (finding(), finding());
    known.path = "src/old.ts".to_owned();
    let allowed = Allowed { finding: finding(), reason: "public documents".to_owned() };
    let document = document(vec![new.clone(), known.clone()])
        .with_known(vec![new], vec![known])
        .with_allowed(vec![allowed]);
    let html = show(&document, Format::Html);
    assert!(html.contains("src/old.ts") && html.contains("public documents"), "{html}");
    let style = Style { verbose: true, ..Style::default() };
    let report = Report { document: &document, pages: &[], sources: &(), style, below: "", here: "" };
    let text = report.render(Format::Text).unwrap();
    assert!(text.contains("known src/old.ts:2: unscoped-cache-key (high)"), "{text}");
    assert!(text.contains("allowed src/a b.ts:2: unscoped-cache-key (high): public documents"), "{text}");
    assert!(!show(&document, Format::Text).contains("src/old.ts"));
}

#[test]
fn a_grade_that_cannot_be_given_says_why() {
    let narrowed = document(Vec::new()).narrowed(&[Axis::Security], &[Layer::Cache]);
    let text = show(&narrowed, Format::Text);
    assert!(
        text.contains("nothing found\nnot all rules were asked for") && text.contains("security A"),
        "{text}"
    );
    assert!(show(&narrowed, Format::Badge).contains("not assessed"));
    let of_nothing = document(Vec::new()).of_nothing();
    assert!(show(&of_nothing, Format::Html).contains("no program was read, but only 3 files"));
}

#[test]
fn the_schema_is_awake() {
    let mut sarif: Value = serde_json::from_str(&show(&document(vec![finding()]), Format::Sarif)).unwrap();
    assert!(schema().is_valid(&sarif));
    sarif["runs"][0]["results"][0]["level"] = "terrible".into();
    assert!(!schema().is_valid(&sarif));
}

#[test]
fn a_comment_stays_within_what_a_code_host_takes() {
    let text = show(&document(vec![finding(); 500]), Format::Markdown);
    assert!(text.len() < 65_000);
    assert!(text.contains("more did not fit"));
    assert!(text.contains("| maintenance | not assessed | – |"));
}

#[test]
fn the_badge_has_the_grade() {
    let svg = show(&document(vec![finding()]), Format::Badge);
    assert!(svg.starts_with("<svg ") && svg.contains("grade C"));
}

#[test]
fn the_rubric_has_every_rule_and_the_points_of_the_code() {
    let text = rubric(&[RubricRule { page: PAGE, axis: Axis::Security }]);
    assert!(
        text.contains("| `unscoped-cache-key` | security | high | 30 | A cache key without the principal. |")
    );
    assert!(text.contains("| F | 0 |"));
}

#[test]
fn a_format_is_known_by_its_name() {
    for format in Format::ALL {
        assert_eq!(format.name().parse(), Ok(format));
    }
    assert!("xml".parse::<Format>().unwrap_err().to_string().contains("sarif"));
}
