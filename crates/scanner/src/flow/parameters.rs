//! The provenance of parameters: what callers, frameworks and decorators give a function.

use super::{
    Origins,
    names::{by_name, injected_name, member_of},
    origins::CALLERS,
};
use crate::{
    ir::{ExprKind, Language, NameRef, Parameter, StmtKind, walk},
    project::{At, Fun, ModuleId, Project, Step, Symbol},
    vocabulary,
};

/// Decorators of parameters that frameworks bring.
const OF_FRAMEWORKS: &[&str] = &[
    "Body",
    "BodyParam",
    "Param",
    "Params",
    "Query",
    "QueryParam",
    "QueryParams",
    "Header",
    "Headers",
    "HeaderParam",
    "Req",
    "Request",
    "Res",
    "Response",
    "Arg",
    "Args",
    "Ctx",
    "Context",
    "Ip",
    "HostParam",
    "MessageBody",
    "Payload",
    "Root",
    "Inject",
    "InjectRepository",
    "InjectModel",
    "UploadedFile",
    "UploadedFiles",
    "CookieParam",
    "SessionParam",
];

/// Methods that call a function with the items of what they are called on.
const EACH: &[&str] = &[
    "map",
    "filter",
    "forEach",
    "find",
    "findIndex",
    "some",
    "every",
    "flatMap",
    "reduce",
    "sort",
    "then",
    "findLast",
];

/// Words of types of requests that are no message's: of frameworks, and of what was put around them.
const OF_REQUESTS: &[&str] = &[
    "http",
    "https",
    "wsgi",
    "asgi",
    "web",
    "auth",
    "authed",
    "authenticated",
    "authorized",
    "user",
    "tenant",
    "session",
    "drf",
    "django",
    "starlette",
    "sanic",
    "aiohttp",
    "flask",
    "fast",
    "fastapi",
    "base",
    "custom",
    "my",
    "typed",
    "raw",
    "server",
    "incoming",
    "mcp",
    "api",
    "client",
    "cached",
    "logged",
    "proxy",
    "secure",
    "app",
    "rest",
    "bottle",
    "falcon",
    "webob",
    "werkzeug",
    "pyramid",
    "call",
];

/// Whether a parameter that is named for the request is the body by its type, which a framework reads for it: `req: NewNoteRequest`.
fn is_body(name: &str, type_text: &str) -> bool {
    let bare = type_text.split('[').next().unwrap_or("").rsplit('.').next().unwrap_or("").trim();
    let words = vocabulary::words(bare);
    let Some((last, before)) = words.split_last() else { return false };
    matches!(name, "req" | "request")
        && bare.starts_with(char::is_uppercase)
        && match last.as_str() {
            "request" => {
                !before.is_empty() && !before.iter().any(|word| OF_REQUESTS.contains(&word.as_str()))
            }
            "body" | "payload" | "input" | "schema" | "model" | "create" | "update" | "params" | "dto"
            | "in" | "data" => true,
            _ => false,
        }
}

