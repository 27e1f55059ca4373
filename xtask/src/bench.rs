//! `cargo xtask bench gateway`: the gateway beside a bare rmcp server, on one core, in alternating rounds.
//!
//! Both answer the same call with the same content. The gateway also verifies a token, counts the tenant's allowance
//! and writes the audit log; the bare server does none of it. Servers run on core 0, wrk on core 1.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    process::{Running, must, output},
    test::built,
    tools::{self, fresh_folder},
};

const BUILD: Duration = Duration::from_secs(60 * 60);
const CONNECTIONS: u32 = 32;
/// What both replies must have.
const SUBJECT: &str = r#""subject":"bench""#;

/// How long and how often is measured.
struct Plan {
    rounds: usize,
    seconds: u64,
}

impl Plan {
    fn parse(options: &[&str]) -> Result<Self> {
        let mut plan = Self { rounds: 7, seconds: 5 };
        for pair in options.chunks(2) {
            match pair {
                ["--rounds", number] => plan.rounds = number.parse().context("--rounds needs a number")?,
                ["--seconds", number] => plan.seconds = number.parse().context("--seconds needs a number")?,
                _ => bail!("unknown option {pair:?}; there are --rounds N and --seconds N"),
            }
        }
        ensure!(plan.rounds > 0 && plan.seconds > 0, "at least one round of one second");
        Ok(plan)
    }
}

/// A server under load.
struct Target {
    name: &'static str,
    address: SocketAddr,
    token: Option<String>,
    server: Running,
    samples: Vec<Sample>,
}

/// One round's numbers.
#[derive(Clone, Copy)]
struct Sample {
    requests_per_second: f64,
    p99_ms: f64,
    cpu_us: f64,
}

pub(crate) fn run(root: &Path, options: &[&str]) -> Result<bool> {
    let plan = Plan::parse(options)?;
    ensure!(
        std::thread::available_parallelism()?.get() >= 2,
        "this needs two cores: one for servers, one for load"
    );
    tools::program("wrk", "wrk")?;
    tools::program("taskset", "util-linux")?;
    let results = built()?.join("..").canonicalize()?;
    let folder = fresh_folder(results.join("xtask/bench"))?;

    must(Command::new("cargo").args(["build", "--release", "--package", "partywall"]), BUILD)?;
    let mut baseline = Command::new("cargo");
    baseline.args([
        "build",
        "--release",
        "--locked",
        "--manifest-path",
        "bench/baseline/Cargo.toml",
        "--target-dir",
    ]);
    must(baseline.arg(results.join("bench")), BUILD)?;

    let mut targets = [
        start_baseline(&results.join("bench/release/partywall-bench-baseline"))?,
        start_gateway(&results.join("release/partywall"), &folder)?,
    ];
    for target in &targets {
        target.check()?;
    }
    let script = root.join("bench/call.lua");
    for round in 0..=plan.rounds {
        for target in &mut targets {
            let sample = target.load(&script, if round == 0 { 2 } else { plan.seconds })?;
            // The first round warms up.
            if round > 0 {
                target.samples.push(sample);
            }
        }
    }
    report(&targets, &plan)?;
    drop(targets);
    fs::remove_dir_all(&folder)?;
    Ok(true)
}

fn start_baseline(program: &Path) -> Result<Target> {
    let mut command = pinned(program);
    let mut server = Running::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    let address = server.first_line(Duration::from_secs(10))?.trim().parse()?;
    Ok(Target { name: "bare rmcp", address, token: None, server, samples: Vec::new() })
}

