//! A PostgreSQL server of a test's own, from the programs of the one that all tests share: to be stopped and started, and
//! with TLS.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{lab::admin, *};

/// PostgreSQL does not run as root; then it runs as `nobody`.
const NOBODY: u32 = 65_534;

pub(super) struct Server {
    programs: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// Makes a cluster whose superuser is `postgres` with the password `test pass`, and starts it.
    pub(super) async fn start() -> Self {
        let asked = admin(&lab::superuser(), "SELECT setting FROM pg_config WHERE name = 'BINDIR'").await;
        let programs = PathBuf::from(&asked[0][0]);
        assert!(
            programs.join("initdb").is_file(),
            "the server of PARTYWALL_TEST_POSTGRES is on another machine; run `cargo xtask test`, which starts one here"
        );
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Self { programs, folder, port: 0, child: None };
        server.give(server.folder.path());
        let password = server.file("password", "test pass");
        let mut initdb = server.program("initdb");
        initdb.args([
            "--auth=scram-sha-256",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        initdb.arg("--pwfile").arg(password).arg("-D").arg(server.data());
        assert!(initdb.status().expect("initdb starts").success(), "initdb");
        for _ in 0..3 {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            server.port = free.local_addr().expect("a port").port();
            drop(free);
            // Somebody else may have taken it by now.
            if server.runs(&[]).await {
                return server;
            }
        }
        panic!("postgres does not start");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://postgres:test%20pass@127.0.0.1:{}/postgres", self.port)
    }

    /// The server's own, so that it may read it and nobody else.
    pub(super) fn give(&self, path: &Path) {
        if rustix::process::geteuid().is_root() {
            chown(path, Some(NOBODY), Some(NOBODY)).expect("given");
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("written");
        self.give(&path);
        path
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts it with these settings, and waits until it answers.
    pub(super) async fn run(&mut self, settings: &[&str]) {
        assert!(self.runs(settings).await, "postgres ended at its start");
    }

    /// The same; whether it did not end at once.
    async fn runs(&mut self, settings: &[&str]) -> bool {
        let mut command = self.program("postgres");
        command
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.folder.path())
            .args(["-p", &self.port.to_string()]);
        for setting in
            ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=30"].iter().chain(settings)
        {
            command.args(["-c", setting]);
        }
        let mut child = command.spawn().expect("postgres starts");
        let up = async {
            let mut asked = self.program("pg_isready");
            asked.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            loop {
                let answers = asked.status().expect("pg_isready starts").success();
                if child.try_wait().expect("it is ours").is_some() {
                    return false;
                }
                if answers {
                    return true;
                }
                tokio::task::yield_now().await;
            }
        };
        let up = tokio::time::timeout(Duration::from_secs(60), up).await.expect("the server answers");
        self.child = up.then_some(child);
        up
    }

    /// Stops it at once, as a machine that fails would (`SIGQUIT`).
    pub(super) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::QUIT).expect("told");
        let _ended = child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
