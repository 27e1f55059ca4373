//! One connection: messages out and in, and whether it is known to be clean.
//!
//! The message formats are `postgres-protocol`'s, the crate below `tokio-postgres`. What is here and not there is the
//! say over where a Sync stands, a limit on what is read, and the transaction status of the last answer.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use bytes::BytesMut;
use postgres_protocol::{
    IsNull,
    message::{
        backend::{ErrorFields, Header, Message},
        frontend,
    },
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    connect::Way,
    error::{Broken, ServerError},
    exchange::Session,
};

/// What a connection runs over.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Messages that are no rows are small; a server's notice may be longer than anybody needs.
pub(super) const SMALL: usize = 64 << 10;
/// A connection on which so many statements were prepared is replaced by a new one.
const MOST_PREPARED: usize = 512;
/// What is read beyond this is not kept for the next call.
const KEPT: usize = 64 << 10;
/// How long a closed connection's end is waited for, so that the server's connections stay within our number.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long the first request to stop has to take effect before it is repeated.
const FIRST_ASK: Duration = Duration::from_millis(50);

/// The server's words for the end of an exchange (`ReadyForQuery`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    /// No transaction is open.
    Idle,
    /// One is open.
    Open,
    /// One is open, and has failed.
    Failed,
}

/// How to ask the server to stop what a connection is doing.
#[derive(Clone, Copy)]
pub(super) struct CancelKey {
    pub(super) process: i32,
    pub(super) secret: i32,
}

pub(super) struct Conn {
    io: Box<dyn Io>,
    input: BytesMut,
    output: BytesMut,
    /// Whether the last exchange came to its end and left no transaction.
    clean: bool,
    /// Whether it is to be closed although it is clean.
    retired: bool,
    pub(super) way: Way,
    pub(super) cancel_key: Option<CancelKey>,
    /// What was set for the connection, once it was.
    pub(super) session: Option<Session>,
    prepared: BTreeSet<u64>,
    /// What is being prepared, in the order of the server's answers.
    preparing: VecDeque<u64>,
}

impl Conn {
    pub(super) fn new(io: Box<dyn Io>, way: Way) -> Self {
        Self {
            io,
            input: BytesMut::with_capacity(16 << 10),
            output: BytesMut::with_capacity(4 << 10),
            clean: false,
            retired: false,
            way,
            cancel_key: None,
            session: None,
            prepared: BTreeSet::new(),
            preparing: VecDeque::new(),
        }
    }

    /// What is sent next.
    pub(super) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Whether the next caller finds no trace of the last one.
    pub(super) fn is_clean(&self) -> bool {
        self.clean && !self.retired && self.input.is_empty()
    }

    /// Whether the server may be doing something.
    pub(super) fn is_busy(&self) -> bool {
        !self.clean
    }

    pub(super) fn retire(&mut self) {
        self.retired = true;
    }

    /// Sends what was written. From here to the end of the exchange the connection is not clean.
    pub(super) async fn send(&mut self) -> Result<(), Broken> {
        self.clean = false;
        let sent = self.io.write_all(&self.output).await;
        self.output.clear();
        sent?;
        Ok(self.io.flush().await?)
    }

