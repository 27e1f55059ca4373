//! A bridge whose one child process serves the requests of all clients: `proxy = Proxy()` of the module, whose methods write to the
//! process that was started once.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{Call, ExprKind, NameRef},
    project::{At, Cls, Project, Unit},
    rules::Report,
};

/// Calls that start a process that goes on.
const STARTS: &[&str] =
    &["create_subprocess_exec", "create_subprocess_shell", "Popen", "spawn", "execa", "StdioClientTransport"];

/// Reports such objects where they are made and where a handler uses them.
pub(super) fn one_process(project: &Project, report: &mut Report<'_>) {
    let starts = project.calls_named(|name| STARTS.contains(&name));
    let lives = Lifetimes::new(project);
    let mut bridges: BTreeSet<Cls> = BTreeSet::new();
    for (module, unit) in project.units() {
        for expr in starts.among(module) {
            let at = At { module, expr: *expr };
            let Some(class) = project.this_of(project.function_of(at)) else { continue };
            if is_kept_in_field(unit, at) && speaks_rpc(project, class) {
                bridges.insert(class);
            }
        }
    }
    if bridges.is_empty() {
        return;
    }
    let mut told: BTreeSet<At> = BTreeSet::new();
    for (module, unit) in project.units() {
        for expr in &unit.index.calls {
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let at = At { module, expr: *expr };
            let Some(object) = shared_receiver(project, unit, at, call, &bridges) else { continue };
            let sends = call
                .args
                .iter()
                .any(|arg| project.origins(at.to(arg.value)).has(Origins::INPUT | Origins::REQUEST));
            let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(object.expr) else { continue };
            let shared = unit.ir.is_module_level(*id) || lives.binding_outlives(module, *id);
            if !sends || !shared || !lives.is_per_request(project.function_of(at)) || !told.insert(at) {
                continue;
            }
            tell(report, at);
            let made = unit
                .index
                .sources(*id)
                .iter()
                .map(|source| at.to(source.value))
                .find(|value| !matches!(unit.ir.expr(value.expr), ExprKind::Null));
            if let Some(made) = made.filter(|made| told.insert(*made)) {
                tell(report, made);
            }
        }
    }
}

fn tell(report: &mut Report<'_>, at: At) {
    report
        .at(at, "one process serves the requests of all clients here, and what it keeps of one session the others meet")
        .severity(Severity::Medium)
        .confidence(Confidence::Medium);
}

/// The variable whose method a call is, when the method is of a bridge.
fn shared_receiver(
    project: &Project,
    unit: &Unit,
    at: At,
    call: &Call,
    bridges: &BTreeSet<Cls>,
) -> Option<At> {
    let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
    if !matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(_))) {
        return None;
    }
    let callee = project.callee(at)?;
    let of_bridge = callee
        .targets
        .iter()
        .any(|target| project.this_of(*target).is_some_and(|class| bridges.contains(&class)));
    of_bridge.then(|| at.to(*object))
}

/// Whether what a call gives goes into a field: `self.process = await create_subprocess_exec(…)`.
fn is_kept_in_field(unit: &Unit, at: At) -> bool {
    let span = unit.ir.span(at.expr);
    unit.index.writes.iter().any(|write| {
        let field = match unit.ir.expr(write.place) {
            ExprKind::Member { object, .. } => matches!(unit.ir.expr(*object), ExprKind::This),
            _ => false,
        };
        field && unit.ir.span(write.value).contains(span)
    })
}

/// Whether a class speaks JSON-RPC to what it starts, as its name or its code says.
fn speaks_rpc(project: &Project, class: Cls) -> bool {
    let Some(unit) = project.unit(class.module) else { return false };
    let Some(decl) = unit.ir.class(class.id) else { return false };
    let name = project.class_name(class).to_lowercase();
    // A client asks what the program wants to know, and is no bridge.
    if name.ends_with("client") {
        return false;
    }
    let text = unit.ir.snippet(decl.span);
    name.contains("mcp") || name.contains("stdio") || text.contains("jsonrpc") || text.contains("JSONRPC")
}
