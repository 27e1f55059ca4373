//! What is wrong with a configuration file, as findings.

use partywall_gateway::config::ConfigProblem;
use partywall_model::{Axis, Check, Confidence, Face, Finding, Layer, Maps, Page, Severity, fingerprint};

/// The only rule.
pub(super) const RULE: &str = "configuration-refused";

const PAGE: &str = include_str!("configuration-refused.md");
const SUMMARY: &str = "The configuration has a key that is unknown, a value that does not fit, or a tool that would let a caller name \
                       the tenant.";

/// The page of the rule.
pub(crate) fn page() -> Page {
    let check = Check { id: RULE, layer: Layer::Identity, summary: SUMMARY };
    Page { check, face: Face::Scan, severity: Severity::High, markdown: PAGE }
}

/// A problem as a finding.
pub(super) fn finding(problem: &ConfigProblem) -> Finding {
    let line = u32::try_from(problem.line).unwrap_or(u32::MAX);
    Finding {
        rule: RULE.to_owned(),
        layer: layer(problem.key().unwrap_or_default()),
        axis: Axis::Security,
        severity: Severity::High,
        confidence: Confidence::High,
        path: problem.file.clone(),
        line,
        column: 1,
        end_line: line,
        message: problem.text.clone(),
        why: "The gateway does not start with it: what it asks for is not served, or would be served to others.".to_owned(),
        fix: "Change the key as the message says; `partywall schema config` has every key with its bounds.".to_owned(),
        related: Vec::new(),
        fingerprint: fingerprint(&[RULE, &problem.file, &problem.text]),
        maps: Maps {
            cwe: vec!["CWE-1188".to_owned()],
            soc2: vec!["CC6.1".to_owned()],
            owasp: vec!["API8:2023".to_owned()],
        },
    }
}

/// The layer that a key belongs to.
fn layer(key: &str) -> Layer {
    match key.split(['.', '[']).next().unwrap_or_default() {
        "data" | "source" | "sql" | "rows" | "max_rows" => Layer::Data,
        "capacity" | "limits" => Layer::Capacity,
        "http" | "auth" | "env" => Layer::Credentials,
        "cache" => Layer::Cache,
        "audit" => Layer::Disclosure,
        "shared" | "command" | "read" => Layer::State,
        "server" | "upstream" | "url" | "owner" => Layer::Routing,
        _ => Layer::Identity,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use partywall_gateway::config::Config;

    use super::*;

    #[test]
    fn the_summary_is_the_pages_first_paragraph() {
        let first = PAGE.split("\n\n").nth(1).map(|text| text.replace('\n', " "));
        assert_eq!(first.as_deref(), Some(SUMMARY));
    }

    #[test]
    fn the_page_is_right() {
        let start = "[identity]\ndevelopment = true\n[data.billing]\ndriver = \"sqlite\"\n";
        for (mark, is_good) in [("bad", false), ("good", true)] {
            let example =
                PAGE.split(&format!("```toml {mark}\n")).nth(1).and_then(|rest| rest.split("```").next());
            let text = format!("{start}{}", example.expect("an example"));
            let parsed = Config::parse(&text, "p.toml", Path::new("."));
            assert_eq!(parsed.is_ok(), is_good, "{mark}: {:?}", parsed.err());
        }
    }

    #[test]
    fn a_key_says_its_layer() {
        for (key, expected) in [
            ("data.desk.url", Layer::Data),
            ("identity.issuer[0].audience", Layer::Identity),
            ("args.tenant_id", Layer::Identity),
            ("cache.per", Layer::Cache),
            ("http.url", Layer::Credentials),
            ("upstream", Layer::Routing),
            ("", Layer::Identity),
        ] {
            assert_eq!(layer(key), expected, "{key}");
        }
    }
}
