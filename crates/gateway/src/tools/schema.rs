//! Which arguments the schema of a native tool knows.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// What a schema says of the arguments.
pub(crate) struct Taken {
    /// The names of the arguments, wherever the schema says that the same object has them: in itself, in its alternatives,
    /// in what it refers to.
    pub(crate) names: BTreeSet<String>,
    /// Whether it lets arguments in that it does not name.
    pub(crate) open: bool,
}

/// The names of the arguments. `None` when the schema is open, that is, lets arguments in that it does not name.
///
/// # Errors
/// It refers to something that is not in it.
pub(super) fn arguments(schema: &Map<String, Value>) -> Result<Option<BTreeSet<String>>, String> {
    taken(schema).map(|taken| (!taken.open).then_some(taken.names))
}

/// What a schema says of the arguments.
///
/// # Errors
/// It refers to something that is not in it.
pub(crate) fn taken(schema: &Map<String, Value>) -> Result<Taken, String> {
    let mut taken = Taken { names: BTreeSet::new(), open: false };
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut open = vec![schema];
    while let Some(part) = open.pop() {
        let has = |key: &str| part.get(key);
        let maps = |key: &str| has(key).and_then(Value::as_object).into_iter();
        let lets_in = ["additionalProperties", "unevaluatedProperties"]
            .iter()
            .any(|key| matches!(has(key), Some(Value::Bool(true) | Value::Object(_))));
        taken.open |= lets_in || maps("patternProperties").any(|some| !some.is_empty());
        taken.names.extend(maps("properties").flat_map(Map::keys).cloned());
        let lists = ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| has(key)?.as_array()).flatten();
        let single = ["if", "then", "else"].iter().filter_map(|key| has(key));
        // Of those of earlier drafts some are lists of names.
        let earlier = maps("dependencies").flat_map(Map::values).filter(|value| !value.is_array());
        let dependent = maps("dependentSchemas").flat_map(Map::values).chain(earlier);
        let mut parts: Vec<&Value> = lists.chain(single).chain(dependent).collect();
        for key in ["$ref", "$dynamicRef", "$recursiveRef"] {
            if let Some(reference) = has(key).and_then(Value::as_str)
                && seen.insert(reference)
            {
                let unknown = || format!("its schema refers to `{reference}`, which is not in it");
                let pointer = reference.strip_prefix('#').ok_or_else(unknown)?;
                match pointer {
                    "" => {}
                    _ => parts.push(at(schema, pointer).ok_or_else(unknown)?),
                }
            }
        }
        for part in parts {
            match part {
                Value::Object(part) => open.push(part),
                Value::Bool(true) => taken.open = true,
                _ => {}
            }
        }
    }
    Ok(taken)
}

