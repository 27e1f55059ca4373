//! What must hold of a configuration as a whole.

use super::Config;

/// One problem: its text and, where known, the byte offset of the table it is in.
pub(super) struct Problem {
    pub(super) at: Option<usize>,
    pub(super) text: String,
}

/// Every problem of a configuration.
pub(super) fn problems(_config: &Config) -> Vec<Problem> {
    Vec::new()
}

pub(crate) fn names_tenant(name: &str) -> bool {
    name.contains("tenant")
}
