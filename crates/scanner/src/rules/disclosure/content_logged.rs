//! What callers say and are answered, in full in the log of all: `logger.info(f"prompt: {prompt}")`, `console.log("body", req.body)`,
//! `print(rows)`.

use std::collections::BTreeMap;

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ExprId, ExprKind, FunctionId, LogicalOp, NameRef, TemplatePart},
    library::Role,
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Names of what a caller writes to a model or an assistant.
const SAID: &[&str] = &[
    "prompt",
    "user_prompt",
    "userPrompt",
    "user_message",
    "userMessage",
    "user_input",
    "userInput",
    "user_query",
    "userQuery",
    "user_question",
    "chat_message",
    "chatMessage",
    "conversation",
    "transcript",
    "chat_history",
    "chatHistory",
];

/// Names of what a tool is called with.
const CALLED_WITH: &[&str] =
    &["arguments", "args", "tool_args", "toolArgs", "tool_input", "toolInput", "tool_arguments"];

/// Names of what was found or answered, which say so themselves.
const ANSWERED: &[&str] = &[
    "result_text",
    "resultText",
    "response_text",
    "responseText",
    "tool_result",
    "toolResult",
    "full_response",
    "fullResponse",
    "tool_output",
    "memories",
];

/// Names of what may have been found, when what it was made by says so.
const FOUND: &[&str] =
    &["result", "results", "rows", "records", "answer", "response", "data", "documents", "docs"];

/// Verbs of calls that find or answer something.
const FINDS: &[&str] = &[
    "search", "query", "execute", "find", "recall", "retrieve", "ask", "call", "invoke", "fetch", "list",
    "fetchall",
];

/// Calls that make a text of a value.
const WRITES_OUT: &[&str] = &[
    "str",
    "repr",
    "dumps",
    "stringify",
    "String",
    "inspect",
    "pformat",
    "toString",
    "trim",
    "strip",
    "model_dump",
];

/// How many places are told of in one function.
const MOST: usize = 2;

