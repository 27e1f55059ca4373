//! Handlers of requests that nothing known registers: functions that hand their request to an MCP transport, whose types say what
//! they are, or that a framework finds by their file.

use std::collections::HashSet;

use super::Entry;
use crate::{
    ir::{
        BindingKind, Class, ExportKind, ExprId, ExprKind, Function, FunctionId, FunctionKind, ImportKind,
        NameRef,
    },
    library::Role,
    project::{At, Fun, ModuleId, Project, Unit},
    vocabulary,
};

/// How many steps are taken from what a transport is given to the parameter that it is taken out of, and up through callers.
const STEPS: u32 = 4;

/// Types of a first parameter that only handlers of requests have, whatever they give back.
const REQUESTS: &[&str] = &[
    "NextApiRequest",
    "VercelRequest",
    "NowRequest",
    "FastifyRequest",
    "APIGatewayProxyEvent",
    "APIGatewayProxyEventV2",
    "APIGatewayEvent",
    "LambdaFunctionURLEvent",
    "ActionFunctionArgs",
    "LoaderFunctionArgs",
    "ActionArgs",
    "LoaderArgs",
    "H3Event",
    "APIContext",
    "NextRequest",
];

/// Types of a first parameter, and of a second one with which it is a handler's.
const PAIRS: &[(&str, &str)] = &[
    ("Request", "Response"),
    ("ExpressRequest", "ExpressResponse"),
    ("IncomingMessage", "ServerResponse"),
    ("Http2ServerRequest", "Http2ServerResponse"),
    ("HttpRequest", "InvocationContext"),
    // An executor of A2A, of which there is one for all: `execute(requestContext, eventBus)`. Source: github.com/a2aproject/a2a-js.
    ("RequestContext", "ExecutionEventBus"),
    ("RequestContext", "IExecutionEventBus"),
];

/// Types of functions that are handlers.
const HANDLERS: &[&str] = &[
    "APIRoute",
    "RequestHandler",
    "NextApiHandler",
    "PagesFunction",
    "RequestListener",
    "ActionFunction",
    "LoaderFunction",
    "EventHandler",
    "RouteHandlerMethod",
    "ExportedHandlerFetchHandler",
];

/// Finds what is no entry yet.
pub(super) fn handlers(project: &Project, entries: &mut Vec<Entry>) {
    let mut known: HashSet<Fun> = entries.iter().map(|entry| entry.handler).collect();
    let mut add = |handler: Fun, number: usize, kind: &str| {
        let (true, Ok(number)) = (known.insert(handler), u32::try_from(number)) else { return };
        entries.push(Entry {
            handler,
            kind: kind.to_owned(),
            registration: At { module: handler.module, expr: ExprId::MISSING },
            input: Some(Vec::new()),
            context: vec![number],
        });
    };
    for (module, unit) in project.units() {
        by_transport(project, module, unit, &mut add);
        by_type(project, module, unit, &mut add);
        by_export(module, unit, &mut add);
        by_asgi(module, unit, &mut add);
        by_get_response(module, unit, &mut add);
        by_shape(module, unit, &mut add);
        by_names(module, unit, &mut add);
        by_execution(module, unit, &mut add);
    }
}

/// Middlewares in the shape that Express gave them: `use(req, res, next)`.
fn by_names(module: ModuleId, unit: &Unit, add: &mut impl FnMut(Fun, usize, &str)) {
    for (id, function) in unit.ir.functions() {
        if function.params.len() < 3 {
            continue;
        }
        // What is not used is named `_res`.
        let names = function.params.iter().filter_map(|own| own.name).map(|name| unit.ir.text(name));
        let names: Vec<&str> = names.map(|name| name.trim_start_matches('_')).collect();
        if matches!(names.as_slice(), ["req" | "request", "res" | "response", "next"]) {
            add(Fun { module, id }, 0, "middleware");
        }
    }
}

