//! Arguments for tools and prompts, made from their JSON Schemas.
//!
//! No crate makes values from a schema with the say over which ids stand where, and that is what matters here; only the
//! keywords that describe arguments of tools are read, and a target that refuses the result is told apart from one that
//! answers.

use serde_json::{Map, Value, json};

use crate::{
    choices,
    places::{Place, filled, places},
};

/// How many levels of nested objects are filled.
const DEPTH: usize = 4;
/// The most argument sets that are made for one tool.
pub(crate) const MOST_SETS: usize = 6;

/// An id that was found in an answer, and the name it stood under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Id {
    /// The field's name.
    pub(crate) key: String,
    /// What was read from: the tool, the list.
    pub(crate) from: String,
    /// The id, a text or a number.
    pub(crate) value: Value,
}

/// What an argument is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It names an object.
    Id,
    /// It names a tenant, an organisation, a user.
    Tenant,
    /// It is what to look for.
    Search,
    /// It says how many.
    Limit,
    /// A place in a list.
    Cursor,
    /// Something else.
    Other,
}

const TENANTS: [&str; 16] = [
    "tenant",
    "tenantid",
    "tenantname",
    "tenantslug",
    "org",
    "orgid",
    "organization",
    "organizationid",
    "organisation",
    "account",
    "accountid",
    "workspace",
    "workspaceid",
    "company",
    "companyid",
    "teamid",
];

/// Things that are called by what they are, without a word that says "id".
const THINGS: [&str; 16] = [
    "board",
    "bucket",
    "channel",
    "collection",
    "conversation",
    "dataset",
    "folder",
    "graph",
    "node",
    "notebook",
    "project",
    "repo",
    "repository",
    "selector",
    "thread",
    "vault",
];

/// Whether a field of this name can name somebody whom a tenant deals with as well as a tenant.
pub(crate) fn names_parties(name: &str) -> bool {
    let flat: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    TENANTS.contains(&flat.as_str())
        && ["org", "organization", "organisation", "account", "workspace", "company"].contains(&flat.as_str())
}

/// What an argument of this name is about.
pub(crate) fn role(name: &str) -> Role {
    let flat: String =
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    if TENANTS.contains(&flat.as_str()) {
        return Role::Tenant;
    }
    if ["cursor", "pagetoken", "nextcursor", "nexttoken", "continuation"].contains(&flat.as_str()) {
        return Role::Cursor;
    }
    if ["limit", "count", "pagesize", "perpage", "max", "maxresults", "top", "topk", "first"]
        .contains(&flat.as_str())
    {
        return Role::Limit;
    }
    if ["query", "q", "search", "term", "text", "keyword", "keywords", "pattern", "filter"]
        .contains(&flat.as_str())
    {
        return Role::Search;
    }
    let id = flat == "id"
        || THINGS.contains(&flat.as_str())
        || name.ends_with("Id")
        || name.ends_with("ID")
        || name.ends_with("_id")
        || name.ends_with("Ids")
        || name.ends_with("_ids")
        || [
            "ids", "uri", "key", "slug", "name", "path", "file", "filename", "number", "ref", "handle",
            "uuid",
        ]
        .contains(&flat.as_str())
        || ["_key", "_number", "_name", "_uuid", "_ref", "_path", "_slug"]
            .iter()
            .any(|end| name.ends_with(end));
    if id { Role::Id } else { Role::Other }
}

/// How far references lead into others.
const REFERENCES: usize = 6;
/// The most values of a schema whose references are followed.
const VALUES: usize = 4_000;

/// A schema with what it refers to in itself (`$ref`) put in its place, as far as that goes.
pub(crate) fn resolved(schema: &Value) -> Value {
    let mut left = VALUES;
    inline(schema, schema, REFERENCES, &mut left)
}

fn inline(root: &Value, value: &Value, depth: usize, left: &mut usize) -> Value {
    let Some(fewer) = left.checked_sub(1) else { return json!({}) };
    *left = fewer;
    match value {
        Value::Object(fields) => {
            let target =
                fields.get("$ref").and_then(Value::as_str).and_then(|to| root.pointer(to.strip_prefix('#')?));
            let mut whole = match target {
                Some(target) if depth > 0 => inline(root, target, depth - 1, left),
                _ => json!({}),
            };
            if let Some(whole) = whole.as_object_mut() {
                let own = fields
                    .iter()
                    .filter(|(name, _)| !["$ref", "$defs", "definitions"].contains(&name.as_str()));
                whole.extend(own.map(|(name, value)| (name.clone(), inline(root, value, depth, left))));
            }
            whole
        }
        Value::Array(items) => items.iter().map(|item| inline(root, item, depth, left)).collect(),
        other => other.clone(),
    }
}