/// Reports such calls where several callers are known.
pub(super) fn content_logged(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let asked = project.calls_with(Role::Log);
    let prints = project.calls_named(|name| name == "print");
    let mut told: BTreeMap<Fun, usize> = BTreeMap::new();
    for (module, unit) in project.units() {
        if is_aside(&unit.ir.path) || !(project.has_owners(module) || is_told_whose(unit)) {
            continue;
        }
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            if !project.is_one_of(&asked, at) && !prints.has(at) {
                continue;
            }
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let fun = project.function_of(at);
            let quiet = project
                .last_written(at)
                .is_some_and(|name| matches!(name, "debug" | "trace" | "verbose" | "silly" | "fine"));
            if fun.id == FunctionId::MODULE || quiet {
                continue;
            }
            let place = Place { project, unit, served: lives.is_per_request(fun) };
            let Some(name) = call.args.iter().find_map(|arg| place.content(at.to(arg.value), 5)) else {
                continue;
            };
            let count = told.entry(fun).or_default();
            *count += 1;
            if *count <= MOST {
                report
                    .reached(at, format!("`{name}` stands in full in the log of all, with what the caller wrote or was answered"))
                    .severity(Severity::Low)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a function of a module is told a user or tenant.
fn is_told_whose(unit: &Unit) -> bool {
    unit.ir.functions().any(|(_, function)| {
        function.params.iter().filter_map(|own| own.name).any(|name| vocabulary::is_owner(unit.ir.text(name)))
    })
}

/// Whether a file is run by hand.
fn is_aside(path: &str) -> bool {
    path.to_lowercase().split(['/', '.', '_', '-']).any(|part| {
        matches!(
            part,
            "test"
                | "tests"
                | "script"
                | "scripts"
                | "example"
                | "examples"
                | "demo"
                | "cli"
                | "seed"
                | "migrations"
                | "client"
        )
    })
}

/// Where something is logged.
struct Place<'p> {
    project: &'p Project,
    unit: &'p Unit,
    served: bool,
}

impl Place<'_> {
    /// The name of the content that a value is, or has in full as a part of its text.
    fn content(&self, at: At, steps: u32) -> Option<String> {
        let steps = steps.checked_sub(1)?;
        let ir = &self.unit.ir;
        let inner = |expr: ExprId| self.content(at.to(expr), steps);
        match ir.expr(at.expr) {
            ExprKind::Template(parts) => parts.iter().find_map(|part| match part {
                TemplatePart::Value(value) => inner(*value),
                TemplatePart::Text(_) => None,
            }),
            ExprKind::Binary { left, right, .. } => inner(*left).or_else(|| inner(*right)),
            ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, right } => {
                inner(*left).or_else(|| inner(*right))
            }
            ExprKind::Object(properties) => properties.iter().find_map(|own| inner(own.value)),
            ExprKind::Call(call) => {
                let name = self.project.last_written(at)?;
                if !WRITES_OUT.contains(&name) {
                    return None;
                }
                let of = match ir.expr(call.callee) {
                    ExprKind::Member { object, .. } if call.args.is_empty() => Some(*object),
                    _ => call.positional(0),
                };
                inner(of?)
            }
            ExprKind::Name(NameRef::Binding(id)) => {
                let name = ir.binding_name(*id);
                self.is_content(at, name).then(|| name.to_owned())
            }
            ExprKind::Member { object, property, .. } => {
                let name = ir.text(*property);
                self.is_part(at.to(*object), name).then(|| self.project.snippet(at).to_owned())
            }
            _ => None,
        }
    }

    /// Whether a variable holds what a caller wrote or was answered.
    fn is_content(&self, at: At, name: &str) -> bool {
        let origins = self.project.origins(at);
        let given = || {
            self.project
                .roots(at)
                .into_iter()
                .any(|root| self.project.parameter_of(at.module, root).is_some())
        };
        let sent = origins.has(Origins::INPUT | Origins::REQUEST);
        if SAID.contains(&name) {
            return sent || (given() && !self.project.is_fixed(at));
        }
        if CALLED_WITH.contains(&name) || matches!(name, "body" | "payload") {
            return self.served && sent;
        }
        if ANSWERED.contains(&name) {
            return !self.project.is_fixed(at) && !given();
        }
        FOUND.contains(&name) && self.served && self.was_found(at)
    }

    /// Whether a member is the body of a request, or what a function that a model calls is given or gives.
    fn is_part(&self, object: At, name: &str) -> bool {
        let of_request = || self.project.origins(object).has(Origins::REQUEST);
        let of_call = || {
            let roots = self.project.roots(object);
            let sources = roots.iter().flat_map(|root| self.unit.index.sources(*root));
            sources.filter_map(|source| self.project.last_written(object.to(source.value))).any(|of| {
                matches!(
                    of,
                    "function_call"
                        | "function_response"
                        | "tool_call"
                        | "functionCall"
                        | "functionResponse"
                        | "toolCall"
                )
            })
        };
        match name {
            "body" => of_request(),
            "args" | "arguments" | "response" => of_call(),
            _ => false,
        }
    }

    /// Whether a variable is what a call gave that finds something for the caller.
    fn was_found(&self, at: At) -> bool {
        let ExprKind::Name(NameRef::Binding(id)) = self.unit.ir.expr(at.expr) else { return false };
        let sources = self.unit.index.sources(*id);
        !sources.is_empty()
            && sources.iter().any(|source| {
                let mut value = source.value;
                while let ExprKind::Await(inner) = self.unit.ir.expr(value) {
                    value = *inner;
                }
                let ExprKind::Call(call) = self.unit.ir.expr(value) else { return false };
                let name = self.project.last_written(at.to(value)).unwrap_or_default();
                let finds =
                    vocabulary::words(name).first().is_some_and(|verb| FINDS.contains(&verb.as_str()));
                let asked = call.args.iter().any(|arg| {
                    self.project
                        .origins(at.to(arg.value))
                        .has(Origins::INPUT | Origins::PRINCIPAL | Origins::OWNER)
                });
                source.path.is_empty() && finds && asked
            })
    }
}
