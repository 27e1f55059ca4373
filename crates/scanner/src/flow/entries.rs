//! Entry points: the functions that callers of the server reach, and what their parameters are.

use super::Origins;
use crate::{
    ir::{ExportKind, ExprId, ExprKind, FunctionId, Kinds, Language, Property, PropertyKey, StmtKind, walk},
    library::{CallDef, PlaceArg, Role},
    project::{At, Cls, Fun, ModuleId, Path, Project, Symbol, Unit, Word},
    vocabulary,
};

/// A function that callers of the server reach.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The function.
    pub handler: Fun,
    /// What it is: `tool`, `resource`, `prompt`, `http`, `middleware`, `event`.
    pub kind: String,
    /// Where it is registered.
    pub registration: At,
    /// The parameters that the caller fills; none for all that carry no request.
    pub input: Option<Vec<u32>>,
    /// The parameters that carry the request.
    pub context: Vec<u32>,
}

impl Entry {
    /// A handler of what a library defines, which is a tool unless the library says what it is.
    fn defined(def: &CallDef, handler: Fun, registration: At) -> Self {
        let kind = def.kind.clone().unwrap_or_else(|| "tool".to_owned());
        Self { handler, kind, registration, input: def.input.clone(), context: def.context.clone() }
    }

    /// What a parameter of the handler is.
    #[must_use]
    pub(crate) fn parameter(&self, number: usize, name: &str, type_text: &str) -> Origins {
        let is = |list: &[u32]| list.iter().any(|own| *own as usize == number);
        let bare = type_text
            .split(['<', '['])
            .next()
            .unwrap_or("")
            .rsplit('.')
            .next()
            .unwrap_or("")
            .trim()
            .to_owned();
        let request = [
            "Request",
            "Context",
            "RequestHandlerExtra",
            "ServerContext",
            "IncomingMessage",
            "WebSocket",
            "HTTPConnection",
            "ASGIConnection",
            // What agents' frameworks hand a tool beside what the model says.
            "RunnableConfig",
            "ToolRuntime",
            "ToolContext",
            "RunContext",
            "RunContextWrapper",
            "InvocationContext",
        ];
        // `Annotated[dict, InjectedState]`: the framework's own, which the model cannot set.
        if bare == "Annotated" && type_text.contains("Injected") {
            return super::names::injected_name("", name, Origins::UNKNOWN);
        }
        // A tool's function is given clients and stores beside the request in some projects.
        let service = matches!(
            name,
            "client" | "api" | "db" | "database" | "service" | "services" | "prisma" | "store" | "logger"
        );
        if (is(&self.context) && !service) || request.contains(&bare.as_str()) {
            return Origins::REQUEST;
        }
        if self.input.as_ref().is_some_and(|input| is(input)) {
            return Origins::INPUT;
        }
        // `@Req() req: AuthenticatedRequest` is the request still: its body is what was sent.
        if bare.ends_with("Request") && matches!(name, "req" | "request") {
            return Origins::REQUEST;
        }
        if vocabulary::is_principal(&bare) {
            return Origins::PRINCIPAL;
        }
        if self.input.is_none() {
            if matches!(name, "ctx" | "context" | "req" | "request" | "extra")
                && !matches!(bare.as_str(), "str" | "string")
            {
                return Origins::REQUEST;
            }
            return Origins::INPUT;
        }
        Origins::UNKNOWN
    }
}

/// Finds all entry points, and whom what stands before them lets in.
pub(crate) fn find_entries(project: &Project) -> (Vec<Entry>, rustc_hash::FxHashMap<Fun, super::Admits>) {
    let mut entries = Vec::new();
    for (module, unit) in project.units() {
        registered(project, module, unit, &mut entries);
        decorated(project, module, unit, &mut entries);
        by_base(project, module, unit, &mut entries);
        by_shape(module, unit, &mut entries);
        super::procedures::procedures(project, module, unit, &mut entries);
        super::resolvers::resolvers(project, module, unit, &mut entries);
        by_file(project, module, unit, &mut entries);
    }
    super::handlers::handlers(project, &mut entries);
    super::dispatch::tables(project, &mut entries);
    let admitted = super::gateways::find_admitted(project, &entries);
    // The most telling registration of a function counts: by library data, which comes first within a module.
    let mut seen = std::collections::HashSet::new();
    entries.retain(|entry| seen.insert(entry.handler));
    (entries, admitted)
}

