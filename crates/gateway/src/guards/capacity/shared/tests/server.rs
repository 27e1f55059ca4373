//! A redis-server of a test's own, which it may stop and kill.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) struct Server {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self { folder, port: free_port(), arguments, child: None };
        server.again();
        server
    }

    /// Starts it on the same port, with nothing in it.
    pub(crate) fn again(&mut self) {
        let child = Command::new("redis-server")
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(["--dir", self.folder.path().to_str().unwrap()])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect(
                "cannot start redis-server; run `cargo xtask test`, or install Debian's package redis-server",
            );
        self.child = Some(child);
        let since = Instant::now();
        while !self.answers() {
            assert!(since.elapsed() < Duration::from_secs(30), "redis-server does not answer");
            std::thread::yield_now();
        }
    }

    /// Whether it answers anything at all; it may want a password first.
    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut byte = [0];
        stream.write_all(b"PING\r\n").is_ok()
            && stream.read_exact(&mut byte).is_ok()
            && b"+-".contains(&byte[0])
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if self.child.is_some() {
            self.signal("-KILL");
        }
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
        }
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}

/// A cluster of three nodes. A node that is gone leaves the others at work.
pub(crate) fn cluster() -> [Server; 3] {
    let nodes = [(); 3].map(|()| {
        let bus = free_port().to_string();
        Server::start(&[
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus,
            "--cluster-node-timeout",
            "1000",
            "--cluster-require-full-coverage",
            "no",
        ])
    });
    let addresses = nodes.each_ref().map(|node| format!("127.0.0.1:{}", node.port));
    let made = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(&addresses)
        .arg("--cluster-yes")
        .stdin(Stdio::null())
        .output()
        .expect("cannot start redis-cli; run `cargo xtask test`, or install Debian's package redis-tools");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    for node in &nodes {
        let since = Instant::now();
        while !info(node).contains("cluster_state:ok") {
            assert!(since.elapsed() < Duration::from_secs(30), "the cluster does not come together");
            std::thread::yield_now();
        }
    }
    nodes
}

fn info(node: &Server) -> String {
    let mut command = Command::new("redis-cli");
    let output = command.args(["-p", &node.port.to_string(), "cluster", "info"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
