//! A connection whose bytes are written one by one: several requests at once, requests whose last byte is held back, and
//! requests that no client library writes.

use ::http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Duration, Instant, timeout_at},
};

use super::{
    MOST_BYTES, Target,
    exchange::{Failure, Reply, Request},
};

/// How long one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(4);
/// The most bytes of an answer's head.
const HEAD: usize = 64 << 10;

/// A connection of plain HTTP/1.1.
pub(crate) struct Raw {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Raw {
    /// Opens one.
    ///
    /// # Errors
    ///
    /// When the target is not reached by plain HTTP, or not at all.
    pub(crate) async fn open(target: &Target) -> Result<Self, Failure> {
        if target.url.scheme() != "http" {
            return Err(Failure::Unsendable("only plain HTTP can be written byte by byte".to_owned()));
        }
        if target.late() {
            return Err(Failure::Late);
        }
        target.turn().await;
        let host = target.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = target.url.port_or_known_default().unwrap_or(80);
        let connected = timeout_at(Instant::now() + PATIENCE, TcpStream::connect((host, port))).await;
        let stream =
            connected.map_err(|_| Failure::Timeout)?.map_err(|error| Failure::Connect(error.to_string()))?;
        // Bytes that are held back must go out alone.
        let _slower = stream.set_nodelay(true);
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Writes bytes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = timeout_at(Instant::now() + PATIENCE, self.stream.write_all(bytes)).await;
        written.map_err(|_| Failure::Timeout)?.map_err(|error| Failure::Broken(error.to_string()))
    }

    /// Says that nothing more will be written; answers can still be read.
    pub(crate) async fn half_close(&mut self) -> Result<(), Failure> {
        let closed = timeout_at(Instant::now() + PATIENCE, self.stream.shutdown()).await;
        closed.map_err(|_| Failure::Timeout)?.map_err(|error| Failure::Broken(error.to_string()))
    }

    /// Reads the next answer.
    pub(crate) async fn answer(&mut self) -> Result<Reply, Failure> {
        let end = Instant::now() + PATIENCE;
        loop {
            let (status, headers, length) = self.head(end).await?;
            let body = self.body(&headers, length, end).await?;
            // What is answered before the answer, such as 100 Continue, is no answer.
            if status >= 200 {
                return Reply::read(status, headers, body);
            }
        }
    }

    async fn more(&mut self, end: Instant) -> Result<bool, Failure> {
        if self.buffer.len() > MOST_BYTES {
            return Err(Failure::TooLarge);
        }
        let read = timeout_at(end, self.stream.read_buf(&mut self.buffer)).await;
        let count =
            read.map_err(|_| Failure::Timeout)?.map_err(|error| Failure::Broken(error.to_string()))?;
        Ok(count > 0)
    }

    /// Takes everything up to and including a mark.
    async fn until(&mut self, mark: &[u8], most: usize, end: Instant) -> Result<Vec<u8>, Failure> {
        loop {
            let found = self.buffer.windows(mark.len()).position(|part| part == mark);
            if let Some(at) = found {
                let rest = self.buffer.split_off(at + mark.len());
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            if self.buffer.len() > most {
                return Err(Failure::TooLarge);
            }
            if !self.more(end).await? {
                return Err(Failure::Broken("the target closed the connection".to_owned()));
            }
        }
    }

    async fn head(&mut self, end: Instant) -> Result<(u16, HeaderMap, Length), Failure> {
        let bytes = self.until(b"\r\n\r\n", HEAD, end).await?;
        let text = String::from_utf8_lossy(&bytes);
        let mut lines = text.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse::<u16>().ok());
        let status = status.ok_or_else(|| Failure::Broken("the answer is no HTTP/1.1".to_owned()))?;
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let parsed = (HeaderName::try_from(name.trim()), HeaderValue::try_from(value.trim()));
            if let (Ok(name), Ok(value)) = parsed {
                headers.append(name, value);
            }
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let chunked =
            text("transfer-encoding").is_some_and(|coding| coding.to_ascii_lowercase().ends_with("chunked"));
        let length = match text("content-length").and_then(|length| length.parse::<usize>().ok()) {
            _ if status < 200 || matches!(status, 204 | 304) => Length::Of(0),
            _ if chunked => Length::Chunks,
            Some(length) => Length::Of(length),
            None => Length::All,
        };
        Ok((status, headers, length))
    }

    async fn body(&mut self, headers: &HeaderMap, length: Length, end: Instant) -> Result<Vec<u8>, Failure> {
        match length {
            Length::Of(count) => self.exactly(count, end).await,
            Length::All => {
                while self.more(end).await? {}
                Ok(std::mem::take(&mut self.buffer))
            }
            Length::Chunks => {
                let mut body = Vec::new();
                loop {
                    let line = match self.until(b"\r\n", HEAD, end).await {
                        // A stream that stays open after its answer has been read as far as it matters.
                        Err(Failure::Timeout) if super::exchange::is_stream(headers) && !body.is_empty() => {
                            return Ok(body);
                        }
                        line => line?,
                    };
                    let line = String::from_utf8_lossy(&line);
                    let size = line.split(';').next().unwrap_or_default().trim();
                    let size = usize::from_str_radix(size, 16)
                        .map_err(|_| Failure::Broken("a chunk has no size".to_owned()))?;
                    if size == 0 {
                        self.trailers(end).await?;
                        return Ok(body);
                    }
                    if size > MOST_BYTES || body.len() + size > MOST_BYTES {
                        return Err(Failure::TooLarge);
                    }
                    body.extend(self.exactly(size, end).await?);
                    self.exactly(2, end).await?;
                }
            }
        }
    }

    async fn trailers(&mut self, end: Instant) -> Result<(), Failure> {
        // At the most as many lines as there are headers anywhere.
        for _ in 0..100 {
            if self.until(b"\r\n", HEAD, end).await?.len() <= 2 {
                return Ok(());
            }
        }
        Err(Failure::TooLarge)
    }

    async fn exactly(&mut self, count: usize, end: Instant) -> Result<Vec<u8>, Failure> {
        if count > MOST_BYTES {
            return Err(Failure::TooLarge);
        }
        while self.buffer.len() < count {
            if !self.more(end).await? {
                return Err(Failure::Broken("the answer ended in the middle".to_owned()));
            }
        }
        let rest = self.buffer.split_off(count);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }
}

/// How long a body is.
#[derive(Debug, Clone, Copy)]
enum Length {
    Of(usize),
    Chunks,
    All,
}

/// A request's head without the empty line, and its body: as they stand on the wire.
pub(crate) fn written(target: &Target, request: &Request) -> (String, Vec<u8>) {
    let request = &target.addressed(request.clone());
    let url = request.url.as_ref().unwrap_or(&target.url);
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let mut head = format!(
        "{} {}{query} HTTP/1.1\r\nhost: {}{port}\r\naccept-encoding: identity\r\n",
        request.verb,
        url.path(),
        url.host_str().unwrap_or_default()
    );
    for (name, value) in &target.headers {
        head.push_str(&format!("{name}: {}\r\n", value.expose_secret()));
    }
    for (name, value) in &request.headers {
        // Nothing of a value may end its line.
        head.push_str(&format!("{name}: {}\r\n", value.replace(['\r', '\n'], " ")));
    }
    (head, request.body.clone())
}

/// A request as it stands on the wire.
pub(crate) fn whole(target: &Target, request: &Request) -> Vec<u8> {
    let (mut head, body) = written(target, request);
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut bytes = head.into_bytes();
    bytes.extend(body);
    bytes
}
