//! The prober against servers that leak in one way, that do not leak, and that are not there.

mod cache;
mod context;
mod data;
mod dead;
mod identity;
mod safe;
mod state;
mod stub;
mod support;
