//! The same package in every kind of lock file.

use super::*;

fn version(path: &str, text: &str, name: &str) -> Option<(Option<String>, u32)> {
    read(path, text)
        .unwrap()
        .into_iter()
        .find(|found| found.name == name)
        .map(|found| (found.version, found.line))
}

const SDK: &str = "@modelcontextprotocol/sdk";

#[test]
fn every_lock_file_of_javascript_says_the_version() {
    for (path, text, line) in [
        (
            "package-lock.json",
            "{\"packages\": {\"\": {},\n\"node_modules/@modelcontextprotocol/sdk\": {\"version\": \"1.25.2\"}}}",
            2,
        ),
        (
            "a/npm-shrinkwrap.json",
            "{\"dependencies\": {\"x\": {\"version\": \"1.0.0\", \"dependencies\":\n{\"@modelcontextprotocol/sdk\": {\"version\": \"1.25.2\"}}}}}",
            2,
        ),
        (
            "pnpm-lock.yaml",
            "lockfileVersion: '9.0'\npackages:\n\n  '@modelcontextprotocol/sdk@1.25.2(zod@3.0.0)':\n    resolution: {}\n",
            4,
        ),
        ("pnpm-lock.yaml", "packages:\n  /@modelcontextprotocol/sdk/1.25.2:\n    dev: false\n", 2),
        (
            "yarn.lock",
            "# yarn lockfile v1\n\n\"@modelcontextprotocol/sdk@^1.0.0\", \"@modelcontextprotocol/sdk@^1.2.0\":\n  version \"1.25.2\"\n",
            3,
        ),
        ("yarn.lock", "\"@modelcontextprotocol/sdk@npm:^1.0.0\":\n  version: 1.25.2\n", 1),
        (
            "bun.lock",
            "{\n  \"packages\": {\n    \"@modelcontextprotocol/sdk\": [\"@modelcontextprotocol/sdk@1.25.2\", \"\", {}],\n",
            3,
        ),
        ("package.json", "{\n\"dependencies\": {\"@modelcontextprotocol/sdk\": \"1.25.2\"}}", 2),
    ] {
        assert_eq!(version(path, text, SDK), Some((Some("1.25.2".to_owned()), line)), "{path}: {text}");
    }
}

#[test]
fn every_lock_file_of_python_says_the_version() {
    for (path, text, line) in [
        (
            "uv.lock",
            "version = 1\n[[package]]\nname = \"mcp\"\nversion = \"1.2.0\"\n[package.optional]\nversion = \"9\"\n",
            3,
        ),
        ("poetry.lock", "[[package]]\nname = \"MCP\"\nversion = \"1.2.0\"\n", 2),
        ("Pipfile.lock", "{\"default\": {\n\"mcp\": {\"version\": \"==1.2.0\"}}}", 2),
        ("requirements.txt", "-r x.txt\nmcp[cli]==1.2.0 ; python_version > '3' # x\n", 2),
        ("requirements-prod.txt", "mcp == 1.2.0 \\\n    --hash=sha256:abc\n", 1),
        ("pyproject.toml", "[project]\ndependencies = [\n  \"mcp[cli]==1.2.0\",\n]\n", 3),
        (
            "pyproject.toml",
            "[tool.poetry.dependencies]\nmcp = {version = \"1.2.0\", extras = [\"cli\"]}\n",
            2,
        ),
    ] {
        assert_eq!(version(path, text, "mcp"), Some((Some("1.2.0".to_owned()), line)), "{path}: {text}");
    }
}

#[test]
fn a_range_says_no_version() {
    for (path, text, name) in [
        ("package.json", "{\"dependencies\": {\"@modelcontextprotocol/sdk\": \"^1.0.0\"}}", SDK),
        ("package.json", "{\"dependencies\": {\"@modelcontextprotocol/sdk\": \"1.x\"}}", SDK),
        ("requirements.txt", "mcp>=1.0", "mcp"),
        ("requirements.txt", "mcp==1.*", "mcp"),
        ("pyproject.toml", "[project]\ndependencies = [\"mcp>=1,<2\"]", "mcp"),
    ] {
        assert_eq!(version(path, text, name).map(|(version, _)| version), Some(None), "{path}: {text}");
    }
}

#[test]
fn what_is_for_development_only_is_left_out() {
    assert_eq!(version("package.json", "{\"devDependencies\": {\"x\": \"1.0.0\"}}", "x"), None);
    assert_eq!(
        version(
            "package-lock.json",
            "{\"packages\": {\"node_modules/x\": {\"version\": \"1.0.0\", \"dev\": true}}}",
            "x"
        ),
        None
    );
}

#[test]
fn what_cannot_be_read_says_so() {
    for path in ["package.json", "package-lock.json", "Pipfile.lock", "pyproject.toml"] {
        assert!(read(path, "{{{").is_err(), "{path}");
    }
    for path in ["pnpm-lock.yaml", "yarn.lock", "uv.lock", "bun.lock", "requirements.txt"] {
        assert!(read(path, "\u{0}{{{'\"@@@:\n  @:\n\n@:\n  version\n").is_ok(), "{path}");
    }
}

/// Every name has the line of its first place, and thousands of them take one walk.
#[test]
fn names_are_found_in_one_walk() {
    let names: Vec<String> = (0..20_000).map(|number| format!("node_modules/package-{number}")).collect();
    let lines: Vec<String> =
        names.iter().map(|name| format!("\"{name}\": {{\"version\": \"1.0.{}\"}}", name.len())).collect();
    let text = format!("{{\"packages\": {{\n{}\n}}}}", lines.join(",\n"));
    let found = read("package-lock.json", &text).unwrap();
    assert_eq!(found.len(), names.len());
    for (name, line) in [("package-0", 2), ("package-19999", 20_001)] {
        assert!(found.iter().any(|found| found.name == name && found.line == line), "{name}");
    }
    let text =
        "{\"name\": \"a\",\n\"dependencies\": {\"b\": \"1.0.0\",\n\"a\": \"2.0.0\", \"c\\\"\": \"3\"}}";
    let found = read("package.json", text).unwrap();
    let mut lines: Vec<(&str, u32)> = found.iter().map(|found| (found.name.as_str(), found.line)).collect();
    lines.sort_unstable();
    assert_eq!(lines, [("a", 1), ("b", 2), ("c\"", 1)]);
}

/// What is said of a dependency elsewhere is not its line, and thousands of dependencies take one walk.
#[test]
fn lines_of_pyproject_are_those_of_its_dependencies() {
    let text = "# mcp, and 'others'\n[project]\ndescription = \"mcp\"\ndependencies = [\n  'mcp>=1',\n  \"x==1.0\",\n]\n\
                [tool.poetry.dependencies]\n\"quoted\" = \"1.0.0\"\n[tool.poetry.dependencies.table]\nversion = \"2.0.0\"\n";
    let found = read("pyproject.toml", text).unwrap();
    let lines: Vec<(&str, u32)> = found.iter().map(|found| (found.name.as_str(), found.line)).collect();
    assert_eq!(lines, [("mcp", 5), ("x", 6), ("quoted", 9), ("table", 10)]);
    let listed: Vec<String> = (0..20_000).map(|number| format!("  \"package-{number}==1.0\",")).collect();
    let text = format!("[project]\ndependencies = [\n{}\n]\n", listed.join("\n"));
    let found = read("pyproject.toml", &text).unwrap();
    assert!(found.last().is_some_and(|last| last.name == "package-19999" && last.line == 20_002));
}
