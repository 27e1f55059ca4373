//! The registry: what can be asked and changed, wherever the tenants are kept.

use std::{path::Path, sync::Arc};

use partywall_model::TenantId;

use super::{
    Life, RegistryError, TenantDenial, TenantRecord, TenantState, central::CentralTenants, file::FileTenants,
};
use crate::{
    admit::Incarnation,
    central::Central,
    config::{Config, Driver},
};

/// Words that programs write when they have no tenant; the model refuses `null` and its like, and `*`.
const RESERVED: [&str; 2] = ["default", "0"];

/// All tenants, shared with other processes: through one file, or through a database.
#[derive(Debug)]
pub struct Registry(pub(super) Kept);

/// Where tenants are kept.
#[derive(Debug)]
pub(super) enum Kept {
    File(Box<FileTenants>),
    Central(CentralTenants),
}

impl Registry {
    /// Opens the registry of a data folder; makes both when there are none.
    ///
    /// # Errors
    /// A file that is damaged, unreadable or of another program is refused and not changed.
    pub fn open(data_dir: &Path) -> Result<Self, RegistryError> {
        FileTenants::open(data_dir).map(|file| Self(Kept::File(Box::new(file))))
    }

    /// The registry in the database of the state.
    pub(crate) fn central(central: &Arc<Central>) -> Self {
        Self(Kept::Central(CentralTenants::new(Arc::clone(central))))
    }