fn registered(project: &Project, module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    for call in &unit.index.calls {
        let at = At { module, expr: *call };
        handed_over(project, unit, at, entries);
        let Some(callee) = project.callee(at) else { continue };
        for def in callee.defs.iter().filter(|def| def.role == Role::Entry) {
            let Some(place) = &def.handler else { continue };
            if place.0.iter().any(|path| path.arg == PlaceArg::Decorated) {
                continue;
            }
            for handler in super::registered::handlers_at(project, at, place) {
                entries.push(Entry::defined(def, handler, at));
            }
        }
    }
}

/// What a decorator is called with by hand: `mcp.tool()(self.search)`, `mcp.tool(search)`.
fn handed_over(project: &Project, unit: &Unit, at: At, entries: &mut Vec<Entry>) {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return };
    let Some(first) = call.positional(0) else { return };
    let decorator = match unit.ir.expr(call.callee) {
        ExprKind::Call(_) => at.to(call.callee),
        ExprKind::Member { property, .. }
            if matches!(unit.ir.text(*property), "tool" | "resource" | "prompt" | "before_request") =>
        {
            at
        }
        _ => return,
    };
    // Below a decorator stands the function that it is for.
    let function = matches!(unit.ir.expr(first), ExprKind::Name(_) | ExprKind::Member { .. });
    let Some(callee) = project.callee(decorator).filter(|_| function) else { return };
    let on = |path: &crate::library::PlacePath| path.arg == PlaceArg::Decorated;
    let Some(def) = callee.defs.iter().find(|def| {
        def.role == Role::Entry && def.handler.as_ref().is_some_and(|place| place.0.iter().any(on))
    }) else {
        return;
    };
    for handler in super::registered::functions_of(project, at.to(first)) {
        entries.push(Entry::defined(def, handler, at));
    }
}

fn decorated(project: &Project, module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    for (id, function) in unit.ir.functions() {
        for decorator in &function.decorators {
            let at = At { module, expr: *decorator };
            if is_given_route(project, unit, at) {
                let kind = "http".to_owned();
                entries.push(Entry {
                    handler: Fun { module, id },
                    kind,
                    registration: at,
                    input: None,
                    context: Vec::new(),
                });
            }
            let Some(callee) = project.callee(at) else { continue };
            for def in callee.defs.iter().filter(|def| def.role == Role::Entry) {
                let on = |path: &crate::library::PlacePath| path.arg == PlaceArg::Decorated;
                if def.handler.as_ref().is_some_and(|place| !place.0.iter().any(on)) {
                    continue;
                }
                entries.push(Entry::defined(def, Fun { module, id }, at));
            }
        }
    }
}

/// Whether a decorator of the project is given what it registers the function below it with:
/// `@protected_route(router.get, "/notes/{id}", [Scope.READ])`.
fn is_given_route(project: &Project, unit: &Unit, decorator: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(decorator.expr) else { return false };
    let verb = call.positional(0).is_some_and(|first| {
        matches!(unit.ir.expr(first), ExprKind::Member { property, .. }
            if matches!(unit.ir.text(*property), "get" | "post" | "put" | "patch" | "delete"))
    });
    let path = call.positional(1).is_some_and(|second| {
        matches!(unit.ir.expr(second), ExprKind::String(text) if unit.ir.text(*text).is_empty() || unit.ir.text(*text).starts_with('/'))
    });
    verb && path && matches!(project.symbol(decorator.to(call.callee)), Symbol::Function(_))
}

fn by_base(project: &Project, module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    for (id, class) in unit.ir.classes() {
        let mut bases = Vec::new();
        outer_bases(project, Cls { module, id }, BASES, &mut bases);
        // `class Room implements DurableObject`: what runs it asks for an interface alone.
        if class.implements.iter().any(|name| unit.ir.text(*name) == "DurableObject") {
            let package = Some(Word::new("cloudflare:workers"));
            bases.push((At { module, expr: ExprId::MISSING }, package, Path::of("DurableObject")));
        }
        for (at, package, path) in bases {
            for def in project.libraries.bases(unit.ir.language, package.as_deref(), &path) {
                for method in &class.methods {
                    let name = unit.ir.function(*method).and_then(|function| function.name);
                    if !name.is_some_and(|name| is_method(&def.methods, unit.ir.text(name))) {
                        continue;
                    }
                    entries.push(Entry {
                        handler: Fun { module, id: *method },
                        kind: def.kind.clone().unwrap_or_else(|| "tool".to_owned()),
                        registration: at,
                        input: None,
                        context: def.context.clone(),
                    });
                }
            }
        }
    }
}

