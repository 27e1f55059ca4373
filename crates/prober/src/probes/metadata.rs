//! What a target's host says of its authorization server.

use http::Method;
use serde_json::Value;
use url::Url;

use crate::{
    site::Site,
    target::{Caller, Exchange},
};

/// The body of an answer, if it is JSON.
pub(super) fn body(exchange: &Exchange) -> Option<Value> {
    serde_json::from_slice(&exchange.reply()?.body).ok()
}

/// The first of the metadata documents that has what is wanted.
pub(super) async fn find<T>(
    site: &Site,
    nobody: &Caller,
    wanted: impl Fn(&dyn Fn(&str) -> Option<Url>) -> Option<T>,
) -> Option<T> {
    let target = &site.target;
    let path = target.url.path().trim_end_matches('/');
    for document in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        for after in ["", path] {
            let request = nobody.bare(Method::GET).to(target.at(&format!("{document}{after}")));
            let exchange = nobody.send_plainly(request).await;
            let Some(metadata) = body(&exchange) else { continue };
            let found = wanted(&|name: &str| metadata.get(name)?.as_str()?.parse::<Url>().ok());
            if found.is_some() {
                return found;
            }
        }
    }
    None
}
