//! Values of another tenant that are told in disguise, and public ones that only look like somebody's.

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};

use super::{
    App,
    app::Call,
    tools::{all, said, tickets, tool},
    wire::Answer,
};

/// The tools of this family.
pub(super) fn list(app: &App) -> Vec<Value> {
    let mut tools = Vec::new();
    if app.defects.has("with-news") {
        tools.push(tool("latest_news", "The newest headline for everybody.", json!({}), &[], true));
    }
    if app.defects.has("with-notices") {
        tools.push(tool("get_notice", "The notice for everybody.", json!({}), &[], true));
    }
    tools
}

/// Calls a tool of this family.
pub(super) fn call(app: &App, tenant: &str, name: &str) -> Option<Result<Value, (i64, String)>> {
    match name {
        "latest_news" if app.defects.has("with-news") => {
            let mut shelf = app.shelf.lock().unwrap();
            let reads = shelf.entry("news".to_owned()).or_insert(json!(0));
            *reads = json!(reads.as_u64().unwrap() + 1);
            // It changes once, when the first tenant has read it alone and the second has not.
            let headline =
                if reads.as_u64() <= Some(4) { "Rain in the valley" } else { "Sun over the hills" };
            Some(Ok(said(&json!({"headline": headline}))))
        }
        "get_notice" if app.defects.has("with-notices") => {
            let loud = tenant == "globex";
            let notice = if loud { "MAINTENANCE ON SUNDAY" } else { "Maintenance on Sunday" };
            Some(Ok(said(&json!({"notice": notice}))))
        }
        _ => None,
    }
}

/// The answer to somebody who asks for another's ticket: that it is not there, and in disguise what it is called.
pub(super) fn answer(app: &App, call: &Call<'_>, id: &Value) -> Option<Answer> {
    let tells = app.defects.starting("tells-")?;
    if call.method != "tools/call" || call.params["name"] != "get_ticket" {
        return None;
    }
    let asked = call.params.pointer("/arguments/id")?.as_u64()?;
    if tickets(&call.tenant).iter().any(|(known, _)| *known == asked) {
        return None;
    }
    let (_, title) = all().into_iter().find(|(known, _)| *known == asked)?;
    let text = |more: &str| {
        let content = json!([{"type": "text", "text": format!("no ticket {asked} {more}")}]);
        json!({"jsonrpc": "2.0", "id": id, "result": {"isError": true, "content": content}})
    };
    Some(match tells {
        "tells-in-gzip" => coded("gzip", gzip(text(title).to_string().as_bytes())),
        // Nothing here reads it, and nobody asked for it.
        "tells-in-another-coding" => coded("br", text(title).to_string().into_bytes()),
        "tells-in-a-header" => Answer::json(200, &text("")).header("x-debug", title),
        "tells-in-a-comment" => events(vec![format!(": {title}"), format!("data: {}", text(""))]),
        "tells-in-pieces" => {
            let (one, two) = title.split_at(9);
            let mut parts = Vec::new();
            for (at, part) in [one, two].into_iter().enumerate() {
                let params = json!({"progressToken": 1, "progress": at, "message": part});
                parts.push(json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
            }
            parts.push(text(""));
            events(parts.into_iter().map(|part| format!("data: {part}")).collect())
        }
        _ => Answer::json(200, &text(&disguise(tells, title))),
    })
}

fn disguise(tells: &str, title: &str) -> String {
    let letters = |write: fn(char) -> String| title.chars().map(write).collect::<String>();
    match tells {
        "tells-in-base64" => format!("(trace tr-{})", STANDARD.encode(format!("7:{title}"))),
        "tells-packed" => STANDARD.encode(gzip(title.as_bytes())),
        "tells-in-hexadecimal" => format!("key=0x{}", hex::encode(title)),
        "tells-in-html" => letters(|letter| format!("&#x{:x};", letter as u32)),
        "tells-in-escapes" => letters(|letter| format!("\\u{:04x}", letter as u32)),
        "tells-in-a-link" => format!("/retry?was={}", title.replace(' ', "%20")),
        "tells-in-wide-letters" => letters(|letter| match letter {
            'a'..='z' | 'A'..='Z' => char::from_u32(letter as u32 + 0xfee0).unwrap().to_string(),
            other => other.to_string(),
        }),
        "tells-in-lines" => title.replace(' ', "\n\t"),
        "tells-in-capitals" => title.to_uppercase(),
        "tells-cut" => format!("(was {}…)", title.split_at(18).0),
        "tells-as-bytes" => json!({"type": "Buffer", "data": title.as_bytes()}).to_string(),
        "tells-a-sum" => "of 738,201,946,512 rows".to_owned(),
        // Nothing is told; a disguise that is not known here is not found, and fails its test.
        _ => String::new(),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn coded(coding: &str, bytes: Vec<u8>) -> Answer {
    let body = Full::new(Bytes::from(bytes)).map_err(|never: std::convert::Infallible| match never {});
    let answer = Answer { status: 200, headers: Vec::new(), body: body.boxed() };
    answer.header("content-type", "application/json").header("content-encoding", coding)
}

fn events(events: Vec<String>) -> Answer {
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    for event in events {
        sender.try_send(format!("{event}\n\n")).unwrap();
    }
    Answer::events(receiver)
}
