//! Counters for the operator, on the admin listener only.
//!
//! The tenant label is bounded: beyond [`Metrics::LABELS`] tenants the rest is counted together.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use partywall_model::{Layer, TenantId};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Error,
    Denied(Layer),
}

#[derive(Default)]
struct Counts {
    ok: AtomicU64,
    error: AtomicU64,
    denied: [AtomicU64; Layer::ALL.len()],
}

impl Counts {
    fn add(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Ok => Some(&self.ok),
            Outcome::Error => Some(&self.error),
            Outcome::Denied(layer) => self.denied.get(layer as usize),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Relaxed);
        }
    }
}

/// The counters of the process.
#[derive(Default)]
pub(crate) struct Metrics {
    tenants: RwLock<HashMap<TenantId, Arc<Counts>>>,
    others: Counts,
}

impl Metrics {
    /// The most tenants that have a label of their own.
    const LABELS: usize = 200;

    /// Counts one request; `None` for one that belongs to no tenant.
    pub(crate) fn count(&self, tenant: Option<&TenantId>, outcome: Outcome) {
        match tenant.and_then(|tenant| self.of(tenant)) {
            Some(counts) => counts.add(outcome),
            None => self.others.add(outcome),
        }
    }

    fn of(&self, tenant: &TenantId) -> Option<Arc<Counts>> {
        if let Some(counts) = self.tenants.read().unwrap_or_else(PoisonError::into_inner).get(tenant) {
            return Some(Arc::clone(counts));
        }
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() >= Self::LABELS && !tenants.contains_key(tenant) {
            return None;
        }
        Some(Arc::clone(tenants.entry(tenant.clone()).or_default()))
    }

    /// The counters in the Prometheus text format.
    pub(crate) fn render(&self) -> String {
        let mut text = String::from(
            "# HELP partywall_requests_total Requests by tenant and outcome.\n# TYPE partywall_requests_total counter\n",
        );
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let mut rows: Vec<(&str, &Counts)> =
            tenants.iter().map(|(tenant, counts)| (tenant.as_str(), counts.as_ref())).collect();
        rows.sort_unstable_by_key(|(tenant, _)| *tenant);
        // A tenant id starts with a letter, a digit or an underscore, so no tenant is called this.
        rows.push(("-", &self.others));
        for (tenant, counts) in rows {
            let plain = [("ok", &counts.ok), ("error", &counts.error)];
            for (outcome, counter) in plain {
                line(&mut text, tenant, outcome, "", counter);
            }
            for (layer, counter) in Layer::ALL.iter().zip(&counts.denied) {
                line(&mut text, tenant, "denied", layer.name(), counter);
            }
        }
        text
    }
}

fn line(text: &mut String, tenant: &str, outcome: &str, layer: &str, counter: &AtomicU64) {
    let count = counter.load(Relaxed);
    if count > 0 {
        // Writing to a String does not fail.
        let _written = writeln!(
            text,
            "partywall_requests_total{{tenant=\"{tenant}\",outcome=\"{outcome}\",layer=\"{layer}\"}} {count}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_label_is_bounded() {
        let metrics = Metrics::default();
        for n in 0..500 {
            metrics.count(Some(&TenantId::parse(&format!("t{n}")).unwrap()), Outcome::Ok);
        }
        metrics.count(None, Outcome::Denied(Layer::Identity));
        let text = metrics.render();
        assert_eq!(text.matches("outcome=\"ok\"").count(), Metrics::LABELS + 1);
        assert!(text.contains("tenant=\"-\",outcome=\"ok\",layer=\"\"} 300"), "{text}");
        assert!(text.contains("outcome=\"denied\",layer=\"identity\"} 1"));
    }
}
