//! A gateway with the tools that histories use, and an upstream that tells its callers apart by their keys.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use partywall_gateway::{
    Cx, Gateway, Reply, Tool, ToolError, ToolMeta,
    clock::Clock,
    config::Config,
    guards::{credentials::SecretName, identity::DevelopmentIssuer},
    tenants::remove_tenant,
};
use partywall_model::TenantId;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Shape,
    base::{Base, Kind},
    upstream::upstream,
};

const MIGRATION: &str = "
CREATE TABLE tickets (id INTEGER PRIMARY KEY, title TEXT NOT NULL) STRICT;
CREATE TABLE comments (id INTEGER PRIMARY KEY, ticket_id INTEGER NOT NULL REFERENCES tickets (id), body TEXT NOT NULL) STRICT;
";

/// A running gateway.
pub(in super::super) struct House {
    pub(super) gateway: Arc<Gateway>,
    pub(super) address: std::net::SocketAddr,
    /// Those of the tenants' present lives.
    tokens: Mutex<Vec<&'static str>>,
    /// Tokens that were good once.
    pub(super) ended: Vec<String>,
    pub(super) results: AtomicU64,
    issuer: DevelopmentIssuer,
    base: Base,
    _folder: tempfile::TempDir,
}

/// In memory where the system has such a folder: what is tested is not the disk.
fn folder() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Whether the tenant may call only so often. Its allowance does not grow while a history lasts.
pub(super) fn limited(number: usize) -> bool {
    number >= UNLIMITED
}

/// How many tenants may call as often as they like.
pub(super) const UNLIMITED: usize = 3;

/// How long a history may last for the limited ones, to be the same each time: they get one more call each second.
pub(super) const BEFORE_THE_NEXT_CALL: Duration = Duration::from_millis(900);

pub(super) fn tenant(number: usize) -> TenantId {
    TenantId::parse(&format!("t{number}")).unwrap()
}

impl House {
    pub(super) async fn open(shape: Shape, kind: Kind) -> Self {
        let folder = folder();
        let base = Base::new(kind).await;
        let upstream = upstream().await;
        std::fs::create_dir(folder.path().join("migrations")).unwrap();
        std::fs::write(folder.path().join("migrations/1_tickets.sql"), MIGRATION).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let text = CONFIG.replace("LISTEN", &address.to_string()).replace("UPSTREAM", &upstream.to_string());
        let config = Config::parse(&base.configure(&text), "test", folder.path()).unwrap();
        let gateway = Gateway::builder(config)
            .environment(base.environment())
            .tool(Count(shape, AtomicU64::new(0)))
            .tool(Remember)
            .tool(Fail { panics: false })
            .tool(Fail { panics: true })
            .tool(Slow)
            .tool(Breaker(shape, AtomicBool::new(false)))
            .open()
            .unwrap();
        let issuer =
            DevelopmentIssuer::open_or_create(&gateway.config().data_dir(), &gateway.config().resource())
                .unwrap();
        let day = Duration::from_secs(86_400);
        let last_week = Clock::from_fn(|| SystemTime::now() - Duration::from_secs(7 * 86_400));
        let token = |number| issuer.mint(&tenant(number), "user", "", day, &last_week).unwrap();
        let ended = (0..super::TENANTS).map(|number| token(number).expose_secret().to_owned()).collect();
        let server = gateway.serve_on(listener).await.unwrap();
        background(server.serve(std::future::pending()));
        Self {
            gateway: Arc::new(gateway),
            address,
            tokens: Mutex::new(vec![""; super::TENANTS]),
            issuer,
            ended,
            results: AtomicU64::new(0),
            base,
            _folder: folder,
        }
    }

    /// Makes the tenant anew, with fresh data and a fresh key.
    pub(super) async fn furnish(&self, number: usize) {
        let stores = self.gateway.administration();
        let id = tenant(number);
        if stores.registry.get(&id).unwrap().is_some() {
            remove_tenant(&stores.registry, &stores.vault, &stores.data_dir, &id).unwrap();
        }
        let record = stores.registry.add(&id).unwrap();
        let day = Duration::from_secs(86_400);
        let token = self.issuer.mint_for(&record, "user", "", day, &Clock::system()).unwrap();
        // A test has few of them.
        self.tokens.lock().unwrap()[number] = Box::leak(Box::<str>::from(token.expose_secret()));
        let seed: String = (1..5)
            .map(|n| format!("INSERT INTO tickets VALUES ({n}, 'ticket {n} of {id}: a story');"))
            .collect();
        let password = format!("password of {id}, life {}", record.incarnation.0);
        match self.base.kind() {
            Kind::Files => stores.sources.setup(&id, record.incarnation, "desk", &seed).unwrap(),
            _ => self.base.furnish(number, &password).await,
        }
        stores.vault.set(&record, &SecretName::parse("db").unwrap(), SecretString::from(password)).unwrap();
        // A key of this life of the tenant, so that an answer cached for an earlier one would show.
        let key = SecretString::from(format!("key {id} {}", record.incarnation.0));
        stores.vault.set(&record, &SecretName::parse("crm").unwrap(), key).unwrap();
    }

    pub(super) fn token(&self, number: usize) -> &'static str {
        self.tokens.lock().unwrap()[number]
    }

    pub(super) fn results(&self) -> u64 {
        self.results.load(Relaxed)
    }
}

