//! Starting the command and reading what it says.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use partywall_postgres::{Connector, DatabaseUrl, drive};
use tokio_postgres::SimpleQueryMessage;

/// The command, without the caller's colours.
pub(crate) fn partywall(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_partywall"));
    command.args(arguments).env("NO_COLOR", "1");
    command
}

/// Runs the command to its end with some standard input.
pub(crate) fn run(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = partywall(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command may end without reading.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Runs the command, which must succeed; what it printed.
pub(crate) fn ok(folder: &Path, arguments: &[&str], input: &str) -> String {
    let output = run(folder, arguments, input);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs the command, which must fail with status 2; what it complained about.
pub(crate) fn fails(folder: &Path, arguments: &[&str], input: &str) -> String {
    let output = run(folder, arguments, input);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    assert!(!errors.contains("panicked"), "{errors}");
    errors
}

/// The URL of a superuser of the PostgreSQL server for tests.
pub(crate) fn superuser() -> String {
    #[expect(clippy::disallowed_methods, reason = "where the server is, is the runner's choice")]
    let url = std::env::var("PARTYWALL_TEST_POSTGRES");
    url.expect(
        "PARTYWALL_TEST_POSTGRES is not set: run `cargo xtask test`, or set it to the URL of a superuser of a PostgreSQL \
         server for tests",
    )
}

/// Runs SQL; the values of the rows.
pub(crate) fn sql(url: &str, text: &str) -> Vec<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = DatabaseUrl::parse(url, Path::new("/")).unwrap();
        let (client, connection) = Connector::new(url).unwrap().connect().await.unwrap();
        let messages = drive(connection, client.simple_query(text)).await.unwrap();
        let row = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_owned()).collect())
            }
            _ => None,
        };
        messages.unwrap_or_else(|error| panic!("{text}: {error:?}")).iter().filter_map(row).collect()
    })
}

/// A running command; it is stopped when dropped.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = partywall(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The next line it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    /// The next line it says on standard error.
    pub(crate) fn error_line(&mut self) -> String {
        let mut line = Vec::new();
        let errors = self.child.stderr.as_mut().unwrap();
        let mut byte = [0];
        while std::io::Read::read(errors, &mut byte).unwrap() == 1 {
            line.push(byte[0]);
            if byte[0] == b'\n' {
                break;
            }
        }
        String::from_utf8(line).unwrap()
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// Sends a signal by name and waits for the end; whether it was a success, and what was said on standard error.
    pub(crate) fn stop(mut self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        let status = self.child.wait().unwrap();
        let mut errors = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut errors).unwrap();
        (status.code(), errors)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Another program that serves; it is stopped when dropped.
pub(crate) struct Server(Child);

impl Server {
    /// Starts it; it must say in one line that it is ready, which comes back.
    pub(crate) fn start(command: &mut Command) -> (Self, String) {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Self(child), line)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}
