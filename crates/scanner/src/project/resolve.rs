//! What names and paths stand for, across modules: functions, classes and their objects, packages.

use std::sync::Arc;

use super::{At, Cls, Fun, ModuleId, Path, Project, Shp, Step, Unit, Word, this_class};
use crate::{
    flow::Says,
    ir::{
        BindingId, BindingKind, Call, Export, ExportKind, ExprId, ExprKind, FunctionId, FunctionKind,
        ImportKind, Language, Name, NameRef, PropertyKey,
    },
    library::CallDef,
};

/// How many names are followed from one to the next.
const DEPTH: u32 = 24;

/// What an expression stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Symbol {
    /// A module of the project.
    Module(ModuleId),
    /// A function of the project.
    Function(Fun),
    /// A class of the project.
    Class(Cls),
    /// An object of a class of the project.
    Instance(Cls),
    /// A value that is written out: an object literal.
    Value(At),
    /// An object of a type that several classes implement, or none: an interface.
    Shape(Shp),
    /// Something of a package.
    External {
        /// What is imported.
        package: Word,
        /// The path from there; calls and `new` are left out.
        path: Path,
    },
    /// Something else, as a path of names as written.
    Unknown(Path),
}

/// Modules of which another one passes everything on.
#[derive(Debug)]
pub(super) struct Passed {
    /// `export * from "./other"`.
    pub(super) exported: Box<[ModuleId]>,
    /// `from .other import *`.
    imported: Box<[ModuleId]>,
}

/// What a call calls.
#[derive(Debug, Clone)]
pub struct Callee {
    /// What it was imported from.
    pub package: Option<Word>,
    /// The path: `Pool.query`; as written when nothing is known.
    pub path: Path,
    /// Functions of the project that it may run.
    pub targets: Vec<Fun>,
    /// Whether `targets` were found by resolving names, not only by a method's name.
    pub certain: bool,
    /// What libraries say about it.
    pub defs: Vec<Arc<CallDef>>,
    /// What its name says of the values that it gives.
    pub(crate) says: Says,
}

impl Callee {
    /// Whether another one is the same, with the same definitions and not equal ones only.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (&self.package, &self.path, &self.targets, self.certain)
            == (&other.package, &other.path, &other.targets, other.certain)
            && self.defs.iter().map(Arc::as_ptr).eq(other.defs.iter().map(Arc::as_ptr))
    }

    /// The last name of the path: the function or method.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.last().map_or("", Word::as_str)
    }
}

/// Functions of libraries that give a function which answers as the one that they are given does.
const KEEPERS: &[&str] = &["cache", "unstable_cache", "memoize", "memoizeOne", "once", "useCallback"];

/// The function that is written into a call which keeps its answers: `cache(async () => …)` of React.
fn kept_function(unit: &Unit, called: &Symbol, call: &Call) -> Option<FunctionId> {
    let (Symbol::External { path, .. } | Symbol::Unknown(path)) = called else { return None };
    let ExprKind::Function(id) = unit.ir.expr(call.positional(0)?) else { return None };
    path.last().is_some_and(|name| KEEPERS.contains(&name.as_str())).then_some(*id)
}

/// The class of which a call asks a container for an object: `container.resolve(Files)`, `this.moduleRef.get(Files)`.
fn asks_container(unit: &Unit, call: &Call) -> Option<ExprId> {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    let holder = match unit.ir.expr(*object) {
        ExprKind::Name(NameRef::Binding(id)) => match unit.ir.binding(*id)?.kind {
            BindingKind::Import(number) => match unit.ir.imports.get(number as usize)?.kind {
                ImportKind::Named(name) => unit.ir.text(name),
                _ => unit.ir.binding_name(*id),
            },
            _ => unit.ir.binding_name(*id),
        },
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        _ => return None,
    };
    let asks = matches!(unit.ir.text(*property), "resolve" | "get")
        && matches!(holder, "container" | "Container" | "injector" | "moduleRef" | "module_ref" | "ioc");
    call.positional(0).filter(|first| asks && matches!(unit.ir.expr(*first), ExprKind::Name(_)))
}

impl Project {
    /// What an expression stands for.
    #[must_use]
    pub fn symbol(&self, at: At) -> Symbol {
        self.symbol_in(at, DEPTH)
    }

