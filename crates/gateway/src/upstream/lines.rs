//! Lines of a process, of a bounded length and at a bounded pace.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// How much of a long line is looked at for whose answer it is.
const EDGE: usize = 128;
/// A line that is not over after so many times the longest one ends the conversation.
const ENDLESS: usize = 16;

/// One line.
pub(super) enum Line<'l> {
    /// All of it, without its end.
    Whole(&'l [u8]),
    /// It was too long to be kept; the id that stands at its start or its end.
    Long { id: Option<u64>, length: usize },
}

impl Line<'_> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Whole(text) => text.len(),
            Self::Long { length, .. } => *length,
        }
    }
}

/// Reads lines.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    most: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, most: usize) -> Self {
        Self { reader: BufReader::with_capacity(16 * 1024, reader), line: Vec::new(), most }
    }

    /// The next line; `None` at the end, where a line that is not whole does not count.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        // What a long line took is given back.
        if self.line.capacity() > 64 * 1024 {
            self.line = Vec::new();
        }
        self.line.clear();
        let mut length = 0;
        let mut tail: Vec<u8> = Vec::new();
        loop {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(None);
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
            length += part.len();
            if length <= self.most {
                self.line.extend_from_slice(part);
            } else {
                let missing = EDGE.saturating_sub(self.line.len());
                self.line.extend_from_slice(part.get(..missing.min(part.len())).unwrap_or_default());
                self.line.truncate(EDGE);
                tail.extend_from_slice(part.get(part.len().saturating_sub(EDGE)..).unwrap_or_default());
                tail.drain(..tail.len().saturating_sub(EDGE));
            }
            let took = part.len() + usize::from(end.is_some());
            self.reader.consume(took);
            if end.is_some() {
                break;
            }
            if length > self.most.saturating_mul(ENDLESS) {
                return Err(io::Error::other("a line has no end"));
            }
        }
        if length > self.most {
            return Ok(Some(Line::Long { id: id_at_edge(&self.line, &tail), length }));
        }
        Ok(Some(Line::Whole(&self.line)))
    }
}

/// The id of an answer, which stands first or last in it.
fn id_at_edge(head: &[u8], tail: &[u8]) -> Option<u64> {
    let squeezed = |bytes: &[u8]| -> String {
        let text = String::from_utf8_lossy(bytes);
        text.chars().filter(|char| !char.is_whitespace()).collect()
    };
    let (head, tail) = (squeezed(head), squeezed(tail));
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let first =
        ["{\"jsonrpc\":\"2.0\",\"id\":", "{\"id\":"].iter().find_map(|start| head.strip_prefix(start));
    if let Some(rest) = first {
        return number(rest);
    }
    let (_, rest) = tail.rsplit_once("\"id\":")?;
    let (digits, end) = rest.split_at_checked(rest.find(|char: char| !char.is_ascii_digit())?)?;
    matches!(end, "}" | ",\"jsonrpc\":\"2.0\"}").then(|| digits.parse().ok())?
}

/// The most bytes a second, and messages that nobody waited for.
const BYTES: usize = 32 << 20;
const UNASKED: usize = 500;
const SECOND: Duration = Duration::from_secs(1);

/// Keeps what a process makes the gateway do within bounds: the process waits, since its output is not read.
pub(super) struct Pace {
    since: Instant,
    bytes: usize,
    unasked: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { since: Instant::now(), bytes: 0, unasked: 0 }
    }
}

impl Pace {
    /// Waits after a line if there were too many.
    pub(super) async fn after(&mut self, bytes: usize, wanted: bool) {
        if self.since.elapsed() >= SECOND {
            *self = Self::default();
        }
        self.bytes += bytes;
        self.unasked += usize::from(!wanted);
        if self.bytes > BYTES || self.unasked > UNASKED {
            tokio::time::sleep_until((self.since + SECOND).into()).await;
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &[u8], most: usize) -> Vec<Result<String, Option<u64>>> {
        let mut lines = Lines::new(text, most);
        let mut all = Vec::new();
        while let Ok(Some(line)) = lines.next().await {
            all.push(match line {
                Line::Whole(text) => Ok(String::from_utf8_lossy(text).into_owned()),
                Line::Long { id, .. } => Err(id),
            });
        }
        all
    }

    #[tokio::test]
    async fn a_long_line_is_not_kept_and_the_next_one_is_read() {
        let long = "x".repeat(1000);
        let text = format!(
            "{{\"id\": 7,\"result\":\"{long}\"}}\nshort\n{{\"result\":\"{long}\",\"jsonrpc\":\"2.0\",\"id\":31}}\n\
             {{\"result\":\"{long}\"}}\n\nnot whole"
        );
        let all = read(text.as_bytes(), 200).await;
        assert_eq!(all, [Err(Some(7)), Ok("short".to_owned()), Err(Some(31)), Err(None), Ok(String::new())]);
        assert!(read("y".repeat(100_000).as_bytes(), 200).await.is_empty(), "a line without an end ends it");
    }
}
