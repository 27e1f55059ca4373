//! A client of the database that does not meet its policies.

use partywall_model::{Axis, Check, Layer, Severity};

use crate::{
    ir::{ExprId, ExprKind, Kinds, Module, walk},
    project::{At, Project},
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
            let Some(callee) = project.callee(at) else { continue };
            let makes = matches!(callee.name(), "createClient" | "create_client" | "createServerClient" | "acreate_client")
                && callee.package.as_deref().is_none_or(|package| package.contains("supabase"));
            if makes && call.args.iter().any(|arg| names_service(project, &unit.ir, module, arg.value)) {
                report.reached(at, "this client skips row-level security: it has the service's key");
            }
        }
    }
}

/// Whether a value is the service's key, by the name that it has somewhere.
fn names_service(project: &Project, module: &Module, id: crate::project::ModuleId, value: ExprId) -> bool {
    let mut named = false;
    walk::exprs_below(module, value, &mut |expr| {
        let text = match module.expr(expr) {
            ExprKind::String(text) => module.text(*text).to_owned(),
            ExprKind::Member { property, .. } => module.text(*property).to_owned(),
            ExprKind::Name(_) => {
                let at = At { module: id, expr };
                // A constant is followed to what it was made from.
                format!("{} {}", project.snippet(at), sources(module, project, at))
            }
            _ => return,
        };
        let text = text.to_lowercase().replace(['_', '-'], "");
        named |= text.contains("servicerole") || text.contains("supabaseservicekey") || text.contains("supabasesecretkey");
    });
    named
}

/// The texts of what a name is assigned.
fn sources(module: &Module, project: &Project, at: At) -> String {
    let ExprKind::Name(crate::ir::NameRef::Binding(binding)) = module.expr(at.expr) else { return String::new() };
    let Some(unit) = project.unit(at.module) else { return String::new() };
    unit.index
        .sources(*binding)
        .iter()
        .take(4)
        .map(|source| project.snippet(at.to(source.value)))
        .filter(|text| text.len() < 200)
        .collect::<Vec<_>>()
        .join(" ")
}
