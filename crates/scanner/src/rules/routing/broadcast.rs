//! Something that is sent to every session.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Lifetimes,
    ir::{ExprId, ExprKind, StmtId, StmtKind, walk},
    library::Role,
    project::{At, Fun, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "broadcast-to-sessions",
        layer: Layer::Routing,
        summary: "What happened for one caller is sent to the sessions of all.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "A notification tells every client that something happened, and often what: a resource's URI, a log line, a result.",
    fix: "Send to the sessions of the tenant only, or to those that subscribed and may see it.",
    cwe: &["CWE-200", "CWE-668"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("broadcast.md"),
    run,
};

/// Words of collections that hold the connections of all clients.
const HOLDERS: &[&str] = &["sessions", "transports", "servers", "connections", "clients", "sockets", "streams", "subscribers", "websockets", "queues", "listeners"];

/// Methods that send.
const SENDS: &[&str] = &[
    "send", "notification", "notify", "sendNotification", "sendResourceUpdated", "sendLoggingMessage", "send_log_message",
    "send_resource_updated", "send_notification", "sendEvent", "emit", "publish", "send_json", "send_text", "send_bytes", "put_nowait",
];

fn run(project: &Project, report: &mut Report<'_>) {
    super::subscribed::subscribed(project, report);
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for (id, stmt) in unit.ir.stmts() {
            let StmtKind::ForEach { iter, body, .. } = stmt else { continue };
            let fun = Fun { module, id: unit.index.stmt_function(id) };
            if !lives.is_per_request(fun) || !holds(project, At { module, expr: *iter }) {
                continue;
            }
            if let Some(send) = sends(project, unit, module, body) {
                report
                    .reached(send, "this is sent to the sessions of all callers, whoever it is about")
                    .confidence(Confidence::Medium);
            }
        }
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
            if unit.ir.text(*property) != "forEach" || !holds(project, at.to(*object)) {
                continue;
            }
            let Some(ExprKind::Function(inner)) = call.positional(0).map(|arg| unit.ir.expr(arg)) else { continue };
            if !lives.is_per_request(Fun { module, id: *inner }) {
                continue;
            }
            let Some(function) = unit.ir.function(*inner) else { continue };
            if let Some(send) = sends(project, unit, module, &function.body) {
                report
                    .reached(send, "this is sent to the sessions of all callers, whoever it is about")
                    .confidence(Confidence::Medium);
            }
        }
    }
}

fn holds(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let mut found = false;
    let mut keyed = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => unit.ir.text(*property).to_owned(),
            ExprKind::Name(_) => project.written(at.to(expr)).pop().map(String::from).unwrap_or_default(),
            ExprKind::Index { .. } => {
                keyed = true;
                return;
            }
            ExprKind::Call(call) => {
                let last = project.written(at.to(call.callee)).pop().unwrap_or_default();
                keyed |= matches!(last.as_str(), "get" | "filter");
                return;
            }
            _ => return,
        };
        let words = vocabulary::words(&name);
        found |= words.last().is_some_and(|word| HOLDERS.contains(&word.as_str()));
    });
    found && !keyed
}

/// A call that sends, when nothing in the block decides to whom.
fn sends(project: &Project, unit: &Unit, module: crate::project::ModuleId, body: &[StmtId]) -> Option<At> {
    let mut decides = false;
    let mut roots: Vec<ExprId> = Vec::new();
    walk::stmts_below(&unit.ir, body, &mut |stmt| {
        decides |= matches!(unit.ir.stmt(stmt), StmtKind::If { .. } | StmtKind::Continue);
        walk::parts(&unit.ir, stmt, &mut |part| {
            if let walk::Part::Expr(expr) = part {
                roots.push(expr);
            }
        });
    });
    if decides {
        return None;
    }
    let mut found = None;
    for root in roots {
        walk::exprs_below(&unit.ir, root, &mut |expr| {
            let at = At { module, expr };
            if let ExprKind::Call(call) = unit.ir.expr(expr)
                && matches!(unit.ir.expr(call.callee), ExprKind::Member { .. })
                && !call.args.is_empty()
            {
                let name = project.written(at.to(call.callee)).pop().unwrap_or_default();
                let known = project.callee(at).is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::Send));
                if found.is_none() && (known || SENDS.contains(&name.as_str())) {
                    found = Some(at);
                }
            }
        });
    }
    found
}
