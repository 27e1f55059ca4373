//! Where code stands changes no verdict: handlers of every page's scripts taken out, moved to another file, made methods,
//! and their arguments and texts taken apart.
//!
//! The marks of the findings move with their lines, so that each rewritten project says itself what is to be found in it.

use super::*;

/// What a rewrite makes of a script: its files. None where it does not apply.
type Move = fn(&Script) -> Option<Vec<(String, String)>>;

const ANOTHER_FILE: &str = "a handler in another file";

const MOVES: &[(&str, Move)] = &[
    ("a handler as a function of the module", extracted),
    (ANOTHER_FILE, moved),
    ("a handler as a method of a class", methods),
    ("arguments taken apart in the body", apart),
    ("texts put together of two", concatenated),
];

/// A file whose handlers, functions that are written into calls of the module, were found.
struct Script<'t> {
    path: &'t str,
    text: &'t str,
    handlers: Vec<Handler>,
}

/// `async (parameters) => {` … `}`, by its places in the text.
struct Handler {
    begin: usize,
    parameters: String,
    body: std::ops::Range<usize>,
    /// Behind the closing brace.
    end: usize,
}

impl<'t> Script<'t> {
    fn of(path: &'t str, text: &'t str) -> Self {
        const HEAD: &str = "async (";
        let mut handlers: Vec<Handler> = Vec::new();
        for (begin, _) in text.match_indices(HEAD) {
            let inside = handlers.last().is_some_and(|handler| begin < handler.end);
            let (Some(close), before) = (matching(text, begin + HEAD.len() - 1), text.get(..begin).unwrap())
            else {
                continue;
            };
            // In the argument list of a call that stands in the module itself, and not in a function of it.
            let braces =
                before.matches('{').count() - before.matches('}').count().min(before.matches('{').count());
            let Some(rest) = text.get(close + 1..) else { continue };
            if inside || braces != 0 || !rest.starts_with(" => {") {
                continue;
            }
            let open = close + 1 + " => ".len();
            let Some(end) = matching(text, open) else { continue };
            let parameters = text.get(begin + HEAD.len()..close).unwrap().to_owned();
            handlers.push(Handler { begin, parameters, body: open + 1..end, end: end + 1 });
        }
        Self { path, text, handlers }
    }

    /// The text with something else in the place of each handler.
    fn with(&self, other: impl Fn(usize, &Handler) -> String) -> String {
        let mut out = String::new();
        let mut at = 0;
        for (number, handler) in self.handlers.iter().enumerate() {
            out.push_str(self.text.get(at..handler.begin).unwrap());
            out.push_str(&other(number, handler));
            at = handler.end;
        }
        out + self.text.get(at..).unwrap()
    }

    fn body(&self, handler: &Handler) -> &str {
        self.text.get(handler.body.clone()).unwrap()
    }

    /// A mark in the handler's first line would move with its body.
    fn is_marked(&self, handler: &Handler) -> bool {
        let line = self.body(handler).lines().next().unwrap_or_default();
        line.contains("finding")
    }

    fn can_move(&self) -> bool {
        !self.handlers.is_empty() && !self.handlers.iter().any(|handler| self.is_marked(handler))
    }

    /// The names that the module declares.
    fn names(&self) -> Vec<&str> {
        let declared = |line: &'t str| {
            let line = line.strip_prefix("export ").unwrap_or(line);
            let line = line.strip_prefix("async ").unwrap_or(line);
            let rest = ["const ", "let ", "var ", "function ", "class "]
                .iter()
                .find_map(|word| line.strip_prefix(word))?;
            rest.split(|char: char| !char.is_alphanumeric() && char != '_')
                .next()
                .filter(|name| !name.is_empty())
        };
        self.text.lines().filter_map(declared).collect()
    }
}

/// The place of the bracket that closes the one at `open`; brackets in texts are those of their code here.
fn matching(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, char) in text.get(open..)?.char_indices() {
        match char {
            '(' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(open + at);
                }
            }
            _ => {}
        }
    }
    None
}

fn extracted(script: &Script) -> Option<Vec<(String, String)>> {
    if !script.can_move() {
        return None;
    }
    let mut text = script.with(|number, _| format!("handle{number}"));
    for (number, handler) in script.handlers.iter().enumerate() {
        let body = script.body(handler);
        text.push_str(&format!("\nasync function handle{number}({}) {{{body}}}\n", handler.parameters));
    }
    Some(vec![(script.path.to_owned(), text)])
}

