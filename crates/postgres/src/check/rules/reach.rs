//! What functions get to, directly and through what they call and the views that they read.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::{
    catalogue::{Catalogue, Function, Oid, View},
    predicate,
};

/// What a function's owner gets to with it.
pub(super) struct Reach {
    /// Tables that are named, and who looks at them.
    pub(super) tables: BTreeSet<(Oid, Oid)>,
    /// Whether SQL in a text is run.
    pub(super) dynamic: bool,
    /// Whether it reads the setting that names the tenant, or what stands in the caller's token.
    pub(super) asks: bool,
    /// Whether it reads any setting.
    reads_a_setting: bool,
}

/// The words of a text, and those of them that are called, in lower case.
pub(super) struct Words {
    all: BTreeSet<String>,
    calls: BTreeSet<String>,
}

impl Words {
    pub(super) fn of(text: &str) -> Self {
        let text = text.to_lowercase();
        let (mut all, mut calls) = (BTreeSet::new(), BTreeSet::new());
        let mut rest = text.as_str();
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        while let Some(start) = rest.find(in_word) {
            let from = rest.get(start..).unwrap_or_default();
            let end = from.find(|c| !in_word(c)).unwrap_or(from.len());
            let (word, after) = from.split_at(end);
            if after.trim_start_matches('"').trim_start().starts_with('(') {
                calls.insert(word.to_owned());
            }
            all.insert(word.to_owned());
            rest = after;
        }
        Self { all, calls }
    }

    /// Whether a table or view is named; a name of several words by all of them.
    pub(super) fn names(&self, short: &str) -> bool {
        let named = |name: &str| {
            let mut words = name
                .split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|word| !word.is_empty())
                .peekable();
            words.peek().is_some() && words.all(|word| self.all.contains(word))
        };
        named(&short.to_lowercase())
    }
}

/// The name in `schema.name`, without quotes.
fn short(name: &str) -> &str {
    let bare = name.trim_end_matches('"');
    if bare.len() == name.len() { name.rsplit('.').next() } else { bare.rsplit(".\"").next() }.unwrap_or(name)
}

/// How functions begin that run SQL in a text, or give all of a table that a text names; of the server and of the
/// extensions that come with it, and of the interfaces of other languages.
const DYNAMIC: [&str; 13] = [
    "query_to_xml",
    "cursor_to_xml",
    "table_to_xml",
    "schema_to_xml",
    "database_to_xml",
    "dblink",
    "crosstab",
    "connectby",
    "xpath_table",
    "ts_stat",
    "ts_rewrite",
    "spi_exec",
    "spi_query",
];

/// Whether a function with this text runs SQL that stands in a text.
fn runs_texts(function: &Function, words: &Words) -> bool {
    let called = |word: &String| DYNAMIC.iter().any(|begin| word.starts_with(begin));
    words.calls.iter().any(called) || (function.language != "sql" && words.all.contains("execute"))
}

/// What one function does itself.
struct Node<'c> {
    function: &'c Function,
    calls: Vec<Oid>,
    tables: Vec<Oid>,
    views: Vec<&'c View>,
    dynamic: bool,
    asks: bool,
    reads_a_setting: bool,
}

/// All functions, and what each names.
pub(super) struct Graph<'c> {
    catalogue: &'c Catalogue,
    nodes: BTreeMap<Oid, Node<'c>>,
    /// By name with arguments.
    by_name: BTreeMap<&'c str, Oid>,
}

impl<'c> Graph<'c> {
    /// Reads every function's text once.
    pub(super) fn of(catalogue: &'c Catalogue) -> Self {
        let mut short_names: BTreeMap<String, Vec<Oid>> = BTreeMap::new();
        for (oid, function) in &catalogue.functions {
            short_names.entry(function.short.to_lowercase()).or_default().push(*oid);
        }
        let setting = format!("'{}'", catalogue.setting);
        let node = |function: &'c Function| {
            let words = Words::of(&function.source);
            let source = function.source.as_str();
            let reads_a_setting = predicate::reads_a_setting(source);
            Node {
                function,
                calls: words
                    .calls
                    .iter()
                    .filter_map(|word| short_names.get(word))
                    .flatten()
                    .copied()
                    .collect(),
                tables: catalogue
                    .tables_of_tenants()
                    .filter(|table| words.names(&table.short))
                    .map(|table| table.oid)
                    .collect(),
                views: catalogue.views.values().filter(|view| words.names(short(&view.name))).collect(),
                dynamic: runs_texts(function, &words),
                asks: reads_a_setting && (source.contains(&setting) || source.contains("'request.jwt.")),
                reads_a_setting,
            }
        };
        Self {
            catalogue,
            nodes: catalogue.functions.iter().map(|(oid, function)| (*oid, node(function))).collect(),
            by_name: catalogue
                .functions
                .iter()
                .map(|(oid, function)| (function.name.as_str(), *oid))
                .collect(),
        }
    }

    /// Whether a function reads a setting, or calls one that does.
    pub(super) fn reads_a_setting(&self, function: &Function) -> bool {
        self.reach(function).reads_a_setting
    }

    pub(super) fn reach(&self, function: &Function) -> Reach {
        let mut reach =
            Reach { tables: BTreeSet::new(), dynamic: false, asks: false, reads_a_setting: false };
        let first = self.by_name.get(function.name.as_str()).copied();
        let mut todo: Vec<(Oid, Oid)> = first.map(|oid| (oid, function.owner)).into_iter().collect();
        let mut done: BTreeSet<(Oid, Oid)> = todo.iter().copied().collect();
        let mut views = BTreeSet::new();
        while let Some((oid, owner)) = todo.pop() {
            let Some(node) = self.nodes.get(&oid) else { continue };
            reach.dynamic |= node.dynamic;
            reach.asks |= node.asks;
            reach.reads_a_setting |= node.reads_a_setting;
            reach.tables.extend(node.tables.iter().map(|table| (*table, owner)));
            for view in &node.views {
                let looks = if view.invoker { owner } else { view.owner };
                if views.insert((view.name.as_str(), looks)) {
                    reach.tables.extend(self.catalogue.seen_as(view, looks));
                }
            }
            for called in &node.calls {
                let Some(called_node) = self.nodes.get(called) else { continue };
                let of = called_node.function;
                let owner = if of.definer { of.owner } else { owner };
                if done.insert((*called, owner)) {
                    todo.push((*called, owner));
                }
            }
        }
        let of_tenants = |oid: &Oid| self.catalogue.tables.get(oid).is_some_and(|table| table.of_tenants());
        reach.tables.retain(|(table, _)| of_tenants(table));
        reach
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_a_text_names_and_calls() {
        let words = super::Words::of(
            "SELECT count(*) FROM shop.\"My Orders\" o JOIN items USING (id); PERFORM f (1)",
        );
        assert!(
            words.names("My Orders")
                && words.names("items")
                && !words.names("item")
                && !words.names("Your Orders")
        );
        assert!(words.calls.contains("count") && words.calls.contains("f") && !words.calls.contains("items"));
        assert_eq!(super::short("shop.\"My.Orders\""), "My.Orders");
        assert_eq!(super::short("shop.orders"), "orders");
    }
}
