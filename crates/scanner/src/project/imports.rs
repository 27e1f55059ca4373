//! From the text of an import to the module that it names.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap as HashMap, FxHashSet as HashSet};
use serde_json::Value;

use super::{ModuleId, Unit, packages};
use crate::ir::Language;

/// Where modules are, and what manifests say about names.
#[derive(Debug, Default)]
pub struct Paths {
    /// A path without its extension, `index` and `__init__` → the module.
    stems: HashMap<String, ModuleId>,
    /// The last part of a stem → all stems that end so.
    ends: HashMap<String, Vec<String>>,
    /// The names of all folders and modules.
    names: HashSet<String>,
    /// The names of packages of this workspace → their folders.
    workspace: BTreeMap<String, String>,
    /// By the names of packages of this workspace, what they export from where.
    exported: BTreeMap<String, Vec<(String, Vec<String>)>>,
    /// `paths` of tsconfig files, `imports` of packages and of Deno: folder, pattern, targets.
    aliases: Vec<(String, String, Vec<String>)>,
}

/// What projects call the package of their own code.
const OWN_PACKAGES: &[&str] =
    &["app", "src", "server", "backend", "api", "core", "services", "lib", "main", "project", "apps"];

/// Folders of a program that it imports as `@services/…`; packages of others are in no scope of that name.
const FOLDERS: &[&str] = &[
    "app",
    "api",
    "server",
    "backend",
    "src",
    "lib",
    "libs",
    "utils",
    "services",
    "service",
    "modules",
    "models",
    "controllers",
    "middleware",
    "middlewares",
    "repositories",
    "entities",
    "domain",
    "infra",
    "infrastructure",
    "helpers",
    "routes",
    "handlers",
    "tools",
    "schemas",
    "features",
    "common",
    "shared",
    "config",
    "db",
    "database",
    "core",
    "types",
];

impl Paths {
    /// Reads the modules' paths and the manifests (`package.json`, `tsconfig.json`), given by path and text.
    #[must_use]
    pub fn new(units: &[Unit], manifests: &[(String, String)]) -> Self {
        let mut all = Self::default();
        for (id, unit) in (0..).map(ModuleId).zip(units) {
            let stem = stem(&unit.ir.path).to_owned();
            let end = stem.rsplit('/').next().unwrap_or("").to_owned();
            for name in stem.split('/') {
                if !all.names.contains(name) {
                    all.names.insert(name.to_owned());
                }
            }
            all.ends.entry(end).or_default().push(stem.clone());
            // TypeScript source goes before JavaScript that was made of it.
            let typed = unit.ir.path.ends_with("ts") || unit.ir.path.ends_with("tsx");
            if typed || !all.stems.contains_key(&stem) {
                all.stems.insert(stem, id);
            }
        }
        for (path, text) in manifests {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            let name = path.rsplit('/').next().unwrap_or("");
            // Lock files are large, and say nothing of names.
            let is_deno = matches!(name, "deno.json" | "deno.jsonc" | "import_map.json");
            let of_compiler = name.starts_with("tsconfig") || name.starts_with("jsconfig");
            if name != "package.json" && !of_compiler && !is_deno {
                continue;
            }
            let Ok(json) = serde_json::from_str::<Value>(&without_comments(text)) else { continue };
            if name == "package.json"
                && let Some(name) = json.get("name").and_then(Value::as_str)
            {
                all.workspace.insert(name.to_owned(), folder.to_owned());
                all.exported.insert(name.to_owned(), packages::exported(&json));
            }
            if name == "package.json" || is_deno {
                let named = packages::imported(&json).into_iter();
                let below =
                    |targets: Vec<String>| targets.iter().map(|target| join(folder, target)).collect();
                all.aliases
                    .extend(named.map(|(pattern, targets)| (folder.to_owned(), pattern, below(targets))));
            } else {
                all.add_aliases(folder, &json);
            }
        }
        all
    }

