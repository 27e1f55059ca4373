//! Starts a server as a process that can reach its own tenant's folder and nothing of anybody else's.
//!
//! Three processes take part. The *gateway* starts this very program again, as a *keeper*, and tells it over its standard
//! input what to start, so that no secret stands in a command line or in the keeper's environment. The keeper starts this
//! program once more, through `bwrap` where there is one, which puts the fence around itself (`confine`) and becomes the
//! *server*. The keeper stays: what
//! leaves the server's process group, or outlives its parent, becomes the keeper's child and is found by it, and since it
//! reads from a pipe that only the gateway writes to, it notices when the gateway is gone, however that died.
//!
//! A parent-death signal of the gateway would not do: it is sent when the *thread* that started the child ends, and threads
//! of the runtime come and go. The keeper has one thread, so the server has one.

mod calls;
mod confine;
mod entry;
mod folders;
pub(super) mod installed;
mod keeper;
mod means;
mod plan;
mod processes;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStderr, ChildStdin, ChildStdout, Command},
};

pub use entry::{enter, through};
pub(super) use folders::READABLE;
pub(crate) use means::Means;

use super::error::UpstreamError;

/// How long the keeper may take to end all that a server started.
const ENDING: Duration = Duration::from_secs(6);
/// How much is kept of what a launcher said that failed.
const LAST_WORDS: u64 = 500;
/// The longest line with which a start is reported.
const LONGEST_REPORT: usize = 4096;

/// What a server may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Memory of all its processes together, in bytes.
    pub(crate) memory: u64,
    /// How many processes it may have.
    pub(crate) processes: u32,
    /// How many files each process may have open.
    pub(crate) open_files: u64,
    /// The largest file it may write, in bytes.
    pub(crate) file_size: u64,
    /// How long it may go on when its standard input has ended.
    pub(crate) grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 512 << 20,
            processes: 64,
            open_files: 1024,
            file_size: 1 << 30,
            grace: Duration::from_secs(2),
        }
    }
}

/// Which TCP ports a server may use, where the kernel can tell (Linux 6.7 and later).
#[derive(Debug, Clone, Default)]
pub(crate) struct Network {
    /// To which ports it may connect; to any, if there is no list.
    pub(crate) connect: Option<Vec<u16>>,
    /// Whether it may listen, where the servers of other tenants could reach it, or take its place.
    pub(crate) listen: bool,
}

/// A server to start.
pub(crate) struct Launch {
    /// The program, as the configuration names it.
    pub(crate) program: String,
    /// Its arguments; they can be seen by whoever sees the process.
    pub(crate) args: Vec<String>,
    /// The environment beside `HOME`, `TMPDIR`, `PATH` and `LANG`; the last two may be given here.
    pub(crate) env: Vec<(String, SecretString)>,
    /// The tenant's own folder for this server, which has to exist: where it runs, its home, and all that it may change.
    pub(crate) folder: PathBuf,
    /// Further folders that it may read and run programs of.
    pub(crate) readable: Vec<PathBuf>,
    /// Which ports it may use.
    pub(crate) network: Network,
    /// What it may use.
    pub(crate) limits: Limits,
}

/// Starts servers.
#[derive(Clone)]
pub(crate) struct Launcher {
    program: Arc<PathBuf>,
    means: Arc<Means>,
}

/// The program that servers are started through: another one, or this one if it offers that.
fn program(other: Option<PathBuf>, entered: bool) -> Result<PathBuf, UpstreamError> {
    match other {
        Some(other) => Ok(other),
        // It is the same program even when its file was replaced meanwhile.
        None if entered => Ok(PathBuf::from("/proc/self/exe")),
        None => Err(UpstreamError::Unreachable(
            "servers with `command` are started through the program itself, and this one does not offer that; \
             begin its `main` with `if let Some(code) = partywall_gateway::launcher::enter() { return code; }`"
                .to_owned(),
        )),
    }
}

impl Launcher {
    /// The launcher that this program is, if its `main` calls [`enter`].
    ///
    /// What the system does not offer for keeping servers apart is said in the log.
    pub(crate) fn this_program() -> Result<Self, UpstreamError> {
        let launcher = Self::at(program(entry::other(), entry::entered())?);
        for lack in launcher.means.lacking() {
            tracing::warn!("servers that are started as processes: {lack}");
        }
        Ok(launcher)
    }

    fn at(program: PathBuf) -> Self {
        Self::with(program, Means::of_this_system())
    }

    fn with(program: PathBuf, means: Means) -> Self {
        Self { program: Arc::new(program), means: Arc::new(means) }
    }

