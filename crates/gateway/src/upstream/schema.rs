//! What a tool's schema may be, whoever wrote it: bounded, complete, without a tenant, and without what the gateway fills in.

use serde_json::{Map, Value};

use crate::config::names_tenant;

/// How deep a schema may be, and how many parts it may have.
const DEEPEST: usize = 32;
const MOST_PARTS: usize = 20_000;

/// Why a tool is not offered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    TooComplex,
    Elsewhere,
    NamesTenant(String),
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

/// Takes an argument out of a schema, wherever it speaks of the same object; whether it was there.
pub(super) fn take_out(schema: &mut Map<String, Value>, argument: &str) -> bool {
    take_out_within(schema, argument, DEEPEST)
}

fn take_out_within(schema: &mut Map<String, Value>, argument: &str, deep: usize) -> bool {
    let mut found = false;
    for key in ["properties", "dependentRequired", "dependentSchemas", "dependencies"] {
        if let Some(Value::Object(map)) = schema.get_mut(key) {
            found |= map.remove(argument).is_some();
        }
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| name.as_str() != Some(argument));
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
    use serde_json::json;

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
}
