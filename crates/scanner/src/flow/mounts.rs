//! Whether callers really come to a handler: what nothing names is registered nowhere, what runs in a process of its own over standard
//! input has one user, and what listens for one answer only is for who waits for it.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::{
    Entry,
    gateways::router_of,
    idle::{is_default, is_exported_to_framework},
};
use crate::{
    ir::{ExportKind, ExprId, ExprKind, FunctionId, ImportKind, Language, NameRef, PropertyKey},
    project::{Fun, ModuleId, Parent, Project, Unit},
    tenancy::{is_http, is_stdio_only},
};

/// How many functions are looked at on the way back.
const MOST: usize = 24;

/// How many files are looked at on the way to those that start a server.
const FILES: usize = 64;

/// Names by which something outside of the code calls a function: a shell, a server of applications, a cloud, a framework.
const CALLED_BY_NAME: &[&str] = &[
    "main",
    "run",
    "start",
    "serve",
    "server",
    "app",
    "application",
    "asgi",
    "wsgi",
    "create_app",
    "createApp",
    "make_app",
    "get_app",
    "build_app",
    "create_server",
    "createServer",
    "handler",
    "lambda_handler",
    "fetch",
    "default",
    "bootstrap",
    "init",
    "setup",
    "register",
    "activate",
    "plugin",
    "configure",
    "middleware",
    "proxy",
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "loader",
    "action",
    "onRequest",
    "cli",
];

/// Why it is only assumed that several callers come to a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assumed {
    /// Nothing in the code names what makes or registers it.
    Mounted,
    /// Its process speaks over standard input and output only.
    Several,
    /// It ends its own server once it was called.
    Again,
}

/// The handlers of which something is only assumed.
pub(crate) fn find_assumed(project: &Project) -> FxHashMap<Fun, Assumed> {
    let mut known: FxHashMap<(ModuleId, String), bool> = FxHashMap::default();
    let mut started: FxHashMap<ModuleId, bool> = FxHashMap::default();
    let mut of = |entry: &Entry| {
        if project.is_alone(entry, &mut started) {
            Some(Assumed::Several)
        } else if project.ends_its_server(entry) {
            Some(Assumed::Again)
        } else {
            project.is_named_nowhere(entry, &mut known).then_some(Assumed::Mounted)
        }
    };
    project.entries().iter().filter_map(|entry| Some((entry.handler, of(entry)?))).collect()
}

impl Project {
    /// Why it is only assumed that several callers come to a handler, if it is.
    #[must_use]
    pub fn assumed(&self, handler: Fun) -> Option<Assumed> {
        self.memory.assumed.get_or_init(|| find_assumed(self)).get(&handler).copied()
    }

    /// Whether a tool is one of a server that only speaks over standard input: in a file that starts it so and gives it to no other, or
    /// in one that only such files take it from.
    fn is_alone(&self, entry: &Entry, started: &mut FxHashMap<ModuleId, bool>) -> bool {
        if self.is_asked_multi() || !matches!(entry.kind.as_str(), "tool" | "resource" | "prompt") {
            return false;
        }
        let module = entry.handler.module;
        let Some(unit) = self.unit(module) else { return false };
        (is_stdio_only(unit) && !self.gives_server(unit, entry))
            || *started.entry(module).or_insert_with(|| self.is_only_started_on_stdio(module))
    }

