//! Python: source text to the program form.

use std::sync::Arc;

use super::Lowered;
use crate::ir::{Language, ModuleBuilder};

/// Lowers a file. It never fails; what was not understood is in the notices.
#[must_use]
pub fn lower(path: &str, source: Arc<str>) -> Lowered {
    let builder = ModuleBuilder::new(path.to_owned(), Language::Python, source);
    Lowered { module: builder.finish(Box::default()), notices: Vec::new() }
}
