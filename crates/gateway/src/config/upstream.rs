//! `[[upstream]]`: an existing MCP server behind the gateway.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Auth, ByteSize};

/// `[[upstream]]`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// What its tools begin with: `NAME_TOOL`.
    pub name: String,
    /// The program and its arguments, started once for each tenant. `{tenant}` and `{tenant_dir}` stand for the tenant's id and
    /// for a folder of its own. Either this or `url`.
    pub command: Option<Vec<String>>,
    /// `command`: what its environment has besides a path, a home and a folder for temporary files: `secret:NAME`, or a text, in
    /// which `{tenant}` and `{tenant_dir}` may stand.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// `command`: further folders that its processes may read, the same for every tenant.
    #[serde(default)]
    pub read: Vec<PathBuf>,
    /// `command`: which TCP ports its processes may use, where the kernel can tell.
    #[serde(default)]
    pub network: UpstreamNetwork,
    /// The server's URL (streamable HTTP). Either this or `command`.
    pub url: Option<String>,
    /// `url`: the credential, the tenant's own.
    pub auth: Option<Auth>,
    /// What a process, or a conversation, may take.
    #[serde(default)]
    pub limits: UpstreamLimits,
    /// The server's own names of the tools that are offered. Default: all.
    pub tools: Option<Vec<String>>,
    /// The scope a caller needs for any of them.
    pub scope: Option<String>,
    /// The tenants that have it; for the others it does not exist. Default: all of them.
    pub tenants: Option<Vec<String>>,
    /// How long one call may take. Default: `server.call_timeout`.
    #[serde(default, deserialize_with = "super::duration_option::deserialize")]
    #[schemars(with = "Option<String>")]
    pub timeout: Option<Duration>,
    /// Arguments that the gateway fills in and no caller sees: `tenant`, `subject`, `secret:NAME`, or `text:` and a text.
    #[serde(default)]
    pub pin: BTreeMap<String, String>,
}

/// `[upstream.network]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamNetwork {
    /// The ports that they may connect to, on whatever host. Default: all.
    pub connect: Option<Vec<u16>>,
    /// Whether they may listen, where the processes of other tenants could reach them.
    pub listen: bool,
}

/// `[upstream.limits]`
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamLimits {
    /// `command`: the memory of each process of a tenant.
    pub memory: ByteSize,
    /// `command`: how many processes and threads a tenant's server may have.
    pub processes: u32,
    /// After how long without a call it is stopped.
    #[serde(deserialize_with = "super::duration::deserialize")]
    #[schemars(with = "String")]
    pub idle: Duration,
    /// How long it may take to start and to list its tools.
    #[serde(deserialize_with = "super::duration::deserialize")]
    #[schemars(with = "String")]
    pub start: Duration,
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self {
            memory: ByteSize(512 << 20),
            processes: 64,
            idle: Duration::from_secs(300),
            start: Duration::from_secs(20),
        }
    }
}
