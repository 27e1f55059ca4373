//! One conversation with an existing MCP server: the handshake, its tools, and calls.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use partywall_model::TenantId;
use rmcp::model::CallToolResult;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::http::HttpLink;
use super::{
    Upstream, UpstreamError,
    catalogue::{Catalogue, Listed},
    link::{Link, Request},
    stdio::StdioLink,
};
use crate::turn::ProgressSink;

/// The revisions with a handshake that servers may answer with; the first one is offered.
const WITH_HANDSHAKE: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
/// The one without.
const STATELESS: &str = "2026-07-28";
/// The most pages of tools, and bytes of a page and of all.
const MOST_PAGES: usize = 64;
const MOST_BYTES: usize = 4 << 20;
/// How long a list that has changed may take to be read again.
const RELIST: Duration = Duration::from_secs(10);

/// The ways to a server.
pub(super) enum AnyLink {
    Stdio(StdioLink),
    Http(HttpLink),
}

impl AnyLink {
    async fn request(&self, request: Request<'_>) -> Result<Box<RawValue>, UpstreamError> {
        match self {
            Self::Stdio(link) => link.request(request).await,
            Self::Http(link) => link.request(request).await,
        }
    }

    async fn notify(&self, method: &'static str, ends: Instant) -> Result<(), UpstreamError> {
        match self {
            Self::Stdio(link) => link.notify(method, json!({}), ends).await,
            Self::Http(link) => link.notify(method, json!({}), ends).await,
        }
    }

    fn agreed(&self, revision: &str) {
        match self {
            Self::Stdio(link) => link.agreed(revision),
            Self::Http(link) => link.agreed(revision),
        }
    }

    fn tools_changed(&self) -> bool {
        match self {
            Self::Stdio(link) => link.tools_changed(),
            Self::Http(link) => link.tools_changed(),
        }
    }

    fn ended(&self) -> bool {
        match self {
            Self::Stdio(link) => link.ended(),
            Self::Http(link) => link.ended(),
        }
    }
}

