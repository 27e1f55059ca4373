//! HTTP/1.1 by hand, so that wrong things can be sent too.

use std::{fmt, net::SocketAddr};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::in_time;

/// The `_meta` of requests of 2026-07-28.
pub(crate) const META: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// A request, with nothing added behind the test's back but its length.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: String,
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: vec![("Host".to_owned(), "localhost".to_owned())],
            body: Vec::new(),
        }
    }

    /// A POST to the MCP endpoint with the usual headers.
    pub(crate) fn post(body: impl Into<Vec<u8>>) -> Self {
        let mut ask = Self::new("POST", "/mcp")
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream");
        ask.body = body.into();
        ask
    }

    /// A request of the revisions with `initialize`.
    pub(crate) fn legacy(method: &str, params: &Value) -> Self {
        Self::post(json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string())
    }

    /// A request of 2026-07-28.
    pub(crate) fn modern(method: &str, params: &Value) -> Self {
        let mut params = params.clone();
        let map = params.as_object_mut().unwrap();
        map.insert("_meta".to_owned(), serde_json::from_str(META).unwrap());
        let name = map.get("name").and_then(Value::as_str).map(str::to_owned);
        let ask = Self::legacy(method, &params)
            .header("MCP-Protocol-Version", "2026-07-28")
            .header("Mcp-Method", method);
        match name {
            Some(name) => ask.header("Mcp-Name", &name),
            None => ask,
        }
    }

    pub(crate) fn call(tool: &str, arguments: &Value) -> Self {
        Self::legacy("tools/call", &json!({ "name": tool, "arguments": arguments }))
    }

    pub(crate) fn modern_call(tool: &str, arguments: &Value) -> Self {
        Self::modern("tools/call", &json!({ "name": tool, "arguments": arguments }))
    }

    /// Adds a header, also a second one of the same name.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(held, _)| !held.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn set(self, name: &str, value: &str) -> Self {
        self.without(name).header(name, value)
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn to(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(held, _)| held.eq_ignore_ascii_case(name))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The request with another body.
    pub(crate) fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !self.has("content-length") && !self.has("transfer-encoding") {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A response.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .find(|(held, _)| held.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Every byte that came.
    pub(crate) fn raw(&self) -> Vec<u8> {
        [self.head.as_bytes(), b"\r\n\r\n", &self.body].concat()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The `result`.
    #[track_caller]
    pub(crate) fn result(&self) -> Value {
        let mut json = self.json();
        assert!(self.status == 200 && json["result"].is_object(), "{self:?}");
        json["result"].take()
    }

    /// What a tool answered as structured content.
    #[track_caller]
    pub(crate) fn content(&self) -> Value {
        let mut result = self.result();
        assert!(result["isError"] != true && result["structuredContent"].is_object(), "{self:?}");
        result["structuredContent"].take()
    }

    /// What a tool said as text, be it an error or not.
    #[track_caller]
    pub(crate) fn said(&self) -> String {
        let result = self.result();
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn tool_error(&self) -> String {
        assert_eq!(self.result()["isError"], true, "{self:?}");
        self.said()
    }

    /// The code of a JSON-RPC error.
    #[track_caller]
    pub(crate) fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {self:?}"))
    }

    pub(crate) fn is_ok(&self) -> bool {
        let json: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        self.status == 200 && json["result"].is_object() && json["result"]["isError"] != true
    }

    /// Everything but the time and the number of the request, which nobody can predict.
    pub(crate) fn comparable(&self) -> String {
        let mut lines: Vec<&str> = self
            .head
            .lines()
            .filter(|line| !line.starts_with("date:") && !line.starts_with("x-request-id:"))
            .collect();
        let body = self.text();
        lines.push("");
        lines.push(&body);
        lines.join("\n")
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.raw()))
    }
}

/// One connection.
pub(crate) struct Conn {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Conn {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    /// Sends bytes; a server that has closed already shows when the answer is read.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _closed = self.stream.write_all(bytes).await;
    }

    pub(crate) async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    pub(crate) async fn ask(&mut self, ask: &Ask) -> Answer {
        self.send(&ask.bytes()).await;
        self.answer_to(&ask.method).await.unwrap_or_else(|| panic!("the connection was closed: {ask:?}"))
    }

    /// The next answer; `None` when the server closed the connection instead.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        self.answer_to("POST").await
    }

    async fn answer_to(&mut self, method: &str) -> Option<Answer> {
        let mut answer = self.head().await?;
        if method == "HEAD" || matches!(answer.status, 204 | 304) {
            return Some(answer);
        }
        if answer.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await {
                answer.body.extend(chunk);
            }
        } else {
            let length = answer.header("content-length").map_or(0, |text| text.parse().unwrap());
            answer.body = self.take(length).await?;
        }
        Some(answer)
    }

    /// The head of the next answer, for those whose body comes slowly.
    pub(crate) async fn head(&mut self) -> Option<Answer> {
        loop {
            let end = loop {
                if let Some(at) = self.buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                    break at;
                }
                self.fill().await?;
            };
            let head = String::from_utf8(self.take(end).await?).unwrap();
            self.take(4).await?;
            let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
            let status: u16 = status.unwrap_or_else(|| panic!("this is no answer: {head}"));
            if status >= 200 {
                let body = Vec::new();
                return Some(Answer { status, head, body });
            }
        }
    }

    /// The next chunk of a body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(2).position(|part| part == b"\r\n") {
                break at;
            }
            self.fill().await.expect("the body breaks off");
        };
        let line = String::from_utf8(self.take(end).await?).unwrap();
        let length = usize::from_str_radix(&line, 16).unwrap();
        self.take(2).await?;
        let chunk = self.take(length).await?;
        self.take(2).await?;
        (length > 0).then_some(chunk)
    }

    async fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Some(self.buffer.drain(..length).collect())
    }

    /// Reads more; `None` when there is no more.
    async fn fill(&mut self) -> Option<()> {
        let mut chunk = [0; 16 * 1024];
        let read = in_time("reading", self.stream.read(&mut chunk)).await.unwrap_or(0);
        self.buffer.extend_from_slice(&chunk[..read]);
        (read > 0).then_some(())
    }

    /// What else comes until the server closes the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await.is_some() {}
        std::mem::take(&mut self.buffer)
    }
}
