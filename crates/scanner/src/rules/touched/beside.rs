//! Calls, comparisons and queries that have an id or its row together with the caller.

use super::{
    frames::{Frame, asked_of, derive, innermost},
    straight::{has_caller, has_caller_but},
};
use crate::{
    flow::{Origins, Query, Scope, is_request},
    ir::{Call, ExprId, ExprKind, NameRef, StmtKind, walk},
    lang::sql::Verb,
    project::{At, Fun, Parent, Project, Step, Unit},
    rules::refusing::{refuses_by_name, throws},
    vocabulary,
};

/// How many calls down a function that is given an id is looked into.
const DOWN: u32 = 2;

/// First words of what asks about somebody and a thing.
const ASKS: &[&str] = &[
    "is",
    "has",
    "can",
    "may",
    "owns",
    "get",
    "find",
    "load",
    "fetch",
    "resolve",
    "lookup",
    "authorize",
    "allowed",
    "belongs",
];

/// Methods that say whether something is among others.
const AMONG: &[&str] = &["includes", "has", "contains", "some"];

/// Words of what tells others, and refuses nobody.
const TELLS: &[&str] = &[
    "log",
    "logger",
    "info",
    "debug",
    "warn",
    "warning",
    "error",
    "audit",
    "track",
    "capture",
    "emit",
    "notify",
    "json",
    "send",
    "print",
    "publish",
    "append",
    "push",
    "record",
    "increment",
    "metric",
    "invalidate",
    "respond",
    "serialize",
    "format",
    "enqueue",
    "delay",
];

/// Whether a function on the way gives something the id or the row together with the caller.
pub(super) fn goes_together(project: &Project, frames: &[Frame]) -> bool {
    frames.iter().any(|frame| goes_together_in(project, frame, DOWN))
}

fn goes_together_in(project: &Project, frame: &Frame, down: u32) -> bool {
    let Some(unit) = project.unit(frame.at.module) else { return false };
    unit.index.calls.iter().any(|expr| {
        let at = frame.at.to(*expr);
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
        frame.holds(unit, *expr)
            && !is_of_query(project, frame, unit, *expr)
            && asks_with(project, frame, unit, at, call, down)
    })
}

/// Whether a call is a part of the finding, or the one that leads to it, or of a query of its own.
fn is_of_query(project: &Project, frame: &Frame, unit: &Unit, expr: ExprId) -> bool {
    if (is_query(project, frame) || !frame.is_place) && frame.is_own(unit, expr) {
        return true;
    }
    let span = unit.ir.span(expr);
    project.queries().iter().any(|query| {
        query.at.module == frame.at.module && {
            let own = unit.ir.span(query.at.expr);
            own.contains(span) || span.contains(own)
        }
    })
}

/// Whether a frame is that of a query.
fn is_query(project: &Project, frame: &Frame) -> bool {
    project.queries().iter().any(|query| query.at == frame.at)
}

fn asks_with(project: &Project, frame: &Frame, unit: &Unit, at: At, call: &Call, down: u32) -> bool {
    let name = project.last_written(at.to(call.callee)).unwrap_or_default();
    let words = vocabulary::words(name);
    if words.iter().any(|word| TELLS.contains(&word.as_str())) {
        return false;
    }
    let given: Vec<ExprId> =
        call.args.iter().map(|arg| arg.value).filter(|arg| frame.mentions(project, at.to(*arg))).collect();
    if given.is_empty() {
        return false;
    }
    let ours = project.callee(at).is_some_and(|callee| !callee.targets.is_empty());
    let among = AMONG.contains(&name);
    let asks = words.first().is_some_and(|first| ASKS.contains(&first.as_str())) || refuses_by_name(name);
    if !(ours || among || asks) || call.is_new || name.starts_with(char::is_uppercase) {
        return false;
    }
    let whole_request = |expr: ExprId| {
        ours && matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if is_request(unit.ir.binding_name(*id)))
            && project.origins(at.to(expr)).has(Origins::REQUEST)
    };
    let receiver = match unit.ir.expr(call.callee) {
        ExprKind::Member { object, .. } => has_caller(project, at.to(*object)),
        _ => false,
    };
    let beside = receiver
        || call.args.iter().any(|arg| {
            !is_id_alone(project, frame, at.to(arg.value))
                && (has_caller_but(project, at.to(arg.value), &|own| frame.mentions(project, own))
                    || whole_request(arg.value)
                    || is_of_framework(project, unit, at.to(arg.value)))
        });
    if beside {
        return among || matters(project, unit, at);
    }
    // What it is given to may find out who calls by itself.
    ours && frame.is_place && looks_inside(project, at, &given, down)
}

/// Names of what a framework hands a handler that was sent, or is the server's.
const SENT: &[&str] = &[
    "body", "query", "params", "headers", "request", "req", "cookie", "cookies", "set", "store", "path",
    "input", "args", "db", "log", "server", "res", "reply",
];

