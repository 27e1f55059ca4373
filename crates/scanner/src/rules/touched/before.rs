//! What stands before a handler and may ask whose an id is: middlewares on its path, permissions, signatures; and what a tool is given.

use super::{
    frames::{Frame, asked_of, innermost},
    straight::has_caller,
};
use crate::{
    flow::{Origins, Query, is_request},
    ir::{ExprId, ExprKind, Language, NameRef},
    project::{At, Fun, Parent, Project, Unit},
    rules::refusing::refuses_by_name,
    vocabulary,
};

/// Words of what callers may do.
const MAY: &[&str] = &[
    "permission",
    "permissions",
    "permitted",
    "perm",
    "perms",
    "access",
    "authorize",
    "authorise",
    "authorization",
    "allowed",
    "policy",
    "member",
    "membership",
    "owner",
    "ownership",
    "scope",
    "scopes",
    "role",
    "roles",
    "admin",
    "can",
    "ability",
];

/// Whether something that is named for who may do what is asked before the place, by the handler or for its path.
pub(super) fn is_permitted(project: &Project, fun: Fun, frames: &[Frame]) -> bool {
    frames.iter().any(|frame| asks_permission(project, frame))
        || project.entry_around(fun).is_some_and(|entry| is_kept_by_path(project, entry, frames))
        || is_decorated(project, fun)
}

/// Whether a function on the way calls what refuses by its name, and tells it who calls.
fn asks_permission(project: &Project, frame: &Frame) -> bool {
    let Some(unit) = project.unit(frame.at.module) else { return false };
    let order = project.order(frame.at);
    unit.index.calls.iter().any(|expr| {
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
        let at = frame.at.to(*expr);
        let name = project.last_written(at.to(call.callee)).unwrap_or_default();
        let may = refuses_by_name(name) && says(name);
        may && frame.holds(unit, *expr)
            && unit.index.order(*expr) < order
            && call.args.iter().any(|arg| {
                has_caller(project, at.to(arg.value)) || is_whole_request(project, unit, at.to(arg.value))
            })
    })
}

fn is_whole_request(project: &Project, unit: &Unit, at: At) -> bool {
    matches!(unit.ir.expr(at.expr), ExprKind::Name(NameRef::Binding(id)) if is_request(unit.ir.binding_name(*id)))
        && project.origins(at).has(Origins::REQUEST)
}

pub(super) fn says(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| MAY.contains(&word.as_str()))
}

/// Whether a handler is registered or declared with what is named for permissions: `Depends(require_permission("notes:manage"))`.
fn is_decorated(project: &Project, fun: Fun) -> bool {
    let Some(entry) = project.entry_around(fun) else { return false };
    let Some(unit) = project.unit(entry.handler.module) else { return false };
    let Some(function) = unit.ir.function(entry.handler.id) else { return false };
    let defaults = function.params.iter().flat_map(|own| own.default.into_iter().chain(own.annotation));
    function.decorators.iter().copied().chain(defaults).any(|expr| {
        let mut found = false;
        crate::ir::walk::exprs_below(&unit.ir, expr, &mut |expr| {
            found |= match unit.ir.expr(expr) {
                ExprKind::Call(call) => {
                    let at = At { module: entry.handler.module, expr: call.callee };
                    project.last_written(at).is_some_and(|name| {
                        says(name) && !vocabulary::words(name).iter().any(|word| word == "get")
                    })
                }
                _ => false,
            };
        });
        found
    })
}

