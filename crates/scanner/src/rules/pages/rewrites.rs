//! What does not change what code does changes no verdict: every block of every page, rewritten.

use super::*;

/// A change of a file's name and text that keeps lines where they are; none where it does not apply.
type Rewrite = fn(&str, &str) -> Option<(String, String)>;

const REWRITES: &[(&str, Rewrite)] = &[
    ("line ends of Windows", windows),
    ("wider indentation", wider),
    ("comments behind lines", commented),
    ("arrow functions as function expressions", functions),
    ("imported names under another name", aliased),
    ("imports as require", required),
    ("JavaScript as TypeScript", typed),
    ("texts as templates", templates),
];

fn is_script(path: &str) -> bool {
    [".js", ".ts", ".tsx", ".mjs"].iter().any(|end| path.ends_with(end))
}

fn windows(path: &str, text: &str) -> Option<(String, String)> {
    Some((path.to_owned(), text.replace('\n', "\r\n")))
}

fn wider(path: &str, text: &str) -> Option<(String, String)> {
    let wide = |line: &str| {
        let inner = line.trim_start_matches(' ');
        format!("{}{inner}\n", " ".repeat(2 * (line.len() - inner.len())))
    };
    (!text.contains("\"\"\"")).then(|| (path.to_owned(), text.lines().map(wide).collect()))
}

fn commented(path: &str, text: &str) -> Option<(String, String)> {
    if !is_script(path) || text.contains('`') {
        return None;
    }
    // Comments of the page stay the last thing in their line.
    let more =
        |line: &str| if line.contains("//") { format!("{line}\n") } else { format!("{line} /* seen */\n") };
    Some((path.to_owned(), text.lines().map(more).collect()))
}

fn functions(path: &str, text: &str) -> Option<(String, String)> {
    if !is_script(path) || text.contains("this") || !text.contains("async (") {
        return None;
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("async (") {
        out.push_str(before);
        match after.split_once(") => {") {
            Some((parameters, body)) if !parameters.contains(['(', ')', '\n']) => {
                out.push_str(&format!("async function ({parameters}) {{"));
                rest = body;
            }
            _ => {
                out.push_str("async (");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    (out != text).then(|| (path.to_owned(), out))
}

/// `import { A, B } from "m";` at the beginning of lines, with the names.
fn imports(text: &str) -> Vec<(&str, Vec<&str>)> {
    let named = |line| {
        let names = str::strip_prefix(line, "import { ")?.split_once(" } from ")?.0;
        (!names.contains(" as ") && !names.contains("type ")).then(|| (line, names.split(", ").collect()))
    };
    text.lines().filter_map(named).collect()
}

/// Every use of a name as a name of its own: not a member, not within another word or a text.
fn renamed(text: &str, name: &str, new: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(name) {
        out.push_str(before);
        let word =
            |char: char| char.is_alphanumeric() || matches!(char, '_' | '$' | '"' | '\'' | '-' | '/' | '`');
        let alone = !out.ends_with(|char| word(char) || char == '.')
            && !after.starts_with(|char| word(char) || char == ':');
        out.push_str(if alone { new } else { name });
        rest = after;
    }
    out.push_str(rest);
    out
}

fn aliased(path: &str, text: &str) -> Option<(String, String)> {
    let imports = imports(text);
    if !is_script(path) || imports.is_empty() {
        return None;
    }
    let mut out = text.to_owned();
    for (line, names) in imports {
        let mut alias = line.to_owned();
        for name in names {
            let new = format!("{name}Other");
            // Object shorthand would change the property's name.
            if ["{ ", ", "].iter().any(|start| out.replace(line, "").contains(&format!("{start}{name} }}"))) {
                return None;
            }
            out =
                out.lines()
                    .map(|own| {
                        if own == line {
                            format!("{own}\n")
                        } else {
                            format!("{}\n", renamed(own, name, &new))
                        }
                    })
                    .collect();
            alias = renamed(&alias, name, &format!("{name} as {new}"));
        }
        out = out.replace(line, &alias);
    }
    Some((path.to_owned(), out))
}

fn required(path: &str, text: &str) -> Option<(String, String)> {
    let imports = imports(text);
    if !path.ends_with(".js")
        || imports.is_empty()
        || text.contains("export ")
        || imports.len() != text.matches("import ").count()
    {
        return None;
    }
    let mut out = text.to_owned();
    for (line, _) in imports {
        let (names, module) = line.strip_prefix("import ")?.split_once(" from ")?;
        let module = module.split(';').next()?;
        out = out.replace(line, &format!("const {names} = require({module});"));
    }
    Some((path.to_owned(), out))
}

fn typed(path: &str, text: &str) -> Option<(String, String)> {
    Some((format!("{}.ts", path.strip_suffix(".js")?), text.to_owned()))
}

fn templates(path: &str, text: &str) -> Option<(String, String)> {
    if !is_script(path) || text.contains('`') {
        return None;
    }
    // Only arguments: a property's name or an import cannot be a template.
    let out: String = text
        .lines()
        .map(|line| match line.split_once("(\"") {
            Some((before, after))
                if !line.contains("import")
                    && !line.contains("require")
                    && !line.trim_start().starts_with('@') =>
            {
                match after.split_once('"') {
                    Some((inner, rest)) if !inner.contains(['$', '\\']) => {
                        format!("{before}(`{inner}`{rest}\n")
                    }
                    _ => format!("{line}\n"),
                }
            }
            _ => format!("{line}\n"),
        })
        .collect();
    (out != text).then(|| (path.to_owned(), out))
}

#[test]
fn a_rewrite_that_changes_nothing_changes_no_verdict() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, rewrite) in REWRITES {
        let mut applied = 0;
        for rule in crate::rules::all() {
            for block in blocks(rule.markdown) {
                // Imports between the files of a block name them; only a lone file may change its name.
                let rewritten: Vec<_> = block.files.iter().map(|(path, text)| rewrite(path, text)).collect();
                let renames = rewritten
                    .iter()
                    .zip(&block.files)
                    .any(|(new, (old, _))| new.as_ref().is_some_and(|(new, _)| new != old));
                if rewritten.iter().all(Option::is_none) || (renames && block.files.len() > 1) {
                    continue;
                }
                let files: Vec<_> = rewritten
                    .into_iter()
                    .zip(&block.files)
                    .map(|(new, old)| new.unwrap_or_else(|| old.clone()))
                    .collect();
                applied += 1;
                let lines = |found: Vec<Finding>| -> Vec<(u32, Severity)> {
                    found.iter().map(|finding| (finding.line, finding.severity)).collect()
                };
                let before = lines(found(rule, &block.files));
                let after = lines(found(rule, &files));
                if before != after {
                    wrong.push(format!(
                        "{name}: {}: line {}: {before:?} became {after:?}",
                        rule.check.id, block.line
                    ));
                }
            }
        }
        if applied < 5 {
            wrong.push(format!("{name}: applies to {applied} blocks only"));
        }
        eprintln!("{name}: {applied}");
        count += applied;
    }
    assert!(wrong.is_empty(), "{} of {count} rewrites change a verdict:\n{}", wrong.len(), wrong.join("\n"));
}
