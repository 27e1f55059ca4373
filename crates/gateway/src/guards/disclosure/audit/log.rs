//! One tenant's log: a file of chained lines, its head, and the archive of the files that became too large.
//!
//! Several processes may write to one log (a server and `serve --stdio`): each locks the file for a moment and first
//! reads what another one has added.

use std::{
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    disk::Disk,
    found::{Broken, Found, follow},
    head::HeadFile,
    line::{self, Line, Note, Place},
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
        #[cfg(test)]
        let name =
            if crate::removed::removed("own-log") && !name.starts_with('-') { "everybody" } else { name };
        Self {
            log: folder.join(format!("{name}.jsonl")),
            head: folder.join(format!("{name}.head")),
            archive: folder.join("archive").join(name),
        }
    }
}

/// An open log.
pub(super) struct Log {
    paths: Paths,
    disk: Arc<Disk>,
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
    /// How often another process may move the file away just when it is opened.
    pub(super) const MOVED: u32 = 100;

    /// Opens the log's file or makes it. `older` is the file before it, when it may not be on disk yet.
    pub(super) fn open(paths: Paths, max_bytes: u64, older: Option<Arc<Disk>>) -> Result<Self, LogError> {
        let failed = |source| LogError::Write { path: paths.log.clone(), source };
        for _ in 0..Self::MOVED {
            let head = HeadFile::open(&paths.head).map_err(failed)?;
            let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&paths.log);
            let file = file.map_err(failed)?;
            lock(&file).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            if fs::metadata(&paths.log).is_ok_and(|there| there.ino() == metadata.ino()) {
                return Self::locked(paths, max_bytes, older, head, file, &metadata);
            }
        }
        Err(failed(io::Error::other("other programs keep moving the file away")))
    }

    fn locked(
        paths: Paths,
        max_bytes: u64,
        older: Option<Arc<Disk>>,
        head: HeadFile,
        file: File,
        metadata: &Metadata,
    ) -> Result<Self, LogError> {
        let unlock = Unlock(&file);
        let failed = |source| LogError::Write { path: paths.log.clone(), source };
        let known = head.read().map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                LogError::Damaged { path: paths.head.clone(), what: source.to_string() }
            }
            _ => LogError::Write { path: paths.head.clone(), source },
        })?;
        let found =
            Found::look(&file, metadata.len(), known.as_ref(), &paths).map_err(|error| match error {
                Broken::Read(source) => failed(source),
                Broken::Damage(what) => LogError::Damaged { path: paths.log.clone(), what },
            })?;
        if found.length < metadata.len() {
            // The process was killed in the middle of a line; nobody was answered for it.
            file.set_len(found.length).map_err(failed)?;
        }
        if known.is_none() && found.place.seq == 0 {
            // Before the first line, so that a log without a head was tampered with.
            head.write(found.place, found.length).and_then(|()| head.write_synced(0)).map_err(failed)?;
        }
        drop(unlock);
        let synced = known.as_ref().map_or(0, |head| head.synced);
        let disk = Disk::new(file, head, found.place.seq, synced);
        if synced < found.place.seq || found.length == 0 {
            disk.with_folders(paths.log.parent().map(Path::to_owned));
        }
        disk.after(older);
        Ok(Self {
            disk: Arc::new(disk),
            paths,
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
        let end = self.length + self.buffer.len() as u64;
        let written = (&self.disk.file).write_all(&self.buffer);
        let written = written.and_then(|()| self.disk.head.write(self.next, end));
        if let Err(source) = written {
            // Half a line must not stand before the next one. Making a file shorter needs no room.
            let _also_failed = self.disk.file.set_len(self.length);
            return Err(self.failed(source));
        }
        self.length = end;
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
        let followed = follow(&self.disk.file, self.length, length, self.place);
        let (place, end) = followed.map_err(|error| match error {
            Broken::Read(source) => self.failed(source),
            Broken::Damage(what) => self.damaged(what),
        })?;
        if place != self.place {
            self.begin = None;
        }
        (self.place, self.length) = (place, end);
        if end < length {
            self.disk.file.set_len(end).map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// Whether the file is so large that the next line belongs into a new one.
    pub(super) fn is_full(&self) -> bool {
        self.length >= self.max_bytes
    }

    /// Moves the file to the archive; the log must be opened again, with the file that is returned as the older one.
    pub(super) fn archive(mut self) -> Result<Arc<Disk>, LogError> {
        let disk = Arc::clone(&self.disk);
        lock(&disk.file).map_err(|source| self.failed(source))?;
        let _unlock = Unlock(&disk.file);
        let Ok(metadata) = self.in_place() else {
            // Another process was faster.
            return Ok(self.disk);
        };
        // Its name says which line is its last, which may be one of another process.
        self.catch_up(&metadata)?;
        private_folder(&self.paths.archive).map_err(|source| self.failed(source))?;
        let archived = self.paths.archive.join(format!("{:020}.jsonl", self.place.seq));
        fs::rename(&self.paths.log, archived).map_err(|source| self.failed(source))?;
        let folder = self.paths.log.parent().map(Path::to_owned);
        let archive = self.paths.archive.parent().map(Path::to_owned);
        let folders = folder.into_iter().chain(archive).chain([self.paths.archive]).collect();
        // At least the next line has to wait for it.
        Arc::clone(&disk).sync_soon(folders);
        Ok(self.disk)
    }
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
