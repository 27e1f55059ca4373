//! The service behind the HTTP tools: good to those who ask for customers, and broken in every way for the others.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    desk: Arc<Desk>,
}

#[derive(Default)]
struct Desk {
    asked: AtomicUsize,
    over: AtomicBool,
    end: (Mutex<()>, Condvar),
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.desk.over.store(true, SeqCst);
        self.desk.end.1.notify_all();
    }
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

impl Upstream {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let desk = Arc::new(Desk::default());
        let shared = Arc::clone(&desk);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let desk = Arc::clone(&shared);
                // Whoever asked may hang up at any time.
                thread::spawn(move || drop(serve(&stream, &desk)));
            }
        });
        Self { address, desk }
    }

    /// How many requests for something broken came.
    pub(super) fn asked(&self) -> usize {
        self.desk.asked.load(SeqCst)
    }
}

fn serve(stream: &TcpStream, desk: &Desk) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let (mut path, mut key) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            if let Some(of) = line.trim_end().split_once("Bearer key-of-").map(|(_, of)| of) {
                key = of.to_owned();
            }
            if line == "\r\n" {
                break;
            }
        }
        match path.strip_prefix("/broken/") {
            Some(how) => {
                desk.asked.fetch_add(1, SeqCst);
                return broken(stream, how, desk);
            }
            None => {
                let body = format!("{{\"owner\":\"{key}\",\"path\":\"{path}\"}}");
                let text = format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len());
                (&mut &*stream).write_all(text.as_bytes())?;
            }
        }
    }
}

/// Answers wrongly and hangs up.
fn broken(mut stream: &TcpStream, how: &str, desk: &Desk) -> io::Result<()> {
    let large = "x".repeat(64 * 1024);
    match how {
        "hang" => drip(stream, "", "", desk),
        "hang-in-body" => drip(stream, &format!("{HEAD}Content-Length: 100\r\n\r\n{{"), "", desk),
        "length-too-long" => write!(stream, "{HEAD}Content-Length: 500\r\n\r\n{{}}"),
        "length-too-short" => {
            write!(stream, "{HEAD}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}{{\"smuggled\":1}}")
        }
        "length-absurd" => write!(stream, "{HEAD}Content-Length: 18446744073709551615\r\n\r\n{{}}"),
        "length-twice" => write!(stream, "{HEAD}Content-Length: 2\r\nContent-Length: 4\r\n\r\n{{}}  "),
        "drip-head" => drip(stream, HEAD, "X", desk),
        "drip-body" => drip(stream, &format!("{HEAD}Content-Length: 100000\r\n\r\n["), " ", desk),
        "circle" => {
            let there = "Location: /broken/circle\r\nContent-Length: 0\r\n";
            write!(stream, "HTTP/1.1 302 Found\r\n{there}Connection: close\r\n\r\n")
        }
        // The request has a long body that is not read, and closing then makes the system reset the connection.
        "reset" => write!(stream, "{HEAD}Content-Length: 100\r\n\r\n{{"),
        "endless-body" => {
            write!(stream, "{HEAD}Transfer-Encoding: chunked\r\n\r\n")?;
            loop {
                write!(stream, "{:x}\r\n{large}\r\n", large.len())?;
            }
        }
        "endless-headers" => {
            write!(stream, "{HEAD}")?;
            for n in 0_u64.. {
                write!(stream, "X-{n}: {}\r\n", &large[..1000])?;
            }
            Ok(())
        }
        "endless-header" => {
            write!(stream, "{HEAD}X-Long: ")?;
            loop {
                stream.write_all(large.as_bytes())?;
            }
        }
        "endless-chunk-size" => {
            write!(stream, "{HEAD}Transfer-Encoding: chunked\r\n\r\n1;")?;
            loop {
                stream.write_all(large.as_bytes())?;
            }
        }
        "endless-interim" => {
            let many = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n".repeat(1000);
            loop {
                stream.write_all(many.as_bytes())?;
            }
        }
        "garbage" => stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
        "nothing" => Ok(()),
        "deep" => {
            let depth = 100_000;
            let body = "[".repeat(depth) + &"]".repeat(depth);
            write!(stream, "{HEAD}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
        }
        _ => Err(io::Error::other("no such fault")),
    }
}

/// Writes a beginning and then a little every second, for as long as anybody listens.
fn drip(mut stream: &TcpStream, head: &str, piece: &str, desk: &Desk) -> io::Result<()> {
    stream.write_all(head.as_bytes())?;
    stream.set_read_timeout(Some(Duration::from_millis(10)))?;
    loop {
        let held = desk.end.0.lock().map_err(|_| io::ErrorKind::Other)?;
        let (_held, _late) =
            desk.end.1.wait_timeout(held, Duration::from_secs(1)).map_err(|_| io::ErrorKind::Other)?;
        // A closed connection shows as an end.
        match io::Read::read(&mut stream, &mut [0; 1]) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
        if desk.over.load(SeqCst) {
            return Ok(());
        }
        stream.write_all(piece.as_bytes())?;
    }
}
