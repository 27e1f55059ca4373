//! The HTTP edge: one POST in, one JSON object or event stream out.
//!
//! Ours and not rmcp's server loop, so that the future of a request runs inside its permit from start to end, and no
//! router, session table or event store is shared between requests. The message types are those of rmcp's model.

pub(crate) mod body;
mod files;
pub(crate) mod headers;
pub(crate) mod message;
mod page;
mod patience;
pub(crate) mod reply;
mod rpc;
mod server;
pub(crate) mod stream;
mod unread;

pub use files::raise_file_limit;
#[cfg(test)]
pub(crate) use server::readiness;
pub use server::{ServeError, Server};
