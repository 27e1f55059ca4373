//! The hidden entry of a program that servers are started through.

use std::{
    ffi::OsString,
    path::PathBuf,
    process::ExitCode,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{confine, keeper};

/// The first argument of a keeper.
pub(super) const KEEPER: &str = "partywall-keeps-a-server";
/// The first argument of what becomes a server.
pub(super) const SERVER: &str = "partywall-becomes-a-server";

static ENTERED: AtomicBool = AtomicBool::new(false);
static OTHER: OnceLock<PathBuf> = OnceLock::new();

/// Whether this program's `main` offers the entry.
pub(super) fn entered() -> bool {
    ENTERED.load(Ordering::Relaxed)
}

/// The other program that servers are started through, if there is one.
pub(super) fn other() -> Option<PathBuf> {
    OTHER.get().cloned()
}

/// Has servers started through another program whose `main` calls [`enter`], for one whose `main` is not its own, as that of
/// tests is. Only the first such program counts.
pub fn through(program: impl Into<PathBuf>) {
    let _there_is_one = OTHER.set(program.into());
}

/// Has to stand first in the `main` of a program that serves `[[upstream]]` with `command`: the program starts itself
/// again to put a fence around such a server. Gives the status to end with when this process is such a one.
///
/// It has to be called before any thread is started and before any file is opened.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     if let Some(code) = partywall_gateway::launcher::enter() {
///         return code;
///     }
///     // …
///     ExitCode::SUCCESS
/// }
/// ```
pub fn enter() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next().unwrap_or_default();
    if first == KEEPER {
        return Some(keeper::run());
    }
    if first == SERVER {
        let rest: Vec<OsString> = arguments.take(2).collect();
        return Some(confine::run(&rest));
    }
    ENTERED.store(true, Ordering::Relaxed);
    None
}
