//! Routes that a function adds, for one user, to the one application of the module: `const app = new Hono()`, and `function appFor(userId)
//! { app.post("/notes", (c) => save(userId, …)) }`. What was added first answers everybody.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{Lifetimes, Origins, captured_by},
    ir::{BindingId, BindingKind, Call, ExprId, ExprKind, FunctionId, NameRef, walk},
    project::{At, Fun, Project, Symbol, Unit},
    rules::Report,
    vocabulary,
};

/// Methods that add a handler to an application or server.
const ADDS: &[&str] = &[
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "all",
    "use",
    "on",
    "route",
    "tool",
    "registerTool",
    "resource",
    "registerResource",
    "prompt",
    "registerPrompt",
    "setRequestHandler",
    "add_api_route",
    "add_url_rule",
    "add_route",
    "websocket",
];

/// What makes an application, a router or a server.
const MAKERS: &[&str] = &[
    "Hono",
    "OpenAPIHono",
    "Elysia",
    "express",
    "Router",
    "Fastify",
    "fastify",
    "Koa",
    "FastAPI",
    "APIRouter",
    "Flask",
    "Blueprint",
    "Starlette",
    "Quart",
    "McpServer",
    "Server",
    "FastMCP",
    "createServer",
];

/// Reports such routes, the first of each function.
pub(super) fn routes_of_first(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let adds = project.calls_named(|name| ADDS.contains(&name));
    for (module, unit) in project.units() {
        let mut told: Vec<FunctionId> = Vec::new();
        for expr in adds.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
            let around = around(project, unit, at);
            if around.id == FunctionId::MODULE
                || told.contains(&around.id)
                || !ADDS.contains(&unit.ir.text(*property))
                || !is_application(project, unit, at.to(*object))
            {
                continue;
            }
            let Some(whose) = handlers(project, unit, at, call)
                .into_iter()
                .find_map(|fun| takes(project, unit, around, fun))
            else {
                continue;
            };
            let served = lives.is_per_request(around);
            // One route for each user is each user's own.
            let name = unit.ir.binding_name(whose);
            let parameter = project
                .parameter_of(module, whose)
                .is_some_and(|(of, _, path)| of == around && path.is_empty());
            let late = || parameter && vocabulary::is_owner(name) && is_called_late(project, around);
            if is_told_apart(unit, call, whose) || !(served || late()) {
                continue;
            }
            told.push(around.id);
            report
                .add(
                    module,
                    unit.ir.span(*expr),
                    format!("this is added for one `{name}` to what answers everybody: the first one added answers all who come after"),
                )
                .severity(if served { Severity::High } else { Severity::Medium })
                .confidence(Confidence::Medium)
                .why(WHY)
                .fix(FIX);
            if let Some(made) = made_far_above(project, unit, at, *object) {
                report
                    .at(made, "this application is one for all, and a function adds what is one user's")
                    .severity(Severity::Low)
                    .confidence(Confidence::Medium)
                    .fix(FIX)
                    .related(module, unit.ir.span(*expr), "it is added here");
            }
        }
    }
}

/// What mends it.
const FIX: &str =
    "Make the application inside of the function, one for each, or let the handler find out who calls.";

/// How many lines apart the two places are that are reported both.
const APART: u32 = 15;

/// Where an application is made, far above where something is added to it: that is the place to mend.
fn made_far_above(project: &Project, unit: &Unit, at: At, application: ExprId) -> Option<At> {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(application) else { return None };
    let made = at.to(unit.index.sources(*id).first()?.value);
    let line = |at: At| unit.ir.position(project.span(at).start).line;
    (line(made) + APART <= line(at)).then_some(made)
}

/// Why it leaks.
const WHY: &str = "An application asks its handlers in the order in which they were added. The one that was added for the first user keeps that \
                   user's id, and answers every request that comes after, whoever sends it.";