    fn symbol_in(&self, at: At, depth: u32) -> Symbol {
        let Some(unit) = self.unit(at.module) else { return Symbol::Unknown(Path::EMPTY) };
        let find = || self.find_symbol(at, depth);
        // What was looked for elsewhere is kept, whatever it is; what only says how it is written is found as soon as it would
        // be read.
        let is_far = match unit.ir.expr(at.expr) {
            ExprKind::Name(NameRef::Binding(id)) => return self.bound_symbol(at.module, *id, depth),
            ExprKind::Call(_) | ExprKind::Super => true,
            ExprKind::Member { .. } | ExprKind::Index { .. } => false,
            _ => return find(),
        };
        let is_worth = |symbol: &Symbol| is_far || !matches!(symbol, Symbol::Unknown(_));
        self.memory.symbols.ask_if(at, Symbol::Unknown(Path::EMPTY), find, is_worth)
    }

    /// What a binding stands for, wherever it is used.
    pub(super) fn bound_symbol(&self, module: ModuleId, id: BindingId, depth: u32) -> Symbol {
        let (Some(depth), Some(unit)) = (self.step(depth), self.unit(module)) else {
            return Symbol::Unknown(Path::EMPTY);
        };
        let find = || self.binding_symbol(module, id, depth);
        self.memory.symbols.ask(unit.place_of(module, id), Symbol::Unknown(Path::EMPTY), find)
    }

    /// One step further; none when there were too many.
    pub(super) fn step(&self, depth: u32) -> Option<u32> {
        let next = depth.checked_sub(1);
        if next.is_none() {
            self.memory.symbols.cut();
        }
        next
    }

    fn find_symbol(&self, at: At, depth: u32) -> Symbol {
        let unknown = || Symbol::Unknown(Path::EMPTY);
        let (Some(depth), Some(unit)) = (self.step(depth), self.unit(at.module)) else {
            return unknown();
        };
        let below = |expr: ExprId| self.symbol_in(at.to(expr), depth);
        if let Some(kept) = self.kept_for_application(at) {
            let kept = self.symbol_in(kept, depth);
            if !matches!(kept, Symbol::Unknown(_)) {
                return kept;
            }
        }
        match unit.ir.expr(at.expr) {
            ExprKind::Name(NameRef::Binding(binding)) => self.bound_symbol(at.module, *binding, depth),
            ExprKind::Name(NameRef::Global(name)) => Symbol::Unknown(Path::of(unit.ir.text(*name))),
            ExprKind::This => this_class(&unit.ir, unit.index.function(at.expr)).map_or_else(
                || Symbol::Unknown(Path::of("this")),
                |id| Symbol::Instance(Cls { module: at.module, id }),
            ),
            ExprKind::Super => {
                let class = this_class(&unit.ir, unit.index.function(at.expr));
                let base = class.and_then(|id| unit.ir.class(id)?.bases.first().copied());
                match base.map(below) {
                    Some(Symbol::Class(class)) => Symbol::Instance(class),
                    Some(other) => other,
                    None => Symbol::Unknown(Path::of("super")),
                }
            }
            ExprKind::Member { object, property, .. } => {
                self.member(below(*object), unit.ir.text(*property), depth)
            }
            ExprKind::Index { object, index, .. } => match (below(*object), unit.ir.expr(*index)) {
                (class, _) if unit.ir.language == Language::Python && is_class(&class) => class,
                (of, ExprKind::String(name)) => self.member(of, unit.ir.text(*name), depth),
                (of, _) => self.member(of, "[]", depth),
            },
            ExprKind::Call(call) => {
                let callee = unit.ir.expr(call.callee);
                // `f.bind(x)` is `f`; `super().__init__` is looked up as a member.
                if let ExprKind::Super = callee {
                    return below(call.callee);
                }
                let called = below(call.callee);
                if let Some(kept) = kept_function(unit, &called, call) {
                    return Symbol::Function(Fun { module: at.module, id: kept });
                }
                match (asks_container(unit, call), self.result(called, depth)) {
                    (Some(class), Symbol::Unknown(_) | Symbol::External { .. }) => match below(class) {
                        Symbol::Class(class) => Symbol::Instance(class),
                        _ => unknown(),
                    },
                    (_, result) => result,
                }
            }
            ExprKind::Await(value) | ExprKind::Spread(value) => below(*value),
            ExprKind::Import(specifier) => match unit.ir.expr(*specifier) {
                ExprKind::String(text) => self.module_symbol(at.module, unit.ir.text(*text)),
                _ => unknown(),
            },
            ExprKind::Function(id) => Symbol::Function(Fun { module: at.module, id: *id }),
            ExprKind::Class(id) => Symbol::Class(Cls { module: at.module, id: *id }),
            ExprKind::Object(_) | ExprKind::Array { .. } => Symbol::Value(at),
            ExprKind::Assign { value, .. } => below(*value),
            ExprKind::Logical { left, right, .. } => known_or(below(*left), || below(*right)),
            ExprKind::Conditional { then, otherwise, .. } => known_or(below(*then), || below(*otherwise)),
            ExprKind::Sequence(items) => items.last().map_or_else(unknown, |last| below(*last)),
            _ => unknown(),
        }
    }

