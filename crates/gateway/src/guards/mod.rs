//! The column: one guard for each layer.

pub mod cache;
pub mod capacity;
pub mod credentials;
pub mod data;
pub mod disclosure;
pub mod identity;
pub mod routing;
pub mod state;

use partywall_model::{Check, Coverage, Layer};

const fn guard(layer: Layer, id: &'static str, summary: &'static str) -> Check {
    Check { id, layer, summary }
}

const IDENTITY: &[Check] = &[
    guard(
        Layer::Identity,
        "verified-token",
        "Signature, issuer, audience, times and one tenant claim of a bearer token.",
    ),
    guard(
        Layer::Identity,
        "active-tenant",
        "The tenant exists and is not suspended, asked at every request.",
    ),
    guard(
        Layer::Identity,
        "no-tenant-argument",
        "An argument that names a tenant is refused when a tool is loaded.",
    ),
];

const CONTEXT: &[Check] = &[
    guard(Layer::Context, "permit", "What lies behind the guards takes a permit, which one function mints."),
    guard(Layer::Context, "no-fallback", "Code outside a request has no tenant and gets an error."),
];

const STATE: &[Check] = &[
    guard(
        Layer::State,
        "branded-context",
        "Values of one call cannot leave it or enter another: they do not compile.",
    ),
    guard(Layer::State, "resident", "Memory is kept per tenant and life of the tenant, and nowhere else."),
    guard(
        Layer::State,
        "process-per-tenant",
        "An existing MCP server runs once for each tenant, and is spoken to once for each principal.",
    ),
];

const DATA: &[Check] = &[
    guard(
        Layer::Data,
        "file-per-tenant",
        "A statement runs on the tenant's own SQLite file and cannot open another.",
    ),
    guard(
        Layer::Data,
        "tenant-in-transaction",
        "PostgreSQL's policies read the tenant that the gateway has set for the call's transaction.",
    ),
    guard(Layer::Data, "own-role", "With schemas and databases a role of the tenant's own logs in."),
];

const CACHE: &[Check] = &[
    guard(
        Layer::Cache,
        "cache-per-tenant",
        "Each tenant has a cache of its own; the key is made by the framework.",
    ),
    guard(Layer::Cache, "owner-check", "A reply's owner is checked before it is cached or returned."),
    guard(
        Layer::Cache,
        "sealed-replies",
        "Replies that processes share are sealed to tenant, life, tool, caller and arguments.",
    ),
];

const CREDENTIALS: &[Check] = &[
    guard(
        Layer::Credentials,
        "sealed-vault",
        "A secret is sealed to its tenant and name, and read for one call.",
    ),
    guard(
        Layer::Credentials,
        "client-per-tenant",
        "HTTP connections are pooled per tenant; redirects carry nothing.",
    ),
];

const ROUTING: &[Check] = &[
    guard(
        Layer::Routing,
        "own-exchange",
        "A reply travels on the exchange of its request; there are no sessions.",
    ),
    guard(Layer::Routing, "sealed-handles", "Cursors and request state open for their principal only."),
    guard(Layer::Routing, "doors", "Foreign hosts and origins are refused."),
];

const CAPACITY: &[Check] = &[
    guard(
        Layer::Capacity,
        "limits-per-tenant",
        "Rate, calls in flight, queue, reply size, time and cache size of each tenant.",
    ),
    guard(
        Layer::Capacity,
        "shared-rate",
        "With shared limits a tenant's rate is that of all processes; without an answer each applies its part.",
    ),
    guard(
        Layer::Capacity,
        "fair-share",
        "When the server is full, tenants take turns; none has more than half of its calls in flight.",
    ),
    guard(
        Layer::Capacity,
        "seats",
        "Connections without a good token make room for others; each tenant has a share.",
    ),
    guard(
        Layer::Capacity,
        "paced-refusals",
        "Who goes on over a limit is answered later, and logged about once a second.",
    ),
];

const DISCLOSURE: &[Check] = &[
    guard(Layer::Disclosure, "one-refusal", "Not yours and not there are one reply, made in one place."),
    guard(Layer::Disclosure, "own-log", "Each tenant's requests are logged in a file of its own."),
];

/// What the gateway has for a layer. A new layer does not compile until it is answered here.
#[must_use]
pub const fn coverage(layer: Layer) -> Coverage {
    match layer {
        Layer::Identity => Coverage::Checks(IDENTITY),
        Layer::Context => Coverage::Checks(CONTEXT),
        Layer::State => Coverage::Checks(STATE),
        Layer::Data => Coverage::Checks(DATA),
        Layer::Cache => Coverage::Checks(CACHE),
        Layer::Credentials => Coverage::Checks(CREDENTIALS),
        Layer::Routing => Coverage::Checks(ROUTING),
        Layer::Capacity => Coverage::Checks(CAPACITY),
        Layer::Disclosure => Coverage::Checks(DISCLOSURE),
    }
}
