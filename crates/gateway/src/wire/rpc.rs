//! The path of a request, read top-down in [`handle`], and the methods that are served.

use std::{borrow::Cow, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{ACCEPT, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, EXPECT},
    request::Parts,
};
use partywall_model::{Layer, Principal};
use serde_json::value::RawValue;

use super::{
    body::{self, BodyError, ReplyStream},
    headers::{self, Era, Mismatch},
    message::{Envelope, Id, Object, Params},
    page,
    reply::{Outgoing, RpcError, codes, empty, events},
};
use crate::{
    admit::{Permit, RequestId, admit},
    call::{self, Call, NotRun},
    context,
    gateway::Services,
    guards::{
        capacity::{
            Over,
            refusals::{Pace, Refusals, Refused as Bundled},
            seats::Seat,
        },
        disclosure::{Denial, Refused, audit::Line, metrics::Outcome, refusal},
    },
};

/// Answers one HTTP request.
pub(crate) async fn handle<B>(
    services: &Arc<Services>,
    seat: Option<&Arc<Seat>>,
    request: Request<B>,
) -> Response<ReplyStream>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let number = services.next_request();
    let (parts, mut body) = request.into_parts();
    // First, since a request that a foreign page made a browser send must not even learn who is known here.
    let mut response = match services.doors.check(&parts.uri, &parts.headers) {
        Ok(origin) => {
            let response = let_in(services, seat, number, &parts, &mut body).await;
            match origin {
                Some(origin) => page::show(response, origin.clone()),
                None => response,
            }
        }
        Err(denial) => deny(services, link(seat, &parts), None, number, &denial).await,
    };
    // In HTTP/1 the next request begins where the body of this one ends. A client that waits to be asked for the body is
    // not asked.
    let whole = match parts.version != Version::HTTP_2 && !parts.headers.contains_key(EXPECT) {
        true => body::ends(&mut body).await,
        false => parts.version == Version::HTTP_2 || http_body::Body::is_end_stream(&body),
    };
    if !whole {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Answers a request that came through a door of ours.
async fn let_in<B>(
    services: &Arc<Services>,
    seat: Option<&Arc<Seat>>,
    number: RequestId,
    parts: &Parts,
    body: B,
) -> Response<ReplyStream>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if services.identity.metadata_paths().contains(&parts.uri.path()) {
        let asked = page::asked(parts, "GET", number);
        return asked.unwrap_or_else(|| metadata(services, &parts.method, number));
    }
    if parts.uri.path() != "/mcp" {
        return empty(StatusCode::NOT_FOUND, number);
    }
    // A browser asks without a token.
    if let Some(response) = page::asked(parts, "POST", number) {
        return response;
    }
    // Before anything is read, so that strangers cannot make the server hold their bytes.
    let verified = match services.authenticate(&parts.headers).await {
        Ok(verified) => verified,
        Err(denial) => return deny(services, link(seat, parts), None, number, &denial).await,
    };
    let caller = Some(&verified.principal);
    let permit = match admit(services, &verified, seat, number).await {
        Ok(permit) => permit,
        Err(denial) => return deny(services, link(seat, parts), caller, number, &denial).await,
    };
    // From here to the end of the reply the request's future runs as its tenant.
    match context::enter(permit.clone(), admitted(&permit, parts, body)).await {
        Ok(response) => response.map(|body| body.held_by(&permit, parts.version)),
        Err(denial) => {
            // Its place is free while the answer is held back.
            drop(permit);
            deny(services, link(seat, parts), caller, number, &denial).await
        }
    }
}

/// The connection, if to end it would end the requests of others on it too.
fn link<'s>(seat: Option<&'s Arc<Seat>>, parts: &Parts) -> Option<&'s Seat> {
    seat.filter(|_| parts.version == Version::HTTP_2).map(Arc::as_ref)
}

