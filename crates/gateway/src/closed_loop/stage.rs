//! A gateway with two tenants, and the prober.

use std::time::Duration;

use partywall_model::{Layer, TenantId, Verdict, Verdicts};
use partywall_prober::{Credential, Errands, Plan, Progress};
use secrecy::SecretString;
use tokio::sync::oneshot;

use super::{
    ERRAND, FOLDER, RESOURCE, service,
    tools::{AfterHoursDesk, ConfirmedDesk, CurrentDesk, DeskActivity, SlowReport},
};
use crate::{
    Gateway,
    clock::Clock,
    config::{Config, Environment},
    guards::{
        credentials::SecretName,
        data::{Lab, Town},
        identity::DevelopmentIssuer,
    },
    upstream::launch::launcher_of_tests,
};

const CONFIG: &str = include_str!("../../../../examples/helpdesk/partywall.toml");
const MIGRATION: &str = include_str!("../../../../examples/helpdesk/migrations/0001_tickets.sql");

const ACCOUNT: &str = r#"
[[tool]]
name = "crm_account"
description = "The account at the CRM."
http = { method = "GET", url = "http://127.0.0.1:8790/v1/account" }
auth = { bearer = "secret:crm_api_key" }

[[tool]]
name = "crm_login"
description = "Who the CRM takes the caller for."
http = { method = "GET", url = "http://127.0.0.1:8790/v1/login" }
auth = { bearer = "secret:crm_api_key" }
"#;

/// A tool that lets the caller say whose plan it wants.
const PLAN: &str = r#"
[[tool]]
name = "get_plan"
description = "The plan of an organization."
http = { method = "GET", url = "http://127.0.0.1:8790/v1/plans/{organization}" }
auth = { bearer = "secret:crm_api_key" }
args.organization = { type = "string", min_length = 1, max_length = 64, description = "For example acme." }
"#;

/// A server that is started for each tenant.
fn desks() -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/closed_loop");
    format!(
        "[[upstream]]\nname = \"desks\"\ncommand = [\"/usr/bin/python3\", \"{folder}/desk.py\", \"{{tenant}}\"]\n\
         read = [\"{folder}\"]\n"
    )
}

/// A tool whose replies all processes share.
const SHARED: &str = r#"
[[tool]]
name = "crm_shared"
description = "The company's own customer at the CRM, kept for all processes."
http = { method = "GET", url = "http://127.0.0.1:8790/v1/customers/cus_1001" }
auth = { bearer = "secret:crm_api_key" }
cache = { ttl = "60s", shared = true }
"#;

const ROOM: &str = "
[capacity]
requests_per_second = 120
burst = 300
";

/// The configuration where tickets are on a PostgreSQL server.
const ON_A_SERVER: &str = r#"
[server]
listen = "127.0.0.1:8787"
data_dir = "."
refusal_delay = "0s"

[identity]
development = true

[[tool]]
name = "list_tickets"
description = "All tickets."
source = "desk"
sql = "SELECT id, title FROM tickets ORDER BY id"

[[tool]]
name = "get_ticket"
description = "One ticket."
source = "desk"
rows = "one"
sql = "SELECT id, title FROM tickets WHERE id = :id"
args.id = { type = "integer", description = "The ticket's number." }
"#;

/// A ticket: number, title, customer.
type Ticket = (u32, &'static str, &'static str);

/// The tenants and their tickets.
const TICKETS: [(&str, [Ticket; 3]); 2] = [
    (
        "acme",
        [
            (1, "Printer on fire", "cus_1001"),
            (2, "Lost badge", "cus_1001"),
            (101, "Acme payroll fails", "cus_acme_7"),
        ],
    ),
    (
        "globex",
        [
            (1, "Reactor leak", "cus_1001"),
            (2, "New sign", "cus_1001"),
            (202, "Globex merger rumours", "cus_globex_9"),
        ],
    ),
];

/// What the gateway stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum On {
    /// A file for each tenant.
    Files,
    /// The same with a tenant that is removed and made anew.
    Anew,
    /// The same with few places for calls.
    FewPlaces,
    /// The same with a tool that shows a tenant its log.
    Log,
    /// The same with a tool whose argument names a tenant.
    Argument,
    /// The same with an MCP server that runs as a process.
    Processes,
    /// The same with replies in Redis.
    Redis,
    /// Shared tables of PostgreSQL with policies.
    Policies,
    /// Schemas of PostgreSQL, each with its role.
    Roles,
}

