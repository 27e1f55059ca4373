//! Reading the logs: whether they are whole, and what they say last.
//!
//! Nothing here locks or changes a file, so a server goes on writing meanwhile.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use partywall_model::TenantId;
use serde::Serialize;

use super::{
    UNATTRIBUTED,
    found::MAX_LINE,
    head::{self, Head, boot},
    line::{BEGIN, HEADLESS, Link, Place},
    log::Paths,
};

/// A log cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}; check that the data folder is the right one and may be read")]
pub struct ReadError {
    path: PathBuf,
    source: io::Error,
}

/// Whether a log is as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// Every line follows the one before, and the last is the one that was written last.
    Whole,
    /// A line was changed, removed or cut off.
    Damaged {
        /// The file.
        file: PathBuf,
        /// The line in the file, from 1.
        at: u64,
        /// What is wrong.
        problem: String,
    },
}

/// What [`verify`] found in one log.
#[derive(Debug, Clone, Serialize)]
pub struct LogReport {
    /// The tenant, or `-unattributed`.
    pub log: String,
    /// Whether it is whole.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// The number of the first line that is there.
    pub first: u64,
    /// The number of the last line.
    pub last: u64,
    /// SHA-256 of the last line, in hexadecimal; kept elsewhere, it shows later that nothing before was changed.
    pub head: String,
    /// How many lines could not be written, by the log's own account.
    pub lost: u64,
    /// What is worth knowing and no damage.
    pub notes: Vec<String>,
}

/// The names of all logs of a data folder, in order.
///
/// # Errors
/// When the folder cannot be read.
pub fn logs(data_dir: &Path) -> Result<Vec<String>, ReadError> {
    let folder = data_dir.join("audit");
    let failed = |path: &Path, source| ReadError { path: path.to_owned(), source };
    let mut names = BTreeSet::new();
    let archive = folder.join("archive");
    for folder in [&folder, &archive] {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(folder, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| failed(folder, error))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let name = match folder == &archive {
                true => Some(name),
                false => name.strip_suffix(".jsonl").or_else(|| name.strip_suffix(".head")),
            };
            names.extend(name.filter(|name| is_log(name)).map(str::to_owned));
        }
    }
    Ok(names.into_iter().collect())
}

fn is_log(name: &str) -> bool {
    name == UNATTRIBUTED || TenantId::parse(name).is_ok()
}

/// Checks one log from its first line to its head.
///
/// # Errors
/// When a file cannot be read; what is wrong with its content is in the report.
pub fn verify(data_dir: &Path, log: &str) -> Result<LogReport, ReadError> {
    let report = verify_once(data_dir, log);
    // A server may have moved a file to the archive between two looks.
    let moved = match &report {
        Ok(report) => report.verdict != Verdict::Whole,
        Err(error) => error.source.kind() == ErrorKind::NotFound,
    };
    if moved { verify_once(data_dir, log) } else { report }
}

fn verify_once(data_dir: &Path, log: &str) -> Result<LogReport, ReadError> {
    let paths = Paths::new(&data_dir.join("audit"), log);
    let failed = |path: &Path, source| ReadError { path: path.to_owned(), source };
    // Before the lines, so that those that a server adds meanwhile are after it.
    let head = match head::read(&paths.head) {
        Ok(head) => Ok(head),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) => {
            Err(error.to_string())
        }
        Err(error) => return Err(failed(&paths.head, error)),
    };
    let mut walk = Walk::default();
    for file in files(&paths).map_err(|error| failed(&paths.archive, error))? {
        if walk.problem.is_none() {
            walk.file(&file, head.as_ref().ok().and_then(Option::as_ref))
                .map_err(|error| failed(&file, error))?;
        }
    }
    walk.end(&paths, head);
    let verdict = match walk.problem {
        None => Verdict::Whole,
        Some((file, at, problem)) => Verdict::Damaged { file, at, problem },
    };
    Ok(LogReport {
        log: log.to_owned(),
        verdict,
        first: walk.first,
        last: walk.place.seq,
        head: hex::encode(walk.place.hash),
        lost: walk.lost,
        notes: walk.notes,
    })
}

