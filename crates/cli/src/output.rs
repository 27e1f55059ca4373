//! What goes to the terminal.

use std::{
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use tracing_subscriber::EnvFilter;

use crate::args::{Arguments, Color};

/// Writes text to standard output.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

/// Whether `--quiet` was given.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Says something on standard error, such as what was done; nothing with `--quiet`.
pub(crate) fn note(text: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        to_stderr(text);
    }
}

/// Whether standard output gets colours.
pub(crate) fn colour(arguments: &Arguments) -> bool {
    match arguments.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
            io::stdout().is_terminal()
                && set("NO_COLOR").is_none()
                && set("TERM").is_none_or(|term| term != "dumb")
        }
    }
}

/// How many columns the terminal has, if standard output is one.
pub(crate) fn width() -> Option<usize> {
    console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns))
}

/// Asks something at the terminal.
pub(crate) fn ask(text: &str) -> anyhow::Result<()> {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn to_stderr(text: &str) {
    // There is nobody to tell when standard error is closed.
    let _closed = writeln!(io::stderr().lock(), "{text}");
}

/// Writes an error and what led to it.
pub(crate) fn complain(error: &anyhow::Error) {
    to_stderr(&format!("error: {error:#}"));
}

/// Whether the reader of our output went away, which is no error.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Starts the log on standard error. What libraries log at debug level can hold tenants' data, so raising the level
/// raises our own only.
pub(crate) fn start_log(arguments: &Arguments) {
    QUIET.store(arguments.quiet, Ordering::Relaxed);
    let level = match (arguments.quiet, arguments.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let filter =
        EnvFilter::new(format!("warn,rmcp=error,hyper=warn,partywall={level},partywall_gateway={level}"));
    let ansi = match arguments.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => io::stderr().is_terminal(),
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(io::stderr).init();
}
