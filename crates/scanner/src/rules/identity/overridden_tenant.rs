//! The caller's own tenant, unless the caller names another.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{BindingKind, CompareOp, ExprId, ExprKind, Kinds, LogicalOp, NameRef, StmtKind, walk},
    project::{At, Fun, Project},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "overridden-tenant",
        layer: Layer::Identity,
        summary: "A tenant id of the caller's choice takes the place of the caller's own.",
    },
    severity: Severity::High,
    axis: Axis::Permissions,
    why: "The caller's own tenant is known, and is set aside for whichever the caller names. A role, such as administrator, is held in \
          one tenant and says nothing about another.",
    fix: "Refuse a tenant id that differs from the caller's own, or leave the argument out of the tool.",
    cwe: &["CWE-639", "CWE-863"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021", "API1:2023"],
    markdown: include_str!("overridden_tenant.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    super::thrown_away::thrown_away(project, report);
    super::preferred::preferred(project, report);
    super::other_scope::other_scope(project, report);
    super::spread_last::spread_last(project, report);
    super::spread_verified::spread_verified(project, report);
    super::found_instead::found_instead(project, report);
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (expr, kind) in unit.ir.exprs_of(Kinds::CHOICE) {
            let (one, other) = match kind {
                ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, right } => (*left, *right),
                ExprKind::Conditional { then, otherwise, .. } => (*then, *otherwise),
                _ => continue,
            };
            let at = At { module, expr };
            if stays(project, at, at.to(other)) {
                continue;
            }
            choice(project, report, &lives, &[at.to(one), at.to(other)]);
        }
        for (id, binding) in unit.ir.bindings() {
            if binding.kind != BindingKind::Variable {
                continue;
            }
            let sources: Vec<At> = unit
                .index
                .sources(id)
                .iter()
                .take(8)
                .map(|source| At { module, expr: source.value })
                .collect();
            choice(project, report, &lives, &sources);
        }
    }
}

/// Whether a choice is what a place is set to, and the other value what stands there: `row.org_id = org_id or row.org_id` writes a
/// record, or leaves it.
fn stays(project: &Project, whole: At, other: At) -> bool {
    let Some(unit) = project.unit(whole.module) else { return false };
    let mut writes = unit.index.writes.iter().filter(|write| write.value == whole.expr);
    writes.any(|write| project.snippet(whole.to(write.place)) == project.snippet(other))
}

/// Reports what the caller chose among values of which another one is the caller's own tenant.
fn choice(project: &Project, report: &mut Report<'_>, lives: &Lifetimes<'_>, values: &[At]) {
    if let Some(chosen) = session_instead(project, values) {
        let fun = project.function_of(chosen);
        if !is_held_against(project, fun, chosen) && !super::preferred::is_looked_up(project, chosen) {
            let reached = lives.is_per_request(fun);
            let found = report.reached(chosen, "the session that a header names takes the place of the one that the token is for");
            found.severity(if reached { Severity::Medium } else { Severity::Low }).confidence(Confidence::Medium);
        }
        return;
    }
    let own = values.iter().any(|at| is_own(project, *at));
    let own_user = values.iter().any(|at| is_own_user(project, *at));
    let named = values.iter().find(|at| own && is_chosen(project, **at));
    let Some(chosen) = named.or_else(|| values.iter().find(|at| own_user && is_chosen_id(project, **at))) else {
        return;
    };
    // `user.id ?? body.userId`: who has signed in is taken first, and where everybody has nobody is taken for another.
    let after = |own: &At| project.order(*own) < project.order(*chosen);
    let last = values.iter().filter(|at| is_own(project, **at) || is_own_user(project, **at)).any(after);
    if named.is_none() {
        return instead_of_user(project, report, lives, *chosen, last);
    }
    let fun = project.function_of(*chosen);
    if !lives.is_per_request(fun) || project.is_checked(*chosen) || is_refused_unless_own(project, fun, *chosen, values) {
        return;
    }
    // The tenant of one record or of another is no choice between callers: `task.org_id if task else run.org_id`.
    let record = !values.iter().any(|at| is_own(project, *at) && is_of_party(project, *at));
    let ranked = asks_for_rank(project, fun) || record;
    let bound = super::behind_policies::only_asks_what_policies_allow(project, *chosen);
    let found =
        report.reached(*chosen, "the tenant that the caller names takes the place of the caller's own");
    if bound {
        found.severity(Severity::Low).confidence(Confidence::Low);
    } else if ranked || last || super::given_on::is_given_on_beside(project, *chosen) || super::doubts::is_of_service(project, *chosen) {
        found.severity(Severity::Medium).confidence(Confidence::Medium);
    }
}