    fn module_symbol(&self, from: ModuleId, specifier: &str) -> Symbol {
        let external = || Symbol::External { package: Word::new(specifier), path: Path::EMPTY };
        let module = self.imported_module(from, specifier);
        module.filter(|module| *module != from).map_or_else(external, Symbol::Module)
    }

    fn binding_symbol(&self, module: ModuleId, id: BindingId, depth: u32) -> Symbol {
        let unknown = || Symbol::Unknown(Path::EMPTY);
        let (Some(depth), Some(unit)) = (self.step(depth), self.unit(module)) else { return unknown() };
        let Some(binding) = unit.ir.binding(id) else { return unknown() };
        let name = unit.ir.text(binding.name);
        match binding.kind {
            BindingKind::Import(number) => {
                let Some(import) = unit.ir.imports.get(number as usize) else { return unknown() };
                let specifier = unit.ir.text(import.specifier);
                let from = match self.named_module(module, import.specifier) {
                    Some(from) => Symbol::Module(from),
                    None => Symbol::External { package: Word::new(specifier), path: Path::EMPTY },
                };
                match (import.kind, from) {
                    (ImportKind::Named(wanted), Symbol::Module(from)) => {
                        let wanted = unit.ir.text(wanted);
                        self.export(from, wanted, depth).unwrap_or_else(|| {
                            let dot = if specifier.ends_with('.') { "" } else { "." };
                            match self.module_symbol(module, &format!("{specifier}{dot}{wanted}")) {
                                Symbol::Module(module) => Symbol::Module(module),
                                _ => Symbol::Unknown(Path::of(name)),
                            }
                        })
                    }
                    (ImportKind::Named(wanted), Symbol::External { package, .. }) => {
                        // `from . import db` names a module, not an export of one.
                        let dot = if specifier.ends_with('.') { "" } else { "." };
                        let wanted = unit.ir.text(wanted);
                        match self.module_symbol(module, &format!("{specifier}{dot}{wanted}")) {
                            Symbol::Module(found) => Symbol::Module(found),
                            _ => Symbol::External { package, path: Path::of(wanted) },
                        }
                    }
                    (ImportKind::Default, Symbol::Module(from)) => self
                        .export(from, "default", depth)
                        .or_else(|| self.export(from, Export::WHOLE, depth))
                        .unwrap_or(Symbol::Module(from)),
                    (ImportKind::Default, Symbol::External { package, .. }) => {
                        Symbol::External { package, path: Path::of("default") }
                    }
                    (_, from) => from,
                }
            }
            BindingKind::Function(id) => Symbol::Function(Fun { module, id }),
            BindingKind::Class(id) => Symbol::Class(Cls { module, id }),
            BindingKind::Parameter(_) | BindingKind::Variable | BindingKind::Caught | BindingKind::Other => {
                if let Some(text) = binding.type_text {
                    let typed = self.type_symbol(module, unit.ir.text(text), depth);
                    if !matches!(typed, Symbol::Unknown(_)) {
                        return typed;
                    }
                } else if let BindingKind::Parameter(_) = binding.kind
                    && let Some(taken) = self.taken_out(module, id, depth)
                {
                    return taken;
                }
                for source in unit.index.sources(id) {
                    let mut symbol = self.symbol_in(At { module, expr: source.value }, depth);
                    for step in &source.path {
                        symbol = match step {
                            Step::Key(key) => self.member(symbol, unit.ir.text(*key), depth),
                            Step::Entered => symbol,
                            _ => Symbol::Unknown(Path::EMPTY),
                        };
                    }
                    if !matches!(symbol, Symbol::Unknown(_)) {
                        return symbol;
                    }
                }
                Symbol::Unknown(Path::of(name))
            }
        }
    }

