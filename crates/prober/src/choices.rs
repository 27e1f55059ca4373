//! Further arguments of a tool: each choice of an enum, each switch. A leak may lie behind one of them only.

use serde_json::{Value, json};

use crate::{
    arguments::{Role, is_kind, role},
    places::{self, Place, places},
    survey::{Chosen, words},
};

/// The most choices of one argument that are tried.
const EACH: usize = 6;
/// The most further sets of arguments of one tool.
const MOST: usize = 8;

/// A further set of arguments.
#[derive(Debug, PartialEq)]
pub(crate) struct Choice {
    /// The set.
    pub(crate) arguments: Value,
    /// What was chosen: the value's text, or the name of the switch that was turned.
    pub(crate) said: String,
}

/// Further sets of arguments.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Choices {
    /// The sets, each with one argument otherwise than the plain one.
    pub(crate) sets: Vec<Choice>,
    /// The arguments of which not everything is tried.
    pub(crate) left_out: Vec<String>,
}

/// One argument otherwise at a time. What may change something is left out, and so is what names somebody else. `reads` says that
/// the tool does nothing but read: what would keep another from acting only chooses what it shows.
pub(crate) fn further(schema: &Value, plain: &Value, reads: bool, strange: impl Fn(&str) -> bool) -> Choices {
    let mut choices = Choices::default();
    for place in places(schema) {
        let own = plain.pointer(&place.pointer);
        let (values, mut all) = others(&place, own);
        for value in values {
            let one = value.as_array().and_then(|list| list.first()).unwrap_or(&value);
            let said = one.as_str().map_or_else(|| place.name.to_owned(), str::to_owned);
            let acts = one.is_string() && acts(place.name).changes(&said) || off(place.name, one, reads);
            if acts || strange(&said) || choices.sets.len() >= MOST {
                all = false;
                continue;
            }
            let mut arguments = plain.clone();
            places::put(&mut arguments, schema, &place.pointer, value);
            choices.sets.push(Choice { arguments, said });
        }
        if !all {
            choices.left_out.push(place.pointer.trim_start_matches('/').to_owned());
        }
    }
    choices
}

/// Words of an argument that says what to do.
const ACTS: [&str; 4] = ["action", "operation", "command", "verb"];
/// The same, where they stand last.
const LAST: [&str; 4] = ["op", "method", "do", "cmd"];
/// Last words of an argument whose values are kinds or states of things, in whatever words.
const KINDS: [&str; 30] = [
    "by",
    "categories",
    "category",
    "columns",
    "entity",
    "event",
    "events",
    "expand",
    "field",
    "fields",
    "filter",
    "filters",
    "format",
    "include",
    "kind",
    "kinds",
    "object",
    "order",
    "priority",
    "resource",
    "section",
    "sort",
    "state",
    "states",
    "status",
    "statuses",
    "table",
    "topic",
    "type",
    "types",
];
/// Words of an argument that keeps a call from doing anything, whatever the tool says of itself.
const GUARDS: [&str; 15] = [
    "checkonly",
    "dry",
    "dryrun",
    "effects",
    "harmless",
    "mock",
    "noop",
    "peek",
    "readonly",
    "safe",
    "sandbox",
    "simulate",
    "simulated",
    "simulation",
    "validateonly",
];
/// The same of a tool that may act. In one that reads they say what is shown: drafts, what was read, plans.
const FILTERS: [&str; 9] =
    ["check", "draft", "estimate", "plan", "preview", "read", "test", "validate", "validation"];

/// What the values of an argument may do.
pub(crate) fn acts(name: &str) -> Chosen {
    let words = words(name);
    let last = words.last().map(String::as_str).unwrap_or_default();
    if words.iter().any(|word| ACTS.contains(&word.as_str())) || LAST.contains(&last) {
        Chosen::Act
    } else if KINDS.contains(&last) {
        Chosen::Thing
    } else {
        Chosen::Value
    }
}

