//! A caller's credential in one file for all.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Lifetimes,
    ir::{Call, ExprId, ExprKind, NameRef, walk},
    project::{At, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "one-credential-file",
        layer: Layer::Credentials,
        summary: "A caller's credential is kept in one file for all.",
    },
    severity: Severity::Medium,
    axis: Axis::Credentials,
    why: "Who signs in last is the one with whose credential everybody's calls go out.",
    fix: "Keep credentials in a vault or a table, under the verified caller.",
    cwe: &["CWE-522", "CWE-488"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021", "A07:2021"],
    markdown: include_str!("one_credential_file.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    super::kept_once::kept_once(project, &lives, report);
    let likely = project.calls_named(|name| name == "set_password" || PUTS.contains(&name) || WRITES.contains(&name));
    for (module, unit) in project.units() {
        for call in likely.among(module) {
            let at = At { module, expr: *call };
            let ExprKind::Call(expr) = unit.ir.expr(*call) else { continue };
            if keeps_in_keyring(project, unit, at, expr) && lives.is_per_request(project.function_of(at)) {
                report
                    .reached(at, "one entry of the keyring keeps the credential of whoever came last")
                    .severity(if project.has_owners(module) { Severity::Medium } else { Severity::Low })
                    .confidence(Confidence::Medium);
                continue;
            }
            if keeps_under_one_key(project, unit, at, expr) && lives.is_per_request(project.function_of(at)) {
                report
                    .reached(at, "one entry keeps the credential of whoever came last")
                    .severity(if project.has_owners(module) { Severity::Medium } else { Severity::Low })
                    .confidence(Confidence::Medium);
                continue;
            }
            let Some((path, content)) = written(project, unit, at, expr) else { continue };
            if !lives.is_per_request(project.function_of(at)) || !holds_credential(unit, content) {
                continue;
            }
            if path.is_some_and(|path| !is_one(project, unit, at.to(path))) {
                continue;
            }
            let found = report.reached(at, "one file keeps the credential of whoever came last");
            found.confidence(Confidence::Medium);
            if !project.has_owners(module) {
                found.severity(Severity::Low);
            }
        }
    }
}

/// Whether a call keeps a credential under names that are the same for all: `keyring.set_password("mail", "token", token)`.
fn keeps_in_keyring(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    let sets = project.last_written(at.to(call.callee)) == Some("set_password");
    let (Some(service), Some(name), true) = (call.positional(0), call.positional(1), sets) else { return false };
    is_one(project, unit, at.to(service)) && is_one(project, unit, at.to(name))
}

/// Whether a call keeps a credential in a store under a key that is written out: `store.put("oauth_tokens", tokens)`.
fn keeps_under_one_key(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return false };
    let (Some(key), Some(content)) = (call.positional(0), call.positional(1)) else { return false };
    let ExprKind::String(text) = unit.ir.expr(key) else { return false };
    let words = vocabulary::words(unit.ir.text(*text));
    let named = words.iter().any(|word| matches!(word.as_str(), "token" | "tokens" | "credentials" | "credential" | "creds"));
    let puts = PUTS.contains(&unit.ir.text(*property));
    let holder = project.written(at.to(call.callee));
    let of_request = holder.iter().any(|name| matches!(name.as_str(), "session" | "cookies" | "headers" | "state" | "request" | "response" | "span" | "g" | "ctx" | "context" | "environ" | "monkeypatch"));
    named && puts && !of_request && holds_credential(unit, content)
}

/// Names of calls that put something under a key.
const PUTS: &[&str] = &["put", "set", "save", "store", "write", "set_secret", "put_secret"];

/// Names of calls that write a file.
const WRITES: &[&str] = &["writeFile", "writeFileSync", "outputJson", "writeJson", "writeJSON", "write_text", "write_bytes", "dump"];

/// The path and the content of a call that writes a file.
fn written(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<(Option<ExprId>, ExprId)> {
    let name = project.last_written(at.to(call.callee))?;
    let receiver = match unit.ir.expr(call.callee) {
        ExprKind::Member { object, .. } => Some(*object),
        _ => None,
    };
    match name {
        "writeFile" | "writeFileSync" | "outputJson" | "writeJson" | "writeJSON" => Some((call.positional(0), call.positional(1)?)),
        "write_text" | "write_bytes" => Some((receiver, call.positional(0)?)),
        "dump" if call.args.len() >= 2 => {
            let path = opened(project, unit, at)?;
            Some((Some(path), call.positional(0)?))
        }
        _ => None,
    }
}

/// The path of the file that the function opens to write.
fn opened(project: &Project, unit: &Unit, at: At) -> Option<ExprId> {
    let mut found = None;
    walk::function_exprs(&unit.ir, project.function_of(at).id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let opens = project.written(at.to(call.callee)).last().is_some_and(|name| name == "open");
        if opens {
            found = call.positional(0).or(match unit.ir.expr(call.callee) {
                ExprKind::Member { object, .. } => Some(*object),
                _ => None,
            });
        }
    });
    found
}

/// Whether a content is named for a credential.
fn holds_credential(unit: &Unit, content: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, content, &mut |expr| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            _ => return,
        };
        let words = vocabulary::words(name);
        found |= vocabulary::is_credential(name) || words.iter().any(|word| matches!(word.as_str(), "tokens" | "creds"));
    });
    found
}

/// Whether a path is the same for all: nothing of the request, of an owner or of an object of its own is a part of it.
fn is_one(project: &Project, unit: &Unit, path: At) -> bool {
    let mut own = false;
    let mut see = |at: At| {
        let Some(unit) = project.unit(at.module) else { return };
        walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
            own |= match unit.ir.expr(expr) {
                ExprKind::This => true,
                ExprKind::Name(NameRef::Binding(id)) => {
                    let parameter = project.parameter_of(at.module, *id).is_some();
                    parameter || vocabulary::is_owner(unit.ir.binding_name(*id)) || project.origins(at.to(expr)).is_of_request()
                }
                ExprKind::Member { property, .. } => vocabulary::is_owner(unit.ir.text(*property)),
                _ => false,
            };
        });
    };
    see(path);
    for root in project.roots(path) {
        unit.index.sources(root).iter().take(4).for_each(|source| see(path.to(source.value)));
    }
    !own
}
