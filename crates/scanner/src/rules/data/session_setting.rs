//! A tenant that is set for the session of a pooled connection.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::rls::names_caller;
use crate::{
    ir::{ExprKind, Kinds, Module, TemplatePart},
    lang::sql::{Piece, read_query},
    project::{At, Project},
    rules::{Report, Rule},
};

pub(crate) const RULE: Rule = Rule {
    check: Check {
        id: "session-setting-on-pool",
        layer: Layer::Data,
        summary: "The tenant is set for the session of a connection and not for the transaction, so that the next borrower has it.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "A pool gives the connection to another request when this one is done. The setting is still there, and policies \
          then show that request the rows of this tenant.",
    fix: "Set it for the transaction, between BEGIN and COMMIT: `set_config(name, value, true)` or `SET LOCAL`.",
    cwe: &["CWE-488"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("session_setting.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        if !crate::marks::SETS.iter().any(|word| unit.ir.source.mentions(word)) {
            continue;
        }
        for (expr, kind) in unit.ir.exprs_of(Kinds::TEXT) {
            let Some(setting) = setting(&unit.ir, kind) else { continue };
            let at = At { module, expr };
            let found = report.reached(at, format!("`{setting}` is set for the session and not for the transaction"));
            if resets(&unit.ir.source, &setting) {
                found.severity(Severity::Low).confidence(Confidence::Medium).why(
                    "It is reset somewhere. Until then, and when the request ends in another way, the next borrower of the \
                     connection has this tenant.",
                );
            }
        }
    }
}

/// Whether a text could hold such a statement at all.
fn mentions(source: &str) -> bool {
    crate::marks::SETS.iter().any(|word| source.contains(word)) && source.contains('.')
}

/// The setting that a string sets for the session, if it says who the caller is.
fn setting(module: &Module, kind: &ExprKind) -> Option<String> {
    let pieces: Vec<Piece<'_>> = match kind {
        ExprKind::String(text) => vec![Piece::Text(module.text(*text))],
        ExprKind::Template(parts) | ExprKind::Tagged { parts, .. } => parts
            .iter()
            .map(|part| match part {
                TemplatePart::Text(text) => Piece::Text(module.text(*text)),
                TemplatePart::Value(_) => Piece::Hole,
            })
            .collect(),
        _ => return None,
    };
    let likely = pieces.iter().any(|piece| matches!(piece, Piece::Text(text) if mentions(text)));
    let parsed = likely.then(|| read_query(&pieces)).flatten()?;
    parsed.session_setting.filter(|setting| names_caller(setting))
}

/// Whether a program takes the setting back.
fn resets(source: &str, setting: &str) -> bool {
    let source = source.to_lowercase();
    source.contains(&format!("reset {setting}")) || source.contains("discard all") || source.contains("reset all")
}