    /// Whether other files take the server of a handler, or what registers it, from the file that it stands in.
    fn gives_server(&self, unit: &Unit, entry: &Entry) -> bool {
        let module = entry.handler.module;
        let mut names: Vec<&str> = Vec::new();
        for around in self.around(entry.handler) {
            names.extend(unit.ir.function(around.id).and_then(|own| own.name).map(|name| unit.ir.text(name)));
            let class =
                unit.ir.function(around.id).and_then(|own| own.class).and_then(|id| unit.ir.class(id));
            names.extend(class.and_then(|own| own.name).map(|name| unit.ir.text(name)));
        }
        if entry.registration.module == module
            && let Some(ExprKind::Call(call)) =
                (entry.registration.expr != ExprId::MISSING).then(|| unit.ir.expr(entry.registration.expr))
            && let Some(root) = router_of(unit, call.callee)
        {
            names.push(unit.ir.binding_name(root));
        }
        self.importing(module).iter().any(|(other, binding)| {
            let Some(import) = self.unit(*other).and_then(|other| {
                let found = other.ir.imports.iter().find(|import| import.binding == Some(*binding))?;
                Some((other, found.kind))
            }) else {
                return true;
            };
            match import {
                (other, ImportKind::Named(name)) => names.contains(&other.ir.text(name)),
                (_, ImportKind::Effect) => false,
                _ => true,
            }
        })
    }

    /// Whether a handler ends the server that it answers for, as one does that waits for a browser to come back from a sign-in:
    /// `const server = createServer((req, res) => { …; server.close() })`.
    fn ends_its_server(&self, entry: &Entry) -> bool {
        let at = entry.registration;
        let Some(unit) = self.unit(at.module).filter(|_| at.expr != ExprId::MISSING) else { return false };
        if self.function_of(at).id == FunctionId::MODULE || at.module != entry.handler.module {
            return false;
        }
        let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
        let crate::ir::StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
        let Some(server) = target.as_binding() else { return false };
        unit.index.uses(server).iter().any(|used| {
            let Parent::Expr(up) = unit.index.parent(*used) else { return false };
            let ends = matches!(unit.ir.expr(up), ExprKind::Member { property, .. }
                if matches!(unit.ir.text(*property), "close" | "stop" | "shutdown"));
            ends && self.is_around(self.function_of(at.to(*used)), |fun| fun == entry.handler)
        })
    }

    /// Whether nothing in the code names the function or class around a handler, or those that do are named nowhere themselves: what
    /// it makes or registers is in no server. What a package without a server of its own has is there for others.
    fn is_named_nowhere(&self, entry: &Entry, known: &mut FxHashMap<(ModuleId, String), bool>) -> bool {
        let Some((outer, name)) = self.loose(entry.handler, Some(entry)) else { return false };
        let key = (outer.module, name.to_owned());
        if let Some(known) = known.get(&key) {
            return *known;
        }
        let found = self.leads_nowhere(entry) && self.has_mounted(entry);
        known.insert(key, found);
        found
    }

    fn leads_nowhere(&self, entry: &Entry) -> bool {
        let mut seen: BTreeSet<(ModuleId, &str)> = BTreeSet::new();
        let mut open = vec![entry.handler];
        while let Some(here) = open.pop() {
            let own = (here == entry.handler).then_some(entry);
            let Some((outer, name)) = self.loose(here, own) else { return false };
            if !seen.insert((outer.module, name)) {
                continue;
            }
            if seen.len() > MOST {
                return false;
            }
            let Some(from) = self.places_that_name(outer, name) else { return false };
            open.extend(from);
        }
        true
    }

    /// Whether another handler of the same package stands where nothing has to be named for it to be registered.
    fn has_mounted(&self, entry: &Entry) -> bool {
        let folder = self.folder(entry.handler.module);
        self.entries().iter().any(|other| {
            other.registration.expr != ExprId::MISSING
                && self.folder(other.handler.module) == folder
                && self.loose(other.handler, Some(other)).is_none()
        })
    }

