//! The tenants: who exists, and who may call.
//!
//! The registry is one SQLite file that the server and the command share (`file`), or, for several machines, a table in
//! PostgreSQL (`central`). The server keeps it in memory and knows at every request whether that is still the truth: by
//! the file's change counter, or by a term that it has from the database.

mod central;
mod file;
mod index;
mod keeper;
mod record;
mod registry;
mod remove;
pub(crate) mod store;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use partywall_model::TenantId;

pub(crate) use record::Life;
pub use record::{Issued, RegistryError, TenantDenial, TenantRecord, TenantState};
pub use registry::Registry;
pub use remove::{RemovalError, remove_tenant};
pub use store::StoreError;

/// The folder that holds all files of one tenant.
#[must_use]
pub fn tenant_dir(data_dir: &Path, id: &TenantId) -> PathBuf {
    data_dir.join("tenants").join(id.as_str())
}
