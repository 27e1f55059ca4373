//! What the keeper is told, and how a start is reported.

use std::path::PathBuf;

use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Launch, Means, installed};
use crate::upstream::error::UpstreamError;

/// The line that says that the server starts.
pub(super) const READY: &str = "ready";
/// How a line begins that says why it does not.
pub(super) const REFUSED: &str = "refused: ";

/// The largest command line, and the largest environment, in bytes.
///
/// The system takes 128 KiB for one text at most, and has a limit for all of them together.
const MOST: usize = 96 * 1024;

/// What a server is: all but its environment.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) program: String,
    pub(super) args: Vec<String>,
    pub(super) folder: PathBuf,
    pub(super) readable: Vec<PathBuf>,
    pub(super) memory: u64,
    pub(super) processes: u32,
    pub(super) open_files: u64,
    pub(super) file_size: u64,
    pub(super) grace_ms: u64,
    /// To which TCP ports it may connect; to any, if there is no list.
    pub(super) connect: Option<Vec<u16>>,
    /// Whether it may listen on TCP ports.
    pub(super) listen: bool,
    /// Whether Landlock keeps it in.
    pub(super) landlock: bool,
    /// Whether the kernel refuses it some calls.
    pub(super) calls: bool,
    /// The program that gives it a view of its own of the system.
    pub(super) bubblewrap: Option<PathBuf>,
    /// Where programs are looked for.
    pub(super) path: String,
    /// The arguments that are files or folders, of which some may not be in that view.
    pub(super) named: Vec<String>,
}

fn path(launch: &Launch) -> String {
    let own = launch.env.iter().rfind(|(name, _)| name == "PATH");
    own.map_or(installed::PATH, |(_, value)| value.expose_secret()).to_owned()
}

/// What the keeper reads: the plan, then the environment, whose values may be secrets.
#[derive(Serialize, Deserialize)]
pub(super) struct Told<P, T> {
    pub(super) plan: P,
    pub(super) env: Vec<(T, T)>,
}

/// The message to the keeper: its length, then its text.
pub(super) fn written(launch: &Launch, means: &Means) -> Result<Zeroizing<Vec<u8>>, UpstreamError> {
    let refused = |text: String| Err(UpstreamError::Unreachable(text));
    if !launch.folder.is_absolute() {
        return refused(format!("`{}` is not an absolute path", launch.folder.display()));
    }
    let limits = &launch.limits;
    let plan = Plan {
        program: launch.program.clone(),
        args: launch.args.clone(),
        folder: launch.folder.clone(),
        readable: launch.readable.clone(),
        memory: limits.memory,
        processes: limits.processes,
        open_files: limits.open_files,
        file_size: limits.file_size,
        grace_ms: u64::try_from(limits.grace.as_millis()).unwrap_or(u64::MAX),
        connect: launch.network.connect.clone(),
        listen: launch.network.listen,
        landlock: means.landlock,
        calls: means.calls,
        bubblewrap: means.bubblewrap.clone(),
        path: path(launch),
        named: Vec::new(),
    };
    let env: Vec<(&str, &str)> =
        launch.env.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
    for (name, value) in &env {
        let fits = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
        if !fits {
            return refused(format!("`{name}` cannot be a variable of an environment, or its value cannot"));
        }
    }
    let size: usize = env.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let command = serde_json::to_string(&plan).map_or(usize::MAX, |text| text.len());
    if size > MOST || command > MOST {
        return refused("its command line or its environment is too large".to_owned());
    }
    // No text in it is longer than six bytes for each of its bytes, so it never grows and leaves no copy behind.
    let mut message = Zeroizing::new(Vec::with_capacity(command + 6 * size + 64 * env.len() + 64));
    message.extend_from_slice(&[0; 4]);
    if serde_json::to_writer(&mut *message, &Told { plan, env }).is_err() {
        return refused("its command line cannot be written".to_owned());
    }
    let length = u32::try_from(message.len().saturating_sub(4)).unwrap_or_default();
    for (place, byte) in message.iter_mut().zip(length.to_be_bytes()) {
        *place = byte;
    }
    Ok(message)
}
