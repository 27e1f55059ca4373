//! `[[upstream]]` as it is served: what a call may need of its declaration.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use partywall_model::TenantId;

use crate::{
    config::{Config, Http, UpstreamConfig, UpstreamLimits},
    guards::credentials::SecretName,
    tools::ToolSetError,
    upstream::{HttpUpstream, launch::Network, reach},
};

/// An existing MCP server.
pub(crate) struct Upstream {
    pub(crate) name: Arc<str>,
    /// What its tools begin with.
    prefix: String,
    pub(crate) scope: Option<String>,
    tenants: Option<BTreeSet<String>>,
    pub(crate) timeout: Option<Duration>,
    tools: Option<BTreeSet<String>>,
    pub(super) pins: BTreeMap<String, Pin>,
    pub(super) limits: UpstreamLimits,
    pub(super) way: Way,
    /// A digest of the declaration; what was started with another one is replaced.
    pub(super) declaration: [u8; 32],
    /// Whom the operator was told of, so that it is told once.
    told: Mutex<BTreeSet<String>>,
}

/// How it is reached.
pub(super) enum Way {
    /// It is started.
    Command(Command),
    /// It is called.
    Url(HttpUpstream, Vec<SecretName>),
}

/// A program, and what it is started with.
#[derive(Clone)]
pub(super) struct Command {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, Given)>,
    pub(super) readable: Vec<PathBuf>,
    pub(super) network: Network,
}

/// A value of the environment.
#[derive(Clone)]
pub(super) enum Given {
    /// A text with placeholders.
    Text(String),
    /// The tenant's secret.
    Secret(SecretName),
}

impl Command {
    fn new(config: &UpstreamConfig, base: &Path) -> Result<Self, String> {
        // The folder that it runs in is the tenant's, so a relative path is one from the configuration's.
        let absolute = |path: &Path| std::path::absolute(base.join(path)).map_err(|error| error.to_string());
        let mut environment = Vec::new();
        for (name, value) in &config.env {
            let given = match value.strip_prefix("secret:") {
                Some(name) => Given::Secret(secret(name)?),
                None => Given::Text(value.clone()),
            };
            environment.push((name.clone(), given));
        }
        let mut words = config.command.iter().flatten();
        let program = words.next().map(String::as_str).unwrap_or_default();
        let program = if program.contains('/') { absolute(Path::new(program))? } else { program.into() };
        let readable = config.read.iter().map(|path| absolute(path)).collect::<Result<_, _>>()?;
        let network = Network { connect: config.network.connect.clone(), listen: config.network.listen };
        Ok(Self { program, arguments: words.cloned().collect(), environment, readable, network })
    }
}

fn secret(name: &str) -> Result<SecretName, String> {
    SecretName::parse(name).map_err(|error| error.to_string())
}

/// Whether a server at a URL cannot know whose call it answers.
fn is_the_same_for_all(config: &UpstreamConfig) -> bool {
    config.url.is_some() && config.auth.is_none() && config.pin.is_empty()
}

/// What a pinned argument is filled in with.
pub(super) enum Pin {
    Tenant,
    Subject,
    Secret(SecretName),
    Text(String),
}

/// The most things of one server that the operator is told of.
const MOST_TOLD: usize = 512;

impl Upstream {
    fn new(config: &UpstreamConfig, base: &Path, http: &Http) -> Result<Self, String> {
        let mut pins = BTreeMap::new();
        for (argument, value) in &config.pin {
            let pin = match value.split_once(':') {
                None if value == "tenant" => Pin::Tenant,
                None => Pin::Subject,
                Some(("secret", name)) => Pin::Secret(secret(name)?),
                Some((_, text)) => Pin::Text(text.to_owned()),
            };
            pins.insert(argument.clone(), pin);
        }
        let way = match &config.url {
            Some(url) => {
                let called = HttpUpstream::compile(url, config.auth.as_ref(), http);
                let called = called.map_err(|error| error.to_string())?;
                let secrets = called.secrets().map(secret).collect::<Result<_, _>>()?;
                Way::Url(called, secrets)
            }
            None => Way::Command(Command::new(config, base)?),
        };
        let text = format!("{}\n{config:?}\n{http:?}\n{}", crate::VERSION, base.display());
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        Ok(Self {
            name: config.name.as_str().into(),
            prefix: format!("{}_", config.name),
            scope: config.scope.clone(),
            tenants: config.tenants.as_ref().map(|tenants| tenants.iter().cloned().collect()),
            timeout: config.timeout,
            tools: config.tools.as_ref().map(|tools| tools.iter().cloned().collect()),
            pins,
            limits: config.limits,
            way,
            declaration: digest.as_ref().try_into().unwrap_or_default(),
            told: Mutex::default(),
        })
    }

