//! The six failure patterns that the scanner was started for, dangerous and safe, as files of `tests/patterns`.
//!
//! `<layer>.bad.<language>` must have a finding of its layer that is high (low, where the pattern is latent), and
//! `<layer>.good.<language>` no finding that is high, of any layer, and none of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, path::Path};

use partywall_model::{Layer, Severity};
use partywall_scanner::{Options, Tenancy, scan};

/// Files in which nothing waits between the write and the read.
const LATENT: &[&str] = &["state.bad.js"];

/// Dangerous files in which nothing is found yet. One that is found has to leave this list.
const MISSED: &[&str] = &[];

/// A table with a tenant, for queries to be about.
const SCHEMA: &str = "create table invoices (id uuid primary key, tenant_id uuid not null, month text, total int);\n\
     create table project (id uuid primary key, organization_id uuid not null, name text, state text);\n";

fn findings(name: &str) -> Vec<(Layer, Severity, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/patterns").join(name);
    let folder = tempfile::tempdir().unwrap();
    // The name must not look like that of a test, which is left out.
    let extension = name.rsplit('.').next().unwrap();
    fs::copy(&source, folder.path().join(format!("server.{extension}"))).unwrap();
    fs::write(folder.path().join("schema.sql"), SCHEMA).unwrap();
    let mut options = Options { tenancy: Tenancy::Multi, ..Options::default() };
    options.selection.targets = vec![folder.path().to_owned()];
    let scan = scan(&options, &()).unwrap();
    let own = scan.document.findings.into_iter().filter(|finding| !finding.path.ends_with(".sql"));
    own.map(|finding| (finding.layer, finding.severity, format!("{}:{}", finding.rule, finding.line)))
        .collect()
}

fn check(layer: Layer) {
    let mut wrong = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/patterns");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.split(['.', '-']).next() == Some(layer.name()))
        .collect();
    names.sort();
    assert!(names.len() >= 4, "too few files for {}: {names:?}", layer.name());
    for name in &names {
        let all = findings(name);
        let own: Vec<_> = all.iter().filter(|(of, ..)| *of == layer).collect();
        if name.contains(".good.") {
            if !own.is_empty() || all.iter().any(|(_, severity, _)| *severity == Severity::High) {
                wrong.push(format!("{name} is safe, but: {all:?}"));
            }
            continue;
        }
        if MISSED.contains(&name.as_str()) {
            if !own.is_empty() {
                wrong.push(format!("{name} is found now: take it off the list of those that are missed"));
            }
            continue;
        }
        let wanted = if LATENT.contains(&name.as_str()) { Severity::Low } else { Severity::High };
        if !own.iter().any(|(_, severity, _)| *severity == wanted) {
            wrong.push(format!("{name} has no finding that is {}: {all:?}", wanted.name()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn state_of_a_module() {
    check(Layer::State);
}

#[test]
fn rows_without_a_tenant() {
    check(Layer::Data);
}

#[test]
fn caches_without_a_tenant() {
    check(Layer::Cache);
}

#[test]
fn one_credential_for_all() {
    check(Layer::Credentials);
}

#[test]
fn a_tenant_from_the_arguments() {
    check(Layer::Identity);
}

#[test]
fn no_context() {
    check(Layer::Context);
}

/// A server whose rows say whose they are, and whose code names hardly anybody.
const FEW_WORDS: &str = r#"import { Hono } from "hono";
const app = new Hono();
app.get("/pins", async (c) => c.json(await c.env.DB.prepare("SELECT x FROM pins WHERE owner_id = ?").bind(c.get("who")).all()));
app.delete("/pins/:id", async (c) => {
  await c.env.DB.prepare("DELETE FROM pins WHERE id = ?").bind(c.req.param("id")).run();
  return c.json({ gone: true });
});
export default app;
"#;

#[test]
fn rows_that_say_whose_they_are_speak_of_several_people() {
    let found = |source: &str| -> Vec<(String, u32, Severity)> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("package.json"), r#"{"name":"pins","dependencies":{"hono":"*"}}"#)
            .unwrap();
        fs::write(folder.path().join("server.ts"), source).unwrap();
        let mut options = Options::default();
        options.selection.targets = vec![folder.path().to_owned()];
        let findings = scan(&options, &()).unwrap().document.findings.into_iter();
        findings.map(|finding| (finding.rule, finding.line, finding.severity)).collect()
    };
    assert_eq!(found(FEW_WORDS), [("unscoped-query".to_owned(), 5, Severity::Medium)]);
    let mended = FEW_WORDS
        .replace("WHERE id = ?", "WHERE id = ? AND owner_id = ?")
        .replace("c.req.param(\"id\"))", "c.req.param(\"id\"), c.get(\"who\"))");
    assert_eq!(found(&mended), []);
}
