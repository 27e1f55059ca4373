//! What calls call, and which of their arguments is which parameter.

use super::{At, Callee, Cls, Fun, ModuleId, Path, Project, Step, Symbol, Word};
use crate::flow::Says;
use crate::ir::{
    BindingId, BindingKind, ExprId, ExprKind, FunctionKind, ImportKind, Language, NameRef, ParameterKind,
    Pattern, PropertyKey,
};
use crate::library::{CallDef, Role};

/// What has a function of Python run elsewhere with the arguments that come after it, and which argument the function is.
const RUNNERS: &[(&str, usize)] = &[
    ("run_in_executor", 1),
    ("to_thread", 0),
    ("run_in_threadpool", 0),
    ("run_sync", 0),
    ("submit", 0),
    ("start_soon", 0),
    ("add_task", 0),
    ("call_soon", 0),
    ("call_soon_threadsafe", 0),
    ("call_later", 1),
];

/// Methods of a job of a queue, as of Celery, that have it run in a worker with the arguments of the call.
const ENQUEUES: &[&str] =
    &["delay", "apply_async", "send", "send_with_options", "schedule", "defer", "kiq", "s", "si"];

/// Decorators that make a function a job of a queue.
const JOBS: &[&str] = &["task", "shared_task", "actor", "periodic_task", "db_task", "job"];

/// What makes a function that waits of one that does not, to be called at once.
const WRAPPERS: &[(&str, usize)] =
    &[("sync_to_async", 0), ("database_sync_to_async", 0), ("async_to_sync", 0), ("ensure_async", 0)];

/// Methods that register a tool, in the SDK and in classes that are written around it.
const REGISTERS: &[&str] = &["tool", "registerTool", "addTool"];

impl Project {
    /// Whether a place is in a method of a class itself, and of no object of it.
    fn is_of_class(&self, at: At) -> bool {
        self.unit(at.module).is_some_and(|unit| {
            let function = unit.ir.function(unit.index.function(at.expr));
            function.is_some_and(|function| function.kind == FunctionKind::ClassMethod)
        })
    }

    /// Works out what a call calls, and the class of which it makes an object.
    pub(super) fn find_callee(&self, at: At) -> Option<(Callee, Option<Cls>)> {
        let unit = self.unit(at.module)?;
        let callee = match unit.ir.expr(at.expr) {
            ExprKind::Call(call) => call.callee,
            ExprKind::Tagged { tag, .. } => *tag,
            _ => at.expr,
        };
        let mut symbol = self.symbol(at.to(callee));
        // `cls()` in a method of the class makes an object of it.
        if let (Symbol::Instance(class), ExprKind::This) = (&symbol, unit.ir.expr(callee))
            && self.is_of_class(at)
        {
            symbol = Symbol::Class(*class);
        }
        let (made, class) = match &symbol {
            Symbol::Unknown(path) => (Some(path.clone()), None),
            Symbol::Class(class) => (None, Some(*class)),
            _ => (None, None),
        };
        let mut targets = Vec::new();
        let mut certain = true;
        let (package, path) = match symbol {
            Symbol::Function(fun) => {
                targets.push(fun);
                if let Some(class) = self.unit(fun.module)?.ir.function(fun.id)?.class {
                    let name = self.function_name(fun);
                    let class = Cls { module: fun.module, id: class };
                    let over = self.subclasses(class).iter().filter_map(|sub| self.method(*sub, name));
                    targets.extend(over.filter(|over| *over != fun).take(8));
                }
                (None, Path::all(self.written(at.to(callee))))
            }
            Symbol::Class(class) | Symbol::Instance(class) => {
                let is_class = matches!(symbol, Symbol::Class(_));
                let names: &[&str] =
                    if is_class { &["constructor", "__init__", "__post_init__"] } else { &["__call__"] };
                targets.extend(names.iter().filter_map(|name| self.method(class, name)));
                (None, Path::of(self.class_name(class)))
            }
            Symbol::External { package, path } if path.is_empty() => (Some(package), Path::of("default")),
            Symbol::External { package, path } => (Some(package), path),
            Symbol::Module(_) | Symbol::Value(_) | Symbol::Shape(_) => {
                (None, Path::all(self.written(at.to(callee))))
            }
            Symbol::Unknown(path) => {
                let written = self.written(at.to(callee));
                let path = if written.len() >= path.len() { Path::all(written) } else { path };
                targets = self.implemented(at.to(callee));
                if targets.is_empty()
                    && path.len() > 1
                    && let Some(name) = path.last()
                    && let Some(methods) = self.methods.get(name.as_str())
                    && methods.len() <= 3
                    && !COMMON.contains(&name.as_str())
                {
                    targets.extend(methods);
                    certain = false;
                }
                (None, path)
            }
        };
        targets.dedup();
        let known = !targets.is_empty() && certain;
        // What an executor is given runs with the arguments that come after it.
        if targets.is_empty()
            && let Some((_, run)) = self.run_by(at)
        {
            targets.push(run);
        }
        let defs = self.definitions(at.to(callee), package.as_deref(), &path, known, made.as_ref());
        Some((Callee { package, path, targets, certain, defs, says: Says::default() }, class))
    }

