//! Helpers that make the headers of requests to other services out of those of the request that came in, the token among them:
//! `out.authorization = headers.authorization`, `{k: v for k, v in incoming.items() if k in ("authorization", …)}`.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{ArgKind, ArrayKind, CompareOp, ExprId, ExprKind, FunctionId, Kinds, NameRef, PropertyKey, walk},
    library::Role,
    project::{At, Fun, ModuleId, Parent, Project, Unit},
    rules::Report,
};

/// How many callers of a helper are looked at.
const CALLERS: usize = 16;

/// Reports where the token goes along.
pub(super) fn headers_along(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        if !unit.ir.has_name_with(&["headers"]) || !project.handlers_know_callers(module) {
            continue;
        }
        for (at, whole) in copies(unit, module) {
            let fun = project.function_of(at);
            if fun.id != FunctionId::MODULE && goes_out(project, unit, fun, whole) {
                report
                    .reached(at, "the token that the caller presented here goes along in the headers to another service")
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// The places where the token of headers that came in is put among others, with the record that it is put into: a variable or itself.
fn copies(unit: &Unit, module: ModuleId) -> Vec<(At, ExprId)> {
    let mut found = Vec::new();
    for write in &unit.index.writes {
        let object = match unit.ir.expr(write.place) {
            ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => *object,
            _ => continue,
        };
        if is_token_of(unit, write.place) && is_token_of(unit, write.value) {
            found.push((At { module, expr: write.value }, object));
        }
    }
    for (expr, kind) in unit.ir.exprs_of(Kinds::OBJECT | Kinds::COMPREHENSION) {
        match kind {
            ExprKind::Object(properties) => {
                for property in properties {
                    let PropertyKey::Name(name) = property.key else { continue };
                    if unit.ir.text(name).eq_ignore_ascii_case("authorization")
                        && is_token_of(unit, property.value)
                    {
                        found.push((At { module, expr: property.value }, expr));
                    }
                }
            }
            ExprKind::Comprehension(own) => {
                let Some(clause) = own.clauses.first() else { continue };
                let of_headers = unit.ir.snippet(unit.ir.span(clause.iter)).ends_with(".items()");
                if of_headers && clause.conditions.iter().any(|test| lets_token(unit, *test)) {
                    found.push((At { module, expr }, expr));
                }
            }
            _ => {}
        }
    }
    found
}

/// Whether an expression is the authorization of some headers: `headers.authorization`, `req.headers["authorization"]`.
fn is_token_of(unit: &Unit, expr: ExprId) -> bool {
    match unit.ir.expr(expr) {
        ExprKind::Member { property, .. } => unit.ir.text(*property).eq_ignore_ascii_case("authorization"),
        ExprKind::Index { index, .. } => is_authorization(unit, *index),
        ExprKind::Call(call) => {
            let gets = matches!(unit.ir.expr(call.callee), ExprKind::Member { property, .. }
                if matches!(unit.ir.text(*property), "get" | "header"));
            gets && call.positional(0).is_some_and(|name| is_authorization(unit, name))
        }
        ExprKind::Logical { left, .. } => is_token_of(unit, *left),
        _ => false,
    }
}

fn is_authorization(unit: &Unit, expr: ExprId) -> bool {
    matches!(unit.ir.expr(expr), ExprKind::String(text) if unit.ir.text(*text).eq_ignore_ascii_case("authorization"))
}

/// Whether a condition lets some headers pass by their names, and the token is one of them.
fn lets_token(unit: &Unit, test: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, test, &mut |expr| {
        if let ExprKind::Compare { op: CompareOp::In, right, .. } = unit.ir.expr(expr)
            && let ExprKind::Array { items, kind: ArrayKind::List | ArrayKind::Tuple | ArrayKind::Set } =
                unit.ir.expr(*right)
        {
            found |= items.iter().any(|item| is_authorization(unit, *item));
        }
    });
    found
}

/// Whether a record goes out with a request to another service: here, or by those who call the function that gives it.
fn goes_out(project: &Project, unit: &Unit, fun: Fun, whole: ExprId) -> bool {
    let mut uses = vec![whole];
    let id = match unit.ir.expr(whole) {
        ExprKind::Name(NameRef::Binding(id)) => Some(*id),
        _ => match unit.index.parent(whole) {
            Parent::Stmt(stmt) => match unit.ir.stmt(stmt) {
                crate::ir::StmtKind::Assign { target, .. } => target.as_binding(),
                _ => None,
            },
            _ => None,
        },
    };
    if let Some(id) = id {
        uses.extend(unit.index.uses(id).iter().copied());
    }
    if uses.iter().any(|used| is_sent(project, unit, At { module: fun.module, expr: *used })) {
        return true;
    }
    let given = unit.index.returns(fun.id).iter().any(|value| uses.contains(value));
    given
        && project
            .callers(fun)
            .iter()
            .take(CALLERS)
            .any(|call| project.unit(call.module).is_some_and(|home| is_sent(project, home, *call)))
}

/// Whether a value stands as the headers of a request or of a client: `fetch(url, { headers: value })`, `Client(headers=value)`.
fn is_sent(project: &Project, unit: &Unit, at: At) -> bool {
    let mut here = at.expr;
    let mut headers = false;
    for _ in 0..6 {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        match unit.ir.expr(up) {
            ExprKind::Object(properties) => {
                headers |= properties.iter().any(|own| {
                    own.value == here
                        && matches!(own.key, PropertyKey::Name(name) if unit.ir.text(name) == "headers")
                });
            }
            ExprKind::Call(call) if call.callee != here => {
                headers |= call.args.iter().any(|arg| {
                    arg.value == here
                        && matches!(arg.kind, ArgKind::Keyword(name) if unit.ir.text(name) == "headers")
                });
                let out = project.callee(at.to(up)).is_some_and(|callee| {
                    callee.defs.iter().any(|def| matches!(def.role, Role::Fetch | Role::Client))
                        || matches!(
                            callee.name(),
                            "fetch" | "AsyncClient" | "Client" | "ClientSession" | "request"
                        )
                });
                // A client that shows who it is where tokens are issued shows no token of this server.
                let issues = call.positional(0).is_some_and(|to| {
                    let text = unit.ir.snippet(unit.ir.span(to)).to_lowercase();
                    text.contains("oauth") || text.contains("token")
                });
                return headers && out && !issues;
            }
            _ => {}
        }
        here = up;
    }
    false
}
