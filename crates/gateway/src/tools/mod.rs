//! The tools of a server: SQL, HTTP and native ones, and how a call reaches one of them.

mod args;
mod builtin;
mod error;
pub mod http;
mod native;
mod schema;
mod set;
mod sql;

pub(crate) use args::ArgTable;
pub use error::ToolError;
pub(crate) use native::ErasedTool;
pub use native::{NativeTool, Tool, ToolMeta};
pub(crate) use schema::taken;
pub use set::ToolSetError;
pub(crate) use set::{Mirror, ToolEntry, ToolSet};
pub(crate) use sql::MAX_ROWS;
