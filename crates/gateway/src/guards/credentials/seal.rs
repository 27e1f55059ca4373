//! Sealing: XChaCha20-Poly1305 with a random nonce, and labels that say what a sealed text is.

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use partywall_model::TenantId;
use zeroize::Zeroizing;

use super::{SecretName, VaultError};
use crate::admit::Incarnation;

/// The first byte of a sealed text: which algorithm sealed it.
const VERSION: u8 = 1;
const NONCE_LEN: usize = 24;

/// A 32-byte key; on the heap, so that moving it leaves no copies behind.
pub(super) struct Key(Box<Zeroizing<[u8; Key::LEN]>>);

impl Key {
    pub(super) const LEN: usize = 32;

    pub(super) fn random() -> Result<Self, VaultError> {
        let mut key = Self(Box::default());
        getrandom::fill(key.0.as_mut_slice()).map_err(VaultError::Random)?;
        Ok(key)
    }

    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::LEN {
            return None;
        }
        let mut key = Self(Box::default());
        key.0.copy_from_slice(bytes);
        Some(key)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        let key: &[u8; Self::LEN] = &self.0;
        XChaCha20Poly1305::new(key.into())
    }
}

/// What a sealed text is and whom it belongs to: its associated data.
pub(super) struct Label(Vec<u8>);

impl Label {
    /// The text that shows whether a master key is the vault's.
    pub(super) fn check() -> Self {
        Self::of(&[b"partywall vault: check"])
    }

    /// A tenant's key under the master key.
    pub(super) fn tenant_key(tenant: &TenantId, incarnation: Incarnation) -> Self {
        Self::of(&[b"partywall vault: tenant key", tenant.as_str().as_bytes(), &incarnation.0.to_be_bytes()])
    }

    /// A secret under its tenant's key.
    pub(super) fn secret(
        tenant: &TenantId,
        incarnation: Incarnation,
        name: &SecretName,
        version: u64,
    ) -> Self {
        Self::of(&[
            b"partywall vault: secret",
            tenant.as_str().as_bytes(),
            &incarnation.0.to_be_bytes(),
            name.as_str().as_bytes(),
            &version.to_be_bytes(),
        ])
    }

    /// A reply of a tool, as it is kept outside the process; `of` says which one.
    pub(super) fn reply(tenant: &TenantId, incarnation: Incarnation, of: [&[u8]; 4]) -> Self {
        let [tool, declaration, caller, arguments] = of;
        Self::of(&[
            b"partywall reply",
            tenant.as_str().as_bytes(),
            &incarnation.0.to_be_bytes(),
            tool,
            declaration,
            caller,
            arguments,
        ])
    }

    /// What is kept outside the process for one life of a tenant.
    pub(super) fn replies(tenant: &TenantId, incarnation: Incarnation) -> Self {
        Self::of(&[b"partywall replies", tenant.as_str().as_bytes(), &incarnation.0.to_be_bytes()])
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Each part with its length before it, so that no two lists of parts give the same bytes.
    fn of(parts: &[&[u8]]) -> Self {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        Self(bytes)
    }
}

/// Seals a text: version, nonce, ciphertext with its tag.
pub(super) fn seal(key: &Key, label: &Label, text: &[u8]) -> Result<Vec<u8>, VaultError> {
    let mut nonce = [0_u8; NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(VaultError::Random)?;
    let payload = Payload { msg: text, aad: &label.0 };
    // It fails for texts of 256 GiB only; for those there is no better word.
    let sealed = key
        .cipher()
        .encrypt(&XNonce::from(nonce), payload)
        .map_err(|_| VaultError::Random(getrandom::Error::UNEXPECTED))?;
    let mut out = Vec::with_capacity(1 + NONCE_LEN + sealed.len());
    out.push(VERSION);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&sealed);
    Ok(out)
}

/// Opens a sealed text; nothing for any other key, label or change of a bit.
pub(super) fn open(key: &Key, label: &Label, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (&version, rest) = sealed.split_first()?;
    if version != VERSION {
        return None;
    }
    let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
    let payload = Payload { msg: rest, aad: &label.0 };
    let text = key.cipher().decrypt(&XNonce::from(*nonce), payload).ok()?;
    Some(Zeroizing::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> TenantId {
        TenantId::parse(text).expect("a tenant id")
    }

    #[test]
    fn every_changed_or_missing_byte_is_seen() {
        let key = Key::random().expect("random");
        let label = Label::tenant_key(&id("acme"), Incarnation(7));
        let sealed = seal(&key, &label, b"text").expect("sealed");
        assert_eq!(open(&key, &label, &sealed).expect("opens").as_slice(), b"text");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&key, &label, &changed).is_none(), "byte {at}");
            assert!(open(&key, &label, &sealed[..at]).is_none(), "cut at {at}");
        }
        assert!(open(&Key::random().expect("random"), &label, &sealed).is_none());
    }

    #[test]
    fn no_two_owners_share_a_label() {
        let name = |text| SecretName::parse(text).expect("a name");
        let labels = [
            Label::check(),
            Label::tenant_key(&id("a"), Incarnation(1)),
            Label::tenant_key(&id("a"), Incarnation(2)),
            Label::tenant_key(&id("a1"), Incarnation(1)),
            Label::secret(&id("a"), Incarnation(1), &name("bc"), 1),
            Label::secret(&id("ab"), Incarnation(1), &name("c"), 1),
            Label::secret(&id("a"), Incarnation(1), &name("bc"), 2),
            Label::secret(&id("a"), Incarnation(2), &name("bc"), 1),
            Label::replies(&id("a"), Incarnation(1)),
            Label::reply(&id("a"), Incarnation(1), [b"t", b"d", b"", b"{}"]),
            Label::reply(&id("b"), Incarnation(1), [b"t", b"d", b"", b"{}"]),
            Label::reply(&id("a"), Incarnation(2), [b"t", b"d", b"", b"{}"]),
            Label::reply(&id("a"), Incarnation(1), [b"td", b"", b"", b"{}"]),
            Label::reply(&id("a"), Incarnation(1), [b"t", b"", b"d", b"{}"]),
            Label::reply(&id("a"), Incarnation(1), [b"t", b"d", b"{}", b""]),
        ];
        for (i, a) in labels.iter().enumerate() {
            for (j, b) in labels.iter().enumerate() {
                assert_eq!(a.0 == b.0, i == j, "{i} {j}");
            }
        }
    }

    #[test]
    fn the_same_text_is_never_sealed_the_same_way() {
        let key = Key::random().expect("random");
        let label = Label::check();
        assert_ne!(
            seal(&key, &label, b"text").expect("sealed"),
            seal(&key, &label, b"text").expect("sealed")
        );
    }
}