/// The properties of a schema that describes an object, with whether each is required.
pub(crate) fn properties(schema: &Value) -> Vec<(&str, &Value, bool)> {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, schema)| (name.as_str(), schema, required.contains(&name.as_str())))
        .collect()
}

/// Argument sets for a tool: each with another of the ids in the places that take one. The first is the plainest.
pub(crate) fn sets(schema: &Value, ids: &[Id], tool: &str) -> Vec<Value> {
    let mut sets = Vec::new();
    let places: Vec<Place<'_>> = places(schema)
        .into_iter()
        .filter(|place| place.required && matches!(role(place.name), Role::Id | Role::Cursor))
        .collect();
    if places.is_empty() {
        sets.push(object(schema, &Map::new(), DEPTH));
        if let Some((name, search, _)) =
            properties(schema).into_iter().find(|(name, ..)| role(name) == Role::Search)
        {
            for word in ["e", "*"] {
                let short = search.get("minLength").and_then(Value::as_u64).is_none_or(|least| least <= 1);
                if is_kind(search, "string") && short {
                    sets.push(object(schema, &Map::from_iter([(name.to_owned(), json!(word))]), DEPTH));
                }
            }
        }
        return sets;
    }
    for turn in 0..MOST_SETS {
        let given: Vec<(String, Value)> = places
            .iter()
            .filter_map(|place| {
                let fitting = fitting_at(place.schema, place.name, ids, tool).into_iter().nth(turn)?;
                Some((place.pointer.clone(), fitting))
            })
            .collect();
        if given.len() < places.len() && turn > 0 {
            break;
        }
        sets.push(filled(schema, &given));
    }
    sets
}

/// The ids that may stand in a place, the likeliest first.
pub(crate) fn fitting(schema: &Value, name: &str, ids: &[Id], tool: &str) -> Vec<Value> {
    let place = schema.get("properties").and_then(|all| all.get(name)).unwrap_or(&Value::Null);
    fitting_at(place, name, ids, tool)
}

/// The same for a place that may lie anywhere.
pub(crate) fn fitting_at(place: &Value, name: &str, ids: &[Id], tool: &str) -> Vec<Value> {
    let mut ranked: Vec<(u8, Value)> = Vec::new();
    for id in ids {
        let Some(value) = shaped(place, &id.value) else { continue };
        if !ranked.iter().any(|(_, known)| *known == value) {
            ranked.push((rank(name, id, tool), value));
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, value)| value).collect()
}

