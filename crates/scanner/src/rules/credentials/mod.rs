//! Rules of the layer credentials.

crate::rules::rules! { credential_fallback, credential_of_anybody, environment_credential, shared_credential }
