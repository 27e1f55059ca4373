//! Suppressions in the source.