    /// What libraries say of a callee of a package, or of one that is not `known` to be a function of the project, by the path
    /// with which it is called and that of what it was `made` as.
    fn definitions(
        &self,
        callee: At,
        package: Option<&str>,
        path: &[Word],
        known: bool,
        made: Option<&Path>,
    ) -> Vec<std::sync::Arc<CallDef>> {
        let Some(unit) = self.unit(callee.module) else { return Vec::new() };
        match package {
            Some(package) => {
                let mut defs = self.libraries.calls_of(package, path);
                // `app.post(…)` of an application that a function of another package made: its name says what it is.
                if defs.is_empty() {
                    defs = self.libraries.calls(unit.ir.language, None, &self.written(callee));
                    defs.retain(|def| {
                        matches!(def.role, Role::Entry | Role::Listen) && def.kind.as_deref() != Some("tool")
                    });
                }
                defs
            }
            None if !known => {
                let found = self.libraries.calls(unit.ir.language, None, path);
                // `app.connect(…)` of `app = new McpServer(…)`: what it was made as says more than what it is called.
                match made {
                    Some(made) if found.is_empty() => self.libraries.calls(unit.ir.language, None, made),
                    _ => found,
                }
            }
            // A registry of the project's own that tools are put into: what it does with them later is the SDK's call.
            None if path.len() > 1 && path.last().is_some_and(|name| REGISTERS.contains(&name.as_str())) => {
                let mut defs = self.libraries.calls(unit.ir.language, None, path);
                defs.retain(|def| def.role == Role::Entry);
                defs
            }
            None => Vec::new(),
        }
    }

    /// The last name of the path of names of an expression as it is written.
    #[must_use]
    pub fn last_written(&self, at: At) -> Option<&str> {
        let unit = self.unit(at.module)?;
        let mut here = at.expr;
        for _ in 0..64 {
            match unit.ir.expr(here) {
                ExprKind::Member { property, .. } => return Some(unit.ir.text(*property)),
                ExprKind::Index { object, index, .. } => match unit.ir.expr(*index) {
                    ExprKind::String(name) => return Some(unit.ir.text(*name)),
                    _ => here = *object,
                },
                ExprKind::Call(call) => here = call.callee,
                ExprKind::Await(value) => here = *value,
                ExprKind::Name(NameRef::Binding(id)) => return Some(unit.ir.binding_name(*id)),
                ExprKind::Name(NameRef::Global(name)) => return Some(unit.ir.text(*name)),
                ExprKind::This => return Some("this"),
                _ => return None,
            }
        }
        None
    }

