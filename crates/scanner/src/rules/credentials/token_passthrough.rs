//! A token that was made for this server, sent on to another one.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Origins,
    ir::{ArgKind, BindingId, Call, ExprId, ExprKind, NameRef, PropertyKey, TemplatePart, walk},
    library::Role,
    project::{At, Project, Unit},
    rules::{Report, Rule},
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "token-passthrough",
        layer: Layer::Credentials,
        summary: "The token that callers present to this server is sent on to another service.",
    },
    severity: Severity::Medium,
    axis: Axis::Credentials,
    why: "The token was issued for this server. A service that takes it cannot tell this server from the caller, and whoever runs or \
          reads that service holds tokens with which it can call this server as its tenants. MCP forbids it (authorization, token \
          passthrough).",
    fix: "Exchange the token for one that is meant for the other service (RFC 8693), or look up the caller's own credential for it.",
    cwe: &["CWE-441", "CWE-522"],
    soc2: &["CC6.1", "CC6.6"],
    owasp: &["A01:2021", "A07:2021"],
    markdown: include_str!("token_passthrough.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    super::along_redirects::along_redirects(project, report);
    super::headers_along::headers_along(project, report);
    let verified: Vec<At> = verifications(project);
    if verified.is_empty() {
        return;
    }
    let fetching = project.calls_of(|callee| {
        let fetches = callee.defs.iter().any(|def| def.role == Role::Fetch);
        fetches || matches!(&callee.path[..], [name] if name == "fetch" && callee.package.is_none())
    });
    for (module, unit) in project.units() {
        for expr in fetching.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let sent = bearers(unit, call).into_iter().map(|value| at.to(value));
            if let Some(token) = sent.into_iter().find(|token| is_verified(project, *token, &verified)) {
                report
                    .reached(token, "the token that the caller presented here is sent to another service")
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// The calls that verify tokens that were issued for this very server: with an audience.
fn verifications(project: &Project) -> Vec<At> {
    let mut found = Vec::new();
    let verifying = project.calls_with(Role::Verify);
    for (module, unit) in project.units() {
        for expr in verifying.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            if names_audience(project, unit, module, call) {
                found.push(at);
            }
        }
    }
    found
}

fn names_audience(project: &Project, unit: &Unit, module: crate::project::ModuleId, call: &Call) -> bool {
    call.args.iter().any(|arg| match arg.kind {
        ArgKind::Keyword(name) => matches!(unit.ir.text(name), "audience" | "aud"),
        _ => project.property_value(At { module, expr: arg.value }, "audience").is_some(),
    })
}

/// The values that stand behind `Bearer` or as an `Authorization` in the arguments of a call.
fn bearers(unit: &Unit, call: &Call) -> Vec<ExprId> {
    let mut found = Vec::new();
    for arg in &call.args {
        walk::exprs_below(&unit.ir, arg.value, &mut |expr| match unit.ir.expr(expr) {
            ExprKind::Template(parts) => {
                if let [TemplatePart::Text(text), TemplatePart::Value(value), ..] = &**parts
                    && unit.ir.text(*text).trim().eq_ignore_ascii_case("bearer")
                {
                    found.push(*value);
                }
            }
            ExprKind::Binary { left, right, .. } => {
                let bearer = matches!(unit.ir.expr(*left), ExprKind::String(text) if unit.ir.text(*text).trim().eq_ignore_ascii_case("bearer"));
                found.extend(bearer.then_some(*right));
            }
            ExprKind::Object(properties) => found.extend(properties.iter().filter_map(|property| {
                let PropertyKey::Name(name) = property.key else { return None };
                unit.ir.text(name).eq_ignore_ascii_case("authorization").then_some(property.value)
            })),
            _ => {}
        });
    }
    found
}

/// Whether a value is the token that this server verified: the SDK's, or the same variable that was handed to the verification.
fn is_verified(project: &Project, token: At, verified: &[At]) -> bool {
    let origins = project.origins(token);
    if origins.has(Origins::SECRET) && !origins.has(Origins::ENV) {
        return true;
    }
    let Some(unit) = project.unit(token.module) else { return false };
    let ExprKind::Name(NameRef::Binding(own)) = unit.ir.expr(token.expr) else { return false };
    let own: BindingId = *own;
    verified.iter().filter(|at| at.module == token.module).any(|at| {
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
        let first = call.args.first().map(|arg| unit.ir.expr(arg.value));
        matches!(first, Some(ExprKind::Name(NameRef::Binding(id))) if *id == own)
    })
}
