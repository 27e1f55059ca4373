//! Which files are read, and why the others are not.
//!
//! The only module that touches the disk. Whatever is wrong with a file or a folder is a notice in the report and never
//! the end of the run: a scanner is pointed at trees that nobody vouches for. Links are not followed, so there are no
//! loops and no way out of the tree.

mod left_out;
mod names;

use std::{
    collections::BTreeSet,
    fs,
    hash::BuildHasher,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::SyncSender,
    },
};

use ignore::{
    WalkBuilder,
    gitignore::{Gitignore, GitignoreBuilder},
};
use partywall_model::Skipped;
use rustc_hash::FxBuildHasher;

use crate::ir::Again;

pub use names::Kind;

/// The most bytes of one source file.
pub const FILE_BYTES: u64 = 5 * 1024 * 1024;
/// The most bytes of one lock file.
pub const LOCK_BYTES: u64 = 64 * 1024 * 1024;
/// The most files of one run.
pub const MOST_FILES: usize = 200_000;
/// The deepest folder below a target.
pub const DEEPEST: usize = 64;
/// The longest line of a source file in bytes: what is longer was not written by hand.
pub const LONGEST_LINE: usize = 100_000;

/// Why somebody else's choice is not read.
const EXCLUDED: &str = "is left out by --exclude";

/// What is read.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Files and folders. What is named here is read even if it would be skipped inside of a folder.
    pub targets: Vec<PathBuf>,
    /// Whether tests are read too.
    pub include_tests: bool,
    /// What is left out below each target: patterns as in `.gitignore`.
    pub exclude: Vec<String>,
}

impl Selection {
    /// The files that were named themselves, by their paths in findings.
    pub(crate) fn named_files(&self) -> Vec<String> {
        self.targets.iter().filter(|target| !target.is_dir()).map(|target| slashes(target)).collect()
    }
}

/// A file that will be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The path as it stands in findings: below the target if there is one, else as it was named; with `/`.
    pub path: String,
    /// Where it is.
    pub disk: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The files to read, in the order of their paths, and what is left out.
#[derive(Debug, Default)]
pub struct Listing {
    /// What will be read.
    pub files: Vec<SourceFile>,
    /// What will not, and why.
    pub skipped: Vec<Skipped>,
    /// What a reader has to know about the choice.
    pub notes: Vec<String>,
}

/// A target that cannot be scanned.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// It is not there, or may not be looked at.
    #[error("cannot scan {path}: {error}; name a folder or a source file that can be read")]
    Unreadable {
        /// The target.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// It is a pipe, a device or the like.
    #[error("cannot scan {path}: it is no ordinary file; name a folder or a source file")]
    NoFile {
        /// The target.
        path: String,
    },
    /// A pattern of what is left out is none.
    #[error("--exclude: {error}; write a pattern as in .gitignore, such as \"examples/\" or \"**/*.gen.ts\"")]
    Pattern {
        /// What is wrong with it.
        error: ignore::Error,
    },
    /// It is an archive.
    #[error(
        "cannot scan {path}: it is an archive, and archives are not opened, since their entries can point anywhere; \
         unpack it and name the folder"
    )]
    Archive {
        /// The target.
        path: String,
    },
}

/// Lists the files below the targets.
///
/// # Errors
/// When a target is not there, is no ordinary file or is an archive, or when a pattern of what is left out is none.
pub fn list(selection: &Selection) -> Result<Listing, FilesError> {
    let mut listing = Listing::default();
    let single = selection.targets.len() == 1;
    for target in &selection.targets {
        let unreadable = |error| FilesError::Unreadable { path: target.display().to_string(), error };
        let metadata = fs::metadata(target).map_err(unreadable)?;
        if metadata.is_dir() {
            fs::read_dir(target).map_err(unreadable)?;
            let tree = Tree::new(target, single, selection)?;
            tree.walk(target, &mut listing);
            left_out::shipped(&tree, &mut listing);
            left_out::ignored(&tree, &mut listing);
        } else if metadata.is_file() {
            one(target, metadata.len(), &mut listing)?;
        } else {
            return Err(FilesError::NoFile { path: target.display().to_string() });
        }
    }
    other_languages(&mut listing);
    let excluded = listing.skipped.iter().filter(|skipped| skipped.reason == EXCLUDED).count();
    if !selection.exclude.is_empty() {
        let entries = if excluded == 1 { "file or folder" } else { "files and folders" };
        listing
            .notes
            .push(format!("{excluded} {entries} left out by --exclude: what stands there was not looked at"));
    }
    if !single {
        once(&mut listing.files);
    }
    listing.files.sort_by(|a, b| a.path.cmp(&b.path));
    listing.skipped.sort_by(|a, b| (&a.path, &a.reason).cmp(&(&b.path, &b.reason)));
    listing.skipped.dedup();
    listing.notes.dedup();
    Ok(listing)
}

/// Leaves each file once: targets can hold one another, and a path can be written in several ways.
fn once(files: &mut Vec<SourceFile>) {
    let mut seen = BTreeSet::new();
    files.retain(|file| seen.insert(file.disk.canonicalize().unwrap_or_else(|_| file.disk.clone())));
}

