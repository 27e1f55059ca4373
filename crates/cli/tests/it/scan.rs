//! `scan`, `explain`, `rules` and `schema findings` as scripts and people use them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Stdio,
};

use serde_json::Value;

use crate::support::{fails, ok, partywall, run};

const LEAK: &str = "CREATE TABLE notes (id int, tenant_id uuid);
CREATE POLICY p ON notes USING (tenant_id = current_setting('app.t')::uuid);
";
const CLEAN: &str = "CREATE TABLE notes (id int, tenant_id uuid);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON notes USING (tenant_id = nullif(current_setting('app.t', true), '')::uuid);
";

fn tree(sql: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("db")).unwrap();
    fs::write(folder.path().join("db/1.sql"), sql).unwrap();
    folder
}

fn status(folder: &Path, arguments: &[&str]) -> i32 {
    let output = run(folder, arguments, "");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
    output.status.code().unwrap()
}

#[test]
fn the_exit_status_says_whether_something_was_found() {
    let (leak, clean) = (tree(LEAK), tree(CLEAN));
    assert_eq!(status(leak.path(), &["scan"]), 1);
    assert_eq!(status(leak.path(), &["scan", "--fail-on", "never"]), 0);
    assert_eq!(status(leak.path(), &["scan", "--layer", "cache"]), 0);
    assert_eq!(status(leak.path(), &["scan", "--rule", "vulnerable-sdk"]), 0);
    assert_eq!(status(leak.path(), &["scan", "--tenancy", "single"]), 0);
    assert_eq!(status(leak.path(), &["scan", "--tenancy", "single", "--fail-on", "low"]), 1);
    assert_eq!(status(clean.path(), &["scan", ".", "--fail-on", "low"]), 0);
    fs::write(clean.path().join("package.json"), "{").unwrap();
    assert_eq!(status(clean.path(), &["scan"]), 0);
    assert_eq!(status(clean.path(), &["scan", "--strict"]), 1);
}

