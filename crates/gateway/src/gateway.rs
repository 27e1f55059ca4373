//! Puts a gateway together from its configuration and native tools.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use http::HeaderMap;
use partywall_model::{Layer, TenantId};
use quick_cache::sync::Cache;
use secrecy::SecretString;
use serde_json::json;

use crate::{
    admit::{Permit, RequestId},
    central::{Central, CentralError},
    clock::Clock,
    config::{Config, Environment, ReferenceError},
    guards::{
        cache::shared::SharedReplies,
        capacity::{
            LimitTable,
            gate::Gate,
            refusals::Pacer,
            shared::{SharedError, SharedLimits},
        },
        credentials::{MasterKey, ReplyKeys, SecretName, Vault, VaultError},
        data::{DataError, Outside, Passed, Sources, Statement},
        disclosure::{
            Denial, Refused,
            audit::{Audit, AuditError, Line},
            metrics::Metrics,
        },
        identity::{Authenticator, IdentityError, Verified},
        routing::{Doors, Sealer},
        state::Residents,
    },
    reload::Reloads,
    tenants::{Registry, RegistryError, TenantState},
    tools::{NativeTool, Tool, ToolError, ToolSet, ToolSetError, http::HttpShared},
    upstream::{
        Processes, UpstreamSet,
        launch::{Launcher, Launchers},
    },
    wire::{ServeError, Server},
};

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The tenant registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A database.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The issuers.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A tool.
    #[error(transparent)]
    Tools(#[from] ToolSetError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The database of the state.
    #[error(transparent)]
    Central(#[from] CentralError),
    /// The master key is not where the configuration says.
    #[error("server.master_key: {0}")]
    MasterKey(#[from] ReferenceError),
    /// The limits that are shared with other processes.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// Existing MCP servers.
    #[error("[[upstream]]: {0}")]
    Upstream(String),
    /// HTTP tools.
    #[error("HTTP tools cannot be set up: {0}")]
    Http(String),
    /// The system.
    #[error("{0}")]
    System(String),
}

/// What stays when the configuration changes.
#[derive(Clone)]
pub(crate) struct Lasting {
    pub(crate) registry: Arc<Registry>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) residents: Arc<Residents>,
    /// The calls of all tenants go through it.
    pub(crate) gate: Arc<Gate>,
    pub(crate) pacer: Arc<Pacer>,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) environment: Environment,
    reply_keys: Arc<ReplyKeys>,
    /// What runs for tenants.
    pub(crate) processes: Arc<Processes>,
    launchers: Arc<Launchers>,
    /// What databases need of the rest of the process.
    pub(crate) outside: Outside,
    numbers: Arc<Numbers>,
}

impl Lasting {
    /// Writes down that something is served which the start would otherwise have refused, or warns of; no tenant has done
    /// it, so it stands in the log of what belongs to none.
    fn audit_passed(&self, passed: Passed) {
        let number = self.numbers.keyed.hash_one(self.numbers.count.fetch_add(1, Relaxed));
        let at = self.clock.since_epoch().as_secs_f64();
        let mut line = Line::of(None, RequestId::new(number), at);
        line.method = if passed.allowed { "config/allow" } else { "config/warning" }.into();
        line.layer = Some(Layer::Data.name());
        line.reason = Some(passed.told);
        self.audit.record_now(line);
    }
}

/// Everything a request may need; shared by all of them, and reached through a permit only.
pub(crate) struct Services {
    pub(crate) settings: Settings,
    pub(crate) limits: LimitTable,
    pub(crate) shared: Option<Arc<SharedLimits>>,
    pub(crate) replies: Option<Arc<SharedReplies>>,
    pub(crate) registry: Arc<Registry>,
    vault: Arc<Vault>,
    pub(crate) sources: Arc<Sources>,
    pub(crate) identity: Authenticator,
    pub(crate) residents: Arc<Residents>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) pacer: Arc<Pacer>,
    pub(crate) tools: ToolSet,
    pub(crate) upstreams: UpstreamSet,
    pub(crate) processes: Arc<Processes>,
    pub(crate) launcher: Option<Launcher>,
    pub(crate) http: HttpShared,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) doors: Doors,
    pub(crate) audit: Arc<Audit>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    statements: Cache<(String, &'static str, bool), Statement>,
    numbers: Arc<Numbers>,
}

