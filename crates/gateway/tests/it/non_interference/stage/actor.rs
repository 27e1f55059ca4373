//! Plays one tenant's script over one connection and writes down what comes back.

use std::sync::atomic::Ordering::Relaxed;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    super::history::{Script, Step},
    set::{House, limited, tenant},
};

/// What a tenant saw: one entry a step.
pub(super) async fn play(house: &House, number: usize, script: &Script) -> Vec<String> {
    let mut actor = Actor { house, number, stream: None };
    let mut seen = Vec::new();
    for (at, step) in script.iter().enumerate() {
        let line = actor.step(at, step).await;
        if line.contains("\"result\"") {
            house.results.fetch_add(1, Relaxed);
        }
        seen.push(line);
    }
    seen
}

struct Actor<'h> {
    house: &'h House,
    number: usize,
    stream: Option<TcpStream>,
}

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

impl Actor<'_> {
    async fn step(&mut self, at: usize, step: &Step) -> String {
        // Every tenant uses the same ids.
        let call = |tool: &str, args: &str, rest: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":{at},"method":"tools/call","params":{{"name":"{tool}","arguments":{args}{rest}}}}}"#
            )
        };
        match step {
            Step::Call(tool, args) => self.exchange("", &call(tool, args, "")).await,
            Step::Modern(tool, args) => {
                let headers = format!(
                    "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n"
                );
                self.exchange(&headers, &call(tool, args, &format!(",{META}"))).await
            }
            Step::Stream(turns) => {
                let args = format!("{{\"turns\":{turns}}}");
                self.exchange("", &call("slow", &args, r#","_meta":{"progressToken":1}"#)).await
            }
            Step::List => {
                self.exchange("", &format!(r#"{{"jsonrpc":"2.0","id":{at},"method":"tools/list"}}"#)).await
            }
            Step::Garbage(body) => self.exchange("", body).await,
            // Who counts calls would count this one now or later, so it must have been seen before the next.
            Step::HangUp if limited(self.number) => self.leave_stream(at).await,
            Step::HangUp => {
                let request = self.request("", &call("slow", "{\"turns\":255}", ""), self.token());
                self.connect().await.write_all(request.as_bytes()).await.unwrap();
                self.stream = None;
                "hung up".to_owned()
            }
            Step::Suspended => {
                let registry = &self.house.gateway.administration().registry;
                registry.suspend(&tenant(self.number)).unwrap();
                let seen = self.exchange("", &call("whoami", "{}", "")).await;
                registry.resume(&tenant(self.number)).unwrap();
                seen
            }
            Step::Anonymous => {
                let request = self.request("", &call("whoami", "{}", ""), None);
                self.send(&request).await
            }
            Step::Expired => {
                let token = &self.house.ended[self.number];
                let request = self.request("", &call("whoami", "{}", ""), Some(token));
                self.send(&request).await
            }
            Step::Oversize { announced } => self.oversize(*announced).await,
            Step::Half if limited(self.number) => "nothing".to_owned(),
            Step::Half => {
                let whole = self.request("", &call("count", "{}", ""), self.token());
                let half = &whole.as_bytes()[..whole.len() - 5];
                self.connect().await.write_all(half).await.unwrap();
                self.stream = None;
                "half of it".to_owned()
            }
            Step::LeaveStream => self.leave_stream(at).await,
        }
    }

    async fn exchange(&mut self, headers: &str, body: &str) -> String {
        let request = self.request(headers, body, self.token());
        self.send(&request).await
    }

    /// Begins a stream that never ends and leaves it at its first event, or is refused.
    async fn leave_stream(&mut self, at: usize) -> String {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":{at},"method":"tools/call","params":{{"name":"slow","arguments":{{"turns":255}},"_meta":{{"progressToken":1}}}}}}"#
        );
        let request = self.request("", &body, self.token());
        let stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.windows(14).any(|part| part == b"event: message") && complete(&bytes).is_none() {
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).await.unwrap();
            assert!(read > 0, "the server closed the connection: {}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&chunk[..read]);
        }
        self.stream = None;
        let text = String::from_utf8_lossy(&bytes);
        text.lines().next().unwrap_or_default().to_owned()
    }

    /// Sends more than is allowed; the connection is of no further use.
    async fn oversize(&mut self, announced: bool) -> String {
        let request = if announced {
            self.request("", "", self.token()).replace("Content-Length: 0", "Content-Length: 100000")
        } else {
            let head = self.request("", "", self.token());
            let head = head.replace("Content-Length: 0", "Transfer-Encoding: chunked");
            format!("{head}1000\r\n{}\r\n0\r\n\r\n", "x".repeat(0x1000))
        };
        let seen = self.send(&request).await;
        self.stream = None;
        seen
    }

    fn token(&self) -> Option<&'static str> {
        Some(self.house.token(self.number))
    }

    fn request(&self, headers: &str, body: &str, token: Option<&str>) -> String {
        let credential = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{credential}{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    async fn connect(&mut self) -> &mut TcpStream {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.house.address).await.unwrap();
            stream.set_nodelay(true).unwrap();
            self.stream = Some(stream);
        }
        self.stream.as_mut().unwrap()
    }

    /// Sends a request and reads its answer to the end.
    async fn send(&mut self, request: &str) -> String {
        let stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = complete(&bytes) {
                break end;
            }
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).await.unwrap();
            assert!(read > 0, "the server closed the connection: {}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&chunk[..read]);
        };
        assert_eq!(end, bytes.len(), "more than the answer came: {}", String::from_utf8_lossy(&bytes));
        // These alone may differ: the time, and a number that nobody can predict. The events of a stream may be cut
        // into chunks in any way, so the lengths of chunks are left out.
        let text = String::from_utf8(bytes).unwrap();
        let own = self.house.address.to_string();
        text.lines()
            .filter(|line| !line.starts_with("date:") && !line.starts_with("x-request-id:"))
            .filter(|line| line.is_empty() || !line.bytes().all(|b| b.is_ascii_hexdigit()))
            .collect::<Vec<_>>()
            .join("\n")
            .replace(&own, "ADDRESS")
    }
}

/// The length of the answer, once all of it is there.
fn complete(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).unwrap();
    if text.contains("transfer-encoding: chunked") {
        return bytes.ends_with(b"\r\n0\r\n\r\n").then_some(bytes.len());
    }
    let length =
        text.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
    (bytes.len() >= head + length).then_some(head + length)
}
