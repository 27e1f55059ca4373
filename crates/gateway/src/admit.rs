//! Mints the [`Permit`], the proof that every guard admitted a request; nothing else can.

use std::{fmt, sync::Arc, time::Instant};

use partywall_model::{Layer, Principal, TenantId};

use crate::{
    gateway::Services,
    guards::{
        capacity::Slot,
        disclosure::{Denial, Refused},
        state::Resident,
    },
    tenants::TenantDenial,
};

/// Which life of a tenant id this is; a tenant that is removed and added again has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// A number that names one request in the audit log and in error replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId(u64);

impl RequestId {
    pub(crate) fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Proof that every guard admitted this request.
///
/// The fields are private and there is one function that makes one (`admit`). What lies behind the guards takes a
/// permit, or a [`Cx`](crate::Cx) made from it, so code that has none cannot call it.
#[derive(Clone)]
pub struct Permit(Arc<Admitted>);

struct Admitted {
    principal: Arc<Principal>,
    resident: Arc<Resident>,
    services: Arc<Services>,
    request: RequestId,
    since: Instant,
    _slot: Slot,
}

impl Permit {
    /// The caller.
    #[must_use]
    pub fn principal(&self) -> &Arc<Principal> {
        &self.0.principal
    }

    /// The caller's tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.0.principal.tenant
    }

    /// Which life of the tenant id this is.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.0.resident.incarnation()
    }

    /// The number of the request.
    #[must_use]
    pub fn request(&self) -> RequestId {
        self.0.request
    }

    pub(crate) fn resident(&self) -> &Arc<Resident> {
        &self.0.resident
    }

    pub(crate) fn services(&self) -> &Arc<Services> {
        &self.0.services
    }

    /// A permit for unit tests of what lies behind the guards; each has memory and limits of its own.
    #[cfg(test)]
    pub(crate) fn for_test(tenant: &str, incarnation: u64) -> Self {
        use crate::guards::capacity::LimitTable;
        let principal = Principal {
            tenant: TenantId::parse(tenant).expect("a tenant id"),
            issuer: "test".into(),
            subject: "tester".into(),
            scopes: partywall_model::Scopes::default(),
        };
        let limits = LimitTable::new(&crate::config::Capacity::default()).of(&principal.tenant);
        let resident = Arc::new(Resident::new(Incarnation(incarnation), limits));
        let slot = resident.capacity().admit().expect("room");
        Self(Arc::new(Admitted {
            principal: Arc::new(principal),
            resident,
            services: crate::gateway::for_test(),
            request: RequestId::new(0),
            since: Instant::now(),
            _slot: slot,
        }))
    }

    pub(crate) fn since(&self) -> Instant {
        self.0.since
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({} {})", self.tenant(), self.request())
    }
}

/// Asks the guards that decide about a verified caller, in order, and mints its permit.
///
/// The caller's token was verified before (`guards::identity`); here the tenant must exist and be active *now*, and
/// have room for one more call.
///
/// # Errors
/// The first guard's denial. A guard that cannot tell denies.
pub(crate) fn admit(
    services: &Arc<Services>,
    principal: Arc<Principal>,
    request: RequestId,
) -> Result<Permit, Denial> {
    // Suspension and removal take effect here, whatever the token says and however it was cached.
    let incarnation = services
        .registry
        .active(&principal.tenant)
        .map_err(|why| turned_away(services, &principal.tenant, why))?;
    let resident = services.residents.of(&principal.tenant, incarnation);
    // Below identity, since only a tenant that exists may use up its own allowance.
    let slot = resident.capacity().admit()?;
    let admitted = Admitted {
        principal,
        resident,
        services: Arc::clone(services),
        request,
        since: Instant::now(),
        _slot: slot,
    };
    Ok(Permit(Arc::new(admitted)))
}

/// Unknown, suspended and removed look like a bad token: a token tells nobody which tenants exist.
fn turned_away(services: &Services, tenant: &TenantId, why: TenantDenial) -> Denial {
    let challenge = Refused::Unauthenticated(services.identity.rejected());
    let denial = Denial::new(Layer::Identity, why.reason(), challenge);
    match why {
        TenantDenial::Suspended | TenantDenial::Unavailable => denial,
        TenantDenial::Unknown | TenantDenial::Removed => {
            services.forget(tenant);
            denial.into_stranger()
        }
    }
}
