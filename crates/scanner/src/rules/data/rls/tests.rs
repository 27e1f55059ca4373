//! Every page's examples: what is bad is found on the marked lines and nowhere else, what is good is not.

use std::collections::BTreeMap;

use super::*;
use crate::{
    lang::sql::changes,
    tables::{Replay, compare},
};

/// A block of a page: its word (bad, good, reworded) and its files.
fn blocks(markdown: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String, BTreeMap<String, String>)> = None;
    for line in markdown.lines() {
        match &mut open {
            None => {
                if let Some(word) = line.strip_prefix("```sql ") {
                    open = Some((word.trim().to_owned(), "migrations/1.sql".to_owned(), BTreeMap::new()));
                }
            }
            Some((word, _, files)) if line == "```" => {
                found.push((word.clone(), std::mem::take(files)));
                open = None;
            }
            Some((_, name, files)) => match line.strip_prefix("-- file: ") {
                Some(file) => *name = file.trim().to_owned(),
                None => {
                    let text = files.entry(name.clone()).or_default();
                    text.push_str(line);
                    text.push('\n');
                }
            },
        }
    }
    found
}

#[test]
fn the_examples_of_every_page_are_true() {
    for rule in &RULES {
        assert!(rule.markdown.starts_with(&format!("# {}\n", rule.id)), "{}", rule.id);
        assert!(rule.markdown.contains(rule.summary), "the page of {} lacks its summary", rule.id);
        let blocks = blocks(rule.markdown);
        for word in ["bad", "good"] {
            assert!(blocks.iter().any(|(block, _)| block == word), "{} has no {word} example", rule.id);
        }
        for (word, files) in blocks {
            let mut replay = Replay::default();
            let mut paths: Vec<&String> = files.keys().collect();
            paths.sort_by(|a, b| compare(a, b));
            for path in paths {
                replay.apply(path, &changes(&files[path]));
            }
            let mut found: Vec<(String, u32)> = check(&replay.finish())
                .into_iter()
                .filter(|finding| finding.rule == rule.id)
                .map(|finding| (finding.path, finding.line))
                .collect();
            let mut marked: Vec<(String, u32)> = files
                .iter()
                .flat_map(|(path, text)| {
                    (1_u32..)
                        .zip(text.lines())
                        .filter(|(_, line)| line.ends_with("-- finding"))
                        .map(|(number, _)| (path.clone(), number))
                })
                .collect();
            found.sort();
            marked.sort();
            assert_eq!(found, marked, "{} {word}", rule.id);
            assert_eq!(marked.is_empty(), word == "good", "{} {word}", rule.id);
        }
    }
}

#[test]
fn good_examples_are_clean_of_every_high_finding() {
    for rule in &RULES {
        for (word, files) in blocks(rule.markdown).into_iter().filter(|(word, _)| word == "good") {
            let mut replay = Replay::default();
            for (path, text) in &files {
                replay.apply(path, &changes(text));
            }
            let high: Vec<Finding> = check(&replay.finish())
                .into_iter()
                .filter(|finding| finding.severity == Severity::High)
                .collect();
            assert!(high.is_empty(), "{} {word}: {high:#?}", rule.id);
        }
    }
}
