//! Objects that a request makes for itself, and variables that are set anew for each caller.

use std::cell::RefCell;

use rustc_hash::FxHashMap;

use super::Lifetimes;
use crate::{
    ir::{
        BindingId, BindingKind, CompareOp, ExprId, ExprKind, FunctionId, FunctionKind, LogicalOp, NameRef,
        StmtKind, walk,
    },
    library::Role,
    project::{At, Fun, Parent, Project, Symbol, Unit},
};

/// How many calls and assignments an object is followed back through.
const STEPS: u32 = 14;
/// How many calls of a method are looked at; of one that is called more often nothing is said.
const CALLS: usize = 256;

/// Whether a method is called on objects only that the request which calls it has made: what it leaves in its fields is that
/// request's, whatever other objects of the class live longer.
#[must_use]
pub fn is_on_own_objects(project: &Project, lives: &Lifetimes<'_>, method: Fun) -> bool {
    if !lives.is_per_request(method) {
        return is_never_kept(project, lives, method);
    }
    method_is_own(project, lives, method, STEPS)
}

/// Whether a function runs for requests although the method that it stands in does not: that one has registered it.
fn is_set_up_before(lives: &Lifetimes<'_>, handler: Fun, method: Fun) -> bool {
    lives.is_per_request(handler) && !lives.is_per_request(method)
}

/// Whether the object that a method is called on was made by the request that calls it.
#[must_use]
pub fn has_own_receiver(project: &Project, lives: &Lifetimes<'_>, call: At) -> bool {
    receiver_is_own(project, lives, call, STEPS)
}

fn method_is_own(project: &Project, lives: &Lifetimes<'_>, method: Fun, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let calls = project.callers(method);
    !calls.is_empty()
        && calls.len() <= CALLS
        && calls.iter().all(|call| {
            // `this.where(…)` in a function of the class that is called on such an object itself.
            receiver_is_own(project, lives, *call, steps)
        })
}

fn receiver_is_own(project: &Project, lives: &Lifetimes<'_>, call: At, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let Some(unit) = project.unit(call.module) else { return false };
    let ExprKind::Call(expr) = unit.ir.expr(call.expr) else { return false };
    let ExprKind::Member { object, .. } = unit.ir.expr(expr.callee) else { return false };
    is_own(project, lives, call.to(*object), steps)
}

/// What was asked of objects, with how many steps were left. Functions that are called at many places, by others that are, lead to the
/// same objects on very many ways.
#[derive(Debug, Default)]
pub(crate) struct Asked(RefCell<FxHashMap<(At, u32), bool>>);

impl Asked {
    fn once(&self, at: At, steps: u32, find: impl FnOnce() -> bool) -> bool {
        if let Some(known) = self.0.borrow().get(&(at, steps)) {
            return *known;
        }
        let found = find();
        self.0.borrow_mut().insert((at, steps), found);
        found
    }
}

/// Whether an object was made in the request: here, by a function that makes one, or by whoever handed it over.
fn is_own(project: &Project, lives: &Lifetimes<'_>, at: At, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    project.memory.own_objects.once(at, steps, || find_own(project, lives, at, steps))
}

