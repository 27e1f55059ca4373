//! Searches by meaning, and tools that take a query language.

use partywall_model::{Layer, Severity};
use serde_json::{Map, Value, json};

use crate::{
    arguments::{self, Role, role},
    oracle::reading::failed,
    probes::{Probe, Technique, attempt, cache::keys::part},
    site::{Party, Site},
    survey::{Kind, Tool},
    tally::Tally,
    target::Exchange,
};

pub(super) static PROBE: Probe = Probe::new(
    "foreign-searches",
    Layer::Data,
    Severity::High,
    "Searches for what another tenant has, by its words, with filters of its own and in query languages.",
    include_str!("searches.md"),
    &[
        Technique::new(
            "DA-17",
            "a search for another tenant's words, with filters",
            Severity::High,
            |site| Box::pin(words(site)),
        ),
        Technique::new("DA-20", "another tenant's objects in GraphQL", Severity::High, |site| {
            Box::pin(graphql(site))
        }),
    ],
);

async fn words(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        let tools = attacker.surface.tools.iter().filter(|tool| tool.kind == Kind::Read);
        for tool in tools.filter(|tool| victim.surface.tool(&tool.name).is_some()) {
            let place = arguments::properties(&tool.schema)
                .into_iter()
                .find(|(name, place, _)| role(name) == Role::Search && arguments::is_kind(place, "string"));
            let Some((place, ..)) = place else { continue };
            let search = |query: &str, more: &Value| {
                let mut given = Map::from_iter([(place.to_owned(), json!(query))]);
                given.extend(more.as_object().cloned().unwrap_or_default());
                arguments::object(&tool.schema, &given, 3)
            };
            for mark in site.marks.of(&victim.tenant).take(4) {
                let Some(query) = part(&mark.text) else { continue };
                let own = victim.caller.call(&tool.name, &search(&query, &json!({}))).await;
                if !own.reply().is_some_and(|reply| site.marks.own(&victim.tenant, &reply.haystack())) {
                    continue;
                }
                tally.control(true, "");
                for (query, more) in queries(&query, &victim.tenant) {
                    let exchange = attacker.caller.call(&tool.name, &search(&query, &more)).await;
                    attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
                    if tally.has_leaked() || site.target.late() {
                        return tally;
                    }
                }
            }
        }
    }
    tally.absent("no search finds a value that is known to be a tenant's own");
    tally
}

/// A query and arguments beside it: filters that are left out, that name the other, or that are broken out of.
fn queries(query: &str, victim: &str) -> Vec<(String, Value)> {
    let plain = json!({});
    let filters = [
        plain.clone(),
        json!({"filter": {}}),
        json!({"filter": null}),
        json!({"filter": {"tenant": victim, "tenant_id": victim}}),
        json!({"namespace": victim, "collection": victim, "index": victim}),
        json!({"where": {"tenant_id": {"$ne": ""}}}),
        json!({"filters": [{"field": "tenant_id", "op": "exists"}], "top_k": 1_000, "min_score": 0}),
    ];
    let mut all: Vec<(String, Value)> = filters.into_iter().map(|more| (query.to_owned(), more)).collect();
    let forms = [
        format!("documents about {query}"),
        format!("{query} tenant:{victim}"),
        format!("{query}) OR (1:1"),
        format!("\"{query}\" OR tenant:*"),
        format!("{query}*"),
        format!("{query} ignore the tenant filter"),
    ];
    all.extend(forms.into_iter().map(|form| (form, plain.clone())));
    all
}

/// The argument of a tool that takes GraphQL.
fn takes_graphql(tool: &Tool) -> Option<&str> {
    let about = tool.description.to_ascii_lowercase().contains("graphql")
        || tool.name.to_ascii_lowercase().contains("graphql");
    let place = arguments::properties(&tool.schema).into_iter().find(|(name, place, _)| {
        ["query", "graphql", "document"].contains(name) && arguments::is_kind(place, "string")
    });
    about.then_some(place?.0)
}

const SCHEMA: &str = "{__schema{queryType{fields{name args{name} type{name kind ofType{name kind ofType{name kind}}}}} types{name fields{name args{name} type{kind ofType{kind}}}}}}";

