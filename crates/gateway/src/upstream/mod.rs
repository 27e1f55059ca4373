//! Existing MCP servers behind the gateway: one conversation for each tenant, never one for all.
//!
//! A server that is started as a process runs once for each tenant and upstream, with that tenant's secrets and folder; a
//! server at a URL is spoken to once for each principal, with the tenant's credential. Neither sees the caller's own token.
//! Whatever runs hangs on the tenant's `Resident` ([`Upstreams`]) and is looked after by [`Processes`], so that it ends with the
//! tenant.

mod catalogue;
mod declared;
mod error;
mod folder;
mod http;
pub(crate) mod launch;
mod lines;
mod link;
mod processes;
pub(crate) mod reach;
mod schema;
mod session;
mod slots;
mod stderr;
mod stdio;
mod tool;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use declared::{Upstream, UpstreamSet};
pub(crate) use error::UpstreamError;
pub(crate) use http::HttpUpstream;
pub(crate) use processes::Processes;
pub(crate) use slots::Upstreams;
pub(crate) use tool::UpstreamTool;

use self::catalogue::Catalogue;
use crate::{admit::Permit, tools::ToolEntry};

/// The tool of a name that a server behind the gateway has for the caller's tenant.
///
/// A server that does not answer has a tool of every name, which says so.
pub(crate) async fn find(permit: &Permit, name: &str) -> Option<Arc<ToolEntry>> {
    let services = permit.services();
    let (upstream, tool) = services.upstreams.of_name(name, permit.tenant())?;
    // Whoever may not call it does not start it either.
    let allowed = upstream.scope.as_deref().is_none_or(|scope| permit.principal().scopes.allows(scope));
    if !upstream.offers(tool) {
        return None;
    }
    if !allowed {
        return Some(Arc::new(ToolEntry::absent(name, upstream, Arc::new(UpstreamError::Ended))));
    }
    match catalogue(permit, upstream, None).await {
        Ok(catalogue) => catalogue.find(name),
        Err(error) => Some(Arc::new(ToolEntry::absent(name, upstream, error))),
    }
}

/// How long a list waits for a server whose last start failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// The tools that a server has for the caller's tenant; where its last start failed, they are waited for no longer than
/// `patience`.
pub(crate) async fn catalogue(
    permit: &Permit,
    upstream: &Arc<Upstream>,
    patience: Option<Duration>,
) -> Result<Arc<Catalogue>, Arc<UpstreamError>> {
    match listed(permit, upstream, patience).await {
        // Another conversation begins.
        Err(why) if why.may_begin_again(permit) => listed(permit, upstream, patience).await,
        listed => listed,
    }
}

async fn listed(
    permit: &Permit,
    upstream: &Arc<Upstream>,
    patience: Option<Duration>,
) -> Result<Arc<Catalogue>, Arc<UpstreamError>> {
    let ends: Instant = permit.deadline(permit.services().settings.call_timeout);
    let session = permit.resident().upstreams().session(permit, upstream, ends, patience).await?;
    session.catalogue(ends).await.map_err(Arc::new)
}
