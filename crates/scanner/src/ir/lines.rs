//! Where lines begin, for positions in findings.

/// A place in a source text as editors count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

/// The first bytes of the lines of a text.
#[derive(Debug, Default)]
pub struct Lines(Vec<u32>);

impl Lines {
    /// Finds the lines of a text. What lies beyond 4 GiB has no lines.
    #[must_use]
    pub fn new(source: &str) -> Self {
        let starts = source.match_indices('\n').filter_map(|(at, _)| u32::try_from(at + 1).ok());
        Self(std::iter::once(0).chain(starts).collect())
    }

    /// The line of a byte, from 1.
    #[must_use]
    pub fn line(&self, byte: u32) -> u32 {
        u32::try_from(self.0.partition_point(|start| *start <= byte)).unwrap_or(u32::MAX).max(1)
    }

    /// Line and column of a byte of the text that the lines were found in.
    #[must_use]
    pub fn position(&self, source: &str, byte: u32) -> Position {
        let line = self.line(byte);
        let start = self.0.get(line as usize - 1).copied().unwrap_or(0);
        let before = source.get(start as usize..byte as usize).unwrap_or("");
        let column = u32::try_from(before.chars().count()).unwrap_or(u32::MAX - 1) + 1;
        Position { line, column }
    }

    /// The number of lines.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
