//! `[[tool]]`: one declared tool.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::ByteSize;

/// `[[tool]]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolConfig {
    /// The tool's name on the wire.
    pub name: String,
    /// A title for people.
    pub title: Option<String>,
    /// What the tool does, for models.
    #[serde(default)]
    pub description: String,
    /// The arguments.
    #[serde(default)]
    pub args: BTreeMap<String, ArgSpec>,
    /// The scope a caller needs.
    pub scope: Option<String>,
    /// The tenants that have the tool; for the others it does not exist. Default: all of them.
    pub tenants: Option<Vec<String>>,
    /// How long one call may take. Default: `server.call_timeout`.
    #[serde(default, deserialize_with = "super::duration_option::deserialize")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Duration>,

    /// SQL tools: the name of the `[data.NAME]` that the statement runs on.
    pub source: Option<String>,
    /// SQL tools: one statement with named parameters (`:status`), one for each argument.
    pub sql: Option<String>,
    /// SQL tools: whether the statement changes data. Default: it runs on a read-only connection.
    #[serde(default)]
    pub writes: bool,
    /// SQL tools: what the rows mean.
    #[serde(default)]
    pub rows: RowsShape,
    /// SQL tools: the most rows returned. Default: 1,000.
    pub max_rows: Option<u32>,

    /// Native tools: the name of a tool that is built in (`whoami`).
    pub native: Option<String>,

    /// HTTP tools: the request.
    pub http: Option<HttpCall>,
    /// HTTP tools: the credential.
    pub auth: Option<Auth>,
    /// HTTP tools: how a reply shows who owns it.
    pub owner: Option<Owner>,
    /// Whether replies are cached, for the tenant alone. Default: not.
    pub cache: Option<CachePolicy>,
}

/// What the rows of a SQL tool mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RowsShape {
    /// Any number of rows; an empty list is an answer.
    #[default]
    Many,
    /// One row; none means that the thing asked for does not exist.
    One,
}

/// One argument.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArgSpec {
    /// The type.
    #[serde(rename = "type")]
    pub kind: ArgType,
    /// What it means, for models.
    #[serde(default)]
    pub description: String,
    /// Whether it may be left out.
    #[serde(default)]
    pub optional: bool,
    /// The value when it is left out.
    pub default: Option<serde_json::Value>,
    /// The values allowed.
    #[serde(rename = "enum")]
    pub allowed: Option<Vec<serde_json::Value>>,
    /// The smallest number allowed.
    pub minimum: Option<f64>,
    /// The largest number allowed.
    pub maximum: Option<f64>,
    /// The fewest characters.
    pub min_length: Option<usize>,
    /// The most characters. Default: 10,000.
    pub max_length: Option<usize>,
    /// The name of the `Mcp-Param-NAME` header that mirrors the value (2026-07-28).
    pub header: Option<String>,
}

/// The type of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ArgType {
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
}

/// The request of an HTTP tool. `{name}` stands for an argument.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpCall {
    /// The method.
    #[serde(default)]
    pub method: HttpMethod,
    /// The URL. Placeholders may stand in the path only, each within one segment; scheme, host and port are fixed.
    pub url: String,
    /// Query parameters; a parameter whose only argument was left out is not sent.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Header values.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// A JSON body. A text that is exactly one placeholder takes the argument's own type.
    pub body: Option<serde_json::Value>,
}

/// The method of an HTTP tool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// GET
    #[default]
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

/// The credential of an HTTP tool: the name of a secret that each tenant has a value of its own for, written
/// `secret:NAME`. Exactly one of the keys is given.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Sent as `Authorization: Bearer …`.
    pub bearer: Option<String>,
    /// Header names and the secrets sent in them.
    pub headers: BTreeMap<String, String>,
}

/// How a reply shows who owns it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// A JSON pointer (RFC 6901) to the owner in the reply.
    pub pointer: String,
    /// What it must be: `tenant` (the tenant's id), `subject` (the caller's), or `secret:NAME` (a value that each
    /// tenant has of its own, for upstreams that call the tenant by another name).
    pub equals: String,
}

/// Whether and how replies are cached.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CachePolicy {
    /// How long a reply may be used again.
    #[serde(deserialize_with = "super::duration::deserialize")]
    #[schemars(with = "String")]
    pub ttl: Duration,
    /// Who shares it.
    #[serde(default)]
    pub per: CachePer,
    /// The largest reply that is kept. Default: a quarter of the tenant's share.
    pub max_bytes: Option<ByteSize>,
    /// Whether the gateway processes of `[shared]` find each other's replies, which then stand in Redis, sealed.
    #[serde(default)]
    pub shared: bool,
}

/// Who shares a cached reply; never two tenants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CachePer {
    /// All callers of one tenant.
    #[default]
    Tenant,
    /// One caller.
    Subject,
}
