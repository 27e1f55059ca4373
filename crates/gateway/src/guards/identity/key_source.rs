//! Where an issuer's key set is and how it is read: a file, a URL, or discovery from the issuer.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use url::Url;

use super::{issuer::is_safe, keys::KeySet};
use crate::config;
use crate::strict_json;

/// The largest key set or metadata document that is read.
const MAX_BYTES: usize = 256 * 1024;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where a key set is, as configured.
pub(super) enum Place {
    File(PathBuf),
    Url(Url),
    /// The issuer itself, asked for its metadata.
    Discovery(Url),
}

/// Where a key set is, ready to be read.
pub(super) enum KeySource {
    /// Never changes.
    Fixed,
    File(PathBuf),
    Url(reqwest::Client, Url),
    Discovery {
        http: reqwest::Client,
        /// The issuer exactly as configured; a parsed URL may have gained a slash.
        issuer: String,
        url: Url,
    },
}

/// A client that goes only where it is sent: no redirects, no proxy from the environment.
pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(TIMEOUT)
        .timeout(TIMEOUT)
        .pool_max_idle_per_host(1)
        .build()
}

/// Reads `jwks`, or without one the issuer's URL. The errors do not repeat the text, which may hold a password.
pub(super) fn place(issuer: &config::Issuer, base_dir: &Path) -> Result<Place, String> {
    match issuer.jwks.as_deref() {
        None => safe_url(&issuer.issuer).map(Place::Discovery).map_err(|problem| {
            format!("is missing, and to discover it the issuer {problem}; otherwise set `jwks` to the key set's URL or file")
        }),
        Some("") => Err("is empty; write the key set's URL or file, or leave it out to discover it".to_owned()),
        Some(text) if text.contains("://") => safe_url(text).map(Place::Url),
        Some(file) => Ok(Place::File(base_dir.join(file))),
    }
}

fn safe_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "must be an https URL".to_owned())?;
    if !is_safe(&url) {
        return Err("must be an https URL; http is for loopback only, since whoever changes the keys makes the tokens".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user name or password".to_owned());
    }
    Ok(url)
}

impl KeySource {
    /// Reads the key set.
    pub(super) async fn fetch(&self) -> Result<KeySet, String> {
        match self {
            Self::Fixed => Err("these keys never change".to_owned()),
            Self::File(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || read_file(&path))
                    .await
                    .map_err(|_| "reading the file was broken off".to_owned())?
            }
            Self::Url(http, url) => {
                KeySet::parse(&get(http, url).await?).map_err(|why| format!("the answer {why}"))
            }
            Self::Discovery { http, issuer, url } => {
                let jwks = discover(http, issuer, url).await?;
                KeySet::parse(&get(http, &jwks).await?).map_err(|why| format!("the discovered key set {why}"))
            }
        }
    }
}

/// Reads a key set from a file.
pub(super) fn read_file(path: &Path) -> Result<KeySet, String> {
    let read = || {
        let file = std::fs::File::open(path)?;
        // A pipe would block for ever.
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("it is no regular file"));
        }
        let mut text = Vec::new();
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if text.len() > MAX_BYTES {
        return Err(format!("{} is larger than {MAX_BYTES} bytes", path.display()));
    }
    KeySet::parse(&text).map_err(|why| format!("{} {why}", path.display()))
}

/// Asks the issuer for its key set's URL: RFC 8414, then OpenID Connect.
async fn discover(http: &reqwest::Client, issuer: &str, url: &Url) -> Result<Url, String> {
    let mut problem = "no metadata".to_owned();
    for place in metadata_urls(url) {
        match metadata(http, issuer, &place).await {
            Ok(jwks) if url.scheme() == "https" && jwks.scheme() != "https" => {
                problem = "the metadata of an https issuer names a key set that is not https".to_owned();
            }
            Ok(jwks) => return Ok(jwks),
            Err(why) => problem = why,
        }
    }
    Err(problem)
}

/// The two places of an issuer's metadata.
fn metadata_urls(issuer: &Url) -> [Url; 2] {
    let path = issuer.path().trim_end_matches('/');
    let at = |path: &str| {
        let mut url = issuer.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.set_path(path);
        url
    };
    [
        at(&format!("/.well-known/oauth-authorization-server{path}")),
        at(&format!("{path}/.well-known/openid-configuration")),
    ]
}

async fn metadata(http: &reqwest::Client, issuer: &str, url: &Url) -> Result<Url, String> {
    let document = strict_json::object(&get(http, url).await?)
        .map_err(|_| "the issuer's metadata is no JSON object".to_owned())?;
    let text = |name| document.get(name).and_then(Value::as_str);
    // Metadata of another issuer would bring that issuer's keys (RFC 8414 section 3.3).
    if text("issuer") != Some(issuer) {
        return Err("the metadata is of another issuer".to_owned());
    }
    let jwks = text("jwks_uri").ok_or_else(|| "the metadata has no jwks_uri".to_owned())?;
    safe_url(jwks).map_err(|why| format!("the metadata's jwks_uri {why}"))
}

/// Fetches a small document; the error names no URL, whose query may hold a secret.
async fn get(http: &reqwest::Client, url: &Url) -> Result<Vec<u8>, String> {
    let failed = |error: reqwest::Error| chain(&error.without_url());
    let mut response = http
        .get(url.clone())
        .header(http::header::ACCEPT, "application/json")
        .send()
        .await
        .map_err(failed)?;
    if response.status() != http::StatusCode::OK {
        return Err(format!("the answer is {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(format!("the answer is larger than {MAX_BYTES} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An error with its causes, since reqwest keeps the useful part there.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
