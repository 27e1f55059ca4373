//! Headers and JSON body of a request.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Map, Value};

use super::{
    HttpToolError,
    text::{Declared, Text, Values},
};

/// Whether tools must not set this header: it frames the message, belongs to one connection, names the host or is a
/// credential. `Accept-Encoding` is here since replies are not decompressed.
fn is_reserved(name: &HeaderName) -> bool {
    const RESERVED: [HeaderName; 12] = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::AUTHORIZATION,
        header::COOKIE,
        header::TE,
        header::TRAILER,
        header::UPGRADE,
        header::EXPECT,
        header::ACCEPT_ENCODING,
        HeaderName::from_static("keep-alive"),
    ];
    RESERVED.contains(name) || name.as_str().starts_with("proxy-")
}

/// Parses the name of a header that a tool sends. Only a credential may be sent as `Authorization`.
pub(super) fn header_name(name: &str, key: &str, credential: bool) -> Result<HeaderName, HttpToolError> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| HttpToolError::config(key, format!("`{name}` is no header name")))?;
    if parsed == header::AUTHORIZATION && !credential {
        return Err(HttpToolError::config(
            key,
            "credentials are not written here; use `auth = { bearer = \"secret:NAME\" }`",
        ));
    }
    if is_reserved(&parsed) && parsed != header::AUTHORIZATION {
        return Err(HttpToolError::config(
            key,
            format!("the gateway sets `{name}` itself or never sends it; remove the header"),
        ));
    }
    Ok(parsed)
}

/// Whether a text can be a header's value: visible ASCII and inner spaces, so that it can never end the line.
pub(super) fn is_header_text(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..=0x7e).contains(&byte)) && text.trim() == text
}

/// The headers of a request, without the credential.
#[derive(Debug)]
pub(super) struct Headers(Vec<(HeaderName, Text)>);

impl Headers {
    pub(super) fn compile(
        headers: &BTreeMap<String, String>,
        declared: &Declared,
    ) -> Result<Self, HttpToolError> {
        let mut compiled: Vec<(HeaderName, Text)> = Vec::new();
        for (name, value) in headers {
            let key = format!("http.headers.{name}");
            let parsed = header_name(name, &key, false)?;
            if compiled.iter().any(|(other, _)| *other == parsed) {
                return Err(HttpToolError::config(key, "is given twice; keep one"));
            }
            if !is_header_text(value) {
                return Err(HttpToolError::config(
                    key,
                    "a header's value consists of visible ASCII characters and inner spaces",
                ));
            }
            compiled.push((parsed, Text::parse(value, &key, declared)?));
        }
        Ok(Self(compiled))
    }

    pub(super) fn args(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|(_, text)| text.args())
    }

    pub(super) fn contains(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|(held, _)| held == name)
    }

    /// Adds the headers of one call; one whose only argument was left out is not sent.
    pub(super) fn render(&self, values: &Values<'_>, headers: &mut HeaderMap) -> Result<(), HttpToolError> {
        for (name, text) in &self.0 {
            let Some(value) = text.render(values)? else {
                continue;
            };
            let argument = || {
                let problem =
                    "must consist of visible ASCII characters and inner spaces, since it is sent in a header";
                HttpToolError::argument(text.args().next().unwrap_or_default(), problem)
            };
            if !is_header_text(&value) {
                return Err(argument());
            }
            let value = HeaderValue::from_str(&value).map_err(|_| argument())?;
            headers.insert(name.clone(), value);
        }
        Ok(())
    }
}

/// A JSON body with arguments in it. It is built as a value, so an argument can never change its structure.
#[derive(Debug)]
pub(super) enum Body {
    Text(Text),
    List(Vec<Body>),
    Object(Vec<(String, Body)>),
    Fixed(Value),
}

impl Body {
    pub(super) fn compile(body: &Value, key: &str, declared: &Declared) -> Result<Self, HttpToolError> {
        Ok(match body {
            Value::String(text) => Self::Text(Text::parse(text, key, declared)?),
            Value::Array(items) => Self::List(
                items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| Self::compile(item, &format!("{key}[{i}]"), declared))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(fields) => Self::Object(
                fields
                    .iter()
                    .map(|(name, value)| {
                        let value = Self::compile(value, &format!("{key}.{name}"), declared)?;
                        Ok((name.clone(), value))
                    })
                    .collect::<Result<_, HttpToolError>>()?,
            ),
            fixed => Self::Fixed(fixed.clone()),
        })
    }

    pub(super) fn args<'a>(&'a self, into: &mut Vec<&'a str>) {
        match self {
            Self::Text(text) => into.extend(text.args()),
            Self::List(items) => items.iter().for_each(|item| item.args(into)),
            Self::Object(fields) => fields.iter().for_each(|(_, value)| value.args(into)),
            Self::Fixed(_) => {}
        }
    }

    /// The body of one call; `None` when its only argument was left out, which drops the key or element it is in.
    pub(super) fn render(&self, values: &Values<'_>) -> Result<Option<Value>, HttpToolError> {
        Ok(match self {
            Self::Text(text) => match text.sole() {
                Some(name) => values.get(name)?.cloned(),
                None => text.render(values)?.map(Value::String),
            },
            Self::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    list.extend(item.render(values)?);
                }
                Some(Value::Array(list))
            }
            Self::Object(fields) => {
                let mut object = Map::new();
                for (name, field) in fields {
                    if let Some(value) = field.render(values)? {
                        object.insert(name.clone(), value);
                    }
                }
                Some(Value::Object(object))
            }
            Self::Fixed(value) => Some(value.clone()),
        })
    }
}
