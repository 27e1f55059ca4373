//! A real gateway on a free loopback port with neighbours in it, and everything that attacks it.

mod caller;
mod canary;
mod gate;
mod tokens;
mod tools;
mod upstream;
mod wire;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use partywall_gateway::{
    Gateway, GatewayBuilder, ReloadError, audit,
    clock::Clock,
    config::Config,
    guards::{credentials::SecretName, identity::DevelopmentIssuer},
    tenants::remove_tenant,
};
use partywall_model::TenantId;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::oneshot;

pub(crate) use self::{
    caller::Caller,
    canary::Canaries,
    gate::{Gates, in_time},
    tokens::{Signer, claims, with},
    upstream::Upstream,
    wire::{Answer, Ask, Conn, META},
};

const CONFIG: &str = include_str!("../../../../examples/helpdesk/partywall.toml");
const MIGRATION: &str = include_str!("../../../../examples/helpdesk/migrations/0001_tickets.sql");
const MORE_TABLES: &str = include_str!("support/more_tables.sql");
const MORE_TOOLS: &str = include_str!("support/more_tools.toml");

/// The issuers whose keys the tests hold, besides the development issuer.
pub(crate) const ISSUER: &str = "https://login.test.example/";
pub(crate) const SECOND_ISSUER: &str = "https://login.other.example/";

/// The one ticket number that the last neighbour alone has.
pub(crate) const ONLY_GLOBEX: i64 = 77;

/// Starts a task that belongs to no tenant.
pub(crate) fn background(task: impl Future<Output = ()> + Send + 'static) {
    #[expect(clippy::disallowed_methods, reason = "the servers and callers of the tests")]
    drop(tokio::spawn(task));
}

/// Starts a task whose result is awaited.
pub(crate) fn task<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "the callers of the tests")]
    tokio::spawn(work)
}

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

/// How a house differs from the usual one.
#[derive(Default)]
pub(crate) struct Plan {
    /// `[capacity]`; without it there is room for everything.
    pub(crate) capacity: Option<&'static str>,
    /// Goes into `[server]`.
    pub(crate) server: &'static str,
    /// More tools, as TOML.
    pub(crate) tools: String,
    /// More native tools.
    pub(crate) native: Option<fn(GatewayBuilder) -> GatewayBuilder>,
    /// Another clock than the system's.
    pub(crate) clock: Option<Clock>,
}

/// A running gateway. Its tenants are acme and globex.
pub(crate) struct House {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) upstream: Upstream,
    pub(crate) gates: Arc<Gates>,
    pub(crate) canaries: Arc<Canaries>,
    pub(crate) signer: Signer,
    pub(crate) second_signer: Signer,
    development: DevelopmentIssuer,
    folder: tempfile::TempDir,
    text: String,
    stop: Option<oneshot::Sender<()>>,
    served: Option<oneshot::Receiver<()>>,
}

