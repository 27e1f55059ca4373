//! `Cx<'t>`: one call's context, and the values that belong to its tenant.
//!
//! The lifetime `'t` is a brand. It is invariant and each call gets one of its own, because tools are called through
//! a function that is generic over it. So a value of one call cannot be put into a `static`, moved into a detached
//! task, or mixed with a value of another call: each is a lifetime error at compile time.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use partywall_model::{Scopes, TenantId};
use rmcp::model::{CallToolResult, ClientCapabilities, InputRequests};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    admit::{Permit, RequestId},
    guards::{
        cache::Fresh,
        credentials::SecretName,
        data::{QueryLimits, Rows},
        routing::Binding,
    },
    tools::ToolError,
    turn::{Progress, ProgressSink, Turn},
};

/// Makes a type invariant in `'t`, so that the compiler never shortens or lengthens the brand.
type Brand<'t> = PhantomData<fn(&'t ()) -> &'t ()>;

/// What a [`Cx`] borrows from: the permit of a request and what its client sent along.
pub(crate) struct Scope {
    pub(crate) permit: Permit,
    pub(crate) turn: Turn,
    pub(crate) deadline: Instant,
    /// The most bytes of the reply.
    pub(crate) room: usize,
}

/// The context of one call: who calls, and the only way to anything that belongs to the caller's tenant.
#[derive(Clone, Copy)]
pub struct Cx<'t> {
    scope: &'t Scope,
    brand: Brand<'t>,
}

impl<'t> Cx<'t> {
    /// Only the dispatcher makes one, inside a function that is generic over `'t`.
    pub(crate) fn new(scope: &'t Scope) -> Self {
        Self { scope, brand: PhantomData }
    }

