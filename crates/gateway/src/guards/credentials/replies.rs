//! Replies that several processes share, sealed to tenant, life, tool and caller.
//!
//! The keys are derived from the master key, so that processes which have the same vault open each other's replies and
//! nobody else does. What a reply belongs to is authenticated with it, and names it outside, by a keyed hash.

use aws_lc_rs::hmac;
use partywall_model::TenantId;

use super::{
    MasterKey,
    seal::{self, Key, Label},
};
use crate::admit::Incarnation;

/// How much longer a sealed text is than what was sealed: version, nonce, tag.
pub(crate) const OVERHEAD: usize = 1 + 24 + 16;
/// How much of a hash names something: 128 bits.
const NAME_LEN: usize = 16;

/// Which reply it is.
#[derive(Clone, Copy)]
pub(crate) struct ReplyName<'n> {
    pub(crate) tenant: &'n TenantId,
    pub(crate) life: Incarnation,
    pub(crate) tool: &'n str,
    /// A digest of how the tool is declared: a reply that another declaration gave is not found.
    pub(crate) declaration: &'n [u8],
    /// Whose it is within the tenant; empty for all of the tenant's callers.
    pub(crate) caller: &'n str,
    /// The arguments in canonical form.
    pub(crate) arguments: &'n str,
}

impl ReplyName<'_> {
    fn label(&self) -> Label {
        let of: [&[u8]; 4] =
            [self.tool.as_bytes(), self.declaration, self.caller.as_bytes(), self.arguments.as_bytes()];
        let (tenant, life) = whose(self.tenant, self.life);
        Label::reply(tenant, life, of)
    }
}

/// Whose replies they are; where the tests have taken the guard out, the first tenant's.
fn whose(tenant: &TenantId, life: Incarnation) -> (&TenantId, Incarnation) {
    #[cfg(test)]
    if crate::removed::removed("sealed-replies") {
        static FIRST: std::sync::OnceLock<TenantId> = std::sync::OnceLock::new();
        return (FIRST.get_or_init(|| tenant.clone()), Incarnation(0));
    }
    (tenant, life)
}

/// The keys that replies are named with and sealed under.
pub(crate) struct ReplyKeys {
    seal: Key,
    name: hmac::Key,
}

impl ReplyKeys {
    /// The keys of everybody who has this master key.
    pub(crate) fn new(master: &MasterKey) -> Option<Self> {
        let name = master.derive("partywall shared replies: names")?;
        Some(Self {
            seal: master.derive("partywall shared replies: seal")?,
            name: hmac::Key::new(hmac::HMAC_SHA256, name.as_bytes()),
        })
    }

    /// What names a reply outside; it tells nothing of the reply.
    pub(crate) fn name(&self, of: &ReplyName<'_>) -> String {
        self.hash(&of.label())
    }

    /// What names one life of a tenant outside.
    pub(crate) fn group(&self, tenant: &TenantId, life: Incarnation) -> String {
        let (tenant, life) = whose(tenant, life);
        self.hash(&Label::replies(tenant, life))
    }

    fn hash(&self, label: &Label) -> String {
        let hash = hmac::sign(&self.name, label.as_bytes());
        hex::encode(hash.as_ref().get(..NAME_LEN).unwrap_or_default())
    }

    /// Seals a reply; nothing when the system gives no random numbers.
    pub(crate) fn seal(&self, of: &ReplyName<'_>, text: &[u8]) -> Option<Vec<u8>> {
        seal::seal(&self.seal, &of.label(), text).ok()
    }

    /// Opens a reply; nothing for any other name or key, or a change of a bit.
    pub(crate) fn open(&self, of: &ReplyName<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        seal::open(&self.seal, &of.label(), sealed).map(|text| text.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply opens under its own name and no other: each part of it counts. (With `self.tenant` left out of `label`,
    /// or the life, or the tool, this fails, and so do `cache::shared::tests`.)
    #[test]
    fn a_reply_opens_for_the_tenant_life_tool_and_caller_that_it_was_sealed_for() {
        let master = MasterKey::generate().unwrap();
        let (keys, again) = (ReplyKeys::new(&master).unwrap(), ReplyKeys::new(&master).unwrap());
        let (acme, globex) = (TenantId::parse("acme").unwrap(), TenantId::parse("globex").unwrap());
        let own = ReplyName {
            tenant: &acme,
            life: Incarnation(7),
            tool: "profile",
            declaration: b"one",
            caller: "",
            arguments: "{}",
        };
        let sealed = keys.seal(&own, b"text").unwrap();
        assert_eq!(sealed.len(), "text".len() + OVERHEAD);
        assert_eq!(again.open(&own, &sealed).as_deref(), Some(b"text".as_slice()), "another process");
        let others = [
            ReplyName { tenant: &globex, ..own },
            ReplyName { life: Incarnation(8), ..own },
            ReplyName { tool: "profiles", ..own },
            ReplyName { declaration: b"two", ..own },
            ReplyName { caller: "[\"i\",\"s\"]", ..own },
            ReplyName { arguments: "{\"a\":1}", ..own },
        ];
        for (n, other) in others.iter().enumerate() {
            assert!(keys.open(other, &sealed).is_none(), "{n}");
            assert_ne!(keys.name(other), keys.name(&own), "{n}");
        }
        let stranger = ReplyKeys::new(&MasterKey::generate().unwrap()).unwrap();
        assert!(stranger.open(&own, &sealed).is_none());
        assert_ne!(stranger.name(&own), keys.name(&own));
        let groups = [(&acme, 7), (&acme, 8), (&globex, 7)];
        let names: std::collections::BTreeSet<_> =
            groups.iter().map(|(tenant, life)| keys.group(tenant, Incarnation(*life))).collect();
        assert_eq!(names.len(), groups.len());
        assert!(names.iter().all(|name| name.len() == 2 * NAME_LEN && !name.contains("acme")));
    }
}
