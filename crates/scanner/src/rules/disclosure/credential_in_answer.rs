//! A credential in what a tool answers.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    ir::{ExprKind, NameRef, PropertyKey, TemplatePart},
    project::{At, Project},
    flow::Origins,
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "credential-in-answer",
        layer: Layer::Disclosure,
        summary: "A tool answers with a credential that it has stored.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "What a tool answers is read by the model, kept in the client's history and in logs; whoever sees one of them may act with \
          the credential, long after the call.",
    fix: "Answer with the id or the last characters of it; use the credential in the server.",
    cwe: &["CWE-522", "CWE-200"],
    soc2: &["CC6.1", "C1.1"],
    owasp: &["A01:2021", "A04:2021"],
    markdown: include_str!("credential_in_answer.md"),
    run,
};

/// How far an answer is taken apart.
const DEPTH: u32 = 8;

/// Words of tools and functions whose answer is meant to be a new credential.
pub(super) const MAKERS: &[&str] = &[
    "create", "generate", "rotate", "issue", "mint", "register", "login", "signin", "sign", "signup", "auth", "authenticate", "exchange",
    "refresh", "token", "new", "add", "regenerate", "reset", "oauth", "authorize", "session",
];

fn run(project: &Project, report: &mut Report<'_>) {
    super::given_out::given_out(project, report);
    for entry in project.entries() {
        if !matches!(entry.kind.as_str(), "tool" | "resource" | "prompt") {
            continue;
        }
        let fun = entry.handler;
        let Some(unit) = project.unit(fun.module) else { continue };
        let makes = vocabulary::words(project.function_name(fun)).iter().any(|word| MAKERS.contains(&word.as_str()));
        if makes || is_named_maker(project, entry.registration) {
            continue;
        }
        for answer in unit.index.returns(fun.id) {
            if let Some((at, name)) = secret(project, At { module: fun.module, expr: *answer }, DEPTH) {
                report.reached(at, format!("`{name}` is part of what the tool answers")).confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a tool is registered under a name that says that it makes a credential.
fn is_named_maker(project: &Project, registration: At) -> bool {
    let Some(unit) = project.unit(registration.module) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(registration.expr) else { return false };
    call.args.iter().any(|arg| match unit.ir.expr(arg.value) {
        ExprKind::String(text) => vocabulary::words(unit.ir.text(*text)).iter().any(|word| MAKERS.contains(&word.as_str())),
        _ => false,
    })
}

/// A credential in a value, as it is: not behind a function that makes something else of it.
fn secret(project: &Project, at: At, depth: u32) -> Option<(At, String)> {
    let depth = depth.checked_sub(1)?;
    let unit = project.unit(at.module)?;
    let below = |expr| secret(project, at.to(expr), depth);
    match unit.ir.expr(at.expr) {
        ExprKind::Object(properties) => properties.iter().find_map(|property| match property.key {
            // What is shown under another name may be something else: `{ hasToken: token }`, `{ tokenHash: token }`.
            PropertyKey::Name(name) if is_about(unit.ir.text(name)) => None,
            _ => below(property.value),
        }),
        ExprKind::Array { items, .. } => items.iter().copied().find_map(below),
        ExprKind::Template(parts) => parts.iter().find_map(|part| match part {
            TemplatePart::Value(value) => below(*value),
            TemplatePart::Text(_) => None,
        }),
        ExprKind::Binary { left, right, .. } => below(*left).or_else(|| below(*right)),
        ExprKind::Await(value) => below(*value),
        ExprKind::Call(call) => {
            let name = project.written(at).pop().unwrap_or_default();
            let keeps = matches!(name.as_str(), "stringify" | "dumps" | "String" | "str" | "TextContent" | "text");
            if keeps {
                return call.args.iter().find_map(|arg| below(arg.value));
            }
            let callee = project.callee(at).filter(|callee| callee.certain)?;
            callee.targets.iter().take(2).find_map(|target| {
                let returns = project.unit(target.module)?.index.returns(target.id);
                returns.iter().take(4).find_map(|expr| secret(project, At { module: target.module, expr: *expr }, depth))
            })
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            if let Some(name) = named(project, at, unit.ir.binding_name(*id)) {
                return Some((at, name));
            }
            let [source] = unit.index.sources(*id) else { return None };
            source.path.is_empty().then(|| secret(project, at.to(source.value), depth))?.map(|(_, name)| (at, name))
        }
        ExprKind::Member { property, .. } => Some((at, named(project, at, unit.ir.text(*property))?)),
        ExprKind::Index { index, .. } => match unit.ir.expr(*index) {
            ExprKind::String(text) => Some((at, named(project, at, unit.ir.text(*text))?)),
            _ => None,
        },
        _ => None,
    }
}

/// The name of a value that is a credential, unless the caller brought it along or it is the mark of a page.
fn named(project: &Project, at: At, name: &str) -> Option<String> {
    if !vocabulary::is_credential(name) || is_about(name) {
        return None;
    }
    let origins = project.origins(at);
    let brought = origins.has(Origins::INPUT) && !origins.has(Origins::SECRET);
    (!brought && !origins.has(Origins::CONSTANT)).then(|| name.to_owned())
}

/// Whether a name speaks of something about a credential.
pub(super) fn is_about(name: &str) -> bool {
    let about = [
        "id", "type", "name", "url", "path", "count", "hash", "hashed", "masked", "redacted", "expiry", "expires", "endpoint", "prefix",
        "has", "is", "next", "page", "continuation", "cursor", "continue", "sync", "preview", "hint", "last", "csrf", "public", "status",
        "valid", "present", "configured", "set", "error", "message", "usage", "cancellation", "progress", "resume", "encrypted",
    ];
    vocabulary::words(name).iter().any(|word| about.contains(&word.as_str()))
}
