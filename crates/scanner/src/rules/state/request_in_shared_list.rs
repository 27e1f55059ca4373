//! Data of requests that is gathered in one list for all.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Cell, Lifetimes, Origins, is_on_own_objects, is_on_shared_object},
    ir::{ArgKind, ExprId, ExprKind, FunctionKind, NameRef, PropertyKey},
    project::{At, Fun, Parent, Project},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "request-in-shared-list",
        layer: Layer::State,
        summary: "Data of requests is gathered in a list that outlives them, and shown to whoever asks.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "The list holds what all callers have sent, and whoever asks for it, or whose answer is made of it, is shown theirs too.",
    fix: "Keep a list for each caller, under the verified id of who it is, or one for each session.",
    cwe: &["CWE-488", "CWE-200"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("request_in_shared_list.md"),
    run,
};

/// Methods that put something into a collection.
const GATHERS: &[&str] = &["append", "appendleft", "push", "unshift", "extend", "insert", "add", "put", "put_nowait"];

/// Words of collections that are about the server, or about who is connected, which is another rule's matter.
const OTHERS: &[&str] = &[
    "listener", "listeners", "handler", "handlers", "subscriber", "subscribers", "observer", "observers", "client", "clients", "connection",
    "connections", "socket", "sockets", "session", "sessions", "waiters", "timer", "timers", "metric", "metrics", "latencies", "latency",
    "queue", "buffer", "batch", "backlog", "outbox", "audit", "log", "logs", "pending", "retries", "exports", "seen", "timings", "stats", "durations", "headers", "middleware", "middlewares", "plugins", "routes", "tools", "watchers", "transports", "streams",
];

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    super::kept_by_name::kept_by_name(project, &lives, report);
    super::shown_whole::shown_whole(project, &lives, report);
    added(project, &lives, report);
    super::kept_talks::kept_talks(project, report);
    super::index_of_all::index_of_all(project, report);
    let gathers = project.calls_named(|name| GATHERS.contains(&name));
    for (module, unit) in project.units() {
        for expr in gathers.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
            if !GATHERS.contains(&unit.ir.text(*property)) || call.args.is_empty() {
                continue;
            }
            let fun = project.function_of(at);
            let constructor = unit.ir.function(fun.id).is_some_and(|function| function.kind == FunctionKind::Constructor);
            if constructor || !lives.is_per_request(fun) {
                continue;
            }
            let Some((cell, name)) = kept_in(project, &lives, at.to(*object)) else { continue };
            let queue = makes_queue(project, &cell);
            let other = !queue && is_other(&name);
            let origins = call.args.iter().fold(Origins::NONE, |sum, arg| sum | project.origins(at.to(arg.value)));
            let sent = origins.has(Origins::INPUT | Origins::PRINCIPAL | Origins::UNVERIFIED | Origins::REQUEST | Origins::SECRET);
            let knows = || call.args.iter().any(|arg| super::worked_out::is_worked_out(project, at.to(arg.value)));
            if !sent && !knows() {
                continue;
            }
            // From a list for work that waits, a request may take what another one has brought.
            let takes = |read: At| {
                !other || (origins.has(Origins::PRINCIPAL) && super::shown_whole::takes_out(project, read)) || (is_log(&name) && is_given_by_tool(project, read, fun))
            };
            let shown = lives
                .reads(project, &cell)
                .into_iter()
                .find(|(read, fun, _)| lives.is_per_request(*fun) && takes(*read) && (project.is_shown(*read) || is_told_on(project, *read)));
            let Some((shown, ..)) = shown else { continue };
            // Where it is not seen that the object is shared, it may be one of the request's own.
            if matches!(cell, Cell::Field(..)) && !is_on_shared_object(project, &lives, fun) {
                continue;
            }
            report
                .reached(at, format!("`{name}` gathers what all callers send, and is shown to each of them"))
                .severity(Severity::Medium)
                .confidence(Confidence::Medium)
                .related(shown.module, project.span(shown), "its content is given to whoever asks");
            report.show_way_of_last(fun);
        }
    }
}

/// Whether a collection is about what was done, by its name, and about nothing of the server's connections.
fn is_log(name: &str) -> bool {
    let words = vocabulary::words(name);
    let others: Vec<_> = words.iter().filter(|word| OTHERS.contains(&word.as_str())).collect();
    others.iter().all(|word| matches!(word.as_str(), "log" | "logs" | "pending" | "buffer" | "batch" | "queue"))
}

/// Whether another tool than the one that fills a collection gives its content to whoever calls it.
fn is_given_by_tool(project: &Project, read: At, fills: Fun) -> bool {
    let fun = project.function_of(read);
    let is_tool = |fun: Fun| project.entry(fun).is_some_and(|entry| entry.kind == "tool");
    fun != fills && (is_tool(fun) || project.callers(fun).iter().take(4).any(|call| is_tool(project.function_of(*call))))
}

