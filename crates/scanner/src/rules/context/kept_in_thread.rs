//! Whom a thread worked for before: a thread's storage that is set where nothing is there yet, `Session().info.setdefault("org", org)`, or
//! only where there is something to set, `if tenant: use(tenant)` before each job, and that nobody empties. A thread serves one request
//! after another.

use partywall_model::{Confidence, Severity};

use super::thread_local_caller::{is_thread_storage, storage};
use crate::{
    ir::{
        BindingId, BindingKind, CompareOp, ExprId, ExprKind, FunctionId, Language, NameRef, StmtId, StmtKind,
        UnaryOp, walk,
    },
    library::Role,
    project::{At, Fun, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Words of decorators and names of functions that run before each request or job of a thread.
const BEFORE: &[&str] = &[
    "task_prerun",
    "before_request",
    "before_task",
    "before_process_message",
    "before_app_request",
    "process_request",
    "on_task_start",
];

/// Words of those that run after it.
const AFTER: &[&str] = &[
    "task_postrun",
    "task_success",
    "teardown_request",
    "teardown_appcontext",
    "after_request",
    "after_task",
    "after_process_message",
    "after_app_request",
    "process_response",
    "teardown_app_request",
    "on_task_end",
    "after_skip_message",
];

/// Reports both.
pub(super) fn kept_in_thread(project: &Project, report: &mut Report<'_>) {
    first_stays(project, report);
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            // A coroutine runs in a context of its own, and two of them in turns have a rule of theirs.
            if id == FunctionId::MODULE || function.is_async || !is_hook(project, unit, fun, BEFORE) {
                continue;
            }
            let Some((set, kept)) = set_where_given(project, unit, fun, &function.body) else { continue };
            if !is_emptied(project, &kept) {
                report
                    .at(set, "this is set only for who says whom it is for; whoever says nothing goes on with the one before on this thread")
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// What keeps something for a thread, by the variable that holds it.
type Kept = (ModuleId, BindingId);

/// Reports where the first one that a thread serves stays: `setdefault` on what is a thread's.
fn first_stays(project: &Project, report: &mut Report<'_>) {
    let likely = project.calls_named(|name| name == "setdefault");
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { continue };
            let (Some(key), Some(value)) = (call.positional(0), call.positional(1)) else { continue };
            let ExprKind::String(key) = unit.ir.expr(key) else { continue };
            let key_words = vocabulary::words(unit.ir.text(*key));
            let whose = vocabulary::says_whose(unit.ir.text(*key))
                || (key_words.len() > 1 && key_words.last().is_some_and(|word| word == "id"));
            if !whose || project.is_fixed(at.to(value)) {
                continue;
            }
            let Some((kept, session)) = of_thread(project, unit, at.to(*object)) else { continue };
            let ends = if session { is_removed(project, kept) } else { is_emptied(project, &kept) };
            if project.function_of(at).id != FunctionId::MODULE && !ends {
                report
                    .reached(
                        at,
                        format!(
                            "`{}` of the first request that a thread serves stays for those that follow",
                            unit.ir.text(*key)
                        ),
                    )
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// The variable at the root of what a thread has for itself, and whether that is a scoped session: `Session().info`, `_local.__dict__`.
fn of_thread(project: &Project, unit: &Unit, at: At) -> Option<(Kept, bool)> {
    let mut here = at.expr;
    for _ in 0..8 {
        here = match unit.ir.expr(here) {
            ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => *object,
            ExprKind::Call(call) => call.callee,
            _ => break,
        };
    }
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(here) else { return None };
    let (module, id) = declared(project, at.module, *id);
    if is_thread_storage(project, module, id) {
        return Some(((module, id), false));
    }
    let home = project.unit(module)?;
    let scoped = home.index.sources(id).iter().any(|source| {
        matches!(home.ir.expr(source.value), ExprKind::Call(_))
            && project.last_written(At { module, expr: source.value }) == Some("scoped_session")
    });
    // `scoped_session(make, scopefunc=request_id)` is one for each request.
    let own = || {
        home.index
            .sources(id)
            .iter()
            .any(|source| matches!(home.ir.expr(source.value), ExprKind::Call(call) if call.args.len() > 1))
    };
    (scoped && !own()).then_some(((module, id), true))
}

fn declared(project: &Project, module: ModuleId, id: BindingId) -> Kept {
    project.declared(module, id).unwrap_or((module, id))
}

/// Whether a scoped session is thrown away somewhere: `Session.remove()`.
fn is_removed(project: &Project, kept: Kept) -> bool {
    let likely = project.calls_named(|name| name == "remove");
    let name = project.unit(kept.0).map_or("", |unit| unit.ir.binding_name(kept.1));
    project.units().any(|(module, unit)| {
        likely.among(module).any(|expr| {
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
            let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return false };
            call.args.is_empty() && project.last_written(At { module, expr: *object }) == Some(name)
        })
    })
}

/// What a function sets for its thread only where there is something to set, and nowhere else: the place, and what keeps it.
fn set_where_given(project: &Project, unit: &Unit, fun: Fun, body: &[StmtId]) -> Option<(At, Kept)> {
    let mut given: Option<(At, Kept)> = None;
    let mut always = false;
    // `if tenant is None: return` before it is the same condition.
    let mut left = false;
    for stmt in body {
        match unit.ir.stmt(*stmt) {
            StmtKind::If { test, then, otherwise, .. } if otherwise.is_empty() => {
                let set = sets(project, unit, fun, then);
                match set {
                    Some(set) if is_given(unit, *test) => given = given.or(Some(set)),
                    Some(_) => always = true,
                    None => left |= is_missing(unit, *test) && leaves(unit, then),
                }
            }
            _ => {
                if let Some(set) = sets(project, unit, fun, &[*stmt]) {
                    if left {
                        given = given.or(Some(set));
                    } else {
                        always = true;
                    }
                }
            }
        }
    }
    given.filter(|_| !always)
}

/// Whether a condition asks whether something is there: `tenant is not None`, `tenant`.
fn is_given(unit: &Unit, test: ExprId) -> bool {
    match unit.ir.expr(test) {
        ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Assign { .. } | ExprKind::Call(_) => true,
        ExprKind::Compare { op: CompareOp::NotEq, right, .. } => {
            matches!(unit.ir.expr(*right), ExprKind::Null)
        }
        _ => false,
    }
}

/// Whether a condition asks whether something is missing.
fn is_missing(unit: &Unit, test: ExprId) -> bool {
    match unit.ir.expr(test) {
        ExprKind::Unary { op: UnaryOp::Not, .. } => true,
        ExprKind::Compare { op: CompareOp::Eq, right, .. } => matches!(unit.ir.expr(*right), ExprKind::Null),
        _ => false,
    }
}

/// Whether a block ends its function without an error.
fn leaves(unit: &Unit, block: &[StmtId]) -> bool {
    block.iter().any(|stmt| matches!(unit.ir.stmt(*stmt), StmtKind::Return(None)))
}

/// What some statements set for a thread: in its storage or a context variable, themselves or by a function that does nothing else.
fn sets(project: &Project, unit: &Unit, fun: Fun, block: &[StmtId]) -> Option<(At, Kept)> {
    let mut found = None;
    walk::stmts_below(&unit.ir, block, &mut |stmt| {
        walk::parts(&unit.ir, stmt, &mut |part| {
            let walk::Part::Expr(root) = part else { return };
            walk::exprs_below(&unit.ir, root, &mut |expr| {
                let at = At { module: fun.module, expr };
                if found.is_some() || !matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
                    return;
                }
                let kept = set_by(project, unit, at).or_else(|| {
                    let callee = project.callee(at).filter(|callee| callee.certain)?;
                    let [target] = callee.targets.as_slice() else { return None };
                    setter(project, *target)
                });
                found = kept.map(|kept| (at, kept));
            });
        });
    });
    found.or_else(|| {
        let write = unit.index.writes.iter().find(|write| {
            write.function == fun.id
                && unit.index.stmt_of(write.value).is_some_and(|stmt| is_within(unit, stmt, block))
        })?;
        let at = At { module: fun.module, expr: write.place };
        Some((at, written_to(project, unit, at)?))
    })
}

/// Whether a statement is one of a block, or stands in one.
fn is_within(unit: &Unit, stmt: StmtId, block: &[StmtId]) -> bool {
    let mut found = false;
    walk::stmts_below(&unit.ir, block, &mut |own| found |= own == stmt);
    found
}

/// The context variable that a call sets: `tenant.set(value)`.
fn set_by(project: &Project, unit: &Unit, at: At) -> Option<Kept> {
    let callee = project.callee(at)?;
    if !callee.defs.iter().any(|def| def.role == Role::ContextSet) {
        return None;
    }
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return None };
    Some(declared(project, at.module, *id))
}

/// The thread's storage that a place is a field of, which says whom the thread works for.
fn written_to(project: &Project, unit: &Unit, at: At) -> Option<Kept> {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(at.expr) else { return None };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return None };
    storage(project, unit, at.to(*object)).filter(|_| vocabulary::says_whose(unit.ir.text(*property)))?;
    Some(declared(project, at.module, *id))
}

/// What a short function sets for a thread.
fn setter(project: &Project, fun: Fun) -> Option<Kept> {
    let unit = project.unit(fun.module)?;
    unit.ir.function(fun.id).filter(|function| function.body.len() <= 3)?;
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if found.is_none() && matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
            found = set_by(project, unit, At { module: fun.module, expr });
        }
    });
    found.or_else(|| {
        let mut writes = unit.index.writes.iter().filter(|write| write.function == fun.id);
        writes.find_map(|write| written_to(project, unit, At { module: fun.module, expr: write.place }))
    })
}

