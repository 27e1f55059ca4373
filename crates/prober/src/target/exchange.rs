//! One request and what came back.

use std::{collections::BTreeMap, io::Read, time::Duration};

use ::http::{HeaderMap, Method};
use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use serde_json::Value;
use url::Url;

use super::{MOST_BYTES, held::Gate, sse};

/// How deep a message is looked into for texts in pieces.
const DEPTH: usize = 24;

/// When an answer counts as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// At the message that answers the request, or at the end.
    Answer,
    /// At the end of the body, or after this time: what came until then counts.
    For(Duration),
}

/// A request as it goes out. It holds tokens: it is shown by [`crate::transcript`] only.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) verb: Method,
    /// The endpoint when absent.
    pub(crate) url: Option<Url>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The id of the message in the body; null when there is none.
    pub(crate) id: Value,
    pub(crate) wait: Wait,
    pub(crate) patience: Duration,
    /// Whether to send again when the target says that this was too much and when to come back.
    pub(crate) polite: bool,
    /// A header of the plan that this request does not carry.
    pub(crate) left_out: Option<String>,
    /// What its last byte waits for.
    pub(crate) held: Option<Gate>,
}

impl Request {
    /// The same request with one more header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same request with a header that replaces those of its name.
    pub(crate) fn set(self, name: &str, value: &str) -> Self {
        self.without(name).header(name, value)
    }

    /// The same request without the headers of a name.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// The same request to another address.
    pub(crate) fn to(mut self, url: Url) -> Self {
        self.url = Some(url);
        self
    }

    /// The same request with another body.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The same request with another message; its id is read from it.
    pub(crate) fn message(mut self, message: &Value) -> Self {
        self.id = message.get("id").cloned().unwrap_or(Value::Null);
        self.body = message.to_string().into_bytes();
        self
    }

    /// The same request with another verb.
    pub(crate) fn verb(mut self, verb: Method) -> Self {
        self.verb = verb;
        self
    }

    /// The same request, read in another way.
    pub(crate) fn wait(mut self, wait: Wait) -> Self {
        self.wait = wait;
        self
    }

    /// The same request without a header that all requests of the plan carry.
    pub(crate) fn leaving_out(mut self, name: &str) -> Self {
        self.left_out = Some(name.to_owned());
        self
    }

    /// The same request, sent once whatever the target says.
    pub(crate) fn once(mut self) -> Self {
        self.polite = false;
        self
    }

    /// The same request, whose last byte waits at a gate.
    pub(crate) fn held(mut self, gate: &Gate) -> Self {
        self.held = Some(gate.clone());
        self
    }

    /// The same request with another time limit.
    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection.
    Connect(String),
    /// Nothing, or not all of it, in time.
    Timeout,
    /// The connection ended in the middle.
    Broken(String),
    /// More bytes than are read of one answer.
    TooLarge,
    /// The answer is compressed in a way that is not read here, though nothing but plain bytes was asked for.
    Coded(String),
    /// The request could not be written.
    Unsendable(String),
    /// The time of the whole run is up.
    Late,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect(why) => write!(formatter, "no connection: {why}"),
            Self::Timeout => formatter.write_str("no answer in time"),
            Self::Broken(why) => write!(formatter, "the connection broke: {why}"),
            Self::TooLarge => formatter.write_str("an answer of more than 4 MiB"),
            Self::Coded(coding) => {
                write!(
                    formatter,
                    "an answer in the coding {coding:?}, which was not asked for and is not read"
                )
            }
            Self::Unsendable(why) => write!(formatter, "the request could not be sent: {why}"),
            Self::Late => formatter.write_str("the time of the run is up"),
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The JSON-RPC messages in the body, of an event stream too, in the order they came.
    pub(crate) messages: Vec<Value>,
}

impl Reply {
    pub(crate) fn new(status: u16, headers: HeaderMap, body: Bytes) -> Self {
        let messages = messages(&headers, &body);
        Self { status, headers, body, messages }
    }

