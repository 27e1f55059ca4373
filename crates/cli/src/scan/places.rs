//! What leads to the paths of a document: from the reader's folder, and from the top of the repository.

use std::path::{Path, PathBuf};

/// What stands before the paths of a document for its readers, with a `/` at its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// For code hosts and comments: from the top of the repository, or of this folder where there is none. A whole path where the
    /// target is in neither.
    pub(super) below: String,
    /// For whoever reads text here.
    pub(super) here: String,
}

impl Places {
    /// Those of a run that was started in the current folder.
    pub(super) fn of(targets: &[PathBuf]) -> Self {
        Path::new(".").canonicalize().map_or_else(|_| Self::default(), |here| Self::from(&here, targets))
    }

    fn from(here: &Path, targets: &[PathBuf]) -> Self {
        let top = top(here);
        let base = top.unwrap_or(here);
        match targets {
            [] => Self { below: inside(base, here), here: String::new() },
            // Paths begin below the one folder that was named.
            [target] if here.join(target).is_dir() => {
                let full = here.join(target).canonicalize().unwrap_or_else(|_| here.join(target));
                let base = if full.starts_with(base) { base } else { self::top(&full).unwrap_or(here) };
                Self { below: inside(base, &full), here: named(target) }
            }
            // They are as they were named.
            _ => Self { below: inside(base, here), here: String::new() },
        }
    }
}

/// The top folder of the repository that a folder is in.
fn top(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| folder.join(".git").exists())
}

fn inside(base: &Path, folder: &Path) -> String {
    let path = folder.strip_prefix(base).unwrap_or(folder);
    slashed(path.to_string_lossy().replace('\\', "/"))
}

fn named(target: &Path) -> String {
    let path = target.to_string_lossy().replace('\\', "/");
    let path = path.strip_prefix("./").map_or_else(|| path.clone(), str::to_owned);
    if path == "." { String::new() } else { slashed(path) }
}

fn slashed(path: String) -> String {
    let path = path.trim_end_matches('/');
    if path.is_empty() { String::new() } else { format!("{path}/") }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn paths_lead_from_the_repository_and_from_here() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("repo/.git")).unwrap();
        fs::create_dir_all(root.join("repo/srv/src")).unwrap();
        fs::create_dir_all(root.join("plain/src")).unwrap();
        let places = |here: &str, targets: &[&str]| {
            let targets: Vec<PathBuf> = targets.iter().map(PathBuf::from).collect();
            let places = Places::from(&root.join(here), &targets);
            (places.below, places.here)
        };
        let pair = |below: &str, here: &str| (below.to_owned(), here.to_owned());
        let absolute = root.join("repo/srv").to_string_lossy().into_owned();
        assert_eq!(places("repo", &[]), pair("", ""));
        assert_eq!(places("repo", &["srv"]), pair("srv/", "srv/"));
        assert_eq!(places("repo", &["./srv/"]), pair("srv/", "srv/"));
        assert_eq!(places("repo", &["srv/../srv"]), pair("srv/", "srv/../srv/"));
        assert_eq!(places("repo", &[&absolute]), pair("srv/", &format!("{absolute}/")));
        assert_eq!(places("repo/srv", &[]), pair("srv/", ""));
        assert_eq!(places("repo/srv/src", &["../../srv"]), pair("srv/", "../../srv/"));
        assert_eq!(places("repo/srv", &["src", "x.ts"]), pair("srv/", ""));
        // Another repository is its own, and without any this folder is the top.
        assert_eq!(places("plain", &[&absolute]), pair("srv/", &format!("{absolute}/")));
        assert_eq!(places("plain", &["src"]), pair("src/", "src/"));
        let outside = root.join("plain/src").to_string_lossy().into_owned();
        assert_eq!(places("repo", &[&outside]).0, format!("{outside}/"));
    }
}
