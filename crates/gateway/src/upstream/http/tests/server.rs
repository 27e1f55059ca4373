//! A server on loopback whose every byte a test decides.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) verb: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Value,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(super) fn method(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    /// An answer to it.
    pub(super) fn answer(&self, result: &Value) -> String {
        json!({ "jsonrpc": "2.0", "id": self.body["id"], "result": result }).to_string()
    }
}

pub(super) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers each request with what `answer` writes. The connection goes on when that says so.
    pub(super) fn start(answer: impl Fn(&Asked, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (shared, answer) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (asked, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &asked, answer.as_ref()));
            }
        });
        Self { address, asked }
    }

    /// One that begins conversations in a session and takes notifications; the test decides about the rest.
    pub(super) fn talking(answer: impl Fn(&Asked, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        Self::start(move |asked, stream| match (asked.verb.as_str(), asked.method()) {
            ("POST", "initialize") => {
                let headers = "Content-Type: application/json\r\nMcp-Session-Id: session-1\r\n";
                reply(stream, "200 OK", headers, &asked.answer(&json!({ "protocolVersion": "2025-11-25" })))
            }
            ("POST", method) if method.is_empty() || method.starts_with("notifications/") => {
                reply(stream, "202 Accepted", "", "")
            }
            ("DELETE", _) => reply(stream, "200 OK", "", ""),
            _ => answer(asked, stream),
        })
    }

    /// One that answers calls with a text, whatever that is.
    pub(super) fn saying(
        headers: &'static str,
        text: impl Fn(&Asked) -> String + Send + Sync + 'static,
    ) -> Self {
        Self::talking(move |asked, stream| reply(stream, "200 OK", headers, &text(asked)))
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("the log").clone()
    }
}

pub(super) fn reply(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> bool {
    let text = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).is_ok()
}

/// Begins an answer whose end is that of the connection.
pub(super) fn begin_events(stream: &mut TcpStream) -> bool {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).is_ok()
}

/// Writes an event; says whether somebody is still there.
pub(super) fn event(stream: &mut TcpStream, data: &str) -> bool {
    stream.write_all(format!("data: {data}\n\n").as_bytes()).is_ok()
}

/// Waits until the other side has closed the connection, a while at most.
pub(super) fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
    matches!(stream.read(&mut [0]), Ok(0))
        || stream.peek(&mut [0]).is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset)
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<Asked>>, answer: &dyn Fn(&Asked, &mut TcpStream) -> bool) {
    let Ok(reading) = stream.try_clone() else { return };
    let mut reader = BufReader::new(reading);
    while let Some(asked) = read(&mut reader) {
        log.lock().expect("the log").push(asked.clone());
        if !answer(&asked, &mut stream) {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let verb = line.split(' ').next()?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => break,
        }
    }
    let mut asked = Asked { verb, headers, body: Value::Null };
    let length = asked.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    asked.body = serde_json::from_slice(&body).unwrap_or_default();
    Some(asked)
}
