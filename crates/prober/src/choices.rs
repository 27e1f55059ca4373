//! Further arguments of a tool: each choice of an enum, each switch. A leak may lie behind one of them only.

use serde_json::{Value, json};

use crate::{
    arguments::{Role, is_kind, role},
    places::{self, Place, places},
    survey::Chosen,
};

/// The most choices of one argument that are tried.
const EACH: usize = 6;
/// The most further sets of arguments of one tool.
const MOST: usize = 8;

/// Further sets of arguments.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Choices {
    /// The sets, each with one argument otherwise than the plain one.
    pub(crate) sets: Vec<Value>,
    /// The arguments of which not everything is tried.
    pub(crate) left_out: Vec<String>,
}

/// One argument otherwise at a time. What may change something is left out, and so is what names somebody else.
pub(crate) fn further(schema: &Value, plain: &Value, strange: impl Fn(&str) -> bool) -> Choices {
    let mut choices = Choices::default();
    for place in places(schema) {
        let own = plain.pointer(&place.pointer);
        let (values, mut all) = others(&place, own);
        for value in values {
            let said = value.as_str().unwrap_or_default();
            if acts(place.name).changes(said) || strange(said) || choices.sets.len() >= MOST {
                all = false;
                continue;
            }
            let mut set = plain.clone();
            places::put(&mut set, schema, &place.pointer, value);
            choices.sets.push(set);
        }
        if !all {
            choices.left_out.push(place.pointer.trim_start_matches('/').to_owned());
        }
    }
    choices
}

/// What the values of an argument may do.
fn acts(name: &str) -> Chosen {
    let says = ["action", "operation", "op", "command", "method", "verb", "do"];
    if says.contains(&name.to_ascii_lowercase().as_str()) { Chosen::Act } else { Chosen::Thing }
}

/// What else may stand in a place that has few values, and whether that is all.
fn others(place: &Place<'_>, own: Option<&Value>) -> (Vec<Value>, bool) {
    if matches!(role(place.name), Role::Tenant | Role::Cursor | Role::Limit) {
        return (Vec::new(), true);
    }
    let named = listed(place.schema);
    if !named.is_empty() {
        let fresh: Vec<Value> =
            named.into_iter().filter(|value| Some(value) != own && !value.is_null()).collect();
        // A list takes several at once: each by itself.
        let all = fresh.len() <= EACH;
        let many = is_kind(place.schema, "array");
        let shaped = |value: Value| if many { json!([value]) } else { value };
        return (fresh.into_iter().take(EACH).map(shaped).collect(), all);
    }
    if is_kind(place.schema, "boolean") && !is_kind(place.schema, "string") {
        let usual = own.or(place.schema.get("default")).and_then(Value::as_bool).unwrap_or(false);
        return if Chosen::Switch.changes(place.name) {
            (Vec::new(), false)
        } else {
            (vec![json!(!usual)], true)
        };
    }
    (Vec::new(), true)
}

/// The values that a schema names one by one.
fn listed(schema: &Value) -> Vec<Value> {
    if let Some(all) = schema.get("enum").and_then(Value::as_array) {
        return all.clone();
    }
    if let Some(all) = schema.get("items").and_then(|items| items.get("enum")).and_then(Value::as_array) {
        return all.clone();
    }
    let several = ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    several
        .flat_map(|one| one.get("const").map_or_else(|| listed(one), |value| vec![value.clone()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::sets;

    #[test]
    fn each_choice_and_each_switch_is_tried_by_itself() {
        let schema = json!({"type": "object", "required": ["kind"], "properties": {
            "kind": {"enum": ["none", "summary", "full"]},
            "scope": {"anyOf": [{"const": "mine"}, {"const": "all"}, {"type": "null"}]},
            "include_all": {"type": "boolean"}, "recent": {"type": "boolean", "default": true},
            "mark_as_read": {"type": "boolean"}, "org": {"enum": ["acme", "globex"]},
            "filter": {"type": "object", "properties": {"state": {"enum": ["open", "delete", "globex"]}}}}});
        let plain = &sets(&schema, &[], "get_report")[0];
        let choices = further(&schema, plain, |text| text == "globex");
        let valid = jsonschema::validator_for(&schema).unwrap();
        assert!(choices.sets.iter().all(|set| valid.is_valid(set)), "{choices:?}");
        for set in [
            json!({"kind": "summary"}),
            json!({"kind": "full"}),
            json!({"kind": "none", "scope": "mine"}),
            json!({"kind": "none", "scope": "all"}),
            json!({"kind": "none", "include_all": true}),
            json!({"kind": "none", "recent": false}),
            json!({"kind": "none", "filter": {"state": "open"}}),
        ] {
            assert!(choices.sets.contains(&set), "{set} in {:?}", choices.sets);
        }
        assert_eq!(choices.sets.len(), 7, "{choices:?}");
        assert_eq!(choices.left_out, ["mark_as_read", "filter/state"]);
    }

    #[test]
    fn there_are_few_and_what_is_left_out_is_known() {
        let many: Vec<String> = (0..20).map(|number| format!("kind {number}")).collect();
        let schema = json!({"properties": {"a": {"enum": many}, "b": {"enum": many}}});
        let choices = further(&schema, &json!({}), |_| false);
        assert_eq!((choices.sets.len(), choices.left_out.len()), (MOST, 2));
    }
}
