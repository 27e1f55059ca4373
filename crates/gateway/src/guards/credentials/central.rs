//! The vault in the database of the state: the same sealed texts, under row-level security.
//!
//! Every transaction that touches a tenant's rows has named the tenant first, and what it reads is still opened with
//! labels that name tenant and life: the database keeps rows apart, the seals notice if it did not.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use futures_util::future::try_join;
use partywall_model::TenantId;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_postgres::{
    Transaction,
    types::{ToSql, Type},
};

use super::{
    MasterKey, SecretName, VaultError,
    seal::{self, Key, Label},
    vault::{CHECK_TEXT, Owner, SecretInfo, as_secret},
};
use crate::{
    admit::Incarnation,
    central::{Central, CentralError, name_tenant, write_alone},
    clock::Clock,
    tenants::TenantRecord,
};

/// Every tenant's secrets, in a database.
pub(super) struct CentralVault {
    central: Arc<Central>,
    master: RwLock<Arc<MasterKey>>,
    clock: Clock,
}

/// A tenant's life, for work that runs on another thread.
#[derive(Clone)]
struct Life {
    id: TenantId,
    incarnation: Incarnation,
    at: Arc<str>,
}

impl Life {
    fn owner(&self) -> Owner<'_> {
        Owner { id: &self.id, incarnation: self.incarnation }
    }

    fn key_error(&self) -> VaultError {
        VaultError::TenantKey { tenant: self.id.clone(), path: PathBuf::from(&*self.at) }
    }

    fn secret_error(&self, name: &SecretName) -> VaultError {
        VaultError::Secret { tenant: self.id.clone(), name: name.clone(), path: PathBuf::from(&*self.at) }
    }

    fn damaged(&self, what: &'static str) -> VaultError {
        VaultError::Damaged { path: PathBuf::from(&*self.at), what }
    }
}

fn failed(doing: &'static str) -> impl Fn(tokio_postgres::Error) -> VaultError {
    move |error| VaultError::Central(CentralError::sql(doing, &error))
}

impl CentralVault {
    pub(super) fn open(central: &Arc<Central>, master: MasterKey) -> Result<Self, VaultError> {
        const DOING: &str = "opening the vault";
        let check = seal::seal(master.key(), &Label::check(), CHECK_TEXT)?;
        let master = Arc::new(master);
        let (key, at) = (Arc::clone(&master), central.at());
        central.run(DOING, move |client| {
            Box::pin(async move {
                let tx = client.transaction().await.map_err(failed(DOING))?;
                tx.execute(
                    "INSERT INTO partywall.master_check (sealed) VALUES ($1) ON CONFLICT DO NOTHING",
                    &[&check],
                )
                .await
                .map_err(failed(DOING))?;
                check_master(&tx, &key, &at).await?;
                tx.commit().await.map_err(failed(DOING))
            })
        })?;
        Ok(Self { central: Arc::clone(central), master: RwLock::new(master), clock: Clock::system() })
    }

    pub(super) fn at(&self) -> String {
        self.central.at()
    }