    /// What keeps servers apart on this system.
    pub(crate) fn means(&self) -> &Means {
        &self.means
    }

    /// Starts a server, whose program runs, or is about to, when this returns.
    pub(crate) async fn spawn(&self, launch: &Launch, ends: Instant) -> Result<Child, UpstreamError> {
        let plan = plan::written(launch, &self.means)?;
        let mut command = Command::new(self.program.as_path());
        command.arg0("partywall").arg(entry::KEEPER).env_clear().current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            UpstreamError::Unreachable(format!("no process can be started, since {error}"))
        })?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Process(child);
        let (Some(mut stdin), Some(mut stdout), Some(stderr)) = pipes else {
            return Err(UpstreamError::Unreachable("no pipe to the process could be made".to_owned()));
        };
        let started = async {
            stdin.write_all(&plan).await?;
            report(&mut stdout).await
        };
        match tokio::time::timeout_at(ends.into(), started).await {
            Err(_elapsed) => Err(UpstreamError::TimedOut),
            Ok(Err(error)) => Err(UpstreamError::Unreachable(format!("the launcher failed, since {error}"))),
            Ok(Ok(line)) => match line.strip_prefix(plan::REFUSED) {
                None if line == plan::READY => Ok(Child { stdin, stdout, stderr, process }),
                None => Err(UpstreamError::Unreachable(format!(
                    "the launcher ended before it started the server: {}",
                    last_words(stderr).await
                ))),
                Some(why) => Err(UpstreamError::Unreachable(why.to_owned())),
            },
        }
    }
}

/// The launcher of a gateway, made when the first server needs it.
#[derive(Default)]
pub(crate) struct Launchers(OnceLock<Launcher>);

impl Launchers {
    pub(crate) fn get(&self) -> Result<Launcher, UpstreamError> {
        if let Some(made) = self.0.get() {
            return Ok(made.clone());
        }
        let launcher = Launcher::this_program()?;
        tracing::info!(
            "what keeps servers that are started as processes to their folders: {}",
            launcher.means()
        );
        Ok(self.0.get_or_init(|| launcher).clone())
    }
}

/// The program that the crate's tests start servers through, which stands beside them.
#[cfg(test)]
pub(crate) fn launcher_of_tests() -> PathBuf {
    let tests = std::env::current_exe().expect("this program");
    let folder = tests.parent().and_then(std::path::Path::parent).expect("a folder");
    folder.join("examples/launcher")
}

/// The line about the start, and nothing of what follows it.
async fn report(stdout: &mut ChildStdout) -> io::Result<String> {
    let mut line = Vec::new();
    while line.len() < LONGEST_REPORT {
        let mut byte = [0];
        match stdout.read(&mut byte).await? {
            0 => break,
            _ if byte == *b"\n" => break,
            _ => line.extend_from_slice(&byte),
        }
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// What was said by what ended.
async fn last_words(stderr: ChildStderr) -> String {
    let mut text = Vec::new();
    let mut said = stderr.take(LAST_WORDS);
    let reading = said.read_to_end(&mut text);
    let _what_there_is = tokio::time::timeout(Duration::from_secs(1), reading).await;
    String::from_utf8_lossy(&text).trim().replace(['\n', '\r'], " ")
}

/// A server that runs.
pub(crate) struct Child {
    /// What it reads. When this is dropped it has the time of [`Limits::grace`] to end by itself.
    pub(crate) stdin: ChildStdin,
    /// What it writes. When this is dropped it is killed.
    pub(crate) stdout: ChildStdout,
    /// What it says besides; the launcher's own lines begin with `partywall: `.
    pub(crate) stderr: ChildStderr,
    /// The way to end it.
    pub(crate) process: Process,
}

/// All processes of a server. They are killed when this is dropped.
pub(crate) struct Process(tokio::process::Child);

impl Process {
    /// Kills everything that the server started, without waiting for it.
    pub(crate) fn kill(&self) {
        // The number is the keeper's own until it was waited for; after that there is none.
        let pid = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ended_already = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits until the server and all that it started have ended.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.0.wait().await
    }

    /// Kills everything that the server started, and waits until it is gone.
    pub(crate) async fn end(&mut self) {
        self.kill();
        if tokio::time::timeout(ENDING, self.0.wait()).await.is_err() {
            // The server's own process dies with the keeper, whatever keeps that from ending.
            tracing::warn!("a server's processes did not end in time");
            let _ended_already = self.0.start_kill();
            let _bounded = tokio::time::timeout(ENDING, self.0.wait()).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
