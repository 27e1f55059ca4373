//! A context that is set from here on.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Lifetimes,
    ir::{ExprKind, Language, walk},
    library::Role,
    project::{At, Project},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "context-set-without-end",
        layer: Layer::Context,
        summary: "The request's context is set from here on, and not for the run of a function.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "`enterWith` changes the context of everything that runs on from here, also of what the same connection or listener \
          does next, and nothing takes it back.",
    fix: "Use `run(value, function)`: the value is there inside of the function and nowhere else.",
    cwe: &["CWE-488", "CWE-664"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("context_set_without_end.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    in_generators(project, report);
    super::kept_in_thread::kept_in_thread(project, report);
    super::kept_after::kept_after(project, report);
    let lives = Lifetimes::new(project);
    let asked = project.calls_with(Role::ContextSet);
    for (module, _) in project.units() {
        for expr in asked.among(module) {
            let at = At { module, expr: *expr };
            let Some(callee) = project.callee(at) else { continue };
            if !matches!(callee.name(), "enterWith" | "enter") {
                continue;
            }
            let found = report.reached(at, "the context is set from here on, for whatever runs next as well");
            if !lives.is_per_request(project.function_of(at)) {
                found.confidence(Confidence::Low).severity(Severity::Low);
            }
        }
    }
}

/// Generators of Python that set a context variable and never put it back: a generator has no context of its own, so that whoever runs
/// through it goes on with what it has set.
fn in_generators(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for (id, function) in unit.ir.functions().filter(|(_, function)| function.is_generator) {
            let mut set: Option<At> = None;
            let mut ends = false;
            let mut times = 0;
            walk::function_exprs(&unit.ir, id, &mut |expr| {
                let at = At { module, expr };
                let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
                let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
                match unit.ir.text(*property) {
                    "set" if call.args.len() == 1 && is_variable(project, at, at.to(*object)) => {
                        // What was there before is put back: `var.set(previous)`.
                        times += 1;
                        ends |= times > 1;
                        set = set.or(Some(at));
                    }
                    "reset" | "run" => ends = true,
                    _ => {}
                }
            });
            // `def back(var): var.reset(tokens[var])` inside of it does it as well.
            for inner in unit.index.inner(id) {
                walk::function_exprs(&unit.ir, *inner, &mut |expr| {
                    if let ExprKind::Call(call) = unit.ir.expr(expr)
                        && let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee)
                    {
                        let at = At { module, expr };
                        ends |= unit.ir.text(*property) == "reset" && is_variable(project, at, at.to(*object));
                    }
                });
            }
            let Some(at) = set.filter(|_| !ends) else { continue };
            // What FastAPI or pytest runs as a dependency has the request's own context.
            let fixture = function
                .decorators
                .iter()
                .any(|expr| unit.ir.snippet(unit.ir.span(*expr)).contains("fixture"));
            if fixture || function.parent.is_none() {
                continue;
            }
            let found = report.reached(
                at,
                "this generator sets the context of whoever runs through it, and never puts it back",
            );
            found.severity(Severity::Low).confidence(Confidence::Medium);
        }
    }
}

/// Whether `set` is called on a context variable: by what is known of it, or by its name.
fn is_variable(project: &Project, call: At, object: At) -> bool {
    let known =
        project.callee(call).is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::ContextSet));
    known
        || project.last_written(object).is_some_and(|name| {
            let words = vocabulary::words(name);
            words.iter().any(|word| matches!(word.as_str(), "contextvar" | "ctxvar"))
                || (words.iter().any(|word| matches!(word.as_str(), "context" | "ctx"))
                    && words.iter().any(|word| word == "var"))
        })
}
