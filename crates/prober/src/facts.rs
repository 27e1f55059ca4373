//! What an answer says, as comparable facts: leaves with their paths, without what changes from reading to reading.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// How deep nested texts that are JSON themselves are opened.
const DEPTH: usize = 24;
/// The most leaves of one answer.
const MOST: usize = 20_000;

/// What every text begins with that the run writes.
pub(crate) const PLANTED: &str = "cnry-";

/// The least letters of a word that tells two things apart.
const WORD: usize = 3;

/// The least length of a list that can be seen to move.
const LIST: usize = 3;

/// The leaves of an answer by their paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    leaves: BTreeMap<String, String>,
    /// How long each list is.
    lists: BTreeMap<String, usize>,
    /// Where something stood in one reading and not in another, or something else.
    loose: BTreeSet<String>,
}

impl Facts {
    /// The leaves of a result. Texts that are JSON are opened; `_meta` and the resultType are left out.
    pub(crate) fn of(result: &Value) -> Self {
        let mut facts = Self::default();
        facts.walk(result, &mut String::new(), DEPTH);
        facts
    }

    fn walk(&mut self, value: &Value, path: &mut String, depth: usize) {
        if depth == 0 || self.leaves.len() >= MOST {
            return;
        }
        let length = path.len();
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    if key == "_meta" || key == "resultType" {
                        continue;
                    }
                    path.push('/');
                    path.push_str(key);
                    self.walk(value, path, depth - 1);
                    path.truncate(length);
                }
            }
            Value::Array(items) => {
                self.lists.insert(path.clone(), items.len());
                for (index, value) in items.iter().enumerate() {
                    path.push_str(&format!("/{index}"));
                    self.walk(value, path, depth - 1);
                    path.truncate(length);
                }
            }
            Value::String(text) => match serde_json::from_str::<Value>(text) {
                Ok(inner @ (Value::Object(_) | Value::Array(_))) => {
                    path.push('>');
                    self.walk(&inner, path, depth - 1);
                    path.truncate(length);
                }
                _ => self.leaf(path, text.clone()),
            },
            Value::Null => self.leaf(path, "null".to_owned()),
            other => self.leaf(path, other.to_string()),
        }
    }

    fn leaf(&mut self, path: &str, text: String) {
        self.leaves.insert(path.to_owned(), text);
    }

    /// The leaves that two readings agree on. A list most of which moved from one to the other, as a log does, is left out
    /// as a whole: what stood in the same place twice stood there by chance.
    pub(crate) fn stable(&self, again: &Self) -> Self {
        let moving = self.moving(again);
        let moves = |path: &str| moving.iter().any(|list| path.starts_with(list.as_str()));
        let leaves: BTreeMap<String, String> = self
            .leaves
            .iter()
            .filter(|(path, text)| again.leaves.get(*path) == Some(text))
            .filter(|(path, _)| !moves(path))
            .map(|(path, text)| (path.clone(), text.clone()))
            .collect();
        let lists = self
            .lists
            .iter()
            .filter(|(path, length)| again.lists.get(*path) == Some(length) && !moves(&format!("{path}/")));
        let lists = lists.map(|(path, length)| (path.clone(), *length)).collect();
        let paths = self.leaves.keys().chain(again.leaves.keys()).chain(&self.loose).chain(&again.loose);
        let loose = paths.filter(|path| !leaves.contains_key(*path)).cloned().collect();
        Self { leaves, lists, loose }
    }

    /// The paths of lists of some length, most of whose leaves the other says differently.
    fn moving(&self, again: &Self) -> Vec<String> {
        let mut lists: BTreeMap<&str, (BTreeSet<&str>, usize, usize)> = BTreeMap::new();
        for (path, text) in &self.leaves {
            let differs = usize::from(again.leaves.get(path) != Some(text));
            for (at, _) in path.match_indices('/') {
                let (Some(list), Some(rest)) = (path.get(..=at), path.get(at + 1..)) else { continue };
                let index = rest.split(['/', '>']).next().unwrap_or_default();
                if index.parse::<usize>().is_ok() {
                    let (indexes, total, moved) = lists.entry(list).or_default();
                    indexes.insert(index);
                    *total += 1;
                    *moved += differs;
                }
            }
        }
        lists
            .into_iter()
            .filter(|(_, (indexes, total, moved))| indexes.len() >= LIST && moved * 2 > *total)
            .map(|(list, _)| list.to_owned())
            .collect()
    }

    /// Whether what stands at a path is part of something that a run wrote, this one or an earlier one: the item of a list, or
    /// the whole where there is none.
    pub(crate) fn planted_beside(&self, path: &str) -> bool {
        let record = record(path);
        self.leaves.iter().any(|(other, text)| other.starts_with(record) && text.contains(PLANTED))
    }

    /// Whether the other says the same at every path of this one. Where this one says what the run itself wrote, another write
    /// of the run may have come since.
    pub(crate) fn holds_in(&self, other: &Self) -> bool {
        self.difference(other).is_none()
    }

    /// The first path at which the other says something else.
    pub(crate) fn difference(&self, other: &Self) -> Option<(&str, &str, Option<String>)> {
        self.leaves
            .iter()
            .find(|(path, text)| match other.leaves.get(*path) {
                Some(now) => now != *text && !text.contains(PLANTED),
                None => true,
            })
            .map(|(path, text)| (path.as_str(), text.as_str(), other.leaves.get(path).cloned()))
    }

    /// What the other says more than this one, which was the same in all readings: items of lists, and places at which `theirs`
    /// says the same.
    pub(crate) fn more_in(&self, other: &Self, theirs: Option<&Self>) -> Option<More> {
        let grown =
            |path: &&String| self.lists.get(*path).is_some_and(|known| other.lists.get(*path) > Some(known));
        for path in self.lists.keys().filter(grown) {
            let own = self.rows(path);
            let foreign = theirs.map(|theirs| theirs.rows(path)).unwrap_or_default();
            let new = other.rows(path).into_iter().filter(|row| !own.iter().any(|own| own.is_in(row)));
            let mut new = new.filter(|row| !row.0.values().any(|text| text.contains(PLANTED))).peekable();
            let first = new.peek().map(Row::told);
            if let Some(row) =
                new.find(|row| foreign.iter().any(|foreign| foreign.tells() && foreign.is_in(row)))
            {
                return Some(More { path: path.clone(), text: row.told(), foreign: true });
            }
            if let Some(text) = first {
                return Some(More { path: path.clone(), text, foreign: false });
            }
        }
        let new = theirs?.leaves.iter().find(|(path, text)| {
            text.chars().count() >= WORD
                && other.leaves.get(*path) == Some(text)
                && !self.leaves.contains_key(*path)
                && !self.loose.contains(*path)
                && !text.contains(PLANTED)
        });
        new.map(|(path, text)| More { path: path.clone(), text: text.clone(), foreign: false })
    }

    /// The items of a list.
    fn rows(&self, list: &str) -> Vec<Row> {
        let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
        let below = format!("{list}/");
        for (path, text) in
            self.leaves.range(below.clone()..).take_while(|(path, _)| path.starts_with(&below))
        {
            let Some(rest) = path.get(below.len()..) else { continue };
            let end = rest.find(['/', '>']).unwrap_or(rest.len());
            let (item, place) = rest.split_at_checked(end).unwrap_or((rest, ""));
            rows.entry(item).or_default().0.insert(place.to_owned(), text.clone());
        }
        rows.into_values().collect()
    }

    /// Items of lists that can be told from others, as texts.
    pub(crate) fn told_rows(&self) -> impl Iterator<Item = String> {
        self.lists.keys().flat_map(|list| self.rows(list)).filter(Row::tells).map(|row| row.told())
    }

    /// Paths and texts.
    pub(crate) fn leaves(&self) -> impl Iterator<Item = (&str, &str)> {
        self.leaves.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }
}