/// Guards and interceptors of NestJS, which see each request before its handler: `canActivate(context: ExecutionContext)`. Source:
/// docs.nestjs.com/guards.
fn by_execution(module: ModuleId, unit: &Unit, add: &mut impl FnMut(Fun, usize, &str)) {
    if !unit.ir.imports.iter().any(|import| unit.ir.text(import.specifier) == "@nestjs/common") {
        return;
    }
    for (id, function) in unit.ir.functions() {
        let named =
            function.name.is_some_and(|name| matches!(unit.ir.text(name), "canActivate" | "intercept"));
        if named && function.class.is_some() && !function.params.is_empty() {
            add(Fun { module, id }, 0, "middleware");
        }
    }
}

/// Applications and middlewares as ASGI takes them: `async def app(scope, receive, send)`, or a method with these. Source:
/// asgi.readthedocs.io/en/latest/specs/main.html.
fn by_asgi(module: ModuleId, unit: &Unit, add: &mut impl FnMut(Fun, usize, &str)) {
    if unit.ir.language != crate::ir::Language::Python {
        return;
    }
    for (id, function) in unit.ir.functions() {
        let names = function.params.iter().filter_map(|own| own.name).map(|name| unit.ir.text(name));
        if names.eq(["scope", "receive", "send"]) {
            add(Fun { module, id }, 0, "middleware");
        }
    }
}

/// Middlewares of Django: classes that are made once with `get_response`, and whose methods see each request. Source:
/// docs.djangoproject.com/en/5.2/topics/http/middleware.
fn by_get_response(module: ModuleId, unit: &Unit, add: &mut impl FnMut(Fun, usize, &str)) {
    for (_, class) in unit.ir.classes() {
        if !is_made_with_get_response(unit, class) {
            continue;
        }
        for id in &class.methods {
            let name = unit.ir.function(*id).and_then(|own| own.name).map_or("", |name| unit.ir.text(name));
            if matches!(
                name,
                "__call__" | "__acall__" | "process_view" | "process_request" | "process_response"
            ) {
                add(Fun { module, id: *id }, 0, "middleware");
            }
        }
    }
}

/// Whether the one object of a class stands before all requests, as Django makes it: `def __init__(self, get_response)`.
pub(super) fn is_made_with_get_response(unit: &Unit, class: &Class) -> bool {
    unit.ir.language == crate::ir::Language::Python
        && class.methods.iter().filter_map(|id| unit.ir.function(*id)).any(|own| {
            own.kind == FunctionKind::Constructor
                && own
                    .params
                    .iter()
                    .filter_map(|own| own.name)
                    .any(|name| unit.ir.text(name) == "get_response")
        })
}

/// Functions of Lambda, `def lambda_handler(event, context)`, and Falcon's resources, `on_get(self, req, resp)`. Sources:
/// docs.aws.amazon.com/lambda/latest/dg/python-handler.html, falcon.readthedocs.io/en/stable/user/tutorial.html.
fn by_shape(module: ModuleId, unit: &Unit, add: &mut impl FnMut(Fun, usize, &str)) {
    if unit.ir.language != crate::ir::Language::Python {
        return;
    }
    for (id, function) in unit.ir.functions() {
        let name = function.name.map_or("", |name| unit.ir.text(name));
        let names: Vec<&str> =
            function.params.iter().filter_map(|own| own.name).map(|name| unit.ir.text(name)).collect();
        let resource = matches!(name, "on_get" | "on_post" | "on_put" | "on_patch" | "on_delete")
            && matches!(names.as_slice(), ["req" | "request", "resp" | "response", ..]);
        let lambda = function.class.is_none()
            && matches!(name, "lambda_handler" | "handler")
            && matches!(names.as_slice(), ["event", "context"]);
        if resource || lambda {
            add(Fun { module, id }, 0, "http");
        }
    }
}

