//! A request's own server that is made without the caller of the request.

use std::collections::BTreeSet;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ExprKind, NameRef, walk},
    library::Role,
    project::{At, Fun, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "unbound-server",
        layer: Layer::Context,
        summary: "A request's own server is made without the caller that the request is known to have.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "The tools of that server do not know for whom they work: they take the tenant from their arguments, or reach everybody's \
          rows, although the HTTP side has refused strangers.",
    fix: "Hand the verified caller to what makes the server, as a required parameter, and use it in every tool.",
    cwe: &["CWE-862", "CWE-639"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("unbound_server.md"),
    run,
};

/// Names of what carries the caller of a request.
const REQUESTS: &[&str] = &["ctx", "context", "extra", "req", "request", "c", "info", "session", "auth", "this", "exchange"];

/// How many calls are followed from where a server is made.
const DEPTH: u32 = 6;

fn run(project: &Project, report: &mut Report<'_>) {
    if !knows_callers(project) {
        return;
    }
    let lives = Lifetimes::new(project);
    let mut seen = BTreeSet::new();
    let connecting = project.calls_with(Role::Connect);
    for (module, unit) in project.units() {
        for call in connecting.among(module) {
            let at = At { module, expr: *call };
            let fun = project.function_of(at);
            if !lives.is_per_request(fun) {
                continue;
            }
            let Some((made, maker)) = made_by(project, unit, at) else { continue };
            if !seen.insert(made) || takes_request(project, made) || runs_in_context(project, fun) {
                continue;
            }
            let mut all = BTreeSet::new();
            below(project, maker, DEPTH, &mut all);
            let handlers = all.iter().filter(|fun| project.entry(**fun).is_some()).count();
            if handlers == 0 || all.iter().any(|fun| asks(project, *fun)) {
                continue;
            }
            report
                .reached(made, "this server does not know the caller of the request that it is made for")
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether code of the project leaves the caller that it found out on requests: `req.tenant = …`.
fn knows_callers(project: &Project) -> bool {
    project.units().any(|(_, unit)| {
        unit.index.writes.iter().any(|write| {
            let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { return false };
            let name = unit.ir.text(*property);
            let request = match unit.ir.expr(*object) {
                ExprKind::Name(NameRef::Binding(id)) => matches!(unit.ir.binding_name(*id), "req" | "request"),
                _ => false,
            };
            request && (vocabulary::is_owner(name) || vocabulary::is_principal(name))
        })
    })
}

/// The call that makes the server which a call connects, and the function of the project that it calls.
fn made_by(project: &Project, unit: &Unit, connect: At) -> Option<(At, Fun)> {
    let ExprKind::Call(call) = unit.ir.expr(connect.expr) else { return None };
    let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
    let made = match unit.ir.expr(*object) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let [source] = unit.index.sources(*id) else { return None };
            source.value
        }
        _ => *object,
    };
    let made = match unit.ir.expr(made) {
        ExprKind::Await(value) => *value,
        _ => made,
    };
    let at = connect.to(made);
    let callee = project.callee(at).filter(|callee| callee.certain)?;
    Some((at, *callee.targets.first()?))
}

/// Whether an argument of a call has anything of the request in it.
fn takes_request(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return true };
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return true };
    call.args.iter().any(|arg| {
        let mut of_request = project.origins(at.to(arg.value)).is_of_request();
        walk::exprs_below(&unit.ir, arg.value, &mut |expr| of_request |= project.origins(at.to(expr)).is_of_request());
        of_request
    })
}

/// Whether a function, or one around it, runs code in a context of the request.
fn runs_in_context(project: &Project, fun: Fun) -> bool {
    project.around(fun).into_iter().any(|around| {
        let Some(unit) = project.unit(around.module) else { return false };
        let mut found = false;
        walk::function_exprs(&unit.ir, around.id, &mut |expr| {
            let at = At { module: around.module, expr };
            found |= project.callee(at).is_some_and(|callee| {
                callee.name() == "run" || callee.defs.iter().any(|def| matches!(def.role, Role::ContextRun | Role::ContextSet))
            });
        });
        found
    })
}

/// The functions that a function makes and calls, itself first.
fn below(project: &Project, fun: Fun, depth: u32, all: &mut BTreeSet<Fun>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    if all.len() > 400 || !all.insert(fun) {
        return;
    }
    let Some(unit) = project.unit(fun.module) else { return };
    let mut targets: Vec<Fun> = unit.index.inner(fun.id).iter().map(|id| Fun { module: fun.module, id: *id }).collect();
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if let Some(callee) = project.callee(At { module: fun.module, expr }) {
            targets.extend(callee.targets.iter().filter(|_| callee.certain).copied());
        }
    });
    for target in targets {
        below(project, target, depth, all);
    }
}

/// Whether a function asks for the verified caller.
fn asks(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return true };
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => {
                let name = unit.ir.text(*property);
                let party = vocabulary::is_principal(name) || vocabulary::is_owner(name);
                let of_request = project.written(at).first().is_some_and(|first| REQUESTS.contains(&first.as_str()));
                found |= matches!(name, "authInfo" | "requestInfo")
                    || (party && of_request && project.origins(at).has(Origins::PRINCIPAL | Origins::SECRET));
            }
            ExprKind::Call(_) => {
                found |= project.callee(at).is_some_and(|callee| {
                    callee.name() == "getStore" || callee.defs.iter().any(|def| matches!(def.role, Role::ContextGet | Role::Verify))
                });
            }
            _ => {}
        }
    });
    found
}
