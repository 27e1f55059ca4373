//! A permit that no guard gave.
use std::sync::Arc;

use partywall_gateway::admit::{Incarnation, Permit};
use partywall_model::{Principal, Scopes, TenantId};

fn main() {
    let principal = Principal {
        tenant: TenantId::parse("globex").unwrap(),
        issuer: "me".into(),
        subject: "me".into(),
        scopes: Scopes::default(),
    };
    let _bare = Permit(Arc::new(principal.clone()));
    let _fields = Permit { principal: Arc::new(principal), incarnation: Incarnation(1) };
}
