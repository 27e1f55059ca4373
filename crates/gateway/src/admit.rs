//! Runs the guards in order and mints the [`Permit`]; nothing else can.

use std::sync::Arc;

use partywall_model::{Principal, TenantId};

/// Which life of a tenant id this is; a tenant that is removed and added again has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// Proof that every guard admitted this request. Its fields are private and it is minted in one function.
pub struct Permit {
    principal: Arc<Principal>,
    incarnation: Incarnation,
}

impl Permit {
    /// The caller.
    #[must_use]
    pub fn principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// The caller's tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.principal.tenant
    }

    /// Which life of the tenant id this is.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// A permit for unit tests of what lies behind the guards.
    #[cfg(test)]
    pub(crate) fn for_test(tenant: &str, incarnation: u64) -> Self {
        let principal = Principal {
            tenant: TenantId::parse(tenant).expect("a tenant id"),
            issuer: "test".into(),
            subject: "tester".into(),
            scopes: partywall_model::Scopes::default(),
        };
        Self {
            principal: Arc::new(principal),
            incarnation: Incarnation(incarnation),
        }
    }
}
