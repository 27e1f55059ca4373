//! The first session that is there, for a request that has none.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, is_end},
    ir::{ExprKind, Kinds, NameRef},
    library::Role,
    project::{At, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "any-session",
        layer: Layer::Routing,
        summary: "A request without a session of its own is given the first session that is there.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "A stranger's request works in the session of whoever happens to be the only one, with that one's rights.",
    fix: "Answer 404 when the session of a request is not there; a client then begins a new one.",
    cwe: &["CWE-639", "CWE-636"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("any_session.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (at, map) in project.firsts() {
        let (at, map) = (*at, *map);
        if !lives.is_per_request(project.function_of(at)) {
            continue;
        }
        let name = project.written(map).pop().unwrap_or_default();
        let holds = vocabulary::words(&name)
            .iter()
            .any(|word| matches!(word.as_str(), "session" | "sessions" | "transport" | "transports"));
        if !holds && !lives.holds(map, &[Role::Transport]) {
            continue;
        }
        let found = report.reached(at, format!("this is the first of `{name}`, whosever it is"));
        found.confidence(Confidence::Medium);
        if !project.has_owners(at.module) {
            found.severity(Severity::Medium);
        }
    }
    of_lists(project, &lives, report);
}

/// The first or the last of what a function lists that is told nothing: `list_sessions()[-1]`.
fn of_lists(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (expr, kind) in unit.ir.exprs_of(Kinds::INDEX) {
            let ExprKind::Index { object, index, .. } = kind else { continue };
            let at = At { module, expr };
            if !is_end(unit, *index)
                || !lists_all(project, unit, at.to(*object))
                || !in_a_server(project, lives, at)
            {
                continue;
            }
            let found = report.reached(at, "this is one of the sessions of all callers, whosever it is");
            found.severity(Severity::Medium).confidence(Confidence::Medium);
        }
    }
}

/// Whether code runs for requests, or stands in middleware of a library, which nobody is seen to call.
fn in_a_server(project: &Project, lives: &Lifetimes<'_>, at: At) -> bool {
    let fun = project.function_of(at);
    let middleware =
        || project.this_of(fun).is_some_and(|class| project.class_name(class).ends_with("Middleware"));
    lives.is_per_request(fun) || middleware()
}

/// Whether a value is what a function without arguments lists, and by its name it lists sessions.
fn lists_all(project: &Project, unit: &Unit, at: At) -> bool {
    let value = match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] if source.path.is_empty() => source.value,
            _ => return false,
        },
        _ => at.expr,
    };
    let value = match unit.ir.expr(value) {
        ExprKind::Await(inner) => *inner,
        _ => value,
    };
    let ExprKind::Call(call) = unit.ir.expr(value) else { return false };
    let name = project.written(at.to(call.callee)).pop().unwrap_or_default();
    let words = vocabulary::words(&name);
    let lists = words.iter().any(|word| matches!(word.as_str(), "list" | "all" | "active" | "open" | "live"));
    call.args.is_empty()
        && lists
        && words.iter().any(|word| matches!(word.as_str(), "sessions" | "transports" | "connections"))
}