const CONFIG: &str = r#"
[server]
listen = "LISTEN"
max_body_bytes = 3000
[identity]
development = true
[capacity]
requests_per_second = 1000000
burst = 1000000
[capacity.tenant.t2]
concurrent_requests = 8
reply_bytes = 3000
cache_bytes = "64KiB"
[capacity.tenant.t3]
requests_per_second = 1
burst = 4
[capacity.tenant.t4]
requests_per_second = 1
burst = 2
reply_bytes = 3000
[http]
allow_private = ["UPSTREAM"]
[data.desk]
driver = "sqlite"
migrations = "migrations"
[[tool]]
name = "whoami"
native = "whoami"
[[tool]]
name = "list_tickets"
source = "desk"
sql = "SELECT t.id, title, count(c.id) AS comments FROM tickets t LEFT JOIN comments c ON c.ticket_id = t.id GROUP BY t.id ORDER BY t.id DESC LIMIT :limit"
args.limit = { type = "integer", minimum = 1, maximum = 100 }
[[tool]]
name = "get_ticket"
source = "desk"
rows = "one"
sql = "SELECT id, title, (SELECT group_concat(body, '|') FROM comments WHERE ticket_id = tickets.id) AS comments FROM tickets WHERE id = :id"
args.id = { type = "integer" }
[[tool]]
name = "search_tickets"
source = "desk"
sql = "SELECT id, title FROM tickets WHERE instr(title, :query) > 0 ORDER BY id"
args.query = { type = "string" }
[[tool]]
name = "add_comment"
source = "desk"
writes = true
rows = "one"
sql = "INSERT INTO comments (ticket_id, body) SELECT id, :body FROM tickets WHERE id = :ticket_id RETURNING id"
args.ticket_id = { type = "integer" }
args.body = { type = "string" }
[[tool]]
name = "customer_profile"
http = { url = "http://UPSTREAM/{customer_id}" }
auth = { bearer = "secret:crm" }
owner = { pointer = "/owner", equals = "tenant" }
cache = { ttl = "1h" }
args.customer_id = { type = "string" }
[[tool]]
name = "late"
timeout = "10ms"
http = { url = "http://UPSTREAM/never" }
auth = { bearer = "secret:crm" }
[[tool]]
name = "large"
source = "desk"
rows = "one"
sql = "SELECT hex(zeroblob(2000)) AS text"
"#;

pub(super) fn background(task: impl Future<Output = ()> + Send + 'static) {
    #[expect(clippy::disallowed_methods, reason = "the servers of the test")]
    drop(tokio::spawn(task));
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Nothing {}

/// Counts the tenant's calls, or with the wrong shape everybody's.
struct Count(Shape, AtomicU64);

#[derive(Default)]
struct Counter(AtomicU64);

impl Tool for Count {
    type Args = Nothing;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("count", "How often this was called.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, Nothing {}: Nothing) -> Result<Reply<'t>, ToolError> {
        let own = cx.state::<Counter>().with(|counter| counter.0.fetch_add(1, Relaxed));
        match self.0 {
            Shape::AsBuilt | Shape::SharedBreaker => {
                cx.json(own.map(|count| serde_json::json!({ "count": count })))
            }
            Shape::SharedCounter => cx.json(serde_json::json!({ "count": self.1.fetch_add(1, Relaxed) })),
        }
    }
}

/// Caches a text that holds how often the tenant made one.
struct Remember;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Key {
    key: String,
}

impl Tool for Remember {
    type Args = Key;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("remember", "Remembers.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, Key { key }: Key) -> Result<Reply<'t>, ToolError> {
        let text = cx
            .cached(&key, Duration::from_secs(3600), async {
                tokio::task::yield_now().await;
                let made = cx.state::<Counter>().with(|counter| counter.0.fetch_add(1, Relaxed));
                Ok(made.map(|made| format!("{key} of {} made as number {made}", cx.tenant())))
            })
            .await?;
        Ok(cx.text(text.map(|text| text.to_string())))
    }
}

struct Fail {
    panics: bool,
}

impl Tool for Fail {
    type Args = Nothing;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new(if self.panics { "panic" } else { "fail" }, "Fails.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, Nothing {}: Nothing) -> Result<Reply<'t>, ToolError> {
        tokio::task::yield_now().await;
        if self.panics {
            // Not the macro, whose message would fill the test's output.
            std::panic::resume_unwind(Box::new("a tool's mistake"));
        }
        Err(ToolError::internal(format!("broken for {}", cx.tenant())))
    }
}

/// Answers after some turns, with progress.
struct Slow;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Turns {
    turns: u8,
}

impl Tool for Slow {
    type Args = Turns;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("slow", "Takes its time.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, Turns { turns }: Turns) -> Result<Reply<'t>, ToolError> {
        for turn in 0..turns {
            tokio::task::yield_now().await;
            cx.progress(f64::from(turn), Some(f64::from(turns)), Some(cx.tenant().as_str())).await;
        }
        if turns == u8::MAX {
            std::future::pending::<()>().await;
        }
        Ok(cx.text(format!("{turns} turns for {}", cx.tenant())))
    }
}

/// Opens when something of the tenant's has failed, or with the wrong shape, of anybody's.
struct Breaker(Shape, AtomicBool);

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct How {
    how: String,
}

#[derive(Default)]
struct Tripped(AtomicBool);

impl Tool for Breaker {
    type Args = How;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("breaker", "Trips, and says whether it has.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, How { how }: How) -> Result<Reply<'t>, ToolError> {
        let trip = how == "trip";
        let own = cx.state::<Tripped>().with(|own| own.0.fetch_or(trip, Relaxed));
        match self.0 {
            Shape::SharedBreaker if self.1.fetch_or(trip, Relaxed) => {
                Err(ToolError::failed("The breaker is open."))
            }
            _ if trip => Err(ToolError::failed("The service failed.")),
            _ => cx.json(own.map(|open| serde_json::json!({ "open": open }))),
        }
    }
}
