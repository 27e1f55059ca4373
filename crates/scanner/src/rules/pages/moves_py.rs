//! The same for Python: the bodies of decorated functions in functions of their own, in the same file and in another one.

use super::*;

/// A function with decorators, in a file of Python.
struct Tool<'t> {
    decorators: Vec<&'t str>,
    head: &'t str,
    /// `name`, and its parameters as they are written and by their names.
    name: &'t str,
    parameters: &'t str,
    arguments: Vec<&'t str>,
    body: Vec<&'t str>,
}

/// A file as its tools and the lines between them.
enum Part<'t> {
    Line(&'t str),
    Tool(Tool<'t>),
}

fn parts(text: &str) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut lines = text.lines().peekable();
    let mut decorators = Vec::new();
    while let Some(line) = lines.next() {
        if line.starts_with('@') {
            decorators.push(line);
            continue;
        }
        let head = line.strip_prefix("async def ").or_else(|| line.strip_prefix("def "));
        let (Some(rest), false) = (head, decorators.is_empty()) else {
            parts.extend(decorators.drain(..).map(Part::Line));
            parts.push(Part::Line(line));
            continue;
        };
        let (name, rest) = rest.split_once('(')?;
        let (parameters, _) = rest.split_once(')')?;
        let mut body = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with([' ', '\t']) || line.is_empty()) {
            body.push(line);
        }
        let one = |parameter: &'_ str| parameter.contains(['=', '[', '*', '(']);
        if parameters.split(", ").any(one)
            || line.contains("finding")
            || body.iter().all(|line| line.is_empty())
        {
            return None;
        }
        let arguments = parameters.split(", ").map(|one| one.split(':').next().unwrap_or_default().trim());
        let arguments = arguments.filter(|name| !name.is_empty()).collect();
        let decorators = std::mem::take(&mut decorators);
        parts.push(Part::Tool(Tool { decorators, head: line, name, parameters, arguments, body }));
    }
    parts.iter().any(|part| matches!(part, Part::Tool(_))).then_some(parts)
}

impl Tool<'_> {
    /// Calls what its body has become; and that.
    fn divided(&self) -> (String, String) {
        let Self { decorators, head, name, parameters, arguments, body } = self;
        let (wait, kind) = if head.starts_with("async ") { ("await ", "async def") } else { ("", "def") };
        let mut caller: String = decorators.iter().map(|line| format!("{line}\n")).collect();
        caller.push_str(&format!("{head}\n    return {wait}do_{name}({})\n", arguments.join(", ")));
        let body: String = body.iter().map(|line| format!("{line}\n")).collect();
        (caller, format!("{kind} do_{name}({parameters}):\n{body}"))
    }
}

fn divided(path: &str, text: &str) -> Option<Vec<(String, String)>> {
    let (mut out, mut bodies) = (String::new(), String::new());
    for part in parts(text)? {
        match part {
            Part::Line(line) => out.push_str(&format!("{line}\n")),
            Part::Tool(tool) => {
                let (caller, body) = tool.divided();
                out.push_str(&caller);
                bodies.push_str(&format!("\n\n{body}"));
            }
        }
    }
    Some(vec![(path.to_owned(), out + &bodies)])
}

fn moved(path: &str, text: &str) -> Option<Vec<(String, String)>> {
    let stem = path.strip_suffix(".py").filter(|stem| !stem.contains('/'))?;
    let (mut main, mut bodies, mut imports, mut calls) =
        (String::new(), String::new(), String::new(), Vec::new());
    let (mut names, mut used) = (Vec::new(), BTreeSet::new());
    for part in parts(text)? {
        match part {
            Part::Line(line) => {
                main.push_str(&format!("{line}\n"));
                if line.starts_with("import ") || line.starts_with("from ") {
                    imports.push_str(&format!("{line}\n"));
                    continue;
                }
                let declared =
                    ["async def ", "def ", "class "].iter().find_map(|word| line.strip_prefix(word));
                let name = declared.or_else(|| line.split_once(['=', ':']).map(|(name, _)| name));
                let name =
                    name.and_then(|name| name.split(|c: char| !c.is_alphanumeric() && c != '_').next());
                names.extend(name.filter(|name| {
                    !name.is_empty() && line.starts_with(|c: char| c.is_alphabetic() || c == '_')
                }));
            }
            Part::Tool(tool) => {
                // A name that is assigned to belongs to its module.
                if tool.body.iter().any(|line| line.trim_start().starts_with("global ")) {
                    return None;
                }
                let (caller, body) = tool.divided();
                used.extend(body.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned));
                main.push_str(&caller);
                bodies.push_str(&format!("\n\n{body}"));
                calls.push(format!("do_{}", tool.name));
            }
        }
    }
    names.retain(|name| used.contains(*name));
    let own =
        if names.is_empty() { String::new() } else { format!("from {stem} import {}\n", names.join(", ")) };
    Some(vec![
        (path.to_owned(), format!("from work import {}\n{main}", calls.join(", "))),
        ("work.py".to_owned(), format!("{imports}{own}{bodies}")),
    ])
}

#[test]
fn where_python_stands_changes_no_verdict() {
    let mut wrong = Vec::new();
    let mut count = 0;
    type Move = fn(&str, &str) -> Option<Vec<(String, String)>>;
    let moves: [(&str, Move); 2] =
        [("a tool's body in a function", divided), ("a tool's body in another file", moved)];
    for (name, rewrite) in moves {
        let mut applied = 0;
        for rule in crate::rules::all() {
            for block in blocks(rule.markdown) {
                let [(path, text)] = block.files.as_slice() else { continue };
                if !path.ends_with(".py") {
                    continue;
                }
                // It reports the first call that gets the argument: then that of the body.
                if rule.check.id == "tenant-from-input" {
                    continue;
                }
                let Some(files) = rewrite(path, text) else { continue };
                applied += 1;
                let wanted = wanted(&files);
                let found: BTreeSet<_> =
                    found(rule, &files).into_iter().map(|finding| (finding.path, finding.line)).collect();
                if found != wanted {
                    let id = rule.check.id;
                    wrong.push(format!(
                        "{name}: {id}: line {}: wanted {wanted:?}, found {found:?}",
                        block.line
                    ));
                }
            }
        }
        eprintln!("{name}: {applied}");
        if applied < 5 {
            wrong.push(format!("{name}: applies to {applied} blocks only"));
        }
        count += applied;
    }
    assert!(wrong.is_empty(), "{} of {count} rewrites change a verdict:\n{}", wrong.len(), wrong.join("\n"));
}