/// In memory where the system has such a folder: what is tested is not the disk.
fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// The program that servers are started through, which stands beside the tests.
fn launcher() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().and_then(std::path::Path::parent).unwrap().join("examples/launcher")
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::with(Plan::default()).await
    }

    pub(crate) async fn with(plan: Plan) -> Self {
        let folder = folder();
        let (gates, canaries) = (Arc::new(Gates::default()), Arc::new(Canaries::default()));
        let upstream = Upstream::start(Arc::clone(&gates), Arc::clone(&canaries)).await;
        let (signer, second_signer) = (Signer::new("one"), Signer::new("two"));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        write_files(&folder, &signer, &second_signer);
        let text = config_text(&plan, address, upstream.address);
        let config = Config::parse(&text, "test", folder.path()).unwrap();
        partywall_gateway::launcher::through(launcher());
        let mut builder = tools::add(Gateway::builder(config), &gates, &canaries);
        if let Some(native) = plan.native {
            builder = native(builder);
        }
        if let Some(clock) = plan.clock {
            builder = builder.clock(clock);
        }
        let gateway = builder.open().unwrap();
        let development =
            DevelopmentIssuer::open_or_create(&gateway.config().data_dir(), &gateway.config().resource())
                .unwrap();
        let server = gateway.serve_on(listener).await.unwrap();
        let admin = server.admin_address().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (end, served) = oneshot::channel::<()>();
        background(async move {
            server.serve(async move { drop(stopped.await) }).await;
            drop(end);
        });
        let house = Self {
            gateway: Arc::new(gateway),
            address,
            admin,
            upstream,
            gates,
            canaries,
            signer,
            second_signer,
            development,
            folder,
            text,
            stop: Some(stop),
            served: Some(served),
        };
        house.add("acme");
        house.add("globex");
        house
    }

    /// Another process with the same tenants, secrets and keys, in a copy of the folder: its address.
    pub(crate) async fn twin(&self) -> SocketAddr {
        let folder = folder();
        copy(self.folder.path(), folder.path());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (here, public) = (format!("listen = \"{}\"", self.address), self.resource());
        let there = format!("listen = \"{address}\"\npublic_url = \"{public}\"");
        let text = self.text.replacen(&format!("\n{here}"), &format!("\n{there}"), 1);
        let config = Config::parse(&text, "test", folder.path()).unwrap();
        let gateway = tools::add(Gateway::builder(config), &self.gates, &self.canaries).open().unwrap();
        let server = gateway.serve_on(listener).await.unwrap();
        background(async move {
            // It has to last as long.
            let (_folder, _gateway) = (folder, gateway);
            server.serve(std::future::pending()).await;
        });
        address
    }

    /// The same caller at another process.
    pub(crate) fn caller_at(&self, id: &str, address: SocketAddr) -> Caller {
        let token = self.token(id, &format!("user@{id}.example"), "");
        Caller::new(id, token, address, Arc::clone(&self.canaries))
    }

    /// Has the server stop; what is given ends when it has.
    pub(crate) fn stop(&mut self) -> impl Future<Output = ()> + use<> {
        drop(self.stop.take());
        let served = self.served.take();
        async move { drop(in_time("the server stops", served.unwrap()).await) }
    }

    /// Has the server take another configuration, made from the present one.
    pub(crate) fn reload(&mut self, edit: impl FnOnce(&str) -> String) -> Result<(), ReloadError> {
        let text = edit(&self.text);
        self.gateway.reload(Config::parse(&text, "test", self.folder.path())?)?;
        self.text = text;
        Ok(())
    }

    /// What the operator is told.
    pub(crate) async fn operator(&self, path: &str) -> Answer {
        Conn::open(self.admin).await.ask(&Ask::new("GET", path)).await
    }

    /// The value of a metric.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let text = self.operator("/metrics").await.text();
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        value.unwrap_or_else(|| panic!("{name} is missing in {text}")).parse().unwrap()
    }

    /// Waits until a metric has a value.
    pub(crate) async fn until(&self, name: &str, value: u64) {
        in_time(name, async {
            while self.metric(name).await != value {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Makes a tenant with data and a key of its own, and marks of its own in both.
    pub(crate) fn add(&self, id: &str) {
        self.add_without_secret(id);
        self.set_secret(id);
    }

    pub(crate) fn add_without_secret(&self, id: &str) {
        let stores = self.gateway.administration();
        let record = stores.registry.add(&tenant(id)).unwrap();
        let marks = self.canaries.plant(id);
        let mut seed = String::new();
        let only = (id == "globex").then_some(ONLY_GLOBEX);
        for n in (1..=10).chain(only) {
            seed.push_str(&format!(
                "INSERT INTO tickets (id, title, customer_id, body, created_at) VALUES \
                 ({n}, 'Ticket {n}', 'cus_1001', 'mine: {} for {}', '2026-11-03T09:00:00Z');\n",
                marks.text, marks.number
            ));
        }
        seed.push_str(&format!(
            "INSERT INTO invoices (id, amount) VALUES (1, {});\nINSERT INTO labels (name) VALUES ('{}');\n",
            marks.number, marks.text
        ));
        stores.sources.setup(&record.id, record.incarnation, "desk", &seed).unwrap();
    }

    /// Gives the tenant a fresh key of the upstream.
    pub(crate) fn set_secret(&self, id: &str) {
        let stores = self.gateway.administration();
        let record = stores.registry.get(&tenant(id)).unwrap().unwrap();
        let key = self.upstream.new_key(id);
        self.canaries.also(id, &key);
        let name = SecretName::parse("crm_api_key").unwrap();
        stores.vault.set(&record, &name, SecretString::from(key)).unwrap();
    }

    pub(crate) fn remove(&self, id: &str) {
        let stores = self.gateway.administration();
        remove_tenant(&stores.registry, &stores.vault, &stores.data_dir, &tenant(id)).unwrap();
    }

    /// A token of the development issuer.
    pub(crate) fn token(&self, id: &str, subject: &str, scopes: &str) -> String {
        let hour = Duration::from_secs(3600);
        let (clock, registry) = (Clock::system(), &self.gateway.administration().registry);
        let token = match registry.get(&tenant(id)).unwrap() {
            Some(record) => self.development.mint_for(&record, subject, scopes, hour, &clock),
            None => self.development.mint(&tenant(id), subject, scopes, hour, &clock),
        };
        token.unwrap().expose_secret().to_owned()
    }

    /// A caller of the tenant, on a connection of its own.
    pub(crate) fn caller(&self, id: &str) -> Caller {
        let token = self.token(id, &format!("user@{id}.example"), "");
        self.caller_with(id, token)
    }

    /// A caller with this token, who may see what belongs to the tenant.
    pub(crate) fn caller_with(&self, id: &str, token: String) -> Caller {
        Caller::new(id, token, self.address, Arc::clone(&self.canaries))
    }

    /// Somebody without a token.
    pub(crate) fn stranger(&self) -> Caller {
        Caller::new("", String::new(), self.address, Arc::clone(&self.canaries))
    }

    /// The resource identifier, which is the audience of good tokens.
    pub(crate) fn resource(&self) -> String {
        self.gateway.config().resource()
    }

    pub(crate) fn audit_folder(&self) -> PathBuf {
        self.gateway.config().data_dir().join("audit")
    }

    /// How each request of a tenant ended, by its audit log; with `-unattributed` those of no tenant.
    pub(crate) async fn audit(&self, id: &str) -> Vec<Value> {
        self.gateway.flush_audit().await;
        let data_dir = self.gateway.config().data_dir();
        let report = audit::verify(&data_dir, id).unwrap();
        assert_eq!(report.verdict, audit::Verdict::Whole);
        let lines = audit::tail(&data_dir, id, usize::MAX).unwrap();
        let lines = lines.iter().map(|line| serde_json::from_str(line).unwrap());
        lines.filter(|line: &Value| line["outcome"] != "started").collect()
    }

    /// The configuration.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.folder.path()
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

fn write_files(folder: &tempfile::TempDir, signer: &Signer, second: &Signer) {
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("migrations")).unwrap();
    std::fs::write(at("migrations/0001_tickets.sql"), MIGRATION).unwrap();
    std::fs::write(at("migrations/0002_more.sql"), MORE_TABLES).unwrap();
    std::fs::write(at("one.json"), signer.key_set()).unwrap();
    std::fs::write(at("two.json"), second.key_set()).unwrap();
}

fn config_text(plan: &Plan, address: SocketAddr, upstream: SocketAddr) -> String {
    let roomy = "requests_per_second = 1000000\nburst = 1000000\nconcurrent_requests = 10000\n";
    let capacity = plan.capacity.unwrap_or(roomy);
    // Most tests are refused a lot, and do not want to wait for it.
    let prompt = if plan.server.contains("refusal_delay") { "" } else { "refusal_delay = \"0s\"\n" };
    let server = format!("[server]\nadmin_listen = \"127.0.0.1:0\"\n{prompt}{}\n", plan.server);
    let issuers = format!(
        "[[identity.issuer]]\nissuer = \"{ISSUER}\"\njwks = \"one.json\"\nalgorithms = [\"ES256\"]\n\
         tenant_claim = \"org_id\"\n\
         [[identity.issuer]]\nissuer = \"{SECOND_ISSUER}\"\njwks = \"two.json\"\nalgorithms = [\"ES256\"]\n\
         tenant_claim = \"org_id\"\n"
    );
    format!("{CONFIG}\n{MORE_TOOLS}\n{}\n{issuers}\n[capacity]\n{capacity}", plan.tools)
        .replacen("[server]\n", &server, 1)
        .replace("127.0.0.1:8787", &address.to_string())
        .replace("127.0.0.1:8790", &upstream.to_string())
}
