//! Links to servers on loopback that record what they are sent.

mod hostile;
mod server;
mod talks;

use std::sync::Arc;

use secrecy::SecretString;
use serde_json::json;
use server::{Asked, Server, reply};

use super::*;
use crate::tools::http::HttpShared;

fn http() -> Http {
    Http { allow_private: vec!["127.0.0.1".to_owned()], ..Http::default() }
}

fn bearer() -> Auth {
    Auth { bearer: Some("secret:key".to_owned()), ..Auth::default() }
}

/// A link to a URL with this credential.
fn link_to(url: &str, key: &str) -> HttpLink {
    let http = http();
    let upstream = HttpUpstream::compile(url, Some(&bearer()), &http).expect("a good upstream");
    let client = Arc::new(TenantClient::new(&HttpShared::new(&http).expect("shared parts")));
    let secret = SecretString::from(key);
    upstream.link(client, &[("key", &secret)]).expect("a link")
}

fn link(server: &Server) -> HttpLink {
    link_to(&server.url(), "key of acme")
}

fn asking(method: &'static str, params: Value) -> Request<'static> {
    let ends = Instant::now() + Duration::from_secs(10);
    Request { method, params, ends, room: 64 * 1024, progress: None }
}

fn call() -> Request<'static> {
    asking("tools/call", json!({ "name": "read", "arguments": {} }))
}

/// Begins a conversation of the revision 2025-11-25.
async fn begin(link: &HttpLink) {
    link.request(asking("initialize", json!({}))).await.expect("an answer");
    link.agreed("2025-11-25");
}

/// Waits until the server has been asked something.
async fn until(server: &Server, found: impl Fn(&Asked) -> bool) -> Asked {
    for _ in 0..400 {
        if let Some(asked) = server.asked().into_iter().find(&found) {
            return asked;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not asked; but {:?}", server.asked())
}
