//! One server or transport for several connections.

use std::collections::HashSet;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Held, Lifetimes, Origins, has_own_receiver},
    ir::{ExprKind, FunctionId, Kinds, NameRef, PropertyKey, walk},
    library::Role,
    project::{At, Callee, Project},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "shared-server",
        layer: Layer::Routing,
        summary: "Requests share one MCP server or transport that can speak to one client only.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "A server of the SDK answers on the transport that it was connected to last, and a transport finds the waiting \
          request by an id that each client counts from zero. With two clients, one gets the other's answer.",
    fix: "Make the server and the transport in a function, and call it for each request or session.",
    cwe: &["CWE-488", "CWE-668"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("shared_server.md"),
    run,
};

/// How far apart, in lines, the two places are that are reported both.
const APART: u32 = 20;

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let mut reported = HashSet::new();
    for (module, unit) in project.units() {
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            if !lives.is_per_request(project.function_of(at)) {
                handler_of_one(project, &lives, report, at);
                continue;
            }
            for (value, roles, thing) in uses(project, &lives, at) {
                // Other objects of the class may live longer than the one that this request made.
                if is_of_own_object(project, &lives, value) {
                    continue;
                }
                if let Some(made) = lives.made_before(value, roles) {
                    both(project, report, &mut reported, (made, at), thing);
                } else if let Some(held) = lives.held(value) {
                    of_unknown_make(project, report, &mut reported, held, at, thing);
                }
            }
        }
    }
    overwritten(project, &lives, report);
    super::one_upstream::one_upstream(project, report);
    super::one_process::one_process(project, report);
    super::each_connection::each_connection(project, &lives, report);
}

/// A handler of requests that is made once, of one server: `createMcpHandler(server)` in a module.
fn handler_of_one(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>, at: At) {
    let Some(callee) = project.callee(at) else { return };
    super::one_for_all::one_for_all(project, lives, report, at, callee);
    if !callee.defs.iter().any(|def| def.role == Role::Connect && def.kind.as_deref() == Some("handler")) {
        return;
    }
    let Some(unit) = project.unit(at.module) else { return };
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return };
    let server = call.positional(0).map(|arg| at.to(arg));
    if project.function_of(at).id == FunctionId::MODULE && server.is_some_and(|server| lives.makes(server, &[Role::Server])) {
        report.add(at.module, project.span(at), "this handler answers all requests with one server, which can speak to one client only");
    }
}

/// Whether a value is a field of the object whose method this is, and requests call the method on objects only that they made.
fn is_of_own_object(project: &Project, lives: &Lifetimes<'_>, value: At) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    let ExprKind::Member { object, .. } = unit.ir.expr(value.expr) else { return false };
    let method = project.function_of(value);
    let callers = project.callers(method);
    let asked: Vec<&At> = callers.iter().filter(|call| lives.is_per_request(project.function_of(**call))).collect();
    matches!(unit.ir.expr(*object), ExprKind::This)
        && !asked.is_empty()
        && asked.into_iter().all(|call| has_own_receiver(project, lives, *call))
}