/// Whether a method is one that callers reach: `*` stands for all that are public.
fn is_method(methods: &[String], name: &str) -> bool {
    methods.iter().any(|own| own == name || (own == "*" && !name.starts_with('_')))
}

/// How many classes of the project may stand between a handler's class and the library's.
const BASES: u32 = 5;

/// The bases of a class that are not of the project, also through bases that are.
fn outer_bases(project: &Project, class: Cls, depth: u32, bases: &mut Vec<(At, Option<Word>, Path)>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let Some(unit) = project.unit(class.module) else { return };
    let Some(decl) = unit.ir.class(class.id) else { return };
    for base in &decl.bases {
        let at = At { module: class.module, expr: *base };
        match project.symbol(at) {
            Symbol::External { package, path } => bases.push((at, Some(package), path)),
            Symbol::Unknown(path) => bases.push((at, None, path)),
            Symbol::Class(class) => outer_bases(project, class, depth, bases),
            _ => {}
        }
    }
}

/// Whether a function is written out among the properties of an object.
fn holds_function(unit: &Unit, properties: &[Property]) -> bool {
    properties.iter().any(|property| matches!(unit.ir.expr(property.value), ExprKind::Function(_)))
}

/// Objects that describe a tool and hold its function, wherever they are registered.
fn by_shape(module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    for (id, expr) in unit.ir.exprs_of(Kinds::OBJECT) {
        let ExprKind::Object(properties) = expr else { continue };
        if !holds_function(unit, properties) {
            continue;
        }
        let value = |wanted: &[&str]| {
            properties.iter().find_map(|property| match property.key {
                PropertyKey::Name(name) if wanted.contains(&unit.ir.text(name)) => Some(property.value),
                _ => None,
            })
        };
        let described = value(&["name"]).is_some()
            && value(&["description", "inputSchema", "parameters", "schema"]).is_some();
        let function = value(&["handler", "execute", "run", "callback", "invoke", "handle"]);
        if let (true, Some(function)) = (described, function)
            && let ExprKind::Function(handler) = unit.ir.expr(function)
        {
            let kind = if has_part(&unit.ir.path, QUEUES) { "event" } else { "tool" };
            // `execute(ctx, input)` is told what the server knows first.
            let first = unit.ir.function(*handler).and_then(|own| own.params.first()?.name);
            let context_first = first.is_some_and(|name| {
                matches!(unit.ir.text(name), "ctx" | "context" | "_ctx" | "_context" | "extra")
            }) && unit.ir.function(*handler).is_some_and(|own| own.params.len() > 1);
            let (input, context) = if context_first { (1, vec![0, 2]) } else { (0, vec![1, 2]) };
            entries.push(Entry {
                handler: Fun { module, id: *handler },
                kind: kind.to_owned(),
                registration: At { module, expr: id },
                input: Some(vec![input]),
                context,
            });
        }
    }
}

