//! Why a caller is not let in, and why the guard cannot be set up.
//!
//! Neither type can hold a token or a key: a denial has no fields, and an error holds names from the configuration.

use std::{io, net::SocketAddr, path::PathBuf};

/// Why a request's credential was not accepted.
///
/// On the wire all of them look alike; [`reason`](Self::reason) is for the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityDenial {
    /// There is no `Authorization` header.
    #[error("the request has no bearer token")]
    NoToken,
    /// The `Authorization` header is of another scheme than `Bearer`.
    #[error("the request's credential is no bearer token")]
    OtherScheme,
    /// There is more than one `Authorization` header.
    #[error("the request has several credentials")]
    SeveralCredentials,
    /// The token is longer than any that is read.
    #[error("the token is too long")]
    TooLong,
    /// The token is not three base64url parts around two JSON objects.
    #[error("the token is malformed")]
    Malformed,
    /// A JSON object in the token names one key twice, so that two readers could see two tokens.
    #[error("the token names a key twice")]
    DuplicateKey,
    /// The header demands an extension (`crit`); none is supported.
    #[error("the token needs an extension that is not supported")]
    CriticalHeader,
    /// The token's `typ` is not the one this issuer uses for access tokens.
    #[error("the token is of another type")]
    TokenType,
    /// `iss` is none of the configured issuers.
    #[error("the token's issuer is not known")]
    UnknownIssuer,
    /// `alg` is not among those allowed for the issuer.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// The issuer's key set has no such key.
    #[error("the token's key is not known")]
    UnknownKey,
    /// The named key is for another algorithm or another use.
    #[error("the token's key does not fit its algorithm")]
    KeyMismatch,
    /// More than one key could be meant.
    #[error("the token does not say which key signed it")]
    AmbiguousKey,
    /// The issuer's key set could not be had.
    #[error("the issuer's keys are not available")]
    Unavailable,
    /// The signature is not the key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// The token is for another resource, or for ours and others.
    #[error("the token is for another audience")]
    Audience,
    /// `exp`, `nbf` or `iat` is missing where required, or no whole number of seconds.
    #[error("the token's times are malformed")]
    Times,
    /// The token has expired.
    #[error("the token has expired")]
    Expired,
    /// The token is from the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The token would be good for longer than any token should be.
    #[error("the token is valid for too long")]
    ExpiresTooLate,
    /// `sub` is missing or no usable name.
    #[error("the token's subject is missing or malformed")]
    Subject,
    /// The tenant is missing, not one string, not a tenant id, not listed, or not the issuer's.
    #[error("the token's tenant is missing or malformed")]
    Tenant,
    /// `scope` or `scp` is of a wrong type, or the two disagree.
    #[error("the token's scopes are malformed")]
    Scopes,
}

impl IdentityDenial {
    /// A stable name for the audit log.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoToken => "no-token",
            Self::OtherScheme => "other-scheme",
            Self::SeveralCredentials => "several-credentials",
            Self::TooLong => "token-too-long",
            Self::Malformed => "malformed-token",
            Self::DuplicateKey => "duplicate-json-key",
            Self::CriticalHeader => "critical-header",
            Self::TokenType => "wrong-token-type",
            Self::UnknownIssuer => "unknown-issuer",
            Self::Algorithm => "algorithm-not-allowed",
            Self::UnknownKey => "unknown-key",
            Self::KeyMismatch => "key-does-not-fit",
            Self::AmbiguousKey => "ambiguous-key",
            Self::Unavailable => "keys-unavailable",
            Self::Signature => "bad-signature",
            Self::Audience => "wrong-audience",
            Self::Times => "bad-times",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::ExpiresTooLate => "expires-too-late",
            Self::Subject => "bad-subject",
            Self::Tenant => "bad-tenant",
            Self::Scopes => "bad-scopes",
        }
    }

    /// Whether the caller presented a bearer token at all.
    #[must_use]
    pub fn presented(&self) -> bool {
        !matches!(self, Self::NoToken | Self::OtherScheme)
    }
}

/// Why the guard cannot be set up, or a development token not be minted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The development issuer is on and the server can be reached from other machines.
    #[error(
        "identity.development: the development issuer is for loopback only, and server.listen is {listen}; \
         listen on 127.0.0.1, or remove identity.development and add an [[identity.issuer]]"
    )]
    DevelopmentOffLoopback {
        /// The address.
        listen: SocketAddr,
    },
    /// Nobody vouches for callers.
    #[error(
        "identity: no issuer is configured, so nobody could call; add an [[identity.issuer]], \
         or set identity.development = true to try things out on loopback"
    )]
    NoIssuer,
    /// Clients could not find out where to get a token.
    #[error(
        "identity.issuer: no issuer is advertised, so clients cannot find out where to get a token; \
         set advertise = true on at least one [[identity.issuer]] (an issuer with `tenant` is not advertised by default)"
    )]
    NothingAdvertised,
    /// The leeway is too large.
    #[error("identity.leeway is {seconds} s; at most 60s is allowed, for example \"30s\"")]
    Leeway {
        /// The leeway that was asked for.
        seconds: u64,
    },
    /// One key of one issuer is not what it should be.
    #[error("identity.issuer `{issuer}`: {key}: {problem}")]
    Issuer {
        /// The issuer, as configured.
        issuer: String,
        /// The key in its table.
        key: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The resource identifier is no URL.
    #[error(
        "server.public_url must be an http or https URL without user name, query or fragment, \
         for example \"https://mcp.example.com/mcp\""
    )]
    PublicUrl,
    /// No HTTP client could be made.
    #[error("identity: cannot set up the HTTP client that fetches key sets: {0}")]
    HttpClient(String),
    /// The development issuer's key file could not be read or made.
    #[error("cannot use the development issuer's key {path}{}", advice(source))]
    DevelopmentKeyFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The development issuer's key file holds no usable key.
    #[error("the development issuer's key {path} {problem}")]
    DevelopmentKey {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: &'static str,
    },
    /// A development token cannot be minted as asked.
    #[error("cannot mint a token: {0}")]
    Mint(&'static str),
}

/// What to do about a key file that the system does not give us; what we say of it ourselves has its own advice.
fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::Other => "",
        _ => {
            "; let this user read it and write its folder, or move it away and a new one is made, whose tokens are other \
             ones"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_that_cannot_be_used_says_what_to_do() {
        let told = |source: io::Error| {
            IdentityError::DevelopmentKeyFile { path: "data/key.pem".into(), source }.to_string()
        };
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::StorageFull] {
            let told = told(kind.into());
            assert!(
                told.contains("data/key.pem; let this user read it") && told.contains("move it away"),
                "{told}"
            );
        }
        // What we say ourselves stands in the cause, with its own advice.
        assert!(told(io::Error::other("others may read it; run chmod 600")).ends_with("key.pem"));
    }
}
