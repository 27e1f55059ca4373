//! What a tool's schema may be, whoever wrote it: bounded, complete, without a tenant, and without what the gateway fills in.

use serde_json::{Map, Value, json};

use crate::{config::names_tenant, tools::taken};

/// How deep a schema may be, and how many parts it may have.
const DEEPEST: usize = 32;
const MOST_PARTS: usize = 20_000;

/// Why a tool is not offered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    TooComplex,
    Elsewhere,
    NamesTenant(String),
    Pinned(String),
    NoObject,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooComplex => f.write_str("its schema is too deep or too large"),
            Self::Elsewhere => f.write_str(
                "its schema refers to something that is not in it, which is not fetched, so it is not known what the tool takes",
            ),
            Self::NamesTenant(name) => write!(
                f,
                "its argument `{name}` names a tenant, which a caller must not choose; have the gateway fill it in with \
                 `pin = {{ {name} = \"tenant\" }}` (or \"secret:NAME\", \"text:…\"), or leave the tool out with `tools`"
            ),
            Self::Pinned(name) => write!(
                f,
                "its argument `{name}` is pinned, and its schema has it where it cannot be taken out, so that it is not known \
                 when the tool takes it"
            ),
            Self::NoObject => f.write_str(
                "its `inputSchema` is none of an object with `properties` and `required`, at which clients refuse the whole list",
            ),
        }
    }
}

/// Whether a schema is small enough and refers to nothing outside of it.
pub(super) fn whole(schema: &Map<String, Value>) -> Result<(), Unfit> {
    let mut open: Vec<(usize, &Value)> = schema.values().map(|value| (1, value)).collect();
    let mut parts = 0_usize;
    refers_inside(schema)?;
    while let Some((depth, value)) = open.pop() {
        parts += 1;
        if depth > DEEPEST || parts > MOST_PARTS {
            return Err(Unfit::TooComplex);
        }
        match value {
            Value::Object(map) => {
                refers_inside(map)?;
                open.extend(map.values().map(|value| (depth + 1, value)));
            }
            Value::Array(list) => open.extend(list.iter().map(|value| (depth + 1, value))),
            _ => {}
        }
    }
    Ok(())
}

fn refers_inside(map: &Map<String, Value>) -> Result<(), Unfit> {
    let references =
        ["$ref", "$dynamicRef", "$recursiveRef"].iter().filter_map(|key| map.get(*key)?.as_str());
    let inside = |reference: &str| reference.starts_with('#');
    if references.into_iter().all(inside) { Ok(()) } else { Err(Unfit::Elsewhere) }
}

