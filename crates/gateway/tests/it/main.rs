//! Integration tests, in one binary: linking is dear.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod compile_fail;
mod non_interference;
