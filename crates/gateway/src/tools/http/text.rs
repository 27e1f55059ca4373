//! Texts with `{argument}` placeholders, and the argument values that fill them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::HttpToolError;
use crate::config::{ArgSpec, ArgType};

/// The arguments a tool declares, as far as a request needs to know them.
#[derive(Debug)]
pub(super) struct Declared(BTreeMap<String, Arg>);

#[derive(Debug)]
struct Arg {
    kind: ArgType,
    optional: bool,
    default: Option<Value>,
}

impl Declared {
    pub(super) fn new(specs: &BTreeMap<String, ArgSpec>) -> Self {
        let args = specs.iter().map(|(name, spec)| {
            let arg = Arg { kind: spec.kind, optional: spec.optional, default: spec.default.clone() };
            (name.clone(), arg)
        });
        Self(args.collect())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether a call may come without a value for the argument.
    pub(super) fn may_be_absent(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|arg| arg.optional && arg.default.is_none())
    }
}

/// The values of one call.
pub(super) struct Values<'a> {
    pub(super) declared: &'a Declared,
    pub(super) given: &'a Map<String, Value>,
}

impl<'a> Values<'a> {
    /// The value of an argument: as given, else its default. `None` for an optional one that was left out.
    ///
    /// The type is checked again here, so that a list or an object can never become part of a URL or a header.
    pub(super) fn get(&self, name: &str) -> Result<Option<&'a Value>, HttpToolError> {
        let Some(arg) = self.declared.0.get(name) else {
            return Err(HttpToolError::argument(name, "is not declared"));
        };
        let given = self.given.get(name).filter(|value| !value.is_null()).or(arg.default.as_ref());
        let Some(value) = given else {
            return if arg.optional { Ok(None) } else { Err(HttpToolError::argument(name, "is required")) };
        };
        let (fits, problem) = match arg.kind {
            ArgType::String => (value.is_string(), "must be a string"),
            ArgType::Integer => (value.is_i64() || value.is_u64(), "must be an integer"),
            ArgType::Number => (value.is_number(), "must be a number"),
            ArgType::Boolean => (value.is_boolean(), "must be true or false"),
        };
        if fits { Ok(Some(value)) } else { Err(HttpToolError::argument(name, problem)) }
    }

    /// The value as text.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, HttpToolError> {
        Ok(self.get(name)?.map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }))
    }

    /// The name of the longest text that was given.
    pub(super) fn longest(&self) -> &'a str {
        self.given
            .iter()
            .max_by_key(|(_, value)| value.as_str().map_or(0, str::len))
            .map_or("", |(name, _)| name.as_str())
    }
}

/// A text with placeholders.
#[derive(Debug)]
pub(super) struct Text(Vec<Piece>);

#[derive(Debug)]
pub(super) enum Piece {
    Literal(String),
    Arg(String),
}

impl Text {
    /// Reads a text; `{{` and `}}` stand for single braces. `key` names the text in errors.
    pub(super) fn parse(text: &str, key: &str, declared: &Declared) -> Result<Self, HttpToolError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' | '}' if chars.peek() == Some(&c) => {
                    chars.next();
                    literal.push(c);
                }
                '{' => {
                    let mut name = String::new();
                    let closed = loop {
                        match chars.next() {
                            Some('}') => break true,
                            Some('{') | None => break false,
                            Some(c) => name.push(c),
                        }
                    };
                    if !closed {
                        return Err(HttpToolError::config(
                            key,
                            "a `{` is not closed; write `{argument}`, or `{{` for a brace",
                        ));
                    }
                    if !declared.0.contains_key(&name) {
                        return Err(HttpToolError::config(
                            key,
                            format!(
                                "`{{{name}}}` names no argument; declare `args.{name}` or correct the name"
                            ),
                        ));
                    }
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Arg(name));
                }
                '}' => {
                    return Err(HttpToolError::config(key, "a `}` closes nothing; write `}}` for a brace"));
                }
                _ => literal.push(c),
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self(pieces))
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The arguments it names.
    pub(super) fn args(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Arg(name) => Some(name.as_str()),
            Piece::Literal(_) => None,
        })
    }

    /// The argument, when the text is exactly one placeholder.
    pub(super) fn sole(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Piece::Arg(name)] => Some(name),
            _ => None,
        }
    }

    /// The text with its arguments. `None` when its only argument was left out; an absent one among several is empty.
    pub(super) fn render(&self, values: &Values<'_>) -> Result<Option<String>, HttpToolError> {
        let mut out = String::new();
        let (mut named, mut absent) = (0, 0);
        for piece in &self.0 {
            match piece {
                Piece::Literal(literal) => out.push_str(literal),
                Piece::Arg(name) => {
                    named += 1;
                    match values.text(name)? {
                        Some(text) => out.push_str(&text),
                        None => absent += 1,
                    }
                }
            }
        }
        Ok((named != 1 || absent == 0).then_some(out))
    }
}
