//! What a caller without a good token is told: where to get one (RFC 9728, RFC 6750), and nothing about why.

use bytes::Bytes;
use http::HeaderValue;
use serde_json::{Map, Value, json};
use url::Url;

use super::{claims::is_scope, error::IdentityError};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The public description of this resource and the challenges that point to it.
pub(super) struct Challenges {
    resource: String,
    authorization_servers: Vec<String>,
    metadata_url: String,
    paths: [String; 2],
    metadata: Bytes,
}

impl Challenges {
    /// For the resource at this URL.
    pub(super) fn new(resource: String, authorization_servers: Vec<String>) -> Result<Self, IdentityError> {
        let mut url = Url::parse(&resource)
            .ok()
            .filter(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.has_host()
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.query().is_none()
                    && url.fragment().is_none()
            })
            .ok_or(IdentityError::PublicUrl)?;
        let inserted = format!("{WELL_KNOWN}{}", url.path().trim_end_matches('/'));
        url.set_path(&inserted);
        let mut challenges = Self {
            resource,
            authorization_servers,
            metadata_url: url.into(),
            paths: [WELL_KNOWN.to_owned(), inserted],
            metadata: Bytes::new(),
        };
        challenges.set_scopes(&[]);
        Ok(challenges)
    }

    /// Names the scopes that the metadata offers.
    pub(super) fn set_scopes(&mut self, scopes: &[String]) {
        let mut document = Map::new();
        document.insert("resource".to_owned(), json!(self.resource));
        // RFC 9728 section 3.2: a field without values is left out.
        if !self.authorization_servers.is_empty() {
            document.insert("authorization_servers".to_owned(), json!(self.authorization_servers));
        }
        document.insert("bearer_methods_supported".to_owned(), json!(["header"]));
        let offered: Vec<&str> = scopes.iter().map(String::as_str).filter(|word| is_offered(word)).collect();
        if !offered.is_empty() {
            document.insert("scopes_supported".to_owned(), json!(offered));
        }
        self.metadata = Value::Object(document).to_string().into();
    }

    /// The metadata document.
    pub(super) fn metadata(&self) -> Bytes {
        self.metadata.clone()
    }

    /// Where the metadata is served: the root form, and the one with the resource's path.
    pub(super) fn paths(&self) -> [&str; 2] {
        self.paths.each_ref().map(String::as_str)
    }

    /// A `WWW-Authenticate` value.
    pub(super) fn header(&self, error: Option<&str>, scope: Option<&str>) -> HeaderValue {
        let mut text = format!("Bearer resource_metadata=\"{}\"", self.metadata_url);
        if let Some(error) = error {
            text.push_str(&format!(", error=\"{error}\""));
        }
        let offered: Vec<&str> =
            scope.unwrap_or_default().split(' ').filter(|word| is_offered(word)).collect();
        if !offered.is_empty() {
            text.push_str(&format!(", scope=\"{}\"", offered.join(" ")));
        }
        // A serialised URL and scope words are visible ASCII, so this holds; the fallback is still a challenge.
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Bearer"))
    }
}

/// Whether a scope may be named to clients; refresh tokens are between a client and its issuer.
fn is_offered(scope: &str) -> bool {
    is_scope(scope) && scope != "offline_access"
}
