//! The vault: every tenant's secrets, sealed, in a file or in a database. Nothing that was opened is kept in memory.

use std::{path::Path, sync::Arc};

use partywall_model::TenantId;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use super::{MasterKey, SecretName, VaultError, central::CentralVault, file::FileVault, seal::Label};
use crate::{
    admit::{Incarnation, Permit},
    central::Central,
    tenants::TenantRecord,
};

/// What the check value holds; only that it opens matters.
pub(super) const CHECK_TEXT: &[u8] = b"this vault's master key";

/// Every tenant's secrets, sealed.
pub struct Vault(pub(super) Kept);

/// Where secrets are kept.
pub(super) enum Kept {
    File(FileVault),
    Central(CentralVault),
}

/// What may be told of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecretInfo {
    /// Its name.
    pub name: SecretName,
    /// How often it was set.
    pub version: u64,
    /// When it was set last, in seconds since 1970.
    pub updated_at: u64,
}

/// One life of a tenant.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) id: &'a TenantId,
    pub(super) incarnation: Incarnation,
}

impl<'a> Owner<'a> {
    pub(super) fn of(tenant: &'a TenantRecord) -> Self {
        Self { id: &tenant.id, incarnation: tenant.incarnation }
    }

    pub(super) fn row(&self) -> i64 {
        self.incarnation.0.cast_signed()
    }

    pub(super) fn key_label(&self) -> Label {
        Label::tenant_key(self.id, self.incarnation)
    }

    pub(super) fn secret_label(&self, name: &SecretName, version: i64) -> Label {
        Label::secret(self.id, self.incarnation, name, version.cast_unsigned())
    }
}

/// An opened value as a secret, copied to its exact length: shrinking a longer buffer could leave the value behind in
/// freed memory.
pub(super) fn as_secret(bytes: &[u8]) -> Option<SecretString> {
    std::str::from_utf8(bytes).ok().map(|text| SecretString::from(text.to_owned()))
}

impl Vault {
    /// The longest value, in bytes.
    pub const MAX_VALUE: usize = 64 * 1024;

    /// Opens the vault of a data folder; makes one for this master key when there is none.
    ///
    /// # Errors
    /// The master key is not the vault's, or the file is damaged, unreadable or of another program; it is not
    /// changed then.
    pub fn open(data_dir: &Path, master: MasterKey) -> Result<Self, VaultError> {
        FileVault::open(data_dir, master).map(|file| Self(Kept::File(file)))
    }

    /// The vault in the database of the state.
    ///
    /// # Errors
    /// The master key is not the vault's, or the database cannot be reached.
    pub(crate) fn central(central: &Arc<Central>, master: MasterKey) -> Result<Self, VaultError> {
        CentralVault::open(central, master).map(|central| Self(Kept::Central(central)))
    }

    /// Stores a secret of a tenant, over an earlier one of this name.
    ///
    /// # Errors
    /// The value is empty, too long or holds a NUL; or the vault cannot be written.
    pub fn set(
        &self,
        tenant: &TenantRecord,
        name: &SecretName,
        value: SecretString,
    ) -> Result<(), VaultError> {
        let text = value.expose_secret();
        let unfit = |what| VaultError::Value { name: name.clone(), what };
        match text.len() {
            0 => return Err(unfit("is empty")),
            n if n > Self::MAX_VALUE => return Err(unfit("is longer than 64 KiB")),
            _ if text.contains('\0') => return Err(unfit("contains a NUL character")),
            _ => {}
        }
        match &self.0 {
            Kept::File(file) => file.set(tenant, name, &value),
            Kept::Central(central) => central.set(tenant, name, value),
        }
    }

    /// The tenant's secrets, by name, without their values.
    ///
    /// # Errors
    /// The vault cannot be read.
    pub fn list(&self, tenant: &TenantRecord) -> Result<Vec<SecretInfo>, VaultError> {
        match &self.0 {
            Kept::File(file) => file.list(tenant),
            Kept::Central(central) => central.list(tenant),
        }
    }

    /// Deletes a secret of a tenant; says whether there was one.
    ///
    /// # Errors
    /// The vault cannot be written.
    pub fn remove(&self, tenant: &TenantRecord, name: &SecretName) -> Result<bool, VaultError> {
        match &self.0 {
            Kept::File(file) => file.remove(tenant, name),
            Kept::Central(central) => central.remove(tenant, name),
        }
    }

    /// The value of a secret of the permit's tenant, as it is stored now; there is no other way to a value.
    ///
    /// # Errors
    /// Anything that does not open is an error, never nothing and never another value.
    pub(crate) fn read(
        &self,
        permit: &Permit,
        name: &SecretName,
    ) -> Result<Option<SecretString>, VaultError> {
        #[cfg(test)]
        let permit = if crate::removed::removed("sealed-vault") {
            static FIRST: std::sync::OnceLock<Permit> = std::sync::OnceLock::new();
            FIRST.get_or_init(|| permit.clone())
        } else {
            permit
        };
        let owner = Owner { id: permit.tenant(), incarnation: permit.incarnation() };
        match &self.0 {
            Kept::File(file) => file.read(owner, name),
            Kept::Central(central) => central.read(owner, name),
        }
    }

    /// Deletes the tenant's key and secrets for good; this life of the tenant can have no others.
    ///
    /// # Errors
    /// The vault cannot be written.
    pub fn shred(&self, tenant: &TenantRecord) -> Result<(), VaultError> {
        match &self.0 {
            Kept::File(file) => file.shred(tenant),
            Kept::Central(central) => central.shred(tenant),
        }
    }

    /// Seals every tenant's key under a new master key; the old one opens nothing any more.
    ///
    /// Write the new key down first ([`MasterKey::write_new`]). Other processes that have the vault open are denied
    /// until they are restarted with it.
    ///
    /// # Errors
    /// A key that does not open, or a vault that cannot be written; nothing is changed then.
    pub fn rotate_master(&self, new: MasterKey) -> Result<(), VaultError> {
        match &self.0 {
            Kept::File(file) => file.rotate_master(new),
            Kept::Central(central) => central.rotate_master(new),
        }
    }

    /// Gives the tenant a new key and seals its secrets under it.
    ///
    /// # Errors
    /// A secret that does not open, or a vault that cannot be written; nothing is changed then.
    pub fn rotate_tenant(&self, tenant: &TenantRecord) -> Result<(), VaultError> {
        match &self.0 {
            Kept::File(file) => file.rotate_tenant(tenant),
            Kept::Central(central) => central.rotate_tenant(tenant),
        }
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kept::File(file) => {
                f.debug_struct("Vault").field("path", &file.store.path()).finish_non_exhaustive()
            }
            Kept::Central(central) => {
                f.debug_struct("Vault").field("at", &central.at()).finish_non_exhaustive()
            }
        }
    }
}
