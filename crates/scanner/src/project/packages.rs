//! What the manifest of a package of npm or of a program of Deno says of names: `imports`, `exports`, `main`.

use serde_json::Value;

/// Folders that programs are built into; the source of `dist/server.js` is `src/server.ts`.
const BUILT: &[&str] = &["dist", "build", "lib", "out", "output", "esm", "cjs"];

/// The most targets of one name that are looked at.
const TARGETS: usize = 8;

/// What a package calls its own files by: `imports` of Node and Deno, and `_moduleAliases` of the package `module-alias`, as patterns
/// with targets. Source: <https://nodejs.org/api/packages.html#subpath-imports>.
pub(super) fn imported(manifest: &Value) -> Vec<(String, Vec<String>)> {
    let table = |key: &str| manifest.get(key).and_then(Value::as_object).into_iter().flatten();
    let mut found = Vec::new();
    for (name, target) in table("imports").chain(table("_moduleAliases")) {
        let targets: Vec<String> = texts(target).into_iter().filter(|target| !target.contains(':')).collect();
        if targets.is_empty() {
            continue;
        }
        // `"@/": "./src/"` of an import map and `"@db": "src/db"` of aliases name all that lies below.
        let below = |text: &str| format!("{}/*", text.trim_end_matches('/'));
        if !name.contains('*') {
            found.push((below(name), targets.iter().map(|target| below(target)).collect()));
        }
        if !name.ends_with('/') {
            found.push((name.clone(), targets));
        }
    }
    found
}

/// What others may import below the package's name, as patterns without the `./` before them, with the files that they mean; the
/// package itself is the empty pattern. Source: <https://nodejs.org/api/packages.html#package-entry-points>.
pub(super) fn exported(manifest: &Value) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    match manifest.get("exports") {
        Some(Value::Object(table)) if table.keys().any(|key| key.starts_with('.')) => {
            for (name, target) in table {
                found.push((name.trim_start_matches('.').trim_start_matches('/').to_owned(), texts(target)));
            }
        }
        Some(target) => found.push((String::new(), texts(target))),
        None => {}
    }
    let main = ["source", "module", "main", "types"].iter().filter_map(|key| manifest.get(key));
    found.push((String::new(), main.filter_map(Value::as_str).map(str::to_owned).collect()));
    found
}

/// Where the source of what a manifest names may lie: there, in `src` instead of the folder that it is built into, or without that.
pub(super) fn sources(target: &str) -> Vec<String> {
    let target = target.trim_start_matches("./");
    let mut found = vec![target.to_owned()];
    let parts: Vec<&str> = target.split('/').collect();
    if let Some(at) = parts.iter().position(|part| BUILT.contains(part)) {
        let with = |instead: Option<&str>| {
            let before = parts.iter().take(at).copied();
            before.chain(instead).chain(parts.iter().skip(at + 1).copied()).collect::<Vec<_>>().join("/")
        };
        found.extend([with(Some("src")), with(None)]);
    }
    found
}

/// The texts in a value, whatever the conditions are that choose between them.
fn texts(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) if found.len() < TARGETS => found.push(text.clone()),
            Value::Object(table) => open.extend(table.values()),
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_a_package_lead_to_its_files() {
        let manifest = json!({
            "imports": { "#db/*": { "types": "./src/db/*.d.ts", "default": "./src/db/*.js" }, "pg": "npm:pg@8" },
            "_moduleAliases": { "@core": "src/core" },
        });
        let found = imported(&manifest);
        assert!(
            found
                .iter()
                .any(|(name, targets)| name == "#db/*" && targets.contains(&"./src/db/*.js".to_owned()))
        );
        assert!(found.contains(&("@core/*".to_owned(), vec!["src/core/*".to_owned()])));
        assert!(
            !found.iter().any(|(name, _)| name.starts_with("pg")),
            "another package is no file of this one"
        );
    }

    #[test]
    fn what_is_exported_is_looked_for_where_it_is_built_from() {
        let manifest = json!({ "exports": { ".": "./dist/index.js", "./client": { "import": "./dist/client/main.js" } } });
        let found = exported(&manifest);
        assert!(found.contains(&("client".to_owned(), vec!["./dist/client/main.js".to_owned()])));
        assert_eq!(
            sources("./dist/client/main.js"),
            ["dist/client/main.js", "src/client/main.js", "client/main.js"]
        );
    }
}
