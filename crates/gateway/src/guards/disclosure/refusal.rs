//! The only place where a denial or an error becomes a reply.

use std::time::Duration;

use http::{
    HeaderValue, StatusCode,
    header::{RETRY_AFTER, WWW_AUTHENTICATE},
};
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Value, json};

use super::{Denial, Refused};
use crate::{
    guards::capacity::Over,
    tools::ToolError,
    wire::reply::{RpcError, codes},
};

/// A reply that says no: the status, the JSON-RPC error and at most one header.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) header: Option<(http::HeaderName, HeaderValue)>,
    pub(crate) error: RpcError,
}

/// Says which of the caller's limits was reached, how long to wait and what to do; the numbers are the caller's own.
fn too_many(wait: Duration, over: Over) -> Refusal {
    // Rounded up, so that who waits as long as told is not refused again for a fraction of a second.
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
    let again = format!("Wait {seconds} s, then send this call again");
    let message = match over {
        Over::Rate { per_second, burst } => format!(
            "Too many calls: {per_second} a second are allowed, and {burst} at once. {again}, and send fewer."
        ),
        Over::Queue { running, waiting: 0 } => {
            format!(
                "Too many calls at a time: {running} are allowed. {again}, when an earlier call has ended."
            )
        }
        Over::Queue { running, waiting } => format!(
            "Too many calls at a time: {running} may run and {waiting} may wait. {again}, when earlier calls have ended."
        ),
        Over::Wait { running, waited } => format!(
            "Too many calls at a time: {running} may run, and none of them ended within {}. {again}, when earlier \
             calls have ended.",
            humantime::format_duration(waited)
        ),
        Over::Server => format!("The server is busy. {again}."),
        Over::Connections { most } => format!(
            "Too many connections: {most} are allowed. {again}, on a connection that is open already, and close \
             those that are not needed."
        ),
    };
    let data = json!({ "retryAfterSeconds": seconds, "limit": over.reason() });
    Refusal {
        status: StatusCode::TOO_MANY_REQUESTS,
        header: Some((RETRY_AFTER, HeaderValue::from(seconds))),
        error: RpcError { code: codes::TOO_MANY, message: message.into(), data: Some(data) },
    }
}

/// What a caller sees of a denial.
pub(crate) fn of_denial(denial: &Denial) -> Refusal {
    let plain = |status: StatusCode, code: i64, message: &'static str| Refusal {
        status,
        header: None,
        error: RpcError::new(code, message),
    };
    match denial.refused() {
        Refused::Unauthenticated(challenge) => Refusal {
            header: Some((WWW_AUTHENTICATE, challenge.clone())),
            ..plain(
                StatusCode::UNAUTHORIZED,
                codes::UNAUTHENTICATED,
                "Authentication is needed: send a valid bearer token.",
            )
        },
        Refused::Scope(challenge) => Refusal {
            header: Some((WWW_AUTHENTICATE, challenge.clone())),
            ..plain(
                StatusCode::FORBIDDEN,
                codes::FORBIDDEN,
                "The token lacks the scope that this tool needs.",
            )
        },
        Refused::TooMany(wait, over) => too_many(*wait, *over),
        Refused::NotFound => plain(StatusCode::OK, codes::INVALID_PARAMS, "Not found."),
        Refused::Handle => plain(
            StatusCode::OK,
            codes::INVALID_PARAMS,
            "The cursor or state is not valid or no longer valid. Start again without it.",
        ),
        Refused::Door => {
            plain(StatusCode::FORBIDDEN, codes::FORBIDDEN, "This host or origin is not allowed.")
        }
        Refused::Failed => {
            plain(StatusCode::INTERNAL_SERVER_ERROR, codes::INTERNAL, "The server cannot answer now.")
        }
    }
}

/// What a tool's failure becomes.
pub(crate) enum ToolRefusal {
    /// A result with `isError`, which the model reads and can act on.
    Result(Box<CallToolResult>),
    /// A protocol error.
    Protocol(Refusal),
}

/// What a caller sees of a tool's failure.
pub(crate) fn of_tool_error(error: &ToolError) -> ToolRefusal {
    let told = |text: &str| {
        ToolRefusal::Result(Box::new(CallToolResult::error(vec![ContentBlock::text(text.to_owned())])))
    };
    match error {
        ToolError::NotFound => told("Not found."),
        ToolError::Invalid(text) | ToolError::Failed(text) => told(text),
        ToolError::NoArgument { .. } => told(&error.to_string()),
        ToolError::MissingSecret(name) => told(&format!(
            "This tool needs the credential `{name}`, which has not been set up for you. Ask your administrator to \
             add it; other tools go on working."
        )),
        ToolError::TimedOut => {
            told("The call took too long and was stopped. Ask for less, or try again later.")
        }
        ToolError::TooLarge => {
            told("The reply would be too large. Ask for less, for example with a lower limit.")
        }
        ToolError::Busy => told("The data source is busy. Try again in a moment."),
        ToolError::Lost(source) => told(&format!(
            "The database `{source}` cannot be reached now, so nothing was read or changed. Try again later."
        )),
        ToolError::Uncertain(source) => told(&format!(
            "The connection to the database `{source}` broke while the change was being made. Look whether it was \
             made before you repeat it."
        )),
        ToolError::Full => told("The storage limit is reached. Nothing was written; reading still works."),
        ToolError::Unaudited => told(
            "The audit log cannot be written now, so nothing was changed. Reading still works. Try again later, and \
             tell the operator.",
        ),
        ToolError::EndUnaudited => told(
            "The call was carried out, but the audit log could not note how it ended. Look at what it changed before \
             you repeat it, and tell the operator.",
        ),
        ToolError::Upstream(_) => {
            told("The service behind this tool did not answer as expected. Try again later.")
        }
        // What a call of an ended life is answered with is made in `call`, which has the challenge.
        ToolError::Internal(_) | ToolError::Ended => told("The tool failed. The operator's log says why."),
        ToolError::MissingCapability(missing) => ToolRefusal::Protocol(Refusal {
            status: StatusCode::BAD_REQUEST,
            header: None,
            error: RpcError {
                code: codes::MISSING_CAPABILITY,
                message: "Missing required client capability".into(),
                data: Some(json!({
                    "requiredCapabilities": serde_json::to_value(missing).unwrap_or(Value::Null)
                })),
            },
        }),
        ToolError::Denied(denial) => match denial.refused() {
            Refused::NotFound => told("Not found."),
            _ => ToolRefusal::Protocol(of_denial(denial)),
        },
    }
}
