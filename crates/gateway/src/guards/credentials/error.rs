//! Why the vault denied.

use std::{io, path::PathBuf};

use partywall_model::TenantId;

use super::SecretName;
use crate::{central::CentralError, tenants::StoreError};

/// Why a secret could not be stored or opened; no text of it holds a value.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The vault's file failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database of the state failed.
    #[error(transparent)]
    Central(#[from] CentralError),
    /// The vault in the database belongs to another master key.
    #[error(
        "the secrets in {at} were sealed with another master key than this process has; give every server the same one: \
         copy master.key of the first into the data folder, or set server.master_key"
    )]
    OtherMasterKey {
        /// The database.
        at: String,
    },
    /// The system gives no random numbers.
    #[error("asking the system for random numbers: {0}; nothing was stored")]
    Random(getrandom::Error),
    /// The file of the master key could not be read or made.
    #[error("{doing} the master key {path}: {cause}; check the owner and the permissions of the file and its folder",
        path = path.display())]
    KeyFile {
        /// What was being done.
        doing: &'static str,
        /// The key's file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Others than the owner can read the master key.
    #[error("reading the master key {path}: other users may read or change it (mode {mode:04o}); run: chmod 600 '{path}'",
        path = path.display())]
    KeyExposed {
        /// The key's file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The vault is there and its key is not.
    #[error("there is no master key {path}, but a vault that needs it; restore the key from a backup",
        path = path.display())]
    KeyMissing {
        /// The key's file.
        path: PathBuf,
    },
    /// The text is no key.
    #[error(
        "a master key is 32 bytes, written as 64 hexadecimal digits or as base64; this text is something else"
    )]
    KeyFormat,
    /// The content of the master key's file is no key.
    #[error("reading the master key {path}: the content is not 32 bytes in hexadecimal or base64; restore it from a backup",
        path = path.display())]
    KeyFileFormat {
        /// The key's file.
        path: PathBuf,
    },
    /// The vault was made with another master key.
    #[error(
        "opening {path}: the master key is not this vault's; give the right one, and if it was rotated, restart \
         with the new one", path = path.display()
    )]
    WrongMasterKey {
        /// The vault's file.
        path: PathBuf,
    },
    /// The tenant's key does not open, or is not there although its secrets are.
    #[error(
        "opening the key of tenant `{tenant}` in {path}: it was changed or is another tenant's; restore the vault \
         from a backup, or remove and add the tenant", path = path.display()
    )]
    TenantKey {
        /// The tenant.
        tenant: TenantId,
        /// The vault's file.
        path: PathBuf,
    },
    /// A secret does not open.
    #[error(
        "opening secret `{name}` of tenant `{tenant}` in {path}: it was changed or is another secret's; set it again",
        path = path.display()
    )]
    Secret {
        /// The tenant.
        tenant: TenantId,
        /// The secret.
        name: SecretName,
        /// The vault's file.
        path: PathBuf,
    },
    /// A row is not what this version writes.
    #[error("reading {path}: the vault holds {what}; restore it from a backup", path = path.display())]
    Damaged {
        /// The vault's file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The value cannot be stored.
    #[error("storing secret `{name}`: the value {what}")]
    Value {
        /// The secret.
        name: SecretName,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The tenant's secrets have been shredded for good.
    #[error("storing a secret of tenant `{0}`: this tenant has been removed")]
    Shredded(TenantId),
}
