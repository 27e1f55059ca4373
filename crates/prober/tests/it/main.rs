//! The prober against servers that leak in one way, that do not leak, and that are not there.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on fails")]
#![expect(
    clippy::disallowed_methods,
    reason = "the stub belongs to no tenant, and the tests are asked for more runs"
)]

mod asking;
mod cache;
mod capacity;
mod context;
mod covered;
mod credentials;
mod data;
mod dead;
mod disclosure;
mod disguised;
mod further;
mod identity;
mod listening;
mod reached;
mod routing;
mod safe;
mod sse;
mod state;
mod stopped;
mod stub;
mod support;
mod survey;
mod tenants;