/// The numbers of requests.
struct Numbers {
    count: AtomicU64,
    keyed: RandomState,
}

/// The services of the present configuration.
pub(crate) struct Live {
    services: ArcSwap<Services>,
    pub(crate) reloads: Reloads,
    /// Whether the server was asked to stop.
    pub(crate) draining: AtomicBool,
}

impl Live {
    /// The services as they are now; a request keeps to those that it began with.
    pub(crate) fn services(&self) -> Arc<Services> {
        self.services.load_full()
    }

    pub(crate) fn replace(&self, services: Services) {
        self.services.store(Arc::new(services));
    }
}

/// What the wire edge needs of the configuration.
pub(crate) struct Settings {
    pub(crate) max_body_bytes: usize,
    pub(crate) read_timeout: Duration,
    pub(crate) call_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) refusal_delay: Duration,
    pub(crate) idle: Duration,
    pub(crate) upstream_processes: usize,
    pub(crate) data_dir: PathBuf,
    pub(crate) name: String,
    pub(crate) instructions: Option<String>,
    /// The `_meta` of every result (2026-07-28), as JSON.
    pub(crate) server_meta: String,
}

impl Settings {
    fn new(config: &Config) -> Self {
        let server = &config.server;
        let info = json!({ "name": server.name, "version": crate::VERSION });
        Self {
            max_body_bytes: server.max_body_bytes,
            read_timeout: server.read_timeout,
            call_timeout: server.call_timeout,
            drain_timeout: server.drain_timeout,
            refusal_delay: server.refusal_delay,
            idle: config.capacity.idle,
            upstream_processes: config.capacity.upstream_processes,
            data_dir: config.data_dir(),
            name: server.name.clone(),
            instructions: server.instructions.clone(),
            server_meta: json!({ "io.modelcontextprotocol/serverInfo": info }).to_string(),
        }
    }
}

/// What is shared with other processes.
#[derive(Default)]
pub(crate) struct Common {
    limits: Option<Arc<SharedLimits>>,
    replies: Option<Arc<SharedReplies>>,
}

impl Common {
    /// What the configuration says; what `before` has of it again, with its connections, when that has not changed.
    pub(crate) fn open(
        config: &Config,
        lasting: &Lasting,
        before: Option<&Services>,
    ) -> Result<Self, SharedError> {
        let Lasting { environment, reply_keys, clock, .. } = lasting;
        let (limits, replies) =
            before.map(|before| (before.shared.clone(), before.replies.clone())).unwrap_or_default();
        Ok(Self {
            limits: SharedLimits::open(config, environment, limits)?,
            replies: SharedReplies::open(config, environment, reply_keys, clock, replies)?,
        })
    }
}

