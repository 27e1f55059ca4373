//! The application: who is asking, sessions, and the state that defects share between tenants.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    ACME, COLLEAGUE, Defects, GLOBEX, asking, caches, content, listening, naming, operations, rpc, shares,
    sse, streams, tenants, tokens,
    wire::{Answer, Asked},
};

/// The stub's application.
pub(crate) struct App {
    pub(crate) defects: Defects,
    /// Session ids and their owners.
    pub(crate) sessions: Mutex<BTreeMap<String, String>>,
    /// The sessions of the second user of `acme`.
    colleagues: Mutex<BTreeSet<String>>,
    /// Tokens that were revoked.
    revoked: Mutex<BTreeSet<String>>,
    /// How many sessions were begun.
    pub(crate) begun: watch::Sender<usize>,
    pub(crate) next: AtomicU64,
    /// What a module's variable would hold.
    pub(crate) current: Mutex<String>,
    /// Who spoke first on a connection.
    pub(crate) first: Mutex<BTreeMap<u64, String>>,
    /// A cache that all tenants share.
    pub(crate) cache: Mutex<BTreeMap<String, Value>>,
    /// The owner of the newest session.
    pub(crate) newest: Mutex<Option<String>>,
    /// Events with their ids and owners.
    pub(crate) events: Mutex<Vec<(u64, String, String)>>,
    /// Answers by the id of the request.
    pub(crate) pending: Mutex<BTreeMap<String, Value>>,
    /// Requests that were cancelled, by owner and id.
    pub(crate) cancelled: Mutex<BTreeSet<(String, String)>>,
    /// Tasks: owner, status, result.
    pub(crate) tasks: Mutex<BTreeMap<String, (String, &'static str, Value)>>,
    /// Names that are taken, by owner.
    pub(crate) names: Mutex<BTreeSet<(String, String)>>,
    /// Calls of this second, by whom they are counted for.
    pub(crate) rates: Mutex<BTreeMap<String, (u64, u32)>>,
    /// Notes that tenants wrote.
    pub(crate) notes: Mutex<BTreeMap<String, Vec<String>>>,
    /// Streams that are open, and log levels.
    pub(crate) ears: listening::Ears,
    /// Calls that wait for answers.
    pub(crate) waiting: asking::Asked,
    /// What the families of defects keep, by a name of their own.
    pub(crate) shelf: Mutex<BTreeMap<String, Value>>,
    /// Lines of the log, with their owners.
    pub(crate) log: Mutex<Vec<(String, String)>>,
    /// How many lists were asked for: the survey asks for one as each tenant.
    pub(crate) listed: AtomicU64,
    /// How many calls are waiting, and since when the machine has stood still.
    pub(crate) crowd: AtomicU64,
    pub(crate) still: OnceLock<Instant>,
    /// How often `globex` asked who is calling.
    asked: AtomicU64,
    attacked: AtomicBool,
    /// Whether the test says when the survey is over; else it is told by what is asked.
    told: AtomicBool,
    /// A folder in which commands leave word about tenants.
    pub(crate) office: Mutex<Option<std::path::PathBuf>>,
}

/// Who asks, and for what.
pub(crate) struct Call<'a> {
    pub(crate) tenant: String,
    pub(crate) asked: &'a Asked,
    pub(crate) method: &'a str,
    pub(crate) params: &'a Value,
    pub(crate) modern: bool,
}

impl App {
    pub(crate) fn new(defects: Defects) -> Self {
        Self {
            defects,
            sessions: Mutex::default(),
            colleagues: Mutex::default(),
            revoked: Mutex::default(),
            begun: watch::Sender::new(0),
            next: AtomicU64::new(1),
            current: Mutex::default(),
            first: Mutex::default(),
            cache: Mutex::default(),
            newest: Mutex::default(),
            events: Mutex::default(),
            pending: Mutex::default(),
            cancelled: Mutex::default(),
            tasks: Mutex::default(),
            names: Mutex::default(),
            rates: Mutex::default(),
            notes: Mutex::default(),
            ears: listening::Ears::default(),
            waiting: asking::Asked::default(),
            shelf: Mutex::default(),
            log: Mutex::default(),
            listed: AtomicU64::new(0),
            crowd: AtomicU64::new(0),
            still: OnceLock::new(),
            asked: AtomicU64::new(0),
            attacked: AtomicBool::new(false),
            told: AtomicBool::new(false),
            office: Mutex::default(),
        }
    }

