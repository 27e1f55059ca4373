//! Writing texts and numbers that can be recognised, through the tools that the target offers.

use serde_json::{Map, Value, json};

use crate::{
    arguments::{self, Role, is_kind, role},
    canary::Marks,
    site::Party,
    survey::{Kind, Tool},
};

/// The most tools that are written through.
const MOST: usize = 12;

/// Writes through each tool that writes and takes nothing away; how many values were accepted.
pub(super) async fn plant(party: &Party, marks: &mut Marks) -> usize {
    let mut wrote = 0;
    let tools = party.surface.tools.iter().filter(|tool| tool.kind == Kind::Write && !tool.destroys);
    for tool in tools.take(MOST) {
        let (mut given, mut numbers) = (Map::new(), Map::new());
        for (name, place, required) in arguments::properties(&tool.schema) {
            match role(name) {
                Role::Id if required => {
                    let fitting = arguments::fitting(&tool.schema, name, &party.ids, &tool.name);
                    let value =
                        fitting.into_iter().next().unwrap_or_else(|| json!(marks.plant(&party.tenant, name)));
                    given.insert(name.to_owned(), value);
                }
                Role::Tenant if required => {
                    given.insert(name.to_owned(), json!(party.tenant));
                }
                Role::Other | Role::Search if arguments::free_text(place) => {
                    let text = marks.plant(&party.tenant, &format!("{}{name}", tool.name));
                    given.insert(name.to_owned(), json!(text));
                }
                Role::Other if free_number(place) => {
                    numbers.insert(name.to_owned(), json!(marks.plant_number(&party.tenant)));
                }
                _ => {}
            }
        }
        let mut with = given.clone();
        with.extend(numbers.clone());
        let mut accepted = write(party, tool, &with).await;
        // So large a number may be what is refused.
        if !accepted && !numbers.is_empty() {
            accepted = write(party, tool, &given).await;
        }
        wrote += usize::from(accepted);
    }
    wrote
}

async fn write(party: &Party, tool: &Tool, given: &Map<String, Value>) -> bool {
    let arguments = arguments::object(&tool.schema, given, 4);
    party.caller.call(&tool.name, &arguments).await.success().is_some()
}

/// Whether any number of twelve digits may stand in a place. What answers sum up drops texts and keeps numbers.
fn free_number(place: &Value) -> bool {
    let limits = ["enum", "const", "multipleOf", "minimum", "exclusiveMinimum"];
    let most = ["maximum", "exclusiveMaximum"].iter().filter_map(|key| place.get(key));
    (is_kind(place, "integer") || is_kind(place, "number"))
        && !is_kind(place, "string")
        && limits.iter().all(|key| place.get(key).and_then(Value::as_f64).is_none_or(|least| least <= 1.0))
        && place.get("enum").is_none()
        && most.filter_map(Value::as_f64).all(|most| most >= 1e12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_go_where_they_may_stand() {
        for free in [json!({"type": "number"}), json!({"type": "integer", "minimum": 0})] {
            assert!(free_number(&free), "{free}");
        }
        for bound in [
            json!({"type": "integer", "maximum": 100}),
            json!({"type": "integer", "enum": [1, 2]}),
            json!({"type": "integer", "multipleOf": 5}),
            json!({"type": "string"}),
        ] {
            assert!(!free_number(&bound), "{bound}");
        }
    }
}
