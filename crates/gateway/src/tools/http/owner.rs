//! Whether a reply is valid JSON and belongs to the caller.
//!
//! The reply is walked once, without building a tree. Exactly the text that was checked is passed on, so a second
//! key of the same name, which another parser might prefer, must not hide behind the first: it is refused.

use std::{cell::Cell, fmt};

use partywall_model::Principal;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{
    HttpToolError,
    credential::{self, Secrets, secret_name},
};
use crate::config::Owner;

/// How a reply shows who owns it.
#[derive(Debug)]
pub(super) struct OwnerCheck {
    path: Vec<Step>,
    equals: Expected,
}

#[derive(Debug)]
enum Step {
    Key(String),
    Each,
}

#[derive(Debug)]
enum Expected {
    Tenant,
    Subject,
    Secret(String),
}

impl OwnerCheck {
    pub(super) fn compile(owner: &Owner) -> Result<Self, HttpToolError> {
        let equals = match owner.equals.as_str() {
            "tenant" => Expected::Tenant,
            "subject" => Expected::Subject,
            reference if reference.starts_with("secret:") => {
                Expected::Secret(secret_name(reference, "owner.equals")?)
            }
            _ => {
                return Err(HttpToolError::config(
                    "owner.equals",
                    "must be `tenant`, `subject` or `secret:NAME`",
                ));
            }
        };
        Ok(Self {
            path: parse_pointer(&owner.pointer).map_err(|why| HttpToolError::config("owner.pointer", why))?,
            equals,
        })
    }

    /// The secret that holds the owner's name, if any.
    pub(super) fn secret(&self) -> Option<&str> {
        match &self.equals {
            Expected::Secret(name) => Some(name),
            Expected::Tenant | Expected::Subject => None,
        }
    }

    /// What the reply must say.
    pub(super) fn expected<'a>(
        &self,
        principal: &'a Principal,
        secrets: &Secrets<'a>,
    ) -> Result<&'a str, HttpToolError> {
        match &self.equals {
            Expected::Tenant => Ok(principal.tenant.as_str()),
            Expected::Subject => Ok(&principal.subject),
            Expected::Secret(name) => credential::find(secrets, name),
        }
    }

    /// Refuses a reply that is no JSON, or that is not the expected party's.
    pub(super) fn check(&self, body: &str, expected: &str) -> Result<(), HttpToolError> {
        let met = Met::default();
        match run(Walk { path: Some(&self.path), expected, met: &met }, body) {
            Ok(true) => Ok(()),
            Ok(false) => Err(HttpToolError::ForeignOwner),
            Err(why) => Err(met.hide(why)),
        }
    }

    /// Why a reply cannot be passed on of which this is the beginning. That says that there is such a thing, so it is
    /// for whom the beginning names as the owner; nobody else is told more than of a thing that is not there.
    pub(super) fn hide(&self, begun: &[u8], expected: &str, why: HttpToolError) -> HttpToolError {
        let met = Met::default();
        let text = begun.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        // It ends somewhere in the middle.
        let _broken = run(Walk { path: Some(&self.path), expected, met: &met }, text);
        met.hide(why)
    }
}

/// Which owners were met so far.
#[derive(Default)]
struct Met {
    expected: Cell<bool>,
    other: Cell<bool>,
}

impl Met {
    fn hide(&self, why: HttpToolError) -> HttpToolError {
        match self.expected.get() && !self.other.get() {
            true => why,
            false => HttpToolError::Unowned(Box::new(why)),
        }
    }
}

/// Refuses a reply that is no JSON.
pub(super) fn check_json(body: &str) -> Result<(), HttpToolError> {
    let walk = Walk { path: None, expected: "", met: &Met::default() };
    run(walk, body).map(drop)
}

fn run(walk: Walk<'_>, body: &str) -> Result<bool, HttpToolError> {
    let mut json = serde_json::Deserializer::from_str(body);
    let owned = walk.deserialize(&mut json);
    owned.and_then(|owned| json.end().map(|()| owned)).map_err(|_| HttpToolError::UpstreamNotJson)
}