fn find_own(project: &Project, lives: &Lifetimes<'_>, at: At, steps: u32) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    match unit.ir.expr(at.expr) {
        ExprKind::Await(value) => is_own(project, lives, at.to(*value), steps),
        ExprKind::This | ExprKind::Super => {
            let fun = project
                .around(project.function_of(at))
                .into_iter()
                .find(|fun| unit.ir.function(fun.id).is_some_and(|function| function.class.is_some()));
            let Some(fun) = fun else { return false };
            let constructor =
                unit.ir.function(fun.id).is_some_and(|function| function.kind == FunctionKind::Constructor);
            // A handler that a method registers when the process starts runs long after that.
            if project.function_of(at) != fun && is_set_up_before(lives, project.function_of(at), fun) {
                return is_never_kept(project, lives, fun);
            }
            constructor || method_is_own(project, lives, fun, steps)
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            if let Some((fun, number, path)) = project.parameter_of(at.module, *id) {
                let calls = project.callers(fun);
                // `builder.when(asked, (own) => own.where(…))`
                if calls.is_empty() && path.is_empty() {
                    return is_handed_to_callback(project, lives, fun, steps);
                }
                return path.is_empty()
                    && !calls.is_empty()
                    && calls.len() <= CALLS
                    && calls.iter().all(|call| {
                        project
                            .argument(*call, fun, number)
                            .is_some_and(|own| is_own(project, lives, own, steps))
                    });
            }
            let sources = unit.index.sources(*id);
            let here = unit.ir.binding_function(*id);
            // A variable of the function that uses it, or of one that runs for the request.
            let local = (here != FunctionId::MODULE && here == project.function_of(at).id)
                || !lives.binding_outlives(at.module, *id);
            local
                && !sources.is_empty()
                && sources.iter().all(|source| {
                    source.path.is_empty() && is_own(project, lives, at.to(source.value), steps)
                })
        }
        ExprKind::Call(call) => {
            let Some(made) = makes_object(project, lives, at, call) else { return false };
            // `new Builder().from("notes").where(…)`: what a chain of its methods gives is the object again.
            let chained = match unit.ir.expr(call.callee) {
                ExprKind::Member { object, .. } if !made => is_own(project, lives, at.to(*object), steps),
                _ => false,
            };
            if made || chained {
                return project.function_of(at).id != FunctionId::MODULE;
            }
            project.callee(at).is_some_and(|callee| {
                callee.certain
                    && !callee.targets.is_empty()
                    && callee.targets.iter().all(|target| {
                        let Some(unit) = project.unit(target.module).filter(|_| !lives.is_memoised(*target))
                        else {
                            return false;
                        };
                        let returns = unit.index.returns(target.id);
                        !returns.is_empty()
                            && returns.iter().take(6).all(|expr| {
                                is_own(project, lives, At { module: target.module, expr: *expr }, steps)
                            })
                    })
            })
        }
        _ => false,
    }
}

/// Whether objects of the class that a function belongs to are seen to live no longer than a request.
fn is_never_kept(project: &Project, lives: &Lifetimes<'_>, fun: Fun) -> bool {
    project.this_of(fun).is_some_and(|class| lives.outlives(class) == Some(false))
}

/// Whether a call makes an object of a class by how it is written; nothing where the class gives the same one each time.
fn makes_object(project: &Project, lives: &Lifetimes<'_>, at: At, call: &crate::ir::Call) -> Option<bool> {
    // `cls.__new__(cls)`, `Object.create(…)` make one too.
    let bare = project.written(at.to(call.callee)).last().is_some_and(|name| name == "__new__");
    let class = match project.symbol(at.to(call.callee)) {
        Symbol::Class(class) => Some(class),
        _ => None,
    };
    if class.is_some_and(|class| lives.is_only_one(class)) {
        return None;
    }
    // `cls()` in a method of the class.
    let of_class =
        project.unit(at.module).is_some_and(|unit| matches!(unit.ir.expr(call.callee), ExprKind::This));
    Some(call.is_new || bare || of_class || class.is_some())
}

/// Whether a method is seen to be called on an object that outlives the request: one of a module, a field, what an application keeps;
/// or it belongs to an object that serves requests itself. Where nobody is seen to call it, it may be.
#[must_use]
pub fn is_on_shared_object(project: &Project, lives: &Lifetimes<'_>, method: Fun) -> bool {
    method_is_shared(project, lives, method, STEPS)
}

/// Whether the object that a method is called on is seen to outlive the request.
#[must_use]
pub fn has_shared_receiver(project: &Project, lives: &Lifetimes<'_>, call: At) -> bool {
    receiver_is_shared(project, lives, call, STEPS)
}

fn method_is_shared(project: &Project, lives: &Lifetimes<'_>, method: Fun, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    let serves = project.this_of(method).is_some_and(|class| {
        project.entries().iter().any(|entry| {
            entry.handler.module == class.module && project.this_of(entry.handler) == Some(class)
        })
    });
    // One that a workflow's run or a request has made is its own, whatever reaches it.
    if project.this_of(method).is_some_and(|class| lives.outlives(class) == Some(false)) {
        return false;
    }
    let calls = project.callers(method);
    serves
        || calls.is_empty()
        || calls.iter().take(CALLS).any(|call| receiver_is_shared(project, lives, *call, steps))
}

fn receiver_is_shared(project: &Project, lives: &Lifetimes<'_>, call: At, steps: u32) -> bool {
    let (Some(steps), Some(unit)) = (steps.checked_sub(1), project.unit(call.module)) else { return false };
    let ExprKind::Call(expr) = unit.ir.expr(call.expr) else { return false };
    match unit.ir.expr(expr.callee) {
        ExprKind::Member { object, .. } => is_shared(project, lives, call.to(*object), steps),
        // A function of the class that is passed on by itself.
        _ => true,
    }
}

