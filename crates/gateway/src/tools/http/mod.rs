//! HTTP tools: a declared request to an upstream API, made with the calling tenant's own credential.
//!
//! Everything about a request except argument values is fixed when the configuration is loaded. A call gets the
//! tenant's `TenantClient` and secrets and returns JSON that was checked to belong to the caller. The caller's own
//! token is not known in this module, so it cannot be passed on.

mod address;
mod client;
mod credential;
mod error;
mod owner;
mod parts;
mod reply;
mod resolver;
mod target;
#[cfg(test)]
mod tests;
mod text;

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Map, Value};
use url::Url;

pub use client::HttpShared;
pub(crate) use client::{Outgoing, TenantClient};
pub(crate) use credential::{Credential, Secrets};
pub use error::{HttpErrorKind, HttpToolError};

use crate::{
    admit::Permit,
    config::{Http, HttpMethod, ToolConfig},
};
use address::AllowList;
use owner::OwnerCheck;
use parts::{Body, Headers};
use reply::Read;
use target::Target;
use text::{Declared, Values};

/// The largest upstream reply, unless `http.max_reply_bytes` says otherwise.
const MAX_REPLY: usize = 1 << 20;

/// A declared HTTP tool, compiled when the configuration is loaded.
#[derive(Debug)]
pub struct HttpTool {
    method: Method,
    declared: Declared,
    target: Target,
    headers: Headers,
    body: Option<Body>,
    credential: Credential,
    owner: Option<OwnerCheck>,
    secrets: Vec<String>,
    max_reply: usize,
}

/// What one call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallLimits {
    /// From the first byte sent to the last byte read.
    pub(crate) time: Duration,
    /// The largest reply; `http.max_reply_bytes` holds besides.
    pub(crate) reply_bytes: usize,
}

/// A checked reply.
#[derive(Debug)]
pub(crate) struct HttpReply {
    /// JSON text as the upstream wrote it, on one line; `null` when it wrote nothing.
    pub(crate) body: String,
}

impl HttpTool {
    /// Compiles a tool.
    ///
    /// # Errors
    /// When the request could reach another host than the one written, names an argument that is not declared, or
    /// leaves a declared one unused; the error names the key and says what would be right.
    pub fn compile(tool: &ToolConfig, limits: &Http) -> Result<Self, HttpToolError> {
        let call = tool.http.as_ref().ok_or_else(|| {
            HttpToolError::config("http", "is missing; write `http = { url = \"https://…\" }`")
        })?;
        let allow = AllowList::parse(&limits.allow_private)?;
        let declared = Declared::new(&tool.args);
        let target = Target::compile(&call.url, &call.query, &declared, &allow)?;
        let headers = Headers::compile(&call.headers, &declared)?;
        let method = method(call.method);
        let body = match &call.body {
            Some(_) if method == Method::GET => {
                return Err(HttpToolError::config(
                    "http.body",
                    "a GET request has no body; use `http.query`, or another method",
                ));
            }
            Some(body) => Some(Body::compile(body, "http.body", &declared)?),
            None => None,
        };
        let credential = match &tool.auth {
            Some(auth) => Credential::compile(auth)?,
            None => Credential::default(),
        };
        if let Some(name) = credential.headers().find(|name| headers.contains(name)) {
            return Err(HttpToolError::config(
                format!("http.headers.{name}"),
                "is sent by `auth` already; remove one of them",
            ));
        }
        let owner = tool.owner.as_ref().map(OwnerCheck::compile).transpose()?;

        let mut used: Vec<&str> = target.args().chain(headers.args()).collect();
        if let Some(body) = &body {
            body.args(&mut used);
        }
        if let Some(name) = declared.names().find(|name| !used.contains(name)) {
            return Err(HttpToolError::config(
                format!("args.{name}"),
                format!(
                    "is not used; put `{{{name}}}` into `http.url`, `query`, `headers` or `body`, or remove it"
                ),
            ));
        }

        let mut secrets: Vec<String> = Vec::new();
        for name in credential.secrets().chain(owner.as_ref().and_then(OwnerCheck::secret)) {
            if !secrets.iter().any(|held| held == name) {
                secrets.push(name.to_owned());
            }
        }
        let max_reply = limits.max_reply_bytes.map_or(MAX_REPLY, |size| size.as_usize());
        Ok(Self { method, declared, target, headers, body, credential, owner, secrets, max_reply })
    }