/// What an answer says more than it says alone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct More {
    /// Where.
    pub(crate) path: String,
    /// What stands there.
    pub(crate) text: String,
    /// Whether it is an item that the other tenant is shown.
    pub(crate) foreign: bool,
}

/// An item of a list: its leaves by their places in it.
#[derive(Debug, Default)]
struct Row(BTreeMap<String, String>);

impl Row {
    /// Whether another item says all that this one does.
    fn is_in(&self, other: &Self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|(place, text)| other.0.get(place) == Some(text))
    }

    /// Whether it can be told from others by more than a number or a word.
    fn tells(&self) -> bool {
        let word = |text: &String| {
            text.chars().filter(|letter| letter.is_alphabetic()).count() >= WORD
                && !["true", "false", "null"].contains(&text.as_str())
        };
        // What kind of content it is, the protocol says.
        let own: Vec<&String> = self
            .0
            .iter()
            .filter(|(place, _)| !["type", "mimeType", "role"].contains(&key(place)))
            .map(|(_, text)| text)
            .collect();
        own.len() > 1 && own.iter().any(|text| word(text)) || own.iter().any(|text| telling(text))
    }

    /// As a reader is told of it.
    fn told(&self) -> String {
        let fields = self.0.iter().map(|(place, text)| match place.trim_start_matches(['/', '>']) {
            "" => text.clone(),
            place => format!("{place}: {text}"),
        });
        fields.collect::<Vec<_>>().join(", ").chars().take(200).collect()
    }
}

