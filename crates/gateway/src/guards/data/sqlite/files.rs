//! Where a tenant's files are, and that they are what they seem: no links, nobody else's, private.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use partywall_model::TenantId;

use crate::guards::data::DataError;

/// Which file a path led to, to notice that another has taken its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

/// One tenant's file of one source.
#[derive(Debug, Clone)]
pub(super) struct Place {
    folder: PathBuf,
    file: PathBuf,
    /// Stands beside a file that is being made. Without it an empty file is one that lost its content.
    mark: PathBuf,
}

/// Held while a file is created. Closing a file drops every POSIX lock that this process has on it, so nobody may open a
/// database between its creation and the close. It guards no data.
static CREATION: Mutex<()> = Mutex::new(());

/// The folder of all tenants, created when missing, with every link on the way to it resolved: links below it are
/// refused, those above it are the operator's.
pub(super) fn root(data_dir: &Path) -> Result<PathBuf, DataError> {
    let root = data_dir.join("tenants");
    private_dirs(&root).map_err(|error| storage(&root, "cannot create the folder", &error))?;
    fs::canonicalize(&root).map_err(|error| storage(&root, "cannot resolve the folder", &error))
}

impl Place {
    /// Tenant ids and source names consist of characters that mean nothing in a path.
    pub(super) fn new(root: &Path, tenant: &TenantId, source: &str) -> Self {
        let folder = root.join(tenant.as_str());
        let file = folder.join(format!("{source}.sqlite"));
        let mark = folder.join(format!("{source}.being-made"));
        Self { folder, file, mark }
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Where SQLite keeps the changes that are not in the file yet.
    pub(super) fn log(&self) -> PathBuf {
        let mut name = self.file.clone().into_os_string();
        name.push("-wal");
        name.into()
    }

    /// Which file there is, if any.
    ///
    /// # Errors
    /// When the folder or the file is a link or no plain file, or the file has a second name.
    pub(super) fn look(&self) -> Result<Option<FileId>, DataError> {
        match fs::symlink_metadata(&self.folder) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(refuse(&self.folder, "a tenant's folder must be a folder, not a link"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(storage(&self.folder, "cannot look at the folder", &error)),
        }
        match fs::symlink_metadata(&self.file) {
            Ok(found) if !found.is_file() => {
                Err(refuse(&self.file, "a tenant's database must be a plain file, not a link"))
            }
            Ok(found) if found.nlink() != 1 => {
                Err(refuse(&self.file, "a tenant's database must have one name; this file has a second one"))
            }
            Ok(found) => Ok(Some(FileId { device: found.dev(), inode: found.ino() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(storage(&self.file, "cannot look at the file", &error)),
        }
    }

    /// Whether the path leads to the file that it led to when it was opened. Nobody looks at the folder again: what it
    /// has become, the file has this one name.
    pub(super) fn still_is(&self, file: FileId) -> bool {
        fs::symlink_metadata(&self.file).is_ok_and(|found| {
            found.is_file()
                && found.nlink() == 1
                && file == FileId { device: found.dev(), inode: found.ino() }
        })
    }

    /// Creates the folder (0700) and an empty file (0600) where there is none, so that both survive a power cut.
    pub(super) fn create(&self) -> Result<FileId, DataError> {
        let guard = CREATION.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match self.look()? {
            Some(found) => found,
            None => {
                self.create_missing()
                    .map_err(|error| storage(&self.file, "cannot create the file", &error))?;
                self.look()?.ok_or_else(|| refuse(&self.file, "the file vanished while it was created"))?
            }
        };
        drop(guard);
        Ok(found)
    }

    /// Whether the file was begun and not finished, by whomever.
    ///
    /// # Errors
    /// When it is not: an empty file that nobody is making is damage, and no fresh start.
    pub(super) fn check_begun(&self) -> Result<(), DataError> {
        match fs::symlink_metadata(&self.mark) {
            Ok(_) => Ok(()),
            Err(_) => Err(refuse(
                &self.file,
                "the database is empty, which it was not when it was made; restore it from a backup, or move it away \
                 to let the tenant start anew",
            )),
        }
    }

    /// The file is made; from now on it is never empty.
    pub(super) fn finish(&self) -> Result<(), DataError> {
        match fs::remove_file(&self.mark) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(storage(&self.mark, "cannot remove the file", &error))
            }
            _ => Ok(()),
        }
    }

    fn create_missing(&self) -> io::Result<()> {
        private_dirs(&self.folder)?;
        let mode = fs::symlink_metadata(&self.folder)?.permissions().mode();
        if mode & 0o077 != 0 {
            fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o700))?;
        }
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.mark)?
            .sync_all()?;
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.file)?.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        match self.folder.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }
}

fn private_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn storage(path: &Path, what: &str, error: &io::Error) -> DataError {
    DataError::Storage(format!("{what} {}: {error}", path.display()))
}

fn refuse(path: &Path, why: &str) -> DataError {
    DataError::Storage(format!("{}: {why}", path.display()))
}