    /// An answer as it came over the wire, which may be compressed.
    ///
    /// # Errors
    ///
    /// When what it is compressed with is not read here, or it unfolds to too much.
    pub(super) fn read(status: u16, headers: HeaderMap, body: Vec<u8>) -> Result<Self, Failure> {
        let body = plain(&headers, body)?;
        Ok(Self::new(status, headers, Bytes::from(body)))
    }

    /// A header's value, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Headers and body as one text, and what was sent in pieces put together, for the search for foreign values.
    pub(crate) fn haystack(&self) -> Vec<u8> {
        let mut text = self.shown();
        text.extend(pieces(&self.messages).into_bytes());
        text
    }

    /// Headers and body as one text.
    pub(crate) fn shown(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.body.len() + 512);
        for (name, value) in &self.headers {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.push(b'\n');
        }
        text.push(b'\n');
        text.extend_from_slice(&self.body);
        text
    }
}

/// The texts that stand in the same place of several messages, or of several items of one list, each put together: what
/// is sent bit by bit stands in none of the bits.
fn pieces(messages: &[Value]) -> String {
    let mut places: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for message in messages {
        gather(message, &mut String::new(), DEPTH, &mut places);
    }
    let several = places.into_values().filter(|(count, _)| *count > 1);
    several.fold(String::new(), |all, (_, text)| all + "\n" + &text)
}

fn gather(value: &Value, place: &mut String, depth: usize, places: &mut BTreeMap<String, (usize, String)>) {
    if depth == 0 {
        return;
    }
    let length = place.len();
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                place.push('/');
                place.push_str(name);
                gather(value, place, depth - 1, places);
                place.truncate(length);
            }
        }
        Value::Array(items) => {
            place.push_str("/-");
            items.iter().for_each(|item| gather(item, place, depth - 1, places));
            place.truncate(length);
        }
        Value::String(text) => {
            // What comes before the answer and the answer itself have the same texts in different places.
            let name = place.rsplit('/').find(|name| *name != "-").unwrap_or_default();
            let (count, all) = places.entry(name.to_owned()).or_default();
            *count += 1;
            all.push_str(text);
        }
        _ => {}
    }
}

/// Whether an answer is an event stream.
pub(crate) fn is_stream(headers: &HeaderMap) -> bool {
    headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream"))
}

fn messages(headers: &HeaderMap, body: &[u8]) -> Vec<Value> {
    let values = if is_stream(headers) {
        sse::events(body).into_iter().filter_map(|event| serde_json::from_str(&event.data).ok()).collect()
    } else {
        serde_json::from_slice::<Value>(body).into_iter().collect::<Vec<_>>()
    };
    values
        .into_iter()
        .flat_map(|value| match value {
            Value::Array(several) => several,
            one => vec![one],
        })
        .collect()
}

/// The body without its content coding, as far as it came.
fn plain(headers: &HeaderMap, body: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let codings = headers.get_all("content-encoding").iter();
    let codings: Vec<String> =
        codings.map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase()).collect();
    let codings = codings.join(",");
    let codings = codings.split(',').map(str::trim).filter(|coding| !["", "identity"].contains(coding));
    let mut body = body;
    // The last that is named was applied last. Two are more than anybody needs.
    for (place, coding) in codings.rev().enumerate() {
        body = match coding {
            "gzip" | "x-gzip" if place < 2 => unpack(MultiGzDecoder::new(body.as_slice()))?,
            "deflate" if place < 2 && body.first().is_some_and(|first| first & 0x0f == 8) => {
                unpack(ZlibDecoder::new(body.as_slice()))?
            }
            "deflate" if place < 2 => unpack(DeflateDecoder::new(body.as_slice()))?,
            other => return Err(Failure::Coded(other.to_owned())),
        };
    }
    Ok(body)
}

