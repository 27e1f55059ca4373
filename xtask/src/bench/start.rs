//! `cargo xtask bench start`: the size of the program, how soon it answers, what it holds when idle.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{Bench, Verdicts, median, site::wait_for_reply};
use crate::{proc, process::Running};

const MOST_MIB: f64 = 40.0;
const MOST_MS: f64 = 300.0;

pub(super) fn run(bench: &Bench) -> Result<bool> {
    let mut verdicts = Verdicts::default();
    let bytes = fs::metadata(&bench.program)?.len() as f64;
    verdicts.at_most("program", bytes / f64::from(1 << 20), MOST_MIB, "MiB");
    let (mut fresh, mut again, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..bench.plan.rounds {
        let folder = bench.folder.join(format!("demo-{round}"));
        for times in [&mut fresh, &mut again] {
            let start = Instant::now();
            let mut command = Command::new(&bench.program);
            command.args(["demo", "--port", "0", "--json", "--dir"]).arg(&folder);
            let mut server = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
            let line = server.first_line(Duration::from_secs(20))?;
            let (address, token) = ready(&line).with_context(|| format!("the demo says: {line}"))?;
            wait_for_reply(address, &token, start)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
            // What the start left over is given back by then.
            std::thread::sleep(Duration::from_millis(500));
            idle.push(proc::rss_kib(server.id())? / 1024.0);
        }
    }
    println!(
        "\npartywall demo, medians of {} starts each, from the start of the process to its first reply:",
        fresh.len()
    );
    verdicts.at_most("first reply, fresh folder", median(fresh)?, MOST_MS, "ms");
    verdicts.at_most("first reply, the same folder again", median(again)?, MOST_MS, "ms");
    verdicts.at_most("resident when idle", median(idle)?, MOST_MIB, "MiB");
    Ok(verdicts.all_good())
}

/// The address and the first token of the demo's line of JSON.
fn ready(line: &str) -> Option<(SocketAddr, String)> {
    let after = |mark: &str| line.split_once(mark)?.1.split('"').next();
    let address = after("\"url\":\"http://")?.strip_suffix("/mcp")?.parse().ok()?;
    Some((address, after("\"acme\":\"")?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_demo_is_read() {
        let line =
            r#"{"tokens":{"acme":"a.b.c","globex":"d"},"tools":["x"],"url":"http://127.0.0.1:8787/mcp"}"#;
        let (address, token) = ready(line).unwrap();
        assert_eq!((address.port(), token.as_str()), (8787, "a.b.c"));
        assert!(ready("{}").is_none());
    }
}
