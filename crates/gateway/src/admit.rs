//! Mints the [`Permit`], the proof that every guard admitted a request; nothing else can.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use partywall_model::{Layer, Principal, TenantId};

use crate::{
    gateway::Services,
    guards::{
        capacity::{Slot, seats::Seat},
        disclosure::{Denial, Refused},
        identity::Verified,
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
    /// When the caller's token ends, in seconds since 1970.
    expires_at: u64,
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
        Self::for_test_until(tenant, incarnation, u64::MAX)
    }

    /// The same for a caller whose token ends.
    #[cfg(test)]
    pub(crate) fn for_test_until(tenant: &str, incarnation: u64, expires_at: u64) -> Self {
        use futures_util::FutureExt;
        let principal = Principal {
            tenant: TenantId::parse(tenant).expect("a tenant id"),
            issuer: "test".into(),
            subject: "tester".into(),
            scopes: partywall_model::Scopes::default(),
        };
        let services = crate::gateway::for_test();
        let limits = services.limits.of(&principal.tenant);
        let resident = Arc::new(Resident::new(Incarnation(incarnation), limits, services.limits.revision()));
        let room = crate::guards::capacity::gate::Gate::new(1);
        let slot = resident.capacity().admit(&room).now_or_never().and_then(Result::ok).expect("room");
        Self(Arc::new(Admitted {
            principal: Arc::new(principal),
            resident,
            services,
            request: RequestId::new(0),
            since: Instant::now(),
            expires_at,
            _slot: slot,
        }))
    }

    pub(crate) fn since(&self) -> Instant {
        self.0.since
    }

    /// Asks again what admitted the request, for what begins later than right then: the tenant is active, in the same
    /// life, and the caller's token has not ended.
    ///
    /// # Errors
    /// The denial that a new request would get.
    pub(crate) fn still(&self) -> Result<(), Denial> {
        still(self.services(), self.tenant(), self.incarnation(), self.0.expires_at)
    }

    /// What a call is answered whose tenant was suspended or removed while it ran, where it cannot go on without it.
    pub(crate) fn ended(&self) -> Denial {
        self.still().err().unwrap_or_else(|| ended(self.services()))
    }

    /// When a call must have ended that may take so long: not after the caller's token.
    pub(crate) fn deadline(&self, time: Duration) -> Instant {
        let left = Duration::from_secs(self.0.expires_at).saturating_sub(self.services().clock.since_epoch());
        earlier(self.since() + time, Instant::now().checked_add(left))
    }
}

/// The earlier of two instants, of which the second may be too far away to exist.
fn earlier(deadline: Instant, end: Option<Instant>) -> Instant {
    end.map_or(deadline, |end| deadline.min(end))
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({} {})", self.tenant(), self.request())
    }
}

/// Asks the guards that decide about a verified caller, in order, and mints its permit.
///
/// The caller's token was verified before (`guards::identity`); here the tenant must exist and be active *now*, and
/// have room for one more call, for which the call may wait a little. `seat` is the connection that it came on.
///
/// # Errors
/// The first guard's denial. A guard that cannot tell denies.
pub(crate) async fn admit(
    services: &Arc<Services>,
    verified: &Verified,
    seat: Option<&Arc<Seat>>,
    request: RequestId,
) -> Result<Permit, Denial> {
    let principal = &verified.principal;
    // Suspension and removal take effect here, whatever the token says and however it was cached.
    let life = services.registry.life(&principal.tenant);
    let life = life.map_err(|why| turned_away(services, &principal.tenant, why))?;
    let own = life.accepts(verified.issued);
    #[cfg(test)]
    let own = own || crate::removed::removed("own-life");
    if !own {
        return Err(of_earlier_life(services));
    }
    let incarnation = life.incarnation;
    let came = Instant::now();
    let resident = services.residents.of(&principal.tenant, incarnation, &services.limits, came);
    // Below identity, since only a tenant that exists may use up its own allowance.
    if let Some(seat) = seat {
        seat.take(&principal.tenant, resident.limits().connections)?;
    }
    let slot = resident.capacity().admit(&services.gate).await?;
    let mut since = came;
    if slot.waited() {
        // A call that waited is admitted as of now, or not at all.
        since = Instant::now();
        still(services, &principal.tenant, incarnation, verified.expires_at)?;
    }
    let admitted = Admitted {
        principal: Arc::clone(principal),
        resident,
        services: Arc::clone(services),
        request,
        since,
        expires_at: verified.expires_at,
        _slot: slot,
    };
    Ok(Permit(Arc::new(admitted)))
}

/// Whether this life of the tenant is active now, and a token that ends then has not ended.
fn still(
    services: &Services,
    tenant: &TenantId,
    incarnation: Incarnation,
    expires_at: u64,
) -> Result<(), Denial> {
    let now = services.registry.active(tenant).map_err(|why| turned_away(services, tenant, why))?;
    if now == incarnation && expires_at > services.clock.unix_seconds() {
        Ok(())
    } else {
        Err(ended(services))
    }
}

fn ended(services: &Services) -> Denial {
    let challenge = Refused::Unauthenticated(services.identity.rejected());
    Denial::new(Layer::Identity, "ended-while-waiting", challenge)
}

/// What an earlier tenant of the id was given is no credential of this one; nor does it stand in this one's log.
fn of_earlier_life(services: &Services) -> Denial {
    let challenge = Refused::Unauthenticated(services.identity.rejected());
    Denial::new(Layer::Identity, "earlier-life", challenge).into_stranger()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_does_not_outlive_its_token() {
        let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
        let now = crate::clock::Clock::system().unix_seconds();
        let short = Permit::for_test_until("acme", 1, now + 60);
        assert!(short.deadline(hour) <= Instant::now() + minute);
        assert!(short.deadline(hour) > Instant::now() + minute / 2);
        assert_eq!(short.deadline(minute / 60), short.since() + minute / 60, "a call's own time is shorter");
        assert!(Permit::for_test_until("acme", 1, now).deadline(hour) <= Instant::now());
        let endless = Permit::for_test("acme", 1);
        assert_eq!(endless.deadline(hour), endless.since() + hour);
    }
}
