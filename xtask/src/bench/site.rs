//! A gateway with a folder of its own: its configuration, its tenants, its server.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    client::Client,
    process::{Running, output, output_with_input},
};

/// The built-in tool.
pub(crate) const WHOAMI: &str =
    "[[tool]]\nname = \"whoami\"\ndescription = \"Who is calling.\"\nnative = \"whoami\"\n";

/// Limits that nobody reaches.
pub(crate) const NO_LIMITS: &str =
    "[capacity]\nrequests_per_second = 1000000\nburst = 1000000\nconcurrent_requests = 10000\n";

/// A configuration and the data that belongs to it.
pub(crate) struct Site {
    pub(crate) folder: PathBuf,
    pub(crate) address: SocketAddr,
    program: PathBuf,
    config: PathBuf,
}

impl Site {
    /// Writes the configuration: a free address, development tokens, and whatever `rest` says.
    pub(crate) fn new(program: &Path, folder: PathBuf, rest: &str) -> Result<Self> {
        fs::create_dir_all(&folder)?;
        // The address is part of the token's audience, so it is chosen before the server starts.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = folder.join("partywall.toml");
        let start = format!("[server]\nlisten = \"{address}\"\n[identity]\ndevelopment = true\n");
        fs::write(&config, start + rest)?;
        Ok(Self { folder, address, program: program.to_owned(), config })
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--quiet").args(arguments).arg("--config").arg(&self.config);
        command
    }

    pub(crate) fn add_tenants(&self, ids: &[String]) -> Result<()> {
        self.with_lines(&["tenant", "add", "-"], ids).map(drop)
    }

    /// A tenant, and a token for it. Written with the oldest commands, for programs that know no newer ones.
    pub(crate) fn first_tenant(&self) -> Result<String> {
        output(&mut self.command(&["tenant", "add", "acme"]))?;
        let arguments = ["token", "--tenant", "acme", "--subject", "bench", "--ttl", "24h"];
        Ok(output(&mut self.command(&arguments))?.trim().to_owned())
    }

    /// One token for each tenant.
    pub(crate) fn tokens(&self, ids: &[String]) -> Result<Vec<String>> {
        let arguments = ["token", "--tenant", "-", "--subject", "bench", "--ttl", "24h"];
        let tokens: Vec<String> = self.with_lines(&arguments, ids)?.lines().map(str::to_owned).collect();
        ensure!(tokens.len() == ids.len(), "{} tokens for {} tenants", tokens.len(), ids.len());
        Ok(tokens)
    }

    fn with_lines(&self, arguments: &[&str], lines: &[String]) -> Result<String> {
        output_with_input(&mut self.command(arguments), &self.folder, &lines.join("\n"))
    }

    /// Starts the server on its core and waits until it answers this token; also how long that took.
    pub(crate) fn serve(&self, token: &str) -> Result<(Running, Duration)> {
        self.start(pinned(&self.program), token)
    }

    /// The same on all cores.
    pub(crate) fn serve_anywhere(&self, token: &str) -> Result<(Running, Duration)> {
        self.start(Command::new(&self.program), token)
    }

    fn start(&self, mut command: Command, token: &str) -> Result<(Running, Duration)> {
        let start = Instant::now();
        command.args(["--quiet", "serve", "--config"]).arg(&self.config).stdin(Stdio::null());
        let server = Running::start(&mut command)?;
        wait_for_reply(self.address, token, start)?;
        Ok((server, start.elapsed()))
    }
}

/// Waits until a server answers `whoami`.
pub(crate) fn wait_for_reply(address: SocketAddr, token: &str, since: Instant) -> Result<()> {
    loop {
        match Client::connect(address) {
            Ok(mut client) => {
                let reply = client.call(token, "whoami", "{}")?;
                ensure!(reply.status == 200, "the first call is refused: {} {}", reply.status, reply.body);
                return Ok(());
            }
            Err(error) => {
                ensure!(since.elapsed() < Duration::from_secs(20), "no server at {address}: {error:#}");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// On the servers' core; `taskset` becomes the program, so the process is the server.
pub(crate) fn pinned(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}
