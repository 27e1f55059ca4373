//! Where in a tool's arguments something may stand: also inside of objects and of lists of objects, by JSON pointers.

use serde_json::{Map, Value};

use crate::arguments::{self, properties};

/// How many objects lie around the deepest place.
const DEPTH: usize = 4;
/// The most places of one tool.
const MOST: usize = 48;

/// A place in a tool's arguments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place<'a> {
    /// Its JSON pointer, into the first item of each list on the way.
    pub(crate) pointer: String,
    /// Its last name.
    pub(crate) name: &'a str,
    /// What may stand there.
    pub(crate) schema: &'a Value,
    /// Whether something must stand there, and in everything around it.
    pub(crate) required: bool,
}

/// The places of a schema that describes an object, those of the outermost first.
pub(crate) fn places(schema: &Value) -> Vec<Place<'_>> {
    let mut all = Vec::new();
    let mut open = vec![(schema, String::new(), true)];
    for _ in 0..=DEPTH {
        let mut inner = Vec::new();
        for (schema, pointer, required) in open {
            for (name, place, must) in properties(shape(schema)) {
                if all.len() >= MOST {
                    return all;
                }
                let (pointer, required) = (format!("{pointer}/{}", escaped(name)), required && must);
                let inside = shape(place);
                match inside.get("items").map(shape) {
                    Some(items) if items.get("properties").is_some() => {
                        inner.push((items, format!("{pointer}/0"), required));
                    }
                    _ => inner.push((inside, pointer.clone(), required)),
                }
                all.push(Place { pointer, name, schema: place, required });
            }
        }
        open = inner;
    }
    all
}

/// The schema that says what is inside: itself, or the first of several that does.
fn shape(schema: &Value) -> &Value {
    let inside = |schema: &&Value| schema.get("properties").is_some() || schema.get("items").is_some();
    if inside(&schema) {
        return schema;
    }
    let several = ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| schema.get(key)?.as_array());
    several.flatten().find(inside).unwrap_or(schema)
}

fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// An object that a schema allows, with values at some places; what must stand beside them is there too.
pub(crate) fn filled(schema: &Value, given: &[(String, Value)]) -> Value {
    let mut whole = arguments::object(schema, &Map::new(), DEPTH);
    for (pointer, value) in given {
        put(&mut whole, schema, pointer, value.clone());
    }
    whole
}

/// Puts a value at a place, and what must be around it.
pub(crate) fn put(whole: &mut Value, schema: &Value, pointer: &str, value: Value) {
    let (mut at, mut schema) = (whole, shape(schema));
    for step in pointer.split('/').skip(1) {
        let name = step.replace("~1", "/").replace("~0", "~");
        if let Some(items) = schema.get("items").filter(|_| schema.get("properties").is_none()) {
            let fresh = || arguments::object(shape(items), &Map::new(), DEPTH);
            if !at.is_array() {
                *at = Value::Array(Vec::new());
            }
            let Some(list) = at.as_array_mut() else { return };
            if list.is_empty() {
                list.push(fresh());
            }
            let Some(first) = list.first_mut() else { return };
            (at, schema) = (first, shape(items));
            continue;
        }
        if !at.is_object() {
            *at = arguments::object(schema, &Map::new(), DEPTH);
        }
        let Some(fields) = at.as_object_mut() else { return };
        at = fields.entry(name.clone()).or_insert(Value::Null);
        schema = schema.get("properties").and_then(|all| all.get(&name)).map_or(&Value::Null, shape);
    }
    *at = value;
}

/// The values in some arguments, with their places and names; what stands in a list of plain values stands at the list's place.
pub(crate) fn values(arguments: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    walk(arguments, &mut String::new(), DEPTH, &mut all);
    all
}