/// The files of a log, oldest first.
fn files(paths: &Paths) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    match fs::read_dir(&paths.archive) {
        Ok(entries) => {
            for entry in entries {
                files.push(entry?.path());
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Their names are numbers of one width.
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    if paths.log.exists() {
        files.push(paths.log.clone());
    }
    Ok(files)
}

/// The way through the lines of one log.
#[derive(Default)]
struct Walk {
    place: Place,
    first: u64,
    lost: u64,
    notes: Vec<String>,
    problem: Option<(PathBuf, u64, String)>,
    /// Whether the head's line was met.
    met: bool,
    /// Whole lines in the file that is read.
    in_file: u64,
}

impl Walk {
    fn file(&mut self, path: &Path, head: Option<&Head>) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(64 * 1024, File::open(path)?);
        let mut line = Vec::new();
        self.in_file = 0;
        for at in 1.. {
            line.clear();
            if reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let Some(text) = line.strip_suffix(b"\n") else {
                if line.len() as u64 >= MAX_LINE {
                    self.problem =
                        Some((path.to_owned(), at, "the line is longer than any that is written".into()));
                } else {
                    self.notes.push("the last line is unfinished; nobody was answered for it".to_owned());
                }
                break;
            };
            if let Err(problem) = self.line(text, head) {
                self.problem = Some((path.to_owned(), at, problem));
                break;
            }
            self.in_file = at;
        }
        Ok(())
    }

    fn line(&mut self, text: &[u8], head: Option<&Head>) -> Result<(), String> {
        let link: Link<'_> =
            serde_json::from_slice(text).map_err(|_error| "this is no line of an audit log".to_owned())?;
        let begins = link.method == BEGIN;
        if self.first == 0 {
            if begins && link.seq > 1 {
                let mut hash = [0; 32];
                hex::decode_to_slice(link.prev.as_bytes(), &mut hash)
                    .map_err(|_error| "this is no line of an audit log".to_owned())?;
                self.place = Place { seq: link.seq - 1, hash };
                self.notes.push(format!("lines 1 to {} are not here any more", self.place.seq));
            }
            self.first = link.seq;
        }
        if !link.follows(self.place) {
            return Err(match link.seq == self.place.seq + 1 {
                true => format!("line {} was changed: line {} does not follow it", self.place.seq, link.seq),
                false => format!("line {} should stand here, and line {} does", self.place.seq + 1, link.seq),
            });
        }
        if begins && link.outcome != "ok" {
            return Err(format!(
                "the file with the lines up to {} was taken away or emptied",
                self.place.seq
            ));
        }
        if link.method == HEADLESS {
            return Err(format!(
                "the log's head was missing when line {} was written; lines may have been cut off before it",
                link.seq
            ));
        }
        self.lost = self.lost.saturating_add(link.lost.unwrap_or(0));
        self.place = self.place.next(text);
        if let Some(head) = head.filter(|head| head.place.seq == self.place.seq) {
            self.met = true;
            if head.place != self.place {
                return Err(format!("line {} was changed", self.place.seq));
            }
        }
        Ok(())
    }

    /// Compares the end with the head.
    fn end(&mut self, paths: &Paths, head: Result<Option<Head>, String>) {
        if self.problem.is_some() {
            return;
        }
        let mut damaged = |path: &Path, text: String| self.problem = Some((path.to_owned(), 1, text));
        match head {
            Err(error) => damaged(&paths.head, format!("the log's head cannot be read: {error}")),
            Ok(None) if self.place.seq > 0 => damaged(&paths.head, "the log's head is missing".to_owned()),
            Ok(Some(head)) if !self.met && head.place.seq > 0 => {
                let end = self.place.seq;
                let lost = head.place.seq.checked_sub(end).filter(|_| end > 0 && end >= head.synced);
                if let Some(lost) = lost.filter(|_| head.boot != boot()) {
                    self.notes.push(format!(
                        "the last {lost} lines were not on disk yet when the machine stopped; none of them is a change"
                    ));
                } else {
                    self.problem = Some((
                        paths.log.clone(),
                        self.in_file + 1,
                        format!("it ends at line {end}, and line {} was written", head.place.seq),
                    ));
                }
            }
            Ok(_) => {}
        }
    }
}

/// The last lines of a log, oldest first, without those of the archive.
///
/// # Errors
/// When the file cannot be read.
pub fn tail(data_dir: &Path, log: &str, most: usize) -> Result<Vec<String>, ReadError> {
    let path = Paths::new(&data_dir.join("audit"), log).log;
    match last_lines(&path, most) {
        Ok(lines) => Ok(lines),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(ReadError { path, source }),
    }
}

/// The lines of a log after line `last`, oldest first, also those that have gone to the archive since; at most `most`, the
/// newest of them.
pub(super) fn since(data_dir: &Path, log: &str, last: u64, most: usize) -> Result<Vec<String>, ReadError> {
    let paths = Paths::new(&data_dir.join("audit"), log);
    let failed = |path: &Path, source| ReadError { path: path.to_owned(), source };
    // The log first: what has left it meanwhile is in the archive then.
    let mut found = match lines_after(&paths.log, last, most) {
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        other => other.map_err(|error| failed(&paths.log, error))?,
    };
    let mut older = archived(&paths.archive).map_err(|error| failed(&paths.archive, error))?;
    while let Some((end, path)) = older.pop()
        && end > last
        && found.len() < most
    {
        // A file that comes to the archive meanwhile was read as the log already.
        let first = found.first().map_or(u64::MAX, |line| number(line));
        let mut lines = match lines_after(&path, last, most - found.len()) {
            // What retention deletes is gone.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.map_err(|error| failed(&path, error))?,
        };
        lines.retain(|line| number(line) < first);
        lines.append(&mut found);
        found = lines;
    }
    Ok(found)
}

/// The files of an archive with the number of the last line of each, in order.
fn archived(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let end = path.file_stem().and_then(|name| name.to_str()?.parse().ok());
        files.extend(end.map(|end| (end, path)));
    }
    files.sort();
    Ok(files)
}

