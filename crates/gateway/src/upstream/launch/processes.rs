//! The processes that a server started, however they did it: all descendants of the keeper.

use std::{collections::HashSet, fs, os::unix::fs::MetadataExt as _, path::Path, time::Instant};

use rustix::{
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process_group, pidfd_open, pidfd_send_signal,
        wait,
    },
};

/// How many are looked at at most.
const MOST: usize = 8192;
/// How many of their open files are looked at at most.
const MOST_FILES: usize = 65_536;
/// The size that the system counts files in.
const BLOCK: u64 = 512;

/// A process and whose child it is.
#[derive(Clone, Copy)]
struct Seen {
    pid: i32,
    parent: i32,
}

/// What they use together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Use {
    pub(super) processes: u64,
    pub(super) threads: u64,
    /// Bytes of memory, or of swap space, that is in nobody's file.
    pub(super) memory: u64,
}

fn descendants() -> Vec<Seen> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mut found: Vec<Seen> = Vec::new();
    let mut next = Some(own);
    let mut looked_at = 0;
    while let Some(parent) = next {
        children(parent, &mut found);
        next = found.get(looked_at).map(|seen| seen.pid);
        looked_at += 1;
    }
    found
}

/// Adds the children of a process, which its threads have each.
fn children(parent: i32, found: &mut Vec<Seen>) {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { return };
    for thread in threads.flatten().take(MOST) {
        let text = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        for pid in text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()) {
            if found.len() >= MOST {
                return;
            }
            found.push(Seen { pid, parent });
        }
    }
}

/// What all of them use now.
///
/// Memory in files without a name counts as long as a process has the file open. What of it is mapped stands in the
/// processes' own count as well, so of the two the larger one is taken.
pub(super) fn used() -> Use {
    let mut sum = Use::default();
    let mut files = MemoryFiles::default();
    let mut shared = 0_u64;
    for seen in descendants() {
        let Ok(status) = fs::read_to_string(format!("/proc/{}/status", seen.pid)) else { continue };
        sum.processes += 1;
        for line in status.lines() {
            let (name, rest) = line.split_once(':').unwrap_or_default();
            let number: u64 =
                rest.split_ascii_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or_default();
            match name {
                "Threads" => sum.threads += number,
                "RssAnon" | "VmSwap" => sum.memory += number.saturating_mul(1024),
                "RssShmem" => shared += number.saturating_mul(1024),
                _ => {}
            }
        }
        files.look_at(seen.pid);
    }
    sum.memory += shared.max(files.bytes);
    sum
}

/// Files that are nowhere but in memory (`memfd_create`).
#[derive(Default)]
struct MemoryFiles {
    /// Each counts once, whoever has it open.
    known: HashSet<(u64, u64)>,
    bytes: u64,
    looked_at: usize,
}

impl MemoryFiles {
    fn look_at(&mut self, pid: i32) {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return };
        for file in files.flatten() {
            if self.looked_at >= MOST_FILES {
                return;
            }
            self.looked_at += 1;
            let path = file.path();
            if fs::read_link(&path).is_ok_and(|name| is_memory(&name)) {
                self.count(&path);
            }
        }
    }

    fn count(&mut self, path: &Path) {
        let Ok(file) = fs::metadata(path) else { return };
        if self.known.insert((file.dev(), file.ino())) {
            self.bytes += file.blocks().saturating_mul(BLOCK);
        }
    }
}

fn is_memory(name: &Path) -> bool {
    name.as_os_str().as_encoded_bytes().starts_with(b"/memfd:")
}

/// Kills a process if it is still the one that was seen.
fn kill(seen: Seen) {
    let Some(pid) = Pid::from_raw(seen.pid) else { return };
    // From here on the number cannot become another process's unnoticed.
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let stat = fs::read_to_string(format!("/proc/{}/stat", seen.pid)).unwrap_or_default();
    // The name of the program stands in parentheses and may hold anything.
    let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(1));
    if parent.and_then(|text| text.parse().ok()) == Some(seen.parent) {
        let _ended_already = pidfd_send_signal(&process, Signal::KILL);
    }
}

/// Waits for those that have ended; gives the server's status if it is among them, and whether any are left.
pub(super) fn reap(server: Pid) -> (Option<WaitStatus>, bool) {
    let mut status = None;
    for _ in 0..MOST {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, ended))) if pid == server => status = Some(ended),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return (status, true),
            Err(_none_left) => return (status, false),
        }
    }
    (status, true)
}

/// Kills all of them, again and again until none is left, or until the time is up.
///
/// What loses its parent becomes the keeper's child, so that nobody gets away by leaving the process group.
pub(super) fn kill_all(server: Pid, until: Instant) -> Option<WaitStatus> {
    let mut status = None;
    let _ended_already = kill_process_group(server, Signal::KILL);
    loop {
        for seen in descendants() {
            kill(seen);
        }
        let (ended, are_left) = reap(server);
        status = status.or(ended);
        if !are_left || Instant::now() >= until {
            return status;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