    /// Whether the stub speaks TLS; then it keeps by which versions of HTTP it was asked.
    pub(crate) fn secure(&self) -> bool {
        self.defects.starting("tls").is_some()
    }

    /// From now on the test says when the survey is over.
    pub(crate) fn waits_for_word(&self) {
        self.told.store(true, Ordering::Relaxed);
    }

    /// The survey is over.
    pub(crate) fn attack_begins(&self) {
        self.attacked.store(true, Ordering::Relaxed);
    }

    /// Whether the survey is over: the second tenant has read everything twice, or the test said so.
    pub(crate) fn attacked(&self) -> bool {
        self.attacked.load(Ordering::Relaxed)
    }

    fn tenant_of(&self, token: &str) -> Option<String> {
        if self.revoked.lock().unwrap().contains(token) && !self.defects.has("revoked-token-lives") {
            return None;
        }
        if let Some(tenant) = tenants::of_office(self, token) {
            return tenant;
        }
        match token {
            ACME | COLLEAGUE => return Some("acme".to_owned()),
            GLOBEX => return Some("globex".to_owned()),
            _ => {}
        }
        if self.defects.has("token-prefix") && token.starts_with(ACME) {
            return Some("acme".to_owned());
        }
        if let Some(tenant) =
            tokens::tenant_of(&self.defects, token).or_else(|| tokens::forged(&self.defects, token))
        {
            return Some(tenant);
        }
        if !self.defects.has("unsigned-token") {
            return None;
        }
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        claims.get("tenant").and_then(Value::as_str).map(str::to_owned)
    }

    /// The tenant that the request is served as.
    fn authenticate(&self, asked: &Asked, message: &Value) -> Option<String> {
        let own = asked
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
            .and_then(|token| self.tenant_of(token))
            .or_else(|| self.lax(asked));
        let Some(own) = own else {
            return self.defects.has("default-tenant").then(|| "acme".to_owned());
        };
        if self.defects.has("one-tenant") {
            return Some("acme".to_owned());
        }
        if self.defects.has("no-selector-is-first") && asked.header("x-region") != Some("eu") {
            return Some("acme".to_owned());
        }
        if self.defects.has("connection-identity") {
            return Some(self.first.lock().unwrap().entry(asked.connection).or_insert(own).clone());
        }
        let session = asked.header("mcp-session-id").unwrap_or_default();
        if (self.defects.has("session-identity")
            || (self.defects.has("initialize-takes-over") && !initializes(message)))
            && let Some(owner) = self.sessions.lock().unwrap().get(session)
        {
            return Some(owner.clone());
        }
        let modern = asked.header("mcp-protocol-version") == Some("2026-07-28");
        if self.defects.has("any-session") && !modern && session.is_empty() && !initializes(message) {
            // The newest session is taken for the caller's.
            return self.newest.lock().unwrap().clone().or(Some(own));
        }
        self.spoofed(asked, message).or(Some(own))
    }

    /// The tenant of a request whose token stands in a wrong place, or that comes by a door without a guard.
    fn lax(&self, asked: &Asked) -> Option<String> {
        let query = asked.query.strip_prefix("access_token=").filter(|_| self.defects.has("query-token"));
        let kind = asked.header("content-type").unwrap_or_default();
        let open = (self.defects.has("open-text") && kind.starts_with("text/"))
            || (self.defects.has("open-slash") && asked.path == "/mcp/");
        query.and_then(|token| self.tenant_of(token)).or_else(|| open.then(|| "acme".to_owned()))
    }

    /// The tenant that a defect takes from a place that anybody can fill.
    fn spoofed(&self, asked: &Asked, message: &Value) -> Option<String> {
        let known = |name: &str| ["acme", "globex"].contains(&name).then(|| name.to_owned());
        let arguments = message.pointer("/params/arguments").unwrap_or(&Value::Null);
        let text = |value: Option<&Value>| value.and_then(Value::as_str).and_then(known);
        let has = |defect| self.defects.has(defect);
        if has("tenant-argument") {
            return text(arguments.get("tenant_id"));
        }
        if has("tenant-nested") {
            return text(arguments.pointer("/filter/tenant_id"));
        }
        if has("tenant-beside-params") {
            return text(message.get("tenant_id"));
        }
        if has("tenant-meta") {
            return text(message.pointer("/params/_meta/tenant_id"));
        }
        if has("tenant-header") {
            return asked.header("x-tenant-id").and_then(known);
        }
        if has("second-credential") {
            return asked.header("x-api-key").and_then(|token| self.tenant_of(token));
        }
        if has("prefix-is-tenant") {
            return naming::prefix(message).and_then(|name| known(&name));
        }
        if has("tenant-baggage") {
            return operations::in_baggage(asked.header("baggage").unwrap_or_default());
        }
        if has("tenant-path") {
            return asked.path.split('/').find_map(known);
        }
        None
    }

