//! The keys in a vault's file: made, opened and rotated.

use std::sync::PoisonError;

use partywall_model::TenantId;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{
    MasterKey, VaultError,
    file::FileVault,
    seal::{self, Key, Label},
    vault::{CHECK_TEXT, Owner},
};
use crate::{
    admit::Incarnation,
    tenants::{TenantRecord, store::Store},
};

impl FileVault {
    /// Seals every tenant's key under a new master key; the old one opens nothing any more.
    ///
    /// Write the new key down first ([`MasterKey::write_new`]). Other processes that have the vault open are denied
    /// until they are restarted with it.
    ///
    /// # Errors
    /// A key that does not open, or a vault that cannot be written; nothing is changed then.
    pub(super) fn rotate_master(&self, new: MasterKey) -> Result<(), VaultError> {
        let mut master = self.master.write().unwrap_or_else(PoisonError::into_inner);
        let doing = "rotating the master key";
        let failed = || self.store.failed(doing);
        self.store.write(doing, |tx| {
            check_master(&self.store, tx, &master)?;
            for (tenant, incarnation, sealed) in self.sealed_keys(tx, doing)? {
                let owner = Owner { id: &tenant, incarnation };
                let key = self.open_key(tx, &master, owner, &sealed)?;
                self.put_key(tx, &new, owner, &key)?;
            }
            let check = seal::seal(new.key(), &Label::check(), CHECK_TEXT)?;
            tx.execute("UPDATE master_check SET sealed = ?1", [check]).map_err(failed())?;
            Ok::<_, VaultError>(())
        })?;
        *master = new;
        Ok(())
    }

    /// Gives the tenant a new key and seals its secrets under it.
    ///
    /// # Errors
    /// A secret that does not open, or a vault that cannot be written; nothing is changed then.
    pub(super) fn rotate_tenant(&self, tenant: &TenantRecord) -> Result<(), VaultError> {
        let owner = Owner::of(tenant);
        let master = self.master.read().unwrap_or_else(PoisonError::into_inner);
        let doing = format!("rotating the key of tenant `{}`", tenant.id);
        self.store.write(&doing, |tx| {
            check_master(&self.store, tx, &master)?;
            let old = self.key_for_writing(tx, &master, owner)?;
            let new = Key::random()?;
            for (info, sealed) in self.rows(tx, &doing, owner)? {
                let label = owner.secret_label(&info.name, info.version.cast_signed());
                let text =
                    seal::open(&old, &label, &sealed).ok_or_else(|| self.secret_error(owner, &info.name))?;
                tx.execute(
                    "UPDATE secret SET sealed = ?4 WHERE tenant = ?1 AND incarnation = ?2 AND name = ?3",
                    params![
                        owner.id.as_str(),
                        owner.row(),
                        info.name.as_str(),
                        seal::seal(&new, &label, &text)?
                    ],
                )
                .map_err(self.store.failed(&doing))?;
            }
            self.put_key(tx, &master, owner, &new)
        })
    }

    /// The tenant's key; a new one for a tenant that has none.
    pub(super) fn key_for_writing(
        &self,
        tx: &Transaction<'_>,
        master: &MasterKey,
        owner: Owner<'_>,
    ) -> Result<Key, VaultError> {
        let failed = || self.store.failed("looking for a tenant's key");
        let shredded: bool = tx
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM shredded WHERE incarnation = ?1)",
                [owner.row()],
                |row| row.get(0),
            )
            .map_err(failed())?;
        if shredded {
            return Err(VaultError::Shredded(owner.id.clone()));
        }
        let sealed: Option<Vec<u8>> = tx
            .query_row(
                "SELECT sealed FROM tenant_key WHERE tenant = ?1 AND incarnation = ?2",
                params![owner.id.as_str(), owner.row()],
                |row| row.get(0),
            )
            .optional()
            .map_err(failed())?;
        if let Some(sealed) = sealed {
            return self.open_key(tx, master, owner, &sealed);
        }
        let key = Key::random()?;
        self.put_key(tx, master, owner, &key)?;
        Ok(key)
    }

    /// Stores a tenant's key, over an earlier one.
    fn put_key(
        &self,
        tx: &Transaction<'_>,
        master: &MasterKey,
        owner: Owner<'_>,
        key: &Key,
    ) -> Result<(), VaultError> {
        let sealed = seal::seal(master.key(), &owner.key_label(), key.as_bytes())?;
        tx.execute(
            "INSERT OR REPLACE INTO tenant_key (tenant, incarnation, sealed) VALUES (?1, ?2, ?3)",
            params![owner.id.as_str(), owner.row(), sealed],
        )
        .map_err(self.store.failed("storing a tenant's key"))?;
        Ok(())
    }

    /// Opens a tenant's key as it is stored.
    pub(super) fn open_key(
        &self,
        tx: &Transaction<'_>,
        master: &MasterKey,
        owner: Owner<'_>,
        sealed: &[u8],
    ) -> Result<Key, VaultError> {
        match seal::open(master.key(), &owner.key_label(), sealed).and_then(|bytes| Key::from_slice(&bytes)) {
            Some(key) => Ok(key),
            None => {
                // Another process may have rotated the master key; that is the better explanation then.
                check_master(&self.store, tx, master)?;
                Err(self.key_error(owner))
            }
        }
    }

    /// Every tenant's key as it is stored.
    fn sealed_keys(
        &self,
        tx: &Transaction<'_>,
        doing: &str,
    ) -> Result<Vec<(TenantId, Incarnation, Vec<u8>)>, VaultError> {
        let failed = || self.store.failed(doing);
        let mut statement =
            tx.prepare("SELECT tenant, incarnation, sealed FROM tenant_key").map_err(failed())?;
        let mut rows = statement.query([]).map_err(failed())?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next().map_err(failed())? {
            let tenant: String = row.get(0).map_err(failed())?;
            let tenant =
                TenantId::parse(&tenant).map_err(|_| self.damaged("a key of something that is no tenant"))?;
            let incarnation: i64 = row.get(1).map_err(failed())?;
            keys.push((tenant, Incarnation(incarnation.cast_unsigned()), row.get(2).map_err(failed())?));
        }
        Ok(keys)
    }
}

/// Refuses a master key that is not the vault's.
///
/// Every write asks: a key sealed under a master key that has been rotated away would be lost.
pub(super) fn check_master(
    store: &Store,
    tx: &Transaction<'_>,
    master: &MasterKey,
) -> Result<(), VaultError> {
    let sealed: Option<Vec<u8>> = tx
        .prepare_cached("SELECT sealed FROM master_check")
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)).optional())
        .map_err(store.failed("checking the master key"))?;
    match sealed.and_then(|sealed| seal::open(master.key(), &Label::check(), &sealed)) {
        Some(_) => Ok(()),
        None => Err(VaultError::WrongMasterKey { path: store.path().into() }),
    }
}