/// Whether all of a conversation is told to a model, which answers whoever asks: `create(messages=self.messages)`.
fn is_told_on(project: &Project, read: At) -> bool {
    let Some(unit) = project.unit(read.module) else { return false };
    let talk = |name: &str| matches!(name, "messages" | "history" | "chat_history" | "contents" | "conversation");
    match unit.index.parent(read.expr) {
        Parent::Expr(up) => match unit.ir.expr(up) {
            ExprKind::Call(call) => call.args.iter().any(|arg| {
                arg.value == read.expr && matches!(arg.kind, ArgKind::Keyword(name) if talk(unit.ir.text(name)))
            }),
            ExprKind::Object(properties) => properties.iter().any(|own| {
                own.value == read.expr && matches!(own.key, PropertyKey::Name(name) if talk(unit.ir.text(name)))
            }),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a collection is about the server or its connections, by its name.
pub(super) fn is_other(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| OTHERS.contains(&word.as_str()))
}

/// `HISTORY += [entry]`, which an `append` is too.
fn added(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    const SENT: Origins = Origins::INPUT.or(Origins::PRINCIPAL).or(Origins::UNVERIFIED).or(Origins::SECRET);
    for write in lives.shared_writes(project).iter().filter(|write| write.updates) {
        let Cell::Binding(module, id) = write.cell else { continue };
        let Some(unit) = project.unit(module) else { continue };
        let is_list = project.unit(write.value.module).is_some_and(|unit| matches!(unit.ir.expr(write.value.expr), ExprKind::Array { .. }));
        let name = unit.ir.binding_name(id);
        if !is_list || !is_collection(project, &write.cell) || is_other(name) {
            continue;
        }
        let shown = lives.reads(project, &write.cell).into_iter().any(|(read, fun, _)| lives.is_per_request(fun) && project.is_shown(read));
        if shown && project.origins(write.value).has(SENT) {
            report
                .add(write.fun.module, write.span, format!("`{name}` gathers what all callers send, and is shown to each of them"))
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// The collection that outlives a request, by its cell and name; none where it may be one for each caller.
fn kept_in(project: &Project, lives: &Lifetimes<'_>, at: At) -> Option<(Cell, String)> {
    let unit = project.unit(at.module)?;
    let fun = project.function_of(at);
    let name = match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id).to_owned(),
        ExprKind::Member { property, .. } => unit.ir.text(*property).to_owned(),
        ExprKind::Index { index, .. } => match unit.ir.expr(*index) {
            ExprKind::String(name) => unit.ir.text(*name).to_owned(),
            _ => return None,
        },
        _ => return None,
    };
    let cell = lives.cell(at)?;
    if matches!(cell, Cell::Field(..)) && is_on_own_objects(project, lives, fun) {
        return None;
    }
    is_collection(project, &cell).then_some((cell, name))
}

/// Whether a cell is made as a queue, from which one takes what another has put there.
fn makes_queue(project: &Project, cell: &Cell) -> bool {
    is_made(project, cell, &|at| {
        project.callee(at).is_some_and(|callee| matches!(callee.name(), "Queue" | "SimpleQueue" | "LifoQueue"))
    })
}

/// Whether a cell is made as a list, set or dict.
fn is_collection(project: &Project, cell: &Cell) -> bool {
    is_made(project, cell, &|at| {
        let Some(unit) = project.unit(at.module) else { return false };
        match unit.ir.expr(at.expr) {
            ExprKind::Array { .. } | ExprKind::Object(_) => true,
            ExprKind::Call(call) => {
                let name = project.written(at.to(call.callee)).pop().unwrap_or_default();
                // BullMQ's hands what it is given to workers.
                let queue = matches!(name.as_str(), "Queue" | "SimpleQueue" | "LifoQueue");
                let bull = project.callee(at).and_then(|callee| callee.package.as_deref()).is_some_and(|package| package.starts_with("bull"));
                (queue && !bull) || matches!(name.as_str(), "list" | "deque" | "dict" | "set" | "Set" | "Array" | "OrderedDict" | "field")
            }
            _ => false,
        }
    })
}

/// Whether one of the values that a cell is set to where it is declared is made so.
fn is_made(project: &Project, cell: &Cell, makes: &dyn Fn(At) -> bool) -> bool {
    match cell {
        Cell::Binding(module, id) => project.unit(*module).is_some_and(|unit| {
            unit.index.sources(*id).iter().any(|source| makes(At { module: *module, expr: source.value }))
        }),
        Cell::Field(class, name) => {
            let Some(unit) = project.unit(class.module) else { return false };
            let declared = unit.ir.class(class.id).is_some_and(|decl| {
                let own = |expr: Option<ExprId>| expr.is_some_and(|expr| makes(At { module: class.module, expr }));
                decl.fields.iter().any(|field| unit.ir.text(field.name) == name && own(field.value))
            });
            declared || project.field_values(*class, name).iter().any(|value| makes(*value))
        }
        // What a literal of an object holds.
        Cell::Property(of, name) => match &**of {
            Cell::Binding(module, id) => project.unit(*module).is_some_and(|unit| {
                unit.index.sources(*id).iter().any(|source| match unit.ir.expr(source.value) {
                    ExprKind::Object(properties) => properties.iter().any(|property| {
                        matches!(property.key, crate::ir::PropertyKey::Name(own) if unit.ir.text(own) == name)
                            && makes(At { module: *module, expr: property.value })
                    }),
                    _ => false,
                })
            }),
            // `app.state.history = []`
            Cell::Property(..) | Cell::Global => project.kept_under(name).is_some_and(makes),
            Cell::Field(..) => false,
        },
        Cell::Global => false,
    }
}
