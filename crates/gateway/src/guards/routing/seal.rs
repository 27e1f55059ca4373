//! Handles that a client hands back, sealed to the principal they were made for.
//!
//! XChaCha20-Poly1305 under a key that lives as long as the process. The associated data holds who may hand the
//! handle back, and for what; a handle of anybody else, of another tool or of other arguments does not open, and
//! cannot be told from a forged one.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use partywall_model::Layer;

use crate::{
    admit::Permit,
    clock::Clock,
    guards::disclosure::{Denial, Refused},
    turn::Turn,
};

/// What a handle is bound to, as bytes that no two different bindings share.
pub(crate) struct Binding(Vec<u8>);

impl Binding {
    fn new(permit: &Permit, kind: &str, parts: &[&[u8]]) -> Self {
        let principal = permit.principal();
        let incarnation = permit.incarnation().0.to_be_bytes();
        let mut bytes = Vec::with_capacity(160);
        #[cfg(test)]
        if crate::removed::removed("sealed-handles") {
            // Sealed, and to nobody.
            bytes.extend_from_slice(kind.as_bytes());
            return Self(bytes);
        }
        let fixed: [&[u8]; 5] = [
            kind.as_bytes(),
            principal.issuer.as_bytes(),
            principal.subject.as_bytes(),
            principal.tenant.as_str().as_bytes(),
            &incarnation,
        ];
        for part in fixed.iter().chain(parts) {
            // A length before each part, so that moving a byte from one to the next gives another binding.
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        Self(bytes)
    }

    /// Binds to the principal, the tool and its arguments.
    pub(crate) fn of_call(permit: &Permit, turn: &Turn) -> Self {
        Self::new(permit, "state", &[turn.tool.as_bytes(), &turn.arguments_digest])
    }

    /// Binds to the principal and the list that the cursor goes through.
    pub(crate) fn of_list(permit: &Permit, method: &str) -> Self {
        Self::new(permit, "cursor", &[method.as_bytes()])
    }
}

/// Seals and opens handles.
pub(crate) struct Sealer {
    cipher: XChaCha20Poly1305,
    clock: Clock,
}

/// The process could not get random bytes from the system.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system gives no random bytes")]
pub(crate) struct NoRandomness;

impl Sealer {
    const NONCE: usize = 24;
    const STATE_SECONDS: u64 = 600;
    const CURSOR_SECONDS: u64 = 3600;
    /// The longest handle that is looked at.
    const MAX_TEXT: usize = 64 * 1024;

    pub(crate) fn new(clock: Clock) -> Result<Self, NoRandomness> {
        let mut key = zeroize::Zeroizing::new([0_u8; 32]);
        getrandom::fill(key.as_mut_slice()).map_err(|_error| NoRandomness)?;
        let key: &Key = (&*key).into();
        Ok(Self { cipher: XChaCha20Poly1305::new(key), clock })
    }

    /// Seals the state of a multi-round call; it is good for ten minutes.
    pub(crate) fn seal_state(&self, binding: &Binding, state: &str) -> Result<String, Denial> {
        self.seal(binding, state, Self::STATE_SECONDS)
    }

    /// Seals a list's position; it is good for an hour.
    pub(crate) fn seal_cursor(&self, binding: &Binding, position: &str) -> Result<String, Denial> {
        self.seal(binding, position, Self::CURSOR_SECONDS)
    }

    fn seal(&self, binding: &Binding, text: &str, seconds: u64) -> Result<String, Denial> {
        let failed = || Denial::new(Layer::Routing, "seal-failed", Refused::Failed);
        let mut nonce = [0_u8; Self::NONCE];
        getrandom::fill(&mut nonce).map_err(|_error| failed())?;
        // The key ends with the process, and a wall clock that is set back must not make a handle good again.
        let until = self.clock.steady_seconds().saturating_add(seconds).to_be_bytes();
        let plain = [until.as_slice(), text.as_bytes()].concat();
        let payload = Payload { msg: &plain, aad: &binding.0 };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_error| failed())?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// Opens a handle; every way to fail is the same denial.
    pub(crate) fn open(&self, binding: &Binding, handle: &str) -> Result<String, Denial> {
        self.try_open(binding, handle)
            .ok_or_else(|| Denial::new(Layer::Routing, "handle-does-not-open", Refused::Handle))
    }

    fn try_open(&self, binding: &Binding, handle: &str) -> Option<String> {
        if handle.len() > Self::MAX_TEXT {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(handle).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<{ Self::NONCE }>()?;
        let payload = Payload { msg: sealed, aad: &binding.0 };
        let plain = self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?;
        let (until, text) = plain.split_first_chunk::<8>()?;
        if u64::from_be_bytes(*until) <= self.clock.steady_seconds() {
            return None;
        }
        String::from_utf8(text.to_vec()).ok()
    }
}
