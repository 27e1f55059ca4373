//! One tenant's log: a file of chained lines, its head, and the archive of the files that became too large.
//!
//! Several processes may write to one log (a server and `serve --stdio`): each locks the file for a moment and first
//! reads what another one has added.

use std::{
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    head::{Head, HeadFile, boot},
    line::{self, Line, Link, Note, Place},
};
use crate::tenants::store::private_folder;

/// Why lines cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// The system does not take them.
    #[error("writing {path}: {source}; make room on the disk or check the permissions", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    /// The log is not what was written.
    #[error(
        "{path} is damaged: {what}; see `partywall audit verify`, then move the file away, as evidence, to go on with \
         a new one", path = path.display()
    )]
    Damaged { path: PathBuf, what: String },
}

/// The files of one log.
#[derive(Clone)]
pub(super) struct Paths {
    pub(super) log: PathBuf,
    pub(super) head: PathBuf,
    pub(super) archive: PathBuf,
}

impl Paths {
    /// `name` is a tenant id, or begins with a dash, as no tenant id does.
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        Self {
            log: folder.join(format!("{name}.jsonl")),
            head: folder.join(format!("{name}.head")),
            archive: folder.join("archive").join(name),
        }
    }
}

/// A log's file, for those who wait until it is on disk.
pub(super) struct Disk {
    file: File,
    written: AtomicU64,
    synced: AtomicU64,
    turn: tokio::sync::Mutex<()>,
}

impl Disk {
    /// Waits until what was written so far is on disk; who comes while that is going on shares the next time.
    pub(super) async fn sync(self: Arc<Self>) -> io::Result<()> {
        let wanted = self.written.load(Ordering::Acquire);
        let _turn = self.turn.lock().await;
        if self.synced.load(Ordering::Acquire) >= wanted {
            return Ok(());
        }
        let disk = Arc::clone(&self);
        let work = tokio::task::spawn_blocking(move || disk.sync_now());
        work.await.map_err(io::Error::other)?
    }

    fn sync_now(&self) -> io::Result<()> {
        let covered = self.written.load(Ordering::Acquire);
        self.file.sync_data()?;
        self.synced.fetch_max(covered, Ordering::AcqRel);
        Ok(())
    }
}

/// An open log.
pub(super) struct Log {
    paths: Paths,
    disk: Arc<Disk>,
    head: HeadFile,
    inode: u64,
    /// Up to the last whole line.
    length: u64,
    place: Place,
    max_bytes: u64,
    /// What the first line of a new file says about the lines before.
    begin: Option<Note>,
    buffer: Vec<u8>,
    /// Where the lines in the buffer will end.
    next: Place,
}

impl Log {
    /// A file is locked by others for microseconds; one that stays locked is an error.
    const TRIES: u32 = 200;
    const MAX_LINE: usize = 16 * 1024;
    /// What one batch of another process, or of one that was killed, may have added after the head.
    const MAX_TAIL: u64 = 16 << 20;

