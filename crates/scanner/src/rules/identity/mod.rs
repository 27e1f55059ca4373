//! Rules of the identity layer.

crate::rules::rules! { tenant_from_input, unverified_token }