/// Whether an argument of this name keeps a call from doing anything, where it is on.
pub(crate) fn guards(name: &str) -> bool {
    words(name).iter().any(|word| GUARDS.contains(&word.as_str()) || FILTERS.contains(&word.as_str()))
}

/// The same in a tool that reads.
fn guards_a_reader(name: &str) -> bool {
    let words = words(name);
    let pair = |first: &str, second: &str| {
        words.iter().any(|word| word == first) && words.iter().any(|word| word == second)
    };
    words.iter().any(|word| GUARDS.contains(&word.as_str()))
        || pair("read", "only")
        || pair("validate", "only")
}

/// Whether a value switches off what keeps a call from doing anything.
fn off(name: &str, value: &Value, reads: bool) -> bool {
    let says = |text: &str| {
        ["false", "no", "off", "none", "never", "0"].contains(&text.to_ascii_lowercase().as_str())
    };
    let guarded = if reads { guards_a_reader(name) } else { guards(name) };
    guarded
        && (value.as_bool() == Some(false) || value.as_i64() == Some(0) || value.as_str().is_some_and(says))
}

/// What else may stand in a place that has few values, and whether that is all.
fn others(place: &Place<'_>, own: Option<&Value>) -> (Vec<Value>, bool) {
    if matches!(role(place.name), Role::Tenant | Role::Cursor | Role::Limit) {
        return (Vec::new(), true);
    }
    let named = listed(place.schema);
    if !named.is_empty() {
        let fresh: Vec<Value> =
            named.into_iter().filter(|value| Some(value) != own && !value.is_null()).collect();
        // A list takes several at once: each by itself.
        let all = fresh.len() <= EACH;
        let many = is_kind(place.schema, "array");
        let shaped = |value: Value| if many { json!([value]) } else { value };
        return (fresh.into_iter().take(EACH).map(shaped).collect(), all);
    }
    if is_kind(place.schema, "boolean") && !is_kind(place.schema, "string") {
        let usual = own.or(place.schema.get("default")).and_then(Value::as_bool).unwrap_or(false);
        return if Chosen::Switch.changes(place.name) {
            (Vec::new(), false)
        } else {
            (vec![json!(!usual)], true)
        };
    }
    // Of what has more values than can be tried, one is.
    let number = is_kind(place.schema, "integer") || is_kind(place.schema, "number");
    let free = is_kind(place.schema, "object")
        && ["properties", "anyOf", "oneOf", "allOf"].iter().all(|key| place.schema.get(key).is_none());
    (Vec::new(), !((number && role(place.name) == Role::Other) || free))
}

