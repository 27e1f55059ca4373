//! Redis: one server, and a cluster of three.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::free_port;
use crate::{
    process::{Running, must, output},
    tools,
};

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Redis {
    one: Node,
    cluster: Vec<Node>,
}

struct Node {
    port: u16,
    _process: Running,
}

impl Redis {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        tools::program("redis-server", "redis-server")?;
        tools::program("redis-cli", "redis-tools")?;
        // Tests make a certificate with the one, and have a process see a wrong time with the other.
        tools::program("openssl", "openssl")?;
        tools::program("faketime", "faketime")?;
        let one = Node::start(folder, &[])?;
        let mut cluster = Vec::new();
        for _ in 0..3 {
            let bus = free_port()?.to_string();
            cluster.push(Node::start(folder, &["--cluster-enabled", "yes", "--cluster-port", &bus])?);
        }
        let this = Self { one, cluster };
        this.join()?;
        Ok(this)
    }

    /// Makes a cluster of its nodes.
    fn join(&self) -> Result<()> {
        let mut command = Command::new("redis-cli");
        command.args(["--cluster", "create"]);
        command.args(self.cluster.iter().map(|node| format!("127.0.0.1:{}", node.port)));
        must(command.arg("--cluster-yes").stdin(Stdio::null()).stdout(Stdio::null()), PATIENCE)?;
        for node in &self.cluster {
            let info = || {
                let mut command = Command::new("redis-cli");
                output(command.args(["-p", &node.port.to_string(), "cluster", "info"]))
            };
            wait("the cluster of three Redis servers", || {
                info().is_ok_and(|info| info.contains("cluster_state:ok"))
            })?;
        }
        Ok(())
    }

    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let nodes: Vec<String> = self.cluster.iter().map(Node::url).collect();
        vec![("PARTYWALL_TEST_REDIS", self.one.url()), ("PARTYWALL_TEST_REDIS_CLUSTER", nodes.join(","))]
    }
}

impl Node {
    fn start(folder: &Path, arguments: &[&str]) -> Result<Self> {
        let port = free_port()?;
        let own = folder.join(format!("redis-{port}"));
        fs::create_dir(&own).with_context(|| format!("cannot make {}", own.display()))?;
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(&own).args(arguments);
        let process = Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()))?;
        wait("redis-server", || answers(port))?;
        Ok(Self { port, _process: process })
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = [0; 5];
    stream.set_read_timeout(Some(PATIENCE)).is_ok()
        && stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"+PONG"
}

/// Looks again and again until it is there.
fn wait(what: &str, mut there: impl FnMut() -> bool) -> Result<()> {
    let start = Instant::now();
    while !there() {
        ensure!(start.elapsed() < PATIENCE, "{what} was started and does not answer");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
