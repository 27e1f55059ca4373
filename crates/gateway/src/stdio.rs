//! One local tenant over standard input and output, on rmcp's server loop.
//!
//! The process belongs to one user, who is the tenant's caller; there is no token. Every call is admitted anew, so a
//! suspension takes effect at the next one here too. rmcp runs handlers in tasks of its own, so the permit is entered
//! inside the handler and not around the loop.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderMap;
use partywall_model::{Principal, Scopes, TenantId};
use rmcp::{
    ErrorData, RoleServer, ServerHandler, ServiceExt,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ErrorCode, Implementation, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};
use serde_json::{Value, value::to_raw_value};

use crate::{
    admit::{Permit, RequestId, admit},
    call::{self, Call, NotRun},
    context,
    gateway::{Gateway, Live, Services},
    guards::{
        capacity::{Over, refusals::Refused as Bundled},
        disclosure::{Denial, Refused, audit::Line, metrics::Outcome, refusal},
        identity::Verified,
    },
    tenants::Issued,
    wire::{headers::Era, message::Params, reply::codes},
};

/// The local server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// The tenant is not served.
    #[error("the tenant `{tenant}` is not served ({reason}); list the tenants with: partywall tenant list")]
    Tenant {
        /// The tenant.
        tenant: TenantId,
        /// Why.
        reason: &'static str,
    },
    /// The client did not speak the protocol.
    #[error("the client on standard input did not start an MCP session: {0}")]
    Protocol(String),
}

impl Gateway {
    /// Serves one tenant on standard input and output until the client closes them.
    ///
    /// # Errors
    /// When the tenant is not served, or the client does not speak MCP.
    pub async fn serve_stdio(&self, tenant: &TenantId) -> Result<(), StdioError> {
        let life = self
            .lasting
            .registry
            .active(tenant)
            .map_err(|why| StdioError::Tenant { tenant: tenant.clone(), reason: why.reason() })?;
        let principal = Principal {
            tenant: tenant.clone(),
            issuer: "urn:partywall:stdio".into(),
            subject: "local".into(),
            scopes: Scopes::default(),
        };
        // Whoever starts the process is the caller for as long as it runs.
        let issued = Issued::For(life);
        let verified = Verified { principal: Arc::new(principal), expires_at: u64::MAX, issued };
        let local = Local { live: Arc::clone(&self.live), verified };
        let protocol = |error: String| StdioError::Protocol(error);
        let running =
            local.serve(rmcp::transport::stdio()).await.map_err(|error| protocol(error.to_string()))?;
        let mut waiting = pin!(running.waiting());
        let ended = loop {
            match tokio::time::timeout(OWED, &mut waiting).await {
                Ok(ended) => break ended,
                Err(_elapsed) => {
                    self.flush_audit().await;
                    let services = self.live.services();
                    services.processes.look_after(&services);
                }
            }
        };
        self.lasting.processes.stop_all().await;
        self.flush_audit().await;
        ended.map(drop).map_err(|error| protocol(error.to_string()))
    }
}

/// How long the audit lines of refusals are owed at most.
const OWED: Duration = Duration::from_secs(1);

struct Local {
    live: Arc<Live>,
    verified: Verified,
}

/// What rmcp's loop speaks on standard input is the generation with a handshake.
const ERA: Era = Era::Legacy { batches: false };

impl Local {
    async fn admit(&self) -> Result<Permit, ErrorData> {
        let services = self.live.services();
        let number = services.next_request();
        let denial = match admit(&services, &self.verified, None, number).await {
            Ok(permit) => return Ok(permit),
            Err(denial) => denial,
        };
        // Of a tenant that was removed meanwhile there is no log any more.
        let caller = Some(&self.verified.principal).filter(|_| !denial.is_to_stranger());
        services.metrics.count(caller.map(|caller| &caller.tenant), Outcome::Denied(denial.layer()));
        if let Some(line) = refused(&services, caller, number, &denial) {
            // The reply is a refusal either way.
            let _lost = services.audit.record(line).await;
        }
        Err(match denial.refused() {
            // There is no token here that a better one could take the place of.
            Refused::Unauthenticated(_) => plain(
                codes::UNAUTHENTICATED,
                "This tenant is not served at present. Its operator can tell why.".to_owned(),
                None,
            ),
            _ => denied(&denial),
        })
    }
}

