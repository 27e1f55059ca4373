//! The environment of the process, written for a request.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ExprKind, NameRef},
    project::{At, Fun, Project},
    rules::{Report, Rule},
    vocabulary,
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
    at_once(project, &lives, report);
    super::worker_environment::worker_environment(project, &lives, report);
    folders(project, &lives, report);
}

/// Reports several variables of the environment that a request sets at once: `os.environ.update(credentials)`,
/// `Object.assign(process.env, credentials)`, and one that it sets by a function, `os.putenv("TOKEN", token)`.
fn at_once(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let likely = project.calls_named(|name| matches!(name, "update" | "assign" | "putenv"));
    for (module, unit) in project.units() {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let written = project.written(at);
            let path: Vec<&str> = written.iter().map(|name| name.as_str()).collect();
            let given = match path.as_slice() {
                ["os", "environ", "update"] | ["environ", "update"] => 0,
                ["os", "putenv"] | ["putenv"] => 1,
                ["Object", "assign"] if call.positional(0).is_some_and(|target| is_environment(project, at.to(target))) => 1,
                _ => continue,
            };
            if !lives.is_per_request(project.function_of(at)) {
                continue;
            }
            let values: Vec<At> = call.args.iter().skip(given).map(|arg| at.to(arg.value)).collect();
            let of_request = values.iter().any(|value| project.origins(*value).is_of_request());
            // What is handed in and not seen further may be anybody's; by its name it is somebody's.
            let named = || {
                values.iter().any(|value| {
                    is_parameter(project, *value)
                        && project.last_written(*value).is_some_and(|name| {
                            vocabulary::is_credential(name) || vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "creds" | "credentials" | "secrets"))
                        })
                })
            };
            if of_request || named() {
                let found = report.reached(at, "the environment of the process is set to data of this request");
                if !of_request {
                    found.severity(Severity::Medium).confidence(Confidence::Medium);
                }
            }
        }
    }
}

/// Whether a value is a parameter of the function that it stands in.
fn is_parameter(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    matches!(unit.ir.expr(at.expr), ExprKind::Name(NameRef::Binding(id)) if project.parameter_of(at.module, *id).is_some())
}

/// Whether a value is the environment of the process: `process.env`.
fn is_environment(project: &Project, at: At) -> bool {
    let path = project.written(at);
    matches!(path.as_slice(), [process, env] if process == "process" && env == "env")
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
