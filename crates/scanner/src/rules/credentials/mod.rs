//! Rules of the layer credentials.

crate::rules::rules! { credential_fallback, shared_credential }