    pub(crate) fn permit(self) -> &'t Permit {
        &self.scope.permit
    }

    /// The most bytes of the reply.
    pub(crate) fn room(self) -> usize {
        self.scope.room
    }

    /// When the call must have ended.
    pub(crate) fn ends(self) -> Instant {
        self.scope.deadline
    }

    /// Where progress goes, if the client asked for it.
    pub(crate) fn progress_sink(self) -> Option<&'t ProgressSink> {
        self.scope.turn.progress.as_ref()
    }

    pub(crate) fn time_left(self) -> Duration {
        self.scope.deadline.saturating_duration_since(Instant::now())
    }

    /// The caller's tenant.
    #[must_use]
    pub fn tenant(self) -> &'t TenantId {
        self.scope.permit.tenant()
    }

    /// The caller's name at its issuer.
    #[must_use]
    pub fn subject(self) -> &'t str {
        &self.scope.permit.principal().subject
    }

    /// What the caller may do.
    #[must_use]
    pub fn scopes(self) -> &'t Scopes {
        &self.scope.permit.principal().scopes
    }

    /// The number of the request, as it stands in the audit log.
    #[must_use]
    pub fn request(self) -> RequestId {
        self.scope.permit.request()
    }

    /// Marks a value as the tenant's own.
    #[must_use]
    pub fn own<T>(self, value: T) -> Owned<'t, T> {
        Owned { value, brand: PhantomData }
    }

    /// The tenant's own `T`, made on first use and kept in memory while the tenant is active.
    ///
    /// It may be dropped when the tenant has been idle and memory is needed, so it is a place for what can be made
    /// again.
    #[must_use]
    pub fn state<T: Default + Send + Sync + 'static>(self) -> State<'t, T> {
        State { value: self.scope.permit.resident().state::<T>(), brand: PhantomData }
    }

    /// Reads with one SQL statement from a declared source, as this tenant; one that would change something is refused.
    ///
    /// The statement sees the tenant's own file only. It is checked and prepared as a declared one would be;
    /// parameters are named (`:id`).
    ///
    /// # Errors
    /// When the source or statement is wrong, a limit is reached, or the database cannot answer.
    pub async fn query(
        self,
        source: &str,
        sql: &'static str,
        args: &[(&str, Value)],
    ) -> Result<Owned<'t, Rows>, ToolError> {
        self.run_sql(source, sql, args, false).await
    }

    /// Changes rows with one SQL statement on a declared source, as this tenant; otherwise like [`Cx::query`].
    ///
    /// # Errors
    /// As [`Cx::query`]; after any of them but [`ToolError::Uncertain`] the statement has had no effect. That one means
    /// that the connection to a database server ended during the commit: look whether the change was made before you
    /// make it again.
    pub async fn execute(
        self,
        source: &str,
        sql: &'static str,
        args: &[(&str, Value)],
    ) -> Result<Owned<'t, Rows>, ToolError> {
        self.run_sql(source, sql, args, true).await
    }

    async fn run_sql(
        self,
        source: &str,
        sql: &'static str,
        args: &[(&str, Value)],
        writes: bool,
    ) -> Result<Owned<'t, Rows>, ToolError> {
        let services = self.scope.permit.services();
        let statement = match services.prepared(source, sql, writes) {
            Some(statement) => statement,
            // Compiling may wait for a server.
            None => {
                let (services, source) = (Arc::clone(services), source.to_owned());
                let names: Vec<String> = args.iter().map(|(name, _)| (*name).to_owned()).collect();
                let compiling = tokio::task::spawn_blocking(move || {
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    services.statement(&source, sql, &names, writes)
                });
                compiling.await.map_err(|_stopped| ToolError::internal("the compiling thread stopped"))??
            }
        };
        let args: Vec<(String, Value)> =
            args.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let limits =
            QueryLimits { time: self.time_left(), rows: crate::tools::MAX_ROWS, bytes: self.scope.room };
        Ok(self.own(services.sources.run(&self.scope.permit, &statement, &args, limits).await?))
    }

    /// This tenant's value of a secret, read for this call.
    ///
    /// # Errors
    /// [`ToolError::MissingSecret`] when the tenant has none; nobody else's is used.
    pub async fn secret(self, name: &str) -> Result<Secret<'t>, ToolError> {
        let parsed = SecretName::parse(name).map_err(|error| ToolError::internal(error.to_string()))?;
        let value = self.scope.permit.services().read_secret(&self.scope.permit, &parsed).await?;
        Ok(Secret { value, brand: PhantomData })
    }

    /// The tenant's cached text for `key`, or the one that `make` makes; one caller makes it, the others wait.
    ///
    /// The tenant and the tool are in the key already.
    ///
    /// # Errors
    /// What `make` returns.
    pub async fn cached<F>(self, key: &str, ttl: Duration, make: F) -> Result<Owned<'t, Arc<str>>, ToolError>
    where
        F: Future<Output = Result<Owned<'t, String>, ToolError>>,
    {
        let key = format!("native\u{0}{}\u{0}{key}", self.scope.turn.tool);
        let cache = self.scope.permit.resident().cache();
        let fresh = async { make.await.map(|text| Fresh { text: text.value, ttl }) };
        let text = cache.get_or_make(&key, usize::MAX, fresh).await?;
        Ok(self.own(text))
    }

    /// Tells the client how far the call has come, when the client asked for that.
    ///
    /// `total` is the value at which the work is done, if known.
    pub async fn progress(self, done: f64, total: Option<f64>, message: Option<&str>) {
        if let Some(sink) = &self.scope.turn.progress {
            sink.send(Progress { done, total, message: message.map(str::to_owned) }).await;
        }
    }

    /// What the client said it can do in this very request.
    #[must_use]
    pub fn client_capabilities(self) -> &'t ClientCapabilities {
        &self.scope.turn.capabilities
    }

    /// The client's answer to an earlier question of this call, if it is an object.
    #[must_use]
    pub fn answer(self, key: &str) -> Option<&'t serde_json::Map<String, Value>> {
        self.scope.turn.answers.get(key).and_then(Value::as_object)
    }

    /// The state that [`Cx::ask`] sealed in the round before, if this is a further round.
    ///
    /// It was sealed to this principal, this tool and these arguments; anything else was refused before the tool
    /// was called.
    ///
    /// # Errors
    /// When the state is of another form than `T`.
    pub fn resumed<T: DeserializeOwned>(self) -> Result<Option<T>, ToolError> {
        let Some(state) = &self.scope.turn.resumed else {
            return Ok(None);
        };
        serde_json::from_str(state)
            .map(Some)
            .map_err(|error| ToolError::internal(format!("the sealed state has another form: {error}")))
    }

    /// Answers with questions for the client, which repeats the call with the answers (2026-07-28).
    ///
    /// # Errors
    /// When the client's revision cannot be asked, it did not declare what the questions need, or the state cannot
    /// be sealed.
    pub fn ask(
        self,
        questions: InputRequests,
        state: Option<&impl Serialize>,
    ) -> Result<Reply<'t>, ToolError> {
        self.scope.turn.may_ask(&questions)?;
        let sealed = match state {
            None => None,
            Some(state) => {
                let text =
                    serde_json::to_string(state).map_err(|error| ToolError::internal(error.to_string()))?;
                let binding = Binding::of_call(&self.scope.permit, &self.scope.turn);
                Some(self.scope.permit.services().sealer.seal_state(&binding, &text)?)
            }
        };
        Ok(Reply::from_body(ReplyBody::Ask { questions, state: sealed }))
    }

    /// A reply with one text.
    pub fn text<S: Into<String>>(self, text: impl IntoReply<'t, Target = S>) -> Reply<'t> {
        Reply::from_body(ReplyBody::Text(text.into_value().into()))
    }

    /// A reply with a JSON object, as structured content and as text.
    ///
    /// # Errors
    /// When the value cannot be written as JSON.
    pub fn json<T: Serialize>(self, value: impl IntoReply<'t, Target = T>) -> Result<Reply<'t>, ToolError> {
        let text = serde_json::to_string(&value.into_value())
            .map_err(|error| ToolError::internal(format!("the reply cannot be written as JSON: {error}")))?;
        Ok(Reply::from_body(ReplyBody::Json(text.into())))
    }

    /// A reply with any content that MCP knows.
    #[must_use]
    pub fn result(self, result: impl IntoReply<'t, Target = CallToolResult>) -> Reply<'t> {
        Reply::from_body(ReplyBody::Result(Box::new(result.into_value())))
    }
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cx({})", self.tenant())
    }
}

/// A value that belongs to a tenant.
///
/// It can be changed, joined with another of the same call and put into that call's reply. The bare value is seen by
/// the closures that change it and by [`Owned::reveal`]: what they copy, the compiler no longer watches.
pub struct Owned<'t, T> {
    value: T,
    brand: Brand<'t>,
}

