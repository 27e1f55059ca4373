//! The prober against servers that leak in one way, that do not leak, and that are not there.

mod cache;
mod capacity;
mod context;
mod credentials;
mod data;
mod dead;
mod disclosure;
mod identity;
mod routing;
mod safe;
mod state;
mod stub;
mod support;