    /// What a module exports under a name.
    fn export(&self, module: ModuleId, name: &str, depth: u32) -> Option<Symbol> {
        let depth = self.step(depth)?;
        let unit = self.unit(module)?;
        for export in self.exports_as(module, name) {
            return Some(match export.kind {
                ExportKind::Binding(binding) => self.bound_symbol(module, binding, depth),
                ExportKind::Value(expr) => self.symbol_in(At { module, expr }, depth),
                ExportKind::From { specifier, name } => {
                    if let (Some(from), Some(name)) = (self.named_module(module, specifier), name) {
                        return self.export(from, unit.ir.text(name), depth);
                    }
                    match (self.module_symbol(module, unit.ir.text(specifier)), name) {
                        (Symbol::External { package, .. }, Some(name)) => {
                            Symbol::External { package, path: Path::of(unit.ir.text(name)) }
                        }
                        (symbol, _) => symbol,
                    }
                }
                ExportKind::All { .. } => continue,
            });
        }
        let passed = self.passed(module)?;
        passed.exported.iter().chain(&passed.imported).find_map(|from| self.export(*from, name, depth))
    }

    /// The modules of which a module passes everything on.
    pub(super) fn passed(&self, module: ModuleId) -> Option<&Passed> {
        let unit = self.unit(module)?;
        let cell = self.memory.passed.get(module.index())?;
        Some(cell.get_or_init(|| {
            let exported = unit.ir.exports.iter().filter_map(|export| match export.kind {
                ExportKind::All { specifier } => self.named_module(module, specifier),
                _ => None,
            });
            let stars = unit.ir.imports.iter().filter(|import| import.kind == ImportKind::Star);
            let imported = stars.filter_map(|import| self.named_module(module, import.specifier));
            Passed { exported: exported.collect(), imported: imported.collect() }
        }))
    }

    /// The other module that a specifier names in a module.
    pub(super) fn named_module(&self, from: ModuleId, specifier: Name) -> Option<ModuleId> {
        if let Some(known) = self.memory.named_modules.borrow().get(&(from, specifier)) {
            return *known;
        }
        let text = self.unit(from)?.ir.text(specifier);
        let found = self.imported_module(from, text).filter(|module| *module != from);
        self.memory.named_modules.borrow_mut().insert((from, specifier), found);
        found
    }

    /// The exports of a module that have a name.
    pub(super) fn exports_as(&self, module: ModuleId, name: &str) -> impl Iterator<Item = &Export> {
        let place = self.texts.place(name);
        let all = self.exports.get(module.index()).map_or(&[][..], |all| all);
        let start = all.partition_point(|(own, _)| Some(*own) < place);
        let unit = self.unit(module);
        let own = all.get(start..).unwrap_or_default().iter().take_while(move |(own, _)| Some(*own) == place);
        own.filter_map(move |(_, number)| unit?.ir.exports.get(*number as usize))
    }

    /// Where an imported variable is declared, through as many modules as pass it on.
    #[must_use]
    pub fn declared(&self, module: ModuleId, id: BindingId) -> Option<(ModuleId, BindingId)> {
        if let Some(known) = self.memory.declared.borrow().get(&(module, id)) {
            return *known;
        }
        let found = self.declared_in(module, id, DEPTH);
        self.memory.declared.borrow_mut().insert((module, id), found);
        found
    }

    fn declared_in(&self, module: ModuleId, id: BindingId, depth: u32) -> Option<(ModuleId, BindingId)> {
        let depth = self.step(depth)?;
        let unit = self.unit(module)?;
        let BindingKind::Import(number) = unit.ir.binding(id)?.kind else { return Some((module, id)) };
        let import = unit.ir.imports.get(number as usize)?;
        let wanted = match import.kind {
            ImportKind::Named(wanted) => unit.ir.text(wanted),
            ImportKind::Default => "default",
            _ => return None,
        };
        self.exported(self.named_module(module, import.specifier)?, wanted, depth)
    }

