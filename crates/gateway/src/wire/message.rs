//! Reading JSON-RPC messages: borrowed, in one pass, and strict about what a field is.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{Value, value::RawValue};

/// What is read from a JSON object and from nothing else: serde takes a list of a struct's values for the struct, and
/// a guard before us would see no method or name in such a list.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
    }
}

/// A JSON-RPC message as it came.
#[derive(Deserialize)]
pub(crate) struct Envelope<'a> {
    #[serde(borrow, default)]
    pub(crate) jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(crate) id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) params: Option<&'a RawValue>,
    #[serde(default)]
    pub(crate) result: Option<IgnoredAny>,
    #[serde(default)]
    pub(crate) error: Option<IgnoredAny>,
}

/// Tells `"id": null` from no id at all.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// A request's id, kept as it was written: a string or an integer.
#[derive(Clone, Copy)]
pub(crate) struct Id<'a>(&'a str);

impl<'a> Id<'a> {
    /// The longest id that is sent back.
    const MAX_LEN: usize = 512;

    pub(crate) fn parse(raw: &'a RawValue) -> Option<Self> {
        let text = raw.get();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let integer = !digits.is_empty() && digits.len() <= 19 && digits.bytes().all(|b| b.is_ascii_digit());
        let string = text.starts_with('"') && serde_json::from_str::<Cow<'_, str>>(text).is_ok();
        ((integer || string) && text.len() <= Self::MAX_LEN).then_some(Self(text))
    }
}

impl fmt::Display for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The parameters of every method that is served, read in one pass; a field that the method does not have is left
/// alone, and none of them is read as identity.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Params<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) cursor: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) input_responses: Option<BTreeMap<String, Value>>,
    #[serde(borrow, default)]
    pub(crate) request_state: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) protocol_version: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "_meta", deserialize_with = "object")]
    pub(crate) meta: Option<Meta<'a>>,
}

fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::<Object<T>>::deserialize(deserializer).map(|object| object.map(|Object(value)| value))
}

/// The `_meta` of a request.
#[derive(Deserialize, Default)]
pub(crate) struct Meta<'a> {
    #[serde(borrow, default, rename = "progressToken")]
    pub(crate) progress_token: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    pub(crate) protocol_version: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientCapabilities")]
    pub(crate) client_capabilities: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Option<String> {
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        Id::parse(raw).map(|id| id.to_string())
    }

    #[test]
    fn an_id_is_a_string_or_an_integer_and_comes_back_as_written() {
        for good in ["0", "1", "-1", "9007199254740993", r#""1""#, r#""""#, r#""\u0041""#] {
            assert_eq!(id(good).as_deref(), Some(good));
        }
        for bad in ["null", "1.0", "1e0", "true", "{}", "[1]", "99999999999999999999"] {
            assert_eq!(id(bad), None, "{bad}");
        }
        assert_eq!(id(&format!("\"{}\"", "x".repeat(600))), None);
    }

    #[test]
    fn a_list_of_values_is_no_message() {
        let envelope = |text| serde_json::from_str::<Object<Envelope<'_>>>(text).map(|object| object.0);
        assert!(envelope(r#"["2.0",1,"tools/list",{}]"#).is_err_and(|error| error.is_data()));
        assert!(envelope(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).is_ok());
        let params = |text| serde_json::from_str::<Object<Params<'_>>>(text).map(|object| object.0);
        assert!(params(r#"["whoami",{}]"#).is_err());
        assert!(params(r#"{"_meta":[1,"2026-07-28",{}]}"#).is_err());
        assert!(params(r#"{"_meta":null}"#).is_ok_and(|params| params.meta.is_none()));
        assert!(params(r#"{"_meta":{"progressToken":1}}"#).is_ok_and(|params| params.meta.is_some()));
    }

    #[test]
    fn a_field_that_stands_twice_is_refused() {
        for bad in [
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","method":"a","method":"b"}"#,
        ] {
            assert!(serde_json::from_str::<Envelope<'_>>(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Params<'_>>(r#"{"name":"a","name":"b"}"#).is_err());
        let other = serde_json::from_str::<Envelope<'_>>(r#"{"jsonrpc":"2.0","Method":"ping"}"#).unwrap();
        assert!(other.method.is_none(), "names are case-sensitive");
    }
}
