//! A verified token that becomes a caller who is told apart by the OAuth client only.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    ir::{ArgKind, Call, ExprId, ExprKind, Kinds, LogicalOp, NameRef, Property, PropertyKey, walk},
    project::{At, Project, Symbol, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "client-as-principal",
        layer: Layer::Identity,
        summary: "A verified token becomes a caller that is told apart by its OAuth client only.",
    },
    severity: Severity::Medium,
    axis: Axis::Permissions,
    why: "All people who use one OAuth client are one caller to whatever compares callers: one finds the other's session, task or \
          cached answer and passes the check.",
    fix: "Fill the subject and the issuer too, in the fields that the SDK compares, and refuse a token without them.",
    cwe: &["CWE-287", "CWE-639"],
    soc2: &["CC6.1"],
    owasp: &["A07:2021"],
    markdown: include_str!("client_as_principal.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    super::one_subject::one_subject(project, report);
    for (module, unit) in project.units() {
        for (expr, kind) in unit.ir.exprs_of(Kinds::CALL | Kinds::OBJECT) {
            let at = At { module, expr };
            let collapsed = match kind {
                ExprKind::Call(call) => lacks_subject(project, unit, at, call) && is_token(project, unit, at, call),
                ExprKind::Object(properties) => is_auth_info(project, unit, at, properties),
                _ => false,
            };
            if collapsed {
                report.at(at, "this caller is told apart by its OAuth client only").confidence(Confidence::Medium).always();
            }
        }
    }
}

/// Whether a call makes the token of a caller as the Python SDKs have it, or a class that extends theirs.
fn is_token(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    let named = |name: &str| name == "AccessToken";
    match project.symbol(at.to(call.callee)) {
        Symbol::Class(class) => {
            let Some(other) = project.unit(class.module) else { return false };
            named(project.class_name(class))
                || other.ir.class(class.id).is_some_and(|decl| {
                    decl.bases.iter().any(|base| {
                        let path = project.written(At { module: class.module, expr: *base });
                        path.last().is_some_and(|name| name.ends_with("AccessToken"))
                    })
                })
        }
        _ => unit.ir.language == crate::ir::Language::Python && project.written(at.to(call.callee)).last().is_some_and(|name| named(name)),
    }
}

/// Whether a token is made with a client's id that is no person's, and without a subject.
fn lacks_subject(project: &Project, unit: &Unit, at: At, call: &Call) -> bool {
    let keyword = |wanted: &[&str]| {
        call.args.iter().find_map(|arg| match arg.kind {
            ArgKind::Keyword(name) if wanted.contains(&unit.ir.text(name)) => Some(arg.value),
            _ => None,
        })
    };
    let Some(client) = keyword(&["client_id"]) else { return false };
    keyword(&["token"]).is_some()
        && keyword(&["subject", "claims"]).is_none()
        && !call.args.iter().any(|arg| matches!(arg.kind, ArgKind::Spread | ArgKind::KeywordSpread))
        && is_of_client(project, at.to(client))
}

/// Whether an object is what a verifier of the TypeScript SDK gives back, with no more than the client in it.
fn is_auth_info(project: &Project, unit: &Unit, at: At, properties: &[Property]) -> bool {
    let value = |wanted: &str| {
        properties.iter().find_map(|property| match property.key {
            PropertyKey::Name(name) if unit.ir.text(name) == wanted => Some(property.value),
            _ => None,
        })
    };
    let plain = properties.iter().all(|property| match property.key {
        PropertyKey::Name(name) => {
            let name = unit.ir.text(name);
            matches!(name, "token" | "clientId" | "scopes" | "expiresAt" | "resource")
        }
        _ => false,
    });
    plain && value("token").is_some() && value("scopes").is_some() && value("clientId").is_some_and(|client| is_of_client(project, at.to(client)))
}

/// Whether a value is the id of an OAuth client out of a token: nothing of it names a person.
fn is_of_client(project: &Project, at: At) -> bool {
    let mut client = false;
    let mut person = false;
    see(project, at, 3, &mut |name| {
        let words = vocabulary::words(name);
        client |= matches!(name, "azp" | "cid" | "appid") || (words.iter().any(|word| word == "client") && name != "client");
        person |= vocabulary::is_user(name) || words.iter().any(|word| matches!(word.as_str(), "sub" | "email" | "subject" | "user"));
    });
    client && !person
}

/// Names and texts in an expression and in what its variables were set to.
fn see(project: &Project, at: At, depth: u32, visit: &mut impl FnMut(&str)) {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(at.module)) else { return };
    // `azp or sub` is the client for every token that has one.
    if let ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, .. } = unit.ir.expr(at.expr) {
        return see(project, at.to(*left), depth + 1, visit);
    }
    let mut more: Vec<ExprId> = Vec::new();
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::String(text) => visit(unit.ir.text(*text)),
        ExprKind::Member { property, .. } => visit(unit.ir.text(*property)),
        ExprKind::Name(NameRef::Binding(id)) => {
            let sources = unit.index.sources(*id);
            if sources.is_empty() {
                visit(unit.ir.binding_name(*id));
            }
            more.extend(sources.iter().take(4).map(|source| source.value));
        }
        _ => {}
    });
    for expr in more {
        see(project, at.to(expr), depth, visit);
    }
}
