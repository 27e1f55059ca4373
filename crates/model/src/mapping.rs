//! Which criteria, categories and weaknesses a layer answers to. A mapping is a reading, and no certification.

use crate::{Layer, Maps};

/// An entry of a list that auditors group evidence by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Criterion {
    /// The id, as `CC6.1`.
    pub id: &'static str,
    /// What it asks for, in our words.
    pub asks: &'static str,
}

/// The SOC 2 criteria (2017 Trust Services Criteria) that tenant isolation is evidence for.
pub const SOC2: [Criterion; 6] = [
    Criterion {
        id: "CC6.1",
        asks: "access to protected information is restricted by logical access controls",
    },
    Criterion { id: "CC6.3", asks: "access is given by role and duty, with least privilege" },
    Criterion { id: "CC6.6", asks: "logical access is protected against threats from outside the boundary" },
    Criterion { id: "CC6.7", asks: "information is transmitted, moved and removed by those who may only" },
    Criterion { id: "CC7.2", asks: "the system is watched for anomalies that point at attacks" },
    Criterion { id: "C1.1", asks: "confidential information is identified and kept confidential" },
];

impl Layer {
    /// The lists' entries that a failure of the layer falls under.
    #[must_use]
    pub fn maps(self) -> Maps {
        let (cwe, soc2, owasp): (&[&str], &[&str], &[&str]) = match self {
            Self::Identity => (
                &["CWE-287", "CWE-290", "CWE-345", "CWE-347", "CWE-639"],
                &["CC6.1", "CC6.3", "CC6.6"],
                &["MCP07:2025", "API2:2023", "API1:2023"],
            ),
            Self::Context => (&["CWE-862", "CWE-1188"], &["CC6.1", "CC6.3"], &["MCP07:2025", "API1:2023"]),
            Self::State => (&["CWE-362", "CWE-488"], &["CC6.1", "C1.1"], &["MCP10:2025", "API1:2023"]),
            Self::Data => (
                &["CWE-284", "CWE-639", "CWE-862", "CWE-863"],
                &["CC6.1", "CC6.3", "C1.1"],
                &["MCP07:2025", "API1:2023"],
            ),
            Self::Cache => {
                (&["CWE-488", "CWE-524", "CWE-668"], &["CC6.1", "C1.1"], &["MCP10:2025", "API1:2023"])
            }
            Self::Credentials => (
                &["CWE-441", "CWE-522", "CWE-1188"],
                &["CC6.1", "CC6.3", "CC6.7"],
                &["MCP01:2025", "API2:2023"],
            ),
            Self::Routing => (
                &["CWE-488", "CWE-613", "CWE-639"],
                &["CC6.1", "CC6.6", "CC6.7", "C1.1"],
                &["MCP10:2025", "API1:2023"],
            ),
            Self::Capacity => (&["CWE-400", "CWE-770"], &["CC7.2"], &["API4:2023"]),
            Self::Disclosure => (
                &["CWE-203", "CWE-209", "CWE-532"],
                &["CC6.7", "CC7.2", "C1.1"],
                &["MCP10:2025", "API3:2023"],
            ),
        };
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Maps { cwe: texts(cwe), soc2: texts(soc2), owasp: texts(owasp) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_criterion_is_one_that_some_layer_answers_to() {
        for layer in Layer::ALL {
            let maps = layer.maps();
            assert!(!maps.cwe.is_empty() && !maps.owasp.is_empty(), "{layer}");
            for id in maps.soc2 {
                assert!(SOC2.iter().any(|criterion| criterion.id == id), "{layer}: {id}");
            }
        }
        for criterion in SOC2 {
            assert!(Layer::ALL.iter().any(|layer| layer.maps().soc2.iter().any(|id| id == criterion.id)));
        }
    }
}
