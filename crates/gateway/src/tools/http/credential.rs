//! The credential of a call: the tenant's own secrets, turned into headers for this one request.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{HttpToolError, parts};
use crate::config::Auth;

/// The secrets of one tenant that a call may use, by name. It is made for one call from that tenant's store.
pub(crate) type Secrets<'a> = [(&'a str, &'a SecretString)];

/// Which secret goes into which header.
#[derive(Debug, Default)]
pub(crate) struct Credential(Vec<Line>);

#[derive(Debug)]
struct Line {
    header: HeaderName,
    prefix: &'static str,
    secret: String,
}

impl Credential {
    pub(crate) fn compile(auth: &Auth) -> Result<Self, HttpToolError> {
        let config = HttpToolError::config;
        match (&auth.bearer, auth.headers.is_empty()) {
            (Some(_), false) => Err(config("auth", "has both `bearer` and `headers`; keep one")),
            (None, true) => Err(config("auth", "is empty; write `bearer = \"secret:NAME\"`, or remove it")),
            (Some(reference), true) => Ok(Self(vec![Line {
                header: header::AUTHORIZATION,
                prefix: "Bearer ",
                secret: secret_name(reference, "auth.bearer")?,
            }])),
            (None, false) => {
                let mut lines: Vec<Line> = Vec::new();
                for (name, reference) in &auth.headers {
                    let key = format!("auth.headers.{name}");
                    let header = parts::header_name(name, &key, true)?;
                    if lines.iter().any(|line| line.header == header) {
                        return Err(HttpToolError::config(key, "is given twice; keep one"));
                    }
                    let secret = secret_name(reference, &key)?;
                    lines.push(Line { header, prefix: "", secret });
                }
                Ok(Self(lines))
            }
        }
    }

    /// The names of the secrets, in order.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|line| line.secret.as_str())
    }

    /// The headers it sends.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().map(|line| &line.header)
    }

    /// Adds the credential to the headers of one request.
    pub(crate) fn apply(&self, secrets: &Secrets<'_>, headers: &mut HeaderMap) -> Result<(), HttpToolError> {
        for line in &self.0 {
            let secret = find(secrets, &line.secret)?;
            let unusable = || HttpToolError::UnusableSecret { name: line.secret.clone() };
            if !parts::is_header_text(secret) {
                return Err(unusable());
            }
            let text = Zeroizing::new(format!("{}{secret}", line.prefix));
            let mut value = HeaderValue::from_str(&text).map_err(|_| unusable())?;
            value.set_sensitive(true);
            headers.insert(line.header.clone(), value);
        }
        Ok(())
    }
}

/// The tenant's value of a secret; an empty one counts as unusable, so that it can equal nothing.
pub(super) fn find<'a>(secrets: &Secrets<'a>, name: &str) -> Result<&'a str, HttpToolError> {
    let (_, secret) = secrets
        .iter()
        .find(|(held, _)| *held == name)
        .ok_or_else(|| HttpToolError::MissingSecret { name: name.to_owned() })?;
    match secret.expose_secret() {
        "" => Err(HttpToolError::UnusableSecret { name: name.to_owned() }),
        value => Ok(value),
    }
}

/// The name in a reference `secret:NAME`.
pub(super) fn secret_name(reference: &str, key: &str) -> Result<String, HttpToolError> {
    let name = reference.strip_prefix("secret:").unwrap_or_default();
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if fits {
        Ok(name.to_owned())
    } else {
        // What stands there may be a secret itself, so it is not repeated.
        Err(HttpToolError::config(
            key,
            "must be `secret:NAME`, where NAME is 1 to 64 of A-Z a-z 0-9 . _ - and names a secret that each tenant sets",
        ))
    }
}