/// Whether what was chosen goes into a variable, and whoever has another one there than the own is refused afterwards:
/// `target = tenant_id or user.tenant_id`, `if target != user.tenant_id: raise …`.
fn is_refused_unless_own(project: &Project, fun: Fun, chosen: At, values: &[At]) -> bool {
    let Some(unit) = project.unit(chosen.module) else { return false };
    let Some(StmtKind::Assign { target, .. }) = unit.index.stmt_of(chosen.expr).map(|stmt| unit.ir.stmt(stmt)) else {
        return false;
    };
    let (Some(id), Some(function)) = (target.as_binding(), unit.ir.function(fun.id)) else { return false };
    let own: Vec<&str> = values.iter().filter(|at| is_own(project, **at)).map(|at| project.snippet(*at)).collect();
    let is_it = |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(named)) if *named == id);
    let is_own = |expr: ExprId| own.contains(&project.snippet(chosen.to(expr)));
    let mut found = false;
    walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
        let StmtKind::If { test, then, .. } = unit.ir.stmt(stmt) else { return };
        if unit.index.order(*test) < unit.index.order(chosen.expr) || !project.always_leaves(unit, fun, then) {
            return;
        }
        // `target is None or target != user.tenant_id`
        let mut open = vec![*test];
        while let Some(expr) = open.pop() {
            match unit.ir.expr(expr) {
                ExprKind::Logical { op: LogicalOp::Or, left, right } => open.extend([*left, *right]),
                ExprKind::Compare { op: CompareOp::NotEq, left, right } => {
                    found |= (is_it(*left) && is_own(*right)) || (is_it(*right) && is_own(*left));
                }
                _ => {}
            }
        }
    });
    found
}

/// Whether a function compares what the caller named with something of an owner. That the token of the same request is verified
/// says nothing of its other headers.
fn is_held_against(project: &Project, fun: Fun, chosen: At) -> bool {
    let text = project.snippet(chosen);
    project.guards(fun).iter().any(|guard| {
        let named = [guard.left, guard.right].into_iter().any(|side| project.snippet(side) == text);
        named && (project.origins(guard.left).has_owner() || project.origins(guard.right).has_owner())
    })
}

/// The session that the caller names, among values of which another one is that of the verified token: `claims["session_id"]`.
fn session_instead(project: &Project, values: &[At]) -> Option<At> {
    let own = |at: &At| {
        let Some(unit) = project.unit(at.module) else { return false };
        let inner = match unit.ir.expr(at.expr) {
            // `str(claims["session_id"])`
            ExprKind::Call(call) if matches!(unit.ir.expr(call.callee), ExprKind::Name(_)) => call.positional(0).map(|expr| at.to(expr)),
            _ => Some(*at),
        };
        inner.and_then(|at| part(project, at)).is_some_and(|(object, name)| {
            let of_token = || {
                let words = vocabulary::words(project.last_written(object).unwrap_or_default());
                words.iter().any(|word| matches!(word.as_str(), "token" | "claims" | "payload" | "principal" | "auth" | "jwt"))
            };
            vocabulary::is_session_id(name) && (of_token() || project.origins(object).has(Origins::PRINCIPAL))
        })
    };
    let chosen = |at: &&At| !own(at) && project.origins(**at).is_chosen();
    let verified = values.iter().any(own);
    values.iter().find(chosen).copied().filter(|_| verified)
}

/// Reports an id that the caller names where else its own is taken: `req.query.memberId ?? req.user.id`.
fn instead_of_user(project: &Project, report: &mut Report<'_>, lives: &Lifetimes<'_>, chosen: At, last: bool) {
    let fun = project.function_of(chosen);
    if !lives.is_per_request(fun) || project.is_checked(chosen) {
        return;
    }
    let ranked = asks_for_rank(project, fun);
    let found = report.reached(chosen, "the user that the caller names takes the place of the caller itself");
    // `target = body.userId ?? user.id`, and then `madeBy(target, user.id)`, which may compare both.
    if ranked || last || super::tenant_from_input::goes_beside(project, chosen) || super::doubts::is_of_service(project, chosen) {
        found.severity(Severity::Medium).confidence(Confidence::Medium);
    }
}