/// Functions that give an MCP transport the request that they were called with: `transport.handleRequest(req, res)`,
/// `new SSEServerTransport("/messages", res)`.
fn by_transport(project: &Project, module: ModuleId, unit: &Unit, add: &mut impl FnMut(Fun, usize, &str)) {
    for expr in &unit.index.calls {
        let at = At { module, expr: *expr };
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
        let given = match unit.ir.expr(call.callee) {
            ExprKind::Member { object, property, .. } => {
                let takes = matches!(unit.ir.text(*property), "handleRequest" | "handlePostMessage");
                (takes && is_transport(project, at.to(*object))).then(|| call.positional(0)).flatten()
            }
            ExprKind::Name(_) => {
                let callee = project.callee(at);
                let makes = callee.is_some_and(|callee| {
                    callee.name() == "SSEServerTransport"
                        && callee.defs.iter().any(|def| def.role == Role::Transport)
                });
                makes.then(|| call.positional(1)).flatten()
            }
            _ => None,
        };
        if let Some(given) = given {
            let mut found = Vec::new();
            up(project, at.to(given), STEPS, &mut found);
            found.into_iter().for_each(|(fun, number)| add(fun, number, "http"));
        }
    }
}

/// Whether a value is a transport of MCP, by what it is or by its name.
fn is_transport(project: &Project, at: At) -> bool {
    super::is_connection(project, at)
        || project
            .written(at)
            .last()
            .is_some_and(|name| vocabulary::words(name).iter().any(|word| word == "transport"))
}

/// The functions, nobody's callees, out of whose parameters a value is taken.
fn up(project: &Project, at: At, steps: u32, found: &mut Vec<(Fun, usize)>) {
    let (Some(steps), Some(unit)) = (steps.checked_sub(1), project.unit(at.module)) else { return };
    let Some(name) = first_name(unit, at.expr) else { return };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(name) else { return };
    match unit.ir.binding(*id).map(|binding| binding.kind) {
        Some(BindingKind::Parameter(_)) => {
            let Some((fun, number, _)) = project.parameter_of(at.module, *id) else { return };
            let callers = project.callers(fun);
            if callers.is_empty() {
                found.push((fun, number));
            }
            for call in callers.iter().take(8) {
                if let Some(argument) = project.argument(*call, fun, number) {
                    up(project, argument, steps, found);
                }
            }
        }
        Some(BindingKind::Variable) => {
            for source in unit.index.sources(*id).iter().take(2) {
                up(project, at.to(source.value), steps, found);
            }
        }
        _ => {}
    }
}

/// The name that a value is taken out of: `c` of `c.req.raw`, `event` of `toRequest(event)`.
fn first_name(unit: &Unit, expr: ExprId) -> Option<ExprId> {
    let mut here = expr;
    for _ in 0..8 {
        here = match unit.ir.expr(here) {
            ExprKind::Name(_) => return Some(here),
            ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => *object,
            ExprKind::Await(value) => *value,
            ExprKind::Call(call) => call.positional(0)?,
            _ => return None,
        };
    }
    None
}

/// Functions that nobody calls and whose types say that they handle requests.
fn by_type(project: &Project, module: ModuleId, unit: &Unit, add: &mut impl FnMut(Fun, usize, &str)) {
    let renamed = renamed(unit);
    for (id, function) in unit.ir.functions() {
        if !matches!(
            function.kind,
            FunctionKind::Plain | FunctionKind::Arrow | FunctionKind::Method | FunctionKind::Static
        ) || !(handles(unit, &renamed, function) || answers(unit, id, function))
        {
            continue;
        }
        let fun = Fun { module, id };
        if project.callers(fun).is_empty() {
            add(fun, 0, if function.params.len() > 2 { "middleware" } else { "http" });
        }
    }
    // `export const POST: APIRoute = async ({ request }) => …`
    for (id, binding) in unit.ir.bindings() {
        let typed = binding.type_text.is_some_and(|text| is_handlers_type(unit, unit.ir.text(text)));
        if !typed {
            continue;
        }
        for source in unit.index.sources(id) {
            if let ExprKind::Function(function) = unit.ir.expr(source.value) {
                add(Fun { module, id: *function }, 0, "http");
            }
        }
    }
}

