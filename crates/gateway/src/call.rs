//! One `tools/call` from its parameters to its reply, and the other methods that are answered from memory.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::digest;
use futures_util::FutureExt;
use http::{HeaderMap, StatusCode};
use partywall_model::Layer;
use rmcp::model::{CallToolResult, ClientCapabilities};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::{
    admit::Permit,
    context,
    cx::{Cx, ReplyBody, Scope},
    guards::{
        disclosure::{
            Denial, Refused,
            audit::Line,
            metrics::Outcome,
            refusal,
            refusal::{Refusal, ToolRefusal},
        },
        routing::Binding,
    },
    strict_json,
    tools::{ToolEntry, ToolError},
    turn::{Progress, ProgressSink, Turn},
    upstream,
    wire::{
        body::ReplyStream,
        headers::{self, Era, LEGACY, MODERN},
        message::{Id, Params},
        reply::{Outgoing, RpcError, codes},
        stream::EventStream,
    },
};

/// A call that was checked and can run.
pub(crate) struct Call {
    entry: Arc<ToolEntry>,
    scope: Scope,
    args: Map<String, Value>,
    era: Era,
    events: Option<(mpsc::Receiver<Progress>, String)>,
}

/// A call that cannot run.
pub(crate) struct NotRun {
    pub(crate) tool: Option<String>,
    pub(crate) layer: Option<Layer>,
    pub(crate) reason: String,
    pub(crate) refusal: Box<Refusal>,
}

impl NotRun {
    fn error(tool: &str, status: StatusCode, error: RpcError) -> Self {
        let reason = error.message.to_string();
        Self {
            tool: Some(tool.to_owned()),
            layer: None,
            reason,
            refusal: Box::new(Refusal { status, header: None, error }),
        }
    }

    fn params(tool: &str, text: &'static str) -> Self {
        Self::error(tool, StatusCode::OK, RpcError::new(codes::INVALID_PARAMS, text))
    }

    fn denied(tool: &str, denial: &Denial) -> Self {
        Self {
            tool: Some(tool.to_owned()),
            layer: Some(denial.layer()),
            reason: denial.reason().to_owned(),
            refusal: Box::new(refusal::of_denial(denial)),
        }
    }
}

impl Call {
    /// Finds the tool and checks everything that can be checked before it runs.
    pub(crate) async fn prepare(
        permit: &Permit,
        headers: &HeaderMap,
        era: Era,
        params: Params<'_>,
        may_stream: bool,
    ) -> Result<Self, NotRun> {
        let services = permit.services();
        let Some(name) = params.name.as_deref() else {
            return Err(NotRun::params("", "Invalid params: name is missing"));
        };
        // A hidden tool and an unknown one are the same from here on, before anything else about it is looked at.
        let declared = services.tools.find(name, permit.tenant()).map(Arc::clone);
        let found = match declared {
            Some(declared) => Some(declared),
            None => upstream::find(permit, name).await,
        };
        let Some(entry) = &found else {
            return Err(NotRun::params(name, "Unknown tool"));
        };
        let args = match params.arguments.map(|raw| raw.get()) {
            None | Some("null") => Map::new(),
            Some(text) => strict_json::object(text.as_bytes()).map_err(|_error| {
                NotRun::params(name, "Invalid params: arguments must be an object in which a key stands once")
            })?,
        };
        if era == Era::Modern {
            headers::check_mirrors(headers, &entry.mirrors, &args)
                .map_err(|mismatch| NotRun::error(name, mismatch.status, mismatch.error))?;
        }
        if let Some(scope) = entry.scope.as_deref().filter(|scope| !permit.principal().scopes.allows(scope)) {
            let challenge = services.identity.insufficient_scope(scope);
            let denial = Denial::new(Layer::Identity, "insufficient-scope", Refused::Scope(challenge));
            return Err(NotRun::denied(name, &denial));
        }
        let (turn, events) = turn(permit, entry, era, &args, params, may_stream)?;
        let own = permit.resident().limits().call_timeout;
        let time = match (entry.timeout, own) {
            (Some(tool), Some(own)) => tool.min(own),
            (Some(tool), None) => tool,
            (None, own) => own.unwrap_or(services.settings.call_timeout),
        };
        let deadline = permit.deadline(time);
        let room = permit.resident().limits().reply_bytes;
        let scope = Scope { permit: permit.clone(), turn, deadline, room };
        Ok(Self { entry: Arc::clone(entry), scope, args, era, events })
    }

