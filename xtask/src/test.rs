//! `cargo xtask test`: every test there is. What is missing fails; nothing is skipped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    process::{Running, follow, must},
    say::say,
    servers::Servers,
    summary::Summary,
    tools::{self, fresh_folder},
};

const BUILD: Duration = Duration::from_secs(60 * 60);
const PART: Duration = Duration::from_secs(15 * 60);

/// Everything that a part needs to know.
struct Bench<'r> {
    root: &'r Path,
    /// Our own folder among the build results.
    own: PathBuf,
    /// Where the built programs are.
    built: PathBuf,
    node: PathBuf,
    python: PathBuf,
}

/// Whether all tests passed.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let built = built()?;
    let own = built.join("../xtask");
    fs::create_dir_all(&own)?;
    let own = own.canonicalize()?;
    let node = tools::node(root, &own)?;
    let python = tools::python(root)?;
    // One of the fences around servers that the gateway starts; whether the kernel lets it be used, the tests find out.
    tools::program("bwrap", "bubblewrap")?;
    let place = Bench { root, own, built, node, python };
    let mut summary = Summary::default();

    say("\n== build");
    must(
        Command::new("cargo").args(["build", "--workspace", "--exclude", "xtask", "--bins", "--examples"]),
        BUILD,
    )?;
    say("\n== unit and integration tests");
    let servers = Servers::start(&place.own)?;
    cargo_test(&servers, &mut summary)?;
    drop(servers);
    say("\n== conformance");
    place.conformance(&mut summary)?;
    say("\n== real clients");
    place.clients(&mut summary)?;

    say(&format!("\n{summary}"));
    Ok(summary.is_good())
}

/// The folder of the running program, which is the one cargo puts programs into.
pub(crate) fn built() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().context("this program stands in no folder")?.to_owned())
}

/// The tests inside of crates and those beside them at the same time: many of both wait for a clock or a process.
fn cargo_test(servers: &Servers, summary: &mut Summary) -> Result<()> {
    must(Command::new("cargo").args(["test", "--workspace", "--no-run"]), BUILD)?;
    let run = |targets: &[&str], threads: &str, show: bool| -> Result<(bool, Said, Vec<String>)> {
        let (mut said, mut lines) = (Said::default(), Vec::new());
        let mut command = Command::new("cargo");
        servers.tell(command.args(["test", "--workspace", "--no-fail-fast"]).args(targets));
        command.env("RUST_TEST_THREADS", threads);
        let good = follow(command.stdin(Stdio::null()), BUILD, |line| {
            said.read(line);
            if show {
                say(line);
            } else {
                lines.push(line.to_owned());
            }
        })?;
        Ok((good, said, lines))
    };
    let (inside, beside) = thread::scope(|scope| {
        let inside = scope.spawn(|| run(&["--lib", "--bins"], "3", false));
        // Those wait for most of their time.
        let beside = run(&["--test", "*"], "4", true);
        (inside.join(), beside)
    });
    let inside = inside.map_err(|_panic| anyhow::anyhow!("what ran the unit tests stopped"))?;
    for (name, (good, said, lines)) in [("unit tests", inside?), ("integration tests", beside?)] {
        for line in lines {
            say(&line);
        }
        summary.add(name, good, said.passed, said.failed);
        summary.tell(said.failures);
    }
    Ok(())
}

/// The most lines that are kept of what one test program says of its failures.
const FAILURES: usize = 200;

/// What the test programs say of themselves.
#[derive(Default)]
struct Said {
    passed: usize,
    failed: usize,
    /// What the failed tests printed, to be shown again where everybody looks: at the end.
    failures: Vec<String>,
    /// How many lines of failures the program that is running may still add; none while it has named none.
    room: usize,
}

impl Said {
    fn read(&mut self, line: &str) {
        if let Some(counts) = line.trim().strip_prefix("test result: ") {
            self.passed += number_before(counts, " passed").unwrap_or(0);
            self.failed += number_before(counts, " failed").unwrap_or(0);
            self.room = 0;
        } else if line == "failures:" {
            // The second of a program, which only lists the names, ends what is kept.
            self.room = if self.room == 0 { FAILURES } else { 0 };
        } else if self.room > 0 {
            self.failures.push(line.to_owned());
            self.room -= 1;
        }
    }
}

impl Bench<'_> {
    /// The official suite, for each revision that has requirements.
    fn conformance(&self, summary: &mut Summary) -> Result<()> {
        for revision in ["2026-07-28", "2025-11-25"] {
            let mut passed = 0;
            let mut command = Command::new(&self.node);
            command.arg(self.root.join("tests/conformance/run.mjs"));
            command.arg(self.built.join("examples/conformance")).arg(revision).stdin(Stdio::null());
            let good = follow(&mut command, PART, |line| {
                say(line);
                if let Some(rest) = line.strip_prefix("conformance ") {
                    passed = number_before(rest, " checks passed").unwrap_or(0);
                }
            })?;
            summary.add(format!("conformance {revision}"), good, passed, 0);
        }
        Ok(())
    }

    /// Each client, as both tenants of one demo.
    fn clients(&self, summary: &mut Summary) -> Result<()> {
        let folder = fresh_folder(self.own.join("demo"))?;
        let mut command = Command::new(self.built.join("partywall"));
        command.args(["demo", "--port", "0", "--json", "--dir"]).arg(folder.join("files"));
        let mut demo = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let ready = folder.join("ready.json");
        fs::write(&ready, demo.first_line(Duration::from_secs(60))?)?;

        let clients = self.root.join("tests/clients");
        for (name, program, script) in [
            ("TypeScript SDK 1.x", &self.node, "sdk-v1.mjs"),
            ("TypeScript SDK 2.x", &self.node, "sdk-v2.mjs"),
            ("Python SDK", &self.python, "python_sdk.py"),
            ("Inspector", &self.node, "inspector.mjs"),
        ] {
            let mut command = Command::new(program);
            command.arg(clients.join(script)).arg(&ready).stdin(Stdio::null());
            let good = follow(&mut command, PART, say)?;
            summary.add(name, good, usize::from(good), 0);
        }
        drop(demo);
        fs::remove_dir_all(&folder)?;
        Ok(())
    }
}

/// The number that stands before a word: 12 in `ok. 12 passed; …`.
fn number_before(text: &str, word: &str) -> Option<usize> {
    let (before, _) = text.split_once(word)?;
    before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_lines_that_say_them() {
        let line = "ok. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s";
        assert_eq!(number_before(line, " passed"), Some(12));
        assert_eq!(number_before(line, " failed"), Some(3));
        assert_eq!(number_before("2026-07-28: ok, 141 checks passed, 16", " checks passed"), Some(141));
        assert_eq!(number_before("nothing", " passed"), None);
    }

    #[test]
    fn what_failed_tests_printed_is_kept_and_nothing_else() {
        let mut said = Said::default();
        let printed = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\nleft: 1\n\n\n\
                       failures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed; 0 ignored\nrunning 1 test";
        printed.lines().for_each(|line| said.read(line));
        assert_eq!((said.passed, said.failed), (1, 1));
        assert_eq!(said.failures, ["", "---- b stdout ----", "left: 1", "", ""]);

        said.read("failures:");
        (0..FAILURES * 2).for_each(|_| said.read("more"));
        assert_eq!(said.failures.len(), 5 + FAILURES);
    }
}
