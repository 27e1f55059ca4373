//! Which generations of the protocol the target speaks.

use serde_json::{Value, json};

use crate::{
    Protocol,
    target::{Caller, Era, Exchange, Failure, Transport, legacy},
};

/// A target that speaks no generation.
pub(super) struct Silent {
    /// What it answered, and what to do.
    pub(super) why: String,
    /// Whether every connection broke before there was an answer.
    pub(super) broke: bool,
}

/// A caller for each generation that the target speaks; one has a session where there are sessions.
///
/// # Errors
///
/// When it speaks none: what it answered, and what to do.
pub(super) async fn callers(
    caller: &Caller,
    protocol: Protocol,
) -> Result<(Option<Caller>, Option<Caller>), Silent> {
    let mut answers = Vec::new();
    // An address that ends so has always meant the older transport.
    let named = caller.target().url.path().trim_end_matches('/').ends_with("/sse");
    if named && protocol != Protocol::Modern {
        let streams = sessions(&caller.over(Transport::Streams), &mut answers).await;
        if streams.is_some() {
            return Ok((None, streams));
        }
    }
    let modern = if protocol == Protocol::Legacy { None } else { modern(caller, &mut answers).await };
    let mut legacy = match protocol {
        Protocol::Modern => None,
        Protocol::Auto | Protocol::Legacy => sessions(&caller.speaking(legacy()), &mut answers).await,
    };
    // The specification's way back: where posting is refused, the same address may open a stream.
    let refused = answers.iter().any(|answer| matches!(answer.status(), 400 | 404 | 405 | 406 | 415));
    if modern.is_none() && legacy.is_none() && refused && !named && protocol != Protocol::Modern {
        legacy = sessions(&caller.over(Transport::Streams), &mut answers).await;
    }
    if modern.is_none() && legacy.is_none() {
        let broke = answers.iter().all(|answer| matches!(answer.outcome, Err(Failure::Broken(_))));
        return Err(Silent { why: explain(caller, &answers), broke });
    }
    Ok((modern, legacy))
}

async fn modern(caller: &Caller, answers: &mut Vec<Exchange>) -> Option<Caller> {
    let caller = caller.speaking(Era::Modern);
    let exchange = caller.ask("server/discover", json!({})).await;
    let speaks = exchange.success().is_some_and(|result| {
        result
            .get("supportedVersions")
            .and_then(Value::as_array)
            .is_none_or(|versions| versions.iter().any(|version| version == crate::target::MODERN))
    });
    answers.push(exchange);
    speaks.then_some(caller)
}

async fn sessions(first: &Caller, answers: &mut Vec<Exchange>) -> Option<Caller> {
    let first = first.speaking(first.era().clone());
    let exchange = first.begin().await?;
    let revision = exchange
        .success()
        .and_then(|result| result.get("protocolVersion"))
        .and_then(Value::as_str)
        .map(str::to_owned);
    answers.push(exchange);
    match revision {
        Some(revision) => Some(first.settled(revision)),
        None => {
            first.end().await;
            None
        }
    }
}

fn explain(caller: &Caller, answers: &[Exchange]) -> String {
    let name = &caller.name;
    if answers.iter().any(|exchange| matches!(exchange.status(), 401 | 403)) {
        return format!(
            "{name}'s token was refused; check that it is valid for this server and has not expired"
        );
    }
    let mut told: Vec<String> = answers.iter().map(crate::oracle::reading::failed).collect();
    told.dedup();
    format!(
        "as {name} it answered neither server/discover nor initialize ({}); check that the address is the MCP endpoint \
         of streamable HTTP, for example http://127.0.0.1:8787/mcp, or of HTTP+SSE, which often ends in /sse",
        told.join("; ")
    )
}