    fn exported(&self, module: ModuleId, name: &str, depth: u32) -> Option<(ModuleId, BindingId)> {
        let depth = self.step(depth)?;
        let unit = self.unit(module)?;
        let own = self.exports_as(module, name).find_map(|export| match export.kind {
            ExportKind::Binding(binding) => self.declared_in(module, binding, depth),
            ExportKind::From { specifier, name: Some(name) } => {
                self.exported(self.named_module(module, specifier)?, unit.ir.text(name), depth)
            }
            _ => None,
        });
        own.or_else(|| {
            self.passed(module)?.exported.iter().find_map(|from| self.exported(*from, name, depth))
        })
    }

    /// A member of what an expression stands for.
    pub(super) fn member(&self, of: Symbol, name: &str, depth: u32) -> Symbol {
        let Some(depth) = self.step(depth) else { return Symbol::Unknown(Path::EMPTY) };
        let as_written = |first: &str| Symbol::Unknown(Path::of(first).then(name));
        match of {
            Symbol::Module(module) => self
                .export(module, name, depth)
                .or_else(|| Some(self.member(self.export(module, Export::WHOLE, depth)?, name, depth)))
                .unwrap_or_else(|| as_written("module")),
            Symbol::Class(class) | Symbol::Instance(class) => {
                self.class_member(class, name, depth).unwrap_or_else(|| as_written(self.class_name(class)))
            }
            Symbol::Value(at) => self.literal_member(at, name, depth).unwrap_or_else(|| as_written("object")),
            Symbol::Shape(of) => self.shape_member(of, name, depth),
            Symbol::Function(fun) => match name {
                "bind" | "call" | "apply" => Symbol::Function(fun),
                _ => as_written(self.function_name(fun)),
            },
            Symbol::External { package, path } => Symbol::External { package, path: path.then(name) },
            Symbol::Unknown(path) => Symbol::Unknown(path.then(name)),
        }
    }

    fn literal_member(&self, at: At, name: &str, depth: u32) -> Option<Symbol> {
        let unit = self.unit(at.module)?;
        let ExprKind::Object(properties) = unit.ir.expr(at.expr) else { return None };
        let found = properties.iter().rev().find(|property| match property.key {
            PropertyKey::Name(key) => unit.ir.text(key) == name,
            _ => false,
        });
        if let Some(found) = found {
            return Some(self.symbol_in(at.to(found.value), depth));
        }
        // `{ ...notes, …}` has what `notes` has.
        let spread = properties.iter().rev().filter(|property| property.key == PropertyKey::Spread).take(4);
        spread.map(|property| self.symbol_in(at.to(property.value), depth)).find_map(|of| match of {
            Symbol::Value(_) | Symbol::Instance(_) | Symbol::Module(_) | Symbol::Shape(_) => {
                let member = self.member(of, name, depth);
                (!matches!(member, Symbol::Unknown(_))).then_some(member)
            }
            _ => None,
        })
    }

    fn class_member(&self, class: Cls, name: &str, depth: u32) -> Option<Symbol> {
        let depth = self.step(depth)?;
        if let Some(fun) = self.method(class, name) {
            let unit = self.unit(fun.module)?;
            let getter =
                unit.ir.function(fun.id).is_some_and(|function| function.kind == FunctionKind::Getter);
            return Some(if getter {
                self.result(Symbol::Function(fun), depth)
            } else {
                Symbol::Function(fun)
            });
        }
        let unit = self.unit(class.module)?;
        let decl = unit.ir.class(class.id)?;
        let typed = |text: Option<Name>| {
            let symbol = self.type_symbol(class.module, unit.ir.text(text?), depth);
            (!matches!(symbol, Symbol::Unknown(_))).then_some(symbol)
        };
        let mut values: Vec<ExprId> = Vec::new();
        for field in decl.fields.iter().filter(|field| unit.ir.text(field.name) == name) {
            if let Some(symbol) = typed(field.type_text) {
                return Some(symbol);
            }
            values.extend(field.value);
        }
        for method in &decl.methods {
            let Some(function) = unit.ir.function(*method) else { continue };
            if function.kind != FunctionKind::Constructor {
                continue;
            }
            let stored = function.params.iter().find(|parameter| {
                parameter.is_field && parameter.name.is_some_and(|own| unit.ir.text(own) == name)
            });
            if let Some(symbol) = stored.and_then(|parameter| typed(parameter.type_text)) {
                return Some(symbol);
            }
        }
        values.extend(self.field_writes(class, name).iter().map(|write| write.expr));
        for expr in values {
            let symbol = self.symbol_in(At { module: class.module, expr }, depth);
            if !matches!(symbol, Symbol::Unknown(_)) {
                return Some(symbol);
            }
        }
        // What a class of the project has is known; what one of a library has is not.
        let bases = || {
            let of = |base: &ExprId| self.symbol_in(At { module: class.module, expr: *base }, depth);
            decl.bases.iter().map(of)
        };
        let own = bases().find_map(|base| match base {
            Symbol::Class(base) if base != class => self.class_member(base, name, depth),
            _ => None,
        });
        own.or_else(|| {
            bases().find_map(|base| match base {
                Symbol::External { package, path } => {
                    Some(Symbol::External { package, path: path.then(name) })
                }
                _ => None,
            })
        })
    }

