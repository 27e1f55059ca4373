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
    /// Where the JSON document goes; `-` is standard output. Default: beside the page, and never over evidence.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// When to end with status 1, and with 2 where a run was not complete.
    #[arg(long, value_enum, default_value_t = FailWhen::Found)]
    fail_on: FailWhen,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailWhen {
    /// Something was found or leaked, or a log is damaged.
    Found,
    /// Never.
    Never,
}

/// Runs `partywall report`.
pub(crate) fn run(arguments: &ReportArguments) -> anyhow::Result<ExitCode> {
    let beside = beside(&arguments.output, &arguments.files);
    let json_file = arguments.json.as_deref().unwrap_or(&beside);
    let to_stdout = json_file == Path::new("-");
    replaces_nothing(&arguments.files, &arguments.output, Some(json_file).filter(|_| !to_stdout))?;
    let mut pieces = arguments.files.iter().map(|path| read(path)).collect::<anyhow::Result<Vec<_>>>()?;
    if arguments.demo {
        pieces.extend(demo::evidence()?);
    }
    let date = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let bundle = Bundle::new(env!("CARGO_PKG_VERSION"), date, arguments.commit.clone(), &pieces);
    scan::write(&arguments.output, &bundle.html())?;
    let json = serde_json::to_string_pretty(&bundle)? + "\n";
    if to_stdout {
        output::print(&json)?;
    } else {
        scan::write(json_file, &json)?;
        output::note(&format!("wrote {} and {}", arguments.output.display(), json_file.display()));
    }
    Ok(match arguments.fail_on {
        FailWhen::Never => ExitCode::SUCCESS,
        FailWhen::Found if bundle.has_found() => ExitCode::from(1),
        FailWhen::Found if !bundle.incomplete.is_empty() => {
            output::note(&format!("status 2: {}", bundle.incomplete.join("; ")));
            ExitCode::from(2)
        }
        FailWhen::Found => ExitCode::SUCCESS,
    })
}

/// The JSON document beside the page, under a name that no evidence has.
fn beside(page: &Path, files: &[PathBuf]) -> PathBuf {
    let json = page.with_extension("json");
    if files.iter().any(|file| scan::same(file, &json)) { page.with_extension("report.json") } else { json }
}

/// That neither of the two files is the other, or evidence that would be lost.
fn replaces_nothing(files: &[PathBuf], page: &Path, json: Option<&Path>) -> anyhow::Result<()> {
    for output in [Some(page), json].into_iter().flatten() {
        ensure!(
            !files.iter().any(|file| scan::same(file, output)),
            "{} is evidence, and the report would replace it; name another file",
            output.display()
        );
        scan::can_be_written(output)?;
    }
    ensure!(
        !json.is_some_and(|json| scan::same(json, page)),
        "the page and the JSON document would both go to {}; name another file with --output or --json",
        page.display()
    );
    Ok(())
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
        let verdicts = serde_json::from_value::<Verdicts>(value).context(help)?;
        ensure!(verdicts.schema == 1, "its format is version {}; this reads version 1", verdicts.schema);
        return Ok(Piece::Verdicts(verdicts));
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

    #[test]
    fn verdicts_of_another_version_are_refused() {
        let text = r#"{"schema":2,"tool":{"name":"partywall","version":"9"},"target":"t","protocols":[],"verdicts":[],
            "summary":{"leaked":0,"isolated":0,"inconclusive":0,"not_run":0},"stats":{"requests":0,"seconds":0}}"#;
        assert!(format!("{:#}", piece(text).unwrap_err()).contains("version 2"));
        assert!(matches!(piece(&text.replacen('2', "1", 1)), Ok(Piece::Verdicts(_))));
    }

    #[test]
    fn a_report_replaces_no_evidence_and_not_itself() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let files = [at("scan.json")];
        fs::write(at("scan.json"), "{}").unwrap();
        assert_eq!(beside(&at("scan.html"), &files), at("scan.report.json"));
        assert_eq!(beside(&at("other.html"), &files), at("other.json"));
        for (page, json) in [("scan.json", "x.json"), ("x.html", "scan.json"), ("all.json", "all.json")] {
            let wrong = replaces_nothing(&files, &at(page), Some(&at(json))).unwrap_err().to_string();
            assert!(wrong.contains("name another file"), "{wrong}");
        }
        replaces_nothing(&files, &at("x.html"), Some(&at("x.json"))).unwrap();
    }
}
