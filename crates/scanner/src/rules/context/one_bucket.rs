//! Keys that tell callers apart, and put all of those into one place who lack what they are told apart by:
//! `client = token.client_id or "unknown"` in a function that makes a key.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::Origins,
    ir::{ExprId, ExprKind, FunctionId, Kinds, LogicalOp, NameRef, PropertyKey, StmtId, StmtKind},
    project::{At, ModuleId, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports such parts of keys.
pub(super) fn one_bucket(project: &Project, report: &mut Report<'_>) {
    returned(project, report);
    for (module, unit) in project.units() {
        for (expr, kind) in unit.ir.exprs_of(Kinds::CHOICE) {
            let ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, right } = kind else {
                continue;
            };
            let at = At { module, expr };
            let fun = project.function_of(at);
            if fun.id == FunctionId::MODULE
                || !is_word_for_none(unit, *right)
                || !tells_apart(project, unit, at.to(*left))
            {
                continue;
            }
            if is_part_of_key(project, unit, at) {
                report
                    .reached(at, "callers without this share one key, which is to tell callers apart")
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Reports functions that give a key by which callers or sessions are told apart, and one word for all others:
/// `if ctx.client_id: return ctx.client_id`, and then `return "global"`.
fn returned(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let named = function.name.is_some_and(|name| makes_key(unit.ir.text(name)));
            if !named || id == FunctionId::MODULE || !project.has_owners(module) {
                continue;
            }
            let returns = unit.index.returns(id);
            let Some(one) = returns.iter().find(|value| is_word_for_none(unit, **value)) else { continue };
            let apart = |value: &ExprId| {
                project.roots(At { module, expr: *value }).iter().any(|root| {
                    let name = unit.ir.binding_name(*root);
                    TELLS.contains(&name) || vocabulary::is_session_id(name)
                })
            };
            if returns.iter().any(apart) {
                report
                    .reached(
                        At { module, expr: *one },
                        "callers without what the others are told apart by share one key",
                    )
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a name is that of a key, or of a function that makes one.
fn makes_key(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| {
        matches!(word.as_str(), "key" | "scope" | "bucket" | "namespace" | "partition" | "prefix")
    })
}

/// Names of what callers are told apart by.
const TELLS: &[&str] = &[
    "client_id",
    "clientId",
    "sub",
    "subject",
    "azp",
    "oid",
    "user_id",
    "userId",
    "email",
    "tenant_id",
    "tid",
];

/// Whether a value is a text that says that there is nobody.
fn is_word_for_none(unit: &Unit, expr: ExprId) -> bool {
    let ExprKind::String(text) = unit.ir.expr(expr) else { return false };
    matches!(
        unit.ir.text(*text).to_lowercase().as_str(),
        "unknown" | "anonymous" | "anon" | "default" | "none" | "shared" | "global" | "public" | "guest"
    )
}

/// Whether a value is what a verified token or caller is told apart by.
fn tells_apart(project: &Project, unit: &Unit, at: At) -> bool {
    let (object, name) = match unit.ir.expr(at.expr) {
        ExprKind::Member { object, property, .. } => (*object, unit.ir.text(*property)),
        ExprKind::Call(call) => {
            match (unit.ir.expr(call.callee), call.positional(0).map(|key| unit.ir.expr(key))) {
                (ExprKind::Member { object, property, .. }, Some(ExprKind::String(key)))
                    if unit.ir.text(*property) == "get" =>
                {
                    (*object, unit.ir.text(*key))
                }
                _ => return false,
            }
        }
        _ => return false,
    };
    let tells = TELLS.contains(&name);
    let of = project.written(at.to(object)).pop().unwrap_or_default();
    let words = vocabulary::words(of.as_str());
    let caller = project.origins(at.to(object)).has(Origins::PRINCIPAL | Origins::SECRET)
        || vocabulary::is_principal(of.as_str())
        || words.iter().any(|word| {
            matches!(word.as_str(), "owner" | "token" | "claims" | "identity" | "caller" | "user" | "auth")
        });
    tells && caller
}

/// Whether a value is put into a text or tuple that is a key: here, or by the variable that it is set to.
fn is_part_of_key(project: &Project, unit: &Unit, at: At) -> bool {
    let named = makes_key(project.function_name(project.function_of(at)));
    if joins(unit, at.expr, named) {
        return true;
    }
    let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
    let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt) else { return false };
    let Some(id) = target.as_binding().filter(|_| *value == at.expr) else { return false };
    unit.index.uses(id).iter().any(|used| {
        matches!(unit.ir.expr(*used), ExprKind::Name(NameRef::Binding(_))) && joins(unit, *used, named)
    })
}

/// Whether an expression is a part of a text or tuple that a function for keys returns, or that a variable for a key is set to.
fn joins(unit: &Unit, expr: ExprId, named: bool) -> bool {
    let mut here = expr;
    let mut joined = false;
    for _ in 0..10 {
        match unit.index.parent(here) {
            Parent::Expr(up) => {
                joined |= matches!(
                    unit.ir.expr(up),
                    ExprKind::Template(_) | ExprKind::Array { .. } | ExprKind::Binary { .. }
                );
                here = up;
            }
            Parent::Stmt(stmt) => {
                let kept = match unit.ir.stmt(stmt) {
                    StmtKind::Return(_) => named,
                    StmtKind::Assign { target, .. } => {
                        target.as_binding().is_some_and(|id| makes_key(unit.ir.binding_name(id)))
                    }
                    _ => false,
                };
                return joined && kept;
            }
            _ => return false,
        }
    }
    false
}

/// Reports functions that say who calls, give the caller where there is one, and end with one and the same user for all the others:
/// `if token: return token.claims["sub"]`, then `return "local"`.
pub(super) fn falls_off(
    project: &Project,
    report: &mut Report<'_>,
    module: ModuleId,
    unit: &Unit,
    is_fallback: &impl Fn(At) -> bool,
) {
    for (id, function) in unit.ir.functions() {
        let Some(last) = function.body.last().filter(|_| id != FunctionId::MODULE) else { continue };
        let who = function
            .name
            .is_some_and(|name| crate::rules::identity::header_as_caller::says_who_calls(unit.ir.text(name)));
        let caught = if who { caught_constant(project, module, unit, *last, is_fallback) } else { None };
        let value = match unit.ir.stmt(*last) {
            StmtKind::Return(Some(value)) => *value,
            _ => match caught {
                Some(value) => value,
                None => continue,
            },
        };
        let name = function.name.map_or("", |name| unit.ir.text(name));
        let names_one = vocabulary::words(name).iter().any(|word| {
            vocabulary::is_owner(word) || matches!(word.as_str(), "principal" | "caller" | "identity")
        });
        if !names_one {
            continue;
        }
        let at = At { module, expr: party_of(unit, value) };
        let environment = project.snippet(at).contains("environ") || project.snippet(at).contains("getenv");
        if !(is_fallback(at) || environment) {
            continue;
        }
        let theirs = function.body.iter().any(|stmt| match unit.ir.stmt(*stmt) {
            StmtKind::If { then, .. } => then.iter().any(|own| match unit.ir.stmt(*own) {
                StmtKind::Return(Some(value)) => {
                    let theirs = Origins::PRINCIPAL | Origins::SECRET;
                    // `return { principal: header }`
                    let party = party_of(unit, *value);
                    let theirs = if party == *value { theirs } else { theirs | Origins::UNVERIFIED };
                    project.origins(At { module, expr: party }).has(theirs)
                }
                _ => false,
            }),
            _ => false,
        });
        if theirs || caught.is_some() {
            report
                .reached(at, "a request without a caller goes on as one and the same user")
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// The party that a value names in a property: `userId` of `{ userId, error: null }`; else the value.
fn party_of(unit: &Unit, value: ExprId) -> ExprId {
    let ExprKind::Object(properties) = unit.ir.expr(value) else { return value };
    let party = properties.iter().find(|property| match property.key {
        PropertyKey::Name(name) => {
            let name = unit.ir.text(name);
            vocabulary::is_owner(name) || vocabulary::is_principal(name)
        }
        _ => false,
    });
    party.map_or(value, |property| property.value)
}

/// What a function gives where looking for the caller fails: `try: return request.state.user_id`, `except AttributeError: return "main"`.
fn caught_constant(
    project: &Project,
    module: ModuleId,
    unit: &Unit,
    last: StmtId,
    is_fallback: &impl Fn(At) -> bool,
) -> Option<ExprId> {
    let StmtKind::Try { body, handlers, .. } = unit.ir.stmt(last) else { return None };
    let given = |stmt: &StmtId| match unit.ir.stmt(*stmt) {
        StmtKind::Return(Some(value)) => Some(*value),
        _ => None,
    };
    let theirs = Origins::PRINCIPAL | Origins::SECRET | Origins::UNVERIFIED | Origins::REQUEST;
    body.iter().filter_map(given).find(|value| project.origins(At { module, expr: *value }).has(theirs))?;
    handlers
        .iter()
        .flat_map(|own| own.body.iter())
        .filter_map(given)
        .find(|value| is_fallback(At { module, expr: *value }))
}
