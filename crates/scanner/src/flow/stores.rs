//! Maps and caches that outlive a request, and what is done with them.

use std::collections::BTreeSet;

use crate::{
    flow::{Lifetimes, Origins},
    ir::{
        ArgKind, BindingId, BindingKind, CompareOp, ExprId, ExprKind, FunctionKind, Kinds, Language, NameRef,
        PropertyKey,
    },
    library::Role,
    project::{At, Cls, Fun, ModuleId, Parent, Project, Symbol, Unit},
    vocabulary,
};

/// A map, cache or pool that several requests use.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Store {
    /// A variable of a module, or of a function that runs once.
    Variable(ModuleId, BindingId),
    /// A field of objects of a class.
    Field(Cls, String),
    /// What an application keeps for all requests, by where it is made: `app.state.cache = {}`.
    Kept(ModuleId, ExprId),
}

/// How many names are followed to a store: `cache = services.cache`.
const ALIASES: u32 = 3;

/// A read or write of a store under a key.
#[derive(Debug, Clone)]
pub struct Access {
    /// Which store.
    pub store: Store,
    /// The name of the store for messages.
    pub name: String,
    /// The expression of the access.
    pub at: At,
    /// The key.
    pub key: At,
    /// The stored value; none for a read.
    pub value: Option<At>,
    /// The function that does it.
    pub function: Fun,
}

/// Calls that make an empty map or cache.
const CONTAINERS: &[&str] = &[
    "Map",
    "dict",
    "defaultdict",
    "OrderedDict",
    "LRUCache",
    "TTLCache",
    "LRU",
    "QuickLRU",
    "NodeCache",
    "Cache",
    "LFUCache",
    "TLRUCache",
    "ExpiringDict",
    "WeakValueDictionary",
    "Keyv",
    "ExpiryMap",
    "TTLMap",
    "LruCache",
];

const READS: &[&str] = &["get", "has", "peek", "fetch", "getItem"];
const WRITES: &[&str] = &["set", "setdefault", "put", "setItem", "setex", "store"];

impl Project {
    /// All accesses of maps and caches that outlive a request.
    #[must_use]
    pub fn accesses(&self) -> &[Access] {
        self.memory.accesses.get_or_init(|| self.find_accesses())
    }

    /// The accesses by which a function puts something into such a map or cache.
    pub fn puts_of(&self, fun: Fun) -> impl Iterator<Item = &Access> {
        let accesses = self.accesses();
        let by_function = self.memory.puts.get_or_init(|| {
            let mut puts: rustc_hash::FxHashMap<Fun, Vec<usize>> = rustc_hash::FxHashMap::default();
            for (number, access) in accesses.iter().enumerate().filter(|(_, access)| access.value.is_some()) {
                puts.entry(access.function).or_default().push(number);
            }
            puts
        });
        by_function.get(&fun).into_iter().flatten().filter_map(|number| accesses.get(*number))
    }

    fn find_accesses(&self) -> Vec<Access> {
        let mut all = Vec::new();
        let likely =
            self.calls_named(|name| READS.contains(&name) || WRITES.contains(&name) || name == "update");
        for (module, unit) in self.units() {
            for write in &unit.index.writes {
                if let ExprKind::Index { object, index, .. } = unit.ir.expr(write.place) {
                    let at = At { module, expr: write.place };
                    self.access(at, *object, *index, Some(write.value), &mut all);
                    // `return (found[id] ??= await load(id))` reads it too.
                    let read = match unit.index.parent(write.place) {
                        Parent::Expr(up) => {
                            matches!(unit.ir.expr(up), ExprKind::Assign { logical: Some(_), .. })
                        }
                        _ => false,
                    };
                    if read {
                        self.access(at, *object, *index, None, &mut all);
                    }
                }
            }
            let mut written: Vec<ExprId> = unit.index.writes.iter().map(|write| write.place).collect();
            written.sort_unstable();
            for (id, expr) in unit.ir.exprs_of(Kinds::INDEX | Kinds::COMPARE | Kinds::CALL) {
                let at = At { module, expr: id };
                match expr {
                    ExprKind::Index { object, index, .. } if written.binary_search(&id).is_err() => {
                        self.access(at, *object, *index, None, &mut all);
                    }
                    ExprKind::Compare { op: CompareOp::In | CompareOp::NotIn, left, right } => {
                        self.access(at, *right, *left, None, &mut all);
                    }
                    ExprKind::Call(call) if likely.has(at) => self.access_call(at, call, &mut all),
                    _ => {}
                }
            }
        }
        all
    }

