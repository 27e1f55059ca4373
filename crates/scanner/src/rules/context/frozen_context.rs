//! A context that the task of an MCP session got when the session began.

use std::collections::BTreeSet;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Lifetimes,
    ir::{ExprKind, Language},
    library::Role,
    project::{At, Fun, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "frozen-context",
        layer: Layer::Context,
        summary: "Code of an MCP session reads a context variable that is set for single HTTP requests.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "The Python SDK answers all messages of a session in one task. Its context variables are copied when the session begins, \
          so that later requests, whoever sends them, run with the first request's caller.",
    fix: "Read the caller from the message's own request (`ctx.request_context.request`), or serve without sessions \
          (`stateless_http=True`).",
    cwe: &["CWE-488", "CWE-613"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021", "A07:2021"],
    markdown: include_str!("frozen_context.md"),
    run,
};

/// How far up callers of a setter are looked for a middleware.
const CALLERS: u32 = 3;

fn run(project: &Project, report: &mut Report<'_>) {
    if !has_sessions(project) || answers_each_message_for_its_sender(project) {
        return;
    }
    let lives = Lifetimes::new(project);
    let set = set_by_middleware(project);
    for (module, unit) in project.units() {
        if unit.ir.language != Language::Python || knows_the_message(unit) {
            continue;
        }
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            let Some(callee) = project.callee(at) else { continue };
            let fun = project.function_of(at);
            let name = if is_of_the_sdk(callee.package.as_deref(), callee.name()) {
                None
            } else if callee.defs.iter().any(|def| def.role == Role::ContextGet) {
                let Some(name) = variable(project, at).filter(|name| set.contains(name)) else { continue };
                Some(name)
            } else {
                continue;
            };
            if is_middleware(project, fun) || is_of_http(project, fun) {
                continue;
            }
            let severity = match &name {
                Some(name) if names_caller(name) => Severity::High,
                Some(_) => continue,
                // Recent versions of the SDK bind a session to the client that began it.
                None => Severity::Medium,
            };
            let what = name.unwrap_or_else(|| "the access token".to_owned());
            let certain = lives.is_per_request(fun);
            let found = report
                .reached(at, format!("`{what}` is what it was when the session began, not of this message"));
            if !certain {
                found.confidence(Confidence::Medium);
            }
            let severity = severity.min(found_limit(certain));
            found.severity(severity);
        }
    }
}

const fn found_limit(certain: bool) -> Severity {
    if certain { Severity::High } else { Severity::Medium }
}

/// Whether the project serves MCP over HTTP by the Python SDK, with sessions.
fn has_sessions(project: &Project) -> bool {
    let mut serves = false;
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        // `mcp.settings.stateless_http = True`
        let set = unit.index.writes.iter().any(|write| {
            matches!(unit.ir.expr(write.place), ExprKind::Member { property, .. } if unit.ir.text(*property) == "stateless_http")
                && matches!(unit.ir.expr(write.value), ExprKind::Bool(true))
        });
        if set {
            return false;
        }
        for expr in &unit.index.calls {
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let yes = |name: &str| {
                call.args.iter().any(|arg| match arg.kind {
                    crate::ir::ArgKind::Keyword(own) if unit.ir.text(own) == name => {
                        matches!(unit.ir.expr(arg.value), ExprKind::Bool(true))
                    }
                    _ => false,
                })
            };
            if yes("stateless_http") || yes("stateless") {
                return false;
            }
            let name = project.written(At { module, expr: *expr }).pop().unwrap_or_default();
            serves |= match name.as_str() {
                "streamable_http_app" | "http_app" | "StreamableHTTPSessionManager" | "sse_app" | "SseServerTransport" => {
                    true
                }
                "run" | "run_async" => call.args.iter().any(|arg| match unit.ir.expr(arg.value) {
                    ExprKind::String(text) => {
                        matches!(unit.ir.text(*text), "streamable-http" | "sse" | "http")
                    }
                    _ => false,
                }),
                _ => false,
            };
        }
    }
    serves
}