    /// Answers one HTTP request.
    pub(crate) async fn answer(self: &Arc<Self>, asked: Asked) -> Answer {
        let message: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        if shares::busy(self, &asked) {
            return Answer::empty(503);
        }
        let strange = asked.header("authorization").is_some_and(|value| value.ends_with(GLOBEX));
        if self.defects.has("refuses-tokens") || (strange && self.defects.has("lets-one-in")) {
            return Answer::json(401, &json!({"error": "invalid_token"}));
        }
        if let Some(page) = self.page(&asked) {
            return Answer::json(200, &page);
        }
        if let Some(answer) = naming::page(self, &asked, &message) {
            return answer;
        }
        if asked.path == "/revoke" {
            let form = url::form_urlencoded::parse(&asked.body);
            let token = form.into_owned().find(|(name, _)| name == "token").unwrap_or_default().1;
            self.revoked.lock().unwrap().insert(token);
            return Answer::empty(200);
        }
        let foreign = asked.header("origin").is_some() && !self.defects.has("any-origin");
        if foreign {
            return Answer::empty(403);
        }
        let tenant = tenants::of_session(self, &asked).or_else(|| self.authenticate(&asked, &message));
        let Some(tenant) = tenant else {
            if let Some(file) = content::file(self, None, &asked) {
                return file;
            }
            shares::strangers(self, false);
            return Answer::json(401, &json!({"error": "invalid_token"}))
                .header("www-authenticate", "Bearer");
        };
        if shares::strangers(self, true) {
            return Answer::empty(429);
        }
        if let Some(file) = content::file(self, Some(&tenant), &asked) {
            return file;
        }
        if asked.path == "/sse" || asked.path == "/message" {
            return sse::answer(self, &asked, &tenant, &message).await;
        }
        let right = asked.path == "/mcp"
            || (self.defects.has("tenant-path") && asked.path.ends_with("/mcp"))
            || (self.defects.has("open-slash") && asked.path == "/mcp/");
        if !right {
            return Answer::empty(404);
        }
        let version = asked.header("mcp-protocol-version").unwrap_or_default();
        let modern = version == "2026-07-28";
        let method = message.get("method").and_then(Value::as_str).unwrap_or_default().to_owned();
        let excused = method == "initialize"
            || (self.defects.has("any-session") && asked.header("mcp-session-id").is_none());
        if !modern && !excused && !self.in_session(&asked, &tenant) {
            return Answer::json(404, &rpc::error(&message, -32001, "Session not found"));
        }
        if modern && asked.verb == "POST" && !self.mirrored(&asked, &message) {
            return self.contradicted(&message);
        }
        let params = message.get("params").cloned().unwrap_or_default();
        let call = Call { tenant, asked: &asked, method: &method, params: &params, modern };
        match asked.verb.as_str() {
            "POST" if message.is_array() => rpc::batch(self, &call, &message).await,
            "POST" => caches::marked(self, &call, rpc::post(self, &call, &message).await),
            "DELETE" if !modern => self.end(&asked),
            "GET" if !modern => streams::listen(self, &call),
            _ => Answer::empty(405),
        }
    }

    /// The answer to headers that contradict the body.
    fn contradicted(&self, message: &Value) -> Answer {
        if self.defects.has("contradictions-get-nothing") {
            return Answer::json(200, &json!({"jsonrpc": "2.0", "id": message["id"], "result": {}}));
        }
        Answer::json(400, &rpc::error(message, -32020, "Header mismatch"))
    }

    /// What is told to everybody: metadata, keys.
    fn page(&self, asked: &Asked) -> Option<Value> {
        let origin = format!("http://{}", asked.header("host").unwrap_or_default());
        match asked.path.as_str() {
            "/.well-known/oauth-protected-resource/mcp" => Some(json!({"authorization_servers": [origin]})),
            "/.well-known/oauth-authorization-server" => Some(json!({
                "issuer": origin, "jwks_uri": format!("{origin}/jwks"),
                "authorization_endpoint": format!("{origin}/authorize"),
                "registration_endpoint": format!("{origin}/register"),
                "revocation_endpoint": format!("{origin}/revoke")})),
            "/jwks" => Some(tokens::keys()),
            path => operations::page(self, path),
        }
    }

