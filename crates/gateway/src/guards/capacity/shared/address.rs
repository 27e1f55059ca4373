//! Where the shared limits are: from a URL to something that can be connected to.

use std::time::Duration;

use redis::{TlsCertificates, cluster::ClusterClient};
use url::Url;

use super::{link::Target, place::SharedError};
use crate::config::Shared;

/// The nodes that a text names: one, or several of a cluster.
///
/// # Errors
/// What is wrong with it; nothing of the text itself, which may hold a password.
pub(crate) fn nodes(text: &str, cluster: bool) -> Result<Vec<Url>, &'static str> {
    const FORM: &str = "a URL begins with `redis://` or `rediss://` and names a host, such as `rediss://limits.example.com:6379`; or write `env:NAME` or `file:PATH`";
    let nodes: Vec<Url> = text
        .split(',')
        .map(|node| Url::parse(node.trim()))
        .collect::<Result<_, _>>()
        .map_err(|_no_url| FORM)?;
    for node in &nodes {
        let host = node.host_str().is_some_and(|host| !host.is_empty());
        if !matches!(node.scheme(), "redis" | "rediss") || !host {
            return Err(FORM);
        }
        if node.query().is_some() || node.fragment().is_some() {
            return Err("a URL has no `?` and no `#`; what can be set has a key of its own");
        }
        let database = node.path().trim_start_matches('/');
        if !database.is_empty() && database.parse::<u16>().is_err() {
            return Err("a URL ends with the database's number, or with nothing");
        }
        if cluster && !matches!(database, "" | "0") {
            return Err("a cluster has no numbered databases; leave the number out");
        }
    }
    let alike = |a: &Url, b: &Url| {
        (a.scheme(), a.username(), a.password()) == (b.scheme(), b.username(), b.password())
    };
    match nodes.as_slice() {
        [_one] => Ok(nodes),
        [first, rest @ ..] if cluster => {
            let same = rest.iter().all(|node| alike(first, node));
            if same {
                Ok(nodes)
            } else {
                Err("the nodes of a cluster have the same scheme, user and password")
            }
        }
        _ => Err("several nodes are a cluster; write `cluster = true`, or name one"),
    }
}

/// What connects to the nodes.
///
/// # Errors
/// When the library cannot use them; the error's kind, since its text could hold a part of the URL.
pub(super) fn target(
    nodes: &[Url],
    settings: &Shared,
    root_cert: Option<Vec<u8>>,
) -> Result<Target, SharedError> {
    let failed = |error: redis::RedisError| SharedError::Connection(error.category().to_owned());
    let tls = nodes.iter().any(|node| node.scheme() == "rediss");
    let own = root_cert
        .filter(|_| tls)
        .map(|root_cert| TlsCertificates { client_tls: None, root_cert: Some(root_cert) });
    if settings.cluster {
        let builder = ClusterClient::builder(nodes.iter().map(Url::as_str))
            .connection_timeout(Duration::from_secs(1))
            .response_timeout(settings.timeout)
            .retries(2)
            .min_retry_wait(5)
            .max_retry_wait(20);
        let builder = match own {
            Some(own) => builder.certs(own),
            None => builder,
        };
        return builder.build().map(|client| Target::Cluster(Box::new(client))).map_err(failed);
    }
    let first = nodes.first().map(Url::as_str).unwrap_or_default();
    match own {
        Some(own) => redis::Client::build_with_tls(first, own),
        None => redis::Client::open(first),
    }
    .map(|client| Target::One(Box::new(client)))
    .map_err(failed)
}
