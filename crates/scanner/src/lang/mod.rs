//! Front ends: source text in, [`crate::ir`] or other facts out. The only importers of parser crates.

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