/// Functions that a framework finds by their file: server actions, route handlers.
fn by_file(project: &Project, module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    super::fetches::workers(project, module, unit, entries);
    pages(project, module, unit, entries);
    components(project, module, unit, entries);
    configured(module, unit, entries);
    described(module, unit, entries);
    exported(project, module, unit, entries);
    let Some(body) = unit.ir.function(FunctionId::MODULE).map(|function| &function.body) else { return };
    let action = body.iter().take(3).any(|stmt| match unit.ir.stmt(*stmt) {
        StmtKind::Expr(expr) => {
            matches!(unit.ir.expr(*expr), ExprKind::String(text) if unit.ir.text(*text) == "use server")
        }
        _ => false,
    });
    let file = unit.ir.path.rsplit('/').next().unwrap_or("");
    let route = file.starts_with("route.");
    if !action && !route {
        return;
    }
    for export in &unit.ir.exports {
        let ExportKind::Binding(binding) = export.kind else { continue };
        let name = unit.ir.text(export.name);
        if route && !action && !matches!(name, "GET" | "POST" | "PUT" | "PATCH" | "DELETE") {
            continue;
        }
        let function = unit.ir.functions().find(|(_, function)| function.binding == Some(binding));
        let nowhere = At { module, expr: crate::ir::ExprId::MISSING };
        let value = unit.index.sources(binding).iter().find_map(|source| match unit.ir.expr(source.value) {
            ExprKind::Function(id) => Some((Fun { module, id: *id }, nowhere)),
            // `export const GET = withTenant(async ({ tenant }) => …)`
            ExprKind::Call(_) if route => {
                let at = At { module, expr: source.value };
                project.functions_of(at).first().map(|handler| (*handler, at))
            }
            _ => None,
        });
        let own = function.map(|(id, _)| (Fun { module, id }, nowhere));
        let Some((handler, registration)) = own.or(value) else { continue };
        entries.push(Entry {
            handler,
            kind: "http".to_owned(),
            registration,
            input: if action { None } else { Some(vec![1]) },
            context: if action { Vec::new() } else { vec![0] },
        });
    }
}

/// A tool that a file describes beside its function: `export const schema`, `export const metadata`, `export default`.
fn described(module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    let exports = |name: &str| unit.ir.exports.iter().any(|export| unit.ir.text(export.name) == name);
    // Without parameters a tool has no schema; pages have `metadata` as well.
    let xmcp = || unit.ir.imports.iter().any(|import| unit.ir.text(import.specifier) == "xmcp");
    if !exports("metadata") || !(exports("schema") || xmcp()) {
        return;
    }
    if let Some(id) = default_function(unit) {
        entries.push(Entry {
            handler: Fun { module, id },
            kind: "tool".to_owned(),
            registration: At { module, expr: crate::ir::ExprId::MISSING },
            input: Some(vec![0]),
            context: vec![1],
        });
    }
}

/// A tool that a file of a folder of tools names, as Golf takes them: `export = get_note` in `tools/notes.py`.
fn exported(project: &Project, module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    let folder =
        unit.ir.path.rsplit('/').skip(1).any(|part| matches!(part, "tools" | "resources" | "prompts"));
    if !folder || unit.ir.language != Language::Python {
        return;
    }
    for (id, _) in unit.ir.bindings().filter(|(id, _)| unit.ir.binding_name(*id) == "export") {
        let [source] = unit.index.sources(id) else { continue };
        let at = At { module, expr: source.value };
        if let Symbol::Function(handler) = project.symbol(at)
            && unit.ir.is_module_level(id)
        {
            entries.push(Entry {
                handler,
                kind: "tool".to_owned(),
                registration: At { module, expr: crate::ir::ExprId::MISSING },
                input: None,
                context: Vec::new(),
            });
        }
    }
}

/// The function that a module exports as its default.
fn default_function(unit: &Unit) -> Option<FunctionId> {
    let export = unit.ir.exports.iter().find(|export| unit.ir.text(export.name) == "default")?;
    match export.kind {
        ExportKind::Binding(binding) => {
            unit.ir.functions().find(|(_, function)| function.binding == Some(binding)).map(|(id, _)| id)
        }
        ExportKind::Value(expr) => match unit.ir.expr(expr) {
            ExprKind::Function(id) => Some(*id),
            _ => None,
        },
        _ => None,
    }
}

/// What a host calls for each session with that user's settings, and takes a server of: `export default function ({ config }) { … }`.
fn configured(module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    // Where the server is made in another file, the schema of the settings beside the function says what it is. Source:
    // smithery.ai/docs/build/session-config.
    let schema = || unit.ir.exports.iter().any(|export| unit.ir.text(export.name) == "configSchema");
    if !unit.ir.source.mentions(crate::marks::SDK) && !schema() {
        return;
    }
    let Some((id, function)) = default_function(unit).and_then(|id| Some((id, unit.ir.function(id)?))) else {
        return;
    };
    let [only] = &*function.params else { return };
    let mut named = false;
    only.pattern.for_each_binding(&mut |id| named |= unit.ir.binding_name(id) == "config");
    if named && only.pattern.as_binding().is_none() {
        entries.push(Entry {
            handler: Fun { module, id },
            kind: "event".to_owned(),
            registration: At { module, expr: crate::ir::ExprId::MISSING },
            input: Some(Vec::new()),
            context: vec![0],
        });
    }
}