/// What a JSON pointer (RFC 6901) leads to.
fn at<'s>(schema: &'s Map<String, Value>, pointer: &str) -> Option<&'s Value> {
    let mut steps =
        pointer.strip_prefix('/')?.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
    let first = schema.get(&steps.next()?)?;
    steps.try_fold(first, |value, step| match value {
        Value::Object(map) => map.get(&step),
        Value::Array(list) => list.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::{
        Cx, Reply, Tool, ToolError, ToolMeta,
        admit::Permit,
        config::Config,
        cx::Scope,
        gateway::Gateway,
        tools::{NativeTool, ToolSet},
        turn::Turn,
    };

    fn known(schema: Value) -> Option<Vec<String>> {
        let names = arguments(schema.as_object().expect("an object")).expect("a good schema");
        names.map(|names| names.into_iter().collect())
    }

    #[test]
    fn names_are_found_wherever_the_same_object_has_them() {
        let of = |names: &[&str]| -> Option<Vec<String>> {
            Some(names.iter().map(|name| (*name).to_owned()).collect())
        };
        assert_eq!(known(json!({ "type": "object" })), of(&[]));
        assert_eq!(known(json!({ "properties": { "a": { "properties": { "deep": {} } } } })), of(&["a"]));
        assert_eq!(
            known(json!({
                "properties": { "a": {} },
                "oneOf": [{ "properties": { "b": {} } }, { "$ref": "#/$defs/c~1d" }, { "type": "string" }],
                "allOf": [{ "if": { "properties": { "a": {} } }, "then": { "properties": { "e": {} } } }],
                "dependentSchemas": { "a": { "anyOf": [{ "properties": { "f": {} } }] } },
                "$defs": { "c/d": { "properties": { "c": {} }, "allOf": [{ "$ref": "#" }] }, "x": { "properties": { "x": {} } } },
            })),
            of(&["a", "b", "c", "e", "f"])
        );
        for lets_in in [
            json!({ "additionalProperties": true }),
            json!({ "additionalProperties": { "type": "string" } }),
            json!({ "properties": {}, "patternProperties": { "^x-": {} } }),
            json!({ "oneOf": [{ "properties": { "a": {} } }, { "additionalProperties": true }] }),
            json!({ "anyOf": [true] }),
            json!({ "dependencies": { "a": { "additionalProperties": true } } }),
        ] {
            assert_eq!(known(lets_in.clone()), None, "{lets_in}");
        }
        assert_eq!(known(json!({ "additionalProperties": false, "properties": { "a": {} } })), of(&["a"]));
        assert_eq!(
            known(json!({
                "properties": { "a": {} },
                "dependencies": { "a": { "properties": { "b": {} } }, "b": ["c"] },
                "$dynamicRef": "#/$defs/d",
                "$defs": { "d": { "properties": { "d": {} } } },
            })),
            of(&["a", "b", "d"])
        );
        for nowhere in ["#/$defs/none", "https://schemas.example/args.json"] {
            let schema = json!({ "$ref": nowhere });
            let error = arguments(schema.as_object().expect("an object")).expect_err("leads nowhere");
            assert!(error.contains(nowhere), "{error}");
        }
    }

    #[derive(Deserialize, JsonSchema)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    enum Shape {
        Circle { radius: i64 },
        Square { side: i64 },
    }

    struct Draw;

    impl Tool for Draw {
        type Args = Shape;

        fn meta(&self) -> ToolMeta {
            ToolMeta::new("draw", "Draws.")
        }

        async fn call<'t>(&'t self, cx: Cx<'t>, args: Shape) -> Result<Reply<'t>, ToolError> {
            let (Shape::Circle { radius: size } | Shape::Square { side: size }) = args;
            Ok(cx.text(format!("size {size}")))
        }
    }

    struct Any;

    impl Tool for Any {
        type Args = Map<String, Value>;

        fn meta(&self) -> ToolMeta {
            let schema = json!({ "type": "object" }).as_object().cloned().unwrap_or_default();
            ToolMeta::new("any", "Takes nothing.").schema(schema)
        }

        async fn call<'t>(&'t self, cx: Cx<'t>, args: Self::Args) -> Result<Reply<'t>, ToolError> {
            Ok(cx.text(format!("{} arguments", args.len())))
        }
    }

    #[tokio::test]
    async fn an_enum_is_called_with_its_variants_and_a_closed_schema_with_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = Config::parse("[identity]\ndevelopment = true\n", "test", folder.path())
            .expect("a configuration");
        let gateway = Gateway::builder(config).tool(Draw).tool(Any).open().expect("a gateway");
        let call = async |tool: &str, args: Value| {
            let permit = Permit::for_test("acme", 1);
            let services = gateway.live.services();
            let entry = services.tools.find(tool, permit.tenant()).expect("the tool");
            let deadline = permit.since() + std::time::Duration::from_secs(10);
            let scope = Scope { deadline, room: 1 << 20, turn: Turn::default(), permit };
            let args = args.as_object().cloned().expect("an object");
            match entry.call(Cx::new(&scope), args).await {
                Ok(_reply) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        };
        assert_eq!(call("draw", json!({ "kind": "circle", "radius": 2 })).await, Ok(()));
        assert_eq!(call("draw", json!({ "kind": "square", "side": 2 })).await, Ok(()));
        let said = call("draw", json!({ "kind": "square", "side": 2, "colour": "red" })).await;
        assert!(said.is_err_and(|said| said.contains("`colour`") && said.contains("kind, radius, side")));
        assert_eq!(call("any", json!({})).await, Ok(()));
        assert!(call("any", json!({ "x": 1 })).await.is_err());
        let mut lost = NativeTool::new(Any);
        lost.schema = json!({ "$ref": "#/$defs/x" }).as_object().cloned().expect("an object");
        let sources = &gateway.live.services().sources;
        let refused =
            ToolSet::new(&gateway.config(), sources, &[lost], &crate::upstream::UpstreamSet::default(), 0)
                .map(drop);
        assert!(refused.is_err_and(|error| error.to_string().contains("#/$defs/x")));
    }
}
