//! Whether a function is told who calls by one of its parameters, and whether anything else in it says whose a thing is.

use super::{callers::own_code, told_unused::finds_caller};
use crate::{
    ir::{ArgKind, ExprKind, NameRef, Parameter, walk},
    project::{At, Fun, Project, Unit},
    vocabulary,
};

/// Types of what knows who calls: of A2A, MCP and their like.
const TYPES: &[&str] = &[
    "ServerCallContext",
    "ServerRequestContext",
    "CallContext",
    "RequestContext",
    "ServerContext",
    "RequestHandlerExtra",
    "AuthContext",
    "AuthInfo",
    "CallerContext",
    "SecurityContext",
    "UserContext",
    "TenantContext",
    "Principal",
    "Caller",
    "Actor",
    "Identity",
    "CurrentUser",
    "AuthenticatedUser",
    "AuthUser",
    "Requester",
    "UserPrincipal",
    "AuthPrincipal",
    "CallerIdentity",
];

/// Whether a parameter is the caller, by its type or its name. A name that begins with `_` says that it is not read on purpose.
pub(super) fn is_told(unit: &Unit, parameter: &Parameter) -> bool {
    let Some(id) = parameter.pattern.as_binding() else { return false };
    let name = unit.ir.binding_name(id);
    if name.starts_with('_') {
        return false;
    }
    let text = parameter.type_text.map_or("", |text| unit.ir.text(text));
    text.split(|char: char| !char.is_alphanumeric()).any(|word| TYPES.contains(&word)) || is_callers(name)
}

/// Whether a name is that of whoever calls.
fn is_callers(name: &str) -> bool {
    let words = vocabulary::words(name);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["caller" | "principal" | "actor" | "viewer" | "requester"] => true,
        ["caller" | "principal" | "actor" | "viewer" | "requester", last] => {
            matches!(*last, "id" | "did" | "uid" | "sub" | "email" | "key" | "context" | "ctx" | "identity")
        }
        ["current" | "requesting" | "calling" | "authenticated", "user" | "tenant" | "org", ..] => true,
        ["auth", "context" | "ctx" | "info"] => true,
        ["user" | "tenant" | "org" | "organization" | "owner", "id"] => true,
        _ => false,
    }
}

/// Whether anything else in a function says whose a thing is: another parameter, a field of its object, a function that finds out.
pub(super) fn says_other(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let says = |name: &str| {
        vocabulary::is_owner(name) || vocabulary::is_principal(name) || vocabulary::is_credential(name)
    };
    let mut found = project.this_of(fun).is_some_and(|class| {
        project.written_fields(class).any(|name| says(name.trim_start_matches(['_', '#'])))
    });
    for here in own_code(project, fun) {
        walk::function_exprs(&unit.ir, here.id, &mut |expr| {
            found = found
                || match unit.ir.expr(expr) {
                    ExprKind::Name(NameRef::Binding(id)) => says(unit.ir.binding_name(*id)),
                    ExprKind::Member { property, .. } => says(unit.ir.text(*property)),
                    ExprKind::Call(call) => {
                        let name = project.last_written(At { module: fun.module, expr }).unwrap_or_default();
                        let keyword = |arg: &crate::ir::Arg| matches!(arg.kind, ArgKind::Keyword(name) if says(unit.ir.text(name)));
                        finds_caller(name)
                            || (Project::is_check(name) && !is_about_itself(name))
                            || call.args.iter().any(keyword)
                    }
                    _ => false,
                };
        });
    }
    found
}

/// Whether a check only asks whether the thing itself is ready: `_ensure_initialized()`, `ensure_connected()`.
fn is_about_itself(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| {
        matches!(
            word.as_str(),
            "initialized"
                | "initialised"
                | "init"
                | "connected"
                | "connection"
                | "ready"
                | "started"
                | "loaded"
                | "schema"
                | "table"
                | "tables"
                | "open"
                | "running"
        )
    })
}
