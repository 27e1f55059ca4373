//! Where lines begin, for positions in findings.

use std::sync::OnceLock;

/// A place in a source text as editors count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

/// The first bytes of the lines of a text. They are looked for when somebody asks first: most files have no finding.
#[derive(Debug, Default)]
pub struct Lines(OnceLock<Box<[u32]>>);

impl Lines {
    /// The first bytes of the lines of a text, which is the same for each call. What lies beyond 4 GiB has no lines.
    fn starts(&self, source: &str) -> &[u32] {
        self.0.get_or_init(|| {
            let ends = source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            let starts = ends.filter_map(|(at, _)| u32::try_from(at + 1).ok());
            std::iter::once(0).chain(starts).collect()
        })
    }

    /// The line of a byte of the text that this was made for, from 1.
    #[must_use]
    pub fn line(&self, source: &str, byte: u32) -> u32 {
        let before = self.starts(source).partition_point(|start| *start <= byte);
        u32::try_from(before).unwrap_or(u32::MAX).max(1)
    }

    /// Line and column of a byte of the text that this was made for.
    #[must_use]
    pub fn position(&self, source: &str, byte: u32) -> Position {
        let line = self.line(source, byte);
        let start = self.starts(source).get(line as usize - 1).copied().unwrap_or(0);
        let before = source.get(start as usize..byte as usize).unwrap_or("");
        let column = u32::try_from(before.chars().count()).unwrap_or(u32::MAX - 1) + 1;
        Position { line, column }
    }
}
