//! A credential of a caller in a log.

use partywall_model::{Axis, Check, Layer, Severity};

use crate::{
    flow::Origins,
    ir::{ExprId, ExprKind, NameRef, TemplatePart},
    library::Role,
    project::{At, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "secret-logged",
        layer: Layer::Disclosure,
        summary: "A caller's credential is written to a log.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "Who may read the log, or what it is shipped to, may act as the caller.",
    fix: "Leave the credential out, or log a hash of it.",
    cwe: &["CWE-532"],
    soc2: &["CC6.1", "CC7.2"],
    owasp: &["A09:2021"],
    markdown: include_str!("secret_logged.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let asked = project.calls_with(Role::Log);
    for (module, unit) in project.units() {
        for call in asked.among(module) {
            let at = At { module, expr: *call };
            let ExprKind::Call(expr) = unit.ir.expr(*call) else { continue };
            let secret = expr.args.iter().find_map(|arg| secret(project, unit, at.to(arg.value)));
            if let Some(name) = secret {
                report.reached(at, format!("`{name}` is written to the log"));
            }
        }
    }
}

/// The name of the credential that a value is, or has as a part of its text. What a function makes of one is none.
fn secret(project: &Project, unit: &Unit, at: At) -> Option<String> {
    match unit.ir.expr(at.expr) {
        ExprKind::Template(parts) => parts.iter().find_map(|part| match part {
            TemplatePart::Value(value) => named(project, unit, at.to(*value)),
            TemplatePart::Text(_) => None,
        }),
        ExprKind::Binary { left, right, .. } => {
            let side = |expr: ExprId| named(project, unit, at.to(expr));
            side(*left).or_else(|| side(*right))
        }
        _ => named(project, unit, at),
    }
}

fn named(project: &Project, unit: &Unit, at: At) -> Option<String> {
    let name = match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        _ => return None,
    };
    let words = vocabulary::words(name);
    let about = [
        "id", "ids", "uri", "type", "name", "url", "path", "count", "hash", "masked", "redacted", "expiry", "expires",
        "endpoint", "prefix", "has", "is",
    ];
    if !vocabulary::is_credential(name) || words.iter().any(|word| about.contains(&word.as_str())) {
        return None;
    }
    let secret =
        Origins::SECRET | Origins::UNVERIFIED | Origins::PRINCIPAL | Origins::INPUT | Origins::REQUEST;
    project.origins(at).has(secret).then(|| name.to_owned())
}
