//! One memory of a conversation for all callers.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Cell, Lifetimes, is_on_shared_object},
    ir::{ArgKind, Call, ExprId, ExprKind, FunctionId},
    project::{At, Parent, Project, Unit},
    rules::{Report, Rule},
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "shared-conversation",
        layer: Layer::State,
        summary: "A language model's memory of a conversation is made once and serves all callers.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "The memory puts what earlier callers said and were answered before the model, which tells it to the next one.",
    fix: "Make the memory for each conversation, or use one that is told a session's id with each call.",
    cwe: &["CWE-488", "CWE-200"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021", "LLM02:2025"],
    markdown: include_str!("shared_conversation.md"),
    run,
};

/// Classes whose objects hold one conversation. Sources: the API references of LangChain (Python and JavaScript) and LlamaIndex.
const MEMORIES: &[&str] = &[
    "ConversationBufferMemory", "ConversationBufferWindowMemory", "ConversationSummaryMemory", "ConversationSummaryBufferMemory", "ConversationTokenBufferMemory",
    "ConversationEntityMemory", "ConversationKGMemory", "ChatMessageHistory", "InMemoryChatMessageHistory", "BufferMemory", "BufferWindowMemory",
    "ChatMemoryBuffer", "ChatSummaryMemoryBuffer",
];

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            if unit.index.function(*expr) != FunctionId::MODULE {
                continue;
            }
            let path = project.written_as_exported(at.to(call.callee));
            let memory = path.iter().any(|part| MEMORIES.contains(&part.as_str()));
            // `Crew(agents=[…], memory=True)`
            let keeps = path.last().is_some_and(|name| matches!(name.as_str(), "Crew" | "Agent" | "ConversationChain"))
                && call.args.iter().any(|arg| match arg.kind {
                    ArgKind::Keyword(name) => unit.ir.text(name) == "memory" && matches!(unit.ir.expr(arg.value), ExprKind::Bool(true)),
                    _ => false,
                });
            let whole = path.len() <= 2;
            if !(memory || keeps) || !whole || is_one_conversation(unit, at) {
                continue;
            }
            if !serves(project, &lives, at) {
                continue;
            }
            report.at(at, "this memory of a conversation is one for all callers").confidence(Confidence::Medium);
        }
    }
    places(project, &lives, report);
    from_the_start(project, &lives, report);
    super::one_conversation::one_conversation(project, &lives, report);
}

/// Methods and classes that make a place in which one client works, step by step: a page, a terminal. Sources: the API references of
/// Playwright, Puppeteer, Stagehand and node-pty.
const PLACES: &[&str] = &["newPage", "newContext", "createBrowserContext", "createIncognitoBrowserContext", "launchPersistentContext", "Stagehand", "new_page", "new_context", "launch_persistent_context"];

/// Variables that outlive requests and hold the place in which one client works, where the requests of all find it.
fn places(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    for write in lives.shared_writes(project) {
        let Some(unit) = project.unit(write.value.module) else { continue };
        // A field counts where it is seen that the object is one for all.
        let shared = match write.cell {
            Cell::Binding(..) => true,
            Cell::Field(..) => is_on_shared_object(project, lives, write.fun),
            _ => false,
        };
        if !shared || !makes_place(project, unit, write.value) || !serves(project, lives, write.value) {
            continue;
        }
        if lives.reads(project, &write.cell).is_empty() {
            continue;
        }
        report
            .add(write.fun.module, write.span, "this is where one client works, and the requests of all clients find it here")
            .confidence(Confidence::Medium);
        report.show_way_of_last(write.fun);
    }
}

/// Variables of a module that are such a place from the start, and that requests work in.
fn from_the_start(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, _) in unit.ir.bindings().filter(|(id, _)| unit.ir.is_module_level(*id)) {
            let [source] = unit.index.sources(id) else { continue };
            let at = At { module, expr: source.value };
            if source.function != FunctionId::MODULE || !source.path.is_empty() || !(opens_place(project, unit, at) || is_shell(project, unit, at)) {
                continue;
            }
            let works = lives.reads(project, &Cell::Binding(module, id)).into_iter().find(|(read, fun, _)| lives.is_per_request(*fun) && works_in(project, *read));
            if let Some((read, ..)) = works.filter(|_| serves(project, lives, at)) {
                report
                    .at(at, "this is where one client works, and the requests of all clients find it here")
                    .confidence(Confidence::Medium)
                    .related(read.module, project.span(read), "a request works here");
            }
        }
    }
}