/// What renders a page on the server for a request, with what wraps it: `getServerSideProps = withUser(async (context) => …)`.
fn pages(project: &Project, module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    for export in unit.ir.exports.iter().filter(|export| unit.ir.text(export.name) == "getServerSideProps") {
        let ExportKind::Binding(binding) = export.kind else { continue };
        let declared = unit.ir.functions().find(|(_, function)| function.binding == Some(binding));
        let mut handlers: Vec<(Fun, At)> = Vec::new();
        let nowhere = At { module, expr: crate::ir::ExprId::MISSING };
        handlers.extend(declared.map(|(id, _)| (Fun { module, id }, nowhere)));
        for source in unit.index.sources(binding).iter().take(1) {
            walk::exprs_below(&unit.ir, source.value, &mut |expr| {
                let at = At { module, expr };
                match unit.ir.expr(expr) {
                    ExprKind::Function(id) if expr == source.value => {
                        handlers.push((Fun { module, id: *id }, at))
                    }
                    ExprKind::Call(_) => {
                        handlers.extend(project.functions_of(at).into_iter().map(|handler| (handler, at)));
                    }
                    _ => {}
                }
            });
        }
        entries.extend(handlers.into_iter().take(8).map(|(handler, registration)| Entry {
            handler,
            kind: "http".to_owned(),
            registration,
            input: Some(Vec::new()),
            context: vec![0],
        }));
    }
}

/// Whether a name is that of a function that says who calls: `requireWorkspace`, `getServerSession`, `auth`.
pub(crate) fn asks_for_party(name: &str) -> bool {
    let words = vocabulary::words(name);
    let verb = words
        .first()
        .is_some_and(|first| matches!(first.as_str(), "require" | "get" | "current" | "ensure" | "auth"));
    let of = words.get(1..).unwrap_or(&[]).join("_");
    verb && (words.len() == 1 && name.starts_with("auth")
        || vocabulary::is_owner(&of)
        || vocabulary::is_principal(&of)
        || of.ends_with("session"))
}

/// What renders a page on the server: the function that a file `app/notes/[id]/page.tsx` exports, which is given parts of the address
/// (Next.js, "Server components").
fn components(project: &Project, module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    let mut parts = unit.ir.path.rsplit('/');
    let file = parts.next().and_then(|name| name.split_once('.'));
    if !matches!(file, Some(("page", "tsx" | "jsx" | "ts" | "js"))) || !parts.any(|part| part == "app") {
        return;
    }
    let Some(id) = default_function(unit) else { return };
    // A page that asks for nobody is there for everybody.
    let mut asks = false;
    walk::function_exprs(&unit.ir, id, &mut |expr| {
        if let ExprKind::Call(call) = unit.ir.expr(expr) {
            let path = project.written_as_exported(At { module, expr: call.callee });
            asks |= path.last().is_some_and(|name| asks_for_party(name));
        }
    });
    if asks && unit.ir.function(id).is_some_and(|function| function.is_async) {
        entries.push(Entry {
            handler: Fun { module, id },
            kind: "http".to_owned(),
            registration: At { module, expr: crate::ir::ExprId::MISSING },
            input: Some(vec![0]),
            context: Vec::new(),
        });
    }
}

/// Words of routes and files that the operator's own people, timers and services that sign what they send call, and no tenant.
const OPERATORS: &[&str] = &[
    "webhook",
    "webhooks",
    "cron",
    "crons",
    "admin",
    "superadmin",
    "backoffice",
    "qstash",
    "inngest",
    "scheduled",
    "scheduler",
    "internal",
];

/// Words of what is shown to everybody.
const PUBLIC: &[&str] = &["public", "avatar", "avatars", "logo", "branding"];

/// Words of files whose handlers a queue calls.
const QUEUES: &[&str] = &["job", "jobs", "queue", "queues", "worker", "workers", "tasks"];

/// Whether a part of a path or route is one of these words.
fn has_part(path: &str, list: &[&str]) -> bool {
    let lower = path.to_lowercase();
    lower.split(|char: char| !char.is_alphanumeric()).any(|part| list.contains(&part))
}