fn walk(value: &Value, pointer: &mut String, depth: usize, all: &mut Vec<(String, String, Value)>) {
    let (length, Some(fields)) = (pointer.len(), value.as_object()) else { return };
    for (name, value) in fields {
        if all.len() >= MOST {
            return;
        }
        pointer.push('/');
        pointer.push_str(&escaped(name));
        all.push((pointer.clone(), name.clone(), value.clone()));
        let first = value.as_array().and_then(|list| list.first());
        if let (Some(first), true) = (first, depth > 0) {
            pointer.push_str("/0");
            walk(first, pointer, depth - 1, all);
        } else if depth > 0 {
            walk(value, pointer, depth - 1, all);
        }
        pointer.truncate(length);
    }
}

/// The arguments with something else at a place, or nothing.
pub(crate) fn replaced(arguments: &Value, pointer: &str, value: Option<Value>) -> Value {
    let mut changed = arguments.clone();
    let Some((parent, name)) = pointer.rsplit_once('/') else { return changed };
    let name = name.replace("~1", "/").replace("~0", "~");
    if let Some(fields) = changed.pointer_mut(parent).and_then(Value::as_object_mut) {
        fields.remove(&name);
        fields.extend(value.map(|value| (name, value)));
    }
    changed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({"type": "object", "required": ["filter", "mode"], "properties": {
            "mode": {"enum": ["full", "short"]},
            "filter": {"type": "object", "required": ["ticket_id", "of"], "properties": {
                "ticket_id": {"type": "integer"}, "of": {"type": "string"}}},
            "items": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "object", "required": ["kind"],
                "properties": {"a/b": {"type": "string"}, "kind": {"type": "boolean"}}}}]},
            "ids": {"type": "array", "items": {"type": "integer"}}}})
    }

    #[test]
    fn what_lies_in_objects_and_in_lists_of_objects_is_a_place() {
        let schema = schema();
        let places = places(&schema);
        let found: Vec<(&str, bool)> =
            places.iter().map(|place| (place.pointer.as_str(), place.required)).collect();
        for place in [
            ("/filter", true),
            ("/filter/ticket_id", true),
            ("/mode", true),
            ("/ids", false),
            ("/items", false),
            ("/items/0/a~1b", false),
            ("/items/0/kind", false),
        ] {
            assert!(found.contains(&place), "{place:?} in {found:?}");
        }
        assert_eq!(found.len(), 8, "{found:?}");
    }

    #[test]
    fn a_value_is_put_where_it_belongs_and_the_rest_is_what_the_schema_asks_for() {
        let schema = schema();
        let valid = jsonschema::validator_for(&schema).unwrap();
        for (place, value, set) in [
            (
                "/filter/ticket_id",
                json!(7),
                json!({"filter": {"ticket_id": 7, "of": "probe"}, "mode": "full"}),
            ),
            (
                "/items/0/a~1b",
                json!("x"),
                json!({"filter": {"ticket_id": 1, "of": "probe"}, "mode": "full",
                "items": [{"a/b": "x", "kind": false}]}),
            ),
            (
                "/ids",
                json!([3]),
                json!({"filter": {"ticket_id": 1, "of": "probe"}, "mode": "full", "ids": [3]}),
            ),
        ] {
            let filled = filled(&schema, &[(place.to_owned(), value.clone())]);
            assert_eq!(filled, set);
            assert!(valid.is_valid(&filled), "{filled}");
            assert_eq!(filled.pointer(place), Some(&value));
            assert!(values(&filled).iter().any(|(pointer, _, known)| pointer == place && *known == value));
            assert_eq!(replaced(&filled, place, None).pointer(place), None);
            assert_eq!(replaced(&filled, place, Some(json!(9))).pointer(place), Some(&json!(9)));
        }
    }

    #[test]
    fn a_schema_without_an_end_has_an_end() {
        let circle =
            json!({"type": "object", "properties": {"node": {"$ref": "#"}, "id": {"type": "string"}}});
        assert!(places(&arguments::resolved(&circle)).len() <= MOST);
    }
}