/// `req.user.id`: the id of the verified caller itself.
fn is_own_user(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(at.expr) else { return false };
    let of = project.last_written(at.to(*object)).unwrap_or_default();
    matches!(unit.ir.text(*property), "id" | "sub" | "uid" | "userId" | "user_id" | "_id")
        && (vocabulary::is_user(of) || vocabulary::is_principal(of) || of == "session")
        && !project.origins(at).is_chosen()
        && project.origins(at).has(Origins::PRINCIPAL)
}

/// A member of what the caller sent that is named for an id: `req.query["employeeId"]`.
fn is_chosen_id(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let member = matches!(unit.ir.expr(at.expr), ExprKind::Member { .. } | ExprKind::Index { .. });
    if !member {
        return false;
    }
    let words = vocabulary::words(project.last_written(at).unwrap_or_default());
    words.len() > 1
        && words.last().is_some_and(|last| matches!(last.as_str(), "id" | "uuid" | "sub"))
        && project.origins(at).is_chosen()
}

/// `operator.tenant_id`, `claims["tenant_id"]`, `user.get("tenant_id")`: a tenant that is read from something that the caller did
/// not send.
fn is_own(project: &Project, at: At) -> bool {
    let Some((object, name)) = part(project, at) else { return false };
    vocabulary::is_tenant(name)
        && !project.origins(at).is_chosen()
        && !project.origins(object).is_chosen()
        && (project.origins(at).has_owner() || project.origins(object).has(Origins::PRINCIPAL))
}

/// What a part is read from, and its name: of `of.name`, `of["name"]`, `of.get("name")`.
fn part(project: &Project, at: At) -> Option<(At, &str)> {
    let unit = project.unit(at.module)?;
    match unit.ir.expr(at.expr) {
        ExprKind::Member { object, property, .. } => Some((at.to(*object), unit.ir.text(*property))),
        ExprKind::Index { object, index, .. } => match unit.ir.expr(*index) {
            ExprKind::String(text) => Some((at.to(*object), unit.ir.text(*text))),
            _ => None,
        },
        ExprKind::Call(call) => {
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
            let name = first_text(project, at)?;
            (unit.ir.text(*property) == "get").then(|| (at.to(*object), name))
        }
        _ => None,
    }
}

/// Whether a member is one of the verified caller, by what it is or by its name.
fn is_of_party(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let Some((object, _)) = part(project, at) else { return false };
    // `user_row["tenant_id"]` is a record, whoever it is of.
    let row = project.written(object).last().is_some_and(|name| {
        vocabulary::words(name).last().is_some_and(|word| matches!(word.as_str(), "row" | "record" | "result" | "doc" | "data"))
    });
    if row {
        return false;
    }
    let named = project.written(object).last().is_some_and(|name| {
        vocabulary::is_principal(name)
            || vocabulary::words(name).iter().any(|word| {
                matches!(word.as_str(), "operator" | "user" | "session" | "claims" | "caller" | "ctx" | "context" | "extra" | "key" | "token")
            })
    });
    // A row that was found for the caller is a record, and no caller: `task.org_id`.
    let record = matches!(unit.ir.expr(object.expr), ExprKind::Name(_));
    named || (!record && (project.origins(at).has(Origins::PRINCIPAL) || project.origins(object).has(Origins::PRINCIPAL)))
}

/// A tenant out of what the caller sent.
fn is_chosen(project: &Project, at: At) -> bool {
    let name = project.last_written(at).unwrap_or_default();
    let literal = first_text(project, at);
    (vocabulary::is_tenant(name) || literal.is_some_and(vocabulary::is_tenant))
        && project.origins(at).is_chosen()
}

/// The `"tenant_id"` of `arguments.get("tenant_id")`.
fn first_text(project: &Project, at: At) -> Option<&str> {
    let unit = project.unit(at.module)?;
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    match unit.ir.expr(call.positional(0)?) {
        ExprKind::String(text) => Some(unit.ir.text(*text)),
        _ => None,
    }
}

/// Whether the function asks for a role: it may mean an operator of the whole server.
fn asks_for_rank(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    project.guards(fun).iter().any(|guard| {
        let mut ranked = false;
        walk::exprs_below(&unit.ir, guard.left.expr, &mut |expr| {
            if let ExprKind::Member { property, .. } = unit.ir.expr(expr) {
                let words = vocabulary::words(unit.ir.text(*property));
                ranked |= words.iter().any(|word| {
                    matches!(
                        word.as_str(),
                        "role" | "roles" | "admin" | "superuser" | "rank" | "permissions" | "scopes"
                    )
                });
            }
        });
        ranked
    })
}