/// Whether a type is a framework's for handlers, and not one of the project's own that has its name.
fn is_handlers_type(unit: &Unit, text: &str) -> bool {
    let name = bare(text);
    if !HANDLERS.contains(&name) {
        return false;
    }
    // Those of Cloudflare's Workers are known everywhere.
    let global = matches!(name, "PagesFunction" | "ExportedHandlerFetchHandler");
    let qualified = text.split('<').next().is_some_and(|head| head.contains('.'));
    let imported = || {
        unit.ir.imports.iter().any(|import| {
            let local = import.binding.is_some_and(|id| unit.ir.binding_name(id) == name);
            let specifier = unit.ir.text(import.specifier);
            local && (!specifier.starts_with('.') || specifier.ends_with("$types"))
        })
    };
    global || qualified || imported()
}

/// What a module imports under another name: that one, and the library's.
fn renamed(unit: &Unit) -> Vec<(&str, &str)> {
    let imports = unit.ir.imports.iter();
    let named = imports.filter_map(|import| match import.kind {
        ImportKind::Named(name) => Some((unit.ir.binding_name(import.binding?), unit.ir.text(name))),
        _ => None,
    });
    named.filter(|(own, name)| own != name).collect()
}

fn handles(unit: &Unit, renamed: &[(&str, &str)], function: &Function) -> bool {
    let text = |number: usize| {
        let own = function.params.get(number).and_then(|own| own.type_text)?;
        let own = bare(unit.ir.text(own));
        Some(
            renamed
                .iter()
                .find(|(short, name)| {
                    *short == own && PAIRS.iter().any(|(first, second)| first == name || second == name)
                })
                .map_or(own, |(_, name)| *name),
        )
    };
    let Some(first) = text(0) else { return false };
    // What a client of HTTP is about to send: `def auth_flow(self, request: httpx.Request)`.
    if function.params.first().and_then(|own| own.type_text).is_some_and(|own| is_sent(unit.ir.text(own))) {
        return false;
    }
    if REQUESTS.contains(&first) {
        return true;
    }
    let second = text(1);
    let pair = PAIRS.iter().any(|(request, response)| first == *request && second == Some(*response));
    // `(request: Request) => Promise<Response>`, as workers, Bun and Deno take it.
    let answers = function.return_type.is_some_and(|text| {
        let mut words = unit.ir.text(text).split(|char: char| !char.is_alphanumeric());
        words.any(|word| word == "Response")
    });
    pair || (first == "Request" && answers)
}

/// Whether a type is that of a request of a client's.
fn is_sent(text: &str) -> bool {
    const CLIENTS: &[&str] =
        &["httpx", "httpx2", "requests", "aiohttp", "urllib", "niquests", "undici", "axios"];
    text.split_once('.').is_some_and(|(package, _)| CLIENTS.contains(&package))
}

/// Names of functions that a runtime or a framework hands its requests to.
const ANSWERS: &[&str] = &["handler", "handle", "fetch", "onRequest"];

/// Whether a function takes a web request, `(request: Request)`, and is named for that or gives a response that it makes.
fn answers(unit: &Unit, id: FunctionId, function: &Function) -> bool {
    let [first, rest @ ..] = &*function.params else { return false };
    let web = first.type_text.is_some_and(|text| unit.ir.text(text) == "Request") && rest.len() < 3;
    let own = || {
        unit.ir
            .imports
            .iter()
            .filter_map(|import| import.binding)
            .any(|id| unit.ir.binding_name(id) == "Request")
    };
    if !web || own() {
        return false;
    }
    let named = function.name.is_some_and(|name| ANSWERS.contains(&unit.ir.text(name)));
    named
        || unit.index.returns(id).iter().any(|expr| {
            let text =
                unit.ir.snippet(unit.ir.span(*expr)).trim_start_matches("await ").trim_start_matches("new ");
            ["Response(", "Response.", "NextResponse(", "NextResponse."]
                .iter()
                .any(|own| text.starts_with(own))
        })
}