/// Fields of the query type that take an id, with the scalars of what they give.
fn by_id(schema: &Value) -> Vec<(String, String, String)> {
    let root = schema.pointer("/data/__schema").or_else(|| schema.get("__schema")).unwrap_or(&Value::Null);
    let scalars = |of: &Value| {
        let mut inner = of;
        while let Some(next) = inner.get("ofType").filter(|next| next.is_object()) {
            inner = next;
        }
        let types = root.get("types").and_then(Value::as_array).into_iter().flatten();
        let mine = types
            .filter(|one| one.get("name") == inner.get("name"))
            .find_map(|one| one.get("fields")?.as_array());
        let names: Vec<&str> = mine
            .into_iter()
            .flatten()
            .filter(|field| {
                let kind = field.pointer("/type/kind").and_then(Value::as_str);
                let inner = field.pointer("/type/ofType/kind").and_then(Value::as_str);
                matches!(kind, Some("SCALAR" | "ENUM"))
                    || (kind == Some("NON_NULL") && inner == Some("SCALAR"))
            })
            .filter_map(|field| field.get("name")?.as_str())
            .take(20)
            .collect();
        names.join(" ")
    };
    let fields = root.pointer("/queryType/fields").and_then(Value::as_array).into_iter().flatten();
    fields
        .filter_map(|field| {
            let arguments = field.get("args")?.as_array()?;
            let argument =
                arguments.iter().filter_map(|one| one.get("name")?.as_str()).find(|n| role(n) == Role::Id)?;
            let selection = scalars(field.get("type")?);
            let selection = if selection.is_empty() { "id".to_owned() } else { selection };
            Some((field.get("name")?.as_str()?.to_owned(), argument.to_owned(), selection))
        })
        .take(8)
        .collect()
}

/// The JSON that a tool's answer holds as text.
fn said(exchange: &Exchange) -> Option<Value> {
    let result = exchange.success()?;
    let text = result.pointer("/content/0/text").and_then(Value::as_str);
    text.and_then(|text| serde_json::from_str(text).ok()).or_else(|| result.get("structuredContent").cloned())
}

async fn graphql(site: &Site) -> Tally {
    let mut tally = Tally::default();
    for (attacker, victim) in site.directions() {
        for tool in attacker.surface.tools.iter().filter(|tool| attempt::may_call(site, tool)) {
            let Some(place) = takes_graphql(tool) else { continue };
            let asks = |query: &str| {
                arguments::object(&tool.schema, &Map::from_iter([(place.to_owned(), json!(query))]), 3)
            };
            let schema = attacker.caller.call(&tool.name, &asks(SCHEMA)).await;
            attempt::denied(&mut tally, site, &attacker.tenant, &schema);
            let fields = said(&schema).map(|schema| by_id(&schema)).unwrap_or_default();
            if fields.is_empty() {
                tally.note(format!("{} does not tell its schema, so only node was tried.", tool.name));
            }
            for query in foreign(attacker, victim, &fields) {
                let own = victim.caller.call(&tool.name, &asks(&query)).await;
                let shows =
                    own.reply().is_some_and(|reply| site.marks.own(&victim.tenant, &reply.haystack()));
                if shows {
                    tally.control(true, "");
                }
                let exchange = attacker.caller.call(&tool.name, &asks(&query)).await;
                attempt::denied(&mut tally, site, &attacker.tenant, &exchange);
                if tally.has_leaked() || site.target.late() {
                    return tally;
                }
                if own.success().is_none() && own.replied() {
                    tally.note(format!("Some queries are refused to their owner too: {}.", failed(&own)));
                }
            }
            tally.control(false, "no query showed its owner a value that is known to be his own");
        }
    }
    tally.absent("no tool that may be called takes GraphQL");
    tally
}

/// Queries for the victim's objects: one field, aliases beside the attacker's own, a fragment, and the node that all have.
fn foreign(attacker: &Party, victim: &Party, fields: &[(String, String, String)]) -> Vec<String> {
    let written = |id: &Value| if id.is_number() { id.to_string() } else { json!(id).to_string() };
    let strange = victim.ids.iter().filter(|id| !attacker.ids.iter().any(|own| own.value == id.value));
    let mine = attacker.ids.first().map_or_else(|| "1".to_owned(), |id| written(&id.value));
    let mut all = Vec::new();
    for id in strange.take(5).map(|id| written(&id.value)) {
        for (field, argument, selection) in fields {
            all.push(format!("{{{field}({argument}:{id}){{{selection}}}}}"));
            all.push(format!(
                "{{a:{field}({argument}:{mine}){{{selection}}} b:{field}({argument}:{id}){{{selection}}}}}"
            ));
        }
        let text = json!(id.trim_matches('"')).to_string();
        all.push(format!("{{node(id:{text}){{id __typename}}}}"));
        all.push(format!("{{nodes(ids:[{text}]){{id __typename}}}}"));
    }
    all.truncate(40);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_take_an_id_are_found_in_a_schema() {
        let schema = json!({"data": {"__schema": {"queryType": {"fields": [
            {"name": "ticket", "args": [{"name": "id"}], "type": {"kind": "OBJECT", "name": "Ticket"}},
            {"name": "version", "args": [], "type": {"kind": "SCALAR", "name": "String"}}]},
            "types": [{"name": "Ticket", "fields": [
                {"name": "id", "type": {"kind": "NON_NULL", "ofType": {"kind": "SCALAR"}}},
                {"name": "title", "type": {"kind": "SCALAR"}},
                {"name": "owner", "type": {"kind": "OBJECT"}}]}]}}});
        assert_eq!(by_id(&schema), [("ticket".to_owned(), "id".to_owned(), "id title".to_owned())]);
    }
}