async fn admitted<B>(permit: &Permit, parts: &Parts, body: B) -> Result<Response<ReplyStream>, Denial>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let number = permit.request();
    let text = match read(permit, parts, body).await {
        Ok(text) => text,
        Err(unread) => {
            let reason = unread.error.message.to_string();
            let method = parts.method.as_str().to_owned();
            call::record(permit, method, None, Outcome::Error, Some(reason)).await;
            return Ok(match unread.status {
                StatusCode::METHOD_NOT_ALLOWED => only_post(number),
                status => Outgoing::error(None, status, &unread.error).into_response(number),
            });
        }
    };
    // What is asked for was not known before, and the body may have taken its time.
    permit.still()?;
    let exchange = Exchange {
        permit,
        headers: &parts.headers,
        version: text.version,
        accepts_events: text.accepts_events,
    };
    if text.body.trim_start().starts_with('[') {
        return Ok(exchange.batch(&text.body).await);
    }
    Ok(match exchange.message(&text.body, Place::Alone).await {
        Answer::Accepted => empty(StatusCode::ACCEPTED, number),
        #[cfg(test)]
        Answer::One(outgoing) if crate::removed::removed("own-exchange") => {
            let text = crate::removed::answer_by_id(&text.body, outgoing.text).await;
            Outgoing { text, ..outgoing }.into_response(number)
        }
        Answer::One(outgoing) => outgoing.into_response(number),
        Answer::Events(stream) => events(stream, number),
    })
}

/// A POST whose body was read.
struct Text<'r> {
    version: Option<&'r str>,
    accepts_events: bool,
    body: String,
}

/// Reads the body of a request that may have one.
async fn read<'r, B>(permit: &Permit, parts: &'r Parts, body: B) -> Result<Text<'r>, Mismatch>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let refused = |status: StatusCode, code: i64, text: &'static str| Mismatch {
        status,
        error: RpcError::new(code, text),
    };
    if parts.method != Method::POST {
        let (status, text) = (StatusCode::METHOD_NOT_ALLOWED, "The HTTP method is not POST.");
        return Err(refused(status, codes::INVALID_REQUEST, text));
    }
    let accepts =
        negotiate(&parts.headers).map_err(|(status, text)| refused(status, codes::INVALID_REQUEST, text))?;
    let version = headers::version(&parts.headers)?;
    let settings = &permit.services().settings;
    let bytes = body::read(body, settings.max_body_bytes, settings.read_timeout).await.map_err(|error| {
        let (status, text) = match error {
            BodyError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "The request is too large."),
            BodyError::TooSlow => (StatusCode::REQUEST_TIMEOUT, "The request came too slowly."),
            BodyError::Broken => (StatusCode::BAD_REQUEST, "The request ended early."),
        };
        refused(status, codes::INVALID_REQUEST, text)
    })?;
    let body = String::from_utf8(bytes.into())
        .map_err(|_bytes| refused(StatusCode::BAD_REQUEST, codes::PARSE, "The request is not UTF-8."))?;
    Ok(Text { version, accepts_events: accepts.events, body })
}

fn only_post(number: RequestId) -> Response<ReplyStream> {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED, number);
    response.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static("POST"));
    response
}

fn metadata(services: &Services, method: &Method, number: RequestId) -> Response<ReplyStream> {
    if *method != Method::GET {
        return empty(StatusCode::METHOD_NOT_ALLOWED, number);
    }
    let text = String::from_utf8_lossy(&services.identity.metadata()).into_owned();
    Outgoing { status: StatusCode::OK, header: None, text }.into_response(number)
}

/// Writes the denial to the log and makes the reply, which comes a little later for who goes on being refused.
async fn deny(
    services: &Services,
    link: Option<&Seat>,
    principal: Option<&Arc<Principal>>,
    number: RequestId,
    denial: &Denial,
) -> Response<ReplyStream> {
    let principal = principal.filter(|_| !denial.is_to_stranger());
    let over = over_of(denial);
    // Whoever is refused for another reason is paced together with strangers.
    let resident = principal.filter(|_| over.is_some()).and_then(|who| services.residents.find(&who.tenant));
    let meter = resident.as_ref().map(|resident| resident.capacity().refusals());
    let pace = services.pacer.pace(meter, services.settings.refusal_delay, Instant::now());
    note(services, meter, principal, number, denial).await;
    let mut close = matches!(over, Some(Over::Connections { .. }));
    match pace {
        Pace::AtOnce => {}
        Pace::Later(delay, _held) => tokio::time::sleep(delay).await,
        Pace::Close => close = true,
    }
    let mut response = Outgoing::refusal(None, refusal::of_denial(denial)).into_response(number);
    // A connection that others use too, such as a proxy's, is not ended for what one of them does.
    if close && link.is_none_or(|seat| seat.is_left_to(principal.map(|who| &who.tenant))) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Which limit a denial is about, if it is about one.
fn over_of(denial: &Denial) -> Option<Over> {
    match denial.refused() {
        Refused::TooMany(_, over) => Some(*over),
        _ => None,
    }
}

/// Counts a denial and writes its line, for a caller of a tenant together with others.
async fn note(
    services: &Services,
    meter: Option<&Arc<Refusals>>,
    principal: Option<&Arc<Principal>>,
    number: RequestId,
    denial: &Denial,
) {
    services.metrics.count(principal.map(|principal| &principal.tenant), Outcome::Denied(denial.layer()));
    let line = match principal {
        Some(caller) => {
            let reason = over_of(denial).map_or(denial.word(), Over::reason);
            let refused =
                Bundled { caller: Arc::clone(caller), request: number, layer: denial.layer(), reason };
            services.pacer.line(meter, &refused, Instant::now(), &services.clock)
        }
        None => {
            let mut line = Line::of(None, number, services.clock.since_epoch().as_secs_f64());
            line.outcome = "denied";
            line.layer = Some(denial.layer().name());
            line.reason = Some(denial.reason().to_owned());
            Some(line)
        }
    };
    if let Some(line) = line {
        // The answer is a refusal either way.
        let _lost = services.audit.record(line).await;
    }
}

struct Accepts {
    events: bool,
}

/// Whether a parameter of a content type does not ask for another reading of the bytes than ours, which is UTF-8.
fn is_as_read(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return true };
    let value = value.trim_matches('"');
    !name.trim().eq_ignore_ascii_case("charset")
        || ["utf-8", "utf8", "us-ascii"].iter().any(|known| value.trim().eq_ignore_ascii_case(known))
}

