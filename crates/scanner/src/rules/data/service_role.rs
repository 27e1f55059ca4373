//! A client of the database that does not meet its policies.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    ir::{ExprKind, Kinds},
    project::{At, ModuleId, Project},
    rules::{Report, Rule},
};

pub(crate) const RULE: Rule = Rule {
    check: Check {
        id: "service-role-client",
        layer: Layer::Data,
        summary: "A client of the database is made with the service's key, which row-level security does not bind.",
    },
    severity: Severity::Medium,
    axis: Axis::Permissions,
    why: "The service role skips every policy. From here on, only the conditions that each query names keep tenants apart.",
    fix: "Make the client for each request with the anonymous key and the caller's own token, and keep the service's key for \
          jobs that no caller starts.",
    cwe: &["CWE-250"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("service_role.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    if !project.tables.relies_on_policies() && !project.tables.exposed {
        return;
    }
    for (module, unit) in project.units() {
        for (expr, kind) in unit.ir.exprs_of(Kinds::CALL) {
            let ExprKind::Call(call) = kind else { continue };
            let at = At { module, expr };
            if project.is_service_client(at, call) == Some(true) {
                let found = report.reached(at, "this client skips row-level security: it has the service's key");
                // Who calls is found out there, and each query is looked at by itself.
                if asks_who_calls(project, module) {
                    found.severity(Severity::Low).confidence(Confidence::Low);
                }
            }
        }
    }
}

/// Whether a module has the database's own service say who calls: `await client.auth.getUser(token)`.
fn asks_who_calls(project: &Project, module: ModuleId) -> bool {
    let asks = project.calls_named(|name| matches!(name, "getUser" | "get_user" | "getClaims"));
    asks.among(module).any(|call| {
        project.written(At { module, expr: *call }).iter().rev().nth(1).is_some_and(|of| of == "auth")
    })
}
