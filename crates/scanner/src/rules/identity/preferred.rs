//! Functions that say who calls, and believe an argument before the verified caller: `if explicit: return explicit`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ExprId, ExprKind, NameRef, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports the branch in which the argument is given.
pub(super) fn preferred(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let named = function.name.is_some_and(|name| says_who(unit.ir.text(name)));
            if !named {
                continue;
            }
            let own = function.body.iter().find_map(|stmt| match unit.ir.stmt(*stmt) {
                StmtKind::If { test, then, otherwise } if otherwise.is_empty() => {
                    given(project, unit, Fun { module, id }, *test, then)
                }
                _ => None,
            });
            let Some(value) = own.map(|expr| At { module, expr }) else { continue };
            // Behind it stands the caller whom somebody verified.
            let verified =
                unit.index.returns(id).iter().any(|expr| {
                    *expr != value.expr && is_verified(project, unit, At { module, expr: *expr })
                });
            if !verified || is_looked_up(project, value) {
                continue;
            }
            let reached = lives.is_per_request(Fun { module, id });
            report
                .reached(value, "an argument is believed before the caller whom the request was verified for")
                .severity(if reached { Severity::Medium } else { Severity::Low })
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether a name says that a function tells who calls.
fn says_who(name: &str) -> bool {
    let words = vocabulary::words(name);
    words.iter().any(|word| vocabulary::is_owner(word) || vocabulary::is_principal(word) || word == "caller")
        && !words.iter().any(|word| {
            matches!(
                word.as_str(),
                "name" | "email" | "display" | "label" | "header" | "headers" | "url" | "token"
            )
        })
}

/// The parameter that a branch asks for and gives back.
fn given(
    project: &Project,
    unit: &Unit,
    fun: Fun,
    test: ExprId,
    then: &[crate::ir::StmtId],
) -> Option<ExprId> {
    let asked = match unit.ir.expr(test) {
        ExprKind::Name(NameRef::Binding(id)) => *id,
        ExprKind::Compare { op: crate::ir::CompareOp::NotEq, left, right }
            if matches!(unit.ir.expr(*right), ExprKind::Null) =>
        {
            match unit.ir.expr(*left) {
                ExprKind::Name(NameRef::Binding(id)) => *id,
                _ => return None,
            }
        }
        _ => return None,
    };
    let (of, ..) = project.parameter_of(fun.module, asked)?;
    let [only] = then else { return None };
    let StmtKind::Return(Some(value)) = unit.ir.stmt(*only) else { return None };
    let same = matches!(unit.ir.expr(*value), ExprKind::Name(NameRef::Binding(id)) if *id == asked);
    (of == fun && same).then_some(*value)
}

/// Whether a value is the verified caller, or read from the context of the request or session.
fn is_verified(project: &Project, unit: &Unit, at: At) -> bool {
    if project.origins(at).has(Origins::PRINCIPAL) {
        return true;
    }
    let mut found = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        if let ExprKind::Member { object, property, .. } = unit.ir.expr(expr) {
            let of = project.written(at.to(*object)).pop().unwrap_or_default();
            let context = vocabulary::words(&of)
                .iter()
                .any(|word| matches!(word.as_str(), "context" | "session" | "ctx" | "request" | "token"));
            found |= context
                && vocabulary::words(unit.ir.text(*property))
                    .iter()
                    .any(|word| vocabulary::is_owner(word) || word == "sub");
        }
    });
    found
}

/// Whether what the caller chose is handed to a function that looks something up with the verified caller beside it:
/// `manager.get_session(requested, tenant_id=tenant_id)`.
pub(super) fn is_looked_up(project: &Project, value: At) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    let roots = project.roots(value);
    let (fun, order) = (project.function_of(value), project.order(value));
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        let shares =
            |arg: &crate::ir::Arg| project.roots(value.to(arg.value)).iter().any(|root| roots.contains(root));
        let caller = |arg: &crate::ir::Arg| {
            let origins = project.origins(value.to(arg.value));
            origins.has(Origins::PRINCIPAL) && !origins.is_chosen()
        };
        found |= unit.index.order(expr) < order
            && call.args.len() > 1
            && call.args.iter().any(shares)
            && call.args.iter().any(caller);
    });
    found
}
