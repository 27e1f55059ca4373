//! `TenantId`: parsed once, opaque afterwards.

use std::{fmt, sync::Arc};

use serde::Serialize;

/// The name of the party that is kept apart.
///
/// One to 64 characters of `[A-Za-z0-9._-]`, so that no spelling of it can mean another tenant in a path, a key,
/// a header or a log line. There is deliberately no `Deserialize`: a tenant never comes out of a request body, so a
/// tool whose arguments hold a `TenantId` does not compile.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TenantId(Arc<str>);

/// Why a text is no tenant id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TenantIdError {
    /// The text is empty.
    #[error("a tenant id must not be empty")]
    Empty,
    /// The text is longer than [`TenantId::MAX_LEN`].
    #[error("a tenant id has at most 64 characters")]
    TooLong,
    /// A character outside the allowed set.
    #[error("a tenant id consists of the characters A-Z a-z 0-9 . _ - only")]
    Character,
    /// The id starts with a dot or a dash, so that it could be read as a path step, a hidden file or a flag.
    #[error("a tenant id starts with a letter, a digit or an underscore")]
    Start,
    /// The text stands for an absent value in some language.
    #[error("this word stands for an absent value in other programs and cannot be a tenant id")]
    Absent,
}

impl TenantId {
    /// The longest id, in characters.
    pub const MAX_LEN: usize = 64;

    /// Words that other programs write when they have no value.
    const ABSENT: [&'static str; 6] = ["null", "undefined", "none", "nil", "nan", "void"];

    /// Parses a tenant id; nothing is trimmed, folded or normalised.
    ///
    /// # Errors
    /// Any text outside the set named at [`TenantId`] is refused.
    pub fn parse(text: &str) -> Result<Self, TenantIdError> {
        if text.is_empty() {
            return Err(TenantIdError::Empty);
        }
        if text.len() > Self::MAX_LEN {
            return Err(TenantIdError::TooLong);
        }
        if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')) {
            return Err(TenantIdError::Character);
        }
        if text.starts_with(['.', '-']) {
            return Err(TenantIdError::Start);
        }
        if Self::ABSENT.iter().any(|word| text.eq_ignore_ascii_case(word)) {
            return Err(TenantIdError::Absent);
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_documented_set() {
        for good in ["acme", "a", "A.b_c-9", "_x", &"x".repeat(64), "default", "0"] {
            assert_eq!(TenantId::parse(good).expect("valid").as_str(), good);
        }
    }

    #[test]
    fn refuses_everything_else() {
        let long = "x".repeat(65);
        for (bad, why) in [
            ("", TenantIdError::Empty),
            (long.as_str(), TenantIdError::TooLong),
            ("a b", TenantIdError::Character),
            ("acme ", TenantIdError::Character),
            ("acme\0", TenantIdError::Character),
            ("a/b", TenantIdError::Character),
            ("a:doc1", TenantIdError::Character),
            ("a,b", TenantIdError::Character),
            ("a|b", TenantIdError::Character),
            ("*", TenantIdError::Character),
            ("%", TenantIdError::Character),
            ("аcme", TenantIdError::Character),
            ("ａcme", TenantIdError::Character),
            ("ac\u{200b}me", TenantIdError::Character),
            ("..", TenantIdError::Start),
            (".", TenantIdError::Start),
            ("-rf", TenantIdError::Start),
            ("null", TenantIdError::Absent),
            ("Undefined", TenantIdError::Absent),
        ] {
            assert_eq!(TenantId::parse(bad), Err(why), "{bad:?}");
        }
    }
}