/// The lines of a file after line `last`; a log whose numbers have begun anew has all of them after it.
fn lines_after(path: &Path, last: u64, most: usize) -> io::Result<Vec<String>> {
    let mut asked = 64.min(most);
    loop {
        let mut lines = last_lines(path, asked)?;
        let newest = lines.last().map_or(0, |line| number(line));
        let last = if newest < last { 0 } else { last };
        if lines.first().is_none_or(|line| number(line) <= last) || lines.len() < asked || asked == most {
            lines.retain(|line| number(line) > last);
            return Ok(lines);
        }
        asked = asked.saturating_mul(8).min(most);
    }
}

/// The number of a line; 0 if it has none.
pub(super) fn number(line: &str) -> u64 {
    serde_json::from_str::<Link<'_>>(line).map_or(0, |link| link.seq)
}

fn last_lines(path: &Path, most: usize) -> io::Result<Vec<String>> {
    const BLOCK: u64 = 64 * 1024;
    let mut file = File::open(path)?;
    let mut start = file.seek(SeekFrom::End(0))?;
    let mut text: Vec<u8> = Vec::new();
    // One more than asked for, since the first may be cut off.
    while start > 0 && text.iter().filter(|byte| **byte == b'\n').count() <= most {
        let from = start.saturating_sub(BLOCK);
        let mut block = vec![0; usize::try_from(start - from).map_err(io::Error::other)?];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut block)?;
        block.extend_from_slice(&text);
        text = block;
        start = from;
    }
    // What comes after the last line break is unfinished.
    let end = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let whole = String::from_utf8_lossy(text.get(..end).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = whole.lines().collect();
    Ok(lines.iter().skip(lines.len().saturating_sub(most)).map(|line| (*line).to_owned()).collect())
}