    /// The call with less room for its reply.
    pub(crate) fn within(mut self, room: usize) -> Self {
        self.scope.room = self.scope.room.min(room);
        self
    }

    /// Whether the client asked for progress, so that the reply is a stream of events.
    pub(crate) fn has_events(&self) -> bool {
        self.events.is_some()
    }

    /// The reply as a stream of events.
    pub(crate) fn stream(mut self, id: String) -> ReplyStream {
        // Without a wish for progress the stream has the final message alone.
        let (progress, token) = self.events.take().unwrap_or_else(|| (mpsc::channel(1).1, String::new()));
        let permit = self.scope.permit.clone();
        let patience = permit.services().settings.read_timeout;
        // It runs in a task of its own, so the permit is entered again.
        let call = context::enter(permit.clone(), async move {
            match serde_json::from_str(&id).ok().and_then(Id::parse) {
                Some(id) => self.run(id).await.text,
                None => String::new(),
            }
        });
        ReplyStream::events(EventStream::start(Box::pin(call), progress, token, permit, patience))
    }

    /// Runs the tool within its time and makes the reply.
    pub(crate) async fn run(self, id: Id<'_>) -> Outgoing {
        match self.finish().await {
            Ok(text) => Outgoing::result(id, &text),
            Err(refusal) => Outgoing::refusal(Some(id), *refusal),
        }
    }

    /// Runs the tool within its time; the `result` of the reply as JSON.
    pub(crate) async fn finish(self) -> Result<String, Box<Refusal>> {
        let Self { entry, scope, args, era, .. } = self;
        let permit = &scope.permit;
        let unfinished = Unfinished { permit, tool: &entry.name };
        let result = match start(&scope, &entry).await {
            Ok(()) => answer(&entry, &scope, args).await,
            Err(error) => Err(error),
        };
        let result = match result.and_then(|body| written(permit, era, body, scope.room)) {
            Err(ToolError::Ended) => Err(ToolError::Denied(permit.ended())),
            result => result,
        };
        // From here on the call has a line, also when the future ends while it waits for it: a line is handed over when
        // its future is first polled, and nothing is waited for before that.
        std::mem::forget(unfinished);
        let result = record_call(permit, &entry, result).await;
        match result.as_ref().map_err(refusal::of_tool_error) {
            Ok(_) => result.map_err(|_error| Box::new(failed())),
            Err(ToolRefusal::Protocol(refusal)) => Err(Box::new(refusal)),
            Err(ToolRefusal::Result(told)) => {
                // What went wrong is short, and told also where there is no room left for a result.
                let most = permit.resident().limits().reply_bytes;
                written(permit, era, ReplyBody::Result(told), most).map_err(|_error| Box::new(failed()))
            }
        }
    }
}

/// How long a call that has changed something may wait for a disk that hangs.
const LAST_LINE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 10 });

/// How long a disk that is well may take for a line.
const DISK_TIME: Duration = Duration::from_millis(500);

/// Which part of the room for one reply must be left in a batch for a call to begin. A statement that changes rows gets
/// as much for them, so what it did can be told.
const LEAST_ROOM: usize = 8;

/// Notes on disk that a call which may change something begins; one that cannot be noted in its time does not run. Nor
/// does any call that has no time, or no room for its reply, before it begins.
async fn start(scope: &Scope, entry: &ToolEntry) -> Result<(), ToolError> {
    let (permit, deadline) = (&scope.permit, scope.deadline);
    if deadline <= Instant::now() {
        return Err(ToolError::TimedOut);
    }
    if scope.room < permit.resident().limits().reply_bytes / LEAST_ROOM {
        return Err(ToolError::TooLarge);
    }
    if !entry.writes {
        return Ok(());
    }
    let mut started = line(permit, "tools/call".into(), Some(Arc::clone(&entry.name)), Outcome::Ok, None);
    started.outcome = "started";
    let handed_over = Instant::now();
    let noted = tokio::time::timeout_at(deadline.into(), permit.services().audit.record_durably(started));
    match noted.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_unwritten)) => Err(ToolError::Unaudited),
        // A call that comes with little time ends soon, which is no news of the disk.
        Err(_elapsed) if handed_over.elapsed() < DISK_TIME => Err(ToolError::TimedOut),
        Err(_elapsed) => Err(ToolError::Unaudited),
    }
}