/// The function that adds a handler. A decorator is taken for a part of the function below it.
fn around(project: &Project, unit: &Unit, at: At) -> Fun {
    let fun = project.function_of(at);
    match unit.ir.function(fun.id) {
        Some(function) if function.decorators.contains(&at.expr) => {
            Fun { module: at.module, id: function.parent.unwrap_or(FunctionId::MODULE) }
        }
        _ => fun,
    }
}

/// Whether a value is a variable of a module that holds an application of its own.
fn is_application(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    let variable = unit.ir.is_module_level(*id)
        && matches!(unit.ir.binding(*id).map(|binding| binding.kind), Some(BindingKind::Variable));
    variable
        && unit.index.sources(*id).iter().all(|source| source.function == FunctionId::MODULE)
        && unit.index.sources(*id).iter().any(|source| match unit.ir.expr(source.value) {
            ExprKind::Call(call) => {
                let written = project.written_as_exported(at.to(call.callee));
                written.last().is_some_and(|name| MAKERS.contains(&name.as_str()))
            }
            _ => false,
        })
}

/// The handlers that a call adds: its arguments, and in Python what the decorator stands on.
fn handlers(project: &Project, unit: &Unit, at: At, call: &Call) -> Vec<Fun> {
    let mut found: Vec<Fun> = Vec::new();
    for arg in &call.args {
        match (unit.ir.expr(arg.value), project.symbol(at.to(arg.value))) {
            (ExprKind::Function(id), _) => found.push(Fun { module: at.module, id: *id }),
            (ExprKind::Name(_), Symbol::Function(fun)) if fun.module == at.module => found.push(fun),
            _ => {}
        }
    }
    let around = around(project, unit, at);
    let below =
        unit.index.inner(around.id).iter().filter(|id| {
            unit.ir.function(**id).is_some_and(|function| function.decorators.contains(&at.expr))
        });
    found.extend(below.map(|id| Fun { module: at.module, id: *id }));
    found
}

/// The variable of the function around by which a handler knows whom it was added for.
fn takes(project: &Project, unit: &Unit, around: Fun, handler: Fun) -> Option<BindingId> {
    let inside = |id: FunctionId| project.around(Fun { module: handler.module, id }).contains(&handler);
    let known = captured_by(project, handler).has(Origins::PRINCIPAL | Origins::SECRET);
    let mut found = None;
    let mut open = vec![handler.id];
    while let Some(function) = open.pop() {
        open.extend(unit.index.inner(function).iter().take(8));
        walk::function_exprs(&unit.ir, function, &mut |expr| {
            let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) else { return };
            let owner = unit.ir.binding_function(*id);
            let name = unit.ir.binding_name(*id);
            let of_around = owner == around.id
                && !inside(owner)
                && matches!(
                    unit.ir.binding(*id).map(|binding| binding.kind),
                    Some(BindingKind::Parameter(_) | BindingKind::Variable)
                );
            let of_caller = vocabulary::is_owner(name)
                || vocabulary::is_principal(name)
                || (known
                    && project
                        .origins(At { module: handler.module, expr })
                        .has(Origins::PRINCIPAL | Origins::SECRET));
            if found.is_none() && of_around && of_caller {
                found = Some(*id);
            }
        });
    }
    found
}

/// Whether the route, or another argument that is no handler, has the variable in it.
fn is_told_apart(unit: &Unit, call: &Call, whose: BindingId) -> bool {
    let mut found = false;
    for arg in call.args.iter().filter(|arg| !matches!(unit.ir.expr(arg.value), ExprKind::Function(_))) {
        walk::exprs_below(&unit.ir, arg.value, &mut |expr: ExprId| {
            found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if *id == whose);
        });
    }
    found
}

/// Whether a function is called by others than modules, which run once.
fn is_called_late(project: &Project, fun: Fun) -> bool {
    project.callers(fun).iter().any(|call| project.function_of(*call).id != FunctionId::MODULE)
}
