//! The configuration file and every limit in it; unknown keys are refused.
//!
//! The structs are what stands in `partywall.toml`. Loading checks the file as a whole ([`Config::load`]); a problem
//! names the file, the line, the key and what would be right.

mod check;
mod lines;
mod own;
mod problem;
mod shared;
mod tool;
mod upstream;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Deserialize;

use self::lines::{key_line, line_of, unparsed};

pub use problem::{ConfigError, ConfigProblem};

pub(crate) use check::names::{is_tool_name, names_tenant};
pub(crate) use own::CONFIGURATION;
pub use shared::{Environment, Reference, ReferenceError, Shared};
pub use tool::{
    ArgSpec, ArgType, Auth, CachePer, CachePolicy, HttpCall, HttpMethod, Owner, RowsShape, ToolConfig,
};
pub use upstream::{UpstreamConfig, UpstreamLimits, UpstreamNetwork};

/// The whole configuration file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the server listens and keeps its files.
    #[serde(default)]
    pub server: Server,
    /// Who vouches for callers.
    #[serde(default)]
    pub identity: Identity,
    /// Databases by name.
    #[serde(default)]
    pub data: BTreeMap<String, DataSource>,
    /// Declared tools.
    #[serde(default, rename = "tool")]
    #[schemars(with = "Vec<ToolConfig>")]
    pub tools: Vec<toml::Spanned<ToolConfig>>,
    /// Existing MCP servers behind the gateway.
    #[serde(default, rename = "upstream")]
    #[schemars(with = "Vec<UpstreamConfig>")]
    pub upstreams: Vec<toml::Spanned<UpstreamConfig>>,
    /// Limits of each tenant, and of single tenants.
    #[serde(default)]
    pub capacity: Capacity,
    /// What HTTP tools may reach.
    #[serde(default)]
    pub http: Http,
    /// The audit log.
    #[serde(default)]
    pub audit: AuditLog,
    /// What several gateway processes share. Default: nothing.
    pub shared: Option<Shared>,
    /// The folder the file stands in; relative paths start here.
    #[serde(skip)]
    pub base_dir: PathBuf,
    /// The file, if it was read from one.
    #[serde(skip)]
    pub(crate) file: Option<PathBuf>,
    /// File and line of each tool, in order.
    #[serde(skip)]
    pub(crate) tool_places: Vec<String>,
}

