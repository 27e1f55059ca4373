//! A bridge whose one child process serves the requests of all clients: `proxy = Proxy()` of the module, whose methods write to the
//! process that was started once.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{BindingId, Call, ExprKind, FunctionId, NameRef, walk},
    project::{At, Cls, Parent, Project, Unit},
    rules::Report,
};

/// Calls that start a process that goes on.
const STARTS: &[&str] =
    &["create_subprocess_exec", "create_subprocess_shell", "Popen", "spawn", "execa", "StdioClientTransport"];

/// Reports such objects where they are made and where a handler uses them.
pub(super) fn one_process(project: &Project, report: &mut Report<'_>) {
    next_chunks(project, report);
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

/// Reports handlers that take the next thing a shared process says for their own answer: `child.stdout.once("data", (data) =>
/// res.json(JSON.parse(data)))` behind `child.stdin.write(…)`.
fn next_chunks(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let hears = project.calls_named(|name| matches!(name, "on" | "once" | "addListener"));
    for (module, unit) in project.units() {
        for expr in hears.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let Some(process) = heard(unit, call) else { continue };
            let fun = project.function_of(at);
            if !unit.ir.is_module_level(process)
                || !lives.is_per_request(fun)
                || !is_started(project, unit, at, process)
                || !is_written_to(unit, fun.id, process)
                || tells_answers_apart(unit, call)
            {
                continue;
            }
            report
                .reached(at, "each request takes the next thing that the process of all clients says for its own answer")
                .severity(Severity::Medium)
                .confidence(Confidence::Medium)
                .fix("Start a process for each session, or give each message an id of your own and give an answer to the request with its id.");
        }
    }
}

/// The variable of a process whose output a call hears: `child.stdout.on("data", …)`.
fn heard(unit: &Unit, call: &Call) -> Option<BindingId> {
    let ExprKind::Member { object: stream, .. } = unit.ir.expr(call.callee) else { return None };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(*stream) else { return None };
    let ExprKind::String(event) = unit.ir.expr(call.positional(0)?) else { return None };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return None };
    (unit.ir.text(*property) == "stdout" && matches!(unit.ir.text(*event), "data" | "line")).then_some(*id)
}

/// Whether a variable is set to a process that was started.
fn is_started(project: &Project, unit: &Unit, at: At, process: BindingId) -> bool {
    unit.index.sources(process).iter().any(|source| {
        project.callee(at.to(source.value)).is_some_and(|callee| STARTS.contains(&callee.name()))
    })
}

/// Whether a function writes to the input of a process.
fn is_written_to(unit: &Unit, fun: FunctionId, process: BindingId) -> bool {
    unit.index.uses(process).iter().any(|used| {
        let Parent::Expr(up) = unit.index.parent(*used) else { return false };
        let stdin = matches!(unit.ir.expr(up), ExprKind::Member { property, .. } if unit.ir.text(*property) == "stdin");
        stdin && unit.index.function(*used) == fun
    })
}

/// Whether what hears an answer compares its id.
fn tells_answers_apart(unit: &Unit, call: &Call) -> bool {
    let Some(heard) = call.positional(1) else { return true };
    let fun = match unit.ir.expr(heard) {
        ExprKind::Function(id) => *id,
        ExprKind::Name(NameRef::Binding(id)) => {
            let made = unit.index.sources(*id).iter().find_map(|source| match unit.ir.expr(source.value) {
                ExprKind::Function(id) => Some(*id),
                _ => None,
            });
            match made {
                Some(id) => id,
                None => return true,
            }
        }
        _ => return true,
    };
    let Some(function) = unit.ir.function(fun) else { return true };
    let text = unit.ir.snippet(function.span);
    // `pending.get(message.id)`, `if (message.id === id)`
    let mut names_id = false;
    walk::function_exprs(&unit.ir, fun, &mut |expr| {
        names_id |= matches!(unit.ir.expr(expr), ExprKind::Member { property, .. } if unit.ir.text(*property) == "id");
    });
    names_id || text.contains("[\"id\"]")
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
