//! The command as its users meet it, and the generated parts of the documents.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on fails"
)]

mod check;
mod commands;
mod demo;
mod faults;
mod lab;
mod matrix;
mod probe;
mod scan;
mod support;
mod tidy;
