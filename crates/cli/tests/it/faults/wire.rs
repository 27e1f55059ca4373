//! HTTP/1.1 by hand over blocking sockets, so that wrong things can be sent and nothing is hidden.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};

/// Longer than anything may take here; what takes longer fails its test instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(30);

/// The `_meta` of requests of 2026-07-28.
const META: &str = r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// A request to the endpoint.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) headers: String,
    pub(super) body: String,
}

impl Ask {
    pub(super) fn post(token: &str, body: impl Into<String>) -> Self {
        let headers = format!(
            "Host: localhost\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nAuthorization: Bearer {token}\r\n"
        );
        Self { headers, body: body.into() }
    }

    pub(super) fn legacy(token: &str, method: &str, params: &Value) -> Self {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        Self::post(token, body.to_string())
    }

    pub(super) fn call(token: &str, tool: &str, arguments: &Value) -> Self {
        Self::legacy(token, "tools/call", &json!({ "name": tool, "arguments": arguments }))
    }

    /// The same in the stateless revision.
    pub(super) fn modern(token: &str, tool: &str, arguments: &Value) -> Self {
        let meta: Value = serde_json::from_str(META).unwrap();
        let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
        Self::legacy(token, "tools/call", &params)
            .header("MCP-Protocol-Version", "2026-07-28")
            .header("Mcp-Method", "tools/call")
            .header("Mcp-Name", tool)
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    /// The head, with the length that is announced.
    pub(super) fn head(&self, announced: u64) -> String {
        format!("POST /mcp HTTP/1.1\r\n{}Content-Length: {announced}\r\n\r\n", self.headers)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        (self.head(self.body.len() as u64) + &self.body).into_bytes()
    }
}

/// A response.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// Whether a tool answered with a result that is no error.
    pub(super) fn is_ok(&self) -> bool {
        let json = self.json();
        self.status == 200 && json["result"].is_object() && json["result"]["isError"] != true
    }

    /// What a tool that failed said.
    #[track_caller]
    pub(super) fn tool_error(&self) -> String {
        let json = self.json();
        assert_eq!(json["result"]["isError"], true, "{self:?}");
        json["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    }

    /// Everything but the time and the number of the request.
    pub(super) fn comparable(&self) -> String {
        let head: Vec<&str> = self
            .head
            .lines()
            .filter(|line| !line.starts_with("date:") && !line.starts_with("x-request-id:"))
            .collect();
        format!("{}\n\n{}", head.join("\n"), self.body)
    }
}

/// One connection.
pub(super) struct Conn {
    pub(super) stream: TcpStream,
    buffer: Vec<u8>,
}

impl Conn {
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// A connection whose side of the network takes a few thousand bytes and no more until they are read.
    pub(super) fn narrow(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(4096).unwrap();
            socket.connect(address).await.unwrap().into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(super) fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    pub(super) fn ask(&mut self, ask: &Ask) -> io::Result<Answer> {
        self.send(&ask.bytes())?;
        self.answer()
    }

    /// The next answer, to its end.
    pub(super) fn answer(&mut self) -> io::Result<Answer> {
        let end = self.find(b"\r\n\r\n")?;
        let head = self.take(end)?;
        self.take(4)?;
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
        let status: u16 = status.ok_or_else(|| io::Error::other(format!("this is no answer: {head}")))?;
        let mut answer = Answer { status, head, body: String::new() };
        if answer.header("transfer-encoding").is_some() {
            loop {
                let end = self.find(b"\r\n")?;
                let length = usize::from_str_radix(&self.take(end)?, 16).map_err(io::Error::other)?;
                self.take(2)?;
                answer.body.push_str(&self.take(length)?);
                self.take(2)?;
                if length == 0 {
                    return Ok(answer);
                }
            }
        }
        let length = answer.header("content-length").map_or(Ok(0), str::parse).map_err(io::Error::other)?;
        answer.body = self.take(length)?;
        Ok(answer)
    }

    fn find(&mut self, end: &[u8]) -> io::Result<usize> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|part| part == end) {
                return Ok(at);
            }
            self.fill()?;
        }
    }

    fn take(&mut self, length: usize) -> io::Result<String> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        String::from_utf8(self.buffer.drain(..length).collect()).map_err(io::Error::other)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        let read = loop {
            // A socket with a time limit is not gone on with by the system after a signal.
            match self.stream.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => break done?,
            }
        };
        match read {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.buffer.extend_from_slice(&chunk[..read]);
                Ok(())
            }
        }
    }

    /// Reads until the other side closes; whether it did, in time.
    pub(super) fn is_closed_in_the_end(&mut self) -> bool {
        loop {
            match self.fill() {
                Ok(()) => self.buffer.clear(),
                Err(error) => {
                    return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                }
            }
        }
    }
}
