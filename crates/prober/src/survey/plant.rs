//! Writing values that can be recognised, through the tools that the target offers.

use serde_json::{Map, json};

use crate::{
    arguments::{self, Role, role},
    canary::Marks,
    site::Party,
    survey::Kind,
};

/// The most tools that are written through.
const MOST: usize = 12;

/// Writes through each tool that writes and takes nothing away; how many values were accepted.
pub(super) async fn plant(party: &Party, marks: &mut Marks) -> usize {
    let mut wrote = 0;
    let tools = party.surface.tools.iter().filter(|tool| tool.kind == Kind::Write && !tool.destroys);
    for tool in tools.take(MOST) {
        let mut given = Map::new();
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
                _ => {}
            }
        }
        let arguments = arguments::object(&tool.schema, &given, 4);
        if party.caller.call(&tool.name, &arguments).await.success().is_some() {
            wrote += 1;
        }
    }
    wrote
}