    /// Gets ready for [`Registry::active`]: a registry in a database is read into memory and kept true from now on.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn attend(&self) -> Result<(), RegistryError> {
        match &self.0 {
            Kept::File(_) => Ok(()),
            Kept::Central(central) => central.attend(),
        }
    }

    /// The incarnation of an active tenant, as of this moment: a change that any process has committed and reported as
    /// done is seen.
    ///
    /// # Errors
    /// Everybody else is denied; so is everybody while the registry cannot be read.
    pub fn active(&self, id: &TenantId) -> Result<Incarnation, TenantDenial> {
        self.life(id).map(|life| life.incarnation)
    }

    /// The same, with what tells a credential of this life from one of an earlier life.
    pub(crate) fn life(&self, id: &TenantId) -> Result<Life, TenantDenial> {
        match &self.0 {
            Kept::File(file) => file.life(id),
            Kept::Central(central) => central.life(id),
        }
    }

    /// Makes something of a tenant's own on this machine while this life of it lasts: no removal is under way, and none
    /// begins before `make` has returned. `None` when this life has ended, or the tenant is suspended and `make` is not
    /// the operator's.
    ///
    /// # Errors
    /// The registry cannot tell.
    pub(crate) fn while_it_lives<T>(
        &self,
        id: &TenantId,
        life: Incarnation,
        by_operator: bool,
        make: impl FnOnce() -> T,
    ) -> Result<Option<T>, RegistryError> {
        match &self.0 {
            Kept::File(file) => file.while_it_lives(id, life, by_operator, make),
            // A removal has nothing to delete on this machine.
            Kept::Central(central) => {
                Ok(central.life(id).is_ok_and(|now| now.incarnation == life).then(make))
            }
        }
    }

    /// Whether the registry can be read now, and if not, why.
    ///
    /// # Errors
    /// What every request is denied for.
    pub fn check(&self) -> Result<(), RegistryError> {
        match &self.0 {
            Kept::File(file) => file.check(),
            Kept::Central(central) => central.check(),
        }
    }

    /// What is to be known of a registry in a database, in the Prometheus text format.
    pub(crate) fn render(&self) -> String {
        match &self.0 {
            Kept::File(_) => String::new(),
            Kept::Central(central) => central.render(),
        }
    }

    /// How many tenants there are, in any state.
    ///
    /// # Errors
    /// The registry cannot be read.
    pub fn len(&self) -> Result<usize, RegistryError> {
        match &self.0 {
            Kept::File(file) => file.len(),
            Kept::Central(central) => central.len(),
        }
    }

    /// Whether there is no tenant.
    ///
    /// # Errors
    /// The registry cannot be read.
    pub fn is_empty(&self) -> Result<bool, RegistryError> {
        Ok(self.len()? == 0)
    }

    /// Adds a tenant.
    ///
    /// # Errors
    /// Refused are an id that is taken in any spelling or still being removed, a word that stands for an absent
    /// tenant, and an id whose folder exists already.
    pub fn add(&self, id: &TenantId) -> Result<TenantRecord, RegistryError> {
        let added = self.add_many(std::slice::from_ref(id))?;
        added.into_iter().next().ok_or_else(|| RegistryError::NotFound(id.clone()))
    }

    /// Adds many tenants, all or none.
    ///
    /// # Errors
    /// As for [`Registry::add`].
    pub fn add_many(&self, ids: &[TenantId]) -> Result<Vec<TenantRecord>, RegistryError> {
        for id in ids {
            if RESERVED.iter().any(|word| id.as_str().eq_ignore_ascii_case(word)) {
                return Err(RegistryError::Reserved(id.clone()));
            }
        }
        match &self.0 {
            Kept::File(file) => file.add_many(ids),
            Kept::Central(central) => central.add_many(ids),
        }
    }

    /// The first of the ids that has had a life before and was removed; rows of that life may still be in a database that
    /// this program has no right to delete from.
    ///
    /// # Errors
    /// The registry cannot be read.
    pub fn removed_before(&self, ids: &[TenantId]) -> Result<Option<TenantId>, RegistryError> {
        match &self.0 {
            Kept::File(file) => file.removed_before(ids),
            Kept::Central(central) => central.removed_before(ids),
        }
    }

    /// Adds tenants to a server whose databases do not forget: as [`Registry::add_many`], but an id that was removed
    /// before is refused while `config` has a PostgreSQL source, since the policies would show the new tenant the rows
    /// of the old one.
    ///
    /// # Errors
    /// As for [`Registry::add`], and [`RegistryError::HadRows`].
    pub fn add_new(&self, config: &Config, ids: &[TenantId]) -> Result<Vec<TenantRecord>, RegistryError> {
        let shared = config.data.iter().find(|(_, source)| source.driver == Driver::Postgres);
        if let Some((source, _)) = shared
            && let Some(id) = self.removed_before(ids)?
        {
            return Err(RegistryError::HadRows { id, source_name: source.clone() });
        }
        self.add_many(ids)
    }

    /// Every tenant, by id.
    ///
    /// # Errors
    /// The registry cannot be read.
    pub fn list(&self) -> Result<Vec<TenantRecord>, RegistryError> {
        match &self.0 {
            Kept::File(file) => file.list(),
            Kept::Central(central) => central.list(),
        }
    }

    /// One tenant, in any state.
    ///
    /// # Errors
    /// The registry cannot be read.
    pub fn get(&self, id: &TenantId) -> Result<Option<TenantRecord>, RegistryError> {
        match &self.0 {
            Kept::File(file) => file.get(id),
            Kept::Central(central) => central.get(id),
        }
    }

    /// Denies the tenant from the next request on, in every process.
    ///
    /// # Errors
    /// There is no such tenant, or it is being removed.
    pub fn suspend(&self, id: &TenantId) -> Result<TenantRecord, RegistryError> {
        self.change("suspending", id, TenantState::Suspended)
    }

    /// Admits a suspended tenant again.
    ///
    /// # Errors
    /// There is no such tenant, or it is being removed.
    pub fn resume(&self, id: &TenantId) -> Result<TenantRecord, RegistryError> {
        self.change("resuming", id, TenantState::Active)
    }

    /// Denies the tenant for good, as the first step of its removal; see [`remove_tenant`](super::remove_tenant).
    ///
    /// # Errors
    /// There is no such tenant.
    pub fn begin_removal(&self, id: &TenantId) -> Result<TenantRecord, RegistryError> {
        self.change("beginning the removal of", id, TenantState::Removing)
    }

    fn change(
        &self,
        verb: &'static str,
        id: &TenantId,
        state: TenantState,
    ) -> Result<TenantRecord, RegistryError> {
        match &self.0 {
            Kept::File(file) => file.change(verb, id, state),
            Kept::Central(central) => central.change(verb, id, state),
        }
    }

    /// Forgets a tenant whose removal has begun; fine when it is forgotten already.
    ///
    /// # Errors
    /// The removal has not begun.
    pub fn finish_removal(&self, id: &TenantId) -> Result<(), RegistryError> {
        match self.get(id)? {
            Some(record) => self.forget(&record),
            None => Ok(()),
        }
    }

    /// Forgets this life of a tenant, and no later one.
    pub(super) fn forget(&self, record: &TenantRecord) -> Result<(), RegistryError> {
        match &self.0 {
            Kept::File(file) => file.forget(record),
            Kept::Central(central) => central.forget(record),
        }
    }
}

#[cfg(test)]
impl Registry {
    pub(super) fn file(&self) -> &FileTenants {
        match &self.0 {
            Kept::File(file) => file,
            Kept::Central(_) => panic!("the registry is not in a file"),
        }
    }
}