    fn master(&self) -> Arc<MasterKey> {
        Arc::clone(&self.master.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn life(&self, owner: Owner<'_>) -> Life {
        Life { id: owner.id.clone(), incarnation: owner.incarnation, at: self.central.at().into() }
    }

    pub(super) fn set(
        &self,
        tenant: &TenantRecord,
        name: &SecretName,
        value: SecretString,
    ) -> Result<(), VaultError> {
        const DOING: &str = "storing a secret";
        let (life, master, name) = (self.life(Owner::of(tenant)), self.master(), name.clone());
        let now = self.clock.unix_seconds().cast_signed();
        self.central.run(DOING, move |client| {
            Box::pin(async move {
                let owner = life.owner();
                let tx = begin(client, DOING, &life).await?;
                check_master(&tx, &master, &life.at).await?;
                let key = key_for_writing(&tx, &master, &life).await?;
                let last: Option<i64> = tx
                    .query_opt(
                        "SELECT version FROM partywall.secret WHERE tenant = $1 AND incarnation = $2 AND name = $3",
                        &[&owner.id.as_str(), &owner.row(), &name.as_str()],
                    )
                    .await
                    .and_then(|row| row.map(|row| row.try_get(0)).transpose())
                    .map_err(failed(DOING))?;
                let version =
                    last.unwrap_or(0).checked_add(1).ok_or_else(|| life.damaged("a version out of range"))?;
                let sealed =
                    seal::seal(&key, &owner.secret_label(&name, version), value.expose_secret().as_bytes())?;
                tx.execute(
                    "INSERT INTO partywall.secret (tenant, incarnation, name, version, updated_at, sealed)
                     VALUES ($1, $2, $3, $4, $5, $6)
                     ON CONFLICT (tenant, incarnation, name) DO UPDATE
                         SET version = excluded.version, updated_at = excluded.updated_at, sealed = excluded.sealed",
                    &[&owner.id.as_str(), &owner.row(), &name.as_str(), &version, &now, &sealed],
                )
                .await
                .map_err(failed(DOING))?;
                tx.commit().await.map_err(failed(DOING))
            })
        })
    }

    pub(super) fn list(&self, tenant: &TenantRecord) -> Result<Vec<SecretInfo>, VaultError> {
        const DOING: &str = "listing the secrets of a tenant";
        let life = self.life(Owner::of(tenant));
        self.central.run(DOING, move |client| {
            Box::pin(async move {
                let tx = begin(client, DOING, &life).await?;
                Ok(rows(&tx, DOING, &life).await?.into_iter().map(|(info, _)| info).collect())
            })
        })
    }

    pub(super) fn remove(&self, tenant: &TenantRecord, name: &SecretName) -> Result<bool, VaultError> {
        const DOING: &str = "removing a secret";
        let (life, name) = (self.life(Owner::of(tenant)), name.clone());
        self.central.run(DOING, move |client| {
            Box::pin(async move {
                let owner = life.owner();
                let tx = begin(client, DOING, &life).await?;
                let removed = tx
                    .execute(
                        "DELETE FROM partywall.secret WHERE tenant = $1 AND incarnation = $2 AND name = $3",
                        &[&owner.id.as_str(), &owner.row(), &name.as_str()],
                    )
                    .await
                    .map_err(failed(DOING))?;
                tx.commit().await.map_err(failed(DOING))?;
                Ok(removed > 0)
            })
        })
    }

    pub(super) fn read(
        &self,
        owner: Owner<'_>,
        name: &SecretName,
    ) -> Result<Option<SecretString>, VaultError> {
        const DOING: &str = "reading a secret";
        let (life, master, name) = (self.life(owner), self.master(), name.clone());
        self.central.run(DOING, move |client| {
            Box::pin(async move {
                let owner = life.owner();
                let tx = client.transaction().await.map_err(failed(DOING))?;
                let (id, row, wanted) = (owner.id.as_str(), owner.row(), name.as_str());
                // One statement, so that the key and the secret are of the same moment; sent together with the tenant's name,
                // since each way to the database and back holds up whoever waits for the connection.
                let given: [(&(dyn ToSql + Sync), Type); 3] =
                    [(&id, Type::TEXT), (&row, Type::INT8), (&wanted, Type::TEXT)];
                let found = tx.query_typed(
                    "SELECT s.version, s.sealed, k.sealed
                     FROM partywall.secret AS s LEFT JOIN partywall.tenant_key AS k USING (tenant, incarnation)
                     WHERE s.tenant = $1 AND s.incarnation = $2 AND s.name = $3",
                    &given,
                );
                let (_named, found) =
                    try_join(name_tenant(&tx, id), found).await.map_err(failed(DOING))?;
                let Some(row) = found.first() else { return Ok(None) };
                let version: i64 = row.try_get(0).map_err(failed(DOING))?;
                let sealed: Vec<u8> = row.try_get(1).map_err(failed(DOING))?;
                let sealed_key: Option<Vec<u8>> = row.try_get(2).map_err(failed(DOING))?;
                let sealed_key = sealed_key.ok_or_else(|| life.key_error())?;
                let key = open_key(&tx, &master, &life, &sealed_key).await?;
                let bytes = seal::open(&key, &owner.secret_label(&name, version), &sealed);
                bytes
                    .and_then(|bytes| as_secret(&bytes))
                    .map(Some)
                    .ok_or_else(|| life.secret_error(&name))
            })
        })
    }

    pub(super) fn shred(&self, tenant: &TenantRecord) -> Result<(), VaultError> {
        const DOING: &str = "shredding the secrets of a tenant";
        let life = self.life(Owner::of(tenant));
        self.central.run(DOING, move |client| {
            Box::pin(async move {
                let owner = life.owner();
                let tx = begin(client, DOING, &life).await?;
                lock(&tx, DOING, &life).await?;
                for statement in [
                    "DELETE FROM partywall.tenant_key WHERE tenant = $1 AND incarnation = $2",
                    "DELETE FROM partywall.secret WHERE tenant = $1 AND incarnation = $2",
                    "INSERT INTO partywall.shredded (tenant, incarnation) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                ] {
                    tx.execute(statement, &[&owner.id.as_str(), &owner.row()]).await.map_err(failed(DOING))?;
                }
                tx.commit().await.map_err(failed(DOING))
            })
        })
    }

    pub(super) fn rotate_master(&self, new: MasterKey) -> Result<(), VaultError> {
        const DOING: &str = "rotating the master key";
        let mut held = self.master.write().unwrap_or_else(PoisonError::into_inner);
        let (old, new, at) = (Arc::clone(&held), Arc::new(new), Arc::<str>::from(self.central.at()));
        let check = seal::seal(new.key(), &Label::check(), CHECK_TEXT)?;
        let key = Arc::clone(&new);
        self.central.run(DOING, move |client| {
            Box::pin(async move {
                let tx = client.transaction().await.map_err(failed(DOING))?;
                write_alone(&tx, DOING).await?;
                // Alone, from here on: a first secret under the old key is there to be sealed anew, or comes after.
                tx.execute("SELECT FROM partywall.master_check FOR UPDATE", &[])
                    .await
                    .map_err(failed(DOING))?;
                check_master(&tx, &old, &at).await?;
                let tenants = tx
                    .query("SELECT id, incarnation FROM partywall.tenant", &[])
                    .await
                    .map_err(failed(DOING))?;
                for row in &tenants {
                    let id: String = row.try_get(0).map_err(failed(DOING))?;
                    let incarnation: i64 = row.try_get(1).map_err(failed(DOING))?;
                    let incarnation = Incarnation(incarnation.cast_unsigned());
                    let Ok(id) = TenantId::parse(&id) else { continue };
                    let life = Life { id, incarnation, at: Arc::clone(&at) };
                    name_tenant(&tx, life.id.as_str()).await.map_err(failed(DOING))?;
                    if let Some(sealed) = sealed_key(&tx, DOING, &life).await? {
                        let opened = open_key(&tx, &old, &life, &sealed).await?;
                        put_key(&tx, &key, &life, &opened).await?;
                    }
                }
                tx.execute("UPDATE partywall.master_check SET sealed = $1", &[&check])
                    .await
                    .map_err(failed(DOING))?;
                tx.commit().await.map_err(failed(DOING))
            })
        })?;
        *held = new;
        Ok(())
    }

    pub(super) fn rotate_tenant(&self, tenant: &TenantRecord) -> Result<(), VaultError> {
        const DOING: &str = "rotating the key of a tenant";
        let (life, master) = (self.life(Owner::of(tenant)), self.master());
        self.central.run(DOING, move |client| {
            Box::pin(async move {
                let owner = life.owner();
                let tx = begin(client, DOING, &life).await?;
                check_master(&tx, &master, &life.at).await?;
                let old = key_for_writing(&tx, &master, &life).await?;
                let new = Key::random()?;
                for (info, sealed) in rows(&tx, DOING, &life).await? {
                    let label = owner.secret_label(&info.name, info.version.cast_signed());
                    let text =
                        seal::open(&old, &label, &sealed).ok_or_else(|| life.secret_error(&info.name))?;
                    tx.execute(
                        "UPDATE partywall.secret SET sealed = $4
                         WHERE tenant = $1 AND incarnation = $2 AND name = $3",
                        &[
                            &owner.id.as_str(),
                            &owner.row(),
                            &info.name.as_str(),
                            &seal::seal(&new, &label, &text)?,
                        ],
                    )
                    .await
                    .map_err(failed(DOING))?;
                }
                put_key(&tx, &master, &life, &new).await?;
                tx.commit().await.map_err(failed(DOING))
            })
        })
    }
}

/// Begins a transaction that sees this tenant's rows.
async fn begin<'c>(
    client: &'c mut tokio_postgres::Client,
    doing: &'static str,
    life: &Life,
) -> Result<Transaction<'c>, VaultError> {
    let tx = client.transaction().await.map_err(failed(doing))?;
    name_tenant(&tx, life.id.as_str()).await.map_err(failed(doing))?;
    Ok(tx)
}

