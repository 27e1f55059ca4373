//! What must not compile: the six failure patterns, forging a permit or a context, and mixing two calls.
//!
//! Each file under `tests/compile_fail/` is a tool or a piece of code that would leak, with the compiler's words
//! beside it. `safe.rs` is the same done right; it is compiled into this binary, so that a file cannot fail because
//! an API is not what it takes it for.

#[expect(dead_code, reason = "that it compiles is the test")]
#[path = "../compile_fail/safe.rs"]
mod safe;

/// What the documentation of `Tool` shows: it is compiled here, because a run of `rustdoc --test` costs a minute.
#[expect(dead_code, reason = "that it compiles is the test")]
#[path = "../compile_fail/greet.rs"]
mod greet;

#[test]
fn the_usual_leaks_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/leak_*.rs");
}