/// How badly an id fits a name: the same name first, then the same stem, then anything.
fn rank(name: &str, id: &Id, tool: &str) -> u8 {
    let flat = |text: &str| {
        text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let (wanted, key) = (flat(name), flat(&id.key));
    let stem =
        |text: &str| text.trim_end_matches("ids").trim_end_matches("id").trim_end_matches('s').to_owned();
    let from = flat(&id.from);
    let (noun, subject) = (stem(&wanted), stem(&flat(tool)));
    if wanted == key && wanted != "id" {
        0
    } else if (key == "id" && !noun.is_empty() && from.contains(&noun))
        || (key == wanted && subject.len() > 3 && related(&subject, &from))
    {
        1
    } else if key == wanted || key == "id" {
        2
    } else if !noun.is_empty() && key.contains(&noun) {
        3
    } else {
        4
    }
}

/// Whether two tools' names share a word of more than three letters besides verbs.
fn related(one: &str, other: &str) -> bool {
    let letters: Vec<char> = one.chars().collect();
    letters.windows(4).any(|part| other.contains(&part.iter().collect::<String>()))
}

/// The id in the type that the place takes, if it fits.
fn shaped(place: &Value, id: &Value) -> Option<Value> {
    let text = || id.as_str().map(str::to_owned).or_else(|| id.as_number().map(ToString::to_string));
    if is_kind(place, "array") {
        let items = place.get("items").unwrap_or(&Value::Null);
        return shaped(items, id).map(|one| json!([one]));
    }
    if is_kind(place, "integer") || is_kind(place, "number") {
        return id
            .as_number()
            .cloned()
            .map(Value::Number)
            .or_else(|| text()?.parse::<i64>().ok().map(Value::from));
    }
    if is_kind(place, "string") {
        let text = text()?;
        let longest = place.get("maxLength").and_then(Value::as_u64).unwrap_or(u64::MAX);
        return (text.chars().count() as u64 <= longest).then(|| json!(text));
    }
    place.get("type").is_none().then(|| id.clone())
}

/// Whether a schema allows a type.
pub(crate) fn is_kind(schema: &Value, kind: &str) -> bool {
    let direct = match schema.get("type") {
        Some(Value::String(one)) => one == kind,
        Some(Value::Array(several)) => several.iter().any(|one| one == kind),
        _ => false,
    };
    direct
        || ["anyOf", "oneOf"].iter().any(|key| {
            schema
                .get(key)
                .and_then(Value::as_array)
                .is_some_and(|all| all.iter().any(|one| is_kind(one, kind)))
        })
}

/// Whether any text may stand in a place.
pub(crate) fn free_text(place: &Value) -> bool {
    is_kind(place, "string")
        && ["enum", "const", "format", "pattern"].iter().all(|key| place.get(key).is_none())
        && place.get("maxLength").and_then(Value::as_u64).is_none_or(|most| most >= 80)
}

/// An object that a schema allows: the given values, the required ones, and limits as wide as they go.
pub(crate) fn object(schema: &Value, given: &Map<String, Value>, depth: usize) -> Value {
    let mut object = given.clone();
    for (name, place, required) in properties(schema) {
        if object.contains_key(name) {
            continue;
        }
        if required {
            object.insert(name.to_owned(), value(name, place, depth.saturating_sub(1)));
        } else if role(name) == Role::Limit && (is_kind(place, "integer") || is_kind(place, "number")) {
            let most = place.get("maximum").and_then(Value::as_i64).unwrap_or(50).min(50);
            object.insert(name.to_owned(), json!(most));
        }
    }
    Value::Object(object)
}

fn value(name: &str, schema: &Value, depth: usize) -> Value {
    for key in ["const", "default"] {
        if let Some(value) = schema.get(key).filter(|value| !value.is_null()) {
            return value.clone();
        }
    }
    for key in ["enum", "examples"] {
        if let Some(value) = schema.get(key).and_then(Value::as_array).and_then(|all| plainest(name, all)) {
            return value.clone();
        }
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(key).and_then(Value::as_array).and_then(|all| all.first()) {
            return if depth == 0 { Value::Null } else { value(name, first, depth - 1) };
        }
    }
    if is_kind(schema, "string") {
        return json!(text(name, schema));
    }
    if is_kind(schema, "integer") || is_kind(schema, "number") {
        // A share of one.
        if let Some(most) = schema.get("maximum").filter(|most| most.as_f64().is_some_and(|most| most < 1.0))
        {
            return most.clone();
        }
        let least = schema.get("minimum").and_then(Value::as_i64).unwrap_or(1);
        let most = schema.get("maximum").and_then(Value::as_i64).unwrap_or(i64::MAX);
        return json!(if role(name) == Role::Limit { most.min(50) } else { least.max(1).min(most) });
    }
    if is_kind(schema, "boolean") {
        return json!(choices::guards(name));
    }
    if is_kind(schema, "array") {
        let wanted = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0).min(3);
        let items = schema.get("items").unwrap_or(&Value::Null);
        let item = if depth == 0 { Value::Null } else { value(name, items, depth - 1) };
        return Value::Array((0..wanted).map(|_| item.clone()).collect());
    }
    if is_kind(schema, "null") {
        return Value::Null;
    }
    if is_kind(schema, "object") || schema.get("properties").is_some() {
        return if depth == 0 { json!({}) } else { object(schema, &Map::new(), depth - 1) };
    }
    json!("a")
}

/// The first of several values that does nothing by what it is called, or the first.
fn plainest<'a>(name: &str, all: &'a [Value]) -> Option<&'a Value> {
    let acts = choices::acts(name);
    let plain = |value: &&Value| value.as_str().is_none_or(|said| !acts.changes(said));
    all.iter().find(plain).or_else(|| all.first())
}

fn text(name: &str, schema: &Value) -> String {
    let text = match schema.get("format").and_then(Value::as_str) {
        Some("email") => "probe@example.com",
        Some("uri" | "url") => "https://example.com/",
        Some("date") => "2026-01-01",
        Some("date-time") => "2026-01-01T00:00:00Z",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        _ if role(name) == Role::Search => "a",
        _ => "probe",
    };
    let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0).min(1_000);
    let most = schema.get("maxLength").and_then(Value::as_u64).unwrap_or(1_000);
    let mut text: String = text.chars().take(usize::try_from(most).unwrap_or(1_000)).collect();
    while (text.len() as u64) < least {
        text.push('a');
    }
    text
}