impl Services {
    /// Makes everything that follows from a configuration.
    pub(crate) fn new(
        config: &Config,
        revision: u64,
        sources: Arc<Sources>,
        common: Common,
        native: &[NativeTool],
        lasting: &Lasting,
    ) -> Result<Self, OpenError> {
        let Common { limits: shared, replies } = common;
        for passed in sources.verify()? {
            let told = &passed.told;
            if passed.allowed {
                tracing::warn!("allowed by the configuration: {told}");
            } else {
                tracing::warn!("found by the check of the database (`partywall check` tells more): {told}");
            }
            lasting.audit_passed(passed);
        }
        if sources.has_migrations() {
            let tenants = lasting.registry.list()?;
            let active = tenants.iter().filter(|record| record.state == TenantState::Active);
            sources.agree(active.map(|record| (&record.id, record.incarnation)))?;
        }
        // Part of every cache key, so that a reply made by another configuration is never found.
        let upstreams = UpstreamSet::new(config)?;
        let launcher = match upstreams.has_processes() {
            true => Some(lasting.launchers.get().map_err(|error| OpenError::Upstream(error.to_string()))?),
            false => None,
        };
        let tools = ToolSet::new(config, &sources, native, &upstreams, revision)?;
        let scopes: BTreeSet<String> = tools.scopes().into_iter().chain(upstreams.scopes()).collect();
        sources.loaded();
        let Lasting {
            registry,
            vault,
            residents,
            gate,
            pacer,
            sealer,
            audit,
            metrics,
            clock,
            numbers,
            processes,
            ..
        } = lasting.clone();
        Ok(Self {
            settings: Settings::new(config),
            limits: LimitTable::new(config, revision).sharing(shared.clone()),
            shared,
            replies,
            identity: Authenticator::new(config, clock.clone())?.with_scopes(scopes.into_iter().collect()),
            http: HttpShared::new(&config.http).map_err(|error| OpenError::Http(error.to_string()))?,
            doors: Doors::new(config),
            statements: Cache::new(256),
            registry,
            vault,
            sources,
            residents,
            gate,
            pacer,
            tools,
            upstreams,
            processes,
            launcher,
            sealer,
            audit,
            metrics,
            clock,
            numbers,
        })
    }

    /// A number that tells nothing about how many requests others send: a keyed hash of a counter.
    pub(crate) fn next_request(&self) -> RequestId {
        RequestId::new(self.numbers.keyed.hash_one(self.numbers.count.fetch_add(1, Relaxed)))
    }

    /// Verifies a request's credential.
    pub(crate) async fn authenticate(&self, headers: &HeaderMap) -> Result<Verified, Denial> {
        if let Some(verified) = self.identity.cached(headers) {
            return Ok(verified);
        }
        #[cfg(test)]
        if crate::removed::removed("permit") && !headers.contains_key(http::header::AUTHORIZATION) {
            return Ok(Verified::somebody());
        }
        self.identity.authenticate(headers).await.map_err(|denial| {
            let challenge = self.identity.challenge(&denial, None);
            Denial::new(Layer::Identity, denial.reason(), Refused::Unauthenticated(challenge))
        })
    }

    /// A native tool's statement, if it was prepared.
    pub(crate) fn prepared(&self, source: &str, sql: &'static str, writes: bool) -> Option<Statement> {
        self.statements.get(&(source.to_owned(), sql, writes))
    }

    /// A native tool's statement, prepared once; may block.
    pub(crate) fn statement(
        &self,
        source: &str,
        sql: &'static str,
        params: &[&str],
        writes: bool,
    ) -> Result<Statement, DataError> {
        // The text is part of the program, so the program bounds their number; the cache bounds it once more.
        let compiled = self.statements.get_or_insert_with(&(source.to_owned(), sql, writes), || {
            self.sources.compile(source, sql, params, writes)
        });
        self.sources.loaded();
        compiled
    }

    /// Lets go of what is held for a tenant that is gone: its memory and its open files.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        if self.residents.forget(tenant) {
            self.sources.forget(tenant);
        }
    }

    /// Waits until the audit log has everything that was answered so far.
    pub(crate) async fn flush_audit(&self) {
        self.pacer.settle(&self.audit, &self.clock).await;
        self.audit.flush();
    }

    /// The tenant's value of a secret.
    pub(crate) async fn read_secret(
        &self,
        permit: &Permit,
        name: &SecretName,
    ) -> Result<SecretString, ToolError> {
        let (vault, permit, wanted) = (Arc::clone(&self.vault), permit.clone(), name.clone());
        let read = tokio::task::spawn_blocking(move || vault.read(&permit, &wanted)).await;
        match read {
            Ok(Ok(Some(value))) => Ok(value),
            Ok(Ok(None)) => Err(ToolError::MissingSecret(name.to_string())),
            Ok(Err(error)) => Err(ToolError::internal(error.to_string())),
            Err(_stopped) => Err(ToolError::internal("the vault's reader stopped")),
        }
    }
}