impl Project {
    /// What a parameter may be given, and what a pattern takes out of it.
    pub(super) fn parameter_origins(&self, fun: Fun, number: usize, path: &[Step], depth: u32) -> Origins {
        let Some(unit) = self.unit(fun.module) else { return Origins::UNKNOWN };
        let Some(parameter) = unit.ir.function(fun.id).and_then(|function| function.params.get(number))
        else {
            return Origins::UNKNOWN;
        };
        let name = parameter.name.map_or("", |name| unit.ir.text(name));
        let type_text = parameter.type_text.map_or("", |text| unit.ir.text(text));
        let take = |mut origins: Origins, path: &[Step]| {
            for step in path {
                if let Step::Key(name) = step {
                    origins = member_of(origins, unit.ir.text(*name));
                }
            }
            origins
        };
        if let Some(injected) =
            self.told_by_default(fun, number).or_else(|| self.injected(fun, number, depth))
        {
            return take(injected, path);
        }
        if let Some(entry) = self.entry_of.get(&fun).and_then(|number| self.entries.get(*number)) {
            if let Some((origins, taken)) = self.wrapped_origins(fun, number, path, depth) {
                return take(origins, path.get(taken..).unwrap_or_default());
            }
            if self.is_put_by_wrapper(entry, name) {
                return take(injected_name("", name, Origins::UNKNOWN), path);
            }
            if let Some((Step::Key(key), rest)) = path.split_first()
                && let Some(value) = match entry.kind.as_str() {
                    "http" | "middleware" => beside_input(unit, parameter, unit.ir.text(*key)),
                    "tool" => beside_arguments(unit, parameter, unit.ir.text(*key)),
                    _ => None,
                }
            {
                return take(value, rest);
            }
            if unit.ir.language == Language::Python && is_body(name, type_text) {
                return take(Origins::INPUT, path);
            }
            return take(entry.parameter(number, name, type_text), path);
        }
        let default = parameter.default.map_or(Origins::NONE, |expr| {
            self.origins_in(At { module: fun.module, expr }, depth).without(Origins::UNKNOWN)
        });
        let callers = self.callers(fun);
        let mut value = default;
        let mut passed = false;
        for call in callers.iter().take(CALLERS) {
            if let Some(argument) = self.argument(*call, fun, number) {
                passed = true;
                value |= match path.split_first() {
                    Some((Step::Key(name), rest)) => {
                        take(self.member_origins(argument, unit.ir.text(*name), depth), rest)
                    }
                    _ => take(self.origins_in(argument, depth), path),
                };
            } else if let Some(record) = self.spread_argument(*call, fun, number) {
                passed = true;
                value |= take(self.member_origins(record, name, depth), path);
            }
        }
        if !passed {
            value |= take(self.callback_origins(fun, number, name, type_text, depth), path);
        }
        value
    }

    /// Whether a field is what the route of a view names, of which an object is made for each request: `self.kwargs`.
    pub(super) fn is_of_route(&self, object: At, name: &str) -> bool {
        let Some(unit) = self.unit(object.module).filter(|_| name == "kwargs") else { return false };
        let class = self.this_of(self.function_of(object));
        unit.ir.language == Language::Python
            && matches!(unit.ir.expr(object.expr), ExprKind::This)
            && class.is_some()
            && self.entries.iter().any(|entry| {
                entry.kind == "http"
                    && entry.handler.module == object.module
                    && self.this_of(entry.handler) == class
            })
    }

    /// Whether a parameter of a handler is none of its route's, `@bp.route("/zones") @with_user def zones(user_id)`: in Flask, where
    /// handlers are called with what the route names, another decorator puts it there.
    fn is_put_by_wrapper(&self, entry: &super::Entry, name: &str) -> bool {
        let at = entry.registration;
        let Some(unit) = self.unit(at.module) else { return false };
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
        let flask = self.callee(at).is_some_and(|callee| {
            callee.package.as_deref().is_some_and(|package| matches!(package, "flask" | "quart"))
                && matches!(callee.name(), "route" | "get" | "post" | "put" | "patch" | "delete")
        });
        let Some(ExprKind::String(route)) = call.positional(0).map(|expr| unit.ir.expr(expr)) else {
            return false;
        };
        let decorated = self
            .unit(entry.handler.module)
            .and_then(|unit| unit.ir.function(entry.handler.id))
            .is_some_and(|function| function.decorators.len() > 1);
        flask && decorated && !unit.ir.text(*route).contains(&format!("{name}>"))
    }

    /// What a framework injects: `user = Depends(current_user)`, `Annotated[User, Depends(current_user)]`.
    fn injected(&self, fun: Fun, number: usize, depth: u32) -> Option<Origins> {
        let unit = self.unit(fun.module)?;
        let parameter = unit.ir.function(fun.id)?.params.get(number)?;
        let mut found = None;
        if let Some(value) = self.decorated_parameter(fun, number, depth) {
            return Some(value);
        }
        for own in self.injections(fun.module, parameter) {
            let Some(home) = self.unit(own.module) else { continue };
            walk::exprs_below(&home.ir, own.expr, &mut |expr| {
                let at = own.to(expr);
                let ExprKind::Call(call) = home.ir.expr(expr) else { return };
                let Some(callee) = self.callee(at) else { return };
                let injects = matches!(
                    callee.name(),
                    "Depends" | "Security" | "CurrentContext" | "FromDishka" | "Provide"
                );
                // `Annotated[Member, MemberOf(path=True)]`, where a function of ours makes the dependency.
                if !injects
                    && callee.certain
                    && callee.targets.iter().any(|target| self.makes_dependency(*target))
                {
                    let name = parameter.name.map_or("", |name| unit.ir.text(name));
                    found = Some(injected_name(callee.name(), name, Origins::UNKNOWN));
                }
                if !injects {
                    return;
                }
                let target = call.positional(0).map(|expr| self.symbol(at.to(expr)));
                let word =
                    call.positional(0).and_then(|expr| self.written(at.to(expr)).pop()).unwrap_or_default();
                let value = match target {
                    Some(Symbol::Function(target)) => {
                        let given = self.returned(target, depth);
                        let caller = if given.has(Origins::UNKNOWN)
                            && !given.is_of_request()
                            && self.asks_who_calls(target)
                        {
                            Origins::PRINCIPAL
                        } else {
                            Origins::NONE
                        };
                        given | caller | Origins::UNKNOWN
                    }
                    _ => Origins::UNKNOWN,
                };
                found =
                    Some(injected_name(&word, parameter.name.map_or("", |name| unit.ir.text(name)), value));
            });
        }
        found
    }