/// Checks what the client sends and what it takes. A content type that a web page could send without asking is
/// refused.
fn negotiate(headers: &HeaderMap) -> Result<Accepts, (StatusCode, &'static str)> {
    // Of two types a proxy before us may have looked at the other one.
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let stated = match (types.next().and_then(|value| value.to_str().ok()), types.next()) {
        (Some(one), None) => one,
        _ => "",
    };
    let mut parts = stated.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    if !is_json || !parts.all(is_as_read) {
        return Err((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Send the request with Content-Type: application/json.",
        ));
    }
    // Nor may it have looked at what the body says when it is unpacked.
    if headers.get_all(CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send the request without Content-Encoding."));
    }
    let mut json = false;
    let mut events = false;
    let mut stated = false;
    for value in headers.get_all(ACCEPT) {
        stated = true;
        for range in value.to_str().unwrap_or_default().split(',') {
            match range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
                "application/json" => json = true,
                "text/event-stream" => events = true,
                "*/*" => (json, events) = (true, true),
                "application/*" => json = true,
                _ => {}
            }
        }
    }
    if stated && !json {
        return Err((
            StatusCode::NOT_ACCEPTABLE,
            "Send the request with Accept: application/json, text/event-stream.",
        ));
    }
    Ok(Accepts { events })
}

/// What the log calls a message that was not read far enough to know its method.
const UNREAD: &str = "POST";

/// A message that is no request or notification, and its id if it could have been a request.
struct NoRequest<'a> {
    id: Option<Id<'a>>,
    error: RpcError,
}

/// Reads one message; a notification has no id, and anything but a request or a notification is an error.
fn envelope(text: &str) -> Result<Envelope<'_>, NoRequest<'_>> {
    let invalid =
        |id, text: &'static str| NoRequest { id, error: RpcError::new(codes::INVALID_REQUEST, text) };
    let envelope = match serde_json::from_str::<Object<Envelope<'_>>>(text) {
        Ok(Object(envelope)) => envelope,
        Err(error) if error.is_data() => return Err(invalid(None, "This is no JSON-RPC message.")),
        Err(_syntax) => {
            let error = RpcError::new(codes::PARSE, "This is not valid JSON.");
            return Err(NoRequest { id: None, error });
        }
    };
    let answers = envelope.result.is_some() || envelope.error.is_some();
    // The id of an answer would be one of ours.
    let id = envelope.id.filter(|_| !answers).and_then(Id::parse);
    if envelope.jsonrpc.as_deref() != Some("2.0") {
        return Err(invalid(id, "This is no JSON-RPC 2.0 message."));
    }
    if envelope.method.is_none() {
        // Or a response to a request of ours, of which there are none.
        return Err(invalid(id, "The message has no method."));
    }
    if answers {
        return Err(invalid(id, "A request has no result or error."));
    }
    Ok(envelope)
}

/// What one message is answered with.
enum Answer {
    /// Nothing: it was a notification.
    Accepted,
    One(Outgoing),
    Events(ReplyStream),
}

/// Where a message stands.
#[derive(Clone, Copy)]
enum Place {
    /// It is all there is, so it may be answered with a stream.
    Alone,
    /// In a batch, with so much room for its reply.
    Batch { room: usize },
}

