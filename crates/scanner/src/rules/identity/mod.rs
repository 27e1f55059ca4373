//! Rules of the identity layer.

crate::rules::rules! { overridden_tenant, tenant_from_input, unverified_token }