    /// The next message, of at most `most` bytes.
    pub(super) async fn receive(&mut self, most: usize) -> Result<Message, Broken> {
        loop {
            if let Some(header) = Header::parse(&self.input)? {
                let length = usize::try_from(header.len()).unwrap_or(usize::MAX);
                if length > most.max(SMALL) {
                    return Err(Broken::TooLarge);
                }
                if let Some(message) = Message::parse(&mut self.input)? {
                    return Ok(message);
                }
            }
            self.input.reserve(4 << 10);
            if self.io.read_buf(&mut self.input).await? == 0 {
                return Err(Broken::Ended(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Takes note of the end of an exchange.
    pub(super) fn ready(&mut self, status: u8) -> Result<Status, Broken> {
        // What was not answered was not prepared, because something before it failed.
        self.preparing.clear();
        if self.prepared.len() > MOST_PREPARED {
            self.retired = true;
        }
        if self.input.is_empty() && self.input.capacity() > KEPT {
            self.input = BytesMut::with_capacity(16 << 10);
        }
        if self.output.capacity() > KEPT {
            self.output = BytesMut::with_capacity(4 << 10);
        }
        match status {
            b'I' => {
                self.clean = true;
                Ok(Status::Idle)
            }
            b'T' => Ok(Status::Open),
            b'E' => Ok(Status::Failed),
            _ => Err(Broken::Protocol("an unknown transaction status")),
        }
    }

    /// Writes the messages that run a statement: its preparation if it is not prepared here, its values, and at most
    /// how many rows are wanted (0: all).
    pub(super) fn write_run(&mut self, run: &Run<'_>) -> Result<(), Broken> {
        let failed = |_too_large| Broken::Protocol("a value is too large to be sent");
        // Without a name of its own a statement is gone with the next one, whichever server connection that meets.
        let name = if run.named { format!("p{}", run.number) } else { String::new() };
        if !run.named || !(self.prepared.contains(&run.number) || self.preparing.contains(&run.number)) {
            frontend::parse(&name, run.sql, run.types.iter().copied(), &mut self.output)?;
            self.preparing.push_back(run.number);
        }
        let write = |value: &Option<String>, out: &mut BytesMut| match value {
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        };
        frontend::bind("", &name, [], run.values, write, [], &mut self.output).map_err(failed)?;
        if run.describe {
            frontend::describe(b'P', "", &mut self.output)?;
        }
        frontend::execute("", run.rows, &mut self.output)?;
        Ok(())
    }

    /// Takes note of a statement that the server has prepared.
    pub(super) fn prepared(&mut self, named: bool) {
        if let Some(number) = self.preparing.pop_front()
            && named
        {
            self.prepared.insert(number);
        }
    }

    /// Ends the connection and waits a little for the server to do so, so that another can take its place.
    pub(super) async fn close(mut self) {
        let busy = self.is_busy();
        let farewell = async {
            self.output.clear();
            frontend::terminate(&mut self.output);
            self.io.write_all(&self.output).await?;
            self.io.flush().await?;
            let mut wait = FIRST_ASK;
            loop {
                if busy && let Some(key) = self.cancel_key {
                    // A request that comes before its statement has begun is heard by nobody, so it is repeated. A
                    // server that cannot be reached stops the statement by its own clock.
                    let _asked = self.way.cancel(key).await;
                }
                let ended = async {
                    loop {
                        self.input.clear();
                        if self.io.read_buf(&mut self.input).await? == 0 {
                            return Ok::<_, std::io::Error>(());
                        }
                    }
                };
                match tokio::time::timeout(wait, ended).await {
                    Ok(ended) => return ended,
                    Err(_elapsed) => wait *= 2,
                }
            }
        };
        let _ended = tokio::time::timeout(FAREWELL, farewell).await;
    }
}

/// One statement to run.
pub(super) struct Run<'r> {
    /// Its number; no other statement of the process has it.
    pub(super) number: u64,
    pub(super) sql: &'r str,
    /// The types of its parameters; none to let the server find them.
    pub(super) types: &'r [u32],
    pub(super) values: &'r [Option<String>],
    /// The most rows; 0 for all.
    pub(super) rows: i32,
    /// Whether it is prepared under a name, for the next call.
    pub(super) named: bool,
    /// Whether the server is to say again what its columns are.
    pub(super) describe: bool,
}

/// What of an error response is of use.
pub(super) fn server_error(mut fields: ErrorFields<'_>) -> ServerError {
    use fallible_iterator::FallibleIterator as _;
    let mut error = ServerError { code: String::new(), message: String::new() };
    while let Ok(Some(field)) = fields.next() {
        let value = || String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => error.code = value(),
            b'M' => error.message = value(),
            _ => {}
        }
    }
    error
}
