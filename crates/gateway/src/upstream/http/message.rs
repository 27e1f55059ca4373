//! Messages of JSON-RPC, as a client writes and reads them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use crate::{turn::Progress, upstream::error::UpstreamError};

/// The longest id of a request that a server makes.
const LONGEST_ID: usize = 256;
/// The longest text of an error that is kept, in characters.
const LONGEST_TEXT: usize = 1000;

pub(super) fn request(number: u64, method: &str, params: Map<String, Value>) -> String {
    json!({ "jsonrpc": "2.0", "id": number, "method": method, "params": params }).to_string()
}

pub(super) fn notification(method: &str, params: Map<String, Value>) -> String {
    if params.is_empty() {
        json!({ "jsonrpc": "2.0", "method": method }).to_string()
    } else {
        json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string()
    }
}

pub(super) fn cancelled(number: u64) -> String {
    let params = json!({ "requestId": number, "reason": "nobody waits for the answer any more" });
    json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }).to_string()
}

/// What a client answers that can do nothing for a server, except say that it is there.
pub(super) fn reply(id: &RawValue, method: &str) -> String {
    // The id is written as it came: it need not fit into a number of ours.
    let id = id.get();
    if method == "ping" {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)
    } else {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"Method not found"}}}}"#)
    }
}

/// What a server said.
pub(super) enum Said<'m> {
    /// The answer that is waited for.
    Answer(Result<Box<RawValue>, UpstreamError>),
    /// A request of its own.
    Asks { id: &'m RawValue, method: Cow<'m, str> },
    /// A step of the request's progress.
    Step(Progress),
    /// Its tools are others now.
    ToolsChanged,
    /// Something that is nobody's, or of no interest.
    Nothing,
}

#[derive(Deserialize)]
struct Message<'m> {
    #[serde(borrow, default)]
    jsonrpc: Option<Cow<'m, str>>,
    #[serde(borrow, default)]
    id: Option<&'m RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'m, str>>,
    #[serde(borrow, default)]
    params: Option<&'m RawValue>,
    #[serde(borrow, default)]
    result: Option<&'m RawValue>,
    #[serde(borrow, default)]
    error: Option<&'m RawValue>,
}

#[derive(Deserialize)]
struct Failure<'m> {
    code: i64,
    #[serde(borrow, default)]
    message: Cow<'m, str>,
}

#[derive(Deserialize)]
struct Step<'m> {
    #[serde(borrow, rename = "progressToken")]
    token: &'m RawValue,
    progress: f64,
    #[serde(default)]
    total: Option<f64>,
    #[serde(default)]
    message: Option<String>,
}

/// Reads a message; what is none of JSON-RPC is an error.
pub(super) fn read(text: &str, number: u64) -> Result<Said<'_>, UpstreamError> {
    let broken = || UpstreamError::Protocol("what it wrote is no message of JSON-RPC");
    // Serde takes a list of the fields' values for the message too.
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return Err(broken());
    }
    let message: Message<'_> = serde_json::from_str(text).map_err(|_| broken())?;
    if message.jsonrpc.as_deref() != Some("2.0") {
        return Err(broken());
    }
    Ok(match (message.id, message.method) {
        (Some(id), Some(method)) if is_id(id) => Said::Asks { id, method },
        (Some(_), Some(_)) | (None, None) => Said::Nothing,
        (None, Some(method)) => notified(&method, message.params, number),
        // Another request's answer, or an old one's: it is not for whoever waits here.
        (Some(id), None) if id.get() != number.to_string() => Said::Nothing,
        (Some(_), None) => Said::Answer(answer(message.result, message.error)),
    })
}

/// The error in an answer that carries one whoever it is for, as the body of a refused request does.
pub(super) fn refusal(text: &str) -> Option<UpstreamError> {
    let message: Message<'_> = serde_json::from_str(text).ok()?;
    failure(message.error?)
}

fn is_id(id: &RawValue) -> bool {
    let text = id.get();
    text.len() <= LONGEST_ID
        && text.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
}

fn answer(result: Option<&RawValue>, error: Option<&RawValue>) -> Result<Box<RawValue>, UpstreamError> {
    match (result, error) {
        (Some(result), None) if result.get().starts_with('{') => Ok(result.to_owned()),
        (None, Some(error)) => {
            Err(failure(error).unwrap_or(UpstreamError::Protocol("its error has no code")))
        }
        _ => Err(UpstreamError::Protocol("its answer has no result")),
    }
}

fn failure(error: &RawValue) -> Option<UpstreamError> {
    let error: Failure<'_> = serde_json::from_str(error.get()).ok()?;
    let message = error.message.chars().take(LONGEST_TEXT).collect();
    Some(UpstreamError::Rpc { code: error.code, message })
}

fn notified<'m>(method: &str, params: Option<&'m RawValue>, number: u64) -> Said<'m> {
    match (method, params) {
        ("notifications/tools/list_changed", _) => Said::ToolsChanged,
        ("notifications/progress", Some(params)) => match serde_json::from_str::<Step<'_>>(params.get()) {
            Ok(step) if step.token.get() == number.to_string() => Said::Step(Progress {
                done: step.progress,
                total: step.total,
                message: step.message.map(|text| text.chars().take(LONGEST_TEXT).collect()),
            }),
            _ => Said::Nothing,
        },
        _ => Said::Nothing,
    }
}