impl Place {
    fn is_too_small_for(self, result: &str) -> bool {
        matches!(self, Self::Batch { room } if result.len() > room)
    }
}

/// One POST.
struct Exchange<'r> {
    permit: &'r Permit,
    headers: &'r HeaderMap,
    version: Option<&'r str>,
    accepts_events: bool,
}

impl Exchange<'_> {
    /// The most messages of a batch.
    const MAX_BATCH: usize = 32;

    /// Answers a batch (2025-03-26 only), one message after the other; each counts as a call.
    async fn batch(&self, text: &str) -> Response<ReplyStream> {
        let number = self.permit.request();
        let messages = match self.messages(text) {
            Ok(messages) => messages,
            Err(text) => {
                let refused = self.refuse(None, UNREAD, RpcError::new(codes::INVALID_REQUEST, text)).await;
                return refused.into_response(number);
            }
        };
        // All replies together have the room of one.
        let most = self.permit.resident().limits().reply_bytes;
        let mut text = String::from("[");
        // Once the tenant or the token has ended, all that is left is refused.
        let mut ended = None;
        for (at, message) in messages.into_iter().enumerate() {
            // The first is admitted already.
            let admitted = match (&ended, at) {
                (Some(denial), _) => Err(Denial::clone(denial)),
                (None, 0) => Ok(()),
                (None, _) => {
                    let counted = self.permit.resident().capacity().count().await;
                    self.permit.still().inspect_err(|denial| ended = Some(denial.clone())).and(counted)
                }
            };
            let reply = match admitted {
                Err(denial) => self.refused(message, &denial).await,
                Ok(()) => {
                    let place = Place::Batch { room: most.saturating_sub(text.len()) };
                    match self.message(message.get(), place).await {
                        Answer::Accepted | Answer::Events(_) => None,
                        Answer::One(outgoing) => Some(outgoing.text),
                    }
                }
            };
            if let Some(reply) = reply {
                if text.len() > 1 {
                    text.push(',');
                }
                text.push_str(&reply);
            }
        }
        if text.len() == 1 {
            return empty(StatusCode::ACCEPTED, number);
        }
        text.push(']');
        Outgoing { status: StatusCode::OK, header: None, text }.into_response(number)
    }

    /// Notes that a message of a batch was not let in; its reply, if it is to have one.
    async fn refused(&self, message: &RawValue, denial: &Denial) -> Option<String> {
        let (permit, services) = (self.permit, self.permit.services());
        let caller = Some(permit.principal()).filter(|_| !denial.is_to_stranger());
        let meter = over_of(denial).map(|_| permit.resident().capacity().refusals());
        note(services, meter, caller, permit.request(), denial).await;
        let id = match envelope(message.get()) {
            // A notification has no id and no answer.
            Ok(Envelope { id: None, .. }) => return None,
            Ok(Envelope { id: Some(id), .. }) => Id::parse(id),
            Err(NoRequest { id, .. }) => id,
        };
        Some(Outgoing::refusal(id, refusal::of_denial(denial)).text)
    }

    fn messages<'m>(&self, text: &'m str) -> Result<Vec<&'m RawValue>, &'static str> {
        if !matches!(self.version, None | Some("2025-03-26")) {
            return Err("This revision has no batches: send one message in a request.");
        }
        let messages: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|_error| "The batch is not valid JSON.")?;
        if messages.is_empty() || messages.len() > Self::MAX_BATCH {
            return Err("A batch has 1 to 32 messages.");
        }
        Ok(messages)
    }

    async fn message(&self, text: &str, place: Place) -> Answer {
        let envelope = match envelope(text) {
            Ok(envelope) => envelope,
            Err(NoRequest { id, error }) => return Answer::One(self.refuse(id, UNREAD, error).await),
        };
        let method = envelope.method.as_deref().unwrap_or_default();
        let Some(id) = envelope.id else {
            return Answer::Accepted;
        };
        let Some(id) = Id::parse(id) else {
            let error = RpcError::new(codes::INVALID_REQUEST, "The id must be a string or an integer.");
            return Answer::One(self.refuse(None, method, error).await);
        };
        self.request(id, method, envelope.params, place).await
    }

    /// Writes the line of a message that is not served as it is, and makes its reply.
    async fn refuse(&self, id: Option<Id<'_>>, method: &str, error: RpcError) -> Outgoing {
        self.record(method.to_owned(), None, Some(error.message.to_string()), None).await;
        Outgoing::error(id, StatusCode::BAD_REQUEST, &error)
    }

    async fn request(&self, id: Id<'_>, method: &str, params: Option<&RawValue>, place: Place) -> Answer {
        let params = match params.map(|params| serde_json::from_str::<Object<Params<'_>>>(params.get())) {
            None => Params::default(),
            Some(Ok(Object(params))) => params,
            Some(Err(_error)) => {
                let error = RpcError::new(
                    codes::INVALID_PARAMS,
                    "Invalid params: a field has the wrong type or stands twice",
                );
                return Answer::One(self.refuse(Some(id), method, error).await);
            }
        };
        let era = match self.check(method, &params) {
            Ok(era) => era,
            // Every mismatch is a 400.
            Err(Mismatch { error, .. }) => return Answer::One(self.refuse(Some(id), method, error).await),
        };
        match (era, method) {
            (_, "tools/call") => self.call(id, era, params, place).await,
            (_, "tools/list") => match call::list(self.permit, era, params.cursor.as_deref()).await {
                Ok(list) if place.is_too_small_for(&list) => {
                    let error =
                        RpcError::new(codes::INTERNAL, "The replies of the batch would be too large.");
                    Answer::One(self.refuse(Some(id), method, error).await)
                }
                listed => self.log("tools/list", listed, id).await,
            },
            (Era::Modern, "server/discover") => {
                self.log("server/discover", Ok(call::discover(self.permit)), id).await
            }
            (Era::Legacy { .. }, "initialize") => {
                let wanted = params.protocol_version.as_deref();
                self.log("initialize", Ok(call::initialize(self.permit, wanted)), id).await
            }
            (Era::Legacy { .. }, "ping") => self.log("ping", Ok("{}".to_owned()), id).await,
            _ => {
                let status = match era {
                    Era::Modern => StatusCode::NOT_FOUND,
                    Era::Legacy { .. } => StatusCode::OK,
                };
                let error = RpcError::new(codes::METHOD_NOT_FOUND, "Method not found");
                Answer::One(Outgoing { status, ..self.refuse(Some(id), method, error).await })
            }
        }
    }

    fn check(&self, method: &str, params: &Params<'_>) -> Result<Era, Mismatch> {
        // `initialize` opens the old revisions and comes before a version is agreed on.
        let version = if method == "initialize" && self.version.is_none_or(|v| v != headers::MODERN) {
            self.version.filter(|version| headers::LEGACY.contains(version))
        } else {
            self.version
        };
        let era = headers::era(version, params)?;
        if era == Era::Modern {
            headers::check_standard(self.headers, method, params.name.as_deref())?;
        }
        Ok(era)
    }

    async fn call(&self, id: Id<'_>, era: Era, params: Params<'_>, place: Place) -> Answer {
        let (may_stream, room) = match place {
            Place::Alone => (self.accepts_events, usize::MAX),
            Place::Batch { room } => (false, room),
        };
        let call = match Call::prepare(self.permit, self.headers, era, params, may_stream).await {
            Ok(call) => call.within(room),
            Err(refused) => {
                let NotRun { tool, reason, layer, refusal } = refused;
                self.record("tools/call", tool.map(Into::into), Some(reason), layer).await;
                return Answer::One(Outgoing::refusal(Some(id), *refusal));
            }
        };
        if call.has_events() {
            return Answer::Events(call.stream(id.to_string()));
        }
        Answer::One(call.run(id).await)
    }

    /// Writes a list's or handshake's line and makes its reply.
    async fn log(&self, method: &'static str, result: Result<String, Denial>, id: Id<'_>) -> Answer {
        match result {
            Ok(result) => {
                self.record(method, None, None, None).await;
                Answer::One(Outgoing::result(id, &result))
            }
            Err(denial) => {
                self.record(method, None, Some(denial.reason().to_owned()), Some(denial.layer())).await;
                Answer::One(Outgoing::refusal(Some(id), refusal::of_denial(&denial)))
            }
        }
    }

    async fn record(
        &self,
        method: impl Into<Cow<'static, str>>,
        tool: Option<Arc<str>>,
        reason: Option<String>,
        layer: Option<Layer>,
    ) {
        let outcome = match (&reason, layer) {
            (None, _) => Outcome::Ok,
            (Some(_), Some(layer)) => Outcome::Denied(layer),
            (Some(_), None) => Outcome::Error,
        };
        call::record(self.permit, method, tool, outcome, reason).await;
    }
}