/// Whether the project is written for the SDK's second version, which answers each message in the context of the request that brought it: it
/// has `MCPServer`, and servers that are told their handlers when they are made.
fn answers_each_message_for_its_sender(project: &Project) -> bool {
    let made = project.calls_of(|callee| {
        callee.package.as_deref().is_some_and(|package| package == "mcp" || package.starts_with("mcp."))
            && matches!(callee.name(), "MCPServer" | "Server")
    });
    project.units().any(|(module, unit)| {
        made.among(module).any(|expr| {
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
            let named = project.callee(At { module, expr: *expr }).is_some_and(|callee| callee.name() == "MCPServer");
            let told = |arg: &crate::ir::Arg| {
                matches!(arg.kind, crate::ir::ArgKind::Keyword(name) if unit.ir.text(name).starts_with("on_"))
            };
            named || call.args.iter().any(told)
        })
    })
}

/// The SDK's own reader of a context variable. That of fastmcp asks the message's request first.
fn is_of_the_sdk(package: Option<&str>, name: &str) -> bool {
    name == "get_access_token"
        && package.is_some_and(|package| package == "mcp" || package.starts_with("mcp."))
}

/// Whether a module reads the message's own request as well, as one that knows the difference.
fn knows_the_message(unit: &Unit) -> bool {
    crate::marks::MESSAGES.iter().any(|name| unit.ir.source.mentions(name))
}

/// The name of the variable that a call of its `get` or `set` is about.
pub(in crate::rules) fn variable(project: &Project, at: At) -> Option<String> {
    let mut path = project.written(at);
    path.pop();
    path.pop().map(String::from)
}

/// Whether a context variable is named for who calls.
pub(super) fn names_caller(name: &str) -> bool {
    // `tenant_id_var`
    let name = ["_var", "_ctx", "_cv"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    vocabulary::is_owner(name)
        || vocabulary::is_principal(name)
        || vocabulary::is_credential(name)
        || vocabulary::words(name)
            .iter()
            .any(|word| matches!(word.as_str(), "role" | "roles" | "scopes" | "caller" | "user"))
}

/// The context variables that are set by middleware of single HTTP requests, and by nothing else.
fn set_by_middleware(project: &Project) -> BTreeSet<String> {
    let mut set = BTreeSet::new();
    let mut others = BTreeSet::new();
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            let sets = project
                .callee(at)
                .is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::ContextSet));
            let Some(name) = variable(project, at).filter(|_| sets) else { continue };
            if runs_in_middleware(project, project.function_of(at), CALLERS) {
                set.insert(name);
            } else {
                others.insert(name);
            }
        }
    }
    set.retain(|name| !others.contains(name));
    set
}

fn runs_in_middleware(project: &Project, fun: Fun, depth: u32) -> bool {
    if is_middleware(project, fun) {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else { return false };
    let callers = project.callers(fun);
    !callers.is_empty()
        && callers.iter().take(8).all(|call| runs_in_middleware(project, project.function_of(*call), depth))
}

/// Whether a function stands between HTTP requests and the application: ASGI's three parameters, or Starlette's `call_next`
/// behind a request. fastmcp's own middleware (`on_message(context, call_next)`) runs in the session's task.
pub(in crate::rules) fn is_middleware(project: &Project, fun: Fun) -> bool {
    project.around(fun).into_iter().chain([fun]).any(|fun| {
        let Some(unit) = project.unit(fun.module) else { return false };
        let Some(function) = unit.ir.function(fun.id) else { return false };
        let has = |wanted: &str| {
            function.params.iter().any(|own| own.name.is_some_and(|name| unit.ir.text(name) == wanted))
        };
        (has("scope") && has("receive") && has("send")) || (has("request") && has("call_next"))
    })
}

/// Whether callers come to a function as an HTTP handler of its own, where each request has its context.
fn is_of_http(project: &Project, fun: Fun) -> bool {
    let Some(reach) = project.around(fun).into_iter().chain([fun]).find_map(|fun| project.reach(fun)) else {
        return false;
    };
    project.entries().get(reach.entry).is_some_and(|entry| entry.kind == "http")
}
