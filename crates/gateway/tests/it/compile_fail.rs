//! What must not compile: the six failure patterns, forging a permit or a context, and mixing two calls.
//!
//! Each `tests/compile_fail/leak_*.rs` is a tool or a piece of code that would leak, with what the compiler says of it
//! beside it. `safe.rs` is the same done right; it is compiled into this binary, so that a file cannot fail because
//! an API is not what it takes it for.
//!
//! The pieces are examples of this package behind the feature `leaks`, and cargo checks them in the workspace's own build
//! folder. Cargo's lock on that folder is free while tests run. (A build of their own, as `trybuild` makes, compiles every
//! dependency once more, C included: a sixth of the time of all tests.)

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use partywall_gateway::Tool;
use serde_json::Value;

#[expect(dead_code, reason = "that it compiles is the test")]
#[path = "../compile_fail/safe.rs"]
mod safe;

/// What the documentation of `Tool` shows: it is compiled here, because a run of `rustdoc --test` costs a minute.
#[path = "../compile_fail/greet.rs"]
mod greet;

#[test]
fn what_the_documentation_shows_is_a_tool() {
    fn takes(_tool: impl Tool<Args = greet::Args>, args: &greet::Args) -> String {
        args.name.clone()
    }
    let args: greet::Args = serde_json::from_value(serde_json::json!({"name": "you"})).unwrap();
    assert_eq!(takes(greet::Greet, &args), "you");
}

#[test]
fn the_usual_leaks_do_not_compile() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_fail");
    let pieces = pieces(&folder);
    assert!(pieces.len() >= 9, "{pieces:?}");
    let said = check(pieces.keys());
    let update = std::env::var_os("PARTYWALL_UPDATE").is_some();
    for (name, path) in &pieces {
        let errors = said.get(name).map(String::as_str).unwrap_or_default();
        assert!(!errors.is_empty(), "{name} compiles, and it must not");
        let expected = path.with_extension("errors");
        if update {
            fs::write(&expected, errors).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(
            errors, expected,
            "{name} fails for another reason; if that is right: PARTYWALL_UPDATE=1 cargo test -p partywall-gateway compile"
        );
    }
}

/// The pieces by name. One that the manifest does not name would be built by nobody.
fn pieces(folder: &Path) -> BTreeMap<String, PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let leaks = files.filter_map(|path| {
        let name = path.file_stem()?.to_str()?.to_owned();
        (name.starts_with("leak_") && path.extension()? == "rs").then_some((name, path))
    });
    leaks.collect()
}

/// What the compiler says of each: a line for each error, with its line in the file and what stands at the marked place.
fn check<'n>(names: impl Iterator<Item = &'n String>) -> BTreeMap<String, String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["check", "--workspace", "--keep-going", "--quiet", "--message-format=json"]);
    command.args(["--features", "partywall-gateway/leaks"]);
    for name in names {
        command.args(["--example", name]);
    }
    let output = command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).output().unwrap();
    assert!(!output.status.success(), "all of them compile");
    let mut said: BTreeMap<String, BTreeSet<(u64, String)>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        let words = &message["message"];
        if message["reason"] != "compiler-message" || words["level"] != "error" {
            continue;
        }
        let spans = words["spans"].as_array().unwrap();
        let marked: Vec<_> = spans.iter().filter(|span| span["is_primary"] == true).collect();
        // Without a place: how many errors there were.
        let Some(first) = marked.first() else { continue };
        let name = message["target"]["name"].as_str().unwrap().to_owned();
        let mut text = words["message"].as_str().unwrap().to_owned();
        if let Some(code) = words["code"]["code"].as_str() {
            text = format!("{code} {text}");
        }
        for span in &marked {
            if let Some(label) = span["label"].as_str() {
                write!(text, "; {label}").unwrap();
            }
        }
        said.entry(name).or_default().insert((first["line_start"].as_u64().unwrap(), text));
    }
    let shown = said.into_iter().map(|(name, errors)| {
        let lines = errors.into_iter().map(|(line, text)| format!("{line}: {text}\n"));
        (name, lines.collect())
    });
    shown.collect()
}
