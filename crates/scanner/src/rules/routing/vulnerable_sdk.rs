//! Versions of MCP libraries with published advisories about tenants that meet.

use partywall_model::{Axis, Check, Confidence, Face, Finding, Layer, Maps, Page, Severity};
use serde::Deserialize;

use crate::lang::manifest::{Dependency, Registry, is_before};

/// The rule's id.
pub const ID: &str = "vulnerable-sdk";

/// The rule's page.
pub const PAGE: Page = Page {
    check: Check {
        id: ID,
        layer: Layer::Routing,
        summary: "A library that serves MCP has a version with a published advisory about callers that meet.",
    },
    face: Face::Scan,
    severity: Severity::Medium,
    markdown: include_str!("vulnerable_sdk.md"),
};

/// The axis that it counts against.
pub const AXIS: Axis = Axis::Security;

const LIST: &str = include_str!("advisories.toml");

/// The list of advisories.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advisories {
    advisory: Vec<Advisory>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advisory {
    registry: String,
    package: String,
    /// The first version that has it; all before the mended one when it is not said.
    from: Option<String>,
    /// The first version that is mended.
    fixed: String,
    ids: Vec<String>,
    summary: String,
}

impl Advisory {
    fn is_about(&self, dependency: &Dependency) -> bool {
        let registry = match dependency.registry {
            Registry::Npm => "npm",
            Registry::PyPi => "pypi",
        };
        self.registry == registry
            && self.package == dependency.name
            && dependency.version.as_ref().is_some_and(|version| {
                is_before(version, &self.fixed)
                    && !self.from.as_ref().is_some_and(|from| is_before(version, from))
            })
    }
}

fn list() -> Vec<Advisory> {
    toml::from_str::<Advisories>(LIST).map(|list| list.advisory).unwrap_or_default()
}

/// Looks at the dependencies of files, each with its path. One package is told once for each file.
#[must_use]
pub fn check(files: &[(String, Vec<Dependency>)]) -> Vec<Finding> {
    let advisories = list();
    let mut findings: Vec<Finding> = Vec::new();
    for (path, dependencies) in files {
        for dependency in dependencies {
            let about: Vec<&Advisory> =
                advisories.iter().filter(|advisory| advisory.is_about(dependency)).collect();
            let Some(finding) = finding(path, dependency, &about) else { continue };
            if !findings.iter().any(|known| known.path == *path && known.message == finding.message) {
                findings.push(finding);
            }
        }
    }
    findings
}

/// All advisories about one version; nothing when there is none.
fn finding(path: &str, dependency: &Dependency, advisories: &[&Advisory]) -> Option<Finding> {
    let version = dependency.version.as_deref().unwrap_or_default();
    let first = advisories.first()?;
    let fixed = advisories.iter().fold(first.fixed.as_str(), |latest, advisory| {
        if is_before(latest, &advisory.fixed) { &advisory.fixed } else { latest }
    });
    let ids: Vec<&str> = advisories.iter().flat_map(|advisory| &advisory.ids).map(String::as_str).collect();
    let why: Vec<&str> = advisories.iter().map(|advisory| advisory.summary.as_str()).collect();
    Some(Finding {
        rule: ID.to_owned(),
        layer: Layer::Routing,
        axis: AXIS,
        severity: Severity::Medium,
        confidence: Confidence::High,
        path: path.to_owned(),
        line: dependency.line,
        column: 1,
        end_line: dependency.line,
        message: format!("`{}` {version} has a published advisory: {}", dependency.name, ids.join(", ")),
        why: why.join(" "),
        fix: format!("Use `{}` {fixed} or newer.", dependency.name),
        related: Vec::new(),
        fingerprint: String::new(),
        maps: Maps {
            cwe: vec!["CWE-1395".to_owned()],
            soc2: vec!["CC7.1".to_owned()],
            owasp: vec!["A06:2021".to_owned()],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::manifest::read;

    #[test]
    fn the_list_can_be_read_and_says_everything() {
        let list = toml::from_str::<Advisories>(LIST).unwrap().advisory;
        assert!(list.len() > 3);
        for advisory in list {
            assert!(["npm", "pypi"].contains(&advisory.registry.as_str()));
            assert!(!advisory.ids.is_empty() && advisory.summary.ends_with('.'), "{advisory:?}");
        }
    }

    fn found(path: &str, text: &str) -> Vec<Finding> {
        check(&[(path.to_owned(), read(path, text).unwrap())])
    }

    #[test]
    fn a_version_before_the_mended_one_is_found() {
        for (version, count) in
            [("1.9.9", 0), ("1.10.0", 1), ("1.25.3", 1), ("1.26.0-beta.1", 1), ("1.26.0", 0), ("^1.10.0", 0)]
        {
            let text = format!("{{\"dependencies\": {{\"@modelcontextprotocol/sdk\": \"{version}\"}}}}");
            assert_eq!(found("package.json", &text).len(), count, "{version}");
        }
        let python = found("uv.lock", "[[package]]\nname = \"mcp\"\nversion = \"1.20.0\"\n");
        assert_eq!((python.len(), python[0].line), (1, 2), "two advisories of one version are one finding");
        assert!(python[0].fix.contains("1.27.2"), "{}", python[0].fix);
        assert!(found("requirements.txt", "mcp==1.27.2\nmcp-other==0.1\n").is_empty());
    }

    #[test]
    fn a_package_is_told_once_for_each_file() {
        let text = "packages:\n  '@modelcontextprotocol/sdk@1.20.0':\n    a: b\n  '@modelcontextprotocol/sdk@1.20.0(zod@4.0.0)':\n    a: b\n";
        assert_eq!(found("pnpm-lock.yaml", text).len(), 1);
    }
}