/// Adds a file that was named itself.
fn one(target: &Path, bytes: u64, listing: &mut Listing) -> Result<(), FilesError> {
    let path = slashes(target);
    if names::is_archive(&path) {
        return Err(FilesError::Archive { path });
    }
    match Kind::of(&path) {
        Some(kind) => keep(SourceFile { path, disk: target.to_owned(), kind, bytes }, listing),
        None => listing.skipped.push(skip(path, "is no source file that Partywall reads")),
    }
    Ok(())
}

fn skip(path: impl Into<String>, reason: impl Into<String>) -> Skipped {
    Skipped { path: path.into(), reason: reason.into() }
}

fn slashes(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "/");
    text.strip_prefix("./").map_or_else(|| text.clone(), str::to_owned)
}

/// The path of an entry as it stands in findings.
fn shown(target: &Path, disk: &Path, single: bool) -> String {
    let path = if single { disk.strip_prefix(target).unwrap_or(disk) } else { disk };
    slashes(path)
}

/// A folder that was named.
struct Tree<'a> {
    target: &'a Path,
    /// Whether it is the only target, so that paths begin below it.
    single: bool,
    include_tests: bool,
    /// Whether it stands in a repository of git, whose `.gitignore` files are those up to its top.
    in_git: bool,
    /// What is left out because somebody says so.
    excluded: Gitignore,
}

impl<'a> Tree<'a> {
    fn new(target: &'a Path, single: bool, selection: &Selection) -> Result<Self, FilesError> {
        let full = target.canonicalize().unwrap_or_else(|_| target.to_owned());
        let in_git = full.ancestors().any(|folder| folder.join(".git").exists());
        let mut excluded = GitignoreBuilder::new(target);
        let pattern = |error| FilesError::Pattern { error };
        for line in &selection.exclude {
            excluded.add_line(None, line).map_err(pattern)?;
        }
        let excluded = excluded.build().map_err(pattern)?;
        Ok(Self { target, single, include_tests: selection.include_tests, in_git, excluded })
    }

    /// Whether an entry is left out because somebody says so.
    fn excludes(&self, entry: &Path, is_folder: bool) -> bool {
        self.excluded.matched(entry, is_folder).is_ignore()
    }

    /// The entries below a folder of the tree; `ignoring` leaves out what `.gitignore` names. A folder that is not looked into is told.
    fn entries(&self, from: &Path, ignoring: bool, told: SyncSender<Skipped>) -> ignore::Walk {
        // Folders are judged while walking, so that nothing below a skipped one is looked at. The walk runs here; the channel
        // only carries notices out of the closure, and a full one drops a notice rather than waiting.
        let (base, single, include_tests) = (self.target.to_owned(), self.single, self.include_tests);
        let excluded = self.excluded.clone();
        WalkBuilder::new(from)
            .follow_links(false)
            .max_depth(Some(DEEPEST))
            .hidden(false)
            .ignore(false)
            .git_ignore(ignoring)
            .git_exclude(ignoring)
            .git_global(false)
            // Elsewhere than in a repository, only what is in the tree itself speaks of it.
            .require_git(self.in_git)
            .parents(self.in_git)
            .sort_by_file_name(Ord::cmp)
            .filter_entry(move |entry| {
                if entry.depth() == 0 || !entry.file_type().is_some_and(|kind| kind.is_dir()) {
                    return true;
                }
                if entry.file_name().to_str().is_some_and(names::is_history) {
                    return false;
                }
                let path = shown(&base, entry.path(), true);
                let reason = names::folder(&path, entry.path())
                    .or_else(|| (!include_tests && names::is_test_folder(&path)).then_some(names::TEST))
                    .or_else(|| excluded.matched(entry.path(), true).is_ignore().then_some(EXCLUDED));
                if let Some(reason) = reason {
                    let _full = told.try_send(skip(shown(&base, entry.path(), single) + "/", reason));
                }
                reason.is_none()
            })
            .build()
    }

    fn walk(&self, from: &Path, listing: &mut Listing) {
        let (sender, receiver) = std::sync::mpsc::sync_channel::<Skipped>(1024);
        for entry in self.entries(from, true, sender) {
            match entry {
                Ok(entry) => {
                    visit(&entry, self, listing);
                }
                Err(error) => listing.skipped.push(unreadable(&error, self.target, self.single)),
            }
            listing.skipped.extend(receiver.try_iter());
        }
        listing.skipped.extend(receiver.try_iter());
    }
}

fn unreadable(error: &ignore::Error, target: &Path, single: bool) -> Skipped {
    fn path(error: &ignore::Error) -> Option<&Path> {
        match error {
            ignore::Error::WithPath { path, .. } => Some(path),
            ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path(err),
            ignore::Error::Loop { child, .. } => Some(child),
            _ => None,
        }
    }
    let at = path(error).map_or_else(|| shown(target, target, false), |path| shown(target, path, single));
    let reason = error.io_error().map_or_else(|| error.to_string(), |io| io.kind().to_string());
    skip(at, format!("cannot be read: {reason}"))
}