    /// Whether the headers say what the body says, each once.
    fn mirrored(&self, asked: &Asked, message: &Value) -> bool {
        if self.defects.has("headers-are-not-compared") {
            return true;
        }
        let once = |name: &str| asked.all.iter().filter(|(known, _)| known == name).count() < 2;
        let method = message.get("method").and_then(Value::as_str);
        let params = message.get("params").cloned().unwrap_or_default();
        let task = params.get("taskId");
        let name = params.get("name").or_else(|| params.get("uri")).or(task).and_then(Value::as_str);
        let version =
            params.pointer("/_meta/io.modelcontextprotocol~1protocolVersion").and_then(Value::as_str);
        let called =
            !matches!(method, Some("tools/call" | "prompts/get" | "resources/read")) && task.is_none();
        ["mcp-method", "mcp-name", "mcp-protocol-version", "mcp-param-region"].into_iter().all(once)
            && naming::repeated(asked, &params)
            && asked.header("mcp-method") == method
            && (called || asked.header("mcp-name") == name)
            && asked.header("mcp-protocol-version") == version
    }

    fn in_session(&self, asked: &Asked, tenant: &str) -> bool {
        let id = asked.header("mcp-session-id").unwrap_or_default();
        let colleagues = self.colleagues.lock().unwrap().contains(id);
        if colleagues != is_colleague(asked) && !self.defects.has("session-of-tenant") {
            return false;
        }
        let owner = self.sessions.lock().unwrap().get(id).cloned();
        let anybodys =
            ["session-without-owner", "one-session-for-all"].iter().any(|name| self.defects.has(name));
        owner.is_some_and(|owner| owner == tenant || anybodys)
    }

    fn end(&self, asked: &Asked) -> Answer {
        if self.defects.has("undying-session") {
            return Answer::empty(204);
        }
        self.sessions.lock().unwrap().remove(asked.header("mcp-session-id").unwrap_or_default());
        Answer::empty(204)
    }

    /// A fresh session id.
    pub(crate) fn begin(&self, tenant: &str, asked: &Asked) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(32).collect();
        let id = match asked.header("mcp-session-id") {
            Some(chosen) if self.defects.has("chosen-session") => chosen.to_owned(),
            Some(known) if self.defects.has("initialize-takes-over") => known.to_owned(),
            _ if self.defects.has("one-session-for-all") => "6b1d7c7ad5e8f0a2915c".to_owned(),
            _ if self.defects.has("counted-session") => format!("session-{number}"),
            _ => format!("{random}{number}"),
        };
        let mut sessions = self.sessions.lock().unwrap();
        if self.defects.has("small-session-table") && sessions.len() >= 40 {
            let other = sessions.iter().find(|(_, owner)| *owner != tenant).or(sessions.iter().next());
            let out = other.map(|(id, _)| id.clone()).unwrap();
            sessions.remove(&out);
        }
        drop(sessions);
        *self.newest.lock().unwrap() = Some(tenant.to_owned());
        if is_colleague(asked) {
            self.colleagues.lock().unwrap().insert(id.clone());
        }
        self.sessions.lock().unwrap().insert(id.clone(), tenant.to_owned());
        self.begun.send_modify(|begun| *begun += 1);
        id
    }

    /// Notes what was asked. The survey asks who is calling four times as `globex`, who comes last; then a target that
    /// dies may die.
    pub(crate) fn seen(&self, call: &Call<'_>) {
        let whoami = call.params.get("name").and_then(Value::as_str) == Some("whoami");
        let told = self.told.load(Ordering::Relaxed);
        if call.tenant == "globex" && whoami && self.asked.fetch_add(1, Ordering::Relaxed) >= 4 && !told {
            self.attacked.store(true, Ordering::Relaxed);
        }
    }
}

fn initializes(message: &Value) -> bool {
    message.to_string().contains("\"initialize\"")
}

/// Whether the second user of `acme` asks.
fn is_colleague(asked: &Asked) -> bool {
    asked.header("authorization").is_some_and(|value| value.ends_with(COLLEAGUE))
}