    /// The function around all others that a function stands in, and the name by which the code has to name it, or its class, for it to
    /// do anything; none where something else may call it.
    fn loose(&self, fun: Fun, entry: Option<&Entry>) -> Option<(Fun, &str)> {
        let outer = self.outermost(fun)?;
        let unit = self.unit(outer.module)?;
        let function = unit.ir.function(outer.id)?;
        if !function.decorators.is_empty() || is_exported_to_framework(unit) {
            return None;
        }
        let (name, span) = match function.class.and_then(|id| unit.ir.class(id)) {
            Some(class) => {
                // What has a base may be found by it, unless it stands before others, where an application has to be told of it.
                let before = entry.is_some_and(|entry| entry.kind == "middleware");
                let found = !class.bases.is_empty() && !before;
                if found || (!class.decorators.is_empty() && unit.ir.language == Language::Python) {
                    return None;
                }
                (unit.ir.text(class.name?), class.span)
            }
            // What stands in an expression is named where it stands: `server.addTool({ execute() { … } })`.
            None if !is_declared(unit, outer.id) => return None,
            None => (unit.ir.text(function.name?), function.span),
        };
        let by_name = CALLED_BY_NAME.contains(&name) || name.starts_with("__") || is_default(unit, span);
        (!by_name && !is_whole(unit, name)).then_some((outer, name))
    }

    /// Whether something imports all that a module has as one object or by no names, or all of one that passes it on: it may call what is
    /// in it without naming it.
    fn is_taken_whole(&self, module: ModuleId) -> bool {
        let whole = |module: ModuleId| {
            self.importing(module).iter().any(|(other, binding)| {
                let Some(unit) = self.unit(*other) else { return true };
                let kind = unit.ir.imports.iter().find(|import| import.binding == Some(*binding));
                match kind.map(|import| import.kind) {
                    Some(ImportKind::Star) | None => true,
                    Some(ImportKind::Namespace) => {
                        unit.index.uses(*binding).iter().any(|used| !is_object(unit, *used))
                    }
                    _ => false,
                }
            })
        };
        let passes = |(other, unit): (ModuleId, &Unit)| {
            unit.ir.exports.iter().any(|export| match export.kind {
                ExportKind::All { specifier } => {
                    self.imported_module(other, unit.ir.text(specifier)) == Some(module) && whole(other)
                }
                _ => false,
            })
        };
        whole(module) || self.units().any(passes)
    }

    /// The functions in which something of a name is named, but for itself; none where the code of a module does, or where it is given
    /// another name.
    fn places_that_name(&self, outer: Fun, name: &str) -> Option<Vec<Fun>> {
        if self.is_taken_whole(outer.module) {
            return None;
        }
        let mut found = Vec::new();
        let texts: Vec<&str> =
            self.paths_to(name).iter().map(String::as_str).chain(std::iter::once(name)).collect();
        for (module, unit) in self.units().filter(|(_, unit)| unit.ir.has_name(&texts)) {
            let renamed = unit.ir.imports.iter().any(|import| {
                let own = matches!(import.kind, ImportKind::Named(wanted) if unit.ir.text(wanted) == name);
                own && import.binding.is_some_and(|id| unit.ir.binding_name(id) != name)
            });
            if renamed || gives_as_another(unit, name) {
                return None;
            }
            for (expr, kind) in unit.ir.exprs() {
                if !is_named(unit, kind, name) {
                    continue;
                }
                let from = Fun { module, id: unit.index.function(expr) };
                if self.is_around(from, |around| around == outer) {
                    continue;
                }
                if from.id == FunctionId::MODULE {
                    if is_passed_on(unit, expr, name) {
                        continue;
                    }
                    return None;
                }
                found.push(from);
            }
        }
        Some(found)
    }

