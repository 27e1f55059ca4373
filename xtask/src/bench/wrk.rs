//! One run of wrk against one server.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};

use crate::{proc, process::output};

pub(super) const CONNECTIONS: u32 = 32;

/// One round's numbers.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub(super) requests_per_second: f64,
    pub(super) p99_ms: f64,
    pub(super) cpu_us: f64,
}

/// What is called, and as whom.
pub(super) struct Load<'l> {
    pub(super) tool: &'l str,
    /// A file with one token a line, used in turn; an empty one for a server that asks for none.
    pub(super) tokens: &'l Path,
    /// The processes whose CPU time is counted.
    pub(super) server: u32,
    pub(super) address: SocketAddr,
}

impl Load<'_> {
    pub(super) fn run(&self, root: &Path, seconds: u64) -> Result<Sample> {
        let before = proc::cpu_us(self.server)?;
        let mut command = Command::new("taskset");
        command.args(["-c", "1", "wrk", "-t1", "--latency", "--timeout", "10s"]);
        command.arg(format!("-c{CONNECTIONS}")).arg(format!("-d{seconds}s"));
        command.arg("-s").arg(root.join("bench/call.lua"));
        command.arg(format!("http://{}/mcp", self.address));
        command.env("TOOL", self.tool).env("TOKENS", self.tokens);
        let text = output(&mut command)?;
        let cpu = proc::cpu_us(self.server)? - before;
        let errors = ["Non-2xx", "Socket errors"].iter().any(|error| text.contains(error));
        ensure!(!errors, "{} failed under load:\n{text}", self.address);
        let word = |mark: &str| {
            let line = text.lines().find(|line| line.contains(mark));
            line.with_context(|| format!("wrk said nothing of `{mark}`:\n{text}"))
        };
        let first = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
        let last = |line: &str| line.split_whitespace().last().unwrap_or_default().to_owned();
        let requests: f64 = first(word(" requests in ")?).parse()?;
        Ok(Sample {
            requests_per_second: last(word("Requests/sec:")?).parse()?,
            p99_ms: milliseconds(&last(word("99%")?))?,
            cpu_us: cpu / requests.max(1.0),
        })
    }
}

/// A file of tokens for [`Load::tokens`].
pub(super) fn tokens_file(path: &Path, tokens: &[String]) -> Result<()> {
    fs::write(path, tokens.join("\n")).with_context(|| format!("cannot write {}", path.display()))
}

/// wrk writes `873.00us`, `1.20ms` and `1.01s`.
fn milliseconds(text: &str) -> Result<f64> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match text.strip_prefix(number) {
        Some("us") => 1e-3,
        Some("ms") => 1.0,
        Some("s") => 1e3,
        _ => bail!("`{text}` is no time"),
    };
    Ok(number.parse::<f64>()? * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_units_of_wrk() {
        assert!((milliseconds("873.00us").unwrap() - 0.873).abs() < 1e-9);
        assert!((milliseconds("1.20ms").unwrap() - 1.2).abs() < 1e-9);
        assert!((milliseconds("1.01s").unwrap() - 1010.0).abs() < 1e-9);
        assert!(milliseconds("nan").is_err());
    }
}
