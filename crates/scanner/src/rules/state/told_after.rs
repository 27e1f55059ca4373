//! What a request makes anew, leaves in a shared object, and only then tells whom it is for: `self.service = AgentService()`, and
//! `self.service.select(session_id)` below it. The next request puts its own in the same place.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, SharedWrite, has_own_receiver, has_shared_receiver},
    ir::{ExprId, ExprKind, NameRef, StmtKind, walk},
    project::{At, Parent, Project, Symbol, Unit},
    rules::Report,
};

/// What a thing that was made for nobody is told, by the same function, after it was left where others find it.
pub(super) fn told_after(project: &Project, write: &SharedWrite) -> Vec<At> {
    let mut told = Vec::new();
    let Some(unit) = project.unit(write.value.module).filter(|_| !write.keeps) else { return told };
    let Some(place) = place_of(unit, write).filter(|_| is_made(project, unit, write.value)) else {
        return told;
    };
    let text = unit.ir.snippet(unit.ir.span(place));
    let is_it = |expr: ExprId| unit.ir.snippet(unit.ir.span(expr)) == text;
    let mut asked_before = false;
    walk::function_exprs(&unit.ir, write.fun.id, &mut |expr| {
        // `if self.service is None: self.service = Service()` is one for all, who tell it what they want.
        asked_before |= expr != place && unit.index.order(expr) < write.order && is_it(expr);
        if let ExprKind::Call(call) = unit.ir.expr(expr)
            && let ExprKind::Member { object, .. } = unit.ir.expr(call.callee)
            && unit.index.order(expr) > write.order
            && is_it(*object)
            && stands_alone(unit, expr)
        {
            told.extend(call.args.iter().map(|arg| write.value.to(arg.value)));
        }
    });
    if asked_before {
        return Vec::new();
    }
    let set = unit.index.writes.iter().filter(|other| {
        other.function == write.fun.id
            && other.order > write.order
            && matches!(unit.ir.expr(other.place), ExprKind::Member { object, .. } if is_it(*object))
    });
    told.extend(set.map(|other| write.value.to(other.value)));
    told
}

/// How many lines apart the two places are that are reported both.
const APART: u32 = 20;

/// How many callers of the method are reported.
const CALLERS: usize = 8;

/// Reports who hands over what such a thing is told, far from where it is in the file: the one object is kept there.
pub(super) fn tell_callers(
    project: &Project,
    lives: &Lifetimes<'_>,
    report: &mut Report<'_>,
    write: &SharedWrite,
    told: &[At],
) {
    let Some(unit) = project.unit(write.fun.module) else { return };
    let line =
        |at: At| project.unit(at.module).map_or(0, |unit| unit.ir.position(project.span(at).start).line);
    let numbers: Vec<usize> = told
        .iter()
        .filter_map(|own| match unit.ir.expr(own.expr) {
            ExprKind::Name(NameRef::Binding(id)) => project.parameter_of(own.module, *id),
            _ => None,
        })
        .filter_map(|(fun, number, _)| (fun == write.fun).then_some(number))
        .collect();
    for call in project.callers(write.fun).iter().take(CALLERS) {
        let hands = numbers.iter().any(|number| {
            project
                .argument(*call, write.fun, *number)
                .is_some_and(|argument| project.origins(argument).is_of_request())
        });
        let far = call.module == write.fun.module && line(*call).abs_diff(line(write.value)) >= APART;
        if !hands
            || !far
            || !lives.is_per_request(project.function_of(*call))
            || has_own_receiver(project, lives, *call)
            || !has_shared_receiver(project, lives, *call)
        {
            continue;
        }
        report
            .reached(
                *call,
                "the object that is told this is one for all requests, which tell it at the same time",
            )
            .severity(Severity::Low)
            .confidence(Confidence::Medium)
            .related(write.fun.module, write.span, "it is kept here");
    }
}

/// Whether nothing is done with what a call gives: it is told something, and asked for nothing.
fn stands_alone(unit: &Unit, expr: ExprId) -> bool {
    match unit.index.parent(expr) {
        Parent::Stmt(stmt) => matches!(unit.ir.stmt(stmt), StmtKind::Expr(_)),
        Parent::Expr(up) => matches!(unit.ir.expr(up), ExprKind::Await(_)) && stands_alone(unit, up),
        _ => false,
    }
}

/// The place that a value is written to.
fn place_of(unit: &Unit, write: &SharedWrite) -> Option<ExprId> {
    let own = unit.index.writes.iter().find(|own| own.value == write.value.expr && own.order == write.order);
    own.map(|own| own.place)
}

/// Whether a value is an object that is made here.
fn is_made(project: &Project, unit: &Unit, value: At) -> bool {
    match unit.ir.expr(value.expr) {
        ExprKind::Await(inner) => is_made(project, unit, value.to(*inner)),
        ExprKind::Call(call) => {
            call.is_new || matches!(project.symbol(value.to(call.callee)), Symbol::Class(_))
        }
        _ => false,
    }
}