/// Collects what a gateway is made of.
pub struct GatewayBuilder {
    config: Config,
    native: Vec<NativeTool>,
    clock: Clock,
    master: Option<MasterKey>,
    environment: Environment,
}

impl GatewayBuilder {
    /// Adds a native tool, for all tenants.
    #[must_use]
    pub fn tool<T: Tool>(mut self, tool: T) -> Self {
        self.native.push(NativeTool::new(tool));
        self
    }

    /// Adds a native tool that only the named tenants have; for the others it does not exist.
    #[must_use]
    pub fn tool_for<T: Tool>(mut self, tenants: &[&str], tool: T) -> Self {
        self.native.push(NativeTool::new(tool).only_for(tenants));
        self
    }

    /// Takes the time from another clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Takes the vault's master key from elsewhere than `data_dir/master.key`.
    #[must_use]
    pub fn master_key(mut self, key: MasterKey) -> Self {
        self.master = Some(key);
        self
    }

    /// Takes the values of `env:NAME` in the configuration from here; without it there are none.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Opens every store, compiles every tool and checks what can be checked without serving.
    ///
    /// # Errors
    /// The first thing that is not as it should be.
    pub fn open(self) -> Result<Gateway, OpenError> {
        let Self { config, native, clock, master, environment } = self;
        let data_dir = config.data_dir();
        let Stores { registry, vault, central, reply_keys } = Stores::open(&config, &environment, master)?;
        let (registry, vault) = (Arc::new(registry), Arc::new(vault));
        registry.attend()?;
        let audit = match &central {
            Some(central) => Audit::central(central)?,
            None => Audit::open(&data_dir, config.audit.max_file_bytes.0)?,
        };
        let outside = Outside {
            environment: environment.clone(),
            vault: Some(Arc::clone(&vault)),
            registry: Some(Arc::clone(&registry)),
        };
        let sources = Sources::new(&config, &outside)?;
        let sealer = Sealer::new(clock.clone()).map_err(|error| OpenError::System(error.to_string()))?;
        let lasting = Lasting {
            registry: Arc::clone(&registry),
            vault: Arc::clone(&vault),
            residents: Arc::new(Residents::new(config.capacity.resident_tenants)),
            gate: Gate::new(config.server.concurrent_requests as usize),
            pacer: Arc::new(Pacer::new()),
            sealer: Arc::new(sealer),
            audit: Arc::new(audit),
            metrics: Arc::default(),
            numbers: Arc::new(Numbers { count: AtomicU64::new(0), keyed: RandomState::new() }),
            clock: clock.clone(),
            environment,
            reply_keys: Arc::new(reply_keys),
            processes: Arc::default(),
            launchers: Arc::default(),
            outside,
        };
        let common = Common::open(&config, &lasting, None)?;
        let reloads = Reloads::new(&clock);
        let open = Arc::clone(&sources);
        let services = Services::new(&config, reloads.revision(), open, common, &native, &lasting)?;
        let services = ArcSwap::from_pointee(services);
        let live = Live { services, reloads, draining: AtomicBool::new(false) };
        let administration = Administration { registry, vault, sources, data_dir };
        Ok(Gateway {
            live: Arc::new(live),
            lasting,
            native,
            administration,
            config: ArcSwap::from_pointee(config),
            reloading: Mutex::new(()),
        })
    }
}

/// Tenants and secrets, where a configuration has them; for those who run the server.
pub struct Stores {
    /// The tenants.
    pub registry: Registry,
    /// The secrets; values can be set here, and read with a permit only.
    pub vault: Vault,
    central: Option<Arc<Central>>,
    reply_keys: ReplyKeys,
}