    /// The texts of all code that are paths whose last name is this one: `servers.crm:create_server`.
    fn paths_to(&self, name: &str) -> &[String] {
        let paths = self.memory.dotted.get_or_init(|| {
            let mut paths: FxHashMap<String, Vec<String>> = FxHashMap::default();
            for text in self.all_texts() {
                if let Some((_, last)) = text.rsplit_once(['.', ':']).filter(|(_, last)| !last.is_empty()) {
                    paths.entry(last.to_owned()).or_default().push(text.to_owned());
                }
            }
            paths
        });
        paths.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Whether a property is taken of an expression, by its name.
fn is_object(unit: &Unit, expr: ExprId) -> bool {
    let Parent::Expr(up) = unit.index.parent(expr) else { return false };
    matches!(unit.ir.expr(up), ExprKind::Member { object, .. } if *object == expr)
}

/// Whether a function is declared, or is what a variable is set to.
fn is_declared(unit: &Unit, id: FunctionId) -> bool {
    let own = unit.ir.function(id).and_then(|function| function.binding).is_some();
    own || unit.index.site(id).is_some_and(|site| match unit.index.parent(site) {
        Parent::Stmt(stmt) => {
            matches!(unit.ir.stmt(stmt), crate::ir::StmtKind::Assign { target, .. } if target.as_binding().is_some())
        }
        _ => false,
    })
}

/// Whether an expression names something: a variable, a property, a path in a text that ends with it.
fn is_named(unit: &Unit, kind: &ExprKind, name: &str) -> bool {
    match kind {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id) == name,
        ExprKind::Name(NameRef::Global(text)) => unit.ir.text(*text) == name,
        ExprKind::String(text) => unit.ir.text(*text).rsplit(['.', ':']).next() == Some(name),
        ExprKind::Member { property, .. } => unit.ir.text(*property) == name,
        _ => false,
    }
}

/// Whether a module gives what it has under a name out under another one, or as all that it is.
fn gives_as_another(unit: &Unit, name: &str) -> bool {
    unit.ir.exports.iter().any(|export| match export.kind {
        ExportKind::Binding(id) => unit.ir.binding_name(id) == name && unit.ir.text(export.name) != name,
        ExportKind::From { name: Some(from), .. } => {
            unit.ir.text(from) == name && unit.ir.text(export.name) != name
        }
        _ => false,
    })
}

/// Whether a name is all that its module exports, for whoever imports it under any name.
fn is_whole(unit: &Unit, name: &str) -> bool {
    unit.ir.exports.iter().any(|export| {
        let whole = matches!(unit.ir.text(export.name), "default" | crate::ir::Export::WHOLE);
        whole
            && match export.kind {
                ExportKind::Binding(id) => unit.ir.binding_name(id) == name,
                ExportKind::Value(expr) => is_named(unit, unit.ir.expr(expr), name),
                _ => false,
            }
    })
}

/// Whether a name only stands in what a module lists for others under the same name: `module.exports = { sweep }`, `__all__`.
fn is_passed_on(unit: &Unit, expr: ExprId, name: &str) -> bool {
    let Some(stmt) = unit.index.stmt_of(expr) else { return false };
    let text = unit.ir.snippet(unit.ir.stmt_span(stmt));
    if text.starts_with("__all__") {
        return true;
    }
    let same = match unit.index.parent(expr) {
        Parent::Expr(up) => match unit.ir.expr(up) {
            ExprKind::Object(properties) => properties.iter().any(|property| {
                property.value == expr
                    && matches!(property.key, PropertyKey::Name(key) if unit.ir.text(key) == name)
            }),
            _ => false,
        },
        Parent::Stmt(_) => {
            text.starts_with(&format!("exports.{name} "))
                || text.starts_with(&format!("module.exports.{name} "))
        }
        _ => false,
    };
    same && (text.starts_with("module.exports") || text.starts_with("exports."))
}

impl Project {
    /// Whether all files from which a handler's server may be started speak over standard input, and none of them answers HTTP.
    fn is_only_started_on_stdio(&self, module: ModuleId) -> bool {
        let mut seen: BTreeSet<ModuleId> = BTreeSet::new();
        let mut open = vec![module];
        let mut started = false;
        while let Some(module) = open.pop() {
            if !seen.insert(module) {
                continue;
            }
            let Some(unit) = self.unit(module) else { return false };
            if seen.len() > FILES || is_http(self, module, unit) {
                return false;
            }
            started |= is_stdio_only(unit);
            open.extend(self.importing(module).iter().map(|(other, _)| *other));
        }
        started
    }
}