/// The name of a type without its package and arguments.
fn bare(text: &str) -> &str {
    let head = text.split(['<', '[', '|', ' ']).next().unwrap_or("");
    head.rsplit('.').next().unwrap_or("").trim()
}

/// Names of exports that some framework finds.
const BY_NAME: &[&str] = &[
    "default", "GET", "POST", "PUT", "PATCH", "DELETE", "ALL", "fallback", "handler", "action", "loader",
    "load", "handle",
];

/// Functions that a framework finds by their file and name: `pages/api`, `+server.ts`, a Lambda's `handler`, a route's `action`.
fn by_export(module: ModuleId, unit: &Unit, add: &mut impl FnMut(Fun, usize, &str)) {
    let (folder, file) = unit.ir.path.rsplit_once('/').unwrap_or(("", &unit.ir.path));
    let stem = file.split('.').next().unwrap_or("");
    let below = |name: &str| folder.split('/').any(|part| part == name);
    for export in &unit.ir.exports {
        let name = unit.ir.text(export.name);
        if !BY_NAME.contains(&name) {
            continue;
        }
        let function = match export.kind {
            ExportKind::Binding(binding) => {
                let declared = unit.ir.functions().find(|(_, function)| function.binding == Some(binding));
                let value =
                    unit.index.sources(binding).iter().find_map(|source| match unit.ir.expr(source.value) {
                        ExprKind::Function(id) => Some(*id),
                        _ => None,
                    });
                declared.map(|(id, _)| id).or(value)
            }
            ExportKind::Value(expr) => match unit.ir.expr(expr) {
                ExprKind::Function(id) => Some(*id),
                _ => None,
            },
            _ => None,
        };
        let Some(id) = function else { continue };
        let first = first_parameter(unit, id);
        let found = match name {
            "default" => below("api") && matches!(first, Some("req" | "request")),
            "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "ALL" | "fallback" => stem == "+server",
            "handler" => matches!(first, Some("event")),
            // svelte.dev/docs/kit/load and /hooks: what is made on the server.
            "load" => matches!(
                file,
                "+page.server.ts" | "+page.server.js" | "+layout.server.ts" | "+layout.server.js"
            ),
            "handle" => stem == "hooks" && file.starts_with("hooks.server."),
            "action" | "loader" => below("routes") && first.is_none_or(|first| first == "args"),
            _ => false,
        };
        if found {
            add(Fun { module, id }, 0, if name == "handle" { "middleware" } else { "http" });
        }
    }
    if file.starts_with("+page.server.") {
        form_actions(module, unit, add);
    }
}

/// What forms of a page call: `export const actions = { drop: async ({ request }) => … }` (svelte.dev/docs/kit/form-actions).
fn form_actions(module: ModuleId, unit: &Unit, add: &mut impl FnMut(Fun, usize, &str)) {
    for export in unit.ir.exports.iter().filter(|export| unit.ir.text(export.name) == "actions") {
        let ExportKind::Binding(binding) = export.kind else { continue };
        for source in unit.index.sources(binding).iter().take(1) {
            let ExprKind::Object(properties) = unit.ir.expr(source.value) else { continue };
            for property in properties {
                if let ExprKind::Function(id) = unit.ir.expr(property.value) {
                    add(Fun { module, id: *id }, 0, "http");
                }
            }
        }
    }
}

/// The name of a function's first parameter; none for a pattern.
fn first_parameter(unit: &Unit, id: FunctionId) -> Option<&str> {
    let first = unit.ir.function(id)?.params.first()?;
    first.name.map(|name| unit.ir.text(name))
}