/// The line of a refusal, as on HTTP: those of a caller that goes on are written together.
fn refused(
    services: &Services,
    caller: Option<&Arc<Principal>>,
    request: RequestId,
    denial: &Denial,
) -> Option<Line> {
    let layer = denial.layer();
    let Some(caller) = caller else {
        let mut line = Line::of(None, request, services.clock.since_epoch().as_secs_f64());
        (line.outcome, line.layer) = ("denied", Some(layer.name()));
        line.reason = Some(denial.reason().to_owned());
        return Some(line);
    };
    let over = match denial.refused() {
        Refused::TooMany(_, over) => Some(*over),
        _ => None,
    };
    let resident = over.and_then(|_| services.residents.find(&caller.tenant));
    let reason = over.map_or(denial.word(), Over::reason);
    let refused = Bundled { caller: Arc::clone(caller), request, layer, reason };
    let meter = resident.as_ref().map(|resident| resident.capacity().refusals());
    services.pacer.line(meter, &refused, Instant::now(), &services.clock)
}

fn denied(denial: &Denial) -> ErrorData {
    let error = refusal::of_denial(denial).error;
    plain(error.code, error.message.into_owned(), error.data)
}

fn plain(code: i64, message: String, data: Option<Value>) -> ErrorData {
    // Every code that is sent fits; the internal one stands in for one that would not.
    let code = i32::try_from(code).map_or(ErrorCode::INTERNAL_ERROR, ErrorCode);
    ErrorData::new(code, message, data)
}

impl ServerHandler for Local {
    fn get_info(&self) -> ServerConfig {
        let services = self.live.services();
        let settings = &services.settings;
        let mut config = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        config.server_info = Implementation::new(settings.name.clone(), crate::VERSION);
        config.instructions.clone_from(&settings.instructions);
        config
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let permit = self.admit().await?;
        let cursor = request.and_then(|request| request.cursor);
        let listed = call::list(&permit, ERA, cursor.as_deref()).await;
        let (outcome, reason) = match &listed {
            Ok(_) => (Outcome::Ok, None),
            Err(denial) => (Outcome::Denied(denial.layer()), Some(denial.reason().to_owned())),
        };
        call::record(&permit, "tools/list", None, outcome, reason).await;
        let text = listed.map_err(|denial| denied(&denial))?;
        serde_json::from_str(&text).map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let permit = self.admit().await?;
        let arguments = request.arguments.map(|arguments| to_raw_value(&arguments)).transpose();
        let arguments = arguments.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        let params =
            Params { name: Some(request.name), arguments: arguments.as_deref(), ..Params::default() };
        let call = match Call::prepare(&permit, &HeaderMap::new(), ERA, params, false).await {
            Ok(call) => call,
            Err(NotRun { tool, reason, layer, refusal }) => {
                let outcome = layer.map_or(Outcome::Error, Outcome::Denied);
                call::record(&permit, "tools/call", tool.map(Into::into), outcome, Some(reason)).await;
                let error = refusal.error;
                return Err(plain(error.code, error.message.into_owned(), error.data));
            }
        };
        match context::enter(permit, call.finish()).await {
            Ok(text) => {
                let result: CallToolResult = serde_json::from_str(&text)
                    .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
                Ok(result.into())
            }
            Err(refusal) => {
                Err(plain(refusal.error.code, refusal.error.message.into_owned(), refusal.error.data))
            }
        }
    }

    fn get_tool(&self, _name: &str) -> Option<Tool> {
        // Asked without a caller, so nothing is told.
        None
    }
}