    fn add_aliases(&mut self, folder: &str, json: &Value) {
        let Some(options) = json.get("compilerOptions") else { return };
        let said = options.get("baseUrl").and_then(Value::as_str);
        let base = join(folder, said.unwrap_or("."));
        for (pattern, targets) in options.get("paths").and_then(Value::as_object).into_iter().flatten() {
            let targets = targets.as_array().into_iter().flatten().filter_map(Value::as_str);
            let targets = targets.map(|target| join(&base, target)).collect();
            self.aliases.push((folder.to_owned(), pattern.clone(), targets));
        }
        // Where a folder is said, every name that is no path may be one of a module below it (TypeScript, "baseUrl").
        if said.is_some() {
            self.aliases.push((folder.to_owned(), "*".to_owned(), vec![join(&base, "*")]));
        }
    }

    /// The module that a specifier names in a module.
    #[must_use]
    pub fn resolve(&self, importer: &str, language: Language, specifier: &str) -> Option<ModuleId> {
        match language {
            Language::JavaScript => self.javascript(importer, specifier),
            Language::Python => self.python(importer, specifier),
        }
    }

    fn javascript(&self, importer: &str, specifier: &str) -> Option<ModuleId> {
        let folder = importer.rsplit_once('/').map_or("", |(folder, _)| folder);
        if specifier.starts_with('.') {
            return self.at(&join(folder, specifier));
        }
        for (root, pattern, targets) in &self.aliases {
            if !importer.starts_with(root.as_str()) {
                continue;
            }
            let Some(middle) = alias(pattern, specifier) else { continue };
            let found = targets.iter().find_map(|target| self.at(&target.replace('*', middle)));
            if found.is_some() {
                return found;
            }
        }
        // The package with the longest name that the specifier is, or that a `/` comes after.
        let ends = specifier.rmatch_indices('/').map(|(end, _)| end);
        for end in std::iter::once(specifier.len()).chain(ends) {
            let Some((name, rest)) = specifier.split_at_checked(end) else { continue };
            let Some(root) = self.workspace.get(name) else { continue };
            let rest = rest.strip_prefix('/').unwrap_or(rest);
            if let Some(found) = self.exported_from(root, name, rest) {
                return Some(found);
            }
            let tries =
                [join(root, rest), join(root, &format!("src/{rest}")), join(root, &format!("lib/{rest}"))];
            let found = tries.iter().find_map(|path| self.at(path));
            return found;
        }
        for mark in ["@/", "~/", "#/", "src/", "@@/", "~~/", "$/"] {
            if let Some(rest) = specifier.strip_prefix(mark) {
                return self.by_end(importer, rest);
            }
        }
        // `$lib/stores` of SvelteKit, `@services/notes` that a bundler is told of: a folder of the project under its own name.
        let (mark, path) = specifier.split_at_checked(1)?;
        let (first, _) = path.split_once('/')?;
        let own = matches!(mark, "$" | "#") || (mark == "@" && FOLDERS.contains(&first));
        own.then(|| self.by_end(importer, path))?
    }

    /// The module that a package of this workspace exports below its name, by its manifest.
    fn exported_from(&self, root: &str, name: &str, rest: &str) -> Option<ModuleId> {
        self.exported.get(name)?.iter().find_map(|(pattern, targets)| {
            let middle = alias(pattern, rest)?;
            let sources = targets.iter().flat_map(|target| packages::sources(&target.replace('*', middle)));
            sources.into_iter().find_map(|source| self.at(&join(root, &source)))
        })
    }

    fn python(&self, importer: &str, specifier: &str) -> Option<ModuleId> {
        let dots = specifier.bytes().take_while(|byte| *byte == b'.').count();
        let names = specifier.trim_start_matches('.').replace('.', "/");
        if dots > 0 {
            let mut folder = importer.rsplit_once('/').map_or("", |(folder, _)| folder);
            for _ in 1..dots {
                folder = folder.rsplit_once('/').map_or("", |(folder, _)| folder);
            }
            return self.at(&join(folder, &names));
        }
        self.by_end(importer, &names).or_else(|| self.below_root(&names))
    }

