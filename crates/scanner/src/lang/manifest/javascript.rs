//! Manifests and lock files of npm, pnpm, yarn and bun.

use serde_json::{Map, Value};

use super::{Dependency, Quoted, Registry};

/// The deepest nesting of an old lock file that is followed.
const DEEPEST: usize = 16;

fn dependency(name: &str, version: Option<&str>, line: u32) -> Dependency {
    Dependency { registry: Registry::Npm, name: name.to_owned(), version: version.map(str::to_owned), line }
}

/// `package.json`
pub(super) fn manifest(text: &str) -> Result<Vec<Dependency>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let groups = ["dependencies", "optionalDependencies", "peerDependencies"];
    let value = &value;
    let entries = || groups.into_iter().filter_map(move |group| value.get(group)?.as_object()).flatten();
    let quoted = Quoted::find(text, entries().map(|(name, _)| name.as_str()));
    let found = entries().map(|(name, range)| {
        let range = range.as_str().unwrap_or_default();
        let exact = range.starts_with(|c: char| c.is_ascii_digit()) && !range.contains(['x', '*', ' ', '|']);
        dependency(name, exact.then_some(range), quoted.line(name))
    });
    Ok(found.collect())
}

/// `package-lock.json` of every version.
pub(super) fn npm(text: &str) -> Result<Vec<Dependency>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    let packages = value.get("packages").and_then(Value::as_object);
    let quoted = Quoted::find(text, packages.into_iter().flatten().map(|(path, _)| path.as_str()));
    for (path, package) in packages.into_iter().flatten() {
        let Some((_, name)) = path.rsplit_once("node_modules/") else { continue };
        if package.get("dev").and_then(Value::as_bool) != Some(true) {
            let version = package.get("version").and_then(Value::as_str);
            found.push(dependency(name, version, quoted.line(path)));
        }
    }
    if packages.is_none()
        && let Some(dependencies) = value.get("dependencies").and_then(Value::as_object)
    {
        let mut used = Vec::new();
        nested(dependencies, 0, &mut used);
        let quoted = Quoted::find(text, used.iter().map(|(name, _)| *name));
        found.extend(used.iter().map(|(name, version)| dependency(name, *version, quoted.line(name))));
    }
    Ok(found)
}

/// Names and versions of what is used, at any depth.
fn nested<'v>(
    dependencies: &'v Map<String, Value>,
    depth: usize,
    found: &mut Vec<(&'v str, Option<&'v str>)>,
) {
    for (name, package) in dependencies {
        if package.get("dev").and_then(Value::as_bool) == Some(true) {
            continue;
        }
        let version = package.get("version").and_then(Value::as_str);
        found.push((name, version));
        if let Some(inner) =
            package.get("dependencies").and_then(Value::as_object).filter(|_| depth < DEEPEST)
        {
            nested(inner, depth + 1, found);
        }
    }
}

/// Name and version of `name@1.2.3` or `@scope/name@1.2.3(peer@1)`.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.split('(').next().unwrap_or(text);
    let (name, version) = text.rsplit_once('@')?;
    (!name.is_empty() && version.starts_with(|c: char| c.is_ascii_digit())).then_some((name, version))
}

/// `pnpm-lock.yaml`: the keys below `packages:`, such as `'@scope/name@1.2.3':` or, in older ones, `/name/1.2.3:`.
pub(super) fn pnpm(text: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut inside = false;
    for (number, line) in (1_u32..).zip(text.lines()) {
        if !line.starts_with([' ', '#']) && !line.is_empty() {
            inside = line.starts_with("packages:");
            continue;
        }
        let Some(key) = line.strip_prefix("  ").filter(|key| inside && !key.starts_with(' ')) else {
            continue;
        };
        let key = key.trim_end().trim_end_matches(':').trim_matches(['\'', '"']).trim_start_matches('/');
        let pair = split(key).or_else(|| {
            let (name, version) = key.rsplit_once('/')?;
            let version = version.split('_').next().unwrap_or(version);
            version.starts_with(|c: char| c.is_ascii_digit()).then_some((name, version))
        });
        if let Some((name, version)) = pair {
            found.push(dependency(name, Some(version), number));
        }
    }
    found
}

/// `yarn.lock` of both kinds: a line of names without indentation, then `version "1.2.3"` or `version: 1.2.3`.
pub(super) fn yarn(text: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut open: Option<(String, u32)> = None;
    for (number, line) in (1_u32..).zip(text.lines()) {
        if !line.starts_with([' ', '#']) && line.ends_with(':') {
            let first =
                line.trim_end_matches(':').split(',').next().unwrap_or_default().trim().trim_matches('"');
            open = first
                .get(1..)
                .and_then(|rest| rest.find('@'))
                .and_then(|at| first.get(..=at))
                .map(|name| (name.to_owned(), number));
        } else if let Some(version) = line.strip_prefix("  version") {
            let version = version.trim_start_matches(':').trim().trim_matches('"');
            if let Some((name, number)) = open.take() {
                found.push(dependency(&name, Some(version), number));
            }
        }
    }
    found
}

/// `bun.lock`: lines such as `"name": ["name@1.2.3", …`.
pub(super) fn bun(text: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    for (number, line) in (1_u32..).zip(text.lines()) {
        let Some((_, rest)) = line.split_once(": [\"") else { continue };
        if let Some((name, version)) = rest.split('"').next().and_then(split) {
            found.push(dependency(name, Some(version), number));
        }
    }
    found
}