/// An id of the same shape that nobody has: letters and digits are replaced by others of their kind.
pub(crate) fn unknown(id: &Value, chance: &mut fastrand::Rng) -> Value {
    match id {
        Value::Number(number) => {
            let known = number.as_i64().unwrap_or(1).unsigned_abs();
            // The same number of digits where it leaves room, else a few more.
            let digits = known.checked_ilog10().unwrap_or(0).max(6);
            let least = 10_i64.saturating_pow(digits);
            json!(least.saturating_add(chance.i64(0..least.saturating_mul(8))))
        }
        Value::String(text) => {
            let (place, name) = split(text);
            json!(format!("{place}{}", unknown_name(name, chance)))
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| unknown(item, chance)).collect()),
        other => other.clone(),
    }
}

/// Where a text is a URI, all before its last part, which says where to look: another scheme or folder is refused by whoever finds the way,
/// whether or not there is something. Else nothing.
fn split(text: &str) -> (&str, &str) {
    let Some(scheme) = text.find("://") else { return ("", text) };
    let rest = scheme + "://".len();
    let last = text
        .get(rest..)
        .and_then(|rest| rest.trim_end_matches('/').rfind('/'))
        .map_or(rest, |at| rest + at + 1);
    text.split_at_checked(last).unwrap_or(("", text))
}

