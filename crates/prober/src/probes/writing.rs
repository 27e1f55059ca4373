//! Writing through the tools that a target offers, with texts that can be recognised.

use serde_json::{Map, Value, json};

use crate::{
    arguments::{self, Role, role},
    probes::attempt,
    site::{Party, Site, What},
    survey::{Kind, Tool},
    tally::Tally,
    target::Exchange,
};

/// Why nothing is written.
pub(super) const NOT_ALLOWED: &str = "it writes; --allow-writes allows it";

/// Names of arguments that name what a tool makes.
const NAMES: [&str; 9] =
    ["name", "path", "file", "filename", "file_name", "file_path", "key", "slug", "handle"];

/// The tools that create something.
pub(super) fn creators(party: &Party) -> impl Iterator<Item = &Tool> {
    party.surface.tools.iter().filter(|tool| {
        tool.kind == Kind::Write
            && !tool.destroys
            && attempt::named(
                tool,
                &["create", "add", "register", "insert", "new", "save", "write", "store", "post"],
            )
            && text_places(tool).next().is_some()
    })
}

/// The places of a tool that take any text.
pub(super) fn text_places(tool: &Tool) -> impl Iterator<Item = &str> {
    arguments::properties(&tool.schema)
        .into_iter()
        .filter(|(name, place, _)| {
            matches!(role(name), Role::Other | Role::Search) && arguments::free_text(place)
        })
        .map(|(name, ..)| name)
}

/// Arguments with a text in every place that takes any, the party's own ids where one is needed.
pub(super) fn filled(tool: &Tool, party: &Party, text: &str, more: &[(&str, Value)]) -> Value {
    let mut given = Map::new();
    for (name, _, required) in arguments::properties(&tool.schema) {
        match role(name) {
            // What is created gets a new name: under an old one it would write over what the tenant has.
            Role::Id if required && NAMES.contains(&name.to_ascii_lowercase().as_str()) => {
                given.insert(name.to_owned(), json!(attempt::fresh("name")));
            }
            Role::Id if required => {
                let own = arguments::fitting(&tool.schema, name, &party.ids, &tool.name);
                given.insert(
                    name.to_owned(),
                    own.into_iter().next().unwrap_or_else(|| json!(attempt::fresh("id"))),
                );
            }
            Role::Tenant if required => {
                given.insert(name.to_owned(), json!(party.tenant));
            }
            _ => {}
        }
    }
    for place in text_places(tool) {
        given.insert(place.to_owned(), json!(text));
    }
    for (name, value) in more {
        given.insert((*name).to_owned(), value.clone());
    }
    arguments::object(&tool.schema, &given, 4)
}

/// Everything that a tenant can read without an id, read now.
pub(super) async fn everything(site: &Site, party: &Party) -> Vec<Exchange> {
    let mut all = Vec::new();
    let readings: Vec<&What> =
        site.readings_of(&party.tenant).map(|(reading, _)| &reading.what).take(16).collect();
    for what in readings {
        all.push(attempt::read(&party.caller, what).await);
    }
    all
}

/// Whether a text of one tenant's stands in anything that the other is shown now.
pub(super) async fn crossed(tally: &mut Tally, site: &Site, reader: &Party, text: &str, how: &str) {
    let all = everything(site, reader).await;
    match all.iter().find(|exchange| attempt::shows(exchange, text)) {
        Some(exchange) => {
            let why = format!("{} is shown {text:?}, which {how}", reader.tenant);
            tally.leak(vec![site.redactor.evidence(exchange, why, text)]);
        }
        None if all.iter().any(|exchange| exchange.success().is_some()) => tally.held(),
        None => tally.doubt(format!("{} can read nothing any more", reader.tenant)),
    }
}
