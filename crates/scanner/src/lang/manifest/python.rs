//! Manifests and lock files of pip, uv, poetry, pdm and pipenv.

use std::collections::HashMap;

use serde_json::Value;

use super::{Dependency, Quoted, Registry};

fn dependency(name: &str, version: Option<&str>, line: u32) -> Dependency {
    Dependency { registry: Registry::PyPi, name: normal(name), version: version.map(str::to_owned), line }
}

/// A name as PyPI compares it: `Fast_MCP` is `fast-mcp`.
fn normal(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.trim().chars() {
        if matches!(c, '-' | '_' | '.') {
            if !normal.ends_with('-') {
                normal.push('-');
            }
        } else {
            normal.extend(c.to_lowercase());
        }
    }
    normal
}

/// A requirement such as `mcp[cli]==1.2.3 ; python_version > "3"`.
fn requirement(text: &str, line: u32) -> Option<Dependency> {
    let text = text.split([';', '#']).next().unwrap_or(text).trim();
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end)?;
    if name.is_empty() {
        return None;
    }
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(extras) => extras.split_once(']').map_or("", |(_, rest)| rest),
        None => rest,
    };
    let version = rest.trim().strip_prefix("==").map(|version| version.trim_start_matches('=').trim());
    let version = version.filter(|version| !version.contains(['*', ',', ' ']));
    Some(dependency(name, version, line))
}

/// `requirements.txt`
pub(super) fn requirements(text: &str) -> Vec<Dependency> {
    (1_u32..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim_start().starts_with(['-', '#']))
        .filter_map(|(number, line)| {
            requirement(line.trim_end_matches('\\').split(" --").next().unwrap_or(line), number)
        })
        .collect()
}

/// `pyproject.toml`, of PEP 621 and of poetry.
pub(super) fn project(text: &str) -> Result<Vec<Dependency>, String> {
    let value: toml::Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let mut found = Vec::new();
    let listed =
        value.get("project").and_then(|project| project.get("dependencies")).and_then(toml::Value::as_array);
    let listed: Vec<&str> = listed.into_iter().flatten().filter_map(toml::Value::as_str).collect();
    let quoted = Quoted::find(text, listed.iter().copied());
    found.extend(listed.iter().filter_map(|entry| requirement(entry, quoted.line(entry))));
    let poetry =
        value.get("tool").and_then(|tool| tool.get("poetry")).and_then(|poetry| poetry.get("dependencies"));
    let keys = keys(text);
    for (name, range) in poetry.and_then(toml::Value::as_table).into_iter().flatten() {
        let range =
            range.as_str().or_else(|| range.get("version").and_then(toml::Value::as_str)).unwrap_or_default();
        let exact = range.strip_prefix("==").unwrap_or(range);
        let version =
            (exact.starts_with(|c: char| c.is_ascii_digit()) && !exact.contains(['*', ','])).then_some(exact);
        found.push(dependency(name, version, keys.get(name.as_str()).copied().unwrap_or(1)));
    }
    Ok(found)
}

/// The first line on which a key stands, alone or as the end of a table's name: `mcp = "1.2.0"`, `[tool.poetry.dependencies.mcp]`.
fn keys(text: &str) -> HashMap<&str, u32> {
    let mut lines = HashMap::new();
    for (number, line) in (1_u32..).zip(text.lines()) {
        let key = match line.trim().strip_prefix('[') {
            Some(table) => table.trim_end_matches(']').rsplit('.').next(),
            None => line.split('=').next(),
        };
        let key = key.unwrap_or_default().trim().trim_matches(['"', '\'']);
        lines.entry(key).or_insert(number);
    }
    lines
}

/// Lock files of uv, poetry and pdm: tables `[[package]]` with a name and a version.
pub(super) fn locked(text: &str) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = Vec::new();
    let mut inside = false;
    for (number, line) in (1_u32..).zip(text.lines()) {
        let quoted = |key: &str| line.strip_prefix(key).map(|value| value.trim().trim_matches('"'));
        if line.starts_with('[') {
            inside = line.trim() == "[[package]]";
        } else if !inside {
            continue;
        } else if let Some(name) = quoted("name =") {
            found.push(dependency(name, None, number));
        } else if let (Some(version), Some(last)) = (quoted("version ="), found.last_mut()) {
            last.version = Some(version.to_owned());
        }
    }
    found
}

/// `Pipfile.lock`
pub(super) fn pipfile(text: &str) -> Result<Vec<Dependency>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let packages = value.get("default").and_then(Value::as_object);
    let quoted = Quoted::find(text, packages.into_iter().flatten().map(|(name, _)| name.as_str()));
    Ok(packages
        .into_iter()
        .flatten()
        .map(|(name, package)| {
            let version =
                package.get("version").and_then(Value::as_str).map(|version| version.trim_start_matches('='));
            dependency(name, version, quoted.line(name))
        })
        .collect())
}
