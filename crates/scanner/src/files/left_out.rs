//! What a walk left out that a reader would miss: a package that ships only what a build made, and source that git ignores.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{Kind, Listing, Tree, names, shown};

/// The most entries that are looked at for what git ignores.
const MOST_ENTRIES: usize = 200_000;
/// How many of the ignored files are named.
const NAMED: usize = 3;

/// Reads the build output of packages that hold no other program: what somebody unpacked to look at is what they ship.
pub(super) fn shipped(tree: &Tree<'_>, listing: &mut Listing) {
    let built: Vec<String> = listing
        .skipped
        .iter()
        .filter(|skipped| skipped.reason == names::BUILT)
        .map(|skipped| skipped.path.trim_end_matches('/').to_owned())
        .filter(|path| names::can_be_shipped(path))
        .collect();
    let written: Vec<String> = listing
        .files
        .iter()
        .filter(|file| file.kind.is_code() && !names::is_settings(&file.path))
        .map(|file| file.path.clone())
        .collect();
    for path in built {
        let package = path.rsplit_once('/').map_or(String::new(), |(folders, _)| format!("{folders}/"));
        if written.iter().any(|file| file.starts_with(&package)) {
            continue;
        }
        let before = listing.files.len();
        let folder = if tree.single { tree.target.join(&path) } else { PathBuf::from(&path) };
        tree.walk(&folder, listing);
        if listing.files.len() > before {
            let path = format!("{path}/");
            listing.skipped.retain(|skipped| skipped.path != path);
            listing
                .notes
                .push(format!("{path} is build output and was read: its package holds no other program"));
        }
    }
}

/// Counts the source files that git ignores.
pub(super) fn ignored(tree: &Tree<'_>, listing: &mut Listing) {
    // Nobody listens: what is skipped for other reasons was told before.
    let (sender, _) = std::sync::mpsc::sync_channel(1);
    let read: BTreeSet<&Path> = listing.files.iter().map(|file| file.disk.as_path()).collect();
    let told: BTreeSet<&str> = listing.skipped.iter().map(|skipped| skipped.path.as_str()).collect();
    let (mut count, mut named, mut looked) = (0_usize, Vec::new(), 0_usize);
    for entry in tree.entries(tree.target, false, sender).take(MOST_ENTRIES).flatten() {
        looked += 1;
        if !entry.file_type().is_some_and(|kind| kind.is_file()) || read.contains(entry.path()) {
            continue;
        }
        let below = shown(tree.target, entry.path(), true);
        let is_source = Kind::of(&below).is_some_and(|kind| {
            kind.is_source()
                && names::file(&below, kind).is_none()
                && (tree.include_tests || !kind.is_code() || !names::is_test(&below))
        });
        let path = shown(tree.target, entry.path(), tree.single);
        if is_source && !told.contains(path.as_str()) {
            count += 1;
            if named.len() < NAMED {
                named.push(path);
            }
        }
    }
    if count > 0 {
        let least = if looked == MOST_ENTRIES { "at least " } else { "" };
        let (files, are) = if count == 1 { ("file", "is") } else { ("files", "are") };
        let more = if count > named.len() { ", …" } else { "" };
        listing.notes.push(format!(
            "{least}{count} source {files} {are} named by .gitignore and not read: {}{more}; name a file to read it",
            named.join(", ")
        ));
    }
}