/// The servers and transports that a call uses.
fn uses(project: &Project, lives: &Lifetimes<'_>, at: At) -> Vec<(At, &'static [Role], &'static str)> {
    let mut found: Vec<(At, &'static [Role], &'static str)> = Vec::new();
    let Some(unit) = project.unit(at.module) else { return found };
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return found };
    let Some(callee) = project.callee(at) else { return found };
    let receiver = match unit.ir.expr(call.callee) {
        ExprKind::Member { object, .. } => Some(at.to(*object)),
        _ => None,
    };
    let connects = callee.defs.iter().find(|def| def.role == Role::Connect);
    if let Some(def) = connects {
        let server = if def.kind.as_deref() == Some("handler") {
            call.positional(0).map(|arg| at.to(arg))
        } else {
            receiver
        };
        found.extend(server.map(|server| (server, &[Role::Server][..], "server")));
    } else if callee.name() == "connect"
        && callee.targets.is_empty()
        && call.positional(0).is_some_and(|arg| lives.makes(at.to(arg), &[Role::Transport]))
    {
        // Whatever it is called: what is connected to a server's transport is a server. A function that is handed over to do so is asked for
        // the server that it connects: `connect: (transport) => this.server.connect(transport)`.
        let handed = receiver.filter(|receiver| is_options(project, *receiver)).map(|_| connected_by_functions(project));
        match handed {
            Some(servers) if !servers.is_empty() => found.extend(servers.into_iter().map(|server| (server, &[Role::Server][..], "server"))),
            _ => found.extend(receiver.map(|server| (server, &[Role::Server][..], "server"))),
        }
    }
    // `server.connect(transport)` with one that was made before.
    if connects.is_some_and(|def| def.kind.as_deref() != Some("handler")) || callee.name() == "connect" {
        let before = call.positional(0).map(|arg| at.to(arg)).filter(|arg| lives.made_before(*arg, &[Role::Transport]).is_some());
        found.extend(before.map(|transport| (transport, &[Role::Transport][..], "transport")));
    }
    // Python's transport for one session; its manager, and the older transport, are made for many.
    let one = |receiver: At| lives.made_before(receiver, &[Role::Transport]).is_some_and(|made| project.snippet(made).contains("StreamableHTTPServerTransport("));
    if callee.name() == "handle_request" && receiver.is_some_and(one) {
        found.extend(receiver.map(|transport| (transport, &[Role::Transport][..], "transport")));
    }
    // A method of ours with that name, which no transport stands behind, takes what it is told with it.
    let ours = !callee.targets.is_empty() && call.args.iter().any(|arg| project.origins(at.to(arg.value)).has(Origins::PRINCIPAL));
    if matches!(callee.name(), "handleRequest" | "handlePostMessage") && !ours && !is_router(project, callee) && !receiver.is_some_and(|own| is_for_signing_in(project, own)) {
        found.extend(receiver.map(|transport| (transport, &[Role::Transport][..], "transport")));
    }
    found
}

/// Whether what is called is the project's own and hands nothing to a transport: a router that is named as one.
fn is_router(project: &Project, callee: &Callee) -> bool {
    callee.certain
        && !callee.targets.is_empty()
        && callee.targets.iter().all(|target| {
            let Some(unit) = project.unit(target.module) else { return false };
            let mut hands_on = false;
            walk::function_exprs(&unit.ir, target.id, &mut |expr| {
                let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
                let name = project.last_written(At { module: target.module, expr: call.callee });
                hands_on |= name.is_some_and(|name| matches!(name, "handleRequest" | "handlePostMessage" | "handle_request" | "connect" | "onmessage"));
            });
            !hands_on
        })
}

/// Whether what takes requests is named for who signs in: `auth.handleRequest(method, context)` of Lucia reads a session's cookie.
fn is_for_signing_in(project: &Project, receiver: At) -> bool {
    project.written(receiver).last().is_some_and(|name| {
        vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "auth" | "lucia" | "passport" | "oauth"))
    })
}

/// Whether a value is a parameter.
fn is_options(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    matches!(unit.ir.expr(at.expr), ExprKind::Name(NameRef::Binding(id)) if project.parameter_of(at.module, *id).is_some())
}

/// What the functions of the project connect that stand in an object under the name `connect`.
fn connected_by_functions(project: &Project) -> Vec<At> {
    let mut found = Vec::new();
    for (module, unit) in project.units() {
        for (_, expr) in unit.ir.exprs_of(Kinds::OBJECT) {
            let ExprKind::Object(properties) = expr else { continue };
            for property in properties {
                let named = matches!(property.key, PropertyKey::Name(name) if unit.ir.text(name) == "connect");
                let ExprKind::Function(id) = unit.ir.expr(property.value) else { continue };
                if !named {
                    continue;
                }
                walk::function_exprs(&unit.ir, *id, &mut |inner| {
                    if let ExprKind::Call(call) = unit.ir.expr(inner)
                        && let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee)
                        && unit.ir.text(*property) == "connect"
                    {
                        found.push(At { module, expr: *object });
                    }
                });
            }
        }
    }
    found
}