#[test]
fn what_cannot_run_says_what_to_do() {
    let folder = tree(CLEAN);
    let here = folder.path();
    fs::write(here.join("db/bytes.sql"), b"SELECT '\xff'").unwrap();
    for (arguments, says) in [
        (vec!["scan", "gone"], "gone"),
        (vec!["scan", "--rule", "nothing"], "partywall rules"),
        (vec!["scan", "--rule", "unscoped-qery"], "did you mean `unscoped-query`?"),
        (vec!["scan", "--rule", "app-role-owns-table"], "`partywall check`"),
        (vec!["scan", "db/bytes.sql"], "is no UTF-8"),
        (vec!["scan", "--layer", "nothing"], "identity"),
        (vec!["scan", "--format", "xml"], "sarif"),
        (vec!["scan", "--format", "json", "--format", "sarif"], "--format sarif=FILE"),
        (vec!["scan", "--baseline", "gone.json"], "--write-baseline"),
        (vec!["scan", "--format", "html=no/folder/a.html"], "no/folder"),
        (vec!["explain", "rls-not-forced-at-all"], "did you mean"),
    ] {
        let said = fails(here, &arguments, "");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

#[test]
fn what_nobody_read_is_not_good() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("README.md"), "# nothing").unwrap();
    let output = run(here, &["scan", "--format", "text", "--format", "json=a.json"], "");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("no source file was read") && !text.contains("grade A"), "{text}");
    let document: Value = serde_json::from_slice(&fs::read(here.join("a.json")).unwrap()).unwrap();
    assert_eq!(
        (document["grade"].as_str(), document["stats"]["files"].as_u64()),
        (Some("not assessed"), Some(0))
    );
    let output = run(here, &["scan", "--strict"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--strict"));
}

#[test]
fn code_hosts_get_paths_from_here_on() {
    let folder = tree(LEAK);
    let output = run(folder.path(), &["scan", "db", "--format", "sarif"], "").stdout;
    let sarif: Value = serde_json::from_slice(&output).unwrap();
    let uri = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(uri, "db/1.sql");
    assert!(output.len() < 100_000, "a log of one finding has {} bytes", output.len());
    let json: Value =
        serde_json::from_slice(&run(folder.path(), &["scan", "db", "--format", "json"], "").stdout).unwrap();
    assert_eq!(json["findings"][0]["path"], "1.sql");
    let text = String::from_utf8(run(folder.path(), &["scan", "db"], "").stdout).unwrap();
    assert!(text.contains("--> db/1.sql:2:1"), "{text}");
}

#[test]
fn a_named_folder_of_which_nothing_is_read_is_no_pass() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::create_dir(here.join("empty")).unwrap();
    fs::write(here.join("main.go"), "package main").unwrap();
    for target in ["empty", "main.go"] {
        let said = fails(here, &["scan", target], "");
        assert!(said.contains(&format!("nothing was read of {target}")), "{said}");
    }
    assert_eq!(status(here, &["scan"]), 0);
    fs::write(here.join("package.json"), "{}").unwrap();
    let output = run(here, &["scan", "."], "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("no program was read") && !text.contains("grade"), "{text}");
    assert_eq!(status(here, &["scan", "--strict"]), 1);
    assert!(fails(here, &["scan", "--write-baseline", "b.json"], "").contains("no program was read"));
}

#[test]
fn a_baseline_is_written_with_the_reports_that_are_asked_for() {
    let folder = tree(LEAK);
    let here = folder.path();
    let text =
        ok(here, &["scan", "--write-baseline", "b.json", "--format", "json=a.json", "--format", "text"], "");
    assert!(text.contains("rls-policies-inert") && here.join("b.json").is_file(), "{text}");
    let all: Value = serde_json::from_slice(&fs::read(here.join("a.json")).unwrap()).unwrap();
    let left: Value =
        serde_json::from_slice(&run(here, &["scan", "--baseline", "b.json", "--format", "json"], "").stdout)
            .unwrap();
    assert_eq!(left["known"], all["findings"]);
    assert_eq!(left["layers"]["data"]["status"], "known");
}

#[test]
fn outputs_are_looked_at_before_the_work() {
    let folder = tree(LEAK);
    let here = folder.path();
    let said = fails(here, &["scan", "--format", "json=a.json", "--format", "sarif=no/x.sarif"], "");
    assert!(said.contains("no folder no") && !here.join("a.json").exists(), "{said}");
    let said = fails(here, &["scan", "--format", "json=a", "--format", "html=./a"], "");
    assert!(said.contains("two formats go to"), "{said}");
    let output = run(here, &["scan", "--format", "json=-"], "");
    assert!(output.stdout.starts_with(b"{") && !here.join("-").exists());
}

#[test]
fn a_rule_says_whose_it_is() {
    let rules: Value =
        serde_json::from_str(&ok(Path::new("."), &["rules", "--format", "json", "--layer", "data"], ""))
            .unwrap();
    let rules = rules.as_array().unwrap();
    assert!(rules.iter().all(|rule| rule["layer"] == "data"));
    let of = |id: &str| rules.iter().find(|rule| rule["id"] == id).unwrap()["command"].clone();
    assert_eq!((of("unscoped-query"), of("app-role-owns-table")), ("scan".into(), "check".into()));
    let said = fails(Path::new("."), &["scan", "--mcp", "--layer", "data", "."], "");
    assert!(said.contains("--layer"), "{said}");
}

#[test]
fn text_shows_the_code_and_machines_get_json() {
    let folder = tree(LEAK);
    let text = String::from_utf8(run(folder.path(), &["scan"], "").stdout).unwrap();
    for part in
        ["high[rls-policies-inert]", "db/1.sql:2:1", "CREATE POLICY p ON notes", "why:", "fix:", "grade C"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let json = run(folder.path(), &["scan", "--format", "json"], "").stdout;
    let document: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(document["findings"][0]["path"], "db/1.sql");
    assert_eq!(document["layers"]["data"]["findings"], 1);
    assert_eq!(document["target"], ".");
}

#[test]
fn several_formats_go_to_several_files() {
    let folder = tree(LEAK);
    let formats = ["sarif=a.sarif", "html=a.html", "markdown=a.md", "badge=a.svg", "jsonl=a.jsonl", "json"]
        .map(|format| ["--format", format]);
    let arguments: Vec<&str> =
        ["scan", "--fail-on", "never"].into_iter().chain(formats.into_iter().flatten()).collect();
    let document: Value = serde_json::from_str(&ok(folder.path(), &arguments, "")).unwrap();
    assert_eq!(document["grade"], "C");
    for (file, holds) in [
        ("a.sarif", "\"2.1.0\""),
        ("a.html", "<!DOCTYPE html>"),
        ("a.md", "## Partywall: grade C"),
        ("a.svg", "<svg"),
        ("a.jsonl", "\"rls-policies-inert\""),
    ] {
        let text = fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(text.contains(holds), "{file}");
    }
    ok(folder.path(), &["scan", "--fail-on", "never", "--format", "json", "--output", "b.json"], "");
    assert!(fs::read_to_string(folder.path().join("b.json")).unwrap().starts_with('{'));
}

#[test]
fn a_baseline_leaves_only_what_is_new() {
    let folder = tree(LEAK);
    let here = folder.path();
    ok(here, &["scan", "--write-baseline", "known.json"], "");
    assert_eq!(status(here, &["scan", "--baseline", "known.json"]), 0);
    for chosen in
        [["--layer", "cache"], ["--rule", "vulnerable-sdk,shared-server"], ["--min-confidence", "high"]]
    {
        let arguments = [&["scan", "--baseline", "known.json", "--strict"][..], &chosen].concat();
        assert_eq!(status(here, &arguments), 0, "{chosen:?} found nothing of it, which says nothing");
    }
    let more = "CREATE TABLE files (tenant_id uuid);\nCREATE POLICY p ON files USING (true);\n";
    fs::write(here.join("db/2.sql"), more).unwrap();
    let output = run(here, &["scan", "--baseline", "known.json", "--format", "jsonl"], "");
    assert_eq!(output.status.code(), Some(1));
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.lines().count() == 1 && lines.contains("db/2.sql"), "{lines}");
    fs::write(here.join("db/1.sql"), CLEAN).unwrap();
    fs::remove_file(here.join("db/2.sql")).unwrap();
    assert_eq!(status(here, &["scan", "--baseline", "known.json"]), 0);
    assert_eq!(
        status(here, &["scan", "--baseline", "known.json", "--strict"]),
        1,
        "it lists what is no longer found"
    );
}

#[test]
fn every_rule_can_be_explained() {
    let here = Path::new(".");
    let rules: Value = serde_json::from_str(&ok(here, &["rules", "--format", "json"], "")).unwrap();
    let rules = rules.as_array().unwrap();
    assert!(rules.len() > 10);
    let text = ok(here, &["rules"], "");
    for rule in rules {
        let id = rule["id"].as_str().unwrap();
        assert!(text.contains(id));
        let page = ok(here, &["explain", id], "");
        assert!(page.starts_with(&format!("# {id}\n")));
        assert!(page.lines().count() < 260, "{id} has a page of {} lines", page.lines().count());
        assert!(!page.contains("reworded") || page.contains("--all"), "{id}");
        assert!(["high", "medium", "low"].contains(&rule["severity"].as_str().unwrap()));
    }
}

#[test]
fn a_page_is_short_unless_all_of_it_is_asked_for() {
    let here = Path::new(".");
    let (brief, all) =
        (ok(here, &["explain", "unscoped-query"], ""), ok(here, &["explain", "unscoped-query", "--all"], ""));
    assert!(brief.contains("--all") && brief.len() * 5 < all.len());
    assert!(all.contains("```py reworded") && brief.contains("```js\n"));
}

#[test]
fn a_document_is_what_its_schema_says() {
    let schema: Value = serde_json::from_str(&ok(Path::new("."), &["schema", "findings"], "")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let folder = tree(LEAK);
    let mut document: Value =
        serde_json::from_slice(&run(folder.path(), &["scan", "--format", "json"], "").stdout).unwrap();
    let errors: Vec<String> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    document["findings"][0]["severity"] = "terrible".into();
    assert!(!validator.is_valid(&document));
}

#[test]
fn the_rubric_is_that_of_the_rules() {
    let fresh = partywall_report::rubric(
        &partywall_scanner::rules::table()
            .into_iter()
            .chain([(partywall_scanner::suppress::PAGE, partywall_model::Axis::Maintenance)])
            .map(|(page, axis)| partywall_report::RubricRule { page, axis })
            .collect::<Vec<_>>(),
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rubric.md");
    if std::env::var_os("PARTYWALL_UPDATE").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == fresh,
        "docs/rubric.md is stale; write it with: PARTYWALL_UPDATE=1 cargo test -p partywall rubric"
    );
}

#[test]
fn an_mcp_client_can_scan_one_folder() {
    let folder = tree(LEAK);
    let lines = [
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"0"}}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"scan","arguments":{}}}"#,
        r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"scan","arguments":{"path":"../.."}}}"#,
    ];
    let mut child = partywall(&["scan", "--mcp", "."])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut reply = || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    writeln!(input, "{}", lines[0]).unwrap();
    assert_eq!(reply()["result"]["serverInfo"]["name"], "partywall-scan");
    writeln!(input, "{}\n{}", lines[1], lines[2]).unwrap();
    let found = reply();
    let document: Value =
        serde_json::from_str(found["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(document["findings"][0]["rule"], "rls-policies-inert");
    writeln!(input, "{}", lines[3]).unwrap();
    assert_eq!(reply()["result"]["isError"], true);
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_runs_the_command_elsewhere_uses_flags_that_it_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let help = ok(&root, &["scan", "--help"], "");
    for file in ["action.yml", "integrations/gitlab.yml", "docs/scan.md"] {
        let text = fs::read_to_string(root.join(file)).unwrap();
        let lines = text.lines().filter(|line| line.contains("partywall scan") || line.contains("arguments"));
        let flags: Vec<&str> = lines
            .flat_map(|line| line.split([' ', '(', ')', '"', '`']))
            .filter(|word| word.starts_with("--") && word.len() > 2)
            .collect();
        assert!(!flags.is_empty(), "{file} starts no scan");
        for flag in flags {
            assert!(help.contains(flag), "{file} uses {flag}");
        }
    }
    let hook = fs::read_to_string(root.join(".pre-commit-hooks.yaml")).unwrap();
    assert!(hook.contains("entry: partywall scan"));
    let files = hook.lines().find_map(|line| line.trim().strip_prefix("files:")).unwrap();
    for name in [
        "mts",
        "cts",
        "prisma",
        "Dockerfile",
        "compose",
        "requirements",
        "Procfile",
        "sh",
        "pnpm-",
        "yarn",
        "sql",
        "py",
    ] {
        assert!(files.contains(name), "the hook does not run for {name}");
    }
}

#[test]
fn hostile_trees_end_with_a_notice() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let brackets = format!("let a = {}1{}\n", "[".repeat(10_000), "]".repeat(10_000));
    for (path, text) in [
        ("deep.ts", brackets.clone().into_bytes()),
        ("deep.py", brackets.replace("let ", "").into_bytes()),
        ("deep.sql", format!("SELECT {}1{};", "(".repeat(10_000), ")".repeat(10_000)).into_bytes()),
        ("long.js", format!("let a = '{}'\n", "x".repeat(4_900_000)).into_bytes()),
        ("big.py", vec![b'#'; 10 * 1024 * 1024]),
        ("bytes.ts", b"let a = '\xff\xfe\xfd'\n".to_vec()),
        ("package.json", b"{\"a\": ".repeat(50_000)),
        ("schema.prisma", b"model ".repeat(10_000)),
        ("\u{1b}[31mred.ts", b"let a = 1\n".to_vec()),
    ] {
        fs::write(here.join(path), text).unwrap();
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(here, here.join("loop")).unwrap();
    let output = run(here, &["scan", "-v"], "");
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    for part in ["deep.ts", "long.js", "big.py", "bytes.ts", "package.json"] {
        assert!(text.contains(&format!("skipped {part}")), "{part} is not told in {text}");
    }
    assert!(!text.contains('\u{1b}'), "a name moves the terminal");
}
