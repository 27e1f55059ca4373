//! The arguments of a declared tool: their JSON Schema, and the check of a call's arguments against it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::ToolError;
use crate::config::{ArgSpec, ArgType};

/// The arguments of one declared tool.
pub(crate) struct ArgTable(BTreeMap<String, ArgSpec>);

impl ArgTable {
    const MAX_LENGTH: usize = 10_000;

    pub(crate) fn new(specs: &BTreeMap<String, ArgSpec>) -> Self {
        Self(specs.clone())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The JSON Schema (2020-12) of the arguments.
    pub(crate) fn schema(&self) -> Map<String, Value> {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (name, spec) in &self.0 {
            properties.insert(name.clone(), Value::Object(property(spec)));
            if !spec.optional && spec.default.is_none() {
                required.push(Value::from(name.as_str()));
            }
        }
        let mut schema = Map::new();
        schema.insert("type".into(), "object".into());
        schema.insert("properties".into(), Value::Object(properties));
        if !required.is_empty() {
            schema.insert("required".into(), Value::Array(required));
        }
        schema.insert("additionalProperties".into(), false.into());
        schema
    }

    /// Checks a call's arguments; what is left out gets its default or is null. The result is in the order of the
    /// names and has every name, so that equal calls are equal as text.
    pub(crate) fn check(&self, mut given: Map<String, Value>) -> Result<Map<String, Value>, ToolError> {
        let mut checked = Map::new();
        for (name, spec) in &self.0 {
            let value = match given.remove(name) {
                None | Some(Value::Null) => match &spec.default {
                    Some(default) => default.clone(),
                    None if spec.optional => Value::Null,
                    None => return Err(invalid(name, "is required")),
                },
                Some(value) => {
                    check_one(spec, &value).map_err(|what| invalid(name, &what))?;
                    canonical(spec, value)
                }
            };
            checked.insert(name.clone(), value);
        }
        match given.keys().next() {
            None => Ok(checked),
            Some(unknown) => {
                let known = self.names().collect::<Vec<_>>().join(", ");
                Err(ToolError::no_argument(unknown, &known))
            }
        }
    }
}

fn invalid(name: &str, what: &str) -> ToolError {
    ToolError::invalid(format!("The argument `{name}` {what}."))
}

/// `5.0` and `5` are one integer (JSON Schema 2020-12 section 4.2.3), and so must be one cache key.
fn canonical(spec: &ArgSpec, value: Value) -> Value {
    match (spec.kind, value.as_f64()) {
        (ArgType::Integer, Some(number)) if value.is_f64() => {
            #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and within 2^53")]
            let whole = number as i64;
            whole.into()
        }
        _ => value,
    }
}

fn check_one(spec: &ArgSpec, value: &Value) -> Result<(), String> {
    const SAFE: f64 = 9_007_199_254_740_992.0;
    match spec.kind {
        ArgType::String => {
            let text = value.as_str().ok_or("must be a string")?;
            let length = text.chars().count();
            let least = spec.min_length.unwrap_or(0);
            let most = spec.max_length.unwrap_or(ArgTable::MAX_LENGTH);
            if length < least || length > most {
                return Err(format!("must have {least} to {most} characters"));
            }
        }
        ArgType::Boolean => {
            value.as_bool().ok_or("must be true or false")?;
        }
        ArgType::Integer if value.as_i64().is_none() => {
            let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0 && number.abs() < SAFE);
            if !whole {
                return Err("must be a whole number".to_owned());
            }
        }
        ArgType::Integer => {}
        ArgType::Number => {
            value.as_f64().ok_or("must be a number")?;
        }
    }
    if let Some(number) = value.as_f64() {
        if let Some(minimum) = spec.minimum.filter(|minimum| number < *minimum) {
            return Err(format!("must be at least {minimum}"));
        }
        if let Some(maximum) = spec.maximum.filter(|maximum| number > *maximum) {
            return Err(format!("must be at most {maximum}"));
        }
    }
    match &spec.allowed {
        Some(allowed) if !allowed.contains(value) => {
            let list = allowed.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
            Err(format!("must be one of {list}"))
        }
        _ => Ok(()),
    }
}

fn property(spec: &ArgSpec) -> Map<String, Value> {
    let mut property = Map::new();
    let kind = match spec.kind {
        ArgType::String => "string",
        ArgType::Integer => "integer",
        ArgType::Number => "number",
        ArgType::Boolean => "boolean",
    };
    property.insert("type".into(), kind.into());
    let whole_or = |number: f64| {
        if number.fract() == 0.0 && number.abs() < 9e15 {
            #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
            let whole = number as i64;
            json!(whole)
        } else {
            json!(number)
        }
    };
    let optional = [
        ("description", (!spec.description.is_empty()).then(|| json!(spec.description))),
        ("enum", spec.allowed.as_ref().map(|allowed| json!(allowed))),
        ("default", spec.default.clone()),
        ("minimum", spec.minimum.map(whole_or)),
        ("maximum", spec.maximum.map(whole_or)),
        ("minLength", spec.min_length.map(|length| json!(length))),
        ("maxLength", spec.max_length.map(|length| json!(length))),
        ("x-mcp-header", spec.header.as_ref().map(|header| json!(header))),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            property.insert(key.into(), value);
        }
    }
    property
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> ArgTable {
        let text = r#"
            status = { type = "string", enum = ["open", "closed"], optional = true }
            limit = { type = "integer", minimum = 1, maximum = 100, default = 20 }
            name = { type = "string", min_length = 1, max_length = 5 }
        "#;
        ArgTable::new(&toml::from_str(text).unwrap())
    }

    fn check(given: Value) -> Result<String, String> {
        let Value::Object(given) = given else { panic!("an object") };
        table().check(given).map(|map| Value::Object(map).to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_are_completed_and_equal_calls_are_equal_text() {
        let full = r#"{"limit":20,"name":"x","status":null}"#;
        assert_eq!(check(json!({"name": "x"})).unwrap(), full);
        assert_eq!(check(json!({"name": "x", "limit": 20.0, "status": null})).unwrap(), full);
        assert_ne!(check(json!({"name": "x", "limit": 21})).unwrap(), full);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        for (given, what) in [
            (json!({}), "The argument `name` is required."),
            (json!({"name": 1}), "must be a string"),
            (json!({"name": ""}), "1 to 5 characters"),
            (json!({"name": "toolong"}), "1 to 5 characters"),
            (json!({"name": "x", "limit": 0}), "at least 1"),
            (json!({"name": "x", "limit": 101}), "at most 100"),
            (json!({"name": "x", "limit": 1.5}), "whole number"),
            (json!({"name": "x", "limit": "5"}), "whole number"),
            (json!({"name": "x", "status": "any"}), r#"one of "open", "closed""#),
            (json!({"name": "x", "tenant_id": "globex"}), "There is no argument `tenant_id`"),
            (json!({"name": "x", "__proto__": {}}), "There is no argument `__proto__`"),
        ] {
            let error = check(given.clone()).expect_err(&given.to_string());
            assert!(error.contains(what), "{given}: {error}");
        }
    }
}