/// Reports where something is made that requests share, and where they use it.
fn both(project: &Project, report: &mut Report<'_>, reported: &mut HashSet<At>, places: (At, At), thing: &str) {
    let (made, used) = places;
    // One that says itself that it has one session, under a name that is written out, is made for one client.
    let one = names_its_session(project, made) || project.roots(made).iter().any(|root| made_for_one(project, made, *root));
    if reported.insert(made) {
        let fun = project.function_of(used);
        let found = report
            .at(made, format!("all requests share this {thing}, which can speak to one client only"))
            ;
        found.related(used.module, project.span(used), "it is used for a request here");
        if one {
            found.severity(Severity::Medium);
        }
        report.show_way_of_last(fun);
    }
    if is_apart(project, made, used) && reported.insert(used) {
        let found = report.reached(used, format!("a {thing} that all requests share is used for this one"));
        found.related(made.module, project.span(made), "it is made here, once");
        if one {
            found.severity(Severity::Medium);
        }
    }
}

/// Reports what requests share, although it is not seen how it was made.
fn of_unknown_make(project: &Project, report: &mut Report<'_>, reported: &mut HashSet<At>, held: Held, used: At, thing: &str) {
    let severity = if held.certain { Severity::High } else { Severity::Medium };
    if let Some(made) = held.made.filter(|made| reported.insert(*made)) {
        report
            .at(made, format!("all requests share this {thing}, which can speak to one client only"))
            .severity(severity)
            .confidence(Confidence::Medium)
            .related(used.module, project.span(used), "it is used for a request here");
        report.show_way_of_last(project.function_of(used));
        if !is_apart(project, made, used) {
            return;
        }
    }
    if reported.insert(used) {
        report
            .reached(used, format!("a {thing} that all requests share is used for this one"))
            .severity(severity)
            .confidence(Confidence::Medium);
    }
}

/// Whether two places are so far from each other that each is told.
fn is_apart(project: &Project, one: At, other: At) -> bool {
    let line = |at: At| {
        let span = project.span(at);
        project.unit(at.module).map_or(0, |unit| unit.ir.position(span.start).line)
    };
    one.module != other.module || line(one).abs_diff(line(other)) > APART
}

/// Whether a transport is given one id for all of its sessions: `sessionIdGenerator: () => "single"`.
fn names_its_session(project: &Project, made: At) -> bool {
    let Some(unit) = project.unit(made.module) else { return false };
    let mut found = false;
    walk::exprs_below(&unit.ir, made.expr, &mut |expr| {
        let ExprKind::Object(properties) = unit.ir.expr(expr) else { return };
        found |= properties.iter().any(|property| {
            let named = matches!(property.key, PropertyKey::Name(name) if unit.ir.text(name) == "sessionIdGenerator");
            let ExprKind::Function(id) = unit.ir.expr(property.value) else { return false };
            let returns = unit.index.returns(*id);
            named && !returns.is_empty() && returns.iter().all(|expr| matches!(unit.ir.expr(*expr), ExprKind::String(_)))
        });
    });
    found
}

/// A variable with the transport of the client that came last.
fn overwritten(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    for write in lives.shared_writes(project) {
        if !lives.makes(write.value, &[Role::Transport]) {
            continue;
        }
        let reads = lives.reads(project, &write.cell);
        if !reads.iter().any(|(_, fun, _)| *fun != write.fun && lives.is_per_request(*fun)) {
            continue;
        }
        let found = report.add(
            write.fun.module,
            write.span,
            "the client that connects last replaces the transport that requests of all clients use",
        );
        found.confidence(Confidence::Medium);
        if names_its_session(project, write.value) || project.roots(write.value).iter().any(|root| made_for_one(project, write.value, *root)) {
            found.severity(Severity::Medium);
        }
        report.show_way_of_last(write.fun);
    }
}

/// Whether what a variable is set to is a transport with one id for all of its sessions.
fn made_for_one(project: &Project, at: At, root: crate::ir::BindingId) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    unit.index.sources(root).iter().any(|source| names_its_session(project, at.to(source.value)))
}