/// Whether a value is of what a framework has looked up for a handler before: `project.id` of `({ project, query }) => …`.
fn is_of_framework(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Member { .. } = unit.ir.expr(at.expr) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(innermost(unit, at.expr)) else { return false };
    let Some((fun, _, path)) = project.parameter_of(at.module, *id) else { return false };
    let [Step::Key(name)] = &*path else { return false };
    project.entry(fun).is_some_and(|entry| entry.kind == "http") && !SENT.contains(&unit.ir.text(*name))
}

/// Whether an argument is nothing but the id or the row.
fn is_id_alone(project: &Project, frame: &Frame, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return true };
    matches!(unit.ir.expr(at.expr), ExprKind::Name(_) | ExprKind::Member { .. })
        && frame.mentions(project, at)
}

/// Whether what a call gives is used, or it throws.
fn matters(project: &Project, unit: &Unit, at: At) -> bool {
    let mut here = at.expr;
    for _ in 0..4 {
        match unit.index.parent(here) {
            Parent::Expr(up) => {
                if !matches!(unit.ir.expr(up), ExprKind::Await(_)) {
                    return true;
                }
                here = up;
            }
            Parent::Stmt(stmt) => {
                if !matches!(unit.ir.stmt(stmt), StmtKind::Expr(_)) {
                    return true;
                }
                break;
            }
            _ => return true,
        }
    }
    let named = project.last_written(at).is_some_and(refuses_by_name);
    named
        || project
            .callee(at)
            .is_some_and(|callee| callee.targets.iter().take(3).any(|target| throws(project, *target, 2)))
}

/// Whether a function of ours that is given the id asks for it together with the caller.
fn looks_inside(project: &Project, call: At, given: &[ExprId], down: u32) -> bool {
    let (Some(down), Some(callee)) = (down.checked_sub(1), project.callee(call)) else { return false };
    callee.certain
        && callee.targets.iter().take(2).any(|target| {
            let Some(frame) = inside(project, call, *target, given) else { return false };
            !frame.ids.is_empty()
                && (compares(project, &frame)
                    || asks_by_caller(project, &frame, *target)
                    || goes_together_in(project, &frame, down))
        })
}

fn inside(project: &Project, call: At, target: Fun, given: &[ExprId]) -> Option<Frame> {
    let home = project.unit(target.module)?;
    let function = home.ir.function(target.id)?;
    let whole = At { module: target.module, expr: ExprId::MISSING };
    let mut frame = Frame {
        around: vec![target],
        at: whole,
        is_place: true,
        is_below: true,
        ids: Vec::new(),
        paths: Vec::new(),
        rows: Vec::new(),
    };
    for (number, parameter) in function.params.iter().enumerate() {
        if project.argument(call, target, number).is_some_and(|arg| given.contains(&arg.expr)) {
            parameter.pattern.for_each_binding(&mut |id| frame.ids.push(id));
        }
    }
    derive(project, home, &mut frame);
    Some(frame)
}

/// Whether a query of a function names the caller beside an id.
fn asks_by_caller(project: &Project, frame: &Frame, fun: Fun) -> bool {
    project.queries().iter().filter(|query| query.function == fun).any(|query| {
        query.filters.iter().any(|filter| frame.names_id(project, *filter))
            && (query.scope == Scope::Owner
                && query
                    .filters
                    .iter()
                    .any(|filter| !frame.names_id(project, *filter) && has_caller(project, *filter)))
    })
}

/// Whether a function on the way compares the id or the row with something that may be the caller's.
pub(super) fn is_compared(project: &Project, frames: &[Frame]) -> bool {
    frames.iter().any(|frame| compares(project, frame))
}

fn compares(project: &Project, frame: &Frame) -> bool {
    let Some(unit) = project.unit(frame.at.module) else { return false };
    // What only the id is compared with has to refuse.
    let refuses = frame.around.iter().any(|fun| {
        project.guards(*fun).iter().any(|guard| {
            [(guard.left, guard.right), (guard.right, guard.left)].into_iter().any(|(own, other)| {
                own.module == frame.at.module
                    && !is_of_query(project, frame, unit, own.expr)
                    && frame.names_id(project, own)
                    && is_anothers(project, frame, own, other)
            })
        })
    });
    refuses
        || frame.around.iter().any(|fun| {
            let mut found = false;
            walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
                let ExprKind::Compare { left, right, .. } = unit.ir.expr(expr) else { return };
                found = found
                    || (!is_of_query(project, frame, unit, expr)
                        && [(*left, *right), (*right, *left)]
                            .into_iter()
                            .any(|(own, other)| is_side(project, frame, unit, own, other)));
            });
            found
        })
}

/// Whether a side of a comparison is a part of the row, and the other one may be the caller's.
fn is_side(project: &Project, frame: &Frame, unit: &Unit, own: ExprId, other: ExprId) -> bool {
    let (own, other) = (frame.at.to(own), frame.at.to(other));
    let of_row = matches!(unit.ir.expr(innermost(unit, own.expr)), ExprKind::Name(NameRef::Binding(id)) if frame.rows.contains(id));
    of_row && is_anothers(project, frame, own, other)
}