/// Counts a call that has ended and writes its line, for one that may have changed something on the disk.
async fn record_call(
    permit: &Permit,
    entry: &ToolEntry,
    result: Result<String, ToolError>,
) -> Result<String, ToolError> {
    let (outcome, reason) = match &result {
        Ok(_) => (Outcome::Ok, None),
        Err(ToolError::Denied(denial)) => (Outcome::Denied(denial.layer()), Some(denial.reason().to_owned())),
        Err(error) => (Outcome::Error, Some(error.for_log())),
    };
    let services = permit.services();
    services.metrics.count(Some(permit.tenant()), outcome);
    let line = line(permit, "tools/call".into(), Some(Arc::clone(&entry.name)), outcome, reason);
    if !entry.writes {
        // A read is answered also when its line is lost; the log counts those.
        let _lost = services.audit.record(line).await;
        return result;
    }
    match tokio::time::timeout(LAST_LINE, services.audit.record_durably(line)).await {
        Ok(Ok(())) => result,
        // What failed changed nothing, and says so.
        Ok(Err(_)) | Err(_) if result.is_err() => result,
        Ok(Err(_)) | Err(_) => Err(ToolError::EndUnaudited),
    }
}

fn failed() -> Refusal {
    let error = RpcError::new(codes::INTERNAL, "The tool failed.");
    Refusal { status: StatusCode::OK, header: None, error }
}

/// Calls the tool, bounded in time; a panic is the tool's failure and nobody else's.
async fn answer(entry: &ToolEntry, scope: &Scope, args: Map<String, Value>) -> Result<ReplyBody, ToolError> {
    let call = std::panic::AssertUnwindSafe(entry.call(Cx::new(scope), args)).catch_unwind();
    // A tool that keeps the time by itself also says what became of it; this is for when it cannot.
    match tokio::time::timeout_at((scope.deadline + entry.grace()).into(), call).await {
        Err(_elapsed) => Err(ToolError::TimedOut),
        Ok(Err(_panic)) => Err(ToolError::internal("the tool panicked")),
        Ok(Ok(reply)) => reply.map(crate::cx::Reply::into_body),
    }
}

/// Writes a call's line when its future is dropped before it has written one itself: the client went away.
struct Unfinished<'c> {
    permit: &'c Permit,
    tool: &'c Arc<str>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let (permit, tool) = (self.permit, Some(Arc::clone(self.tool)));
        let reason = Some("the client went away before the reply".to_owned());
        let line = line(permit, "tools/call".into(), tool, Outcome::Error, reason);
        permit.services().metrics.count(Some(permit.tenant()), Outcome::Error);
        permit.services().audit.record_now(line);
    }
}

type Events = Option<(mpsc::Receiver<Progress>, String)>;

/// What the client sent along: capabilities, answers, opened state, the wish for progress.
fn turn(
    permit: &Permit,
    entry: &ToolEntry,
    era: Era,
    args: &Map<String, Value>,
    params: Params<'_>,
    may_stream: bool,
) -> Result<(Turn, Events), NotRun> {
    let meta = params.meta.unwrap_or_default();
    let mut turn =
        Turn { tool: Arc::clone(&entry.name), can_be_asked: era == Era::Modern, ..Turn::default() };
    if era == Era::Modern {
        turn.capabilities = match meta.client_capabilities.map(|raw| raw.get()) {
            None | Some("{}") => ClientCapabilities::default(),
            Some(text) => serde_json::from_str(text).map_err(|_error| {
                NotRun::params(&entry.name, "Invalid params: the client's capabilities are malformed")
            })?,
        };
        turn.answers = params.input_responses.unwrap_or_default();
    }
    if let Some(handle) = params.request_state.as_deref().filter(|_| era == Era::Modern) {
        turn.arguments_digest = digest_of(args);
        let binding = Binding::of_call(permit, &turn);
        let state = permit.services().sealer.open(&binding, handle);
        turn.resumed = Some(state.map_err(|denial| NotRun::denied(&entry.name, &denial))?);
    } else if turn.can_be_asked && entry.may_ask() {
        turn.arguments_digest = digest_of(args);
    }
    let events = match meta.progress_token.filter(|_| may_stream) {
        None => None,
        // It comes back as it was written, like an id, and is held to the same bounds.
        Some(token) if Id::parse(token).is_some() => {
            let (sink, receiver) = ProgressSink::new();
            turn.progress = Some(sink);
            Some((receiver, token.get().to_owned()))
        }
        Some(_) => {
            let text = "Invalid params: progressToken must be a string or an integer";
            return Err(NotRun::params(&entry.name, text));
        }
    };
    Ok((turn, events))
}

/// SHA-256 of the arguments; serde_json keeps the keys sorted, so the order in which they came does not matter.
fn digest_of(args: &Map<String, Value>) -> [u8; 32] {
    let text = serde_json::to_vec(args).unwrap_or_default();
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, &text).as_ref());
    bytes
}