/// A conversation that has begun.
pub(super) struct Session {
    link: AnyLink,
    upstream: Arc<Upstream>,
    tenant: TenantId,
    /// Whether it was greeted and has told its tools.
    begun: bool,
    stateless: bool,
    has_tools: bool,
    catalogue: Mutex<Arc<Catalogue>>,
    /// Held while the tools are listed again.
    listing: tokio::sync::Mutex<()>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Greeting {
    protocol_version: String,
    #[serde(default)]
    capabilities: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discovered {
    #[serde(default)]
    supported_versions: Vec<String>,
    #[serde(default)]
    capabilities: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'p> {
    #[serde(borrow)]
    tools: Vec<&'p RawValue>,
    next_cursor: Option<String>,
}

impl Drop for Session {
    /// What nobody uses any more ends by itself.
    fn drop(&mut self) {
        if self.begun {
            self.close();
        }
    }
}

impl Session {
    /// Greets the server and lists its tools.
    pub(super) async fn begin(
        link: AnyLink,
        upstream: &Arc<Upstream>,
        tenant: TenantId,
        ends: Instant,
    ) -> Result<Self, UpstreamError> {
        let mut session = Self {
            link,
            upstream: Arc::clone(upstream),
            tenant,
            begun: false,
            stateless: false,
            has_tools: false,
            catalogue: Mutex::default(),
            listing: tokio::sync::Mutex::new(()),
        };
        match session.greet(ends).await {
            // A server without a handshake does not know the method, or says that it knows no such revision.
            Err(UpstreamError::Rpc { .. }) => session.discover(ends).await?,
            greeted => greeted?,
        }
        let listed = session.list(ends).await?;
        *session.catalogue.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(listed);
        session.begun = true;
        Ok(session)
    }

    async fn greet(&mut self, ends: Instant) -> Result<(), UpstreamError> {
        let [offered, ..] = WITH_HANDSHAKE;
        let params = json!({
            "protocolVersion": offered,
            "capabilities": {},
            "clientInfo": { "name": "partywall", "version": crate::VERSION },
        });
        let greeting = self.ask("initialize", params, ends, MOST_BYTES).await?;
        let Greeting { protocol_version, capabilities } = serde_json::from_str(greeting.get())
            .map_err(|_error| UpstreamError::Protocol("the answer to `initialize` is none"))?;
        if !WITH_HANDSHAKE.contains(&protocol_version.as_str()) {
            return Err(UpstreamError::Protocol("it wants a revision of the protocol that is not known"));
        }
        self.has_tools = capabilities.contains_key("tools");
        self.link.agreed(&protocol_version);
        self.link.notify("notifications/initialized", ends).await
    }

    async fn discover(&mut self, ends: Instant) -> Result<(), UpstreamError> {
        self.stateless = true;
        self.link.agreed(STATELESS);
        let found = self.ask("server/discover", json!({}), ends, MOST_BYTES).await?;
        let Discovered { supported_versions, capabilities } = serde_json::from_str(found.get())
            .map_err(|_error| UpstreamError::Protocol("the answer to `server/discover` is none"))?;
        if !supported_versions.iter().any(|version| version == STATELESS) {
            return Err(UpstreamError::Protocol("it wants a revision of the protocol that is not known"));
        }
        self.has_tools = capabilities.contains_key("tools");
        Ok(())
    }

    async fn ask(
        &self,
        method: &'static str,
        params: Value,
        ends: Instant,
        room: usize,
    ) -> Result<Box<RawValue>, UpstreamError> {
        self.send(method, params, ends, room, None).await
    }

    async fn send(
        &self,
        method: &'static str,
        mut params: Value,
        ends: Instant,
        room: usize,
        progress: Option<&ProgressSink>,
    ) -> Result<Box<RawValue>, UpstreamError> {
        if let (true, Some(params)) = (self.stateless, params.as_object_mut()) {
            let meta = json!({
                "io.modelcontextprotocol/protocolVersion": STATELESS,
                "io.modelcontextprotocol/clientInfo": { "name": "partywall", "version": crate::VERSION },
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            params.insert("_meta".into(), meta);
        }
        self.link.request(Request { method, params, ends, room, progress }).await
    }

    /// Reads all pages of the server's tools.
    async fn list(&self, ends: Instant) -> Result<Catalogue, UpstreamError> {
        let mut listed = Listed::new(&self.upstream);
        if !self.has_tools {
            return Ok(listed.done());
        }
        let mut cursor: Option<String> = None;
        let mut left = MOST_BYTES;
        for _ in 0..MOST_PAGES {
            let params = match &cursor {
                None => json!({}),
                Some(cursor) => json!({ "cursor": cursor }),
            };
            let text = self.ask("tools/list", params, ends, left).await?;
            left = left.saturating_sub(text.get().len());
            let page: Page<'_> = serde_json::from_str(text.get())
                .map_err(|_error| UpstreamError::Protocol("the answer to `tools/list` is none"))?;
            if !listed.add(&page.tools) {
                break;
            }
            match page.next_cursor {
                None => return Ok(listed.done()),
                // One that goes round in a circle has no more to tell.
                next if next == cursor => break,
                next => cursor = next,
            }
        }
        tracing::warn!(upstream = %self.upstream.name, tenant = %self.tenant, "the upstream has more tools than are listed");
        Ok(listed.done())
    }

    /// The server's tools; listed again when it said that they have changed.
    pub(super) async fn catalogue(&self, ends: Instant) -> Result<Arc<Catalogue>, UpstreamError> {
        let known = || Arc::clone(&self.catalogue.lock().unwrap_or_else(PoisonError::into_inner));
        let before = known();
        // One that changes its mind all the time is asked once a second.
        if before.since.elapsed() < Duration::from_secs(1) {
            return Ok(before);
        }
        let Ok(_listing) = self.listing.try_lock() else { return Ok(before) };
        if !self.link.tools_changed() {
            return Ok(before);
        }
        let ends = ends.min(Instant::now() + RELIST);
        match self.list(ends).await {
            Ok(listed) => {
                let listed = Arc::new(listed);
                *self.catalogue.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&listed);
                Ok(listed)
            }
            Err(error) if self.ended() => Err(error),
            Err(error) => {
                tracing::warn!(upstream = %self.upstream.name, tenant = %self.tenant, "its tools cannot be listed again: {error}");
                Ok(before)
            }
        }
    }

    /// Calls a tool, by the server's own name of it.
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: &Map<String, Value>,
        ends: Instant,
        room: usize,
        progress: Option<&ProgressSink>,
    ) -> Result<CallToolResult, UpstreamError> {
        let params = json!({ "name": tool, "arguments": arguments });
        let result = self.send("tools/call", params, ends, room, progress).await?;
        serde_json::from_str(result.get()).map_err(|_error| UpstreamError::UnknownContent)
    }

    pub(super) fn ended(&self) -> bool {
        self.link.ended()
    }

    /// Whether it is one with a process of the tenant's.
    pub(super) fn is_process(&self) -> bool {
        matches!(self.link, AnyLink::Stdio(_))
    }

    /// Ends it now.
    pub(super) fn kill(&self) {
        match &self.link {
            AnyLink::Stdio(link) => link.kill(),
            AnyLink::Http(link) => link.kill(),
        }
    }

    /// Ends it, with a little time to do so by itself.
    pub(super) fn close(&self) {
        match &self.link {
            AnyLink::Stdio(link) => link.close(),
            // It ends when nobody has it any more.
            AnyLink::Http(_) => {}
        }
    }
}
