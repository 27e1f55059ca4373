//! The environment of the process, written for a request.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::ExprKind,
    project::{At, Fun, Project},
    rules::{Report, Rule},
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "environment-set-for-a-request",
        layer: Layer::State,
        summary: "The environment of the process is set to data of a request.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "There is one environment for all requests. What reads it next, in this request or another one, gets the last \
          caller's value.",
    fix: "Pass the value to what needs it: a client's constructor, the `env` of the child process that is started.",
    cwe: &["CWE-488", "CWE-526"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("process_environment.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for write in &unit.index.writes {
            let path = project.written(At { module, expr: write.place });
            let path: Vec<&str> = path.iter().map(|name| name.as_str()).collect();
            if !matches!(path.as_slice(), ["process", "env", ..] | ["os", "environ", ..] | ["environ", ..]) {
                continue;
            }
            let fun = Fun { module, id: write.function };
            let value = At { module, expr: write.value };
            if !lives.is_per_request(fun) || !project.origins(value).is_of_request() {
                continue;
            }
            let at = At { module, expr: write.place };
            let found = report.reached(at, "the environment of the process is set to data of this request");
            // `profile_dir()` is named for a user, and no more is known of it.
            if project.origins(value).without(Origins::OWNER | Origins::UNKNOWN | Origins::CONSTANT | Origins::ENV) == Origins::NONE {
                found.severity(Severity::Medium).confidence(Confidence::Medium);
            }
        }
    }
    folders(project, &lives, report);
}

/// Reports a request that changes the folder that the process works in: `process.chdir(folderOf(user))`.
fn folders(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let likely = project.calls_named(|name| name == "chdir");
    for (module, unit) in project.units() {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            if !lives.is_per_request(project.function_of(at)) {
                continue;
            }
            let path = project.written(at.to(call.callee));
            let of_process = matches!(path.as_slice(), [of, _] if matches!(of.as_str(), "process" | "os" | "Deno"));
            // Whatever it is made of: there is one such folder, and another request may run before it is set back.
            let chosen = call.positional(0).is_some_and(|folder| {
                let origins = project.origins(at.to(folder));
                origins.is_of_request() || (!project.is_fixed(at.to(folder)) && !origins.has(Origins::ENV))
            });
            if of_process && chosen {
                report
                    .reached(at, "the folder that the process works in is set for this request")
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}
