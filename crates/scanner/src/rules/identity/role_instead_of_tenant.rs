//! A tenant that the caller names and that is taken because of a role, which holds in the caller's own tenant only.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Origins, is_over_tenants},
    ir::{CompareOp, ExprId, ExprKind, FunctionId, NameRef, StmtId, StmtKind, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "role-instead-of-tenant",
        layer: Layer::Identity,
        summary: "A tenant that the caller names is taken because of a role, which holds in the caller's own tenant only.",
    },
    severity: Severity::High,
    axis: Axis::Permissions,
    why: "Every tenant has its administrators: one of them names another tenant and acts there.",
    fix: "Take the caller's own tenant, or compare with it; let a foreign one through only for a role that is given outside of tenants.",
    cwe: &["CWE-639", "CWE-863"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("role_instead_of_tenant.md"),
    run,
};

/// What the name of a role has in it.
const ROLES: &[&str] = &["role", "rank"];

fn run(project: &Project, report: &mut Report<'_>) {
    let naming = project.naming(ROLES);
    for (module, unit) in project.units().filter(|(module, _)| naming(*module)) {
        for (id, function) in unit.ir.functions() {
            if id == FunctionId::MODULE {
                continue;
            }
            let fun = Fun { module, id };
            let Some(role) = role_of(project, unit, fun, &function.body) else { continue };
            if compares_tenants(project, fun) {
                continue;
            }
            let Some((at, name)) = first_use(project, unit, fun, role.order) else { continue };
            let found = report.reached(at, format!("`{name}` is taken from a caller because of its `{}`, which holds in its own tenant", role.name));
            let severity = if role.of_tenant { Severity::High } else { Severity::Low };
            let sure = project.origins(at).has(Origins::INPUT | Origins::UNVERIFIED);
            found.severity(if sure { severity } else { severity.min(Severity::Medium) }).confidence(Confidence::Medium);
        }
    }
}

/// A condition on the caller's role.
struct Role {
    name: String,
    /// Whether its name says that it is a role within a tenant.
    of_tenant: bool,
    order: u32,
}

/// The first condition on the caller's role in a function.
fn role_of(project: &Project, unit: &Unit, fun: Fun, body: &[StmtId]) -> Option<Role> {
    let mut found: Option<Role> = None;
    let mut see = |test: ExprId| {
        if found.is_none() {
            found = role_in(project, unit, At { module: fun.module, expr: test });
        }
    };
    walk::stmts_below(&unit.ir, body, &mut |stmt| {
        if let StmtKind::If { test, .. } = unit.ir.stmt(stmt) {
            see(*test);
        }
        walk::parts(&unit.ir, stmt, &mut |part| {
            if let walk::Part::Expr(expr) = part {
                walk::exprs_below(&unit.ir, expr, &mut |expr| {
                    if let ExprKind::Conditional { test, .. } = unit.ir.expr(expr) {
                        see(*test);
                    }
                });
            }
        });
    });
    found
}

fn role_in(project: &Project, unit: &Unit, test: At) -> Option<Role> {
    let mut found = None;
    walk::exprs_below(&unit.ir, test.expr, &mut |expr| {
        let ExprKind::Compare { op: CompareOp::Eq | CompareOp::NotEq | CompareOp::In | CompareOp::NotIn, left, right } = unit.ir.expr(expr) else { return };
        for (side, other) in [(*left, *right), (*right, *left)] {
            let ExprKind::Member { object, property, .. } = unit.ir.expr(side) else { continue };
            let name = unit.ir.text(*property);
            let words = vocabulary::words(name);
            if !words.iter().any(|word| matches!(word.as_str(), "role" | "roles" | "rank")) || !is_caller(project, test.to(*object)) {
                continue;
            }
            let said = vocabulary::words(&format!("{name} {}", project.snippet(test.to(other))));
            if said.iter().any(|word| is_over_tenants(word)) {
                return;
            }
            let of_tenant = said.iter().any(|word| matches!(word.as_str(), "tenant" | "org" | "organization" | "workspace" | "team"));
            found = Some(Role { name: name.to_owned(), of_tenant, order: unit.index.order(test.expr) });
        }
    });
    found
}