    /// The module that a name ends in, when what is read is a folder inside of the package, or files out of it: `app.chats.chat_store`
    /// where there is a `chat_store.py` and no `app`. A package of others has a module of that name too if it is a plain one.
    fn below_root(&self, path: &str) -> Option<ModuleId> {
        let (first, _) = path.split_once('/')?;
        let (_, last) = path.rsplit_once('/')?;
        let own = OWN_PACKAGES.contains(&first) || last.trim_matches('_').contains('_');
        if !own || self.names.contains(first) {
            return None;
        }
        let stems = self.ends.get(last)?;
        let ends_so =
            |stem: &&String| path.strip_suffix(stem.as_str()).is_some_and(|before| before.ends_with('/'));
        let found = stems.iter().filter(ends_so).max_by_key(|stem| stem.len())?;
        self.stems.get(found).copied()
    }

    /// The module at a path, with any extension or as the index of a folder.
    fn at(&self, path: &str) -> Option<ModuleId> {
        self.stems.get(stem(path)).copied()
    }

    /// The module whose path ends so; of several, the one that has most in common with the importer.
    fn by_end(&self, importer: &str, path: &str) -> Option<ModuleId> {
        let path = stem(path);
        let stems = self.ends.get(path.rsplit('/').next()?)?;
        let fits = stems.iter().filter(|stem| {
            stem.strip_suffix(path).is_some_and(|before| before.is_empty() || before.ends_with('/'))
        });
        let common = |stem: &&String| stem.bytes().zip(importer.bytes()).take_while(|(a, b)| a == b).count();
        let best = fits.max_by_key(|stem| (common(stem), std::cmp::Reverse(stem.len())))?;
        self.stems.get(best).copied()
    }
}

fn alias<'s>(pattern: &str, specifier: &'s str) -> Option<&'s str> {
    match pattern.split_once('*') {
        Some((before, after)) => specifier.strip_prefix(before)?.strip_suffix(after),
        None => (pattern == specifier).then_some(""),
    }
}

fn stem(path: &str) -> &str {
    let mut stem = path;
    for extension in [".d.ts", ".tsx", ".ts", ".mts", ".cts", ".jsx", ".js", ".mjs", ".cjs", ".py", ".pyi"] {
        if let Some(rest) = stem.strip_suffix(extension) {
            stem = rest;
            break;
        }
    }
    for index in ["/index", "/__init__"] {
        stem = stem.strip_suffix(index).unwrap_or(stem);
    }
    if stem == "index" || stem == "__init__" { "" } else { stem }
}

/// Joins a folder and a relative path, both with `/`.
fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// JSON without the comments and trailing commas that tsconfig files have.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut in_string = false;
    while let Some(char) = chars.next() {
        if in_string {
            out.push(char);
            match char {
                '\\' => out.extend(chars.next()),
                '"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match (char, chars.peek()) {
            ('"', _) => {
                in_string = true;
                out.push(char);
            }
            ('/', Some('/')) => {
                for char in chars.by_ref() {
                    if char == '\n' {
                        break;
                    }
                }
            }
            ('/', Some('*')) => {
                let mut last = ' ';
                chars.next();
                for char in chars.by_ref() {
                    if last == '*' && char == '/' {
                        break;
                    }
                    last = char;
                }
            }
            (']' | '}', _) => {
                let kept = out.trim_end().len();
                if out.get(..kept).is_some_and(|text| text.ends_with(',')) {
                    out.truncate(kept.saturating_sub(1));
                }
                out.push(char);
            }
            _ => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_and_stripped() {
        assert_eq!(join("src/a", "../b/./c.js"), "src/b/c.js");
        assert_eq!(stem("src/b/index.ts"), "src/b");
        assert_eq!(stem("pkg/__init__.py"), "pkg");
        assert_eq!(alias("@/*", "@/db/pool"), Some("db/pool"));
    }

    #[test]
    fn a_tsconfig_may_have_comments() {
        let text = "{ // c\n \"a\": [1, 2,], /* x */ \"b\": \"//\" }";
        let json: Value = serde_json::from_str(&without_comments(text)).unwrap();
        assert_eq!(json["b"], "//");
    }
}