/// Refuses a master key that is not the vault's.
async fn check_master(tx: &Transaction<'_>, master: &MasterKey, at: &str) -> Result<(), VaultError> {
    // Shared, so that a rotation and a write that began before it exclude each other.
    let sealed: Option<Vec<u8>> = tx
        .query_opt("SELECT sealed FROM partywall.master_check FOR SHARE", &[])
        .await
        .and_then(|row| row.map(|row| row.try_get(0)).transpose())
        .map_err(failed("checking the master key"))?;
    match sealed.and_then(|sealed| seal::open(master.key(), &Label::check(), &sealed)) {
        Some(_) => Ok(()),
        None => Err(VaultError::OtherMasterKey { at: at.to_owned() }),
    }
}

/// A lock of this tenant's life, until the transaction ends: two first writes must not make two keys, and none comes after
/// the keys were shredded.
async fn lock(tx: &Transaction<'_>, doing: &'static str, life: &Life) -> Result<(), VaultError> {
    let locked = tx.execute("SELECT pg_advisory_xact_lock($1)", &[&life.owner().row()]).await;
    locked.map(|_row| ()).map_err(failed(doing))
}

async fn sealed_key(
    tx: &Transaction<'_>,
    doing: &'static str,
    life: &Life,
) -> Result<Option<Vec<u8>>, VaultError> {
    tx.query_opt(
        "SELECT sealed FROM partywall.tenant_key WHERE tenant = $1 AND incarnation = $2",
        &[&life.id.as_str(), &life.owner().row()],
    )
    .await
    .and_then(|row| row.map(|row| row.try_get(0)).transpose())
    .map_err(failed(doing))
}

