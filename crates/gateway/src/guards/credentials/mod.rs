//! Credentials: per tenant, per name, sealed to both.
//!
//! Each tenant has a random key of its own, sealed under the master key; each secret is sealed under its tenant's
//! key. What a sealed text belongs to (tenant, incarnation, name, version) is authenticated with it, so a row that
//! was moved to another tenant or name does not open, and deleting a tenant's key shreds its secrets.
//!
//! What this cannot see: somebody who may write the file and puts back an older row of the same secret.

mod central;
mod error;
mod file;
mod keys;
mod master;
mod name;
mod replies;
mod seal;
#[cfg(test)]
mod tests;
mod vault;

pub use error::VaultError;
pub use master::MasterKey;
pub use name::{SecretName, SecretNameError};
pub(crate) use replies::{OVERHEAD as REPLY_OVERHEAD, ReplyKeys, ReplyName};
pub use vault::{SecretInfo, Vault};
