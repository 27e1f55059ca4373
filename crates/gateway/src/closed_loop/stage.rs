//! A gateway with two tenants and a service behind it that lies about who owns what, and the prober.

use std::{convert::Infallible, sync::Mutex, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, header, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use partywall_model::{Layer, TenantId, Verdict, Verdicts};
use partywall_prober::{Credential, Plan, Progress};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;

use crate::{
    Cx, Gateway, Reply, Tool, ToolError, ToolMeta,
    clock::Clock,
    config::Config,
    guards::{credentials::SecretName, identity::DevelopmentIssuer},
};

const CONFIG: &str = include_str!("../../../../examples/helpdesk/partywall.toml");
const MIGRATION: &str = include_str!("../../../../examples/helpdesk/migrations/0001_tickets.sql");
const MORE: &str = r#"
[[tool]]
name = "crm_account"
description = "The account at the CRM."
http = { method = "GET", url = "http://127.0.0.1:8790/v1/account" }
auth = { bearer = "secret:crm_api_key" }

[capacity]
requests_per_second = 300
burst = 300
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

/// A tool that remembers, does something else, and looks what it remembers.
struct CurrentDesk;

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

impl Tool for CurrentDesk {
    type Args = Nothing;

    fn meta(&self) -> ToolMeta {
        ToolMeta::new("current_desk", "Returns the desk that the call was made for.")
    }

    async fn call<'t>(&'t self, cx: Cx<'t>, _args: Nothing) -> Result<Reply<'t>, ToolError> {
        let desk = format!("desk of {}", cx.tenant());
        cx.state::<Mutex<String>>().with(|kept| kept.lock().unwrap().clone_from(&desk));
        // Some work during which other calls run.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let kept = cx.state::<Mutex<String>>().with(|kept| kept.lock().unwrap().clone());
        cx.json(kept.map(|desk| json!({ "desk": desk })))
    }
}

/// A running gateway.
pub(super) struct Stage {
    url: url::Url,
    tokens: Vec<(&'static str, SecretString)>,
    _stop: oneshot::Sender<()>,
    _folder: tempfile::TempDir,
}

/// Nobody who looks on.
struct Silent;

impl Progress for Silent {
    fn begins(&mut self, _layer: Option<Layer>, _what: &str) {}
    fn verdict(&mut self, _verdict: &Verdict) {}
}

impl Stage {
    pub(super) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("migrations")).unwrap();
        std::fs::write(folder.path().join("migrations/0001_tickets.sql"), MIGRATION).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let crm = service().await;
        let text = format!("{CONFIG}\n{MORE}")
            .replacen("[server]\n", "[server]\nrefusal_delay = \"0s\"\n", 1)
            .replace("127.0.0.1:8787", &address.to_string())
            .replace("127.0.0.1:8790", &crm.to_string());
        let config = Config::parse(&text, "test", folder.path()).unwrap();
        let gateway = Gateway::builder(config).tool(CurrentDesk).open().unwrap();
        furnish(&gateway);
        let resource = gateway.config().resource();
        let issuer = DevelopmentIssuer::open_or_create(&gateway.config().data_dir(), &resource).unwrap();
        let tokens = TICKETS
            .iter()
            .map(|(id, _)| {
                let tenant = TenantId::parse(id).unwrap();
                let hour = Duration::from_secs(3600);
                (
                    *id,
                    issuer.mint(&tenant, &format!("user@{id}.example"), "", hour, &Clock::system()).unwrap(),
                )
            })
            .collect();
        let server = gateway.serve_on(listener).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        background(async move {
            server.serve(async move { drop(stopped.await) }).await;
            drop(gateway);
        });
        let url = format!("http://{address}/mcp").parse().unwrap();
        Self { url, tokens, _stop: stop, _folder: folder }
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
                ((*id).to_owned(), tickets.iter().map(|(_, title, _)| (*title).to_owned()).collect())
            })
            .collect();
        plan.racing = Duration::from_secs(2);
        plan
    }

    /// Attacks the gateway.
    pub(super) async fn attack(&self, plan: &Plan) -> Verdicts {
        let (_stop, stopped) = tokio::sync::watch::channel(false);
        partywall_prober::run(plan, &mut Silent, stopped).await.unwrap()
    }
}

fn furnish(gateway: &Gateway) {
    let stores = gateway.administration();
    for (id, tickets) in TICKETS {
        let record = stores.registry.add(&TenantId::parse(id).unwrap()).unwrap();
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

fn background(task: impl Future<Output = ()> + Send + 'static) {
    #[expect(clippy::disallowed_methods, reason = "the servers of the test belong to no tenant")]
    drop(tokio::spawn(task));
}

/// The service: it tells callers apart by their keys, and shows customers to whoever asks.
async fn service() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    background(async move {
        while let Ok((stream, _)) = listener.accept().await {
            background(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let service = service_fn(|request| async move { Ok::<_, Infallible>(served(&request)) });
                // A caller that goes away is no error.
                let _closed = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

fn served(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let key = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(company) = key.and_then(|key| key.strip_prefix("Bearer key-of-")) else {
        return reply(StatusCode::UNAUTHORIZED, "{}".to_owned());
    };
    let path = request.uri().path();
    if path == "/v1/account" {
        return reply(StatusCode::OK, json!({ "fingerprint": format!("fp-{company}-31") }).to_string());
    }
    let customer = path.rsplit('/').next().unwrap_or_default();
    let owner = match customer {
        "cus_1001" => company,
        "cus_acme_7" => "acme",
        "cus_globex_9" => "globex",
        _ => return reply(StatusCode::NOT_FOUND, "{}".to_owned()),
    };
    let shown = json!({ "id": customer, "organization_id": owner, "contact": format!("Contact of {owner} for {customer}") });
    reply(StatusCode::OK, shown.to_string())
}

fn reply(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
