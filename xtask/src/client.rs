//! A client that makes calls on one connection: just enough HTTP for the servers of this repository.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

const PATIENCE: Duration = Duration::from_secs(40);

/// One connection.
pub(crate) struct Client {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// Whether another call can be made on the connection.
    pub(crate) open: bool,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))
            .with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { address, stream: BufReader::new(stream) })
    }

    /// One `tools/call` in the form of revision 2026-07-28; `arguments` is a JSON object.
    pub(crate) fn call(&mut self, token: &str, tool: &str, arguments: &str) -> Result<Reply> {
        self.send(&request(self.address, token, tool, arguments))?;
        self.reply()
    }

    pub(crate) fn send(&mut self, request: &[u8]) -> Result<()> {
        Ok(self.stream.get_mut().write_all(request)?)
    }

    pub(crate) fn reply(&mut self) -> Result<Reply> {
        let status_line = self.line()?;
        let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.with_context(|| format!("`{status_line}` is no status line"))?;
        let (mut length, mut open) = (None, true);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(':').map(|(name, value)| (name, value.trim())) {
                None if line.is_empty() => break,
                Some(("content-length", value)) => length = Some(value.parse::<usize>()?),
                Some(("connection", "close")) => open = false,
                Some(("transfer-encoding", coding)) => bail!("a reply in {coding} pieces is not read here"),
                _ => {}
            }
        }
        let mut body = vec![0; length.context("a reply without its length")?];
        self.stream.read_exact(&mut body)?;
        Ok(Reply { status, body: String::from_utf8(body)?, open })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "the server closed the connection");
        Ok(line.trim_end().to_owned())
    }
}

/// The bytes of a call; without a token none is sent.
pub(crate) fn request(address: SocketAddr, token: &str, tool: &str, arguments: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{{"name":"bench","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    );
    let authorization = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
         Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\n{authorization}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