    pub(super) fn open(paths: Paths, max_bytes: u64) -> Result<Self, LogError> {
        let failed = |source| LogError::Write { path: paths.log.clone(), source };
        let head = HeadFile::open(&paths.head).map_err(failed)?;
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&paths.log);
        let file = file.map_err(failed)?;
        lock(&file).map_err(failed)?;
        let unlock = Unlock(&file);
        let metadata = file.metadata().map_err(failed)?;
        let known = head.read().map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                LogError::Damaged { path: paths.head.clone(), what: source.to_string() }
            }
            _ => LogError::Write { path: paths.head.clone(), source },
        })?;
        let found = Found::look(&file, metadata.len(), known.as_ref(), &paths)?;
        drop(unlock);
        let synced = known.as_ref().map_or(0, |head| head.synced);
        let disk = Disk {
            file,
            written: AtomicU64::new(found.place.seq),
            synced: AtomicU64::new(synced.min(found.place.seq)),
            turn: tokio::sync::Mutex::new(()),
        };
        Ok(Self {
            paths,
            disk: Arc::new(disk),
            head,
            inode: metadata.ino(),
            length: found.length,
            place: found.place,
            max_bytes,
            begin: found.begin,
            buffer: Vec::new(),
            next: found.place,
        })
    }

    /// The file, to wait for the disk.
    pub(super) fn disk(&self) -> Arc<Disk> {
        Arc::clone(&self.disk)
    }

    fn failed(&self, source: io::Error) -> LogError {
        LogError::Write { path: self.paths.log.clone(), source }
    }

    fn damaged(&self, what: impl Into<String>) -> LogError {
        LogError::Damaged { path: self.paths.log.clone(), what: what.into() }
    }

    /// Writes lines after those that are there: all of them or none. `lost` lines that came before could not be.
    pub(super) fn append(&mut self, lines: &[&Line], lost: u64) -> Result<(), LogError> {
        lock(&self.disk.file).map_err(|source| self.failed(source))?;
        let disk = Arc::clone(&self.disk);
        let _unlock = Unlock(&disk.file);
        let metadata = self.in_place()?;
        self.catch_up(&metadata)?;
        self.buffer.clear();
        self.next = self.place;
        let Some(first) = lines.first() else { return Ok(()) };
        for note in self.begin.into_iter().chain((lost > 0).then_some(Note::Gap(lost))) {
            self.take(|buffer, place| line::write_note(buffer, place, first, note))?;
        }
        for line in lines {
            self.take(|buffer, place| line::write(buffer, place, line))?;
        }
        self.commit()
    }

    fn take(&mut self, write: impl FnOnce(&mut Vec<u8>, Place) -> Option<Place>) -> Result<(), LogError> {
        let next = write(&mut self.buffer, self.next);
        self.next = next.ok_or_else(|| self.failed(io::Error::other("a line cannot be written as JSON")))?;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), LogError> {
        let written = (&self.disk.file).write_all(&self.buffer).and_then(|()| {
            self.head.write(&Head {
                place: self.next,
                synced: self.disk.synced.load(Ordering::Acquire),
                boot: boot(),
            })
        });
        if let Err(source) = written {
            // Half a line must not stand before the next one. Making a file shorter needs no room.
            let _also_failed = self.disk.file.set_len(self.length);
            return Err(self.failed(source));
        }
        self.length += self.buffer.len() as u64;
        self.place = self.next;
        self.begin = None;
        self.disk.written.fetch_max(self.place.seq, Ordering::AcqRel);
        if self.buffer.capacity() > 64 * 1024 {
            self.buffer = Vec::new();
        }
        Ok(())
    }

    /// Whether the open file is still the log.
    fn in_place(&self) -> Result<Metadata, LogError> {
        match fs::metadata(&self.paths.log) {
            Ok(metadata) if metadata.ino() == self.inode => Ok(metadata),
            Ok(_) => Err(self.failed(io::Error::new(io::ErrorKind::NotFound, "the file was replaced"))),
            Err(source) => Err(self.failed(source)),
        }
    }

    /// Reads what another process has added since.
    fn catch_up(&mut self, metadata: &Metadata) -> Result<(), LogError> {
        let length = metadata.len();
        if length == self.length {
            return Ok(());
        }
        if length < self.length {
            return Err(self.damaged(format!("it ends before line {}", self.place.seq)));
        }
        let added = read_range(&self.disk.file, self.length, length).map_err(|source| self.failed(source))?;
        let (place, whole) = follow(&added, self.place).map_err(|what| self.damaged(what))?;
        if place != self.place {
            self.begin = None;
        }
        self.place = place;
        self.length += whole;
        if self.length < length {
            self.disk.file.set_len(self.length).map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// Whether the file is so large that the next line belongs into a new one.
    pub(super) fn is_full(&self) -> bool {
        self.length >= self.max_bytes
    }

    /// Moves the file to the archive; the log must be opened again.
    pub(super) fn archive(self) -> Result<(), LogError> {
        lock(&self.disk.file).map_err(|source| self.failed(source))?;
        let _unlock = Unlock(&self.disk.file);
        if self.in_place().is_err() {
            // Another process was faster.
            return Ok(());
        }
        private_folder(&self.paths.archive).map_err(|source| self.failed(source))?;
        // Those who wait for a line of this file ask for the new one's.
        self.disk.sync_now().map_err(|source| self.failed(source))?;
        let archived = self.paths.archive.join(format!("{:020}.jsonl", self.place.seq));
        fs::rename(&self.paths.log, archived).map_err(|source| self.failed(source))
    }
}

/// What a file has when it is opened.
struct Found {
    place: Place,
    length: u64,
    begin: Option<Note>,
}

impl Found {
    fn look(file: &File, length: u64, head: Option<&Head>, paths: &Paths) -> Result<Self, LogError> {
        let damaged = |what: String| LogError::Damaged { path: paths.log.clone(), what };
        let failed = |source| LogError::Write { path: paths.log.clone(), source };
        let start = head.map_or(Place::START, |head| head.place);
        if length == 0 {
            let begin = (start.seq > 0).then(|| {
                let archived = paths.archive.join(format!("{:020}.jsonl", start.seq));
                if archived.is_file() { Note::Continued } else { Note::Missing }
            });
            return Ok(Self { place: start, length: 0, begin });
        }
        if head.is_none() && !starts_at_one(file).map_err(failed)? {
            return Err(damaged(format!("{} is missing", paths.head.display())));
        }
        let from = length.saturating_sub(Log::MAX_TAIL);
        let tail = read_range(file, from, length).map_err(failed)?;
        let (begins, known, lost) = known_line(&tail, from == 0, head).map_err(damaged)?;
        let rest = tail.get(begins..).unwrap_or_default();
        let (place, whole) = follow(rest, known).map_err(damaged)?;
        let end = from + begins as u64 + whole;
        if end < length {
            // The process was killed in the middle of a line; nobody was answered for it.
            file.set_len(end).map_err(failed)?;
        }
        Ok(Self { place, length: end, begin: (lost > 0).then_some(Note::Gap(lost)) })
    }
}

fn starts_at_one(file: &File) -> io::Result<bool> {
    let mut start = [0; 64];
    let read = file.read_at(&mut start, 0)?;
    Ok(start.get(..read).is_some_and(|start| start.starts_with(b"{\"seq\":1,")))
}

/// Finds the head's line in the last part of a file: where the next line begins, its place, and how many lines before
/// it a power cut has taken.
fn known_line(tail: &[u8], whole_file: bool, head: Option<&Head>) -> Result<(usize, Place, u64), String> {
    let Some(head) = head else { return Ok((0, Place::START, 0)) };
    let mut end = 0;
    let mut last = None;
    let mut first = true;
    for line in tail.split_inclusive(|byte| *byte == b'\n') {
        let start = end;
        end += line.len();
        let cut_off = std::mem::take(&mut first) && !whole_file;
        let Some(text) = line.strip_suffix(b"\n") else { break };
        if cut_off {
            continue;
        }
        let link: Link<'_> = serde_json::from_slice(text)
            .map_err(|_error| format!("a line after byte {start} of its last part is no line of a log"))?;
        let place = Place { seq: link.seq - link.seq.min(1), ..Place::START }.next(text);
        last = Some((end, place));
        if place.seq == head.place.seq {
            return match place == head.place {
                true => Ok((end, place, 0)),
                false => Err(format!("line {} was changed", place.seq)),
            };
        }
    }
    match last {
        // A power cut takes what was not yet on disk, and nothing else does.
        Some((end, place))
            if place.seq < head.place.seq && place.seq >= head.synced && head.boot != boot() =>
        {
            Ok((end, place, head.place.seq - place.seq))
        }
        Some((_, place)) if place.seq < head.place.seq => {
            Err(format!("it ends at line {}, and line {} was written", place.seq, head.place.seq))
        }
        _ => Err(format!("line {} is not in it", head.place.seq)),
    }
}

/// Follows whole lines from a place on; where they end, and their length.
fn follow(text: &[u8], mut place: Place) -> Result<(Place, u64), String> {
    let mut whole = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Some(stripped) = line.strip_suffix(b"\n").filter(|line| line.len() <= Log::MAX_LINE) else {
            break;
        };
        let chained = serde_json::from_slice::<Link<'_>>(stripped).is_ok_and(|link| link.follows(place));
        if !chained {
            return Err(format!("what stands after line {} does not follow it", place.seq));
        }
        place = place.next(stripped);
        whole += line.len() as u64;
    }
    Ok((place, whole))
}

fn read_range(file: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    if to - from > Log::MAX_TAIL {
        return Err(io::Error::other("more was added at once than a gateway adds"));
    }
    let mut bytes = vec![0; usize::try_from(to - from).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

fn lock(file: &File) -> io::Result<()> {
    for _ in 0..Log::TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_micros(100)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::WouldBlock, "another program keeps the file locked"))
}

struct Unlock<'f>(&'f File);

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        // The lock goes with the descriptor in any case.
        let _kept = self.0.unlock();
    }
}
