//! The head of a log: which line is its last, kept beside it.
//!
//! A chain of hashes shows that a line was changed and cannot show that the last ones were cut off. The head can. It is
//! made before the first line and written after the lines and before anybody is answered, so the log never ends before
//! its head, except after a power cut, which the head tells apart: it names the boot of the machine and the last line
//! that was on disk for certain. The head itself is not waited for, so a power cut may leave an older one.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize};

use super::line::Place;

/// What a head says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) place: Place,
    /// Where the line ends in its file, in bytes, so that it is found without looking for it.
    pub(super) end: u64,
    /// The last line that was on disk for certain.
    pub(super) synced: u64,
    /// The boot of the machine in which it was written.
    pub(super) boot: Arc<str>,
}

#[derive(Serialize, Deserialize)]
struct Written<'h> {
    seq: u64,
    hash: &'h str,
    end: u64,
    boot: &'h str,
}

/// One write of one block, so that a reader and a crash see the old head or the new one.
const SIZE: usize = 256;
/// The number of the last line on disk stands behind it, since others write it and at other times.
const SYNCED: usize = 32;

/// The head's file.
pub(super) struct HeadFile(File);

impl HeadFile {
    /// Opens or makes the head's file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        Ok(Self(file))
    }

    /// The head; `None` when there is none yet.
    pub(super) fn read(&self) -> io::Result<Option<Head>> {
        let length = self.0.metadata()?.len();
        if length == 0 {
            return Ok(None);
        }
        let mut block = vec![0; usize::try_from(length).unwrap_or(SIZE).min(SIZE + SYNCED)];
        self.0.read_exact_at(&mut block, 0)?;
        parse(&block).map(Some)
    }

    /// Says which line is the last, and where it ends.
    pub(super) fn write(&self, place: Place, end: u64) -> io::Result<()> {
        let mut hex = [0; 64];
        hex::encode_to_slice(place.hash, &mut hex).map_err(io::Error::other)?;
        let hash = std::str::from_utf8(&hex).map_err(io::Error::other)?;
        let mut block = Vec::with_capacity(SIZE);
        serde_json::to_writer(&mut block, &Written { seq: place.seq, hash, end, boot: &boot() })?;
        block.resize(SIZE - 1, b' ');
        block.push(b'\n');
        self.0.write_all_at(&block, 0)
    }

    /// Says which line is the last that is on disk.
    pub(super) fn write_synced(&self, seq: u64) -> io::Result<()> {
        let block = format!("{seq:<width$}\n", width = SYNCED - 1);
        self.0.write_all_at(block.as_bytes(), SIZE as u64)
    }

    /// Waits until the head is on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Reads the head of a log that somebody else may be writing.
pub(super) fn read(path: &Path) -> io::Result<Option<Head>> {
    match File::open(path) {
        Ok(file) => HeadFile(file).read(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn parse(block: &[u8]) -> io::Result<Head> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "it is not what the gateway wrote");
    let (block, synced) = block.split_at_checked(SIZE).unwrap_or((block, &[]));
    let written: Written<'_> = serde_json::from_slice(block).map_err(|_error| wrong())?;
    let mut hash = [0; 32];
    hex::decode_to_slice(written.hash, &mut hash).map_err(|_error| wrong())?;
    let synced = std::str::from_utf8(synced).map_err(|_error| wrong())?.trim();
    let synced = if synced.is_empty() { 0 } else { synced.parse().map_err(|_error| wrong())? };
    Ok(Head { place: Place { seq: written.seq, hash }, end: written.end, synced, boot: written.boot.into() })
}

/// The name that the kernel gives to this boot of the machine; empty where there is none.
pub(super) fn boot() -> Arc<str> {
    static BOOT: OnceLock<Arc<str>> = OnceLock::new();
    let read = || std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Arc::clone(BOOT.get_or_init(|| read().trim().chars().take(64).collect::<String>().into()))
}
