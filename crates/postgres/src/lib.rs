//! What the gateway and the command both have to know of PostgreSQL.
//!
//! A [`DatabaseUrl`] says where a database is and never shows its password; a [`Connector`] makes connections to it,
//! with TLS unless it is on this machine. [`check::run`] says whether a database's catalogue would keep tenants apart.

pub mod check;
pub mod connect;
pub mod migration;
pub mod url;

pub use connect::{ConnectError, Connection, Connector, drive};
pub use url::{DatabaseUrl, Source, TlsMode, UrlError};
