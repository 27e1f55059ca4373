//! Scans a folder and writes findings as JSON lines, for scoring against labelled code:
//! `cargo run -p partywall-scanner --example scan -- [--out FILE] PATH`; without `--out` a short text.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use partywall_scanner::{Options, scan};

/// As the command has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out: Option<String> = None;
    let mut options = Options::default();
    options.selection.targets.clear();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--out" => out = args.next(),
            "-v" => {}
            "--multi" => options.tenancy = partywall_scanner::Tenancy::Multi,
            _ => options.selection.targets.push(PathBuf::from(arg)),
        }
    }
    let scan = scan(&options, &())?;
    let mut text: Vec<u8> = Vec::new();
    for f in &scan.document.findings {
        let class = if f.layer.name() == "routing" { "transport" } else { f.layer.name() };
        if out.is_some() {
            let line = serde_json::json!({"rule": f.rule, "class": class, "path": f.path, "line": f.line, "endLine": f.end_line,
                "severity": f.severity.name(), "confidence": f.confidence, "message": f.message});
            writeln!(text, "{line}")?;
        } else {
            writeln!(
                text,
                "{}:{}: {} {class} [{}] {}",
                f.path,
                f.line,
                f.severity.name(),
                f.rule,
                f.message
            )?;
        }
    }
    match out {
        Some(file) => fs::write(file, text)?,
        None => io::stdout().write_all(&text)?,
    }
    let stats = &scan.document.stats;
    writeln!(
        io::stderr(),
        "{} findings, {} files not understood, {:.1} MB in {:.2} s",
        scan.document.findings.len(),
        scan.not_understood,
        stats.bytes as f64 / 1e6,
        stats.seconds
    )?;
    if std::env::args().any(|arg| arg == "-v") {
        for note in &scan.document.notes {
            writeln!(io::stderr(), "  {note}")?;
        }
    }
    Ok(())
}
