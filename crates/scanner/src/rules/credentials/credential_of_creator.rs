//! Whoever asks, the credential of the one who made the thing is used.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Origins,
    ir::{BindingId, ExprKind, FunctionId, NameRef},
    project::{At, Fun, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "credential-of-creator",
        layer: Layer::Credentials,
        summary: "A credential is looked up for the user that a row names, though another one may be asking.",
    },
    severity: Severity::Medium,
    axis: Axis::Permissions,
    why: "Everybody who reaches the row acts with the credential of whoever made it.",
    fix: "Look the credential up for the caller; where the row's owner is meant, compare the two first.",
    cwe: &["CWE-441", "CWE-639"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("credential_of_creator.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let giving = project.calls_of(|callee| gives_credential(callee.name()));
    for (module, unit) in project.units() {
        if !project.has_owners(module) {
            continue;
        }
        for expr in giving.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let name = project.callee(at).map_or("", |callee| callee.name());
            let Some((row, value)) = call.args.iter().find_map(|arg| Some((row_of(project, unit, at.to(arg.value))?, arg.value))) else { continue };
            let fun = project.function_of(at);
            let others = call.args.iter().any(|arg| arg.value != value && project.origins(at.to(arg.value)).has(Origins::PRINCIPAL));
            if others || !knows_sender(project, fun, row) || is_compared(project, fun, row) {
                continue;
            }
            report
                .reached(at, format!("`{name}` gets the credential of the user that `{}` names, whoever asks", unit.ir.binding_name(row)))
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a function's name says that it looks a credential up.
fn gives_credential(name: &str) -> bool {
    let words = vocabulary::words(name);
    let verb = words.first().is_some_and(|verb| matches!(verb.as_str(), "resolve" | "get" | "load" | "fetch" | "decrypt" | "find" | "lookup" | "read"));
    verb && words.iter().any(|word| {
        matches!(
            word.as_str(),
            "token" | "tokens" | "credential" | "credentials" | "secret" | "secrets" | "key" | "keys" | "env" | "apikey" | "oauth" | "password"
        )
    })
}

/// The row of `row.user_id`, which is no caller itself.
fn row_of(project: &Project, unit: &Unit, at: At) -> Option<BindingId> {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(at.expr) else { return None };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return None };
    let name = unit.ir.binding_name(*id);
    let party = vocabulary::is_principal(name)
        || vocabulary::is_owner(name)
        || vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "ctx" | "context" | "req" | "request" | "session" | "args" | "params" | "input"));
    let looked_up = unit.index.sources(*id).iter().any(|source| {
        let mut value = source.value;
        if let ExprKind::Await(inner) = unit.ir.expr(value) {
            value = *inner;
        }
        matches!(unit.ir.expr(value), ExprKind::Call(_))
    });
    (vocabulary::is_user(unit.ir.text(*property)) && !party && looked_up && !project.origins(at.to(*object)).has(Origins::PRINCIPAL))
        .then_some(*id)
}

/// Whether the user that a row names is compared with another one.
fn is_compared(project: &Project, fun: Fun, row: BindingId) -> bool {
    let Some(unit) = project.unit(fun.module) else { return true };
    let names_user = |side: At| match unit.ir.expr(side.expr) {
        ExprKind::Member { object, property, .. } => {
            matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(id)) if *id == row) && vocabulary::is_user(unit.ir.text(*property))
        }
        _ => false,
    };
    project.guards(fun).iter().any(|guard| {
        (names_user(guard.left) && !project.is_fixed(guard.right)) || (names_user(guard.right) && !project.is_fixed(guard.left))
    })
}

/// Whether a function, or one around it, is told which user asks: by a parameter, or a variable made of one.
fn knows_sender(project: &Project, fun: Fun, row: BindingId) -> bool {
    project.around(fun).into_iter().any(|around| {
        let Some(unit) = project.unit(around.module) else { return false };
        around.id != FunctionId::MODULE
            && unit.ir.bindings().any(|(id, binding)| {
                id != row
                    && unit.ir.binding_function(id) == around.id
                    && vocabulary::is_user(unit.ir.text(binding.name))
                    && (project.parameter_of(around.module, id).is_some() || unit.index.sources(id).iter().any(|source| !source.path.is_empty()))
            })
    })
}
