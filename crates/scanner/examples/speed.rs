//! Reads a tree on one thread and says how long that took: `cargo run --release -p partywall-scanner --example speed --
//! parse|scan PATH` prints the bytes read, the seconds, and the most memory held in KiB. `cargo xtask bench scan` uses it.
//! `scan PATH OUT` writes what was found to a file as well: whoever makes it quicker compares that with what was found before.

use std::{
    error::Error,
    fs,
    io::{self, Write},
    path::PathBuf,
    time::Instant,
};

use partywall_scanner::{
    Options,
    files::{self, Selection},
    lang, scan,
};

/// As the command has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As the scanner's own threads have it.
const STACK_BYTES: usize = 64 * 1024 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (what, path, out) = match arguments.as_slice() {
        [what, path] => (what, path, None),
        [what, path, out] => (what, path, Some(out)),
        _ => return Err("usage: speed parse|scan PATH [OUT]".into()),
    };
    let selection =
        Selection { targets: vec![PathBuf::from(path)], include_tests: true, ..Selection::default() };
    let (bytes, seconds) = match what.as_str() {
        "scan" => {
            let scan = scan(&Options { selection, ..Options::default() }, &())?;
            if let Some(out) = out {
                fs::write(out, serde_json::to_string_pretty(&scan.document.findings)?)?;
            }
            (scan.document.stats.bytes, scan.document.stats.seconds)
        }
        "parse" => std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn(move || parse(&selection).map_err(|error| error.to_string()))?
            .join()
            .map_err(|_panic| "the parser stopped")??,
        _ => return Err("usage: speed parse|scan PATH [OUT]".into()),
    };
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    writeln!(io::stdout(), "{bytes} {seconds:.4} {}", peak.trim().trim_end_matches(" kB"))?;
    Ok(())
}

/// Reads and parses every file of code; what a file gave is dropped before the next one.
fn parse(selection: &Selection) -> Result<(u64, f64), Box<dyn Error>> {
    let began = Instant::now();
    let (mut bytes, mut parsed) = (0, 0);
    for file in files::list(selection)?.files {
        let Ok(text) = file.read() else { continue };
        if let Some(size) = lang::parse(&file.path, &text) {
            bytes += text.len() as u64;
            parsed += size;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    if parsed == 0 {
        return Err("there is no code in it".into());
    }
    Ok((bytes, seconds))
}