    /// The names of the secrets that a call needs: first those of the credential, then the owner's name.
    #[must_use]
    pub fn secrets(&self) -> &[String] {
        &self.secrets
    }

    /// Whether replies are checked for whose they are.
    pub(crate) fn has_owner(&self) -> bool {
        self.owner.is_some()
    }

    /// Makes one call for the permit's tenant, with that tenant's client and secrets.
    ///
    /// The owner is checked before anything is returned, so what comes out may be cached and shown.
    pub(crate) async fn call(
        &self,
        permit: &Permit,
        client: &TenantClient,
        args: &Map<String, Value>,
        secrets: &Secrets<'_>,
        limits: CallLimits,
    ) -> Result<HttpReply, HttpToolError> {
        let owner = match &self.owner {
            Some(owner) => Some((owner, owner.expected(permit.principal(), secrets)?)),
            None => None,
        };
        let request = self.request(args, secrets)?;
        let limit = limits.reply_bytes.min(self.max_reply);
        let ends = tokio::time::Instant::now() + limits.time;
        let response = tokio::time::timeout_at(ends, client.send(request)).await;
        let response = response.map_err(|_| HttpToolError::Timeout)??;
        let body = match (reply::read(response, limit, owner.is_some(), ends).await?, owner) {
            #[cfg(test)]
            (Read::Whole(body), Some(_)) if crate::removed::removed("owner-check") => {
                owner::check_json(&body).map(|()| body)
            }
            (Read::Whole(body), Some((owner, expected))) => owner.check(&body, expected).map(|()| body),
            (Read::Whole(body), None) => owner::check_json(&body).map(|()| body),
            // Without an owner there is nobody to hide it from.
            (Read::Not { why, .. }, None) => Err(why),
            (Read::Not { begun, why }, Some((owner, expected))) => Err(owner.hide(&begun, expected, why)),
        }?;
        Ok(HttpReply { body: one_line(body) })
    }

    fn request(&self, args: &Map<String, Value>, secrets: &Secrets<'_>) -> Result<Outgoing, HttpToolError> {
        let values = Values { declared: &self.declared, given: args };
        let url = self.target.render(&values)?;
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let body = match &self.body {
            Some(body) => body.render(&values)?,
            None => None,
        };
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        self.headers.render(&values, &mut headers)?;
        self.credential.apply(secrets, &mut headers)?;
        let body = body.map(|body| body.to_string());
        Ok(Outgoing { method: self.method.clone(), url, headers, body })
    }
}

/// The URL of an existing MCP server: one that nothing is filled into, under the rules for those of tools.
pub(crate) fn fixed_url(url: &str, limits: &Http) -> Result<Url, HttpToolError> {
    if url.contains(['?', '#', '{', '}']) {
        return Err(HttpToolError::config("url", "must end with the path, and nothing is filled into it"));
    }
    let declared = Declared::new(&BTreeMap::new());
    let allow = AllowList::parse(&limits.allow_private)?;
    let target = Target::compile(url, &BTreeMap::new(), &declared, &allow);
    let url = target.and_then(|target| target.render(&Values { declared: &declared, given: &Map::new() }));
    url.map_err(|error| match error {
        HttpToolError::Config { key, problem } if key == "http.url" => HttpToolError::config("url", problem),
        other => other,
    })
}

/// The same JSON text without white space around it and without line breaks, which stand between tokens only: whatever
/// carries it line by line takes it for one.
fn one_line(json: String) -> String {
    let text = json.trim_matches([' ', '\t', '\n', '\r']);
    let is_one = text.len() == json.len() && !text.contains(['\n', '\r']);
    if is_one { json } else { text.replace(['\n', '\r'], " ") }
}

fn method(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Delete => Method::DELETE,
    }
}
