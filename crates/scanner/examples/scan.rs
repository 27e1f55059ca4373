//! Scans folders and writes findings as JSON lines, for scoring against labelled code:
//! `cargo run -p partywall-scanner --example scan -- [--out FILE] PATH…`; without `--out` a short text.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use partywall_scanner::{library::Libraries, scan_sources};

fn collect(root: &Path, sources: &mut Vec<(String, Arc<str>)>) {
    let walk = ignore::WalkBuilder::new(root).hidden(true).git_ignore(false).build();
    for entry in walk.flatten() {
        let path = entry.path();
        let relative = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
        let skipped =
            relative.split('/').any(|part| {
                matches!(
                    part,
                    "node_modules" | "dist" | "build" | "vendor" | "test" | "tests" | "__tests__" | "e2e"
                )
            }) || [".test.", ".spec.", "_test.", ".min.", ".d.ts"].iter().any(|mark| relative.contains(mark))
                || relative
                    .rsplit('/')
                    .next()
                    .is_some_and(|name| name.starts_with("test_") || name == "conftest.py");
        let name = relative.rsplit('/').next().unwrap_or("");
        let extension = name.rsplit('.').next().unwrap_or("");
        let wanted = ["js", "mjs", "cjs", "jsx", "ts", "mts", "cts", "tsx", "py", "sql", "prisma"]
            .contains(&extension)
            || name == "package.json"
            || name.starts_with("tsconfig")
            || name == "pyproject.toml";
        if skipped || !wanted || !path.is_file() {
            continue;
        }
        if let Ok(text) = fs::read_to_string(path) {
            sources.push((relative, Arc::from(text)));
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out: Option<String> = None;
    let mut sources = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--out" {
            out = args.next();
        } else {
            collect(Path::new(&arg), &mut sources);
        }
    }
    sources.sort();
    let begin = std::time::Instant::now();
    let bytes: usize = sources.iter().map(|(_, text)| text.len()).sum();
    let outcome = scan_sources(sources, Libraries::built_in()?, None)?;
    let seconds = begin.elapsed().as_secs_f64();
    let mut text: Vec<u8> = Vec::new();
    for finding in &outcome.findings {
        let class = if finding.layer.name() == "routing" { "transport" } else { finding.layer.name() };
        if out.is_some() {
            let line = serde_json::json!({"rule": finding.rule, "class": class, "path": finding.path, "line": finding.line,
                "endLine": finding.end_line, "severity": finding.severity.name(), "confidence": format!("{:?}", finding.confidence), "message": finding.message});
            writeln!(text, "{line}")?;
        } else {
            writeln!(
                text,
                "{}:{}: {} {} [{}] {}",
                finding.path,
                finding.line,
                finding.severity.name(),
                class,
                finding.rule,
                finding.message
            )?;
        }
    }
    match out {
        Some(file) => fs::write(file, text)?,
        None => io::stdout().write_all(&text)?,
    }
    let entries = outcome.project.entries().len();
    writeln!(
        io::stderr(),
        "{} findings, {} notices, {entries} entry points, {:.1} MB in {seconds:.2} s",
        outcome.findings.len(),
        outcome.notices.len(),
        bytes as f64 / 1e6
    )?;
    for notice in outcome.notices.iter().take(5) {
        writeln!(io::stderr(), "  {}:{}: {}", notice.path, notice.line, notice.message)?;
    }
    for package in &outcome.project.packages {
        writeln!(io::stderr(), "  {:?}", package)?;
    }
    Ok(())
}
