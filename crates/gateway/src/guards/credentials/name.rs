//! `SecretName`: parsed once.

use std::{fmt, sync::Arc};

use serde::Serialize;

/// What a tenant's secret is called: 1 to 64 characters of `[A-Za-z0-9._-]`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SecretName(Arc<str>);

/// The text is no secret name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret's name has 1 to 64 of the characters A-Z a-z 0-9 . _ -")]
pub struct SecretNameError;

impl SecretName {
    /// The longest name, in characters.
    pub const MAX_LEN: usize = 64;

    /// Parses a name; nothing is trimmed or folded.
    ///
    /// # Errors
    /// Any other text is refused.
    pub fn parse(text: &str) -> Result<Self, SecretNameError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.bytes().all(allowed) {
            return Err(SecretNameError);
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_documented_set_and_nothing_else() {
        for good in ["a", "crm_api_key", "A.b-9", "0", &"x".repeat(64)] {
            assert_eq!(SecretName::parse(good).expect("valid").as_str(), good);
        }
        for bad in ["", " a", "a b", "a/b", "a:b", "a\0", "ä", &"x".repeat(65)] {
            assert_eq!(SecretName::parse(bad), Err(SecretNameError), "{bad:?}");
        }
    }
}