/// The last name in a path.
pub(crate) fn key(path: &str) -> &str {
    path.rsplit(['/', '>'])
        .find(|part| part.parse::<usize>().is_err() && !part.is_empty())
        .unwrap_or_default()
}

/// Whether a text is a point in time, which two tenants may share by chance.
pub(crate) fn timely(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let clock = shape.starts_with("0000-00-00") || shape.contains("0:00:00");
    let epoch = matches!(text.len(), 10 | 13)
        && (text.starts_with("17") || text.starts_with("18"))
        && text.bytes().all(|b| b.is_ascii_digit());
    clock || epoch
}

/// Whether a text can be somebody's: not a word that any server says, a time, or a small number.
pub(crate) fn telling(text: &str) -> bool {
    let letters = text.chars().count();
    let number = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-');
    if timely(text) || letters > 400 {
        return false;
    }
    if number {
        return text.bytes().filter(u8::is_ascii_digit).count() >= 6;
    }
    // One plain word ("pending") may stand anywhere by chance; a name of two words, an address, an id may not.
    letters >= 10 || (letters >= 6 && text.chars().any(|c| !c.is_ascii_lowercase()))
}

/// The path of the item of a list that a path leads into, with its last slash; or of the whole text or answer.
fn record(path: &str) -> &str {
    let from = path.rfind('>').map_or(0, |at| at + 1);
    let inner = path.get(from..).unwrap_or_default();
    let mut end = 0;
    for (at, _) in inner.match_indices('/') {
        let part = inner.get(..at).and_then(|before| before.rsplit('/').next()).unwrap_or_default();
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            end = at + 1;
        }
    }
    path.get(..from + end).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_that_are_json_are_opened_and_what_changes_is_left_out() {
        let first = Facts::of(&json!({"content": [{"text": "{\"id\":7,\"at\":\"x1\"}"}], "_meta": {"n": 1}}));
        let second =
            Facts::of(&json!({"content": [{"text": "{\"id\":7,\"at\":\"x2\"}"}], "_meta": {"n": 2}}));
        let stable = first.stable(&second);
        assert_eq!(stable.leaves().collect::<Vec<_>>(), [("/content/0/text>/id", "7")]);
        assert!(stable.holds_in(&second));
        assert_eq!(first.difference(&second).unwrap().0, "/content/0/text>/at");
        assert_eq!(key("/content/0/text>/id"), "id");
        assert!(
            timely("2026-11-26T10:00:00Z")
                && timely("1764200000")
                && timely("at 6:18:01 AM")
                && !timely("1234567890123456")
        );
    }

    #[test]
    fn a_list_that_moves_is_left_out_as_a_whole() {
        let log =
            |lines: &[&str]| Facts::of(&json!({"who": "acme", "lines": lines, "tags": ["a", "b", "c"]}));
        let stable = log(&["x", "y", "x", "z"]).stable(&log(&["x", "x", "y", "x"]));
        let left: Vec<&str> = stable.leaves().map(|(path, _)| path).collect();
        assert_eq!(left, ["/tags/0", "/tags/1", "/tags/2", "/who"]);
        let rows = |at: u32| {
            Facts::of(
                &json!([{"id": 1, "at": at, "by": "x"}, {"id": 2, "at": at, "by": "x"}, {"id": 3, "at": at, "by": "x"}]),
            )
        };
        assert_eq!(rows(1).stable(&rows(2)).leaves().count(), 6);
    }

    #[test]
    fn more_than_alone_is_seen_and_compared_with_the_others() {
        let facts = |rows: Value| Facts::of(&json!({"rows": rows, "n": 1}));
        let own = facts(json!([{"payer": "Ann", "amount": 95_000}]));
        let theirs = facts(json!([{"payer": "Bob", "amount": 71_000}, {"payer": "Kim", "amount": 7}]));
        let more = |rows: Value| own.more_in(&facts(rows), Some(&theirs)).map(|more| more.foreign);
        let (ann, bob) =
            (json!({"payer": "Ann", "amount": 95_000}), json!({"payer": "Bob", "amount": 71_000}));
        assert_eq!(more(json!([ann])), None);
        assert_eq!(more(json!([ann, bob])), Some(true));
        assert_eq!(more(json!([bob, ann])), Some(true));
        assert_eq!(more(json!([ann, {"payer": "Zoe", "amount": 5}])), Some(false));
        assert_eq!(more(json!([ann, {"payer": "cnry-own", "amount": 5}])), None);
        // A list that was not as long in every reading says nothing by its length.
        let loose = own.stable(&facts(json!([ann, {"payer": "Eve", "amount": 1}])));
        assert_eq!(loose.more_in(&facts(json!([ann, bob])), Some(&theirs)), None);
        // What stands where nothing ever stood, as the other is shown it.
        let theirs = Facts::of(&json!({"who": "globex", "more": "plans"}));
        let own = Facts::of(&json!({"who": "acme"}));
        let shown = Facts::of(&json!({"who": "acme", "more": "plans"}));
        assert_eq!(own.more_in(&shown, Some(&theirs)).map(|more| more.path).as_deref(), Some("/more"));
        assert_eq!(own.stable(&shown).stable(&own).more_in(&shown, Some(&theirs)), None);
        assert_eq!(own.more_in(&shown, None), None);
    }

    #[test]
    fn plain_words_and_times_are_nobodys() {
        for text in ["pending", "2026-11-26T10:00:00Z", "42", "ok"] {
            assert!(!telling(text), "{text}");
        }
        for text in ["Printer jam", "c-9042", "738201946512", "alice@acme.example"] {
            assert!(telling(text), "{text}");
        }
    }

    #[test]
    fn what_a_run_wrote_is_told_from_what_was_there() {
        let text = serde_json::json!({"of": "globex", "rows": [{"text": "Plans", "meta": {"tenant_id": "globex"}},
            {"text": "cnry-own-1", "meta": {"tenant_id": "globex"}}]});
        let facts = Facts::of(&serde_json::json!({"content": [{"text": text.to_string()}]}));
        assert!(facts.planted_beside("/content/0/text>/rows/1/meta/tenant_id"));
        assert!(!facts.planted_beside("/content/0/text>/rows/0/meta/tenant_id"));
        assert_eq!(record("/content/0/text>/meta/tenant_id"), "/content/0/text>");
        assert_eq!(record("/structuredContent/rows/12/tenant"), "/structuredContent/rows/12/");
    }
}