fn is_shared(project: &Project, lives: &Lifetimes<'_>, at: At, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    project.memory.shared_objects.once(at, steps, || find_shared(project, lives, at, steps))
}

fn find_shared(project: &Project, lives: &Lifetimes<'_>, at: At, steps: u32) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    match unit.ir.expr(at.expr) {
        ExprKind::Await(value) => is_shared(project, lives, at.to(*value), steps),
        ExprKind::Logical { left, right, .. } => {
            is_shared(project, lives, at.to(*left), steps) || is_shared(project, lives, at.to(*right), steps)
        }
        ExprKind::This | ExprKind::Super => {
            let method = project
                .around(project.function_of(at))
                .into_iter()
                .find(|fun| unit.ir.function(fun.id).is_some_and(|function| function.class.is_some()));
            method.is_none_or(|method| method_is_shared(project, lives, method, steps))
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            if unit.ir.is_module_level(*id) {
                return true;
            }
            // `agent = Depends(get_agent)`
            if let Some(given) = lives.dependency(at.module, *id) {
                return gives_shared(project, lives, given, steps);
            }
            if let Some((fun, number, path)) = project.parameter_of(at.module, *id) {
                let given = project.callers(fun).iter().take(CALLS);
                return path.is_empty()
                    && given
                        .filter_map(|call| project.argument(*call, fun, number))
                        .any(|own| is_shared(project, lives, own, steps));
            }
            let elsewhere = unit.ir.binding_function(*id) != project.function_of(at).id;
            (elsewhere && lives.binding_outlives(at.module, *id))
                || unit
                    .index
                    .sources(*id)
                    .iter()
                    .any(|source| is_shared(project, lives, at.to(source.value), steps))
        }
        ExprKind::Name(NameRef::Global(_)) => true,
        ExprKind::Member { object, property, .. } => {
            let kept = matches!(unit.ir.text(*property), "lifespan_context" | "state" | "app");
            kept || is_shared(project, lives, at.to(*object), steps)
        }
        ExprKind::Call(call) if !call.is_new => project.callee(at).is_some_and(|callee| {
            // A decorator that remembers what a function gave makes it no other function.
            let gives = |target: &Fun| {
                lives.is_memoised(*target) || (callee.certain && gives_shared(project, lives, *target, steps))
            };
            callee.targets.iter().take(4).any(gives)
        }),
        _ => false,
    }
}

/// Whether a function gives what is there for all requests: what it made for the first one and remembers, or what is shared anyway.
fn gives_shared(project: &Project, lives: &Lifetimes<'_>, fun: Fun, steps: u32) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    lives.is_memoised(fun)
        || unit
            .index
            .returns(fun.id)
            .iter()
            .take(6)
            .any(|expr| is_shared(project, lives, At { module: fun.module, expr: *expr }, steps))
}

/// Whether a function is passed to a method of an object that the request has made, which calls it with itself.
fn is_handed_to_callback(project: &Project, lives: &Lifetimes<'_>, fun: Fun, steps: u32) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let Some(site) = unit.index.site(fun.id) else { return false };
    let Parent::Expr(call) = unit.index.parent(site) else { return false };
    receiver_is_own(project, lives, At { module: fun.module, expr: call }, steps)
}

/// Whether a function compares what it keeps in variables of its module with what the caller brings, before it keeps something:
/// `if (lastKey !== key) { client = null }`. What is kept there is for whoever it was made for.
#[must_use]
pub fn compares_what_it_keeps(unit: &Unit, function: FunctionId) -> bool {
    let kept = |expr: ExprId| match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id))
            if unit.ir.is_module_level(*id)
                && unit.ir.binding(*id).is_some_and(|binding| binding.kind == BindingKind::Variable) =>
        {
            Some(*id)
        }
        _ => None,
    };
    let brought = |expr: ExprId| match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => Some(*id),
        _ => None,
    };
    let mut found = false;
    walk::function_exprs(&unit.ir, function, &mut |expr| {
        let ExprKind::Compare { op: CompareOp::Eq | CompareOp::NotEq, left, right } = unit.ir.expr(expr)
        else {
            return;
        };
        let sides = [(*left, *right), (*right, *left)];
        found |= sides.into_iter().any(|(one, other)| {
            let (Some(kept), Some(brought)) = (kept(one), brought(other)) else { return false };
            unit.index.sources(kept).iter().any(|source| {
                source.function == function
                    && matches!(unit.ir.expr(source.value), ExprKind::Name(NameRef::Binding(id)) if *id == brought)
            })
        });
    });
    found
}