/// Whether what something is compared with may be the caller's own.
fn is_anothers(project: &Project, frame: &Frame, own: At, other: At) -> bool {
    let Some(unit) = project.unit(other.module) else { return false };
    if project.is_fixed(other)
        || frame.mentions(project, other)
        || matches!(unit.ir.expr(other.expr), ExprKind::Null | ExprKind::Bool(_) | ExprKind::Call(_))
    {
        return false;
    }
    let owner = |at: At| {
        project.last_written(at).is_some_and(|name| vocabulary::is_owner(name) || project.is_own_tenant(name))
    };
    if has_caller(project, other) {
        return true;
    }
    // In what it is given to, `server.tenant_id == tenant_id` finds the one that was named.
    !frame.is_below && owner(own) && owner(other) && (!project.origins(other).is_chosen() || frame.is_place)
}

/// Whether another query asks for the id before, and for the caller or for more.
pub(super) fn is_asked_before(project: &Project, frames: &[Frame]) -> bool {
    frames.iter().any(|frame| {
        let Some(unit) = project.unit(frame.at.module) else { return false };
        project.queries().iter().any(|query| {
            let here = query.at.module == frame.at.module && frame.around.contains(&query.function);
            here && query.verb == Verb::Select
                && (is_asked_by_caller(project, frame, unit, query)
                    || !frame.is_own(unit, query.at.expr)
                        && project.order(query.at) < project.order(frame.at))
                && query.filters.iter().any(|filter| frame.names_id(project, *filter))
                && is_narrow(project, frame, unit, query)
        })
    })
}

/// Whether a use of a chosen id stands in a query that is asked with the caller's own credential.
fn is_asked_by_caller(project: &Project, frame: &Frame, unit: &Unit, query: &Query) -> bool {
    frame.is_place && query.at != frame.at && is_on_callers_client(project, unit, query)
}

fn is_narrow(project: &Project, frame: &Frame, unit: &Unit, query: &Query) -> bool {
    // Of whom a chosen tenant is named in the query, nothing is said by that.
    let scoped = (query.scope != Scope::None || query.tied)
        && (is_query(project, frame)
            || query
                .filters
                .iter()
                .any(|filter| !frame.names_id(project, *filter) && has_caller(project, *filter)));
    if scoped || is_on_callers_client(project, unit, query) {
        return true;
    }
    // `WHERE id = ? AND task_id = ?`, where the task was looked up for the caller.
    query.filters.iter().any(|filter| {
        let name = project.last_written(*filter).unwrap_or_default();
        let id =
            vocabulary::words(name).last().is_some_and(|last| matches!(last.as_str(), "id" | "ids" | "uuid"));
        let held = project.is_checked(*filter) || is_asked_for_caller(project, *filter, query);
        !frame.names_id(project, *filter) && !project.is_fixed(*filter) && id && held
    })
}

/// Whether an earlier query of the same function asks for a value and for its owner.
fn is_asked_for_caller(project: &Project, at: At, query: &Query) -> bool {
    let roots = project.roots(at);
    project.queries().iter().any(|other| {
        other.function == query.function
            && other.scope == Scope::Owner
            && project.order(other.at) < project.order(query.at)
            && other
                .filters
                .iter()
                .any(|filter| project.roots(*filter).iter().any(|root| roots.contains(root)))
    })
}

/// Words in what makes a client with the caller's own credential.
const WITH_CALLER: &[&str] =
    &["Authorization", "cookies", "accessToken", "access_token", "authHeader", "auth_header", "jwt"];

/// Whether the client that a query is asked with carries the caller's credential.
pub(super) fn is_on_callers_client(project: &Project, unit: &Unit, query: &Query) -> bool {
    let root = asked_of(unit, query.at.expr);
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(root) else { return false };
    if project.skips_policies(query.at) {
        return false;
    }
    unit.index.sources(*id).iter().take(2).any(|source| {
        let value = match unit.ir.expr(source.value) {
            ExprKind::Await(inner) => *inner,
            _ => source.value,
        };
        let ExprKind::Call(_) = unit.ir.expr(value) else { return false };
        let at = query.at.to(value);
        let carries = |text: &str| WITH_CALLER.iter().any(|word| text.contains(word));
        let name = project.callee(at).map_or("", |callee| callee.name());
        let client =
            vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "client" | "supabase"));
        client
            && (carries(project.snippet(at))
                || project.callee(at).is_some_and(|callee| {
                    callee.targets.iter().take(2).any(|target| {
                        project
                            .unit(target.module)
                            .and_then(|home| {
                                Some(carries(home.ir.snippet(home.ir.function(target.id)?.span)))
                            })
                            .unwrap_or(false)
                    })
                }))
    })
}