/// `[server]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// The address of the public listener; MCP is at `/mcp`.
    #[serde(deserialize_with = "address::listen")]
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// The OAuth resource identifier (RFC 8707), which is the only audience accepted. Default: `http://LISTEN/mcp`
    /// when the listener is on loopback; required otherwise.
    pub public_url: Option<String>,
    /// The address of `/healthz`, `/readyz` and `/metrics`. Default: no such listener.
    #[serde(deserialize_with = "address::admin_listen")]
    #[schemars(with = "Option<String>")]
    pub admin_listen: Option<SocketAddr>,
    /// Where tenants, secrets, data and audit logs are kept.
    pub data_dir: PathBuf,
    /// Where tenants, secrets and audit logs are kept: `files` in `data_dir`, or `postgres` for several servers together.
    pub state: State,
    /// With `state = "postgres"`: where the URL of the database is: `env:NAME`, `file:PATH`, or the URL itself if it has
    /// no password.
    pub state_url: Option<Reference>,
    /// The key that seals all secrets, 32 bytes in hexadecimal or base64: `env:NAME` or `file:PATH`. Default:
    /// `master.key` in `data_dir`, made at the first start. Several servers need the same one.
    pub master_key: Option<Reference>,
    /// Values of the `Origin` header that are accepted; any other is refused. The origin of `public_url` and, on a
    /// loopback listener, loopback origins are always accepted. A page of an accepted origin can call from a browser
    /// (CORS), with a token that it sends itself.
    pub allowed_origins: Vec<String>,
    /// Host names that requests may name besides those of `public_url` and `listen`.
    pub allowed_hosts: Vec<String>,
    /// The largest request body, in bytes.
    pub max_body_bytes: usize,
    /// How long a client may take to send its headers, and again its body; and how long it may take nothing of a reply
    /// before its connection is closed.
    #[serde(deserialize_with = "duration::deserialize")]
    #[schemars(with = "String")]
    pub read_timeout: Duration,
    /// How long one call may take when the tool says nothing else.
    #[serde(deserialize_with = "duration::deserialize")]
    #[schemars(with = "String")]
    pub call_timeout: Duration,
    /// How long open calls may go on after the server was asked to stop.
    #[serde(deserialize_with = "duration::deserialize")]
    #[schemars(with = "String")]
    pub drain_timeout: Duration,
    /// The most connections open at once. When they are, a new one takes the place of one that is idle.
    pub max_connections: usize,
    /// Calls in flight, of all tenants together. When there are as many, the tenants take turns.
    pub concurrent_requests: u32,
    /// How long the answer to a caller is held back that goes on over its limits, or with bad tokens; `"0s"` for not
    /// at all.
    #[serde(deserialize_with = "duration::deserialize")]
    #[schemars(with = "String")]
    pub refusal_delay: Duration,
    /// What the server tells clients about itself.
    pub name: String,
    /// Guidance for models, shown to every tenant alike.
    pub instructions: Option<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8787)),
            public_url: None,
            admin_listen: None,
            data_dir: PathBuf::from("data"),
            state: State::Files,
            state_url: None,
            master_key: None,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            max_body_bytes: 1 << 20,
            read_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            max_connections: 10_000,
            concurrent_requests: 1024,
            refusal_delay: Duration::from_millis(200),
            name: "partywall".to_owned(),
            instructions: None,
        }
    }
}

/// Where tenants, secrets and audit logs are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In files of one machine.
    #[default]
    Files,
    /// In a PostgreSQL database, for any number of servers.
    Postgres,
}

/// `[identity]`
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// The issuers whose tokens are accepted.
    #[serde(rename = "issuer")]
    pub issuers: Vec<Issuer>,
    /// Whether tokens of the built-in development issuer (`partywall token`) are accepted; only on loopback.
    pub development: bool,
    /// How far a token's times may be off, at most 60 seconds.
    #[serde(deserialize_with = "duration_option::deserialize")]
    #[schemars(with = "Option<String>")]
    pub leeway: Option<Duration>,
}

/// `[[identity.issuer]]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The exact `iss` claim.
    pub issuer: String,
    /// Where the key set is: an `https` URL (`http` on loopback only) or a file. Default: discovered from the issuer.
    pub jwks: Option<String>,
    /// The signature algorithms accepted; asymmetric ones only.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<String>,
    /// The claim that names the tenant. Required unless `tenant` is given.
    pub tenant_claim: Option<String>,
    /// The tenant that every token of this issuer belongs to, for an issuer that serves one tenant.
    pub tenant: Option<String>,
    /// Claim values and the tenants they stand for. When given, a value that is not listed is refused; an empty one
    /// refuses every value.
    pub tenant_map: Option<BTreeMap<String, String>>,
    /// The audience in this issuer's tokens. Default: `server.public_url`.
    pub audience: Option<String>,
    /// Accept an `aud` array that names other resources besides ours. Default: refused, since such a token is also
    /// good elsewhere.
    #[serde(default)]
    pub allow_other_audiences: bool,
    /// The `typ` header that tokens must have, for example `at+jwt` (RFC 9068). Default: not checked.
    pub token_type: Option<String>,
    /// Whether the issuer is named in the public resource metadata. Default: yes, unless it is tied to one tenant.
    pub advertise: Option<bool>,
}

fn default_algorithms() -> Vec<String> {
    vec!["ES256".to_owned(), "EdDSA".to_owned()]
}