fn unpack(packed: impl Read) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::new();
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    // What is not finished yet ends in the middle.
    let _unfinished = packed.take(most.saturating_add(1)).read_to_end(&mut whole);
    if whole.len() > MOST_BYTES { Err(Failure::TooLarge) } else { Ok(whole) }
}

/// Looks for the answer in a body that is not finished. Each byte is looked at once, however small the pieces are in which
/// it comes.
#[derive(Default)]
pub(super) struct Lookout {
    /// What of the body has been read.
    read: usize,
    /// What of it has been searched for the end of an event.
    searched: usize,
}

impl Lookout {
    /// Whether a message that answers `id` has come since this was asked last.
    pub(super) fn answered(&mut self, headers: &HeaderMap, body: &[u8], id: &Value) -> bool {
        if !is_stream(headers) {
            return false;
        }
        if headers.contains_key("content-encoding") {
            return self.packed(headers, body, id);
        }
        // The end of an event may have begun in the piece before.
        let from = self.searched.saturating_sub(3).max(self.read);
        self.searched = body.len();
        let Some(end) = sse::end(body.get(from..).unwrap_or_default()).map(|end| from + end) else {
            return false;
        };
        let done = body.get(self.read..end).unwrap_or_default();
        self.read = end;
        messages(headers, done).iter().any(|message| answers(message, id))
    }

    /// The same of what has to be unfolded from its beginning: again only when it has grown by a sixteenth.
    fn packed(&mut self, headers: &HeaderMap, body: &[u8], id: &Value) -> bool {
        if body.len() < self.read + self.read / 16 {
            return false;
        }
        self.read = body.len();
        let Ok(body) = plain(headers, body.to_vec()) else { return false };
        messages(headers, &body).iter().any(|message| answers(message, id))
    }
}

fn answers(message: &Value, id: &Value) -> bool {
    message.get("method").is_none() && message.get("id") == Some(id)
}

/// One request, and its answer or what happened instead.
#[derive(Clone)]
pub(crate) struct Exchange {
    /// The tenant or user that sent it.
    pub(crate) who: String,
    pub(crate) request: Request,
    pub(crate) outcome: Result<Reply, Failure>,
    pub(crate) took: Duration,
}

impl Exchange {
    /// The answer.
    pub(crate) fn reply(&self) -> Option<&Reply> {
        self.outcome.as_ref().ok()
    }

    /// The status, 0 when there is no answer.
    pub(crate) fn status(&self) -> u16 {
        self.reply().map_or(0, |reply| reply.status)
    }

    /// The message that answers the request; where the request's id was refused, the one error in the body.
    pub(crate) fn answer(&self) -> Option<&Value> {
        let messages = &self.reply()?.messages;
        messages
            .iter()
            .find(|message| answers(message, &self.request.id))
            .or_else(|| messages.iter().find(|message| message.get("error").is_some()))
    }

    /// The result, also one that tells of a tool's failure.
    pub(crate) fn result(&self) -> Option<&Value> {
        self.answer()?.get("result")
    }

    /// The result of a request that did what was asked.
    pub(crate) fn success(&self) -> Option<&Value> {
        if !(200..300).contains(&self.status()) {
            return None;
        }
        let result = self.result()?;
        let failed = result.get("isError").and_then(Value::as_bool).unwrap_or(false);
        (!failed).then_some(result)
    }

    /// The error's code and text.
    pub(crate) fn error(&self) -> Option<(i64, &str)> {
        let error = self.answer()?.get("error")?;
        Some((error.get("code")?.as_i64()?, error.get("message").and_then(Value::as_str).unwrap_or_default()))
    }

    /// Whether the target itself answered the request, with a result, an error or a limit: who is dead says none of them.
    pub(crate) fn is_alive(&self) -> bool {
        self.answer().is_some() || matches!(self.status(), 429 | 503)
    }

    /// Whether there was an answer at all.
    pub(crate) const fn replied(&self) -> bool {
        self.outcome.is_ok()
    }
}
