//! The vault in a file: one SQLite file that the server and the command share.

use std::{
    path::Path,
    sync::{PoisonError, RwLock},
};

use rusqlite::{OptionalExtension as _, Transaction, params};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    MasterKey, SecretName, VaultError,
    keys::check_master,
    seal::{self, Label},
    vault::{CHECK_TEXT, Owner, SecretInfo, as_secret},
};
use crate::{
    clock::Clock,
    tenants::{
        StoreError, TenantRecord,
        store::{Kind, Store},
    },
};

const KIND: Kind = Kind { what: "vault", application_id: 0x5057_5601, format: 1, upgrades: &[] };

/// `shredded` keeps a late `secret set` from giving a removed tenant a new key.
const SCHEMA: &str = "
    CREATE TABLE master_check (one INTEGER PRIMARY KEY CHECK (one = 1), sealed BLOB NOT NULL) STRICT;
    CREATE TABLE tenant_key (
        tenant TEXT NOT NULL, incarnation INTEGER NOT NULL, sealed BLOB NOT NULL,
        PRIMARY KEY (tenant, incarnation)
    ) STRICT;
    CREATE TABLE secret (
        tenant TEXT NOT NULL, incarnation INTEGER NOT NULL, name TEXT NOT NULL,
        version INTEGER NOT NULL, updated_at INTEGER NOT NULL, sealed BLOB NOT NULL,
        PRIMARY KEY (tenant, incarnation, name)
    ) STRICT;
    CREATE TABLE shredded (incarnation INTEGER PRIMARY KEY) STRICT;";

/// Every tenant's secrets, sealed.
pub(super) struct FileVault {
    pub(super) store: Store,
    /// Locked before the store, always.
    pub(super) master: RwLock<MasterKey>,
    clock: Clock,
}

impl FileVault {
    /// Opens the vault of a data folder; makes one for this master key when there is none.
    ///
    /// # Errors
    /// The master key is not the vault's, or the file is damaged, unreadable or of another program; it is not
    /// changed then.
    pub(super) fn open(data_dir: &Path, master: MasterKey) -> Result<Self, VaultError> {
        let path = std::path::absolute(data_dir.join("vault.sqlite"))
            .map_err(|cause| StoreError::Create { path: data_dir.into(), cause })?;
        let check = seal::seal(master.key(), &Label::check(), CHECK_TEXT)?;
        let store = Store::open(path, &KIND, |conn| {
            conn.execute_batch(SCHEMA)?;
            conn.execute("INSERT INTO master_check (one, sealed) VALUES (1, ?1)", [check])?;
            Ok(())
        })?;
        store.read(|tx| check_master(&store, tx, &master))?;
        Ok(Self { store, master: RwLock::new(master), clock: Clock::system() })
    }

    /// Stores a secret of a tenant, over an earlier one of this name.
    ///
    /// # Errors
    /// The value is empty, too long or holds a NUL; or the vault cannot be written.
    pub(super) fn set(
        &self,
        tenant: &TenantRecord,
        name: &SecretName,
        value: &SecretString,
    ) -> Result<(), VaultError> {
        let owner = Owner::of(tenant);
        let now = self.clock.unix_seconds().cast_signed();
        let master = self.master.read().unwrap_or_else(PoisonError::into_inner);
        let doing = format!("storing secret `{name}` of tenant `{}`", tenant.id);
        let failed = || self.store.failed(&doing);
        self.store.write(&doing, |tx| {
            check_master(&self.store, tx, &master)?;
            let key = self.key_for_writing(tx, &master, owner)?;
            let last: Option<i64> = tx
                .query_row(
                    "SELECT version FROM secret WHERE tenant = ?1 AND incarnation = ?2 AND name = ?3",
                    params![owner.id.as_str(), owner.row(), name.as_str()],
                    |row| row.get(0),
                )
                .optional()
                .map_err(failed())?;
            let version =
                last.unwrap_or(0).checked_add(1).ok_or_else(|| self.damaged("a version out of range"))?;
            let sealed =
                seal::seal(&key, &owner.secret_label(name, version), value.expose_secret().as_bytes())?;
            tx.execute(
                "INSERT OR REPLACE INTO secret (tenant, incarnation, name, version, updated_at, sealed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![owner.id.as_str(), owner.row(), name.as_str(), version, now, sealed],
            )
            .map_err(failed())?;
            Ok(())
        })
    }

    /// The tenant's secrets, by name, without their values.
    ///
    /// # Errors
    /// The vault cannot be read.
    pub(super) fn list(&self, tenant: &TenantRecord) -> Result<Vec<SecretInfo>, VaultError> {
        let doing = format!("listing the secrets of tenant `{}`", tenant.id);
        let rows = self.store.read(|tx| self.rows(tx, &doing, Owner::of(tenant)))?;
        Ok(rows.into_iter().map(|(info, _)| info).collect())
    }

