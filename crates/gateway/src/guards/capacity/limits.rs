//! What each tenant may use: the defaults of the configuration, and what is different for some.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use partywall_model::TenantId;

use super::shared::{SharedLimits, SharedRate};
use crate::{
    admit::Incarnation,
    config::{CapacityOverride, Config},
};

/// What one tenant may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) requests_per_second: u32,
    pub(crate) burst: u32,
    pub(crate) concurrent_requests: u32,
    pub(crate) queued_requests: u32,
    pub(crate) queue_timeout: Duration,
    /// The longest that a call may take, if it is not that of the server and of the tool.
    pub(crate) call_timeout: Option<Duration>,
    /// Open connections; `None` for the usual share.
    pub(crate) connections: Option<usize>,
    pub(crate) reply_bytes: usize,
    pub(crate) cache_bytes: u64,
}

/// The limits of every tenant.
pub(crate) struct LimitTable {
    /// Goes up with each configuration, so that what follows from an earlier one is known.
    revision: u64,
    /// The most calls of one tenant: half of the server's, so that no tenant can take all places.
    half: u32,
    defaults: Limits,
    overrides: BTreeMap<String, CapacityOverride>,
    shared: Option<Arc<SharedLimits>>,
}

impl LimitTable {
    pub(crate) fn new(config: &Config, revision: u64) -> Self {
        let capacity = &config.capacity;
        let defaults = Limits {
            requests_per_second: capacity.requests_per_second,
            burst: capacity.burst,
            concurrent_requests: capacity.concurrent_requests,
            queued_requests: capacity.queued_requests,
            queue_timeout: capacity.queue_timeout,
            call_timeout: None,
            connections: capacity.connections,
            reply_bytes: capacity.reply_bytes.as_usize(),
            cache_bytes: capacity.cache_bytes.0,
        };
        let half = (config.server.concurrent_requests / 2).max(1);
        Self { revision, half, defaults, overrides: capacity.tenant.clone(), shared: None }
    }

    /// The same, with rates that hold over several processes if there are shared limits.
    pub(crate) fn sharing(self, shared: Option<Arc<SharedLimits>>) -> Self {
        Self { shared, ..self }
    }

    /// The rate that other processes count too, if there is one; `before` again when nothing of it has changed.
    pub(crate) fn shared_rate(
        &self,
        tenant: &TenantId,
        life: Incarnation,
        before: Option<&Arc<SharedRate>>,
    ) -> Option<Arc<SharedRate>> {
        self.shared.as_ref().map(|shared| shared.rate(tenant, life, &self.of(tenant), before))
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn of(&self, tenant: &TenantId) -> Limits {
        let base = self.defaults;
        let none = CapacityOverride::default();
        let own = self.overrides.get(tenant.as_str()).unwrap_or(&none);
        let concurrent = own.concurrent_requests.unwrap_or(base.concurrent_requests);
        Limits {
            requests_per_second: own.requests_per_second.unwrap_or(base.requests_per_second),
            burst: own.burst.unwrap_or(base.burst),
            concurrent_requests: concurrent.clamp(1, self.half),
            queued_requests: own.queued_requests.unwrap_or(base.queued_requests),
            queue_timeout: own.queue_timeout.unwrap_or(base.queue_timeout),
            call_timeout: own.call_timeout,
            connections: own.connections.or(base.connections),
            reply_bytes: own.reply_bytes.map_or(base.reply_bytes, |size| size.as_usize()),
            cache_bytes: own.cache_bytes.map_or(base.cache_bytes, |size| size.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn one_tenant_can_have_other_limits() {
        let text = "[identity]\ndevelopment = true\n[server]\nconcurrent_requests = 40\n\
            [capacity.tenant.acme]\nburst = 7\nqueue_timeout = \"2s\"\nconcurrent_requests = 30\n\
            call_timeout = \"3s\"\nconnections = 9\nqueued_requests = 0\n";
        let table = LimitTable::new(&Config::parse(text, "test", Path::new(".")).unwrap(), 1);
        let of = |tenant| table.of(&TenantId::parse(tenant).unwrap());
        let (acme, globex) = (of("acme"), of("globex"));
        assert_eq!((acme.burst, acme.queued_requests, acme.connections), (7, 0, Some(9)));
        assert_eq!(acme.queue_timeout, Duration::from_secs(2));
        assert_eq!(acme.call_timeout, Some(Duration::from_secs(3)));
        assert_eq!(acme.concurrent_requests, 20, "nobody has more than half of the server");
        assert_eq!((globex.burst, globex.queued_requests, globex.connections), (100, 32, None));
        assert_eq!((globex.concurrent_requests, globex.call_timeout), (20, None));
    }
}
