//! The tenants: who exists, and who may call.
//!
//! The registry is one SQLite file that the server and the command share. The server keeps it in memory and asks
//! the file's change counter at every request whether that is still the truth.

mod index;
mod record;
mod registry;
mod remove;
pub(crate) mod store;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use partywall_model::TenantId;

pub use record::{RegistryError, TenantDenial, TenantRecord, TenantState};
pub use registry::Registry;
pub use remove::{RemovalError, remove_tenant};
pub use store::StoreError;

/// The folder that holds all files of one tenant.
#[must_use]
pub fn tenant_dir(data_dir: &Path, id: &TenantId) -> PathBuf {
    data_dir.join("tenants").join(id.as_str())
}
