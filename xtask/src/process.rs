//! Running other programs: each is waited for or stopped by its handle, however this program goes on.

use std::{
    ffi::OsStr,
    fmt, fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::say::say;

/// A program that was started, and is killed when this goes.
pub(crate) struct Running {
    child: Child,
    name: String,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let name = Name(command).to_string();
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn stdout(&mut self) -> Result<ChildStdout> {
        self.child.stdout.take().with_context(|| format!("{} has no standard output to read", self.name))
    }

    /// The first line of the standard output, which must be piped.
    pub(crate) fn first_line(&mut self, most: Duration) -> Result<String> {
        let mut output = BufReader::new(self.stdout()?);
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = output.read_line(&mut line).map(|_bytes| line);
            // Nobody waits for it any more: then it does not matter.
            let _gone = sender.send(read);
            // What follows is read too, so that the program never waits for a reader.
            let _ended = std::io::copy(&mut output, &mut std::io::sink());
        });
        let line = receiver
            .recv_timeout(most)
            .with_context(|| format!("{} did not say that it is ready", self.name))?;
        let line = line?;
        ensure!(!line.is_empty(), "{} ended before it was ready", self.name);
        Ok(line)
    }

    /// Waits for the end; a program that takes too long is killed, which is an error.
    pub(crate) fn wait(&mut self, most: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > most {
                self.child.kill()?;
                self.child.wait()?;
                bail!("{} took more than {} s and was stopped", self.name, most.as_secs());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Runs a program with our own input and output; whether it ended well.
pub(crate) fn succeeds(command: &mut Command, most: Duration) -> Result<bool> {
    say(&format!("$ {}", Name(command)));
    Ok(Running::start(command)?.wait(most)?.success())
}

/// Runs a program that must end well.
pub(crate) fn must(command: &mut Command, most: Duration) -> Result<()> {
    ensure!(succeeds(command, most)?, "{} failed", Name(command));
    Ok(())
}

/// Runs a program and hands each line of its standard output to `each` as it comes; whether it ended well.
pub(crate) fn follow(command: &mut Command, most: Duration, mut each: impl FnMut(&str)) -> Result<bool> {
    say(&format!("$ {}", Name(command)));
    let mut running = Running::start(command.stdout(Stdio::piped()))?;
    let output = BufReader::new(running.stdout()?);
    let (sender, receiver) = mpsc::sync_channel(64);
    let reader = thread::spawn(move || {
        for line in output.split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    let start = Instant::now();
    loop {
        match receiver.recv_timeout(most.saturating_sub(start.elapsed())) {
            Ok(line) => each(&line),
            Err(RecvTimeoutError::Disconnected) => break,
            // It is stopped when `running` goes.
            Err(RecvTimeoutError::Timeout) => {
                bail!("{} took more than {} s and was stopped", running.name, most.as_secs())
            }
        }
    }
    ensure!(reader.join().is_ok(), "the reader of {} stopped", running.name);
    Ok(running.wait(most)?.success())
}

/// Runs a short program and gives what it wrote; an error when it failed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let mut running = Running::start(command.stdout(Stdio::piped()))?;
    let mut text = String::new();
    running.stdout()?.read_to_string(&mut text)?;
    let status = running.wait(Duration::from_secs(60))?;
    ensure!(status.success(), "{} failed: {status}", running.name);
    Ok(text)
}

/// The same for a program that reads its standard input. It comes from a file in `folder`: a pipe would fill up while
/// nobody reads what the program writes.
pub(crate) fn output_with_input(command: &mut Command, folder: &Path, input: &str) -> Result<String> {
    let path = folder.join("input");
    fs::write(&path, input).with_context(|| format!("cannot write {}", path.display()))?;
    let text = output(command.stdin(fs::File::open(&path)?));
    fs::remove_file(&path)?;
    text
}

/// Whether a program of this name can be started.
pub(crate) fn is_there(program: impl AsRef<OsStr>) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

/// A command as one would type it, without its environment.
struct Name<'c>(&'c Command);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.get_program().to_string_lossy())?;
        for argument in self.0.get_args() {
            write!(f, " {}", argument.to_string_lossy())?;
        }
        Ok(())
    }
}