/// Refuses a schema, at any depth, in which a name names a tenant. It is bounded already.
pub(super) fn names_no_tenant(schema: &Map<String, Value>) -> Result<(), Unfit> {
    let refuse = |name: &str| {
        let cut = name.chars().filter(|char| !char.is_control()).take(64).collect();
        if names_tenant(name) { Err(Unfit::NamesTenant(cut)) } else { Ok(()) }
    };
    let mut open: Vec<&Map<String, Value>> = vec![schema];
    while let Some(map) = open.pop() {
        let named =
            ["properties", "patternProperties", "dependentRequired", "dependentSchemas", "dependencies"];
        for name in named.iter().filter_map(|key| map.get(*key)?.as_object()).flat_map(Map::keys) {
            refuse(name)?;
        }
        for name in map.get("required").and_then(Value::as_array).into_iter().flatten() {
            name.as_str().map_or(Ok(()), refuse)?;
        }
        if let Some(header) = map.get("x-mcp-header").and_then(Value::as_str) {
            refuse(header)?;
        }
        let mut values: Vec<&Value> = map.values().collect();
        while let Some(value) = values.pop() {
            match value {
                Value::Object(map) => open.push(map),
                Value::Array(list) => values.extend(list),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Makes a schema one of an object, as every client wants it; one that is of something else is none.
///
/// Clients refuse a list with one tool that is not so, and all other tools with it.
pub(super) fn of_object(schema: &mut Map<String, Value>, typed: bool) -> Result<(), Unfit> {
    match schema.get("type") {
        None if !typed => drop(schema.insert("type".to_owned(), "object".into())),
        Some(kind) if kind == "object" => {}
        _ => return Err(Unfit::NoObject),
    }
    let texts = |list: &Vec<Value>| list.iter().all(Value::is_string);
    if schema.get("required").is_some_and(|required| !required.as_array().is_some_and(texts)) {
        return Err(Unfit::NoObject);
    }
    let Some(properties) = schema.get_mut("properties") else { return Ok(()) };
    for (_, property) in properties.as_object_mut().ok_or(Unfit::NoObject)? {
        // The same in words that are an object.
        match property {
            Value::Object(_) => {}
            Value::Bool(true) => *property = Value::Object(Map::new()),
            Value::Bool(false) => *property = json!({ "not": {} }),
            _ => return Err(Unfit::NoObject),
        }
    }
    Ok(())
}

/// Takes out what the gateway fills in; those arguments of it that the tool takes.
pub(super) fn pin<'p>(
    schema: &mut Map<String, Value>,
    pins: impl Iterator<Item = &'p String>,
) -> Result<Vec<String>, Unfit> {
    let found: Vec<(&String, bool)> = pins.map(|name| (name, take_out(schema, name))).collect();
    let left = taken(schema).map_err(|_nowhere| Unfit::Elsewhere)?;
    if let Some((name, _)) = found.iter().find(|(name, _)| left.names.contains(*name)) {
        return Err(Unfit::Pinned((*name).clone()));
    }
    // What takes any argument may take this one.
    Ok(found.into_iter().filter(|(_, there)| *there || left.open).map(|(name, _)| name.clone()).collect())
}

/// Takes an argument out of a schema, wherever it speaks of the same object; whether it was there.
fn take_out(schema: &mut Map<String, Value>, argument: &str) -> bool {
    take_out_within(schema, argument, DEEPEST)
}

fn take_out_within(schema: &mut Map<String, Value>, argument: &str, deep: usize) -> bool {
    let mut found = false;
    let without = |list: &mut Vec<Value>| {
        let before = list.len();
        list.retain(|name| name.as_str() != Some(argument));
        list.len() != before
    };
    for key in ["properties", "dependentRequired", "dependentSchemas", "dependencies"] {
        if let Some(Value::Object(map)) = schema.get_mut(key) {
            found |= map.remove(argument).is_some();
            if key.starts_with("depend") {
                map.values_mut().filter_map(Value::as_array_mut).for_each(|list| found |= without(list));
            }
        }
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        found |= without(required);
    }
    let Some(deep) = deep.checked_sub(1) else { return found };
    for key in ["allOf", "anyOf", "oneOf"] {
        for part in schema.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Value::Object(part) = part {
                found |= take_out_within(part, argument, deep);
            }
        }
    }
    for key in ["if", "then", "else", "not"] {
        if let Some(Value::Object(part)) = schema.get_mut(key) {
            found |= take_out_within(part, argument, deep);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn names_of_tenants_are_found_at_every_depth() {
        for hostile in [
            json!({"properties": {"tenant_id": {}}}),
            json!({"properties": {"filter": {"properties": {"organizationId": {}}}}}),
            json!({"properties": {"list": {"items": {"anyOf": [{"properties": {"workspace": {}}}]}}}}),
            json!({"$defs": {"a": {"properties": {"x_tenant": {}}}}, "$ref": "#/$defs/a"}),
            json!({"required": ["account_id"]}),
            json!({"patternProperties": {"^tenant": {}}}),
        ] {
            assert!(
                matches!(names_no_tenant(&map(hostile.clone())), Err(Unfit::NamesTenant(_))),
                "{hostile}"
            );
        }
        let honest = json!({"properties": {"path": {"description": "of the tenant"}, "user_id": {}}});
        assert_eq!(names_no_tenant(&map(honest)), Ok(()));
    }

    #[test]
    fn what_is_elsewhere_or_endless_is_not_taken() {
        for outside in ["https://example.com/schema.json", "other.json#/a", "//host/x"] {
            let schema = map(json!({"properties": {"a": {"$ref": outside}}}));
            assert_eq!(whole(&schema), Err(Unfit::Elsewhere), "{outside}");
        }
        assert_eq!(whole(&map(json!({"$ref": "#/$defs/a", "$defs": {"a": {}}}))), Ok(()));
        let mut deep = json!({});
        for _ in 0..40 {
            deep = json!({ "items": deep });
        }
        assert_eq!(whole(&map(deep)), Err(Unfit::TooComplex));
        let wide: Vec<u32> = (0..30_000).collect();
        assert_eq!(whole(&map(json!({ "enum": wide }))), Err(Unfit::TooComplex));
    }

    #[test]
    fn a_pinned_argument_is_gone_from_every_alternative() {
        let mut schema = map(json!({
            "properties": {"tenant": {}, "path": {}}, "required": ["tenant", "path"],
            "anyOf": [{"required": ["tenant"]}, {"properties": {"tenant": {}}}],
        }));
        assert!(take_out(&mut schema, "tenant"));
        assert!(!Value::Object(schema.clone()).to_string().contains("tenant"));
        assert!(!take_out(&mut schema, "tenant"));
    }

    #[test]
    fn what_cannot_be_taken_out_is_not_pinned_and_what_is_open_is_filled_in() {
        let pinned = |schema: Value| {
            let (mut schema, region) = (map(schema), "region".to_owned());
            let filled = pin(&mut schema, [&region].into_iter());
            filled.map(|filled| (filled.len(), Value::Object(schema)))
        };
        for left in [
            json!({"$ref": "#/$defs/x", "$defs": {"x": {"properties": {"region": {}, "b": {}}}}}),
            json!({"properties": {"b": {}}, "dependentSchemas": {"b": {"properties": {"region": {}}}}}),
            json!({"properties": {"b": {}}, "dependencies": {"b": {"properties": {"region": {}}}}}),
            json!({"$dynamicRef": "#/$defs/x", "$defs": {"x": {"properties": {"region": {}}}}}),
            json!({"additionalProperties": true, "anyOf": [{"$ref": "#/$defs/x"}], "$defs": {"x": {"properties": {"region": {}}}}}),
        ] {
            assert_eq!(pinned(left.clone()), Err(Unfit::Pinned("region".to_owned())), "{left}");
        }
        for open in [
            json!({"additionalProperties": true}),
            json!({"patternProperties": {"^x": {}}}),
            json!({"required": ["region"]}),
        ] {
            assert_eq!(pinned(open.clone()).map(|(count, _)| count), Ok(1), "{open}");
        }
        for closed in [json!({"properties": {"a": {}}}), json!({"additionalProperties": false})] {
            assert_eq!(pinned(closed.clone()), Ok((0, closed)));
        }
        let needed =
            pinned(json!({"properties": {"region": {}, "b": {}}, "dependentRequired": {"b": ["region"]}}));
        assert_eq!(needed, Ok((1, json!({"properties": {"b": {}}, "dependentRequired": {"b": []}}))));
    }

    #[test]
    fn a_schema_is_one_of_an_object() {
        let made = |schema: Value, typed: bool| {
            let mut schema = map(schema);
            of_object(&mut schema, typed).map(|()| Value::Object(schema))
        };
        assert_eq!(made(json!({}), false), Ok(json!({"type": "object"})));
        assert_eq!(made(json!({}), true), Err(Unfit::NoObject));
        for other in [
            json!({"type": "string"}),
            json!({"type": ["object", "null"]}),
            json!({"type": "object", "properties": []}),
            json!({"type": "object", "properties": {"a": 1}}),
            json!({"type": "object", "required": "a"}),
        ] {
            assert_eq!(made(other.clone(), false), Err(Unfit::NoObject), "{other}");
        }
        let plain =
            json!({"type": "object", "properties": {"a": true, "b": false, "c": {}}, "required": ["a"]});
        let words =
            json!({"type": "object", "properties": {"a": {}, "b": {"not": {}}, "c": {}}, "required": ["a"]});
        assert_eq!(made(plain, false), Ok(words));
    }
}
