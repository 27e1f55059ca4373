//! Tokens that are issued to whoever signs in, with one and the same subject for all.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Lifetimes,
    ir::{ArgKind, ExprId, ExprKind, FunctionId, NameRef, PropertyKey},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports calls that issue a token in a request, with a subject that is written out.
pub(super) fn one_subject(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let begins = project.calls_named(begins_issue);
    for (module, unit) in project.units() {
        for expr in begins.among(module) {
            let at = At { module, expr: *expr };
            let fun = project.function_of(at);
            if fun.id == FunctionId::MODULE || !lives.is_per_request(fun) || !issues(project, at) {
                continue;
            }
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let told = call.args.iter().find_map(|arg| match arg.kind {
                ArgKind::Keyword(name) if is_subject(unit.ir.text(name)) => Some(arg.value),
                _ => subject_of(unit, arg.value),
            });
            if told.is_some_and(|subject| is_written_out(project, unit, at.to(subject))) {
                report
                    .reached(at, "every token that is issued here has the same subject, so that all who sign in are one caller")
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a call issues a token: `jwt.encode(…)`, `issuer.issue_access_token(…)`, `sign(…)`.
fn issues(project: &Project, at: At) -> bool {
    let path = project.written(at);
    let words: Vec<String> = path.iter().flat_map(|name| vocabulary::words(name.as_str()).to_vec()).collect();
    let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
    path.last().is_some_and(|name| begins_issue(name)) && has(&["jwt", "token", "jws", "access", "jose"])
}

/// Whether the name of what is called begins as one that issues something.
fn begins_issue(name: &str) -> bool {
    vocabulary::words(name).first().is_some_and(|verb| {
        matches!(verb.as_str(), "encode" | "sign" | "issue" | "mint" | "create" | "generate" | "make")
    })
}

fn is_subject(name: &str) -> bool {
    matches!(name, "sub" | "subject" | "user_id" | "userId" | "tenant_id" | "tenantId")
}

/// The subject in a record of claims: `{"sub": "local-user"}`, here or in a variable.
fn subject_of(unit: &Unit, value: ExprId) -> Option<ExprId> {
    let record = match unit.ir.expr(value) {
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] => source.value,
            _ => return None,
        },
        _ => value,
    };
    let ExprKind::Object(properties) = unit.ir.expr(record) else { return None };
    properties.iter().find_map(|property| match property.key {
        PropertyKey::Name(name) if is_subject(unit.ir.text(name)) => Some(property.value),
        _ => None,
    })
}

/// Whether a value is a text, or a variable of the module that is one.
fn is_written_out(project: &Project, unit: &Unit, at: At) -> bool {
    match unit.ir.expr(at.expr) {
        ExprKind::String(text) => !unit.ir.text(*text).is_empty(),
        ExprKind::Name(NameRef::Binding(id)) => {
            unit.ir.is_module_level(*id)
                && matches!(unit.index.sources(*id), [source] if matches!(unit.ir.expr(source.value), ExprKind::String(_)))
                && project.is_fixed(at)
        }
        _ => false,
    }
}