/// Whether a middleware is put before all paths with the same parameter: `app.use("/workspaces/:workspaceId/*", requireMember)`.
fn is_kept_by_path(project: &Project, entry: &crate::flow::Entry, frames: &[Frame]) -> bool {
    if !matches!(entry.kind.as_str(), "http" | "middleware") {
        return false;
    }
    let mut names: Vec<String> = Vec::new();
    for frame in frames {
        let Some(unit) = project.unit(frame.at.module) else { continue };
        // `c.req.param("workspaceId")`
        if let ExprKind::Call(call) = unit.ir.expr(frame.at.expr)
            && let Some(ExprKind::String(name)) = call.positional(0).map(|first| unit.ir.expr(first))
        {
            names.push(unit.ir.text(*name).to_owned());
        }
        names.extend(frame.ids.iter().map(|id| unit.ir.binding_name(*id).to_owned()));
        names.extend(frame.paths.iter().filter_map(|path| path.last().map(|name| name.as_str().to_owned())));
    }
    let before = project.calls_named(|name| matches!(name, "use" | "all" | "addHook" | "param"));
    let folder = project.folder(entry.handler.module);
    project.units().any(|(module, unit)| {
        project.folder(module) == folder
            && before.among(module).any(|expr| {
                let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
                let Some(ExprKind::String(path)) = call.positional(0).map(|first| unit.ir.expr(first)) else {
                    return false;
                };
                let path = unit.ir.text(*path);
                let same = path
                    .split('/')
                    .filter_map(|part| part.strip_prefix(':'))
                    .any(|part| names.iter().any(|name| name == part));
                same && call
                    .args
                    .iter()
                    .skip(1)
                    .any(|arg| asks_by_name(project, At { module, expr: arg.value }))
            })
    })
}

/// Whether a middleware is named for refusing: `requireWorkspaceMember`, `checkAccess("read")`.
fn asks_by_name(project: &Project, at: At) -> bool {
    project.last_written(at).is_some_and(|name| refuses_by_name(name) || says(name))
}

/// Whether a function on the way verifies a signature.
pub(super) fn verifies_signature(project: &Project, frames: &[Frame]) -> bool {
    frames.iter().any(|frame| {
        let Some(unit) = project.unit(frame.at.module) else { return false };
        unit.index.calls.iter().filter(|expr| frame.holds(unit, **expr)).any(|expr| {
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
            let words = vocabulary::words(project.last_written(frame.at.to(call.callee)).unwrap_or_default());
            let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
            has(&["verify", "validate", "check", "valid"])
                && has(&["signature", "hmac", "webhook", "signed", "request"])
                && !has(&["body", "schema"])
        })
    })
}

/// Names of what things are asked with.
const CONNECTIONS: &[&str] = &[
    "client",
    "db",
    "supabase",
    "ctx",
    "context",
    "conn",
    "connection",
    "session",
    "tx",
    "trx",
    "prisma",
    "sql",
    "pool",
    "api",
    "deps",
];

/// Whether a tool asks with a connection, client or context that it, or what makes it, is given: it may be bound to one caller.
pub(super) fn is_given_connection(
    project: &Project,
    at: At,
    fun: Fun,
    query: Option<&Query>,
    frames: &[Frame],
) -> bool {
    let Some(entry) = project
        .entry_around(fun)
        .filter(|entry| matches!(entry.kind.as_str(), "tool" | "resource" | "prompt"))
    else {
        return false;
    };
    let Some(unit) = project.unit(at.module) else { return false };
    let given = |expr: ExprId| {
        let mut root = innermost(unit, expr);
        // `let query = client.from("notes")`
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(root)
            && let Some(first) = unit.index.sources(*id).first()
            && matches!(unit.ir.expr(first.value), ExprKind::Call(_))
        {
            root = innermost(unit, first.value);
        }
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(root) else { return false };
        let Some((own, number, path)) = project.parameter_of(at.module, *id) else { return false };
        let connects = CONNECTIONS.contains(&unit.ir.binding_name(*id));
        let sent =
            own == entry.handler && !(connects && (number > 0 || unit.ir.language == Language::Python));
        !sent
            && path.is_empty()
            && project.around(fun).contains(&own)
            && (connects || !project.origins(at.to(expr)).is_chosen())
    };
    if let Some(query) = query {
        return given(asked_of(unit, query.at.expr));
    }
    let uses = frames
        .first()
        .into_iter()
        .flat_map(|frame| &frame.ids)
        .flat_map(|id| unit.index.uses(*id).iter().take(24).copied());
    uses.chain([at.expr]).any(|used| is_told_with(unit, used, &given))
}

/// Whether a call that a value is an argument of is one of something, or is given something besides.
fn is_told_with(unit: &Unit, used: ExprId, given: &impl Fn(ExprId) -> bool) -> bool {
    let mut here = used;
    for _ in 0..6 {
        let Parent::Expr(up) = unit.index.parent(here) else { return false };
        if let ExprKind::Call(call) = unit.ir.expr(up)
            && call.callee != here
            && (given(call.callee) || call.args.iter().any(|arg| arg.value != here && given(arg.value)))
        {
            return true;
        }
        here = up;
    }
    false
}