    /// Deletes a secret of a tenant; says whether there was one.
    ///
    /// # Errors
    /// The vault cannot be written.
    pub(super) fn remove(&self, tenant: &TenantRecord, name: &SecretName) -> Result<bool, VaultError> {
        let owner = Owner::of(tenant);
        let doing = format!("removing secret `{name}` of tenant `{}`", tenant.id);
        self.store.write(&doing, |tx| {
            let removed = tx
                .execute(
                    "DELETE FROM secret WHERE tenant = ?1 AND incarnation = ?2 AND name = ?3",
                    params![owner.id.as_str(), owner.row(), name.as_str()],
                )
                .map_err(self.store.failed(&doing))?;
            Ok(removed > 0)
        })
    }

    /// The value of a secret of the permit's tenant, as it is in the file now; there is no other way to a value.
    ///
    /// # Errors
    /// Anything that does not open is an error, never nothing and never another value.
    pub(super) fn read(
        &self,
        owner: Owner<'_>,
        name: &SecretName,
    ) -> Result<Option<SecretString>, VaultError> {
        let master = self.master.read().unwrap_or_else(PoisonError::into_inner);
        let failed = || self.store.failed("reading a secret");
        self.store.read(|tx| {
            // One statement, so that the key and the secret are of the same moment.
            let row: Option<(i64, Vec<u8>, Option<Vec<u8>>)> = tx
                .prepare_cached(
                    "SELECT s.version, s.sealed, k.sealed
                     FROM secret s LEFT JOIN tenant_key k USING (tenant, incarnation)
                     WHERE s.tenant = ?1 AND s.incarnation = ?2 AND s.name = ?3",
                )
                .map_err(failed())?
                .query_row(params![owner.id.as_str(), owner.row(), name.as_str()], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .optional()
                .map_err(failed())?;
            let Some((version, sealed, sealed_key)) = row else {
                return Ok(None);
            };
            let sealed_key = sealed_key.ok_or_else(|| self.key_error(owner))?;
            let key = self.open_key(tx, &master, owner, &sealed_key)?;
            let bytes = seal::open(&key, &owner.secret_label(name, version), &sealed);
            bytes.and_then(|bytes| as_secret(&bytes)).map(Some).ok_or_else(|| self.secret_error(owner, name))
        })
    }

    /// Deletes the tenant's key and secrets for good; this life of the tenant can have no others.
    ///
    /// # Errors
    /// The vault cannot be written.
    pub(super) fn shred(&self, tenant: &TenantRecord) -> Result<(), VaultError> {
        let owner = Owner::of(tenant);
        let doing = format!("shredding the secrets of tenant `{}`", tenant.id);
        self.store.write(&doing, |tx| {
            for statement in [
                "DELETE FROM tenant_key WHERE incarnation = ?1",
                "DELETE FROM secret WHERE incarnation = ?1",
                "INSERT OR IGNORE INTO shredded (incarnation) VALUES (?1)",
            ] {
                tx.execute(statement, [owner.row()]).map_err(self.store.failed(&doing))?;
            }
            Ok(())
        })
    }

    /// The tenant's secrets as they are stored, by name.
    pub(super) fn rows(
        &self,
        tx: &Transaction<'_>,
        doing: &str,
        owner: Owner<'_>,
    ) -> Result<Vec<(SecretInfo, Vec<u8>)>, VaultError> {
        let failed = || self.store.failed(doing);
        let mut statement = tx
            .prepare_cached(
                "SELECT name, version, updated_at, sealed FROM secret
                 WHERE tenant = ?1 AND incarnation = ?2 ORDER BY name",
            )
            .map_err(failed())?;
        let mut rows = statement.query(params![owner.id.as_str(), owner.row()]).map_err(failed())?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(failed())? {
            let name: String = row.get(0).map_err(failed())?;
            let info = SecretInfo {
                name: SecretName::parse(&name).map_err(|_| self.damaged("a secret without a proper name"))?,
                version: row.get::<_, i64>(1).map_err(failed())?.cast_unsigned(),
                updated_at: row.get::<_, i64>(2).map_err(failed())?.cast_unsigned(),
            };
            all.push((info, row.get(3).map_err(failed())?));
        }
        Ok(all)
    }

    pub(super) fn damaged(&self, what: &'static str) -> VaultError {
        VaultError::Damaged { path: self.store.path().into(), what }
    }

    pub(super) fn key_error(&self, owner: Owner<'_>) -> VaultError {
        VaultError::TenantKey { tenant: owner.id.clone(), path: self.store.path().into() }
    }

    pub(super) fn secret_error(&self, owner: Owner<'_>, name: &SecretName) -> VaultError {
        VaultError::Secret { tenant: owner.id.clone(), name: name.clone(), path: self.store.path().into() }
    }
}
