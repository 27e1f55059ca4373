//! Why Redis gave no answer, in words that hold nothing of what the server wrote.

use std::{error::Error, io, sync::Arc};

use redis::{ErrorKind, RedisError};
use rustls::CertificateError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::guards) enum Trouble {
    #[error("no answer in time")]
    Late,
    #[error("too many questions are under way")]
    Busy,
    #[error("it answers what was not asked")]
    Strange,
    #[error("{}", described(.0))]
    Redis(#[from] RedisError),
}

/// What kind of error it is; without what the server wrote, which might be anything.
fn described(error: &RedisError) -> String {
    if let Some(told) = certificate(error) {
        return told.to_owned();
    }
    let code = error.code().map(|code| format!(" {code}")).unwrap_or_default();
    let what = match error.kind() {
        ErrorKind::Io if error.is_connection_refusal() => "connection refused",
        ErrorKind::Io if error.is_timeout() => "no answer in time",
        _ => error.category(),
    };
    format!("{what}{code}")
}

const OTHER_NAME: &str = "its certificate is for another name than the host in the URL; write the name that the certificate has, or give the server one for this name";
const UNKNOWN: &str = "nobody that is trusted here vouches for its certificate; name the authority's certificate with `shared.ca_file`";
const EXPIRED: &str = "its certificate has expired, or this machine's clock is wrong; renew the certificate";
const NOT_YET: &str = "its certificate is not valid yet; look at the clocks of both machines";
const OTHER: &str = "its certificate cannot be accepted; it must be for this name, valid now, for a server, and by an authority that is trusted";
const NO_TLS: &str = "it does not speak TLS as it should; does the URL's `rediss://` name the port for TLS?";

/// What is wrong with TLS, if that is what is wrong.
fn certificate(error: &RedisError) -> Option<&'static str> {
    match tls_error(error) {
        Some(rustls::Error::InvalidCertificate(why)) => Some(match why {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => OTHER_NAME,
            CertificateError::UnknownIssuer | CertificateError::BadSignature => UNKNOWN,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => EXPIRED,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => NOT_YET,
            _ => OTHER,
        }),
        Some(_) => Some(NO_TLS),
        None => in_words(error.detail()?),
    }
}

/// The TLS library's own error. The Redis library keeps an error of the system, and that one what it comes from.
fn tls_error(error: &RedisError) -> Option<&rustls::Error> {
    let kept = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    kept.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

/// The same for a cluster, for which the Redis library keeps the text only. The text is the TLS library's; nothing of it
/// is repeated.
fn in_words(text: &str) -> Option<&'static str> {
    let (_, why) = text.split_once("invalid peer certificate: ")?;
    Some(if why.starts_with("certificate not valid for name") || why.starts_with("NotValidForName") {
        OTHER_NAME
    } else if why.starts_with("UnknownIssuer") || why.starts_with("BadSignature") {
        UNKNOWN
    } else if why.starts_with("certificate expired") || why.starts_with("Expired") {
        EXPIRED
    } else if why.starts_with("certificate not valid yet") || why.starts_with("NotValidYet") {
        NOT_YET
    } else {
        OTHER
    })
}