/// The gateway with one tenant whose limits are far away.
fn start_gateway(program: &Path, folder: &Path) -> Result<Target> {
    // The address is part of the token's audience, so it is chosen before the server starts.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let config: PathBuf = folder.join("partywall.toml");
    fs::write(
        &config,
        format!(
            "[server]\nlisten = \"{address}\"\n\
             [identity]\ndevelopment = true\n\
             [capacity]\nrequests_per_second = 1000000\nburst = 1000000\nconcurrent_requests = 10000\n\
             [[tool]]\nname = \"whoami\"\ndescription = \"Who is calling.\"\nnative = \"whoami\"\n"
        ),
    )?;
    let with_config = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).arg("--config").arg(&config);
        command
    };
    output(&mut with_config(&["--quiet", "tenant", "add", "acme"]))?;
    let token =
        output(&mut with_config(&["token", "--tenant", "acme", "--subject", "bench", "--ttl", "24h"]))?;
    let mut command = pinned(program);
    command.args(["--quiet", "serve", "--config"]).arg(&config).stdin(Stdio::null());
    let server = Running::start(&mut command)?;
    let start = Instant::now();
    while TcpStream::connect(address).is_err() {
        ensure!(start.elapsed() < Duration::from_secs(10), "the gateway does not listen on {address}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(Target {
        name: "partywall",
        address,
        token: Some(token.trim().to_owned()),
        server,
        samples: Vec::new(),
    })
}

/// On the servers' core; `taskset` becomes the program, so the process is the server.
fn pinned(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

impl Target {
    /// One call by hand: both servers must give the same content.
    fn check(&self) -> Result<()> {
        let body = concat!(
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","arguments":{},"_meta":{"#,
            r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
            r#""io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"#,
            r#""io.modelcontextprotocol/clientCapabilities":{}}}}"#
        );
        let authorization =
            self.token.as_deref().map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(
            stream,
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
             Mcp-Method: tools/call\r\nMcp-Name: whoami\r\n{authorization}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        let good = reply.starts_with("HTTP/1.1 200 ")
            && reply.contains("structuredContent")
            && reply.contains(SUBJECT);
        ensure!(good, "{} answers something else: {reply}", self.name);
        Ok(())
    }

    fn load(&self, script: &Path, seconds: u64) -> Result<Sample> {
        let before = self.cpu_us()?;
        let mut command = Command::new("taskset");
        command.args(["-c", "1", "wrk", "-t1", "--latency", "--timeout", "10s"]);
        command.arg(format!("-c{CONNECTIONS}")).arg(format!("-d{seconds}s")).arg("-s").arg(script);
        command.arg(format!("http://{}/mcp", self.address));
        command.env("TOKEN", self.token.as_deref().unwrap_or_default());
        let text = output(&mut command)?;
        let cpu = self.cpu_us()? - before;
        let errors = ["Non-2xx", "Socket errors"].iter().any(|error| text.contains(error));
        ensure!(!errors, "{} failed under load:\n{text}", self.name);
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

    /// How long the server's threads have run, in microseconds: finer than the ticks of utime and stime.
    fn cpu_us(&self) -> Result<f64> {
        let mut nanoseconds = 0.0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.server.id()))? {
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
                continue;
            };
            nanoseconds += text.split(' ').next().unwrap_or_default().parse::<f64>()?;
        }
        Ok(nanoseconds / 1000.0)
    }

    fn median(&self, of: impl Fn(&Sample) -> f64) -> Result<f64> {
        let mut values: Vec<f64> = self.samples.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().context("nothing was measured")
    }
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

fn report(targets: &[Target; 2], plan: &Plan) -> Result<()> {
    println!(
        "\nMedians of {} rounds of {} s; {CONNECTIONS} connections; revision 2026-07-28; one core for the server.",
        plan.rounds, plan.seconds
    );
    println!("{:<12} {:>12} {:>16} {:>10}", "", "requests/s", "CPU µs/request", "p99 ms");
    let mut rows = Vec::new();
    for target in targets {
        let row = [
            target.median(|sample| sample.requests_per_second)?,
            target.median(|sample| sample.cpu_us)?,
            target.median(|sample| sample.p99_ms)?,
        ];
        let [requests, cpu, p99] = row;
        println!("{:<12} {requests:>12.0} {cpu:>16.1} {p99:>10.2}", target.name);
        rows.push(row);
    }
    if let [[bare, bare_cpu, bare_p99], [ours, our_cpu, our_p99]] = rows.as_slice() {
        let ratios = [ours / bare, our_cpu / bare_cpu, our_p99 / bare_p99];
        let [requests, cpu, p99] = ratios.map(|ratio| format!("x{ratio:.2}"));
        println!("{:<12} {requests:>12} {cpu:>16} {p99:>10}", "ratio");
    }
    Ok(())
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