    fn access_call(&self, at: At, call: &crate::ir::Call, all: &mut Vec<Access>) {
        let Some(unit) = self.unit(at.module) else { return };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
        let method = unit.ir.text(*property);
        // `cache.update({query: rows})`
        if method == "update" && unit.ir.language == Language::Python {
            if let Some(ExprKind::Object(properties)) = call.positional(0).map(|given| unit.ir.expr(given)) {
                for property in properties {
                    if let PropertyKey::Computed(key) = property.key {
                        self.access(at, *object, key, Some(property.value), all);
                    }
                }
            }
            return;
        }
        let plain: Vec<ExprId> = call
            .args
            .iter()
            .filter(|arg| matches!(arg.kind, ArgKind::Positional))
            .map(|arg| arg.value)
            .collect();
        let Some(key) = plain.first().copied() else { return };
        if WRITES.contains(&method) {
            // `setex(key, seconds, value)` has the value last; `set(key, value, options)` second.
            let value = if method == "setex" { plain.last() } else { plain.get(1) };
            if let Some(value) = value {
                self.access(at, *object, key, Some(*value), all);
            }
        } else if READS.contains(&method) {
            self.access(at, *object, key, None, all);
        }
    }

    fn access(&self, at: At, object: ExprId, key: ExprId, value: Option<ExprId>, all: &mut Vec<Access>) {
        let Some((store, name)) = self.store(at.to(object)) else { return };
        let function = self.function_of(at);
        let value = value.map(|value| at.to(value));
        all.push(Access { store, name, at, key: at.to(key), value, function });
    }

    /// The store that an expression is, and its name.
    #[must_use]
    pub fn store(&self, at: At) -> Option<(Store, String)> {
        self.store_in(at, ALIASES)
    }

    fn store_in(&self, at: At, steps: u32) -> Option<(Store, String)> {
        let unit = self.unit(at.module)?;
        let python = unit.ir.language == Language::Python;
        match unit.ir.expr(at.expr) {
            ExprKind::Name(NameRef::Binding(id)) => {
                self.variable_store(at, *id).or_else(|| self.aliased_store(at, *id, steps))
            }
            ExprKind::Member { object, property, .. } => {
                let name = unit.ir.text(*property);
                let class = match unit.ir.expr(*object) {
                    ExprKind::This => self.this_of(self.function_of(at))?,
                    ExprKind::Name(_) | ExprKind::Member { .. } => match self.symbol(at.to(*object)) {
                        Symbol::Class(class) => class,
                        // `state.cache` of `from . import state`
                        Symbol::Module(module) if python => {
                            let id = self.global(module, name)?;
                            return self.variable_store(At { module, expr: ExprId::MISSING }, id);
                        }
                        // `services.cache` of the one `services` of the module.
                        Symbol::Instance(class) if python && self.is_shared_object(at.to(*object)) => class,
                        _ => return self.kept_store(at, steps),
                    },
                    _ => return None,
                };
                self.field_store(class, name)
            }
            ExprKind::Index { .. } if python => self.kept_store(at, steps),
            _ => None,
        }
    }

    /// Whether an object is one that all requests use.
    fn is_shared_object(&self, at: At) -> bool {
        Lifetimes::new(self).cell(at).is_some()
    }

    /// The store of which a variable of a function is only another name: `cache = services.cache`.
    fn aliased_store(&self, at: At, id: BindingId, steps: u32) -> Option<(Store, String)> {
        let steps = steps.checked_sub(1)?;
        let unit = self.unit(at.module).filter(|unit| unit.ir.language == Language::Python)?;
        let [source] = unit.index.sources(id) else { return None };
        let value = at.to(source.value);
        let names = match unit.ir.expr(source.value) {
            ExprKind::Name(NameRef::Binding(other)) => *other != id && unit.ir.is_module_level(*other),
            ExprKind::Member { .. } | ExprKind::Index { .. } => true,
            _ => false,
        };
        (names && source.path.is_empty()).then(|| self.store_in(value, steps))?
    }

