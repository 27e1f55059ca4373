//! What the HTTP tool calls: it knows each tenant by its key and answers with that tenant's canary.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use anyhow::Result;

/// The running upstream; it ends with the process.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
}

/// The key that a tenant's calls carry.
pub(super) fn key_of(id: &str) -> String {
    format!("key-of-{id}")
}

/// What only this tenant's replies may hold.
pub(super) fn canary_of(id: &str) -> String {
    format!("canary-{id}!")
}

impl Upstream {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(&stream));
            }
        });
        Ok(Self { address })
    }
}

/// Answers until the connection ends or nobody calls for a minute.
fn serve(stream: &TcpStream) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let mut lines = BufReader::new(stream).lines();
    loop {
        let mut key = None;
        loop {
            let line = lines.next()?.ok()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or_default();
            if name.eq_ignore_ascii_case("authorization") {
                key = value.strip_prefix("Bearer key-of-").map(str::to_owned);
            }
        }
        let (status, body) = match key {
            Some(id) => ("200 OK", format!(r#"{{"owner":"{id}","says":"{}"}}"#, canary_of(&id))),
            None => ("401 Unauthorized", "{}".to_owned()),
        };
        let reply = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = stream;
        stream.write_all(reply.as_bytes()).ok()?;
    }
}
