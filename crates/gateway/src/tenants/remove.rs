//! The removal of a tenant, in an order that is safe to interrupt.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::Duration,
};

use partywall_model::TenantId;

use super::{
    Registry, RegistryError, StoreError, TenantRecord, file::FileTenants, registry::Kept, store, tenant_dir,
};
use crate::{
    deletion,
    guards::credentials::{Vault, VaultError},
};

/// Why a removal did not finish; the tenant is denied in any case once it has begun.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The vault failed.
    #[error("removing tenant `{id}`: {cause}; the tenant is denied; run the removal again to finish it")]
    Vault {
        /// The tenant.
        id: TenantId,
        /// What the vault said.
        cause: Box<VaultError>,
    },
    /// The tenant's files could not be deleted.
    #[error(
        "removing tenant `{id}`: deleting {path}: {cause}; the tenant is denied; \
         run the removal again to finish it", path = path.display()
    )]
    Folder {
        /// The tenant.
        id: TenantId,
        /// The folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl From<StoreError> for RemovalError {
    fn from(error: StoreError) -> Self {
        Self::Registry(error.into())
    }
}

/// Removes a tenant: denies it, shreds its secrets, deletes its files, forgets it. Its audit log is kept.
///
/// A removal that was interrupted is finished by calling this again. Until then the id cannot be added.
///
/// # Errors
/// There is no such tenant, or one of the steps failed.
pub fn remove_tenant(
    registry: &Registry,
    vault: &Vault,
    data_dir: &Path,
    id: &TenantId,
) -> Result<(), RemovalError> {
    let tenant = registry.begin_removal(id)?;
    vault.shred(&tenant).map_err(|cause| RemovalError::Vault { id: id.clone(), cause: Box::new(cause) })?;
    // With tenants in a database, no server keeps files of theirs.
    if let Kept::File(file) = &registry.0 {
        delete_files(file, data_dir, &tenant)?;
    }
    registry.forget(&tenant)?;
    Ok(())
}

/// Deletes the tenant's folder.
///
/// It is renamed first, to a name that only this life of the id has, and while nobody can add the id again: a
/// removal that was held up for long cannot delete the files of a later tenant.
pub(super) fn delete_files(
    registry: &FileTenants,
    data_dir: &Path,
    tenant: &TenantRecord,
) -> Result<(), RemovalError> {
    let folder = tenant_dir(data_dir, &tenant.id);
    // No tenant id starts with a dot.
    let doomed = folder.with_file_name(format!(".removing-{}", tenant.incarnation.0));
    let failed = |path: &Path| {
        let path = path.to_owned();
        let id = tenant.id.clone();
        move |cause| RemovalError::Folder { id, path, cause }
    };
    delete(&doomed).map_err(failed(&doomed))?;
    let doing = format!("deleting the files of tenant `{}`", tenant.id);
    registry.removing(&doing, tenant, |_| match fs::rename(&folder, &doomed) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        renamed => renamed.map_err(failed(&folder)),
    })?;
    delete(&doomed).map_err(failed(&doomed))?;
    match store::sync_folder(&doomed) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(failed(&folder)(e)),
        _ => Ok(()),
    }
}

fn delete(path: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match deletion::remove(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            // A server that was started for the tenant writes still; it is ended within a second or so.
            Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty && tries < MOST_TRIES => {
                tries += 1;
                std::thread::sleep(BETWEEN_TRIES);
            }
            deleted => return deleted,
        }
    }
}

/// How often a folder is deleted that somebody writes into.
const MOST_TRIES: u32 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(100);