fn methods(script: &Script) -> Option<Vec<(String, String)>> {
    if !script.can_move() || script.text.contains("this.") {
        return None;
    }
    let mut class = "class Handlers {\n".to_owned();
    for (number, handler) in script.handlers.iter().enumerate() {
        class.push_str(&format!(
            "async handle{number}({}) {{{}}}\n",
            handler.parameters,
            script.body(handler)
        ));
    }
    class.push_str("}\nconst handlers = new Handlers();\n");
    // Behind the imports and what the module declares before its first handler.
    let text = script.with(|number, _| format!("(input, more) => handlers.handle{number}(input, more)"));
    Some(vec![(script.path.to_owned(), text + &class)])
}

fn moved(script: &Script) -> Option<Vec<(String, String)>> {
    if !script.can_move() || script.text.contains("require(") || script.path.contains('/') {
        return None;
    }
    let (stem, extension) = script.path.rsplit_once('.')?;
    let bodies: String = script.handlers.iter().map(|handler| script.body(handler)).collect();
    let uses = |name: &&str| {
        bodies.split(|char: char| !char.is_alphanumeric() && char != '_').any(|word| word == *name)
    };
    let used: Vec<&str> = script.names().into_iter().filter(uses).collect();
    // An imported name cannot be assigned to.
    if used
        .iter()
        .any(|name| [" = ", " += ", "++"].iter().any(|after| bodies.contains(&format!("{name}{after}"))))
    {
        return None;
    }
    let imports: String = script
        .text
        .lines()
        .filter(|line| line.starts_with("import "))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut other = format!("{imports}import {{ {} }} from \"./{stem}.js\";\n", used.join(", "));
    for (number, handler) in script.handlers.iter().enumerate() {
        let body = script.body(handler);
        other.push_str(&format!(
            "\nexport async function handle{number}({}) {{{body}}}\n",
            handler.parameters
        ));
    }
    let names: Vec<String> = (0..script.handlers.len()).map(|number| format!("handle{number}")).collect();
    let main: String = script
        .with(|number, _| format!("handle{number}"))
        .lines()
        .map(|line| {
            let own = used.iter().any(|name| {
                ["const ", "let ", "var ", "function ", "async function ", "class "]
                    .iter()
                    .any(|word| line.strip_prefix(word).is_some_and(|rest| rest.starts_with(name)))
            });
            if own { format!("export {line}\n") } else { format!("{line}\n") }
        })
        .collect();
    let main = format!("import {{ {} }} from \"./handlers.js\";\n{main}", names.join(", "));
    Some(vec![(script.path.to_owned(), main), (format!("handlers.{extension}"), other)])
}

fn apart(script: &Script) -> Option<Vec<(String, String)>> {
    let mut changed = false;
    for handler in &script.handlers {
        changed |= taken_apart(&handler.parameters).is_some();
    }
    if !changed || script.handlers.iter().any(|handler| script.is_marked(handler)) {
        return None;
    }
    let text = script.with(|_, handler| {
        let body = script.body(handler);
        match taken_apart(&handler.parameters) {
            Some((pattern, rest)) => {
                format!("async (given{rest}) => {{\n  const {pattern} = given;{body}}}")
            }
            None => format!("async ({}) => {{{body}}}", handler.parameters),
        }
    });
    Some(vec![(script.path.to_owned(), text)])
}

/// `{ a, b }: Type, more` as the pattern and the rest of the parameters, with the type in it.
fn taken_apart(parameters: &str) -> Option<(&str, &str)> {
    let close = parameters.starts_with('{').then(|| matching(parameters, 0))??;
    Some((parameters.get(..=close)?, parameters.get(close + 1..)?))
}

fn concatenated(script: &Script) -> Option<Vec<(String, String)>> {
    let split = |line: &str| {
        let (before, after) = line.split_once("(\"")?;
        let (inner, rest) = after.split_once('"')?;
        let (first, second) = inner.split_once(' ')?;
        let fits =
            !line.contains("import") && !line.contains("require") && !line.trim_start().starts_with('@');
        (fits && !inner.contains('\\')).then(|| format!("{before}(\"{first} \" + \"{second}\"{rest}\n"))
    };
    let text: String =
        script.text.lines().map(|line| split(line).unwrap_or_else(|| format!("{line}\n"))).collect();
    (text != script.text).then(|| vec![(script.path.to_owned(), text)])
}

#[test]
fn where_code_stands_changes_no_verdict() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (name, rewrite) in MOVES {
        let mut applied = 0;
        for rule in crate::rules::all() {
            for block in blocks(rule.markdown) {
                let [(path, text)] = block.files.as_slice() else { continue };
                if ![".js", ".ts"].iter().any(|end| path.ends_with(end)) {
                    continue;
                }
                // It reports the place of use too when that is far from where the server is made, as it is then.
                if rule.check.id == "shared-server" && *name == ANOTHER_FILE {
                    continue;
                }
                let Some(files) = rewrite(&Script::of(path, text)) else { continue };
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