    /// Whether a function that a framework asks before a handler finds out who calls, whatever it is named: it is given a cookie, a header
    /// or a bearer token, and answers 401 to who brings none that it knows.
    fn asks_who_calls(&self, fun: Fun) -> bool {
        let Some(unit) = self.unit(fun.module) else { return false };
        let Some(function) = unit.ir.function(fun.id) else { return false };
        let brings = |text: &str| {
            [
                "Cookie(",
                "Header(",
                "HTTPBearer",
                "HTTPAuthorizationCredentials",
                "HTTPBasicCredentials",
                "APIKeyHeader",
                "OAuth2",
                ".cookies",
                ".headers",
            ]
            .iter()
            .any(|own| text.contains(own))
        };
        let text = unit.ir.snippet(function.span);
        brings(text) && refuses_nobody(unit, &function.body)
    }

    /// What may say that a framework fills a parameter: its default, its type, its decorators, and what names among them stand
    /// for, in this module or the one that they are imported from: `CurrentUser = Annotated[User, Depends(current_user)]`.
    pub(crate) fn injections(&self, module: ModuleId, parameter: &Parameter) -> Vec<At> {
        let written = parameter.default.iter().chain(&parameter.annotation).chain(&parameter.decorators);
        let mut found: Vec<At> = written.map(|expr| At { module, expr: *expr }).collect();
        for at in found.clone() {
            let Some(unit) = self.unit(module) else { continue };
            let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { continue };
            let (home, id) = self.declared(module, *id).unwrap_or((module, *id));
            let sources = self.unit(home).map_or(&[][..], |unit| unit.index.sources(id)).iter().take(4);
            found.extend(sources.map(|source| At { module: home, expr: source.value }));
        }
        found
    }

    /// Whether a function gives a dependency of the framework: `def MemberOf(…): return Depends(load)`.
    fn makes_dependency(&self, fun: Fun) -> bool {
        let Some(unit) = self.unit(fun.module) else { return false };
        unit.index.returns(fun.id).iter().take(CALLERS).any(|expr| {
            let callee = self.callee(At { module: fun.module, expr: *expr });
            callee.is_some_and(|callee| matches!(callee.name(), "Depends" | "Security"))
        })
    }

    /// What a decorator of our own puts into a parameter, as NestJS takes them: `@CurrentUser() user` of
    /// `createParamDecorator((data, ctx) => ctx.switchToHttp().getRequest().user)`.
    fn decorated_parameter(&self, fun: Fun, number: usize, depth: u32) -> Option<Origins> {
        let unit = self.unit(fun.module)?;
        let parameter = unit.ir.function(fun.id)?.params.get(number)?;
        let name = parameter.name.map_or("", |name| unit.ir.text(name));
        parameter.decorators.iter().find_map(|expr| {
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { return None };
            let at = At { module: fun.module, expr: call.callee };
            let word = self.written(at).pop().unwrap_or_default();
            let made = match (self.maker_of(at), self.symbol(at)) {
                (Some(made), _) => made,
                // One that is not seen is believed what it says: `@GetOrgFromRequest() org`. What frameworks bring takes from the
                // request what its name says.
                (None, Symbol::External { package, .. })
                    if !package.starts_with("@nestjs/") && !OF_FRAMEWORKS.contains(&word.as_str()) =>
                {
                    let value = injected_name(&word, name, Origins::UNKNOWN);
                    return value.has(Origins::PRINCIPAL).then_some(value);
                }
                _ => return None,
            };
            let from = self.unit(made.module)?;
            let ExprKind::Call(maker) = from.ir.expr(made.expr) else { return None };
            if self.callee(made)?.name() != "createParamDecorator" {
                return None;
            }
            let value = match self.symbol(made.to(maker.positional(0)?)) {
                Symbol::Function(take) => self.returned(take, depth),
                _ => Origins::UNKNOWN,
            };
            let chosen = Origins::INPUT | Origins::UNVERIFIED;
            if value.has(chosen) && !value.has_owner() {
                return Some(value);
            }
            Some(injected_name(&word, name, value.without(chosen) | Origins::UNKNOWN))
        })
    }