impl<'t, T> Owned<'t, T> {
    /// Makes another value of it, which belongs to the tenant too.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Owned<'t, U> {
        Owned { value: f(self.value), brand: PhantomData }
    }

    /// Makes another value of it, or fails.
    ///
    /// # Errors
    /// What `f` returns.
    pub fn try_map<U, E>(self, f: impl FnOnce(T) -> Result<U, E>) -> Result<Owned<'t, U>, E> {
        Ok(Owned { value: f(self.value)?, brand: PhantomData })
    }

    /// Joins two values of the same call.
    pub fn zip<U>(self, other: Owned<'t, U>) -> Owned<'t, (T, U)> {
        Owned { value: (self.value, other.value), brand: PhantomData }
    }

    /// Asks a question about the value.
    pub fn test(&self, question: impl FnOnce(&T) -> bool) -> bool {
        question(&self.value)
    }

    /// The bare value: from here on the compiler no longer watches where it goes.
    ///
    /// Look for this word when reviewing a tool.
    pub fn reveal(&self) -> &T {
        &self.value
    }
}

impl<T> fmt::Debug for Owned<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Owned(..)")
    }
}

/// A tenant's own value that outlives the call; see [`Cx::state`].
pub struct State<'t, T> {
    value: Arc<T>,
    brand: Brand<'t>,
}

impl<'t, T> State<'t, T> {
    /// Reads or changes the value; what comes out belongs to the tenant.
    pub fn with<U>(&self, f: impl FnOnce(&T) -> U) -> Owned<'t, U> {
        Owned { value: f(&self.value), brand: PhantomData }
    }
}

impl<T> fmt::Debug for State<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State(..)")
    }
}

/// A tenant's secret, for the time of one call; the memory is wiped when it goes.
pub struct Secret<'t> {
    value: SecretString,
    brand: Brand<'t>,
}

impl Secret<'_> {
    /// The secret itself, to hand to the client that is built for this call.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _: Brand<'_> = self.brand;
        f.write_str("Secret(..)")
    }
}

/// What a tool answers. It can be made from the call's own context only.
pub struct Reply<'t> {
    body: ReplyBody,
    brand: Brand<'t>,
}

impl fmt::Debug for Reply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply(..)")
    }
}

impl Reply<'_> {
    fn from_body(body: ReplyBody) -> Self {
        Self { body, brand: PhantomData }
    }

    pub(crate) fn into_body(self) -> ReplyBody {
        let _: Brand<'_> = self.brand;
        self.body
    }

    /// The JSON of the reply, if it is one.
    pub(crate) fn into_json(self) -> Option<String> {
        match self.body {
            ReplyBody::Json(json) => Some(json.as_ref().to_owned()),
            _ => None,
        }
    }

    /// JSON text that was checked to be an object, for the declared tools of this crate.
    pub(crate) fn from_json(_cx: Cx<'_>, json: Arc<str>) -> Self {
        Self::from_body(ReplyBody::Json(json))
    }
}

/// The forms a reply takes on its way to the wire.
pub(crate) enum ReplyBody {
    /// One text.
    Text(String),
    /// JSON, sent as structured content and as text.
    Json(Arc<str>),
    /// Anything else.
    Result(Box<CallToolResult>),
    /// Questions for the client.
    Ask { questions: InputRequests, state: Option<String> },
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text(..)",
            Self::Json(_) => "Json(..)",
            Self::Result(_) => "Result(..)",
            Self::Ask { .. } => "Ask(..)",
        })
    }
}

/// What can go into a reply: plain values, and values that belong to the same tenant.
pub trait IntoReply<'t> {
    /// The bare value's type.
    type Target;
    #[doc(hidden)]
    fn into_value(self) -> Self::Target;
}

impl<'t, T> IntoReply<'t> for Owned<'t, T> {
    type Target = T;
    fn into_value(self) -> T {
        self.value
    }
}

impl<T: Serialize> IntoReply<'_> for T {
    type Target = T;
    fn into_value(self) -> T {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Arc, Reply, ReplyBody};

    #[test]
    fn a_reply_shows_nothing_of_what_is_in_it() {
        for body in [ReplyBody::Text("canary".to_owned()), ReplyBody::Json(Arc::from("{\"a\":\"canary\"}"))] {
            let shown = format!("{body:?}") + &format!("{:?}", Reply::from_body(body));
            assert!(!shown.contains("canary") && shown.contains("Reply(..)"), "{shown}");
        }
    }
}
