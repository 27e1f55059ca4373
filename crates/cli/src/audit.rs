//! `audit tail` and `audit verify`.

use std::{
    collections::{BTreeMap, HashMap},
    process::ExitCode,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::ensure;
use partywall_gateway::{
    audit::{LogReport, Logs, Seen, Verdict},
    config::Config,
};
use serde::Deserialize;

use crate::{
    args::{Audit, AuditAction},
    output::{note, print},
    serve::environment,
};

pub(crate) fn run(command: &Audit) -> anyhow::Result<ExitCode> {
    let logs = Logs::open(&Config::load(&command.file.config)?, &environment())?;
    match &command.action {
        AuditAction::Tail { tenant, lines, follow, json } => {
            let show: fn(&str) -> String = if *json { str::to_owned } else { told };
            tail(&logs, tenant.as_deref(), *lines as usize, *follow, show)?;
            Ok(ExitCode::SUCCESS)
        }
        AuditAction::Verify { tenant, json } => verify(&logs, tenant.as_deref(), *json),
    }
}

/// The logs to look at.
fn names(logs: &Logs, tenant: Option<&str>) -> anyhow::Result<Vec<String>> {
    let Some(tenant) = tenant else { return Ok(logs.names()?) };
    ensure!(
        logs.has(tenant)?,
        "there is no audit log of `{tenant}` in {}; `partywall tenant list` shows the tenants, and a log begins with \
         the first request",
        logs.place()
    );
    Ok(vec![tenant.to_owned()])
}

fn verify(logs: &Logs, tenant: Option<&str>, json: bool) -> anyhow::Result<ExitCode> {
    let (mut all, mut damaged) = (0, 0);
    for log in names(logs, tenant)? {
        for report in logs.verify(&log)? {
            all += 1;
            damaged += usize::from(report.verdict != Verdict::Whole);
            print(&if json { serde_json::to_string(&report)? } else { summary(&report) })?;
        }
    }
    match (all, damaged) {
        (0, _) => note("there is no audit log yet: it begins with the first request"),
        (1, 0) => note("the log is whole"),
        (all, 0) => note(&format!("all {all} logs are whole")),
        (all, some) => note(&format!("{some} of {all} logs are damaged; {}", advice(logs))),
    }
    Ok(if damaged > 0 { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// What to do about damage.
fn advice(logs: &Logs) -> &'static str {
    match logs {
        Logs::Files(_) => {
            "move the files that are named, and not their .head files, away as evidence: the gateway then goes on after the \
             last line that it knows of"
        }
        Logs::Central(_) => {
            "copy the rows of the servers that are named, from partywall.audit and partywall.audit_head, as evidence before \
             anything is changed; a server begins a chain of its own when it starts again"
        }
    }
}

fn summary(report: &LogReport) -> String {
    let mut text = match &report.verdict {
        Verdict::Whole => {
            format!("{}: lines {} to {}, head {}", report.log, report.first, report.last, report.head)
        }
        Verdict::Damaged { file, at, problem } => {
            format!("{}: DAMAGED at {}:{at}: {problem}", report.log, file.display())
        }
    };
    if report.lost > 0 {
        text.push_str(&format!("\n  note: {} lines could not be written at the time", report.lost));
    }
    for note in &report.notes {
        text.push_str(&format!("\n  note: {note}"));
    }
    text
}

fn tail(
    logs: &Logs,
    tenant: Option<&str>,
    most: usize,
    follow: bool,
    show: fn(&str) -> String,
) -> anyhow::Result<()> {
    let mut seen: HashMap<String, Seen> = HashMap::new();
    let mut latest: BTreeMap<(u64, String, u64), String> = BTreeMap::new();
    let found = match names(logs, tenant) {
        // One who follows may wait for the first request.
        Err(_none_yet) if follow => Vec::new(),
        other => other?,
    };
    for log in found {
        let (lines, so_far) = logs.tail_to_follow(&log, most.max(1))?;
        for line in &lines {
            let key = key(line);
            latest.insert((key.0, log.clone(), key.1), line.clone());
        }
        seen.insert(log, so_far);
        while latest.len() > most {
            latest.pop_first();
        }
    }
    for line in latest.values() {
        print(&show(line))?;
    }
    if follow { go_on(logs, tenant, seen, show) } else { Ok(()) }
}

/// Prints lines as they are written, until the process is stopped.
fn go_on(
    logs: &Logs,
    tenant: Option<&str>,
    mut seen: HashMap<String, Seen>,
    show: fn(&str) -> String,
) -> anyhow::Result<()> {
    loop {
        std::thread::sleep(Duration::from_millis(200));
        for log in logs.begun()?.into_iter().filter(|log| tenant.is_none_or(|tenant| tenant == *log)) {
            let known = seen.entry(log.clone()).or_default();
            let news = logs.follow(&log, known)?;
            if news.skipped {
                note(&format!("lines of {log} are left out here, since more were written than can be shown"));
            }
            for line in &news.lines {
                print(&show(line))?;
            }
        }
    }
}

/// When a line was written, in microseconds, and its number.
fn key(line: &str) -> (u64, u64) {
    #[derive(Deserialize, Default)]
    struct Key {
        seq: u64,
        at: f64,
    }
    let key: Key = serde_json::from_str(line).unwrap_or_default();
    ((key.at.max(0.0) * 1e6) as u64, key.seq)
}

#[derive(Deserialize)]
#[serde(default)]
struct Line {
    at: f64,
    tenant: String,
    subject: String,
    method: String,
    tool: String,
    outcome: String,
    layer: String,
    reason: String,
    times: u64,
    us: u64,
}

impl Default for Line {
    fn default() -> Self {
        let empty = String::new;
        Self {
            at: 0.0,
            tenant: "-".to_owned(),
            subject: "-".to_owned(),
            method: empty(),
            tool: empty(),
            outcome: empty(),
            layer: empty(),
            reason: empty(),
            times: 1,
            us: 0,
        }
    }
}

/// A line for people.
fn told(line: &str) -> String {
    let Ok(line) = serde_json::from_str::<Line>(line) else { return "(not readable)".to_owned() };
    let at = UNIX_EPOCH + Duration::try_from_secs_f64(line.at).unwrap_or_default();
    let mut text = format!(
        "{}  {:<16} {:<16} {:<7} {:>8.1} ms  {} {}",
        humantime::format_rfc3339_millis(at),
        line.tenant,
        line.subject,
        line.outcome,
        line.us as f64 / 1000.0,
        line.method,
        line.tool,
    );
    if !line.reason.is_empty() {
        let layer = if line.layer.is_empty() { String::new() } else { format!("{}: ", line.layer) };
        text.push_str(&format!("  ({layer}{})", line.reason));
    }
    if line.times > 1 {
        text.push_str(&format!("  {} times", line.times));
    }
    // What a caller chose must not steer the terminal.
    text.trim_end().replace(|c: char| c.is_control(), "\u{fffd}")
}
