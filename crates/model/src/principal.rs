//! `Principal`: an authenticated caller that acts in exactly one tenant.

use std::sync::Arc;

use crate::TenantId;

/// An authenticated caller, acting in exactly one tenant.
///
/// Handles are bound to (issuer, subject, tenant), which survives a token refresh; the token itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The tenant the caller acts in.
    pub tenant: TenantId,
    /// The issuer that vouched for the caller, exactly as in its tokens.
    pub issuer: Arc<str>,
    /// The caller's name at that issuer.
    pub subject: Arc<str>,
    /// What the caller may do.
    pub scopes: Scopes,
}

/// A set of OAuth scopes (RFC 6749 section 3.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Scopes(Arc<[Box<str>]>);

impl Scopes {
    /// Splits a space-delimited scope string.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut scopes: Vec<Box<str>> = text.split(' ').filter(|s| !s.is_empty()).map(Into::into).collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes.into())
    }

    /// Whether the scope, or a broader one that implies it, is in the set.
    ///
    /// `desk` implies `desk:read` and `desk:read` implies `desk:read:own`: a scope implies every scope that
    /// continues it after a colon.
    #[must_use]
    pub fn allows(&self, wanted: &str) -> bool {
        self.0.iter().any(|held| match wanted.strip_prefix(held.as_ref()) {
            Some("") => true,
            Some(rest) => rest.starts_with(':'),
            None => false,
        })
    }

    /// The scopes, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broad_scope_implies_the_narrow_ones_and_nothing_else() {
        let scopes = Scopes::parse("desk  crm:read");
        assert!(scopes.allows("desk"));
        assert!(scopes.allows("desk:write"));
        assert!(scopes.allows("crm:read"));
        assert!(!scopes.allows("crm"));
        assert!(!scopes.allows("crm:readall"));
        assert!(!scopes.allows("desktop"));
        assert!(!Scopes::parse("").allows("desk"));
    }
}
