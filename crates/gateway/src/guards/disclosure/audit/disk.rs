//! Waiting until lines are on disk, on threads that may block.

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::head::HeadFile;

/// A log's file, for those who wait until it is on disk.
pub(crate) struct Disk {
    pub(super) file: File,
    pub(super) head: HeadFile,
    /// The last line in the file.
    pub(super) written: AtomicU64,
    /// The last line on disk.
    pub(super) synced: AtomicU64,
    /// The folders whose entries for this file are not known to be on disk.
    folders: Mutex<Vec<PathBuf>>,
    /// The file with the lines before these, when it has just gone to the archive: lines must not be on disk before
    /// those that they follow.
    older: Mutex<Option<Arc<Disk>>>,
    /// After an error the system no longer knows which pages are on disk, and would say that all are.
    failed: AtomicBool,
    turn: tokio::sync::Mutex<()>,
    #[cfg(test)]
    pub(super) times: AtomicU64,
}

impl Disk {
    pub(super) fn new(file: File, head: HeadFile, written: u64, synced: u64) -> Self {
        Self {
            file,
            head,
            written: AtomicU64::new(written),
            synced: AtomicU64::new(synced.min(written)),
            folders: Mutex::default(),
            older: Mutex::default(),
            failed: AtomicBool::new(false),
            turn: tokio::sync::Mutex::new(()),
            #[cfg(test)]
            times: AtomicU64::new(0),
        }
    }

    /// Also waits for these folders at the next time.
    pub(super) fn with_folders(&self, folders: impl IntoIterator<Item = PathBuf>) {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).extend(folders);
    }

    /// Waits for the file before this one first.
    pub(super) fn after(&self, older: Option<Arc<Disk>>) {
        *self.older.lock().unwrap_or_else(PoisonError::into_inner) = older;
    }

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

    /// As long as what is given is kept, nobody gets to the disk.
    #[cfg(test)]
    pub(crate) async fn hang(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// The same on this thread.
    pub(super) fn sync_now(&self) -> io::Result<()> {
        if self.failed.load(Ordering::Acquire) {
            return Err(io::Error::other(
                "an earlier attempt failed, so what is on disk is not known; mend the disk and restart the server",
            ));
        }
        let covered = self.written.load(Ordering::Acquire);
        let synced = self.try_sync();
        self.failed.fetch_or(synced.is_err(), Ordering::AcqRel);
        synced?;
        self.synced.fetch_max(covered, Ordering::AcqRel);
        self.head.write_synced(covered)
    }

    fn try_sync(&self) -> io::Result<()> {
        #[cfg(test)]
        self.times.fetch_add(1, Ordering::AcqRel);
        // Left where it is until it succeeded.
        let older = self.older.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(older) = older {
            older.sync_now()?;
            self.after(None);
        }
        self.file.sync_data()?;
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if !folders.is_empty() {
            self.head.sync()?;
            for folder in folders.iter() {
                File::open(folder)?.sync_all()?;
            }
            folders.clear();
        }
        Ok(())
    }

    /// Has it done soon, these folders too, by a thread that may block.
    pub(super) fn sync_soon(self: Arc<Self>, folders: Vec<PathBuf>) {
        let work = move || {
            // Here, since somebody may be waiting for the folders before.
            self.with_folders(folders);
            if let Err(error) = self.sync_now() {
                tracing::error!(%error, "an archived audit log is not on disk");
            }
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(work)),
            Err(_) => work(),
        }
    }
}
