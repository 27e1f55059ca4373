//! `partywall report`: what scan, probe, check and audit said, in one bundle of evidence.

mod demo;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use partywall_model::{Document, Verdicts};
use partywall_report::{AuditedLog, Bundle, Piece};
use serde_json::Value;

use crate::{output, scan};

#[derive(Args)]
pub(crate) struct ReportArguments {
    /// Files that `scan`, `check` and `probe` wrote with --format json, or `audit verify --json`; any of them.
    #[arg(required_unless_present = "demo")]
    files: Vec<PathBuf>,
    /// Make the evidence for the demo: start it, attack it, verify its audit logs, stop it.
    #[arg(long)]
    demo: bool,
    /// The commit that was looked at.
    #[arg(long, value_name = "HASH")]
    commit: Option<String>,
    /// Where the page goes.
    #[arg(long, value_name = "FILE", default_value = "partywall-report.html")]
    output: PathBuf,
    /// Where the JSON document goes; `-` is standard output. Default: beside the page.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// When to end with status 1.
    #[arg(long, value_enum, default_value_t = FailWhen::Found)]
    fail_on: FailWhen,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailWhen {
    /// Something was found or leaked.
    Found,
    /// Never.
    Never,
}

/// Runs `partywall report`.
pub(crate) fn run(arguments: &ReportArguments) -> anyhow::Result<ExitCode> {
    let mut pieces = arguments.files.iter().map(|path| read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    if arguments.demo {
        pieces.extend(demo::evidence()?);
    }
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let bundle = Bundle::new(env!("CARGO_PKG_VERSION"), date, arguments.commit.clone(), &pieces);
    scan::write(&arguments.output, &bundle.html())?;
    let json = serde_json::to_string_pretty(&bundle)? + "\n";
    let beside = arguments.output.with_extension("json");
    match arguments.json.as_deref().unwrap_or(&beside) {
        path if path == Path::new("-") => output::print(&json)?,
        path => {
            scan::write(path, &json)?;
            output::note(&format!("wrote {} and {}", arguments.output.display(), path.display()));
        }
    }
    let failed = arguments.fail_on == FailWhen::Found && bundle.has_found();
    Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn read(path: &Path) -> anyhow::Result<(String, Piece)> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let piece = piece(&text).with_context(|| path.display().to_string())?;
    Ok((path.display().to_string(), piece))
}

/// What a text is, by what stands in it.
fn piece(text: &str) -> anyhow::Result<Piece> {
    let help = "it is no output of scan, check or probe with --format json, or of audit verify --json";
    let Ok(value) = serde_json::from_str::<Value>(text) else { return audit(text).context(help) };
    if value.get("verdicts").is_some() {
        return Ok(Piece::Verdicts(serde_json::from_value::<Verdicts>(value).context(help)?));
    }
    if value.get("findings").is_some() {
        let document = serde_json::from_value::<Document>(value).context(help)?;
        ensure!(document.schema == 1, "its format is version {}; this reads version 1", document.schema);
        return Ok(Piece::Findings(document));
    }
    audit(text).context(help)
}

fn audit(text: &str) -> anyhow::Result<Piece> {
    let logs = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(serde_json::from_str::<AuditedLog>)
        .collect::<Result<Vec<_>, _>>()?;
    if logs.is_empty() {
        bail!("it is empty");
    }
    Ok(Piece::Audit(logs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_what_stands_in_them() {
        let log = r#"{"log":"acme","verdict":"whole","first":1,"last":7,"head":"ab","lost":0,"notes":[]}"#;
        assert!(matches!(piece(&format!("{log}\n{log}\n")), Ok(Piece::Audit(logs)) if logs.len() == 2));
        assert!(matches!(piece(log), Ok(Piece::Audit(_))));
        for wrong in ["", "{}", "[]", "hello", "{\"findings\": 3}", "{\"verdicts\": {}}"] {
            let error = format!("{:#}", piece(wrong).unwrap_err());
            assert!(error.contains("--format json"), "{wrong}: {error}");
        }
    }
}