/// The call behind what is waited for.
fn call_of(unit: &Unit, at: At) -> Option<(At, &Call)> {
    let mut value = at.expr;
    while let ExprKind::Await(inner) = unit.ir.expr(value) {
        value = *inner;
    }
    match unit.ir.expr(value) {
        ExprKind::Call(call) => Some((at.to(value), call)),
        _ => None,
    }
}

/// Whether a value is a context of a browser or of scripts.
fn opens_place(project: &Project, unit: &Unit, at: At) -> bool {
    let Some((at, call)) = call_of(unit, at) else { return false };
    let path = project.written(at.to(call.callee));
    let [.., of, name] = path.as_slice() else { return false };
    (name.as_str() == "createContext" && of.as_str() == "vm") || (PLACES.contains(&name.as_str()) && name.as_str() != "Stagehand")
}

/// Whether a value is a shell that waits for what it is told: `spawn("bash")`.
fn is_shell(project: &Project, unit: &Unit, at: At) -> bool {
    let Some((at, call)) = call_of(unit, at) else { return false };
    let Some(callee) = project.callee(at).filter(|callee| callee.name() == "spawn") else { return false };
    let package = callee.package.as_deref().unwrap_or_default();
    let shell = call.positional(0).is_some_and(|arg| match unit.ir.expr(arg) {
        ExprKind::String(text) => {
            let name = unit.ir.text(*text);
            matches!(name.rsplit('/').next(), Some("bash" | "sh" | "zsh" | "python" | "python3" | "node" | "psql" | "powershell"))
        }
        _ => false,
    });
    let alone = call.positional(1).is_none_or(|args| matches!(unit.ir.expr(args), ExprKind::Array { items, .. } if items.is_empty()));
    package.ends_with("node-pty") || (package.ends_with("child_process") && shell && alone)
}

/// Whether a use is one that works there: a method is called on it, or it is handed to a function.
fn works_in(project: &Project, read: At) -> bool {
    let Some(unit) = project.unit(read.module) else { return false };
    let Parent::Expr(up) = unit.index.parent(read.expr) else { return false };
    match unit.ir.expr(up) {
        ExprKind::Member { property, .. } => !matches!(unit.ir.text(*property), "close" | "kill" | "on" | "pid"),
        ExprKind::Call(call) => call.callee != read.expr,
        _ => false,
    }
}

/// Whether a value is made by one of [`PLACES`], or is a variable that was.
fn makes_place(project: &Project, unit: &Unit, at: At) -> bool {
    let made = |expr: ExprId| {
        let mut value = expr;
        while let ExprKind::Await(inner) = unit.ir.expr(value) {
            value = *inner;
        }
        let ExprKind::Call(call) = unit.ir.expr(value) else { return false };
        project.last_written(at.to(call.callee)).is_some_and(|name| PLACES.contains(&name))
    };
    made(at.expr) || project.roots(at).into_iter().any(|root| unit.index.sources(root).iter().take(3).any(|source| source.path.is_empty() && made(source.value)))
}

/// Whether something is told whose conversation it is: an id of a session, a key.
fn is_one_conversation(unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return true };
    call.args.iter().any(|arg| match arg.kind {
        ArgKind::Keyword(name) => matches!(unit.ir.text(name), "session_id" | "conversation_id" | "thread_id" | "chat_store_key" | "chat_history"),
        _ => false,
    })
}

/// Whether the package of a module answers requests of several callers.
fn serves(project: &Project, lives: &Lifetimes<'_>, at: At) -> bool {
    project.entries().iter().any(|entry| {
        let same = project.unit(entry.handler.module).zip(project.unit(at.module)).is_some_and(|(one, other)| {
            project.package_folder(&one.ir.path) == project.package_folder(&other.ir.path)
        });
        same && lives.is_per_request(entry.handler)
    })
}
