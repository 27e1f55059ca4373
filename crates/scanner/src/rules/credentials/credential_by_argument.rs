//! An argument that chooses whose stored credential is used.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ArgKind, Call, ExprKind, NameRef},
    project::{At, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "credential-by-argument",
        layer: Layer::Credentials,
        summary: "An argument that the caller fills chooses whose stored credential is used.",
    },
    severity: Severity::High,
    axis: Axis::Credentials,
    why: "A caller, or the model that speaks for one, names another account, and the server acts with that one's credential.",
    fix: "Find the credential by the verified caller, or check that the account that is named belongs to it.",
    cwe: &["CWE-639", "CWE-522"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("credential_by_argument.md"),
    run,
};

/// First words of functions that find something which is kept.
const FINDS: &[&str] = &["get", "load", "find", "fetch", "read", "lookup", "retrieve", "restore", "resolve"];

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let finds = project.calls_named(finds_credential);
    for (module, unit) in project.units() {
        for expr in finds.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            if !lives.is_per_request(project.function_of(at)) {
                continue;
            }
            let Some(chosen) = account(project, unit, at, call) else { continue };
            let known = call.args.iter().any(|arg| {
                let origins = project.origins(at.to(arg.value));
                origins.has(Origins::PRINCIPAL | Origins::SECRET | Origins::REQUEST)
            });
            if known || project.is_checked(chosen) {
                continue;
            }
            // Who reaches a tool reaches it with any argument; a route may be for whoever the account belongs to.
            let tool = project.entry(project.function_of(at)).is_some_and(|entry| entry.kind == "tool");
            report
                .reached(at, "what the caller sends chooses whose credential is used")
                .severity(if tool && project.knows_callers(module) { Severity::High } else { Severity::Medium })
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a name says that a function finds a credential: `load_credentials`, `getTokensFor`.
fn finds_credential(name: &str) -> bool {
    let words = vocabulary::words(name);
    // `credentials_for(email)`, `tokens_of(user)`
    let of = words.last().is_some_and(|last| matches!(last.as_str(), "for" | "of")) && words.len() > 1;
    let finds = of || words.first().is_some_and(|word| FINDS.contains(&word.as_str()));
    let what = words.iter().skip(usize::from(!of)).any(|word| {
        matches!(word.as_str(), "credential" | "credentials" | "creds" | "token" | "tokens" | "oauth")
    });
    // A new one, for whoever signs in.
    finds && what && !words.iter().any(|word| matches!(word.as_str(), "count" | "limit" | "usage" | "url" | "uri" | "endpoint" | "type" | "info" | "csrf"))
}

/// The argument that names an account, when the caller filled it.
fn account(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<At> {
    call.args.iter().find_map(|arg| {
        let named = |name: &str| {
            let words = vocabulary::words(name);
            let account = words.iter().any(|word| {
                matches!(word.as_str(), "email" | "user" | "account" | "username" | "profile" | "tenant" | "owner" | "workspace" | "org" | "organization")
            });
            account && !words.iter().any(|word| matches!(word.as_str(), "service" | "storage"))
        };
        let keyword = match arg.kind {
            ArgKind::Keyword(name) => named(unit.ir.text(name)),
            _ => false,
        };
        let written = match unit.ir.expr(arg.value) {
            ExprKind::Name(NameRef::Binding(id)) => named(unit.ir.binding_name(*id)),
            ExprKind::Member { property, .. } => named(unit.ir.text(*property)),
            _ => false,
        };
        let value = at.to(arg.value);
        ((keyword || written) && project.origins(value).has(Origins::INPUT)).then_some(value)
    })
}
