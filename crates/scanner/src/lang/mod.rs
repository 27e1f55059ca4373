//! Front ends: source text in, [`crate::ir`] or other facts out. The only importers of parser crates.

pub mod cypher;
pub mod js;
pub mod manifest;
pub mod prisma;
pub mod py;
pub mod sql;

use std::sync::Arc;

use crate::ir::{Module, Notice};

/// What a front end gives for a file: always a module, if need be an empty one, and what was not understood.
#[derive(Debug)]
pub struct Lowered {
    /// The module.
    pub module: Module,
    /// What was not understood.
    pub notices: Vec<Notice>,
    /// Whether it runs in a browser, for one person: its module is empty, since nobody else can meet what it holds.
    pub in_browser: bool,
}

/// Lowers a file of a programming language, by its name; none for a file of another kind.
#[must_use]
pub fn lower(path: &str, source: Arc<str>) -> Option<Lowered> {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension {
        "js" | "mjs" | "cjs" | "jsx" | "ts" | "mts" | "cts" | "tsx" => Some(js::lower(path, source)),
        "py" => Some(py::lower(path, source)),
        _ => None,
    }
}

/// Parses a file and, in JavaScript and TypeScript, resolves its names, and lowers nothing; how many symbols or tokens it
/// has. It is what [`lower`] cannot do without, for measuring how much more it does.
#[must_use]
pub fn parse(path: &str, source: &str) -> Option<usize> {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    match extension {
        "js" | "mjs" | "cjs" | "jsx" | "ts" | "mts" | "cts" | "tsx" => js::parse(path, source),
        "py" => py::parse(source),
        _ => None,
    }
}

/// The line where brackets are nested deeper than a bound, or nothing. Brackets in strings and comments count too, which does
/// no harm: they seldom stay open.
pub(crate) fn too_deep(source: &str, bound: usize) -> Option<u32> {
    // Most files have fewer brackets than that, and counting is quick.
    let opens = |byte: &u8| u8::from(matches!(byte, b'(' | b'[' | b'{'));
    let counts = source.as_bytes().chunks(255).map(|chunk| chunk.iter().map(opens).sum::<u8>());
    if counts.map(usize::from).sum::<usize>() <= bound {
        return None;
    }
    let mut depth = 0_usize;
    let mut line = 1;
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'\n' => line += 1,
            _ => {}
        }
        if depth > bound {
            return Some(line);
        }
    }
    None
}
