//! The pages of the rules are their tests.
//!
//! A fenced block is one project: ` ```ts bad `, ` ```py good `, ` ```js reworded `. Several files stand in one block, each behind a
//! line `// file: name` (or `# file: name`, `-- file: name`). In `bad` and `reworded` blocks a trailing comment that begins with
//! `finding` marks each line that the rule must report, and no other line may be; a block with `low` behind it may have
//! findings of severity low only, with `medium` of medium at most, and with `high` of high only. In `good` blocks nothing is reported.

use std::{collections::BTreeSet, sync::Arc};

use partywall_model::{Finding, Severity};

use super::{Report, Rule};
use crate::{
    lang::{self, prisma, sql},
    library::Libraries,
    project::{Input, Project},
    run::of_prisma,
    tables::Replay,
    tenancy::Tenancy,
    vocabulary::own,
};

mod moves;
mod moves_py;
mod rewrites;

struct Block {
    kind: String,
    most: Severity,
    least: Severity,
    line: usize,
    files: Vec<(String, String)>,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = markdown.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let words: Vec<&str> = info.split_whitespace().collect();
        let body: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| !line.starts_with("```")).collect();
        let [language, kind, rest @ ..] = words.as_slice() else { continue };
        if !matches!(*kind, "bad" | "good" | "reworded") {
            continue;
        }
        let mut files: Vec<(String, String)> = Vec::new();
        for line in body {
            let name = ["// file: ", "# file: ", "-- file: "].iter().find_map(|mark| line.strip_prefix(mark));
            if let Some(name) = name {
                files.push((name.trim().to_owned(), String::new()));
                continue;
            }
            if files.is_empty() {
                files.push((format!("main.{language}"), String::new()));
            }
            let text = &mut files.last_mut().unwrap().1;
            text.push_str(line);
            text.push('\n');
        }
        let says = |word: &str| rest.contains(&word);
        let most = if says("low") {
            Severity::Low
        } else if says("medium") {
            Severity::Medium
        } else {
            Severity::High
        };
        let least = if says("high") { Severity::High } else { Severity::Low };
        blocks.push(Block { kind: (*kind).to_owned(), most, least, line: number + 1, files });
    }
    blocks
}

/// A project of a block's files, as one server with several tenants, and its own words for them.
fn project(files: &[(String, String)]) -> (Project, own::Words) {
    let mut input = Input {
        libraries: Libraries::built_in().unwrap(),
        tenancy: Some(Tenancy::Multi),
        ..Input::default()
    };
    for (path, text) in files {
        match lang::lower(path, Arc::from(text.as_str())) {
            Some(lowered) => {
                assert!(lowered.notices.is_empty(), "{path}: {:?}", lowered.notices);
                input.modules.push(lowered.module);
            }
            None if path.ends_with(".prisma") => {}
            None => input.manifests.push((path.clone(), text.clone())),
        }
    }
    let mut replay = Replay::default();
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with(".sql")) {
        replay.apply(path, &sql::changes(text));
    }
    let prisma = files.iter().filter(|(path, _)| path.ends_with(".prisma"));
    replay.models(
        prisma
            .flat_map(|(path, text)| {
                let path: Arc<str> = Arc::from(path.as_str());
                prisma::models(text).iter().flat_map(|model| of_prisma(model, &path)).collect::<Vec<_>>()
            })
            .collect(),
    );
    let words = own::take(
        replay.words(input.modules.iter().flat_map(crate::ir::Module::texts)),
        replay.keeps_customers(input.modules.iter().flat_map(crate::ir::Module::texts)),
    );
    input.tables = replay.finish();
    (Project::new(input), words)
}

fn found(rule: &'static Rule, files: &[(String, String)]) -> Vec<Finding> {
    let (project, _words) = project(files);
    let mut report = Report::new(&project, rule);
    (rule.run)(&project, &mut report);
    report.finish()
}

/// The lines whose marks say how severe the finding is: `// finding high`.
fn marked(files: &[(String, String)]) -> Vec<(String, u32, Severity)> {
    let levels = [("high", Severity::High), ("medium", Severity::Medium), ("low", Severity::Low)];
    let mut marked = Vec::new();
    for (path, text) in files {
        for (number, line) in (1..).zip(text.lines()) {
            let said = line.rsplit_once(" finding ").map(|(_, said)| said.trim());
            let level = levels.iter().find(|(name, _)| said == Some(name));
            marked.extend(level.map(|(_, severity)| (path.clone(), number, *severity)));
        }
    }
    marked
}

fn wanted(files: &[(String, String)]) -> BTreeSet<(String, u32)> {
    let mut wanted = BTreeSet::new();
    for (path, text) in files {
        for (number, line) in (1..).zip(text.lines()) {
            if ["// finding", "# finding", "-- finding"].iter().any(|mark| line.contains(mark)) {
                wanted.insert((path.clone(), number));
            }
        }
    }
    wanted
}

#[test]
fn every_page_finds_what_it_marks_and_nothing_else() {
    let mut wrong = Vec::new();
    for rule in super::all() {
        let id = rule.check.id;
        let blocks = blocks(rule.markdown);
        for kind in ["bad", "good", "reworded"] {
            if !blocks.iter().any(|block| block.kind == kind) {
                wrong.push(format!("{id}: the page has no `{kind}` block"));
            }
        }
        for block in &blocks {
            let wanted = wanted(&block.files);
            if (block.kind == "good") != wanted.is_empty() {
                wrong.push(format!(
                    "{id}: line {}: a `{}` block has {} marks",
                    block.line,
                    block.kind,
                    wanted.len()
                ));
            }
            let found = found(rule, &block.files);
            let lines: BTreeSet<_> =
                found.iter().map(|finding| (finding.path.clone(), finding.line)).collect();
            if lines != wanted {
                let lines: Vec<_> =
                    found.iter().map(|f| format!("{}:{} {}", f.path, f.line, f.message)).collect();
                wrong.push(format!(
                    "{id}: line {} ({}): wanted {wanted:?}, found {}",
                    block.line,
                    block.kind,
                    if lines.is_empty() { "nothing".to_owned() } else { lines.join("; ") }
                ));
            }
            for (path, line, severity) in marked(&block.files) {
                if found.iter().all(|f| (f.line, f.severity) != (line, severity) || f.path != path) {
                    wrong.push(format!("{id}: line {}: {path}:{line} is not {severity:?}", block.line));
                }
            }
            let highest = found.iter().map(|finding| finding.severity).max();
            if highest.is_some_and(|severity| severity > block.most) {
                wrong.push(format!("{id}: line {}: more than {:?}", block.line, block.most));
            }
            if found.iter().any(|finding| finding.severity < block.least) {
                wrong.push(format!("{id}: line {}: less than {:?}", block.line, block.least));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_rule_is_named_for_its_file_and_has_a_page() {
    let mut ids = BTreeSet::new();
    for rule in super::all() {
        let id = rule.check.id;
        assert!(ids.insert(id), "{id} is there twice");
        assert!(id.chars().all(|char| char.is_ascii_lowercase() || char == '-'), "{id}");
        assert!(rule.markdown.starts_with(&format!("# {id}\n")), "{id}: its page begins with its id");
    }
}
