//! One tenant's client. Whatever it receives is searched for marks of others.

use std::{net::SocketAddr, sync::Arc};

use serde_json::{Value, json};

use super::{Answer, Ask, Canaries, Conn};

pub(crate) struct Caller {
    pub(crate) tenant: String,
    pub(crate) token: String,
    address: SocketAddr,
    canaries: Arc<Canaries>,
    conn: Option<Conn>,
}

impl Caller {
    pub(crate) fn new(tenant: &str, token: String, address: SocketAddr, canaries: Arc<Canaries>) -> Self {
        Self { tenant: tenant.to_owned(), token, address, canaries, conn: None }
    }

    /// Sends a request, with the caller's token unless it names a credential itself or the caller has none.
    #[track_caller]
    pub(crate) fn ask(&mut self, ask: Ask) -> impl Future<Output = Answer> + Send {
        let ask = match ask.has("authorization") || self.token.is_empty() {
            true => ask,
            false => ask.bearer(&self.token),
        };
        self.ask_as_is(ask)
    }

    /// Sends a request without adding anything.
    pub(crate) async fn ask_as_is(&mut self, ask: Ask) -> Answer {
        let conn = self.connect().await;
        conn.send(&ask.bytes()).await;
        let answer = match ask.method.as_str() {
            "HEAD" => conn.head().await,
            _ => conn.answer().await,
        };
        let answer = answer.unwrap_or_else(|| panic!("the connection was closed: {ask:?}"));
        if answer.header("connection") == Some("close") {
            self.conn = None;
        }
        self.canaries.assert_own(&self.tenant, &answer.raw());
        answer
    }

    /// The caller's connection, kept open between requests.
    pub(crate) async fn connect(&mut self) -> &mut Conn {
        if self.conn.is_none() {
            self.conn = Some(Conn::open(self.address).await);
        }
        self.conn.as_mut().unwrap()
    }

    /// Drops the connection, with whatever runs on it.
    pub(crate) fn hang_up(&mut self) {
        self.conn = None;
    }

    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> Answer {
        self.ask(Ask::call(tool, &arguments)).await
    }

    pub(crate) async fn modern_call(&mut self, tool: &str, arguments: Value) -> Answer {
        self.ask(Ask::modern_call(tool, &arguments)).await
    }

    /// What `whoami` says.
    pub(crate) async fn whoami(&mut self) -> Value {
        self.call("whoami", json!({})).await.content()
    }

    #[track_caller]
    pub(crate) fn assert_own(&self, bytes: &[u8]) {
        self.canaries.assert_own(&self.tenant, bytes);
    }
}