    /// The text that a name of a module stands for, wherever it is declared: `KEY` of `KEY = "workspace"` or `KEY = AppKey("workspace")`.
    #[must_use]
    pub fn text_of_name(&self, at: At) -> Option<&str> {
        let unit = self.unit(at.module)?;
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return None };
        let imported = matches!(unit.ir.binding(*id)?.kind, BindingKind::Import(_));
        if !imported && !unit.ir.is_module_level(*id) {
            return None;
        }
        let (module, id) = self.declared(at.module, *id).unwrap_or((at.module, *id));
        let home = self.unit(module)?;
        let [source] = home.index.sources(id) else { return None };
        match home.ir.expr(source.value) {
            ExprKind::String(text) => Some(home.ir.text(*text)),
            ExprKind::Call(call) => match home.ir.expr(call.positional(0)?) {
                ExprKind::String(text)
                    if self.last_written(At { module, expr: source.value }) == Some("AppKey") =>
                {
                    Some(home.ir.text(*text))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The path of names of an expression as it is written.
    #[must_use]
    pub fn written(&self, at: At) -> Vec<Word> {
        let mut path = Vec::with_capacity(3);
        self.each_written(at, |name| path.push(Word::new(name)));
        path.reverse();
        path
    }

    /// The same of a member of that name.
    #[must_use]
    pub(crate) fn written_then(&self, object: At, name: &str) -> Vec<Word> {
        let mut path = vec![Word::new(name)];
        self.each_written(object, |name| path.push(Word::new(name)));
        path.reverse();
        path
    }

    /// The first name of the path of names of an expression as it is written.
    #[must_use]
    pub(crate) fn first_written(&self, at: At) -> Option<&str> {
        let mut first = None;
        self.each_written(at, |name| first = Some(name));
        first
    }

    /// The path of names of an expression as it is written, the last one first.
    fn each_written<'p>(&'p self, at: At, mut name: impl FnMut(&'p str)) {
        let Some(unit) = self.unit(at.module) else { return };
        let mut here = at.expr;
        for _ in 0..64 {
            match unit.ir.expr(here) {
                ExprKind::Member { object, property, .. } => {
                    name(unit.ir.text(*property));
                    here = *object;
                }
                ExprKind::Index { object, index, .. } => {
                    if let ExprKind::String(text) = unit.ir.expr(*index) {
                        name(unit.ir.text(*text));
                    }
                    here = *object;
                }
                ExprKind::Call(call) => here = call.callee,
                ExprKind::Await(value) => here = *value,
                ExprKind::Name(NameRef::Binding(id)) => return name(unit.ir.binding_name(*id)),
                ExprKind::Name(NameRef::Global(text)) => return name(unit.ir.text(*text)),
                ExprKind::This => return name("this"),
                _ => return,
            }
        }
    }

    /// The same with the name under which the first one is exported, where it is imported under another.
    #[must_use]
    pub fn written_as_exported(&self, at: At) -> Vec<Word> {
        let mut path = self.written(at);
        let Some(unit) = self.unit(at.module) else { return path };
        let mut here = at.expr;
        for _ in 0..64 {
            here = match unit.ir.expr(here) {
                ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => *object,
                ExprKind::Call(call) => call.callee,
                ExprKind::Await(value) => *value,
                ExprKind::Name(NameRef::Binding(id)) => {
                    let kind = unit.ir.binding(*id).map(|binding| binding.kind);
                    if let Some(BindingKind::Import(number)) = kind
                        && let Some(import) = unit.ir.imports.get(number as usize)
                        && let ImportKind::Named(name) = import.kind
                        && let Some(first) = path.first_mut()
                    {
                        *first = Word::new(unit.ir.text(name));
                    }
                    break;
                }
                _ => break,
            };
        }
        path
    }

    /// The function of the project that a call has run in a thread, and which argument is its first:
    /// `loop.run_in_executor(None, send, token)`, `asyncio.to_thread(send, token)`, `sync_to_async(send)(token)`.
    fn run_by(&self, call: At) -> Option<(usize, Fun)> {
        let unit = self.unit(call.module).filter(|unit| unit.ir.language == Language::Python)?;
        let ExprKind::Call(expr) = unit.ir.expr(call.expr) else { return None };
        let runner = |callee: ExprId, of: &[(&str, usize)]| {
            let name = match unit.ir.expr(callee) {
                ExprKind::Member { property, .. } => unit.ir.text(*property),
                ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                _ => return None,
            };
            of.iter().find(|(own, _)| *own == name).map(|(_, place)| *place)
        };
        if let Some(job) = self.job_of(call, expr.callee) {
            return Some((0, job));
        }
        let (function, first) = match unit.ir.expr(expr.callee) {
            ExprKind::Call(wrapped) => (wrapped.positional(runner(wrapped.callee, WRAPPERS)?)?, 0),
            _ => {
                let place = runner(expr.callee, RUNNERS)?;
                (expr.positional(place)?, place + 1)
            }
        };
        match self.symbol(call.to(function)) {
            Symbol::Function(run) => Some((first, run)),
            _ => None,
        }
    }

    /// The job of a queue that a call puts there: `close_ticket.delay(ticket_id)` of `@shared_task def close_ticket(ticket_id)`.
    fn job_of(&self, call: At, callee: ExprId) -> Option<Fun> {
        let unit = self.unit(call.module).filter(|unit| unit.ir.language == Language::Python)?;
        let ExprKind::Member { object, property, .. } = unit.ir.expr(callee) else { return None };
        if !ENQUEUES.contains(&unit.ir.text(*property)) {
            return None;
        }
        let Symbol::Function(job) = self.symbol(call.to(*object)) else { return None };
        let home = self.unit(job.module)?;
        let decorated = home.ir.function(job.id)?.decorators.iter().any(|decorator| {
            self.last_written(At { module: job.module, expr: *decorator })
                .is_some_and(|name| JOBS.contains(&name))
        });
        decorated.then_some(job)
    }

    /// The argument of a call that a parameter of its target gets: by name, by place, or nothing.
    #[must_use]
    pub fn argument(&self, call: At, target: Fun, parameter: usize) -> Option<At> {
        use crate::ir::ArgKind;
        let unit = self.unit(call.module)?;
        let ExprKind::Call(expr) = unit.ir.expr(call.expr) else { return None };
        let function = self.unit(target.module)?.ir.function(target.id)?;
        let wanted = function.params.get(parameter)?;
        let by_name = expr.args.iter().any(|arg| matches!(arg.kind, ArgKind::Keyword(_)));
        if let Some(name) = wanted.name.filter(|_| by_name) {
            let name = self.unit(target.module)?.ir.text(name);
            let keyword = expr
                .args
                .iter()
                .find(|arg| matches!(arg.kind, ArgKind::Keyword(own) if unit.ir.text(own) == name));
            if let Some(arg) = keyword {
                return Some(call.to(arg.value));
            }
        }
        if wanted.kind == ParameterKind::KeywordOnly {
            return None;
        }
        // `f.call(this, x)` and `f.bind(this, x)` shift by one.
        let shift = match unit.ir.expr(expr.callee) {
            ExprKind::Member { property, .. } if matches!(unit.ir.text(*property), "call" | "bind") => 1,
            _ => match self.run_by(call) {
                Some((place, run)) if run == target => place,
                _ => 0,
            },
        };
        expr.positional(parameter + shift).map(|expr| call.to(expr))
    }

    /// The parameter of a function that a binding is or is taken out of: its number, and the way there.
    #[must_use]
    pub fn parameter_of(&self, module: ModuleId, id: BindingId) -> Option<(Fun, usize, Vec<Step>)> {
        let unit = self.unit(module)?;
        let BindingKind::Parameter(function) = unit.ir.binding(id)?.kind else { return None };
        let decl = unit.ir.function(function)?;
        decl.params.iter().enumerate().find_map(|(number, parameter)| {
            let path = path_to(&parameter.pattern, id)?;
            Some((Fun { module, id: function }, number, path))
        })
    }
}

/// Method names that so many classes have that a name alone says nothing.
const COMMON: &[&str] = &[
    "get", "set", "add", "has", "delete", "push", "pop", "map", "filter", "find", "then", "catch", "on",
    "emit", "call", "apply", "bind", "toString", "append", "items", "keys", "values", "update", "remove",
    "close", "open", "read", "write", "execute", "run", "start", "stop", "init", "send", "create", "list",
    "join", "split", "format", "encode", "decode", "commit", "rollback", "first", "all", "one", "scalar",
    "fetch", "query", "connect", "clear", "copy", "log", "info", "error", "warn", "debug",
];

fn path_to(pattern: &Pattern, id: BindingId) -> Option<Vec<Step>> {
    match pattern {
        Pattern::Binding(own) => (*own == id).then(Vec::new),
        Pattern::Place(_) => None,
        Pattern::Default { pattern, .. } => path_to(pattern, id),
        Pattern::Object { properties, rest } => {
            let found = properties.iter().find_map(|property| {
                let mut path = path_to(&property.pattern, id)?;
                let step = match property.key {
                    PropertyKey::Name(name) => Step::Key(name),
                    _ => Step::Any,
                };
                path.insert(0, step);
                Some(path)
            });
            found.or_else(|| {
                let mut path = path_to(rest.as_ref()?, id)?;
                path.insert(0, Step::Rest);
                Some(path)
            })
        }
        Pattern::Array { items, rest } => {
            let found = (0_u32..).zip(items).find_map(|(number, item)| {
                let mut path = path_to(item.as_ref()?, id)?;
                path.insert(0, Step::Item(number));
                Some(path)
            });
            found.or_else(|| {
                let mut path = path_to(rest.as_ref()?, id)?;
                path.insert(0, Step::Rest);
                Some(path)
            })
        }
    }
}