fn parse_pointer(pointer: &str) -> Result<Vec<Step>, String> {
    let Some(rest) = pointer.strip_prefix('/') else {
        return Err("must be a JSON pointer to the owner in the reply, such as `/organization_id`".to_owned());
    };
    rest.split('/')
        .map(|step| {
            if step == "*" {
                return Ok(Step::Each);
            }
            if !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!(
                    "`{step}` would check one element only; write `*` so that every element is checked"
                ));
            }
            let plain = step.replace("~0", "").replace("~1", "");
            if plain.contains('~') {
                return Err("`~` is written `~0` and `/` within a key `~1` (RFC 6901)".to_owned());
            }
            Ok(Step::Key(step.replace("~1", "/").replace("~0", "~")))
        })
        .collect()
}

/// Reads one value and says whether the owner in it, at the end of `path`, is the expected one. Without a path it only
/// reads.
struct Walk<'a> {
    path: Option<&'a [Step]>,
    expected: &'a str,
    met: &'a Met,
}

impl Walk<'_> {
    fn is_owner(&self, text: &str) -> bool {
        let is_one = self.path.is_some_and(<[Step]>::is_empty);
        let is_owner = is_one && text == self.expected;
        if is_one {
            let met = if is_owner { &self.met.expected } else { &self.met.other };
            met.set(true);
        }
        is_owner
    }

    fn aside(&self) -> Walk<'_> {
        Walk { path: None, expected: self.expected, met: self.met }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<bool, E> {
        Ok(self.is_owner(text))
    }

    fn visit_u64<E>(self, number: u64) -> Result<bool, E> {
        Ok(self.is_owner(&number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<bool, E> {
        Ok(self.is_owner(&number.to_string()))
    }

    // A fraction or a number beyond 64 bits has no one spelling, so it names nobody.
    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        let each = match self.path.and_then(<[Step]>::split_first) {
            Some((Step::Each, rest)) => Some(rest),
            _ => None,
        };
        let mut owned = each.is_some();
        loop {
            let item = Walk { path: each, expected: self.expected, met: self.met };
            match items.next_element_seed(item)? {
                Some(yes) => owned &= yes,
                None => return Ok(owned),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<bool, A::Error> {
        let wanted = match self.path.and_then(<[Step]>::split_first) {
            Some((Step::Key(key), rest)) => Some((key.as_str(), rest)),
            _ => None,
        };
        let (mut seen, mut owned) = (0_usize, false);
        while let Some(is_wanted) = fields.next_key_seed(KeyIs(wanted.map(|(key, _)| key)))? {
            match wanted.filter(|_| is_wanted) {
                Some((_, rest)) => {
                    seen += 1;
                    owned = fields.next_value_seed(Walk {
                        path: Some(rest),
                        expected: self.expected,
                        met: self.met,
                    })?;
                }
                None => {
                    fields.next_value_seed(self.aside())?;
                }
            }
        }
        Ok(owned && seen == 1)
    }
}

/// Whether a key is the one that is looked for.
struct KeyIs<'a>(Option<&'a str>);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(self.0 == Some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pointer: &str, body: &str) -> Result<(), HttpToolError> {
        let owner = Owner { pointer: pointer.to_owned(), equals: "tenant".to_owned() };
        OwnerCheck::compile(&owner)?.check(body, "acme")
    }

    #[test]
    fn a_reply_must_name_the_caller_as_its_owner() {
        for (pointer, body) in [
            ("/org", r#"{"org":"acme","x":[1,{"org":"globex"}]}"#),
            ("/a/b", r#"{"a":{"b":"acme"}}"#),
            ("/a~1b/~0", r#"{"a/b":{"~":"acme"}}"#),
            ("/or\u{e9}", "{\"or\\u00e9\":\"acme\"}"),
            ("/*/org", r#"[{"org":"acme"},{"org":"acme"}]"#),
            ("/*/org", "[]"),
            ("/items/*/org", r#"{"items":[{"org":"acme"}],"next":null}"#),
        ] {
            assert_eq!(check(pointer, body), Ok(()), "{pointer} {body}");
        }
        for (pointer, body) in [
            ("/org", r#"{"org":"globex"}"#),
            ("/org", r#"{"org":"Acme"}"#),
            ("/org", r#"{"org":"acme "}"#),
            ("/org", r#"{"org":["acme"]}"#),
            ("/org", r#"{"org":null}"#),
            ("/org", "{}"),
            ("/org", "null"),
            ("/org", "\"acme\""),
            ("/org", r#"[{"org":"acme"}]"#),
            ("/org", r#"{"x":{"org":"acme"}}"#),
            ("/org", r#"{"org":"globex","org":"acme"}"#),
            ("/org", r#"{"org":"acme","org":"globex"}"#),
            ("/org", r#"{"org":"acme","\u006frg":"globex"}"#),
            ("/org/x", r#"{"org":"acme"}"#),
            ("/*/org", r#"[{"org":"acme"},{"org":"globex"}]"#),
            ("/*/org", r#"[{"org":"acme"},{}]"#),
            ("/*/org", r#"[{"org":"acme"},"acme"]"#),
            ("/*/org", r#"{"*":{"org":"acme"}}"#),
        ] {
            assert_eq!(check(pointer, body), Err(HttpToolError::ForeignOwner), "{pointer} {body}");
        }
    }

    #[test]
    fn numbers_are_owners_by_their_exact_digits() {
        let owner = Owner { pointer: "/org".to_owned(), equals: "secret:org".to_owned() };
        let owner = OwnerCheck::compile(&owner).expect("an owner");
        assert_eq!(owner.check(r#"{"org":7}"#, "7"), Ok(()));
        assert_eq!(owner.check(r#"{"org":18446744073709551615}"#, "18446744073709551615"), Ok(()));
        assert_eq!(owner.check(r#"{"org":-7}"#, "-7"), Ok(()));
        for (body, expected) in [(r#"{"org":7.0}"#, "7"), (r#"{"org":70}"#, "7"), (r#"{"org":1e1}"#, "10")] {
            assert_eq!(owner.check(body, expected), Err(HttpToolError::ForeignOwner), "{body}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        for bad in ["", "<html>", "{", r#"{"a":1}x"#, r#""\ud800""#, "{'a':1}", "\u{feff}{}", "NaN", &deep] {
            assert_eq!(check_json(bad), Err(HttpToolError::UpstreamNotJson));
            let unowned = HttpToolError::Unowned(Box::new(HttpToolError::UpstreamNotJson));
            assert_eq!(check("/org", bad), Err(unowned));
        }
        for good in ["{}", " [1, 2.5e3, \"x\", null, true] ", "\"text\"", "7"] {
            assert_eq!(check_json(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn why_a_reply_is_not_passed_on_is_for_its_owner() {
        let owner = |pointer: &str| {
            OwnerCheck::compile(&Owner { pointer: pointer.to_owned(), equals: "tenant".to_owned() }).unwrap()
        };
        let hidden = |pointer: &str, begun: &[u8]| {
            let why = HttpToolError::TooLarge { limit: 7 };
            match owner(pointer).hide(begun, "acme", why.clone()) {
                HttpToolError::Unowned(hidden) if *hidden == why => true,
                other => {
                    assert_eq!(other, why);
                    false
                }
            }
        };
        for (pointer, begun) in [
            ("/org", r#"{"org":"acme","note":"xxx"#),
            ("/org", r#"{"id":7,"org":"acme""#),
            ("/*/org", r#"[{"org":"acme"},{"org":"acme"},{"or"#),
        ] {
            assert!(!hidden(pointer, begun.as_bytes()), "{begun}");
        }
        for (pointer, begun) in [
            ("/org", ""),
            ("/org", r#"{"note":"xxx"#),
            ("/org", r#"{"org":"acm"#),
            ("/org", r#"{"org":"globex","note":"xxx"#),
            ("/org", r#"{"org":"acme","org":"globex","note":"xxx"#),
            ("/org", r#"{"x":{"org":"acme"},"note":"xxx"#),
            ("/*/org", "[{"),
            ("/*/org", r#"[{"org":"acme"},{"org":"globex"},{"or"#),
        ] {
            assert!(hidden(pointer, begun.as_bytes()), "{begun}");
        }
        // A character that the limit cut in two takes nothing away from what stands before it.
        assert!(!hidden("/org", b"{\"org\":\"acme\",\"note\":\"\xc3"));
    }

    #[test]
    fn pointers_are_checked_at_load_time() {
        for (bad, fragment) in [
            ("", "JSON pointer"),
            ("org", "JSON pointer"),
            ("/a~2", "RFC 6901"),
            ("/~", "RFC 6901"),
            ("/items/0/org", "every element"),
        ] {
            let error = check(bad, "{}").expect_err("a bad pointer").to_string();
            assert!(error.contains(fragment), "{bad}: {error}");
        }
    }
}