/// Writes a reply as the `result` of its revision, of at most so many bytes.
fn written(permit: &Permit, era: Era, body: ReplyBody, most: usize) -> Result<String, ToolError> {
    let info = &permit.services().settings.server_meta;
    let (start, end) = match era {
        Era::Modern => ("{\"resultType\":\"complete\",", format!(",\"_meta\":{info}}}")),
        Era::Legacy { .. } => ("{", "}".to_owned()),
    };
    let quoted =
        |text: &str| serde_json::to_string(text).map_err(|error| ToolError::internal(error.to_string()));
    let text = match body {
        ReplyBody::Text(text) => {
            format!("{start}\"content\":[{{\"type\":\"text\",\"text\":{}}}]{end}", quoted(&text)?)
        }
        ReplyBody::Json(json) => {
            // Structured content is an object; anything else is put into one.
            let object = if json.starts_with('{') { json } else { format!("{{\"result\":{json}}}").into() };
            let text = quoted(&object)?;
            format!(
                "{start}\"content\":[{{\"type\":\"text\",\"text\":{text}}}],\"structuredContent\":{object}{end}"
            )
        }
        ReplyBody::Result(result) => written_result(*result, era, info)?,
        ReplyBody::Ask { questions, state } => {
            let own: Value = serde_json::from_str(info).unwrap_or_default();
            let mut result =
                json!({ "resultType": "input_required", "inputRequests": questions, "_meta": own });
            if let (Some(map), Some(state)) = (result.as_object_mut(), state) {
                map.insert("requestState".into(), state.into());
            }
            result.to_string()
        }
    };
    if text.len() > most { Err(ToolError::TooLarge) } else { Ok(text) }
}

fn written_result(mut result: CallToolResult, era: Era, info: &str) -> Result<String, ToolError> {
    let failed = |error: serde_json::Error| ToolError::internal(error.to_string());
    result.result_type = None;
    let mut value = serde_json::to_value(result).map_err(failed)?;
    if let (Era::Modern, Some(map)) = (era, value.as_object_mut()) {
        map.insert("resultType".into(), "complete".into());
        let own: Value = serde_json::from_str(info).map_err(failed)?;
        let meta = map.entry("_meta").or_insert_with(|| json!({}));
        if let (Some(meta), Value::Object(own)) = (meta.as_object_mut(), own) {
            meta.extend(own);
        }
    }
    Ok(value.to_string())
}

/// Writes one line to the tenant's audit log and counts the request.
pub(crate) async fn record(
    permit: &Permit,
    method: impl Into<Cow<'static, str>>,
    tool: Option<Arc<str>>,
    outcome: Outcome,
    reason: Option<String>,
) {
    let services = permit.services();
    services.metrics.count(Some(permit.tenant()), outcome);
    // Nothing is changed by what is recorded here, so it is answered also when its line is lost.
    let _lost = services.audit.record(line(permit, method.into(), tool, outcome, reason)).await;
}

fn line(
    permit: &Permit,
    method: Cow<'static, str>,
    tool: Option<Arc<str>>,
    outcome: Outcome,
    reason: Option<String>,
) -> Line {
    let at = permit.services().clock.since_epoch().as_secs_f64();
    let mut line = Line::of(Some(permit.principal()), permit.request(), at);
    line.life = Some(permit.incarnation().0);
    line.method = method;
    line.tool = tool;
    line.reason = reason;
    line.us = u64::try_from(permit.since().elapsed().as_micros()).unwrap_or(u64::MAX);
    (line.outcome, line.layer) = match outcome {
        Outcome::Ok => ("ok", None),
        Outcome::Error => ("error", None),
        Outcome::Denied(layer) => ("denied", Some(layer.name())),
    };
    line
}