/// Whether a value is the caller, by what it is or how it is named.
fn is_caller(project: &Project, at: At) -> bool {
    let name = project.written(at).pop().unwrap_or_default();
    let named = vocabulary::words(&name).iter().any(|word| {
        matches!(word.as_str(), "user" | "operator" | "caller" | "principal" | "identity" | "claims" | "session" | "actor" | "auth" | "member" | "viewer")
    });
    named || project.origins(at).has(Origins::PRINCIPAL)
}

/// Whether a function compares a tenant with the caller's own and refuses.
fn compares_tenants(project: &Project, fun: Fun) -> bool {
    let own = |side: At| {
        let Some(unit) = project.unit(side.module) else { return false };
        matches!(unit.ir.expr(side.expr), ExprKind::Member { object, property, .. }
            if is_tenant(unit.ir.text(*property)) && is_caller(project, side.to(*object)))
    };
    project.guards(fun).iter().any(|guard| {
        let call = project.callee(guard.right).is_some_and(|callee| Project::is_check(callee.name()));
        own(guard.left) && !is_null(project, guard.right) || own(guard.right) && !is_null(project, guard.left) || (call && is_foreign(project, guard.left))
    })
}

fn is_null(project: &Project, at: At) -> bool {
    project.unit(at.module).is_some_and(|unit| matches!(unit.ir.expr(at.expr), ExprKind::Null))
}

fn is_tenant(name: &str) -> bool {
    vocabulary::is_tenant(name)
        || vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "tenant" | "org" | "organization" | "workspace"))
            && vocabulary::words(name).last().is_some_and(|last| matches!(last.as_str(), "arg" | "id" | "slug" | "param" | "input" | "tenant" | "org"))
}

/// Whether a value is a tenant that is not the caller's own: a parameter, or a member of what came in.
fn is_foreign(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let origins = project.origins(at);
    match unit.ir.expr(at.expr) {
        ExprKind::Member { object, property, .. } => {
            let from = project.written(at.to(*object)).pop().unwrap_or_default();
            let sent = ["payload", "args", "arguments", "params", "input", "body", "data", "query", "req", "request"].contains(&from.as_str());
            is_tenant(unit.ir.text(*property)) && !is_caller(project, at.to(*object)) && (sent || origins.has(Origins::INPUT))
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            let parameter = project.parameter_of(at.module, *id).is_some();
            is_tenant(unit.ir.binding_name(*id)) && (parameter || origins.has(Origins::INPUT)) && !origins.has(Origins::PRINCIPAL)
        }
        _ => false,
    }
}

/// The first use of such a tenant behind the condition, that is no test.
fn first_use(project: &Project, unit: &Unit, fun: Fun, after: u32) -> Option<(At, String)> {
    let mut found: Option<(u32, At, String)> = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        let order = unit.index.order(expr);
        let earlier = found.as_ref().is_some_and(|(first, ..)| *first <= order);
        if order <= after || earlier || !is_foreign(project, at) || is_test(unit, expr) {
            return;
        }
        let name = project.written(at).pop().unwrap_or_default();
        found = Some((order, at, name.into()));
    });
    found.map(|(_, at, name)| (at, name))
}

/// Whether a use only tests, or is told in a message.
fn is_test(unit: &Unit, expr: ExprId) -> bool {
    match unit.index.parent(expr) {
        Parent::Expr(up) => match unit.ir.expr(up) {
            ExprKind::Compare { left, right, .. } => {
                matches!(unit.ir.expr(*left), ExprKind::Null) || matches!(unit.ir.expr(*right), ExprKind::Null)
            }
            ExprKind::Unary { .. } | ExprKind::Template(_) => true,
            ExprKind::Logical { left, .. } => *left == expr,
            ExprKind::Conditional { test, .. } => *test == expr,
            _ => false,
        },
        Parent::Stmt(stmt) => matches!(unit.ir.stmt(stmt), StmtKind::If { .. } | StmtKind::Throw(_)),
        _ => false,
    }
}
