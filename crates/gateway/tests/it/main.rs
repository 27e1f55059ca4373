//! Integration tests, in one binary: linking is dear.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

mod audit;
mod cache;
mod capacity;
mod compile_fail;
mod data;
mod faults;
mod identity;
mod lifecycle;
mod non_interference;
mod observability;
mod operations;
mod parsing;
mod routing;
mod state;
mod support;
mod upstream;