/// Whether something empties what a thread keeps when it is done: a hook after each job that sets it anew, puts it back or deletes it.
fn is_emptied(project: &Project, kept: &Kept) -> bool {
    project.units().filter(|(_, unit)| unit.ir.language == Language::Python).any(|(module, unit)| {
        unit.ir.functions().any(|(id, function)| {
            let fun = Fun { module, id };
            if id == FunctionId::MODULE || !is_hook(project, unit, fun, AFTER) {
                return false;
            }
            let set = sets(project, unit, fun, &function.body).is_some_and(|(_, own)| own == *kept);
            let text = unit.ir.snippet(function.span);
            set || text.contains("del ")
                || [".reset(", ".clear(", "clear_", "reset_", ".remove("].iter().any(|own| text.contains(own))
        })
    })
}

/// Whether a function is hung up as one of some hooks: by a decorator, by a call that names it, or by its own name.
fn is_hook(project: &Project, unit: &Unit, fun: Fun, names: &[&str]) -> bool {
    let Some(function) = unit.ir.function(fun.id) else { return false };
    let says = |at: At| project.written(at).iter().any(|part| names.contains(&part.as_str()));
    let decorated = function.decorators.iter().any(|expr| says(At { module: fun.module, expr: *expr }));
    let named =
        function.class.is_some() && function.name.is_some_and(|name| names.contains(&unit.ir.text(name)));
    let handed = || {
        let Some(id) = function.binding else { return false };
        let is_function =
            matches!(unit.ir.binding(id).map(|binding| binding.kind), Some(BindingKind::Function(_)));
        is_function
            && unit.index.uses(id).iter().any(|used| match unit.index.parent(*used) {
                crate::project::Parent::Expr(up) => {
                    matches!(unit.ir.expr(up), ExprKind::Call(call) if call.callee != *used)
                        && says(At { module: fun.module, expr: up })
                }
                _ => false,
            })
    };
    decorated || named || handed()
}