    /// What a call of something gives.
    pub(super) fn result(&self, of: Symbol, depth: u32) -> Symbol {
        let Some(depth) = self.step(depth) else { return Symbol::Unknown(Path::EMPTY) };
        match of {
            Symbol::Class(class) => Symbol::Instance(class),
            Symbol::Function(fun) => {
                let as_written = || Symbol::Unknown(Path::of(self.function_name(fun)));
                let Some(unit) = self.unit(fun.module) else { return as_written() };
                let Some(function) = unit.ir.function(fun.id) else { return as_written() };
                if function.kind == FunctionKind::Constructor
                    && let Some(id) = function.class
                {
                    return Symbol::Instance(Cls { module: fun.module, id });
                }
                if let Some(text) = function.return_type {
                    let symbol = self.type_symbol(fun.module, unit.ir.text(text), depth);
                    if !matches!(symbol, Symbol::Unknown(_)) {
                        return symbol;
                    }
                }
                let found = unit.index.returns(fun.id).iter().take(4).find_map(|expr| {
                    let symbol = self.symbol_in(At { module: fun.module, expr: *expr }, depth);
                    (!matches!(symbol, Symbol::Unknown(_))).then_some(symbol)
                });
                found.unwrap_or_else(as_written)
            }
            Symbol::External { package, path } => {
                let defs = self.libraries.calls_of(&package, &path);
                match defs.iter().find_map(|def| def.returns.as_ref()) {
                    Some(returns) => Symbol::External {
                        package,
                        path: Path::all(returns.split('.').map(Word::new).collect()),
                    },
                    None if path.is_empty() => Symbol::External { package, path: Path::of("default") },
                    None => Symbol::External { package, path },
                }
            }
            other => other,
        }
    }

    /// The classes that extend one, at any distance.
    #[must_use]
    pub fn subclasses(&self, class: Cls) -> &[Cls] {
        self.subclasses.get(&class).map_or(&[], Vec::as_slice)
    }
}

/// Whether something is a class, which Python makes a type of by what stands in brackets: `Repository[Note]` is `Repository`.
fn is_class(symbol: &Symbol) -> bool {
    match symbol {
        Symbol::Class(_) => true,
        Symbol::External { path, .. } => path
            .last()
            .is_some_and(|name| name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase)),
        _ => false,
    }
}

fn known_or(first: Symbol, second: impl FnOnce() -> Symbol) -> Symbol {
    match first {
        Symbol::Unknown(path) => match second() {
            Symbol::Unknown(_) => Symbol::Unknown(path),
            known => known,
        },
        known => known,
    }
}

/// What a module exports, by numbers in its list, in the order of the places of their names.
pub(crate) fn exports(unit: &super::Unit) -> Box<[(u32, u32)]> {
    let exports = (0..).zip(&unit.ir.exports);
    let named = exports.filter(|(_, export)| !matches!(export.kind, ExportKind::All { .. }));
    let mut all: Box<[(u32, u32)]> =
        named.filter_map(|(number, export)| Some((unit.ir.names.place(export.name)?, number))).collect();
    all.sort_unstable();
    all
}

/// The names that a module binds in its own scope, in the order of their places.
pub(crate) fn globals(unit: &super::Unit) -> Box<[(u32, BindingId)]> {
    let own = unit.ir.bindings().filter(|(_, binding)| binding.scope == crate::ir::ScopeId::MODULE);
    let mut all: Box<[(u32, BindingId)]> =
        own.filter_map(|(id, binding)| Some((unit.ir.names.place(binding.name)?, id))).collect();
    all.sort_unstable();
    all
}