/// The tenant's key; a new one for a tenant that has none. Whoever writes a tenant's secrets has its turn from here on.
async fn key_for_writing(tx: &Transaction<'_>, master: &MasterKey, life: &Life) -> Result<Key, VaultError> {
    const DOING: &str = "looking for a tenant's key";
    lock(tx, DOING, life).await?;
    let shredded: bool = tx
        .query_one(
            "SELECT EXISTS (SELECT FROM partywall.shredded WHERE tenant = $1 AND incarnation = $2)",
            &[&life.id.as_str(), &life.owner().row()],
        )
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed(DOING))?;
    if shredded {
        return Err(VaultError::Shredded(life.id.clone()));
    }
    if let Some(sealed) = sealed_key(tx, DOING, life).await? {
        return open_key(tx, master, life, &sealed).await;
    }
    let key = Key::random()?;
    put_key(tx, master, life, &key).await?;
    Ok(key)
}

/// Stores a tenant's key, over an earlier one.
async fn put_key(tx: &Transaction<'_>, master: &MasterKey, life: &Life, key: &Key) -> Result<(), VaultError> {
    let sealed = seal::seal(master.key(), &life.owner().key_label(), key.as_bytes())?;
    tx.execute(
        "INSERT INTO partywall.tenant_key (tenant, incarnation, sealed) VALUES ($1, $2, $3)
         ON CONFLICT (tenant, incarnation) DO UPDATE SET sealed = excluded.sealed",
        &[&life.id.as_str(), &life.owner().row(), &sealed],
    )
    .await
    .map(|_rows| ())
    .map_err(failed("storing a tenant's key"))
}

/// Opens a tenant's key as it is stored.
async fn open_key(
    tx: &Transaction<'_>,
    master: &MasterKey,
    life: &Life,
    sealed: &[u8],
) -> Result<Key, VaultError> {
    let opened = seal::open(master.key(), &life.owner().key_label(), sealed);
    match opened.and_then(|bytes| Key::from_slice(&bytes)) {
        Some(key) => Ok(key),
        None => {
            // Another process may have rotated the master key; that is the better explanation then.
            check_master(tx, master, &life.at).await?;
            Err(life.key_error())
        }
    }
}

/// The tenant's secrets as they are stored, by name.
async fn rows(
    tx: &Transaction<'_>,
    doing: &'static str,
    life: &Life,
) -> Result<Vec<(SecretInfo, Vec<u8>)>, VaultError> {
    let rows = tx
        .query(
            "SELECT name, version, updated_at, sealed FROM partywall.secret
             WHERE tenant = $1 AND incarnation = $2 ORDER BY name",
            &[&life.id.as_str(), &life.owner().row()],
        )
        .await
        .map_err(failed(doing))?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        let name: String = row.try_get(0).map_err(failed(doing))?;
        let info = SecretInfo {
            name: SecretName::parse(&name).map_err(|_| life.damaged("a secret without a proper name"))?,
            version: row.try_get::<_, i64>(1).map_err(failed(doing))?.cast_unsigned(),
            updated_at: row.try_get::<_, i64>(2).map_err(failed(doing))?.cast_unsigned(),
        };
        all.push((info, row.try_get(3).map_err(failed(doing))?));
    }
    Ok(all)
}