    fn visible_to(&self, tenant: &TenantId) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(tenant.as_str()))
    }

    /// Whether the operator wants a tool of this name offered.
    pub(crate) fn offers(&self, tool: &str) -> bool {
        self.tools.as_ref().is_none_or(|tools| tools.contains(tool))
    }

    /// Whether the operator named it in `tools`.
    pub(super) fn names(&self, tool: &str) -> bool {
        self.tools.as_ref().is_some_and(|tools| tools.contains(tool))
    }

    /// Tells the operator of what `tools` names and the server does not have.
    pub(super) fn tell_absent(&self, there: &BTreeSet<String>) {
        for tool in self.tools.iter().flatten().filter(|tool| !there.contains(*tool)) {
            let own = tool.strip_prefix(&self.prefix).filter(|own| !own.is_empty());
            let hint = own.map_or_else(String::new, |own| {
                format!(", here perhaps `{own}`: what is before it is the upstream's")
            });
            self.tell_once(
                tool,
                &format!("the server has no tool of this name; `tools` takes the server's own names{hint}"),
            );
        }
    }

    /// The name of a tool as callers see it.
    pub(super) fn name_of(&self, tool: &str) -> String {
        format!("{}{tool}", self.prefix)
    }

    /// Whether callers of all tenants may have it, so that strangers may be told of its scope.
    fn is_for_all(&self) -> bool {
        self.tenants.is_none()
    }

    /// Tells the operator something of a tool, once.
    pub(super) fn tell_once(&self, tool: &str, what: &str) {
        let first = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            told.len() < MOST_TOLD && told.insert(format!("{tool}\n{what}"))
        };
        if first {
            tracing::warn!(upstream = %self.name, tool, "a tool of the upstream is not offered: {what}");
        }
    }
}

/// All existing MCP servers of a configuration, in its order.
#[derive(Default)]
pub(crate) struct UpstreamSet(Vec<Arc<Upstream>>);

impl UpstreamSet {
    pub(crate) fn new(config: &Config) -> Result<Self, ToolSetError> {
        let upstreams = config.upstreams.iter().map(|declared| {
            let declared = declared.get_ref();
            for missing in reach::missing(declared, &config.base_dir) {
                tracing::warn!(upstream = declared.name, "the upstream cannot start so: {missing}");
            }
            if is_the_same_for_all(declared) {
                tracing::warn!(
                    upstream = declared.name,
                    "nothing tells the upstream which tenant calls, so all of them see the same there; give each a \
                     credential with `auth`, or a value with `pin`, unless nothing there belongs to anybody"
                );
            }
            reach::found(declared, config)
                .and_then(|()| Upstream::new(declared, &config.base_dir, &config.http))
                .map(Arc::new)
                .map_err(|problem| ToolSetError::of_upstream(&declared.name, &problem))
        });
        upstreams.collect::<Result<_, _>>().map(Self)
    }

    /// Those that a tenant has.
    pub(crate) fn visible<'a>(&'a self, tenant: &'a TenantId) -> impl Iterator<Item = &'a Arc<Upstream>> {
        self.0.iter().filter(|upstream| upstream.visible_to(tenant))
    }

    /// Whose tool a name is, if the tenant has that server, and what it is called there.
    pub(crate) fn of_name<'s, 'n>(
        &'s self,
        name: &'n str,
        tenant: &TenantId,
    ) -> Option<(&'s Arc<Upstream>, &'n str)> {
        self.0
            .iter()
            .filter(|upstream| upstream.visible_to(tenant))
            .find_map(|upstream| Some((upstream, name.strip_prefix(&upstream.prefix)?)))
    }

    /// The server whose tools a name may be of, for whatever tenant.
    pub(crate) fn claims(&self, name: &str) -> Option<&Upstream> {
        self.0.iter().find(|upstream| name.starts_with(&upstream.prefix)).map(Arc::as_ref)
    }

    /// Whether what was started with such a declaration is served still, to this tenant.
    pub(super) fn has(&self, name: &str, declaration: &[u8; 32], tenant: &TenantId) -> bool {
        self.visible(tenant).any(|upstream| &*upstream.name == name && upstream.declaration == *declaration)
    }

    /// Whether any of them is started.
    pub(crate) fn has_processes(&self) -> bool {
        self.0.iter().any(|upstream| matches!(upstream.way, Way::Command(_)))
    }

    /// The scopes that callers of all tenants may be told of.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = String> {
        self.0.iter().filter(|upstream| upstream.is_for_all()).filter_map(|upstream| upstream.scope.clone())
    }
}
