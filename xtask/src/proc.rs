//! What the kernel says of a process.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) rss_kib: f64,
    pub(crate) descriptors: f64,
    pub(crate) threads: f64,
}

fn of(process: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{process}/{name}"))
}

fn status(process: u32, key: &str) -> Result<String> {
    let text = fs::read_to_string(of(process, "status"))
        .with_context(|| format!("process {process} is gone; it has ended by itself"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    Ok(line.with_context(|| format!("the kernel tells no {key}"))?.trim().to_owned())
}

/// Resident memory in KiB.
pub(crate) fn rss_kib(process: u32) -> Result<f64> {
    Ok(status(process, "VmRSS")?.trim_end_matches(" kB").trim().parse()?)
}

pub(crate) fn held(process: u32) -> Result<Held> {
    Ok(Held {
        rss_kib: rss_kib(process)?,
        descriptors: fs::read_dir(of(process, "fd"))?.count() as f64,
        threads: status(process, "Threads")?.parse()?,
    })
}

/// Whether a process would act on SIGHUP and not die of it.
pub(crate) fn catches_hangup(process: u32) -> Result<bool> {
    let caught = u64::from_str_radix(&status(process, "SigCgt")?, 16)?;
    Ok(caught & 1 == 1)
}

/// How long a process's threads have run, in microseconds: finer than the ticks of utime and stime.
pub(crate) fn cpu_us(process: u32) -> Result<f64> {
    let mut nanoseconds = 0.0;
    for thread in fs::read_dir(of(process, "task"))? {
        // A thread may end between the listing and the reading.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        nanoseconds += text.split(' ').next().unwrap_or_default().parse::<f64>()?;
    }
    Ok(nanoseconds / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_something() {
        let held = held(std::process::id()).unwrap();
        assert!(held.rss_kib > 100.0 && held.descriptors >= 3.0 && held.threads >= 1.0, "{held:?}");
        assert!(!catches_hangup(std::process::id()).unwrap());
        assert!(rss_kib(u32::MAX).is_err());
    }
}