/// `[data.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataSource {
    /// `sqlite`: one file per tenant. `postgres`: a PostgreSQL server.
    pub driver: Driver,
    /// SQLite: a folder of `NNN_name.sql` files, applied in order, once for each tenant.
    pub migrations: Option<PathBuf>,
    /// SQLite: the most files of this source open at once, over all tenants.
    #[serde(default = "default_open_files")]
    pub max_open_files: usize,
    /// SQLite: the largest a tenant's file may grow. Default: 1 GiB.
    #[serde(default = "default_file_bytes")]
    pub max_file_bytes: ByteSize,

    /// PostgreSQL: where the URL of the database is: `env:NAME`, `file:PATH`, or the URL itself if it has no password.
    pub url: Option<String>,
    /// PostgreSQL: what keeps tenants apart.
    pub isolation: Option<Isolation>,
    /// PostgreSQL: the setting that holds the tenant's id in each transaction, for policies to read. Default:
    /// `app.tenant`.
    pub setting: Option<String>,
    /// PostgreSQL, `isolation = "rls"`: columns that say whose a row is, besides `tenant_id`, `tenant`, `org_id`,
    /// `organization_id`, `account_id` and `workspace_id`, which are known.
    #[serde(default)]
    pub tenant_columns: Vec<String>,
    /// PostgreSQL: the schema of the tables. Default: `public`; with `isolation = "schema"`, `{tenant}`.
    pub schema: Option<String>,
    /// PostgreSQL, `isolation = "schema"`: a schema with the tables of a tenant, which statements are compiled against.
    pub template: Option<String>,
    /// PostgreSQL, `isolation = "schema"` or `"database"`: each tenant's role. Default: `{tenant}`.
    pub role: Option<String>,
    /// PostgreSQL, `isolation = "schema"` or `"database"`: `secret:NAME`, the password of each tenant's role.
    pub password: Option<String>,
    /// PostgreSQL, `isolation = "database"`: each tenant's database. Default: `{tenant}`.
    pub database: Option<String>,
    /// PostgreSQL: whether a pooler such as PgBouncer sits in between that gives each transaction another server
    /// connection.
    #[serde(default)]
    pub pooler: bool,
    /// PostgreSQL: the most connections of this source, over all tenants. Default: 16.
    pub max_connections: Option<usize>,
    /// PostgreSQL: after how long without a call a connection is closed. Default, and at most: `capacity.idle`.
    #[serde(default, deserialize_with = "duration_option::deserialize")]
    #[schemars(with = "Option<String>")]
    pub idle: Option<Duration>,
    /// PostgreSQL: how long the server may take to accept a connection and the role. Default: that of the URL, or 5 s.
    #[serde(default, deserialize_with = "duration_option::deserialize")]
    #[schemars(with = "Option<String>")]
    pub connect_timeout: Option<Duration>,
    /// PostgreSQL: findings of the catalogue check that do not keep the server from starting.
    #[serde(default)]
    pub allow: Vec<Allowed>,
}

/// What keeps tenants apart in a PostgreSQL database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// Row-level security: one role, shared tables, and policies that read the setting.
    Rls,
    /// A schema and a role for each tenant.
    Schema,
    /// A database and a role for each tenant.
    Database,
}

/// A finding that somebody answers for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// The rule.
    pub rule: String,
    /// The only table, view, function or policy that it is allowed of, as the error names it. Default: all.
    pub object: Option<String>,
    /// Why it is as it should be here.
    pub reason: String,
}

fn default_open_files() -> usize {
    64
}

fn default_file_bytes() -> ByteSize {
    ByteSize(1 << 30)
}

/// What kind of database a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// One SQLite file per tenant.
    Sqlite,
    /// A PostgreSQL server.
    Postgres,
}