/// The tools that the caller's tenant has, a page at a time: the declared ones, then those of each existing MCP server.
pub(crate) async fn list(permit: &Permit, era: Era, cursor: Option<&str>) -> Result<String, Denial> {
    const PAGE: usize = 100;
    let services = permit.services();
    let binding = Binding::of_list(permit, "tools/list");
    let start = match cursor {
        None => Position::default(),
        Some(cursor) => {
            let opened = services.sealer.open(&binding, cursor)?;
            let refused = || Denial::new(Layer::Routing, "cursor-position", Refused::Handle);
            Position::parse(&opened).ok_or_else(refused)?
        }
    };
    let Parts { parts, whole } = Parts::of(permit, start).await;
    // It may have taken a while.
    permit.still()?;
    let room = permit.resident().limits().reply_bytes;
    let mut text = "{\"tools\":[".to_owned();
    let (mut count, mut next) = (0, None);
    'parts: for (part, tools) in (start.part..).zip(&parts) {
        let skipped = if part == start.part { start.tool } else { 0 };
        for (tool, entry) in tools.iter().enumerate().skip(skipped) {
            let full = count >= PAGE || text.len() + entry.definition_json.len() > room;
            if full && count > 0 {
                next = Some(Position { part, tool });
                break 'parts;
            }
            if count > 0 {
                text.push(',');
            }
            text.push_str(&entry.definition_json);
            count += 1;
        }
    }
    text.push(']');
    if let Some(next) = next {
        let next = services.sealer.seal_cursor(&binding, &next.to_string())?;
        text.push_str(&format!(",\"nextCursor\":\"{next}\""));
    }
    if era == Era::Modern {
        let info = &services.settings.server_meta;
        // What could not be listed now may be there the next time.
        let ttl = if whole { 60_000 } else { 0 };
        // Private: what a tenant sees listed is its own, and no cache on the way may show it to another.
        text.push_str(&format!(
            ",\"resultType\":\"complete\",\"ttlMs\":{ttl},\"cacheScope\":\"private\",\"_meta\":{info}"
        ));
    }
    text.push('}');
    Ok(text)
}

/// Where a page begins: which part, the declared tools or one of the servers, and which tool of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Position {
    part: usize,
    tool: usize,
}

impl Position {
    fn parse(text: &str) -> Option<Self> {
        let (part, tool) = text.split_once('.')?;
        Some(Self { part: part.parse().ok()?, tool: tool.parse().ok()? })
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.part, self.tool)
    }
}

/// The tools of a tenant from a position on.
struct Parts {
    parts: Vec<Vec<Arc<ToolEntry>>>,
    /// Whether every server answered.
    whole: bool,
}

impl Parts {
    async fn of(permit: &Permit, start: Position) -> Self {
        let (services, tenant) = (permit.services(), permit.tenant());
        let mut parts = Vec::new();
        if start.part == 0 {
            parts.push(services.tools.visible(tenant).map(Arc::clone).collect());
        }
        let scopes = &permit.principal().scopes;
        let asked =
            services.upstreams.visible(tenant).skip(start.part.saturating_sub(1)).map(|upstream| async {
                // Whoever may not call its tools does not start it.
                let allowed = upstream.scope.as_deref().is_none_or(|scope| scopes.allows(scope));
                if allowed {
                    Some(upstream::catalogue(permit, upstream, Some(upstream::PATIENCE)).await)
                } else {
                    None
                }
            });
        let mut whole = true;
        for answered in futures_util::future::join_all(asked).await {
            parts.push(match answered {
                Some(Ok(catalogue)) => catalogue.tools.clone(),
                Some(Err(_told)) => {
                    whole = false;
                    Vec::new()
                }
                None => Vec::new(),
            });
        }
        Self { parts, whole }
    }
}

/// The answer to `server/discover`.
pub(crate) fn discover(permit: &Permit) -> String {
    let settings = &permit.services().settings;
    let versions: Vec<&str> = std::iter::once(MODERN).chain(LEGACY).collect();
    let mut result = json!({
        "resultType": "complete",
        "supportedVersions": versions,
        "capabilities": { "tools": {} },
        "ttlMs": 60_000,
        "cacheScope": "private",
        "_meta": serde_json::from_str::<Value>(&settings.server_meta).unwrap_or_default(),
    });
    instruct(&mut result, settings.instructions.as_deref());
    result.to_string()
}

/// The answer to `initialize`: the revision that is asked for if it is served, else the newest of that generation.
pub(crate) fn initialize(permit: &Permit, wanted: Option<&str>) -> String {
    let settings = &permit.services().settings;
    let [newest, ..] = LEGACY;
    let version = wanted.filter(|wanted| LEGACY.contains(wanted)).unwrap_or(newest);
    let mut result = json!({
        "protocolVersion": version,
        "capabilities": { "tools": {} },
        "serverInfo": { "name": settings.name, "version": crate::VERSION },
    });
    instruct(&mut result, settings.instructions.as_deref());
    result.to_string()
}

fn instruct(result: &mut Value, instructions: Option<&str>) {
    if let (Some(map), Some(text)) = (result.as_object_mut(), instructions) {
        map.insert("instructions".into(), text.into());
    }
}

#[cfg(test)]
mod tests;