fn visit(entry: &ignore::DirEntry, tree: &Tree<'_>, listing: &mut Listing) {
    let Tree { target, single, include_tests, .. } = *tree;
    let Some(file_type) = entry.file_type() else { return };
    if file_type.is_dir() {
        return;
    }
    let path = shown(target, entry.path(), single);
    let below = shown(target, entry.path(), true);
    let Some(kind) = Kind::of(&below) else {
        if let Some(language) = names::other_language(&below).filter(|_| file_type.is_file()) {
            listing.skipped.push(skip(path, language));
        }
        return;
    };
    if file_type.is_symlink() {
        listing.skipped.push(skip(path, "is a link, and links are not followed"));
        return;
    }
    if !file_type.is_file() {
        listing.skipped.push(skip(path, "is no ordinary file"));
        return;
    }
    if let Some(reason) = names::file(&below, kind) {
        listing.skipped.push(skip(path, reason));
        return;
    }
    if !include_tests && kind.is_code() && names::is_test(&below) {
        listing.skipped.push(skip(path, names::TEST));
        return;
    }
    if tree.excludes(entry.path(), false) {
        listing.skipped.push(skip(path, EXCLUDED));
        return;
    }
    match entry.metadata() {
        Ok(metadata) => {
            let file = SourceFile { path, disk: entry.path().to_owned(), kind, bytes: metadata.len() };
            keep(file, listing);
        }
        Err(error) => listing.skipped.push(unreadable(&error, target, single)),
    }
}

fn keep(file: SourceFile, listing: &mut Listing) {
    let most = if file.kind == Kind::Manifest { LOCK_BYTES } else { FILE_BYTES };
    if file.bytes > most {
        let reason = format!("is larger than {} MiB", most / 1024 / 1024);
        listing.skipped.push(skip(file.path, reason));
    } else if listing.files.len() >= MOST_FILES {
        listing.skipped.push(skip(file.path, format!("comes after the first {MOST_FILES} files")));
    } else {
        listing.files.push(file);
    }
}

/// Joins the files in languages that are not read into one line for each language: a Go service next to the scanned one
/// should be told, not listed.
fn other_languages(listing: &mut Listing) {
    let (other, rest) = std::mem::take(&mut listing.skipped).into_iter().partition::<Vec<_>, _>(|skipped| {
        names::OTHER_LANGUAGES.iter().any(|(_, name)| *name == skipped.reason)
    });
    listing.skipped = rest;
    for (extension, name) in names::OTHER_LANGUAGES {
        let count = other.iter().filter(|skipped| skipped.reason == name).count();
        if count > 0 && !listing.skipped.iter().any(|skipped| skipped.reason.ends_with(name)) {
            let files = if count == 1 { "file" } else { "files" };
            let reason = format!("{count} {files}: there is no front end for {name}");
            listing.skipped.push(skip(format!("*.{extension}"), reason));
        }
    }
}

impl SourceFile {
    /// Reads the text.
    ///
    /// # Errors
    /// The notice to report when the file cannot be read, is no UTF-8, or was not written by hand.
    pub fn read(&self) -> Result<String, Skipped> {
        let text = self.read_any()?;
        if self.kind.is_code()
            && let Some(reason) = names::made_by_a_program(&text)
        {
            return Err(skip(self.path.clone(), reason));
        }
        Ok(without_mark(text))
    }

    /// The same of a text that may not have been written by hand, as it stands in the file.
    fn read_any(&self) -> Result<String, Skipped> {
        let bytes = match fs::read(&self.disk) {
            Ok(bytes) => bytes,
            Err(error) => return Err(skip(self.path.clone(), format!("cannot be read: {}", error.kind()))),
        };
        String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            skip(self.path.clone(), format!("is no UTF-8 from byte {at} on"))
        })
    }
}

/// A text without a byte order mark, which is no part of it.
fn without_mark(text: String) -> String {
    text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)
}

/// A file that was read once, for reading it again.
#[derive(Debug)]
pub(crate) struct Seen {
    file: Arc<SourceFile>,
    hash: u64,
    changed: AtomicBool,
}

impl Seen {
    /// A file and its text.
    pub(crate) fn new(file: Arc<SourceFile>, text: &str) -> Self {
        Self { file, hash: FxBuildHasher.hash_one(text), changed: AtomicBool::new(false) }
    }

    /// Whether there was another text, or none, when it was read again.
    pub(crate) fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }
}

impl Again for Seen {
    fn read(&self) -> Option<Arc<str>> {
        // One that was written by hand still is when it is the same.
        let text = self.file.read_any().ok().map(without_mark);
        let text = text.filter(|text| FxBuildHasher.hash_one(text.as_str()) == self.hash);
        if text.is_none() {
            self.changed.store(true, Ordering::Relaxed);
        }
        text.map(Arc::from)
    }
}

#[cfg(test)]
mod tests;