/// `[capacity]`: what each tenant may use.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Capacity {
    /// Calls a second, sustained.
    pub requests_per_second: u32,
    /// Calls that may come at once.
    pub burst: u32,
    /// Calls in flight; never more than half of `server.concurrent_requests`.
    pub concurrent_requests: u32,
    /// Calls that may wait for one in flight to end; further ones are refused.
    pub queued_requests: u32,
    /// How long a call may wait.
    #[serde(deserialize_with = "duration::deserialize")]
    #[schemars(with = "String")]
    pub queue_timeout: Duration,
    /// Open connections. Default: a quarter of `server.max_connections`.
    pub connections: Option<usize>,
    /// The largest reply.
    pub reply_bytes: ByteSize,
    /// Memory for a tenant's cached replies.
    pub cache_bytes: ByteSize,
    /// Tenants that are held in memory at once; the least recently used are dropped.
    pub resident_tenants: usize,
    /// Existing MCP servers that run at once, over all tenants.
    pub upstream_processes: usize,
    /// After how long without a call a tenant's memory, connections to upstreams and open files are let go.
    #[serde(deserialize_with = "duration::deserialize")]
    #[schemars(with = "String")]
    pub idle: Duration,
    /// Other limits for single tenants.
    pub tenant: BTreeMap<String, CapacityOverride>,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            requests_per_second: 50,
            burst: 100,
            concurrent_requests: 32,
            queued_requests: 32,
            queue_timeout: Duration::from_secs(1),
            connections: None,
            reply_bytes: ByteSize(1 << 20),
            cache_bytes: ByteSize(4 << 20),
            resident_tenants: 10_000,
            upstream_processes: 256,
            idle: Duration::from_secs(600),
            tenant: BTreeMap::new(),
        }
    }
}

/// `[capacity.tenant.ID]`: what is different for one tenant.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CapacityOverride {
    /// Calls a second, sustained.
    pub requests_per_second: Option<u32>,
    /// Calls that may come at once.
    pub burst: Option<u32>,
    /// Calls in flight.
    pub concurrent_requests: Option<u32>,
    /// Calls that may wait.
    pub queued_requests: Option<u32>,
    /// How long a call may wait.
    #[serde(deserialize_with = "duration_option::deserialize")]
    #[schemars(with = "Option<String>")]
    pub queue_timeout: Option<Duration>,
    /// How long a call may take: instead of `server.call_timeout`, and at most for a tool that says something else.
    #[serde(deserialize_with = "duration_option::deserialize")]
    #[schemars(with = "Option<String>")]
    pub call_timeout: Option<Duration>,
    /// Open connections.
    pub connections: Option<usize>,
    /// The largest reply.
    pub reply_bytes: Option<ByteSize>,
    /// Memory for cached replies.
    pub cache_bytes: Option<ByteSize>,
}

/// `[http]`: what HTTP tools may reach.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Hosts (`name` or `name:port`) that may resolve to private, loopback or link-local addresses. All others must
    /// be public.
    pub allow_private: Vec<String>,
    /// The largest upstream reply that is read. Default: 1 MiB.
    pub max_reply_bytes: Option<ByteSize>,
    /// How long an upstream may take to accept a connection. Default: 5 s.
    #[serde(deserialize_with = "duration_option::deserialize")]
    #[schemars(with = "Option<String>")]
    pub connect_timeout: Option<Duration>,
}

/// `[audit]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditLog {
    /// The size at which a tenant's log file goes to `audit/archive` and a new one is begun. Default: 256 MiB.
    pub max_file_bytes: ByteSize,
}

impl Default for AuditLog {
    fn default() -> Self {
        Self { max_file_bytes: ByteSize(256 << 20) }
    }
}

/// A number of bytes, written as a number or as text such as `"1MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "String")]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The size for use as a length; saturates.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(n) => Ok(Self(n)),
            Written::Text(text) => parse_bytes(&text).map(Self).ok_or_else(|| {
                serde::de::Error::custom(format!(
                    "`{text}` is no size; write a number of bytes, or one with KiB, MiB or GiB, such as \"4MiB\""
                ))
            }),
        }
    }
}

fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    let unit = text.strip_prefix(digits)?.trim();
    let scale = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(scale)
}

mod address {
    //! Addresses to listen on, with errors that say what would be right.
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer};

    fn parse<'de, D: Deserializer<'de>>(deserializer: D, key: &str) -> Result<SocketAddr, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_error| {
            serde::de::Error::custom(format!(
                "`{key}`: `{text}` is no address to listen on; write an IP address and a port, for example \
                 \"127.0.0.1:8787\" or \"[::1]:8787\""
            ))
        })
    }

    pub(super) fn listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
        parse(deserializer, "server.listen")
    }

    pub(super) fn admin_listen<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        parse(deserializer, "server.admin_listen").map(Some)
    }
}

pub(crate) mod duration {
    //! Durations as text: `"30s"`, `"5m"`, `"250ms"`.
    use std::time::Duration;

    use serde::{Deserialize, Deserializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(|error| {
            serde::de::Error::custom(format!(
                "`{text}` is no duration ({error}); write for example \"30s\" or \"5m\""
            ))
        })
    }
}

pub(crate) mod duration_option {
    //! The same, for keys that may be absent.
    use std::time::Duration;

    use serde::Deserializer;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::duration::deserialize(deserializer).map(Some)
    }
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// When it cannot be read, is not valid TOML, has unknown keys, or asks for something that would break isolation.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let base = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Self::parse_of(&text, &path.display().to_string(), base, Some(path))
    }

    /// Parses and checks a configuration given as text; `name` stands in error messages for the file.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(text: &str, name: &str, base_dir: &Path) -> Result<Self, ConfigError> {
        Self::parse_of(text, name, base_dir, None)
    }

    fn parse_of(text: &str, name: &str, base_dir: &Path, file: Option<&Path>) -> Result<Self, ConfigError> {
        let problem = |line, text| ConfigProblem { file: name.to_owned(), line, text };
        let mut config: Self = toml::from_str(text).map_err(|error| {
            let (line, said) = unparsed(text, &error);
            ConfigError::Invalid { problems: vec![problem(line, said)] }
        })?;
        (config.base_dir, config.file) = (base_dir.to_owned(), file.map(Path::to_owned));
        let place = |tool: &toml::Spanned<ToolConfig>| format!("{name}:{}", line_of(text, tool.span().start));
        config.tool_places = config.tools.iter().map(place).collect();
        let problems: Vec<ConfigProblem> = check::problems(&config)
            .into_iter()
            .map(|found| {
                let line =
                    found.at.map_or_else(|| key_line(text, &found.text), |offset| line_of(text, offset));
                problem(line, found.text)
            })
            .collect();
        if problems.is_empty() { Ok(config) } else { Err(ConfigError::Invalid { problems }) }
    }

    /// The OAuth resource identifier of this server, which is the audience it accepts.
    #[must_use]
    pub fn resource(&self) -> String {
        self.server.public_url.clone().unwrap_or_else(|| format!("http://{}/mcp", self.server.listen))
    }

    /// The folder that holds the server's files.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.base_dir.join(&self.server.data_dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_the_documented_forms() {
        assert_eq!(parse_bytes("1MiB"), Some(1 << 20));
        assert_eq!(parse_bytes("10 kB"), Some(10_000));
        assert_eq!(parse_bytes("7"), Some(7));
        assert_eq!(parse_bytes("1 parsec"), None);
        assert_eq!(parse_bytes("-1"), None);
        assert_eq!(parse_bytes("99999999999999999999GiB"), None);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error =
            Config::parse("[server]\nlisten = \"127.0.0.1:1\"\nlisten_port = 3\n", "p.toml", Path::new("."))
                .expect_err("unknown key");
        let text = error.to_string();
        assert!(text.starts_with("p.toml:3: "), "{text}");
        assert!(text.contains("listen_port"), "{text}");
    }
}