    /// The store that an application keeps under a name: `request.app.state.cache`, `lifespan_context["cache"]`.
    fn kept_store(&self, at: At, steps: u32) -> Option<(Store, String)> {
        let steps = steps.checked_sub(1)?;
        let unit = self.unit(at.module).filter(|unit| unit.ir.language == Language::Python)?;
        let (object, name) = match unit.ir.expr(at.expr) {
            ExprKind::Member { object, property, .. } => (*object, unit.ir.text(*property)),
            ExprKind::Index { object, index, .. } => match unit.ir.expr(*index) {
                ExprKind::String(name) => (*object, unit.ir.text(*name)),
                _ => return None,
            },
            _ => return None,
        };
        let value = self.kept_for_application(at).or_else(|| {
            let whole = self.kept_for_application(at.to(self.named(unit, object)))?;
            let home = self.unit(whole.module)?;
            let ExprKind::Object(properties) = home.ir.expr(whole.expr) else { return None };
            properties.iter().find_map(|property| match property.key {
                PropertyKey::Name(own) if home.ir.text(own) == name => Some(whole.to(property.value)),
                _ => None,
            })
        })?;
        if self.is_container(value) {
            return Some((Store::Kept(value.module, value.expr), name.to_owned()));
        }
        // `cache = {}` in a lifespan that yields it.
        let home = self.unit(value.module)?;
        let ExprKind::Name(NameRef::Binding(id)) = home.ir.expr(value.expr) else { return None };
        let [source] = home.index.sources(*id) else { return self.store_in(value, steps) };
        let made = source.path.is_empty() && self.is_container(value.to(source.value));
        match made {
            true => Some((Store::Kept(value.module, source.value), name.to_owned())),
            false => self.store_in(value, steps),
        }
    }