    /// The call that a name was set from, in this module or the one that it is imported from.
    fn maker_of(&self, at: At) -> Option<At> {
        let ExprKind::Name(NameRef::Binding(id)) = self.unit(at.module)?.ir.expr(at.expr) else {
            return None;
        };
        let (module, id) = self.declared(at.module, *id).unwrap_or((at.module, *id));
        let unit = self.unit(module)?;
        let [source] = unit.index.sources(id) else { return None };
        matches!(unit.ir.expr(source.value), ExprKind::Call(_)).then_some(At { module, expr: source.value })
    }

    /// What a parameter is of a function that nobody is seen to call.
    fn callback_origins(&self, fun: Fun, number: usize, name: &str, type_text: &str, depth: u32) -> Origins {
        if let Some(unit) = self.unit(fun.module)
            && let Some(site) = unit.index.site(fun.id)
            && let crate::project::Parent::Expr(call) = unit.index.parent(site)
            && let ExprKind::Call(expr) = unit.ir.expr(call)
            && let ExprKind::Member { object, property, .. } = unit.ir.expr(expr.callee)
            && EACH.contains(&unit.ir.text(*property))
        {
            return self.origins_in(At { module: fun.module, expr: *object }, depth);
        }
        let _ = number;
        by_name(name, type_text)
    }
}

/// What a wrapper of tools puts beside the arguments into the one record that it calls a handler with:
/// `defineTool({ async run({ args, account }) { … } })`.
fn beside_arguments(
    unit: &crate::project::Unit,
    parameter: &crate::ir::Parameter,
    key: &str,
) -> Option<Origins> {
    const ARGUMENTS: &[&str] = &["args", "arguments", "parsedInput"];
    let mut given = false;
    parameter.pattern.for_each_binding(&mut |id| given |= ARGUMENTS.contains(&unit.ir.binding_name(id)));
    match key {
        _ if !given || ARGUMENTS.contains(&key) => None,
        "ctx" | "context" | "req" | "request" | "extra" => Some(Origins::REQUEST),
        "session" | "auth" => Some(Origins::PRINCIPAL),
        _ if vocabulary::is_owner(key) || vocabulary::is_principal(key) => Some(Origins::PRINCIPAL),
        _ => Some(Origins::UNKNOWN),
    }
}

/// What a wrapper of the framework puts beside the caller's input into the one record that it calls a handler with:
/// `withWorkspace(async ({ workspace, searchParams }) => …)`, `action(async ({ ctx, parsedInput }) => …)`.
fn beside_input(unit: &crate::project::Unit, parameter: &crate::ir::Parameter, key: &str) -> Option<Origins> {
    let mut input = false;
    parameter.pattern.for_each_binding(&mut |id| {
        input |= matches!(
            unit.ir.binding_name(id),
            "params" | "searchParams" | "parsedInput" | "input" | "body" | "req" | "request" | "headers"
        );
    });
    match key {
        "ctx" | "context" | "req" | "request" => Some(Origins::REQUEST),
        "session" | "auth" if input => Some(Origins::PRINCIPAL),
        _ if input && (vocabulary::is_owner(key) || vocabulary::is_principal(key)) => {
            Some(Origins::PRINCIPAL)
        }
        _ => None,
    }
}

/// Whether a block answers 401 in some branch.
fn refuses_nobody(unit: &crate::project::Unit, body: &[crate::ir::StmtId]) -> bool {
    let mut found = false;
    walk::stmts_below(&unit.ir, body, &mut |stmt| {
        if let StmtKind::Throw(Some(value)) = unit.ir.stmt(stmt) {
            let text = unit.ir.snippet(unit.ir.span(*value));
            found |= text.contains("401") || text.contains("UNAUTHORIZED") || text.contains("Unauthorized");
        }
    });
    found
}
