//! JSON in which no object names a key twice.
//!
//! Parsers disagree about which of two equal keys counts. A token that one reader takes for tenant A and another for
//! tenant B must not exist, so it is refused.

use std::{cell::Cell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text is not strict JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotStrict {
    /// An object names a key twice.
    DuplicateKey,
    /// It is no JSON, or nested too deeply.
    Syntax,
}

/// Parses one JSON object and nothing after it; the depth is bounded by serde_json's recursion limit.
pub(crate) fn object(text: &[u8]) -> Result<Map<String, Value>, NotStrict> {
    let duplicate = Cell::new(false);
    let mut parser = serde_json::Deserializer::from_slice(text);
    let parsed = Strict(&duplicate).deserialize(&mut parser).and_then(|value| parser.end().map(|()| value));
    match parsed {
        Ok(Value::Object(map)) => Ok(map),
        _ if duplicate.get() => Err(NotStrict::DuplicateKey),
        _ => Err(NotStrict::Syntax),
    }
}

/// Builds a value; the cell tells a duplicate key from a syntax error.
#[derive(Clone, Copy)]
struct Strict<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                self.0.set(true);
                return Err(A::Error::custom("duplicate key"));
            }
            let value = entries.next_value_seed(self)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_reads_as_serde_json_reads_it() {
        let text = r#"{"a":[1,-2,1.5,true,null,"x\u00e9"],"b":{"a":{}}}"#;
        let theirs: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(object(text.as_bytes()).map(Value::Object), Ok(theirs));
    }

    #[test]
    fn duplicate_keys_are_found_at_every_depth_and_through_escapes() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"x":[{"y":{"a":1,"b":2,"a":3}}]}"#] {
            assert_eq!(object(text.as_bytes()), Err(NotStrict::DuplicateKey), "{text}");
        }
    }

    #[test]
    fn what_is_no_single_object_is_refused() {
        let deep = format!("{}{}", "{\"a\":".repeat(200), "1");
        for text in
            ["", "[]", "1", "{} {}", "{\"a\":1}x", "{'a':1}", "{\"a\":\"\u{1}\"}", "{\"a\":1e999}", &deep]
        {
            assert_eq!(object(text.as_bytes()), Err(NotStrict::Syntax), "{text:.20}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(NotStrict::Syntax));
    }
}
