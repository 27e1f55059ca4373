//! The guards that are taken out, and what must see each of them go.

use std::collections::BTreeMap;

use partywall_model::{Layer, Outcome};

use super::stage::On;

/// A guard, and the techniques that must see it go.
pub(super) struct Removal {
    pub(super) guard: &'static str,
    pub(super) layer: Layer,
    pub(super) instead: &'static str,
    pub(super) found_by: &'static [&'static str],
    pub(super) on: On,
}

const fn removal(
    layer: Layer,
    guard: &'static str,
    instead: &'static str,
    found_by: &'static [&'static str],
    on: On,
) -> Removal {
    Removal { guard, layer, instead, found_by, on }
}

pub(super) const REMOVALS: [Removal; 23] = [
    removal(Layer::Identity, "verified-token", "signatures are not compared", &["ID-02"], On::Files),
    removal(Layer::Identity, "active-tenant", "a suspended tenant is served on", &["LC-01"], On::Files),
    removal(
        Layer::Identity,
        "own-life",
        "a token of a tenant that was removed is one of the next of its name",
        &["LC-03"],
        On::Anew,
    ),
    removal(
        Layer::Identity,
        "no-tenant-argument",
        "a tool is loaded whose argument names the tenant",
        &["ID-17"],
        On::Argument,
    ),
    removal(Layer::Context, "permit", "a request without a token is a tenant's", &["ID-01"], On::Files),
    removal(
        Layer::Context,
        "no-fallback",
        "code outside a request is the last caller's",
        &["ST-01"],
        On::Files,
    ),
    removal(Layer::State, "resident", "tools keep their memory in one place for all", &["ST-01"], On::Files),
    removal(
        Layer::State,
        "process-per-tenant",
        "one process of an existing MCP server serves all tenants",
        &["DA-06"],
        On::Processes,
    ),
    removal(Layer::Data, "file-per-tenant", "all tenants' statements run on one file", &["DA-06"], On::Files),
    removal(
        Layer::Data,
        "tenant-in-transaction",
        "the first caller's tenant is set for all transactions",
        &["DA-06"],
        On::Policies,
    ),
    removal(Layer::Data, "own-role", "the first caller's role serves everybody", &["DA-06"], On::Roles),
    removal(Layer::Cache, "cache-per-tenant", "all tenants' replies are in one cache", &["CA-01"], On::Files),
    removal(Layer::Cache, "owner-check", "replies are not compared with their owner", &["DA-01"], On::Files),
    removal(
        Layer::Cache,
        "sealed-replies",
        "shared replies are sealed to tool and arguments only",
        &["CA-01"],
        On::Redis,
    ),
    removal(
        Layer::Credentials,
        "sealed-vault",
        "the first tenant's secret serves everybody",
        &["CR-01"],
        On::Files,
    ),
    removal(
        Layer::Credentials,
        "client-per-tenant",
        "all tenants' calls go over the same connections",
        &["CR-01"],
        On::Files,
    ),
    removal(
        Layer::Routing,
        "own-exchange",
        "an answer goes to whoever used the same id last",
        &["RT-01"],
        On::Files,
    ),
    removal(Layer::Routing, "sealed-handles", "states are sealed, and to nobody", &["MR-01"], On::Files),
    removal(Layer::Routing, "doors", "any origin is served", &["XP-08"], On::Files),
    removal(Layer::Capacity, "limits-per-tenant", "one rate is counted for all", &["QU-01"], On::Files),
    removal(Layer::Capacity, "fair-share", "whoever comes first has all places", &["QU-06"], On::FewPlaces),
    removal(
        Layer::Disclosure,
        "one-refusal",
        "what is somebody else's is refused as such",
        &["DA-11"],
        On::Files,
    ),
    removal(Layer::Disclosure, "own-log", "all tenants' lines are in one log", &["DA-06"], On::Log),
];

/// Techniques that every gateway without one guard is attacked with besides: one of them must still hold.
const ALWAYS: [&str; 3] = ["ID-02", "XP-08", "DA-06"];

impl Removal {
    /// The techniques that are tried without the guard.
    pub(super) fn tried(&self) -> Vec<String> {
        tried(self.found_by)
    }
}

/// The techniques, and those that are tried always.
pub(super) fn tried(found_by: &[&str]) -> Vec<String> {
    let more = ALWAYS.iter().filter(|id| !found_by.contains(id));
    found_by.iter().chain(more).map(|id| (*id).to_owned()).collect()
}

/// The table in Markdown. Only what must be is in it: a race that another removal happens to show as well is not.
pub(super) fn table(found: &[BTreeMap<String, Outcome>]) -> String {
    let mut text = String::from(
        "# The closed loop\n\n\
         Made by `cargo test -p partywall-gateway --lib closed_loop`, which keeps it fresh.\n\n\
         The prober attacks the gateway and finds nothing. Then each guard is taken out in turn, in a build for tests only,\n\
         and the technique beside it says *leaked*. So each guard is shown to be needed, and each technique to be awake.\n\n\
         | layer | guard | what is done instead | found by |\n|---|---|---|---|\n",
    );
    for (removal, found) in REMOVALS.iter().zip(found) {
        let by: Vec<&str> =
            removal.found_by.iter().copied().filter(|id| found.get(*id) == Some(&Outcome::Leaked)).collect();
        text.push_str(&format!(
            "| {} | `{}` | {} | {} |\n",
            removal.layer,
            removal.guard,
            removal.instead,
            by.join(", ")
        ));
    }
    text.push_str(
        "\nNot in the table, and why: `branded-context` refuses a program before it runs (`tests/compile_fail`); `seats` and\n\
         `paced-refusals` are about connections and strangers in numbers that a prober with manners does not send, and\n\
         `shared-rate` about several processes, of which a prober sees one. They have tests of their own that fail without them.\n",
    );
    text
}