    /// What a variable of a function is only another name for, or the expression itself.
    fn named(&self, unit: &Unit, expr: ExprId) -> ExprId {
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) else { return expr };
        match unit.index.sources(*id) {
            [source]
                if source.path.is_empty()
                    && matches!(
                        unit.ir.expr(source.value),
                        ExprKind::Member { .. } | ExprKind::Index { .. }
                    ) =>
            {
                source.value
            }
            _ => expr,
        }
    }

    fn variable_store(&self, at: At, id: BindingId) -> Option<(Store, String)> {
        let unit = self.unit(at.module)?;
        let binding = unit.ir.binding(id)?;
        let name = unit.ir.text(binding.name).to_owned();
        if let BindingKind::Import(_) = binding.kind {
            // An imported store is known where it is made; the use counts there too.
            if let Some((module, declared)) = self.declared(at.module, id)
                && module != at.module
            {
                let at = At { module, expr: ExprId::MISSING };
                return self.variable_store(at, declared);
            }
            let symbol = self.symbol(at);
            return match symbol {
                crate::project::Symbol::External { .. } if vocabulary::is_cache(&name) => {
                    Some((Store::Variable(at.module, id), name))
                }
                _ => None,
            };
        }
        if binding.kind != BindingKind::Variable {
            return None;
        }
        let owner = Fun { module: at.module, id: unit.ir.binding_function(id) };
        let lives = if unit.ir.is_module_level(id) {
            true
        } else {
            // A variable of a function around the use, which does not itself run for each request.
            owner != self.function_of(at) && self.reach(owner).is_none()
        };
        let sources = unit.index.sources(id);
        let made =
            sources.iter().any(|source| source.path.is_empty() && self.is_container(at.to(source.value)));
        let typed = binding.type_text.is_some_and(|text| is_map_type(unit.ir.text(text)));
        // A redis client or a cache of a library is one by its name, if it is not a plain object.
        let named = vocabulary::is_cache(&name) && unit.ir.is_module_level(id);
        (lives && (made || typed || named)).then_some((Store::Variable(at.module, id), name))
    }

    fn field_store(&self, class: Cls, name: &str) -> Option<(Store, String)> {
        let unit = self.unit(class.module)?;
        let decl = unit.ir.class(class.id)?;
        if self.is_per_tenant(class) {
            return None;
        }
        let field = decl.fields.iter().find(|field| unit.ir.text(field.name) == name);
        let typed =
            field.and_then(|field| field.type_text).is_some_and(|text| is_map_type(unit.ir.text(text)));
        let first = field.and_then(|field| field.value).map(|expr| At { module: class.module, expr });
        let writes = self.field_writes(class, name);
        let made = first.into_iter().chain(writes.iter().copied()).any(|at| self.is_container(at));
        (typed || made || vocabulary::is_cache(name))
            .then(|| (Store::Field(class, name.to_owned()), name.to_owned()))
    }

    /// Whether objects of a class belong to one tenant or request: a field or constructor argument says whose they are, or
    /// the class is made for a request.
    #[must_use]
    pub fn is_per_tenant(&self, class: Cls) -> bool {
        let Some(unit) = self.unit(class.module) else { return false };
        let Some(decl) = unit.ir.class(class.id) else { return false };
        // Who registers the routes is there before any request: its context is the server's.
        let serves = Lifetimes::new(self).registers_routes(class);
        let owner = |name: &str| {
            vocabulary::is_owner(name)
                || vocabulary::is_principal(name)
                || matches!(name, "request" | "req" | "token" | "access_token" | "accessToken")
                || (!serves && matches!(name, "ctx" | "context"))
        };
        // A singleton whose field is overwritten by requests belongs to none of them.
        let single = decl.decorators.iter().any(|expr| {
            let text = unit.ir.snippet(unit.ir.span(*expr));
            text.contains("Injectable") && !text.contains("Scope.")
        });
        let overwritten = |name: &str| {
            self.field_writes(class, name).iter().any(|at| {
                let writer = self.function_of(*at);
                let kind = self
                    .unit(writer.module)
                    .and_then(|unit| unit.ir.function(writer.id))
                    .map(|function| function.kind);
                kind != Some(FunctionKind::Constructor)
            })
        };
        let field = decl.fields.iter().any(|field| {
            let name = unit.ir.text(field.name);
            owner(name.trim_start_matches(['#', '_'])) && !(single && overwritten(name))
        });
        let argument = decl.methods.iter().any(|id| {
            let Some(function) = unit.ir.function(*id) else { return false };
            function.kind == FunctionKind::Constructor
                && function
                    .params
                    .iter()
                    .any(|parameter| parameter.name.is_some_and(|name| owner(unit.ir.text(name))))
        });
        field || argument
    }

    /// What a field of a class is set to: where it is declared, and in its methods.
    #[must_use]
    pub fn field_values(&self, class: Cls, name: &str) -> Vec<At> {
        let declared = self.unit(class.module).and_then(|unit| {
            let fields = unit.ir.class(class.id)?.fields.iter();
            let value =
                fields.filter(|field| unit.ir.text(field.name) == name).find_map(|field| field.value)?;
            Some(At { module: class.module, expr: value })
        });
        let writes = self.field_writes(class, name);
        declared.into_iter().chain(writes.iter().copied()).collect()
    }

    /// Whether an expression makes an empty map or cache.
    fn is_container(&self, at: At) -> bool {
        let Some(unit) = self.unit(at.module) else { return false };
        match unit.ir.expr(at.expr) {
            ExprKind::Object(properties) => properties.is_empty(),
            ExprKind::Call(_) => {
                let Some(callee) = self.callee(at) else { return false };
                CONTAINERS.contains(&callee.name())
                    || callee.defs.iter().any(|def| def.role == Role::CacheNew)
            }
            _ => false,
        }
    }
}

fn is_map_type(text: &str) -> bool {
    let head = text.split(['<', '[']).next().unwrap_or("").trim();
    matches!(
        head.rsplit('.').next(),
        Some(
            "Map"
                | "dict"
                | "Dict"
                | "Record"
                | "MutableMapping"
                | "OrderedDict"
                | "defaultdict"
                | "LRUCache"
                | "TTLCache"
        )
    ) || text.trim_start().starts_with("{ [")
}