/// Whether nothing of the request takes part in a value: no parameter, nothing of a function around, and nothing that a function
/// which is called takes from the context. What a service answers to the server's own question is the server's.
#[must_use]
pub fn is_of_nobody(project: &Project, value: At) -> bool {
    let mut asked = 0;
    takes_nothing(project, value, 6, &mut asked)
}

/// How many functions are looked at for what they take from the context.
const ASKED: usize = 60;

fn takes_nothing(project: &Project, at: At, steps: u32, asked: &mut usize) -> bool {
    let (Some(steps), Some(unit)) = (steps.checked_sub(1), project.unit(at.module)) else { return false };
    let own = project.function_of(at).id;
    let (mut nothing, mut sources, mut calls) = (true, Vec::new(), Vec::new());
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => {
            let local =
                unit.ir.binding_function(*id) == own && project.parameter_of(at.module, *id).is_none();
            nothing &= local;
            if local {
                sources.extend(
                    unit.index
                        .sources(*id)
                        .iter()
                        .take(4)
                        .map(|source| source.value)
                        .filter(|own| *own != at.expr),
                );
            }
        }
        ExprKind::Call(_) => calls.push(at.to(expr)),
        // `server.request_context.request.user`: the request's own, by way of an object that all have.
        ExprKind::Member { property, .. } => nothing &= unit.ir.text(*property) != "request_context",
        // What it is told by a callback of its options is of no request.
        ExprKind::Function(_) => {
            nothing &= matches!(unit.index.parent(expr), Parent::Expr(up) if matches!(unit.ir.expr(up), ExprKind::Object(_)));
        }
        _ => {}
    });
    nothing
        && calls.into_iter().all(|call| !takes_of_context(project, call, 6, asked))
        && sources.into_iter().all(|source| takes_nothing(project, at.to(source), steps, asked))
}

/// Whether a call, or what the functions that it calls do, takes something from a store of the request's context.
fn takes_of_context(project: &Project, call: At, steps: u32, asked: &mut usize) -> bool {
    let (Some(steps), Some(callee)) = (steps.checked_sub(1), project.callee(call)) else { return true };
    *asked += 1;
    if *asked > ASKED || callee.defs.iter().any(|def| matches!(def.role, Role::ContextGet | Role::Verify)) {
        return true;
    }
    callee.targets.iter().take(3).any(|target| {
        let Some(unit) = project.unit(target.module) else { return true };
        let mut calls = Vec::new();
        walk::function_exprs(&unit.ir, target.id, &mut |expr| {
            if matches!(unit.ir.expr(expr), ExprKind::Call(_)) {
                calls.push(At { module: target.module, expr });
            }
        });
        calls.into_iter().any(|call| takes_of_context(project, call, steps, asked))
    })
}

/// Whether a test that asks for a variable holds for every caller who brings something of one's own: `if (!client || token)`. What
/// is kept there is set anew then, and nobody finds what another caller has left.
#[must_use]
fn is_renewed(unit: &Unit, test: ExprId, kept: &dyn Fn(ExprId) -> bool, brought: &[BindingId]) -> bool {
    let ExprKind::Logical { op: LogicalOp::Or, left, right } = unit.ir.expr(test) else { return false };
    let names = |expr: ExprId, of: &dyn Fn(ExprId) -> bool| {
        let mut found = false;
        walk::exprs_below(&unit.ir, expr, &mut |expr| found |= of(expr));
        found
    };
    let own = |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if brought.contains(id));
    [(*left, *right), (*right, *left)].into_iter().any(|(one, other)| names(one, kept) && names(other, &own))
}

/// Whether a statement that sets a variable stands in a branch whose test renews it.
#[must_use]
pub fn stands_where_renewed(
    unit: &Unit,
    value: ExprId,
    kept: &dyn Fn(ExprId) -> bool,
    brought: &[BindingId],
) -> bool {
    let Some(mut stmt) = unit.index.stmt_of(value) else { return false };
    for _ in 0..4 {
        let Some(up) = unit.index.stmt_parent(stmt) else { return false };
        if let StmtKind::If { test, .. } = unit.ir.stmt(up)
            && is_renewed(unit, *test, kept, brought)
        {
            return true;
        }
        stmt = up;
    }
    false
}