/// Where a stage's files and tables are.
enum Ground {
    Folder(tempfile::TempDir),
    Lab(Lab),
    Town(Town),
}

impl Ground {
    async fn of(on: On) -> Self {
        match on {
            On::Policies => Self::Lab(Lab::rls().await),
            On::Roles => {
                let town = Town::new("schema", "").await;
                for (id, _) in TICKETS {
                    town.add(id).await;
                }
                Self::Town(town)
            }
            _ => {
                let folder = tempfile::tempdir().unwrap();
                std::fs::create_dir(folder.path().join("migrations")).unwrap();
                std::fs::write(folder.path().join("migrations/0001_tickets.sql"), MIGRATION).unwrap();
                Self::Folder(folder)
            }
        }
    }

    fn lab(&self) -> Option<&Lab> {
        match self {
            Self::Folder(_) => None,
            Self::Lab(lab) => Some(lab),
            Self::Town(town) => Some(&town.lab),
        }
    }

    fn folder(&self) -> &std::path::Path {
        match self {
            Self::Folder(folder) => folder.path(),
            Self::Lab(Lab { folder, .. }) | Self::Town(Town { lab: Lab { folder, .. }, .. }) => folder.path(),
        }
    }
}

/// A running gateway.
pub(super) struct Stage {
    url: url::Url,
    on: On,
    tokens: Vec<(&'static str, SecretString)>,
    data: std::path::PathBuf,
    resource: String,
    _stop: oneshot::Sender<()>,
    ground: Ground,
}

/// Nobody who looks on.
struct Silent;

impl Progress for Silent {
    fn begins(&mut self, _layer: Option<Layer>, _what: &str) {}
    fn verdict(&mut self, _verdict: &Verdict) {}
}

impl Stage {
    /// Opens the gateway, or says why it does not open.
    pub(super) async fn open(on: On) -> Result<Self, String> {
        let ground = Ground::of(on).await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let crm = service::start().await;
        let text = text(on, &ground)
            .replace("127.0.0.1:8787", &address.to_string())
            .replace("127.0.0.1:8790", &crm.to_string());
        let config = Config::parse(&text, "test", ground.folder()).map_err(|error| error.to_string())?;
        let data = config.data_dir();
        let database = ground.lab().map(Lab::url);
        let environment = Environment::from_fn(move |name| database.clone().filter(|_| name == "DB"));
        crate::launcher::through(launcher_of_tests());
        let builder = Gateway::builder(config).environment(environment);
        let builder = match on {
            On::Policies | On::Roles => builder,
            On::FewPlaces => builder.tool(SlowReport),
            On::Log => builder.tool(DeskActivity { data: data.clone() }),
            _ => builder.tool(CurrentDesk).tool(AfterHoursDesk).tool(ConfirmedDesk),
        };
        let gateway = builder.open().map_err(|error| error.to_string())?;
        furnish(&gateway, on);
        let resource = gateway.config().resource();
        let issuer = DevelopmentIssuer::open_or_create(&data, &resource).unwrap();
        let hour = Duration::from_secs(3600);
        let token = |id: &str| {
            let tenant =
                gateway.administration().registry.get(&TenantId::parse(id).unwrap()).unwrap().unwrap();
            issuer.mint_for(&tenant, &format!("user@{id}.example"), "", hour, &Clock::system()).unwrap()
        };
        let tokens = TICKETS.iter().map(|(id, _)| (*id, token(id))).collect();
        let server = gateway.serve_on(listener).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        background(async move {
            server.serve(async move { drop(stopped.await) }).await;
            drop(gateway);
        });
        let url = format!("http://{address}/mcp").parse().unwrap();
        Ok(Self { url, on, tokens, data, resource, _stop: stop, ground })
    }

