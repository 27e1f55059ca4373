//! Servers as real processes: shells and Python programs, started through the example `launcher`.

mod bounds;
mod calls;
mod ends;
mod fence;
mod starts;

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

use super::*;

/// The launcher, which stands beside the tests, with Landlock alone: numbers of processes are then the same for all.
fn launcher() -> Launcher {
    launcher_with(Means { bubblewrap: None, ..Means::of_this_system() })
}

/// The launcher with each means of this system by itself, and with all of them.
fn launchers() -> Vec<Launcher> {
    let all = Means::of_this_system();
    let mut launchers = Vec::new();
    if all.landlock {
        launchers.push(launcher());
    }
    if all.bubblewrap.is_some() {
        launchers.push(launcher_with(Means { landlock: false, ..Means::of_this_system() }));
        launchers.push(launcher_with(all));
    }
    assert!(
        !launchers.is_empty(),
        "this system has neither Landlock nor bubblewrap, so nothing can be shown"
    );
    launchers
}

fn launcher_with(means: Means) -> Launcher {
    let program = launcher_of_tests();
    assert!(program.is_file(), "build it: cargo build -p partywall-gateway --example launcher");
    println!("kept by {means}; lacking: {:?}", means.lacking());
    Launcher::with(program, means)
}

/// A data folder with folders of two tenants and a key in it.
struct Data {
    root: TempDir,
}

impl Data {
    fn new() -> Self {
        let data = Self { root: tempfile::tempdir().expect("a folder") };
        for tenant in ["acme", "globex"] {
            fs::DirBuilder::new().mode(0o700).create(data.folder(tenant)).expect("a folder");
            fs::write(data.folder(tenant).join("canary"), format!("canary of {tenant}")).expect("a file");
        }
        fs::write(data.root.path().join("master.key"), "canary of the gateway").expect("a file");
        data
    }

    fn folder(&self, tenant: &str) -> PathBuf {
        self.root.path().canonicalize().expect("a folder").join(tenant)
    }

    /// A server of a tenant.
    fn launch(&self, tenant: &str, program: &str, args: &[&str]) -> Launch {
        Launch {
            program: program.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            env: Vec::new(),
            folder: self.folder(tenant),
            readable: Vec::new(),
            network: Network::default(),
            limits: Limits::default(),
        }
    }

    fn shell(&self, tenant: &str, script: &str) -> Launch {
        self.launch(tenant, "sh", &["-c", script])
    }

    fn python(&self, tenant: &str, script: &str) -> Launch {
        self.launch(tenant, "/usr/bin/python3", &["-c", script])
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

async fn spawn(launch: &Launch) -> Child {
    launcher().spawn(launch, soon()).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn refusal(launch: &Launch) -> String {
    refusal_of(&launcher(), launch).await
}

async fn refusal_of(launcher: &Launcher, launch: &Launch) -> String {
    match launcher.spawn(launch, soon()).await {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}

/// What a server that ends by itself wrote, to both of its outputs, and its status.
async fn output(launch: &Launch) -> (String, String, Option<i32>) {
    output_of(&launcher(), launch).await
}

async fn output_of(launcher: &Launcher, launch: &Launch) -> (String, String, Option<i32>) {
    let mut child = launcher.spawn(launch, soon()).await.unwrap_or_else(|error| panic!("{error}"));
    let (mut out, mut err) = (String::new(), String::new());
    let reading = async {
        child.stdout.read_to_string(&mut out).await.expect("text");
        child.stderr.read_to_string(&mut err).await.expect("text");
        child.process.wait().await.expect("a status")
    };
    let status = tokio::time::timeout(Duration::from_secs(30), reading).await.expect("it ends");
    (out, err, status.code())
}

/// The next line that a server writes.
async fn line(child: &mut Child) -> String {
    let mut line = String::new();
    let mut reader = BufReader::new(&mut child.stdout);
    let reading = reader.read_line(&mut line);
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("in time").expect("a line");
    line.trim().to_owned()
}

/// Whether processes are gone, which may take a moment. One that waits to be reaped by somebody else counts as gone.
async fn are_gone(pids: &[i32]) -> bool {
    for _ in 0..200 {
        if pids.iter().all(|&pid| !is_there(pid)) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    false
}

fn is_there(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.starts_with(" Z"))
}

/// How many processes `sleep` with this time there are.
fn sleepers(time: &str) -> usize {
    let wanted = format!("sleep\0{time}\0");
    let entries = fs::read_dir("/proc").expect("the system lists processes");
    entries
        .flatten()
        .filter(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == wanted.as_bytes()))
        .count()
}