/// A name of the same shape that nobody has.
fn unknown_name(text: &str, chance: &mut fastrand::Rng) -> String {
    let mut changed: String = text
        .chars()
        .map(|letter| match letter {
            '0'..='9' => char::from(b'0' + chance.u8(0..10)),
            'a'..='f' => char::from(b'a' + chance.u8(0..6)),
            'A'..='F' => char::from(b'A' + chance.u8(0..6)),
            'g'..='z' => char::from(b'g' + chance.u8(0..20)),
            'G'..='Z' => char::from(b'G' + chance.u8(0..20)),
            other => other,
        })
        .collect();
    // Short names leave too little room: nobody has such a long one.
    if text.chars().filter(char::is_ascii_alphanumeric).count() < 8 {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            changed = format!("{}", chance.u64(1_000_000..90_000_000));
        } else {
            changed.push_str(&format!("{}", chance.u32(100_000..999_999)));
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        json!({"type": "object", "required": ["ticket_id", "mode"], "properties": {
            "ticket_id": {"type": "integer"}, "mode": {"enum": ["full", "short"]},
            "limit": {"type": "integer", "maximum": 20}, "note": {"type": "string"}}})
    }

    #[test]
    fn what_has_to_be_given_is_given_as_harmlessly_as_it_can_be() {
        let schema = json!({"required": ["action", "dry_run", "all"], "properties": {"all": {"type": "boolean"},
            "action": {"enum": ["delete", "view"]}, "dry_run": {"type": "boolean"}}});
        let set = &sets(&schema, &[], "get_plan")[0];
        assert_eq!(*set, json!({"action": "view", "dry_run": true, "all": false}));
    }

    #[test]
    fn ids_go_where_they_fit() {
        let ids = [
            Id { key: "customer".into(), from: "list_customers".into(), value: json!("c-9") },
            Id { key: "id".into(), from: "list_tickets".into(), value: json!(7) },
            Id { key: "ticket_id".into(), from: "list_comments".into(), value: json!("8") },
        ];
        let sets = sets(&schema(), &ids, "get_ticket");
        assert_eq!(sets[0], json!({"ticket_id": 8, "mode": "full", "limit": 20}));
        assert_eq!(sets[1]["ticket_id"], 7);
        assert_eq!(sets.len(), 2, "{sets:?}");
    }

    #[test]
    fn ids_go_into_objects_and_lists_of_objects() {
        let nested = json!({"required": ["filter"], "properties": {"filter": {"required": ["ticket_id"],
            "properties": {"ticket_id": {"type": "integer"}}}}});
        let listed =
            json!({"required": ["items"], "properties": {"items": {"type": "array", "items": nested}}});
        let ids = [7, 8].map(|id| Id { key: "id".into(), from: "list_tickets".into(), value: json!(id) });
        let both = |schema: &Value| sets(&resolved(schema), &ids, "get_report");
        assert_eq!(both(&nested), [7, 8].map(|id| json!({"filter": {"ticket_id": id}})));
        assert_eq!(both(&listed), [7, 8].map(|id| json!({"items": [{"filter": {"ticket_id": id}}]})));
    }

    #[test]
    fn without_ids_the_plainest_values_are_made() {
        let sets = sets(&schema(), &[], "get_ticket");
        assert_eq!(sets, [json!({"ticket_id": 1, "mode": "full", "limit": 20})]);
        assert_eq!(role("tenantId"), Role::Tenant);
        assert_eq!(role("customer_id"), Role::Id);
        assert_eq!(role("body"), Role::Other);
    }

    #[test]
    fn an_unknown_id_has_the_shape_of_a_known_one() {
        let mut chance = fastrand::Rng::with_seed(1);
        let twin = unknown(&json!("INV-0042-abcdef"), &mut chance);
        let twin = twin.as_str().unwrap();
        assert!(twin.len() == 15 && twin.chars().nth(3) == Some('-') && twin != "INV-0042-abcdef", "{twin}");
        assert_ne!(unknown(&json!(3), &mut chance), json!(3));
    }

    #[test]
    fn references_that_lead_in_a_circle_come_to_an_end() {
        let circle = json!({"type": "object", "required": ["node"], "properties": {"node": {"$ref": "#/$defs/Node"}},
            "$defs": {"Node": {"type": "object", "required": ["left", "right"], "properties": {
                "left": {"$ref": "#/$defs/Node"}, "right": {"$ref": "#/$defs/Node"}}}}});
        let resolved = resolved(&circle);
        assert!(resolved.pointer("/properties/node/properties/left/properties/right").is_some());
        assert!(resolved.to_string().len() < 100_000);
        assert!(sets(&resolved, &[], "get_it").len() == 1);
    }

    /// What other people's tools ask for, by the kinds of schemas that stand in lists of tools.
    #[test]
    fn what_is_made_is_what_the_schema_asks_for() {
        let schemas = [
            schema(),
            json!({}),
            json!({"type": "object", "properties": {}, "additionalProperties": false}),
            json!({"type": "object", "required": ["when", "mail", "key", "page"], "properties": {
                "when": {"type": "string", "format": "date"}, "mail": {"type": "string", "format": "email"},
                "key": {"type": "string", "format": "uuid"}, "page": {"type": "string", "format": "uri"}}}),
            json!({"type": "object", "required": ["text", "count", "share"], "properties": {
                "text": {"type": "string", "minLength": 12, "maxLength": 20},
                "count": {"type": "integer", "minimum": 10, "maximum": 12},
                "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1}}}),
            json!({"type": "object", "required": ["entities"], "properties": {"entities": {"type": "array", "minItems": 1,
                "items": {"type": "object", "required": ["name", "observations"], "properties": {
                    "name": {"type": "string"}, "observations": {"type": "array", "items": {"type": "string"}}}}}}}),
            json!({"type": "object", "required": ["filter"], "properties": {"filter": {"$ref": "#/$defs/Filter"}},
                "$defs": {"Filter": {"type": "object", "required": ["field"], "properties": {
                    "field": {"type": "string", "enum": ["title", "body"]}}}}}),
            json!({"type": "object", "required": ["limit", "of"], "properties": {
                "limit": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
                "of": {"oneOf": [{"const": "all"}, {"type": "array", "items": {"type": "integer"}}]}}}),
            json!({"type": "object", "required": ["ok", "kind", "nothing"], "properties": {"ok": {"type": "boolean"},
                "kind": {"type": ["string", "null"]}, "nothing": {"type": "null"}}}),
        ];
        for schema in schemas {
            let valid = jsonschema::validator_for(&schema).unwrap();
            for set in sets(&resolved(&schema), &[], "get_it") {
                assert!(valid.is_valid(&set), "{set} for {schema}");
            }
        }
    }

    #[test]
    fn an_unknown_uri_leads_to_the_same_place() {
        let mut chance = fastrand::Rng::with_seed(7);
        for (known, place) in [
            ("note://globex/1", "note://globex/"),
            ("file:///docs/handbook.md", "file:///docs/"),
            ("desk://globex", "desk://"),
            ("https://a.example/x?id=5", "https://a.example/"),
        ] {
            let unknown = unknown(&json!(known), &mut chance);
            let unknown = unknown.as_str().unwrap();
            assert!(unknown.starts_with(place) && unknown != known, "{known}: {unknown}");
        }
    }
}
