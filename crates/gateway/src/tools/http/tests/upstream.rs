//! An upstream on loopback that records what it is sent.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// One request as it came over the wire.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    /// Which connection it came on.
    pub(super) connection: usize,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

#[derive(Default)]
struct Log {
    connections: usize,
    requests: Vec<Request>,
}

pub(super) struct Upstream {
    address: SocketAddr,
    log: Arc<Mutex<Log>>,
}

impl Upstream {
    /// Answers each request with what `answer` writes. The connection goes on when that says so.
    pub(super) fn start(answer: impl Fn(&Request, &mut TcpStream) -> bool + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let log = Arc::new(Mutex::new(Log::default()));
        let (shared, answer) = (Arc::clone(&log), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &log, answer.as_ref()));
            }
        });
        Self { address, log }
    }

    /// Answers with a JSON text, keeping the connection.
    pub(super) fn json(body: impl Fn(&Request) -> String + Send + Sync + 'static) -> Self {
        Self::start(move |request, stream| {
            write_reply(stream, "200 OK", "Content-Type: application/json\r\n", &body(request))
        })
    }

    /// Answers with a status, header lines and a text.
    pub(super) fn fixed(status: &'static str, headers: &'static str, body: &'static str) -> Self {
        Self::start(move |_, stream| write_reply(stream, status, headers, body))
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.log.lock().expect("the log").requests.clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.log.lock().expect("the log").connections
    }
}

pub(super) fn write_reply(stream: &mut TcpStream, status: &str, headers: &str, body: &str) -> bool {
    let text = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).is_ok()
}

fn serve(mut stream: TcpStream, log: &Mutex<Log>, answer: &dyn Fn(&Request, &mut TcpStream) -> bool) {
    let connection = {
        let mut log = log.lock().expect("the log");
        log.connections += 1;
        log.connections
    };
    let Ok(reading) = stream.try_clone() else { return };
    let mut reader = BufReader::new(reading);
    while let Some(request) = read_request(&mut reader, connection) {
        log.lock().expect("the log").requests.push(request.clone());
        if !answer(&request, &mut stream) {
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>, connection: usize) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.trim_end().split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => break,
        }
    }
    let mut request = Request { method, path, headers, body: String::new(), connection };
    let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).ok()?;
    Some(request)
}