impl Project {
    /// Whether an entry point is for the operator's own people, a timer, a queue or a service that signs what it sends.
    #[must_use]
    pub fn is_operators(&self, entry: &Entry) -> bool {
        if matches!(entry.kind.as_str(), "tool" | "resource" | "prompt") {
            return false;
        }
        let Some(unit) = self.unit(entry.handler.module) else { return false };
        let queue = entry.kind == "event" && has_part(&unit.ir.path, QUEUES);
        let route = self.route(entry);
        queue
            || has_part(&unit.ir.path, OPERATORS)
            || route.is_some_and(|route| has_part(route, OPERATORS))
            || self.is_signed_for(entry)
            || vocabulary::words(self.function_name(entry.handler)).iter().any(|word| word == "internal")
    }

    /// Whether an entry point is for everybody by its name: `/public/posts`, `/.well-known/oauth-protected-resource`.
    #[must_use]
    pub fn is_public(&self, entry: &Entry) -> bool {
        entry.kind == "http"
            && (self.route(entry).is_some_and(|route| route.contains("/.well-known/"))
                || self.unit(entry.handler.module).is_some_and(|unit| {
                    // `app/[tool]/.well-known/[...path]/route.ts`
                    has_part(&unit.ir.path, PUBLIC) || unit.ir.path.contains("/.well-known/")
                })
                || self.route(entry).is_some_and(|route| has_part(route, PUBLIC)))
    }

    /// The path under which a handler is registered.
    pub(super) fn route(&self, entry: &Entry) -> Option<&str> {
        let unit = self.unit(entry.registration.module)?;
        let ExprKind::Call(call) = unit.ir.expr(entry.registration.expr) else { return None };
        match unit.ir.expr(call.positional(0)?) {
            ExprKind::String(text) => Some(unit.ir.text(*text)),
            _ => None,
        }
    }

    /// All entry points.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry point that a function is.
    #[must_use]
    pub fn entry(&self, fun: Fun) -> Option<&Entry> {
        self.entry_of.get(&fun).and_then(|number| self.entries.get(*number))
    }

    /// The functions that a value may be: itself, a named one, a bound method, what a wrapper is given.
    #[must_use]
    pub fn functions_of(&self, at: At) -> Vec<Fun> {
        match self.symbol(at) {
            // A call of a function of ours that gives a function wraps what it is given.
            Symbol::Function(fun)
                if !matches!(
                    self.unit(at.module).map(|unit| unit.ir.expr(at.expr)),
                    Some(ExprKind::Call(_))
                ) =>
            {
                return vec![fun];
            }
            Symbol::Class(class) => {
                return ["__call__", "execute", "handle"]
                    .iter()
                    .filter_map(|name| self.method(class, name))
                    .collect();
            }
            _ => {}
        }
        let Some(unit) = self.unit(at.module) else { return Vec::new() };
        let mut found = Vec::new();
        if let ExprKind::Call(call) = unit.ir.expr(at.expr) {
            let bound = matches!(unit.ir.expr(call.callee), ExprKind::Member { property, .. } if unit.ir.text(*property) == "bind");
            if bound && let Symbol::Function(fun) = self.symbol(at.to(call.callee)) {
                return vec![fun];
            }
            for arg in &call.args {
                match unit.ir.expr(arg.value) {
                    ExprKind::Function(id) => found.push(Fun { module: at.module, id: *id }),
                    ExprKind::Name(_) | ExprKind::Member { .. } => {
                        if let Symbol::Function(fun) = self.symbol(at.to(arg.value)) {
                            found.push(fun);
                        }
                    }
                    ExprKind::Call(_) => {
                        walk::exprs_below(&unit.ir, arg.value, &mut |expr| {
                            if let ExprKind::Function(id) = unit.ir.expr(expr) {
                                found.push(Fun { module: at.module, id: *id });
                            }
                        });
                    }
                    _ => {}
                }
            }
        }
        // What it gives runs for the request as well: `cached(60)` that gives `(req, res, next) => …`.
        if let Symbol::Function(given) = self.symbol(at)
            && !found.contains(&given)
        {
            found.push(given);
        }
        found
    }
}