impl Project {
    /// Whether a module's package keeps rows that belong to somebody, or imports one that does: SQL, or a table or model with
    /// an owner. A method of a client of another service that is named like a query is none.
    #[must_use]
    pub fn keeps_rows(&self, module: ModuleId) -> bool {
        let folders = self.memory.keeps_rows.get_or_init(|| self.folders_with_rows());
        self.folder(module).is_some_and(|own| folders.iter().any(|folder| is_within(own, folder)))
    }

    fn folders_with_rows(&self) -> BTreeSet<String> {
        let queries = self.queries();
        let owned = self.owned_entities();
        let is_owned = |entity: &str| owned.get(entity) == Some(&super::Owned::Yes);
        let mut folders: BTreeSet<String> = queries
            .iter()
            .filter(|query| query.is_sql || is_owned(&query.entity))
            .filter_map(|query| self.unit(query.at.module))
            .map(|unit| self.package_folder(&unit.ir.path).to_owned())
            .collect();
        for table in self.tables.tables.values().filter(|table| table.owner.is_some()) {
            folders.insert(self.package_folder(&table.place.path).to_owned());
        }
        self.with_importers(folders)
    }

    /// Whether a module's package, or one that it imports, knows its callers: something in it asks for the verified one.
    #[must_use]
    pub fn knows_callers(&self, module: ModuleId) -> bool {
        let folders = self.memory.knows_callers.get_or_init(|| {
            let asks = |module: ModuleId, unit: &Unit| {
                unit.ir.exprs_of(Kinds::CALL | Kinds::MEMBER | Kinds::INDEX).any(|(expr, kind)| {
                    let likely = match kind {
                        ExprKind::Call(_) => true,
                        ExprKind::Member { object, property, .. } => {
                            let meaning = unit.meaning(*property);
                            let of = match unit.ir.expr(*object) {
                                ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding(*id),
                                _ => None,
                            };
                            // `current_user.id`
                            let caller = || of.is_some_and(|of| unit.meaning(of.name).is_principal());
                            meaning.is_principal()
                                || meaning.is_owner()
                                || (unit.ir.text(*property) == "id" && caller())
                        }
                        // `request["user"]`
                        ExprKind::Index { index, .. } => match unit.ir.expr(*index) {
                            ExprKind::String(name) => unit.meaning(*name).is_owner(),
                            _ => false,
                        },
                        _ => false,
                    };
                    likely && self.origins(At { module, expr }).has(Origins::PRINCIPAL)
                })
            };
            // A command that its user signs in with has no callers.
            let served =
                |unit: &Unit| !unit.ir.path.split('/').any(|part| matches!(part, "cli" | "commands"));
            let mut folders = self.verifying_packages();
            for (module, unit) in self.units() {
                let folder = self.folder(module).unwrap_or_default();
                if served(unit) && asks(module, unit) {
                    folders.insert(folder.to_owned());
                }
            }
            self.with_importers(folders)
        });
        self.folder(module).is_some_and(|own| folders.iter().any(|folder| is_within(own, folder)))
    }

    /// These packages' folders and those of all that import from them.
    pub(super) fn with_importers(&self, mut folders: BTreeSet<String>) -> BTreeSet<String> {
        let imports = self.package_imports();
        // As often as one package can stand behind another.
        for _ in 0..self.packages.len() {
            let before = folders.len();
            for (from, to) in &imports {
                if folders.contains(*to) && !folders.contains(*from) {
                    folders.insert((*from).to_owned());
                }
            }
            if folders.len() == before {
                break;
            }
        }
        folders
    }

    /// Which package's folder imports from which other one.
    fn package_imports(&self) -> BTreeSet<(&str, &str)> {
        let mut edges = BTreeSet::new();
        for (module, unit) in self.units() {
            let from = self.folder(module).unwrap_or_default();
            for import in &unit.ir.imports {
                let specifier = unit.ir.text(import.specifier);
                let target = self.imported_module(module, specifier);
                let Some(to) = target.and_then(|module| self.folder(module)) else { continue };
                if from != to {
                    edges.insert((from, to));
                }
            }
        }
        edges
    }
}

/// Whether a folder is another one or lies in it; all lie in the root.
pub(crate) fn is_within(folder: &str, outer: &str) -> bool {
    outer.is_empty()
        || folder.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