    /// A plan with both tenants and their seeds.
    pub(super) fn plan(&self) -> Plan {
        let tenants = self
            .tokens
            .iter()
            .map(|(id, token)| Credential { tenant: (*id).to_owned(), token: token.clone() })
            .collect();
        let mut plan = Plan::new(self.url.clone(), tenants);
        plan.seeds = TICKETS
            .iter()
            .map(|(id, tickets)| {
                let titles = match self.ground {
                    Ground::Folder(_) => tickets.iter().map(|(_, title, _)| (*title).to_owned()).collect(),
                    _ => (1..=10).map(|number| format!("ticket {number} of {id}")).collect(),
                };
                ((*id).to_owned(), titles)
            })
            .collect();
        plan.racing = Duration::from_secs(2);
        // Whatever the machine is busy with, each technique must have its turn.
        plan.duration = Duration::from_secs(600);
        plan.errands = Errands {
            suspend: Some(self.errand("suspend")),
            resume: Some(self.errand("resume")),
            recreate: None,
        };
        if self.on == On::Anew {
            plan.allow_writes = true;
            let token = self.data.join("new-token");
            plan.errands.recreate =
                Some(format!("{} >&2 && cat '{}'", self.errand("recreate"), token.display()));
        }
        plan
    }

    /// A command of the operator's: this test program, which changes the registry as another process.
    fn errand(&self, what: &str) -> String {
        let program = std::env::current_exe().unwrap();
        format!(
            "{FOLDER}='{}' {RESOURCE}='{}' {ERRAND}={what} '{}' closed_loop::an_errand --exact --ignored",
            self.data.display(),
            self.resource,
            program.display()
        )
    }

    /// Attacks the gateway.
    pub(super) async fn attack(&self, plan: &Plan) -> Verdicts {
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        partywall_prober::run(plan, &mut Silent, stopped).await.unwrap()
    }
}

fn text(on: On, ground: &Ground) -> String {
    let server = match on {
        On::FewPlaces => "[server]\nrefusal_delay = \"0s\"\nconcurrent_requests = 4\n",
        _ => "[server]\nrefusal_delay = \"0s\"\n",
    };
    if let Some(lab) = ground.lab() {
        let source = "[data.desk]\ndriver = \"postgres\"\nurl = \"env:DB\"";
        return format!("{ON_A_SERVER}\n{source}\n{}\n{ROOM}", lab.settings);
    }
    let more = match on {
        On::Argument => PLAN.to_owned(),
        On::Redis => format!("{SHARED}{}", shared()),
        On::Processes => desks(),
        _ => String::new(),
    };
    format!("{CONFIG}\n{ACCOUNT}\n{more}\n{ROOM}").replacen("[server]\n", server, 1)
}

/// Where Redis is, under a prefix that no other run has.
fn shared() -> String {
    #[expect(clippy::disallowed_methods, reason = "where the server is, is the runner's choice")]
    let redis = std::env::var("PARTYWALL_TEST_REDIS").expect(
        "PARTYWALL_TEST_REDIS is not set: run `cargo xtask test`, which starts a server, or set it to the URL of one",
    );
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).unwrap();
    let prefix = u64::from_be_bytes(bytes);
    format!(
        "[shared]\nredis = \"{redis}\"\nprefix = \"loop-{prefix:016x}\"\nreplicas = 1\ntimeout = \"1s\"\n"
    )
}

fn furnish(gateway: &Gateway, on: On) {
    let stores = gateway.administration();
    for (id, tickets) in TICKETS {
        let tenant = TenantId::parse(id).unwrap();
        let record = match on {
            On::Roles => stores.registry.get(&tenant).unwrap().unwrap(),
            _ => stores.registry.add(&tenant).unwrap(),
        };
        if matches!(on, On::Policies | On::Roles) {
            continue;
        }
        let seed: String = tickets
            .iter()
            .map(|(number, title, customer)| {
                format!(
                    "INSERT INTO tickets (id, title, customer_id, body, created_at) VALUES \
                     ({number}, '{title}', '{customer}', 'About {title}', '2026-11-03T09:00:00Z');\n"
                )
            })
            .collect();
        stores.sources.setup(&record.id, record.incarnation, "desk", &seed).unwrap();
        // Or the files that are open now would be used whatever is taken out.
        stores.sources.forget(&record.id);
        let name = SecretName::parse("crm_api_key").unwrap();
        stores.vault.set(&record, &name, SecretString::from(format!("key-of-{id}"))).unwrap();
    }
}

pub(super) fn background(task: impl Future<Output = ()> + Send + 'static) {
    #[expect(clippy::disallowed_methods, reason = "the servers of the test belong to no tenant")]
    drop(tokio::spawn(task));
}