/// The values that a schema names one by one.
fn listed(schema: &Value) -> Vec<Value> {
    if let Some(all) = schema.get("enum").and_then(Value::as_array) {
        return all.clone();
    }
    if let Some(all) = schema.get("items").and_then(|items| items.get("enum")).and_then(Value::as_array) {
        return all.clone();
    }
    let several = ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    several
        .flat_map(|one| one.get("const").map_or_else(|| listed(one), |value| vec![value.clone()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::sets;

    #[test]
    fn each_choice_and_each_switch_is_tried_by_itself() {
        let schema = json!({"type": "object", "required": ["kind"], "properties": {
            "kind": {"enum": ["none", "summary", "full"]},
            "scope": {"anyOf": [{"const": "mine"}, {"const": "all"}, {"type": "null"}]},
            "include_all": {"type": "boolean"}, "recent": {"type": "boolean", "default": true},
            "mark_as_read": {"type": "boolean"}, "org": {"enum": ["acme", "globex"]},
            "filter": {"type": "object", "properties": {"state": {"enum": ["open", "delete", "globex"]}}}}});
        let plain = &sets(&schema, &[], "get_report")[0];
        let choices = further(&schema, plain, false, |text| text == "globex");
        let valid = jsonschema::validator_for(&schema).unwrap();
        assert!(choices.sets.iter().all(|set| valid.is_valid(&set.arguments)), "{choices:?}");
        for set in [
            json!({"kind": "summary"}),
            json!({"kind": "full"}),
            json!({"kind": "none", "scope": "mine"}),
            json!({"kind": "none", "scope": "all"}),
            json!({"kind": "none", "include_all": true}),
            json!({"kind": "none", "recent": false}),
            json!({"kind": "none", "filter": {"state": "open"}}),
        ] {
            assert!(choices.sets.iter().any(|one| one.arguments == set), "{set} in {:?}", choices.sets);
        }
        assert_eq!(choices.sets.len(), 7, "{choices:?}");
        assert_eq!(choices.left_out, ["mark_as_read", "filter/state"]);
    }

    #[test]
    fn there_are_few_and_what_is_left_out_is_known() {
        let many: Vec<String> = (0..20).map(|number| format!("kind {number}")).collect();
        let schema = json!({"properties": {"a": {"enum": many}, "b": {"enum": many}}});
        let choices = further(&schema, &json!({}), false, |_| false);
        assert_eq!((choices.sets.len(), choices.left_out.len()), (MOST, 2));
    }

    #[test]
    fn what_keeps_a_call_harmless_stays_on_and_what_acts_is_not_chosen() {
        let schema = json!({"properties": {
            "peek": {"type": "boolean", "default": true}, "read_only": {"type": "boolean", "default": true},
            "validateOnly": {"type": "boolean", "default": true}, "simulate": {"enum": ["true", "false"]},
            "order_action": {"enum": ["show", "refund", "transfer"]}, "mode": {"enum": ["view", "charge", "lock"]},
            "steps": {"type": "array", "items": {"enum": ["look", "purge"]}}, "preview": {"type": "boolean"},
            "type": {"enum": ["order", "refund"]}}});
        let choices = further(&schema, &json!({}), false, |_| false);
        let said: Vec<String> = choices.sets.iter().map(|one| one.arguments.to_string()).collect();
        assert_eq!(
            said,
            [
                r#"{"mode":"view"}"#,
                r#"{"order_action":"show"}"#,
                r#"{"preview":true}"#,
                r#"{"simulate":"true"}"#,
                r#"{"steps":["look"]}"#,
                r#"{"type":"order"}"#,
                r#"{"type":"refund"}"#
            ]
        );
        assert_eq!(
            choices.left_out,
            ["mode", "order_action", "peek", "read_only", "simulate", "steps", "validateOnly"]
        );
    }

    #[test]
    fn what_says_only_what_a_reader_shows_is_turned() {
        let schema = json!({"required": ["draft"], "properties": {
            "draft": {"type": "boolean"}, "preview": {"type": "boolean", "default": true},
            "read": {"type": "boolean", "default": true}, "read_only": {"type": "boolean", "default": true},
            "dry_run": {"type": "boolean", "default": true}}});
        let plain = &sets(&schema, &[], "list_notes")[0];
        assert_eq!(*plain, json!({"draft": true}));
        let said = |reads| -> Vec<String> {
            let choices = further(&schema, plain, reads, |_| false);
            choices.sets.iter().map(|one| one.arguments.to_string()).collect()
        };
        assert_eq!(
            said(true),
            [r#"{"draft":false}"#, r#"{"draft":true,"preview":false}"#, r#"{"draft":true,"read":false}"#]
        );
        assert!(said(false).is_empty());
    }

    #[test]
    fn what_has_more_values_than_are_tried_is_told_of() {
        let schema = json!({"properties": {"page": {"type": "integer"}, "where": {"type": "object"},
            "limit": {"type": "integer"}, "id": {"type": "integer"}, "of": {"properties": {"all": {"type": "boolean"}}}}});
        let choices = further(&schema, &json!({}), false, |_| false);
        assert_eq!((choices.sets.len(), choices.left_out), (1, vec!["page".to_owned(), "where".to_owned()]));
    }
}
