//! Requests whose answers repeat a word of the sender's: by it one can tell whose request was answered, whatever the
//! target's data, and also where all tenants are shown the same.

use serde_json::{Map, Value, json};

use crate::{
    arguments::{self, Role, role},
    site::Site,
    survey::Kind,
    target::Exchange,
};

/// The most tools that are tried.
const MOST: usize = 6;
/// Where ids begin that no caller comes to by counting.
const OWN_IDS: u32 = 1_000_000;

/// A request that takes a word and repeats it.
#[derive(Debug, Clone)]
pub(super) enum Echo {
    /// A tool that reads, with the arguments without the word, and the word's place.
    Tool { name: String, arguments: Map<String, Value>, place: String },
    /// A request for what is not there, which is refused by name.
    Absent(&'static str, &'static str),
}

impl Echo {
    /// The method and its parameters, with a word.
    pub(super) fn message(&self, word: &str) -> (&'static str, Value) {
        match self {
            Self::Tool { name, arguments, place } => {
                let mut arguments = arguments.clone();
                arguments.insert(place.clone(), json!(word));
                ("tools/call", json!({"name": name, "arguments": arguments}))
            }
            Self::Absent(method, key) => {
                let name = if *key == "uri" { format!("probe://{word}") } else { word.to_owned() };
                (*method, json!({*key: name, "arguments": {}}))
            }
        }
    }

    /// A request of this site that repeats a word to both tenants. Each is asked with an id that nobody else uses: where
    /// answers cross, one to the other tenant's equal id would stand for an answer without the word.
    pub(super) async fn find(site: &Site) -> Option<Self> {
        for echo in candidates(site) {
            let mut repeats = true;
            for party in &site.parties {
                let word = word();
                let (method, params) = echo.message(&word);
                let asked = party.caller.request_as(json!(fastrand::u32(OWN_IDS..)), method, params);
                repeats &= says(&party.caller.send(asked).await, &word);
            }
            if repeats {
                return Some(echo);
            }
        }
        None
    }
}

/// A word that stands nowhere else.
pub(super) fn word() -> String {
    // The process's own generator: a run with the same seed must not find the words of the one before.
    format!("pw{:016x}", fastrand::u64(..))
}

/// Whether an answer has a word in it.
pub(super) fn says(exchange: &Exchange, word: &str) -> bool {
    exchange.reply().is_some_and(|reply| String::from_utf8_lossy(&reply.body).contains(word))
}

fn candidates(site: &Site) -> Vec<Echo> {
    let [one, other] = &site.parties;
    let mut all = vec![
        Echo::Absent("tools/call", "name"),
        Echo::Absent("prompts/get", "name"),
        Echo::Absent("resources/read", "uri"),
    ];
    let tools = one
        .surface
        .tools
        .iter()
        .filter(|tool| tool.kind == Kind::Read && other.surface.tool(&tool.name).is_some());
    for tool in tools {
        let free = arguments::properties(&tool.schema).into_iter().find(|(name, place, _)| {
            arguments::is_kind(place, "string")
                && matches!(role(name), Role::Other | Role::Search | Role::Id)
                && ["enum", "const", "format", "pattern"].iter().all(|key| place.get(key).is_none())
        });
        let Some((name, ..)) = free else { continue };
        let arguments = arguments::object(&tool.schema, &Map::new(), 4);
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        all.push(Echo::Tool { name: tool.name.clone(), arguments, place: name.to_owned() });
        if all.len() >= MOST {
            break;
        }
    }
    all
}