impl Stores {
    /// Opens the stores of a configuration, and makes them when there are none. `master` is the vault's key if it comes
    /// from elsewhere than the configuration says.
    ///
    /// # Errors
    /// One of them cannot be opened.
    pub fn open(
        config: &Config,
        environment: &Environment,
        master: Option<MasterKey>,
    ) -> Result<Self, OpenError> {
        let data_dir = config.data_dir();
        let central = Central::open(config, environment)?;
        let master = || {
            let master = match (master, &config.server.master_key) {
                (Some(master), _) => master,
                (None, Some(key)) => MasterKey::from_text(key.resolve(&config.base_dir, environment)?)?,
                (None, None) => MasterKey::load_or_create(&data_dir)?,
            };
            let replies = ReplyKeys::new(&master)
                .ok_or_else(|| OpenError::System("no keys can be derived from the master key".to_owned()))?;
            Ok::<_, OpenError>((master, replies))
        };
        Ok(match central {
            Some(central) => {
                let registry = Registry::central(&central);
                let (master, reply_keys) = master()?;
                Self {
                    registry,
                    vault: Vault::central(&central, master)?,
                    central: Some(central),
                    reply_keys,
                }
            }
            None => {
                let registry = Registry::open(&data_dir)?;
                let (master, reply_keys) = master()?;
                Self { registry, vault: Vault::open(&data_dir, master)?, central: None, reply_keys }
            }
        })
    }
}

/// Tenants, secrets and databases for those who run the server; none of it is reached by a request.
#[derive(Clone)]
pub struct Administration {
    /// The tenants.
    pub registry: Arc<Registry>,
    /// The secrets; values can be set here, and read with a permit only.
    pub vault: Arc<Vault>,
    /// The databases, as the configuration at the start has them.
    pub sources: Arc<Sources>,
    /// Where it all is.
    pub data_dir: PathBuf,
}

/// A gateway that is ready to serve.
pub struct Gateway {
    pub(crate) live: Arc<Live>,
    pub(crate) lasting: Lasting,
    pub(crate) native: Vec<NativeTool>,
    administration: Administration,
    pub(crate) config: ArcSwap<Config>,
    pub(crate) reloading: Mutex<()>,
}

impl Gateway {
    /// Starts with a configuration.
    #[must_use]
    pub fn builder(config: Config) -> GatewayBuilder {
        GatewayBuilder {
            config,
            native: Vec::new(),
            clock: Clock::system(),
            master: None,
            environment: Environment::default(),
        }
    }

    /// The configuration that is served now.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// The stores, for administration.
    #[must_use]
    pub fn administration(&self) -> &Administration {
        &self.administration
    }

    /// The names of the tools that a tenant has.
    #[must_use]
    pub fn tools_of(&self, tenant: &partywall_model::TenantId) -> Vec<String> {
        self.live.services().tools.visible(tenant).map(|tool| tool.name.to_string()).collect()
    }

    /// How many tenants are held in memory.
    #[must_use]
    pub fn resident_tenants(&self) -> usize {
        self.lasting.residents.len()
    }

    /// Writes the audit lines that are owed: of refusals that another line was to stand for.
    pub async fn flush_audit(&self) {
        self.live.services().flush_audit().await;
    }

    /// Lets go of the tenants that made no call for so long: their memory, their connections to upstreams, and files
    /// that were not used. How many tenants. A server does so by itself after `capacity.idle`; closing may write to
    /// disk.
    pub fn drop_idle(&self, idle: Duration) -> usize {
        let now = Instant::now();
        if let Some(since) = now.checked_sub(idle) {
            self.live.services().sources.close_idle(since);
        }
        self.lasting.residents.drop_idle(idle, now)
    }

    /// Asks the server that limits are shared through, if there is one; why there is no answer.
    pub async fn shared_trouble(&self) -> Option<String> {
        self.live.services().shared.as_ref()?.trouble().await
    }

    /// Serves on a listener that is open already; its address must be the one of the configuration.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub async fn serve_on(&self, listener: std::net::TcpListener) -> Result<Server, ServeError> {
        Server::on(Arc::clone(&self.live), listener, &self.config()).await
    }

    /// Takes the addresses of the configuration.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub async fn bind(&self) -> Result<Server, ServeError> {
        Server::bind(Arc::clone(&self.live), &self.config()).await
    }
}

#[cfg(test)]
pub(crate) use tests::for_test;

#[cfg(test)]
mod tests;
