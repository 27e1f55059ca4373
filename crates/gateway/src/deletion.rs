//! Deletes folders that somebody else filled, as deep as they like.

use std::{
    fs,
    io::{self, ErrorKind},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fchmod, fstat, openat, renameat, statat, unlinkat},
    io::Errno,
    path::Arg,
};

/// How often a folder is read again that somebody writes into.
const MOST_READINGS: u32 = 64;
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Deletes a folder and all that is in it, or a file, or a link and not what it leads to.
///
/// What is in a folder of a folder is moved up before it is deleted, so that it takes the same few open files, and the same
/// room, however deep it is. A folder whose owner shut itself out is opened.
///
/// # Errors
/// As for [`fs::remove_dir_all`]; when somebody writes into it meanwhile, it may not be empty in the end.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.is_dir() {
        return fs::remove_file(path);
    }
    match empty_all(path) {
        // Some file systems of layers move no folders.
        Err(error) if error.kind() == ErrorKind::CrossesDevices => return fs::remove_dir_all(path),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        // What was not there any more is no harm, if all is gone in the end.
        _ => {}
    }
    fs::remove_dir(path)
}

fn empty_all(path: &Path) -> io::Result<()> {
    let root = opened(CWD, path)?;
    let mut tag = [0_u8; 8];
    getrandom::fill(&mut tag).map_err(io::Error::other)?;
    let mut moved = Moved { prefix: format!(".{:016x}.", u64::from_ne_bytes(tag)), made: 0 };
    let mut done = 0;
    // Once more when there were folders: a list that changes while it is read may leave something out.
    for _ in 0..MOST_READINGS {
        empty(root.as_fd(), root.as_fd(), &mut moved)?;
        if done == moved.made {
            break;
        }
        while done < moved.made {
            let name = moved.name(done);
            done += 1;
            match empty_one(root.as_fd(), &name, &mut moved) {
                // Another process deletes as well.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                emptied => emptied?,
            }
        }
    }
    Ok(())
}

/// Deletes one of the folders in the root, and moves those in it there.
fn empty_one(root: BorrowedFd<'_>, name: &str, moved: &mut Moved) -> io::Result<()> {
    let folder = opened(root, name)?;
    for _ in 0..MOST_READINGS {
        empty(folder.as_fd(), root, moved)?;
        match unlinkat(root, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY) => {}
            removed => return Ok(removed?),
        }
    }
    Err(Errno::NOTEMPTY.into())
}

/// The folders that were moved up, which have numbers in their names.
struct Moved {
    /// What no other name begins with.
    prefix: String,
    made: u64,
}

impl Moved {
    fn name(&self, number: u64) -> String {
        format!("{}{number}", self.prefix)
    }
}

/// Deletes the files in a folder, and moves its folders to the root.
fn empty(folder: BorrowedFd<'_>, root: BorrowedFd<'_>, moved: &mut Moved) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        // Those that were moved are looked at by their numbers.
        let moved_already = name.to_bytes().starts_with(moved.prefix.as_bytes());
        if moved_already || matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => FileType::from_raw_mode(found.st_mode),
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            },
            kind => kind,
        };
        if kind != FileType::Directory {
            match unlinkat(folder, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        let up = moved.name(moved.made);
        match renameat(folder, name, root, &up) {
            Err(Errno::NOENT) => continue,
            // A folder that its owner may not write to stays where it is.
            Err(Errno::ACCESS) => {
                drop(opened(folder, name)?);
                renameat(folder, name, root, &up)?;
            }
            moved => moved?,
        }
        moved.made += 1;
    }
    Ok(())
}

/// A folder and no link, which its owner may read and write from now on.
fn opened(parent: BorrowedFd<'_>, name: impl Arg + Copy) -> io::Result<OwnedFd> {
    let open = || openat(parent, name, FOLDER | OFlags::RDONLY, Mode::empty());
    let folder = match open() {
        Err(Errno::ACCESS) => {
            let place = openat(parent, name, FOLDER | OFlags::PATH, Mode::empty())?;
            // By what was opened, and not by its name, which may be a link by now.
            rustix::fs::chmod(format!("/proc/self/fd/{}", place.as_raw_fd()), Mode::RWXU)?;
            open()?
        }
        opened => opened?,
    };
    if !Mode::from_raw_mode(fstat(&folder)?.st_mode).contains(Mode::RWXU) {
        fchmod(&folder, Mode::RWXU)?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// Deeper than a process may have files open, with names that do not end, and with links.
    #[test]
    fn however_deep_it_is_it_is_deleted_and_links_lead_nowhere() {
        let root = tempfile::tempdir().expect("a folder");
        let (doomed, other) = (root.path().join("doomed"), root.path().join("other"));
        fs::create_dir_all(other.join("kept")).expect("a folder");
        fs::create_dir(&doomed).expect("a folder");
        symlink(&other, doomed.join("link")).expect("a link");
        let mut at = opened(CWD, &doomed).expect("a folder");
        for level in 0..3000 {
            rustix::fs::mkdirat(&at, "level", Mode::RWXU).expect("a folder");
            if level % 500 == 0 {
                rustix::fs::symlinkat("/", &at, "link").ok();
                rustix::fs::mkdirat(&at, "empty", Mode::RWXU).expect("a folder");
            }
            at = opened(at.as_fd(), "level").expect("a folder");
        }
        rustix::fs::symlinkat(&other, &at, "link").expect("a link");
        remove(&doomed).expect("deleted");
        assert!(!doomed.exists() && other.join("kept").exists());
        // A link is deleted itself.
        symlink(&other, &doomed).expect("a link");
        remove(&doomed).expect("deleted");
        assert!(doomed.symlink_metadata().is_err() && other.join("kept").exists());
        assert_eq!(remove(&doomed).expect_err("gone").kind(), ErrorKind::NotFound);
    }

    #[test]
    fn folders_that_their_owner_may_not_read_or_change_are_deleted() {
        let root = tempfile::tempdir().expect("a folder");
        let doomed = root.path().join("doomed");
        for (name, mode) in [("closed", 0), ("read", 0o500), ("entered", 0o100)] {
            let inner = doomed.join(name).join("inner");
            fs::create_dir_all(&inner).expect("a folder");
            fs::write(inner.join("file"), "text").expect("a file");
            for folder in [&inner, &doomed.join(name)] {
                fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("its mode");
            }
        }
        fs::set_permissions(&doomed, fs::Permissions::from_mode(0o500)).expect("its mode");
        remove(&doomed).expect("deleted");
        assert!(!doomed.exists());
    }
}
