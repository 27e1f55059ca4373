//! A proxy that mends what it should refuse: whatever length a request claims, it forwards what came.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use url::Url;

/// A running proxy; it ends when dropped.
pub(crate) struct Lax {
    address: std::net::SocketAddr,
    accepting: JoinHandle<()>,
}

impl Lax {
    /// Starts a proxy before a server.
    pub(crate) async fn before(server: &Url) -> Self {
        let behind = format!("{}:{}", server.host_str().unwrap(), server.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let behind = behind.clone();
                tokio::spawn(async move { forward(stream, &behind).await });
            }
        });
        Self { address, accepting }
    }

    /// The endpoint behind it.
    pub(crate) fn url(&self) -> Url {
        format!("http://{}/mcp", self.address).parse().unwrap()
    }
}

impl Drop for Lax {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One request a connection: the head, and as much JSON as there is.
async fn forward(mut client: TcpStream, behind: &str) -> Option<()> {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        if client.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
        let json = rest.find('{').and_then(|from| rest.get(from..=rest.rfind('}')?).map(str::to_owned));
        let whole = json.filter(|json| serde_json::from_str::<serde_json::Value>(json).is_ok());
        if let Some(json) = whole.or_else(|| head.starts_with("DELETE").then(String::new)) {
            break (head.to_owned(), json);
        }
    };
    let framing = |line: &&str| {
        let name = line.split(':').next().unwrap().trim().to_ascii_lowercase();
        !["content-length", "transfer-encoding", "connection"].contains(&name.as_str())
    };
    let kept: Vec<&str> = head.split("\r\n").filter(framing).collect();
    let mut server = TcpStream::connect(behind).await.ok()?;
    let request =
        format!("{}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", kept.join("\r\n"), body.len());
    server.write_all(request.as_bytes()).await.ok()?;
    tokio::io::copy(&mut server, &mut client).await.ok()?;
    client.shutdown().await.ok()
}
