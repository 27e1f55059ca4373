//! The evidence for the demo: this very program serves it, attacks it and verifies its logs.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use partywall_report::Piece;
use serde_json::Value;

use crate::output;

/// A running demo; it is stopped when dropped.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Starts the demo in a folder of its own, attacks it with writes, and verifies its audit logs.
pub(super) fn evidence() -> anyhow::Result<Vec<(String, Piece)>> {
    let program = std::env::current_exe().context("cannot find this program")?;
    // A folder of our own, which is taken away with everything in it.
    let folder = tempfile::tempdir().context("cannot make a folder for the demo")?;
    attack(&program, folder.path())
}

fn attack(program: &Path, folder: &Path) -> anyhow::Result<Vec<(String, Piece)>> {
    let place = folder.join("demo");
    let mut demo = Demo(
        Command::new(program)
            .args(["demo", "--json", "--port", "0", "--dir"])
            .arg(&place)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .context("cannot start the demo")?,
    );
    let mut line = String::new();
    let stdout = demo.0.stdout.take().context("the demo has no output")?;
    BufReader::new(stdout).read_line(&mut line).context("the demo said nothing")?;
    let ready: Value =
        serde_json::from_str(&line).context("the demo did not start; what it said stands above")?;
    let url = ready.get("url").and_then(Value::as_str).context("the demo named no address")?;
    let mut probe = Command::new(program);
    probe.args(["probe", url, "--allow-writes", "--format", "json"]);
    for (name, token) in ready.get("tokens").and_then(Value::as_object).into_iter().flatten() {
        let variable = format!("PARTYWALL_REPORT_{}", name.to_ascii_uppercase());
        probe.env(&variable, token.as_str().unwrap_or_default());
        probe.args(["--tenant", &format!("{name}=env:{variable}")]);
    }
    output::note("attacking the demo; this takes about a minute");
    let verdicts = said(&mut probe, "probe")?;
    drop(demo);
    let mut verify = Command::new(program);
    verify.args(["audit", "--config"]).arg(place.join("partywall.toml")).args(["verify", "--json"]);
    let logs = said(&mut verify, "audit verify")?;
    Ok(vec![
        ("partywall probe (the demo)".to_owned(), super::piece(&verdicts).context("what probe said")?),
        (
            "partywall audit verify (the demo)".to_owned(),
            super::piece(&logs).context("what audit verify said")?,
        ),
    ])
}

/// What a command printed; status 1 says that it found something, which is evidence too, and so is what a run says that was not
/// complete.
fn said(command: &mut Command, name: &str) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {name}"))?;
    ensure!(
        matches!(output.status.code(), Some(0 | 1))
            || (output.status.code() == Some(2) && !output.stdout.is_empty()),
        "{name} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout).with_context(|| format!("{name} printed no text"))
}
