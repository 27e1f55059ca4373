//! Whole runs over small trees.

use std::fs;

use super::*;

const LEAK: &str = "CREATE TABLE notes (id int, tenant_id uuid);\nCREATE POLICY p ON notes USING (tenant_id = current_setting('app.t')::uuid);\n";

fn run(files: &[(&str, &str)], change: impl FnOnce(&mut Options)) -> Result<Scan, ScanError> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut options = Options::default();
    options.selection.targets = vec![folder.path().to_owned()];
    change(&mut options);
    scan(&options, &())
}

fn rules(scan: &Scan) -> Vec<&str> {
    scan.document.findings.iter().map(|finding| finding.rule.as_str()).collect()
}

#[test]
fn a_tree_becomes_a_document() {
    let scan = run(&[("db/1.sql", LEAK), ("package.json", "{"), ("src/a.test.ts", "")], |_| {}).unwrap();
    assert_eq!(rules(&scan), ["rls-policies-inert"]);
    let finding = &scan.document.findings[0];
    assert_eq!((finding.path.as_str(), finding.line, finding.fingerprint.len()), ("db/1.sql", 2, 32));
    assert_eq!(scan.document.grade, "C");
    assert_eq!(scan.not_understood, 1);
    assert_eq!(scan.document.skipped.len(), 2);
    assert_eq!(scan.texts.keys().collect::<Vec<_>>(), ["db/1.sql"]);
    assert_eq!(scan.document.axes["documentation"].score, None);
}

#[test]
fn only_what_is_asked_for_is_told() {
    let none = run(&[("1.sql", LEAK)], |options| options.layers = vec![Layer::Cache]).unwrap();
    assert!(none.document.findings.is_empty());
    let other = run(&[("1.sql", LEAK)], |options| options.rules = vec!["vulnerable-sdk".to_owned()]).unwrap();
    assert!(other.document.findings.is_empty());
    let single = run(&[("1.sql", LEAK)], |options| options.tenancy = Tenancy::Single).unwrap();
    assert_eq!(single.document.findings[0].severity, Severity::Low);
    let unknown = run(&[], |options| options.rules = vec!["nothing".to_owned()]).unwrap_err().to_string();
    assert!(unknown.contains("partywall rules"), "{unknown}");
}

#[test]
fn a_comment_with_a_reason_allows_a_finding_and_is_counted() {
    let text = LEAK.replace(
        "CREATE POLICY",
        "-- partywall: allow rls-policies-inert -- enabled by the operator\nCREATE POLICY",
    );
    let scan = run(&[("1.sql", &text)], |_| {}).unwrap();
    assert!(scan.document.findings.is_empty(), "{:?}", scan.document.findings);
    assert!(scan.document.notes.iter().any(|note| note.contains("allowed by comments")));
    let unused =
        run(&[("1.sql", "-- partywall: allow rls-policies-inert -- x\nSELECT 1;\n")], |_| {}).unwrap();
    assert_eq!(rules(&unused), ["unused-suppression"]);
}

#[test]
fn every_rule_has_a_page_of_its_own() {
    let mut ids: Vec<&str> = pages().iter().map(|page| page.check.id).collect();
    for page in pages() {
        assert!(page.markdown.starts_with(&format!("# {}\n", page.check.id)), "{}", page.check.id);
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "two rules have one id");
}

#[test]
fn a_rule_or_front_end_that_panics_is_told_and_costs_only_its_own_findings() {
    let mut skipped = Vec::new();
    let lost = judge("bad", "tree", &mut skipped, || panic!("a defect of a rule"));
    assert!(lost.is_empty());
    assert_eq!(skipped.len(), 1);
    assert_eq!(skipped[0].path, "tree");
    assert!(skipped[0].reason.contains("the rule bad stopped"), "{}", skipped[0].reason);
    let kept = judge("good", "tree", &mut skipped, Vec::new);
    assert!(kept.is_empty() && skipped.len() == 1);
    assert_eq!(survive(|| 1), Some(1));
    assert_eq!(survive(|| -> u32 { panic!("a defect of a front end") }), None);
}
