//! What a log has when it is opened: where its last line stands, and whether it is the log that was written.
//!
//! The head names the last line and where it ends, so that one line is read of a file of any size. What stands behind
//! it was written by a process that was killed before it wrote the head; it is followed line by line.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    os::unix::fs::FileExt as _,
    path::PathBuf,
};

use super::{
    head::{Head, boot},
    line::{Link, Note, Place},
    log::Paths,
};

/// The longest line that is written or read.
pub(super) const MAX_LINE: u64 = 16 * 1024;

/// Why lines cannot be followed.
#[derive(Debug)]
pub(super) enum Broken {
    Read(io::Error),
    /// They are not what was written.
    Damage(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// What a file has when it is opened.
pub(super) struct Found {
    pub(super) place: Place,
    /// Where the last whole line ends.
    pub(super) length: u64,
    /// What the next line has to say first.
    pub(super) begin: Option<Note>,
}

impl Found {
    pub(super) fn look(file: &File, length: u64, head: Option<&Head>, paths: &Paths) -> Result<Self, Broken> {
        // A process that was killed in the middle of the first line leaves a file without a line.
        let length = if length < MAX_LINE && last_line(file, length)?.is_none() { 0 } else { length };
        let Some(head) = head else { return Self::without_head(file, length) };
        if length == 0 {
            let archived = through_archive(head, paths)?;
            let place = archived.unwrap_or(head.place);
            let begin = match archived {
                _ if place.seq == 0 => None,
                Some(_) => Some(Note::Continued),
                None => Some(Note::Missing),
            };
            return Ok(Self { place, length: 0, begin });
        }
        let (from, known) = if line_ending_at(file, head.end, length)? == Some(head.place) {
            (head.end, head.place)
        } else if first_line_follows(file, head.place)? {
            (0, head.place)
        } else if let Some(archived) = through_archive(head, paths)?
            && first_line_follows(file, archived)?
        {
            // A power cut left a head from before the last file went to the archive.
            (0, archived)
        } else {
            return Self::cut_off(file, length, head);
        };
        let (place, end) = follow(file, from, length, known)?;
        Ok(Self { place, length: end, begin: None })
    }

    /// A log has a head before it has a line. Whoever took it away may have cut lines off, which the log says from then
    /// on.
    fn without_head(file: &File, length: u64) -> Result<Self, Broken> {
        if length == 0 {
            return Ok(Self { place: Place::START, length: 0, begin: None });
        }
        if !first_line_follows(file, Place::START)? {
            return Err(Broken::Damage("its head is missing".to_owned()));
        }
        let (place, end) = follow(file, 0, length, Place::START)?;
        Ok(Self { place, length: end, begin: (place.seq > 0).then_some(Note::Headless) })
    }

    /// A power cut takes what was not yet on disk, and nothing else does.
    fn cut_off(file: &File, length: u64, head: &Head) -> Result<Self, Broken> {
        let wanted = head.place.seq;
        let Some((end, place)) = last_line(file, length)?.filter(|(_, place)| place.seq < wanted) else {
            return Err(Broken::Damage(format!("line {wanted} was changed or is not in it")));
        };
        if place.seq >= head.synced && head.boot != boot() {
            return Ok(Self { place, length: end, begin: Some(Note::Gap(wanted - place.seq)) });
        }
        Err(Broken::Damage(format!("it ends at line {}, and line {wanted} was written", place.seq)))
    }
}

/// The last line of the newest archived file, if the head's line is in that file.
fn through_archive(head: &Head, paths: &Paths) -> Result<Option<Place>, Broken> {
    let Some((last, path)) = newest(paths)?.filter(|(last, _)| *last >= head.place.seq) else {
        return Ok(None);
    };
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if line_ending_at(&file, head.end, length)? != Some(head.place) {
        return Ok(None);
    }
    let (place, _) = follow(&file, head.end, length, head.place)?;
    Ok(Some(place).filter(|place| place.seq == last))
}

/// The newest file of the archive, and the number of its last line, which is its name.
fn newest(paths: &Paths) -> io::Result<Option<(u64, PathBuf)>> {
    let entries = match fs::read_dir(&paths.archive) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut newest = None;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        if let Some(last) = name.and_then(|name| name.parse::<u64>().ok()) {
            newest = newest.max(Some((last, path)));
        }
    }
    Ok(newest)
}

/// The line that ends at a byte; `None` when none does.
fn line_ending_at(file: &File, end: u64, length: u64) -> Result<Option<Place>, Broken> {
    if end == 0 {
        return Ok(Some(Place::START));
    }
    if end > length {
        return Ok(None);
    }
    let start = end.saturating_sub(MAX_LINE + 1);
    let block = read_range(file, start, end)?;
    let Some(text) = block.strip_suffix(b"\n") else { return Ok(None) };
    let text = match text.iter().rposition(|byte| *byte == b'\n') {
        Some(before) => text.get(before + 1..).unwrap_or_default(),
        None if start == 0 => text,
        None => return Ok(None),
    };
    Ok(place_of(text))
}

/// Where a line says that it stands.
fn place_of(text: &[u8]) -> Option<Place> {
    let link: Link<'_> = serde_json::from_slice(text).ok()?;
    Some(Place { seq: link.seq.checked_sub(1)?, ..Place::START }.next(text))
}

/// The last whole line of a file, and where it ends.
fn last_line(file: &File, length: u64) -> Result<Option<(u64, Place)>, Broken> {
    let start = length.saturating_sub(2 * MAX_LINE);
    let block = read_range(file, start, length)?;
    let Some(last) = block.iter().rposition(|byte| *byte == b'\n') else { return Ok(None) };
    let end = start + last as u64 + 1;
    Ok(line_ending_at(file, end, length)?.map(|place| (end, place)))
}

fn first_line_follows(file: &File, place: Place) -> Result<bool, Broken> {
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(0))?;
    let mut line = Vec::new();
    reader.take(MAX_LINE).read_until(b'\n', &mut line)?;
    let Some(text) = line.strip_suffix(b"\n") else { return Ok(false) };
    Ok(serde_json::from_slice::<Link<'_>>(text).is_ok_and(|link| link.follows(place)))
}

/// Follows whole lines from a place on; where they end.
pub(super) fn follow(file: &File, from: u64, to: u64, mut place: Place) -> Result<(Place, u64), Broken> {
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    reader.seek(SeekFrom::Start(from))?;
    let mut reader = reader.take(to.saturating_sub(from));
    let mut end = from;
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        let Some(text) = line.strip_suffix(b"\n") else {
            return match (line.len() as u64) < MAX_LINE {
                // The process was killed in the middle of a line; nobody was answered for it.
                true => Ok((place, end)),
                false => {
                    Err(Broken::Damage(format!("line {} is longer than any that is written", place.seq + 1)))
                }
            };
        };
        if !serde_json::from_slice::<Link<'_>>(text).is_ok_and(|link| link.follows(place)) {
            return Err(Broken::Damage(format!("what stands after line {} does not follow it", place.seq)));
        }
        place = place.next(text);
        end += line.len() as u64;
    }
}

fn read_range(file: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(to - from).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}
