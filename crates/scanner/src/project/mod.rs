//! Which modules there are and how they name each other.

mod answers;
mod build;
mod callees;
mod calls;
mod compact;
mod imports;
pub mod index;
mod kept;
mod methods;
mod packages;
mod path;
mod resolve;
mod shapes;
mod shelves;
mod types;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

use rustc_hash::FxHashMap;

pub(crate) use answers::Answers;
pub use build::Input;
pub use calls::{CallSet, NameSet};
pub use imports::Paths;
pub use index::{Index, Parent, Source, Step, Write, this_class};
pub(crate) use kept::is_lifespan;
pub use path::{Path, Word};
pub use resolve::{Callee, Symbol};
pub use shapes::Shp;
pub(crate) use shelves::{Made, Small};

use crate::{
    ir::{BindingId, ClassId, ExprId, FunctionId, Module, Name, Span},
    library::Libraries,
    tenancy::{Package, Tenancy},
    vocabulary::{self, Meaning},
};

/// A module of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModuleId(pub u32);

impl ModuleId {
    /// The id as an index.
    #[must_use]
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A function of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fun {
    /// Its module.
    pub module: ModuleId,
    /// Its id there.
    pub id: FunctionId,
}

/// A class of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cls {
    /// Its module.
    pub module: ModuleId,
    /// Its id there.
    pub id: ClassId,
}

/// An expression of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    /// Its module.
    pub module: ModuleId,
    /// Its id there.
    pub expr: ExprId,
}

impl At {
    /// Another expression of the same module.
    #[must_use]
    #[inline]
    pub const fn to(self, expr: ExprId) -> Self {
        Self { module: self.module, expr }
    }
}

/// A module with its index.
#[derive(Debug)]
pub struct Unit {
    /// The program form.
    pub ir: Module,
    /// What stands where in it.
    pub index: Index,
    /// What its names mean, a bit each, with [`KNOWN`] for those that were asked for.
    meanings: Box<[Cell<u8>]>,
}

/// How many bytes of texts that can be read again are held from one rule to the next.
const MOST_TEXT: usize = 32 * 1024 * 1024;

/// The bit of a name whose meaning is known.
const KNOWN: u8 = 1 << 7;

impl Unit {
    /// A module, read once.
    #[must_use]
    pub fn new(ir: Module) -> Self {
        let index = Index::new(&ir);
        let meanings = vec![Cell::new(0); ir.names.len()].into();
        Self { ir, index, meanings }
    }

    /// What a name means, as [`crate::vocabulary::meaning_of`] says it of its text.
    #[must_use]
    #[inline]
    pub fn meaning(&self, name: Name) -> Meaning {
        let Some(cell) = self.meanings.get(name.index()) else { return Meaning::default() };
        let known = cell.get();
        if known & KNOWN != 0 {
            return Meaning::of_bits(known & !KNOWN);
        }
        let meaning = vocabulary::meaning_of(self.ir.text(name));
        cell.set(meaning.bits() | KNOWN);
        meaning
    }

    /// What the name of a binding means.
    #[must_use]
    #[inline]
    pub fn binding_meaning(&self, id: BindingId) -> Meaning {
        self.ir.binding(id).map_or_else(Meaning::default, |binding| self.meaning(binding.name))
    }

    /// How many places there are for what is known of expressions and bindings.
    fn places(&self) -> usize {
        self.ir.exprs.len() + self.ir.bindings.len()
    }

    /// The place of what is known of a binding, behind those of expressions.
    pub(crate) fn place_of(&self, module: ModuleId, id: BindingId) -> At {
        let number = self.ir.exprs.len().saturating_add(id.index());
        At { module, expr: ExprId(u32::try_from(number).unwrap_or(u32::MAX)) }
    }
}

/// All that is known of the scanned code; what rules ask.
#[derive(Debug)]
pub struct Project {
    /// The modules.
    pub units: Vec<Unit>,
    /// What libraries do.
    pub libraries: Libraries,
    /// The tables of the database.
    pub tables: crate::tables::Schema,
    /// Whether several tenants use it, by package folder.
    pub packages: BTreeMap<String, Package>,
    /// The folders of programs that run on somebody's desk.
    pub desktops: std::collections::BTreeSet<String>,
    /// A tenancy that the user has set.
    pub tenancy: Option<Tenancy>,
    paths: Paths,
    /// The folders of the packages that modules belong to, once they are known.
    pub(crate) homes: Vec<std::sync::Arc<str>>,
    pub(crate) callers: FxHashMap<Fun, Vec<At>>,
    /// The calls that make objects of a class.
    pub(crate) made: FxHashMap<Cls, Vec<At>>,
    /// What calls call, by their numbers in `callee_of`.
    pub(crate) callees: Vec<Callee>,
    /// By module and expression; one more than the number, and nothing for what is no call.
    pub(crate) callee_of: Vec<compact::Few>,
    pub(crate) methods: FxHashMap<String, Vec<Fun>>,
    pub(crate) entries: Vec<crate::flow::Entry>,
    pub(crate) entry_of: FxHashMap<Fun, usize>,
    /// Whom what stands before handlers lets in, of those that are not open to everybody.
    pub(crate) admitted: FxHashMap<Fun, crate::flow::Admits>,
    pub(crate) reach: FxHashMap<Fun, crate::flow::Reach>,
    /// By module and function, whether it or one around it is reached by callers, once that is known.
    pub(crate) served: Vec<Box<[bool]>>,
    /// The texts of all modules.
    texts: crate::ir::Texts,
    /// What modules export, as [`resolve::exports`] gives it.
    exports: Vec<Box<[(u32, u32)]>>,
    /// What modules bind, as [`resolve::globals`] gives it.
    globals: Vec<Box<[(u32, BindingId)]>>,
    /// What modules declare of types of objects, as [`shapes::shapes`] gives it.
    shapes: Vec<Box<[(u32, u32)]>>,
    /// The classes that implement interfaces.
    implementers: FxHashMap<Shp, Vec<Cls>>,
    pub(crate) field_writes: FxHashMap<Cls, FxHashMap<String, Vec<At>>>,
    pub(crate) subclasses: FxHashMap<Cls, Vec<Cls>>,
    pub(crate) memory: Memory,
}

/// A binding of a module.
type Bound = (ModuleId, BindingId);

/// What was worked out before.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The modules that specifiers name, by the module that imports.
    imports: RefCell<FxHashMap<ModuleId, FxHashMap<String, Option<ModuleId>>>>,
    /// The same by the specifiers' names, without those that name the importing module itself.
    named_modules: RefCell<FxHashMap<(ModuleId, Name), Option<ModuleId>>>,
    /// The modules of which a module passes everything on.
    passed: Box<[std::cell::OnceCell<resolve::Passed>]>,
    /// The names that are imported from modules.
    importing: std::cell::OnceCell<FxHashMap<ModuleId, Vec<Bound>>>,
    /// Where imported variables are declared.
    declared: RefCell<FxHashMap<Bound, Option<Bound>>>,
    /// The types of objects that imported names stand for.
    imported_shapes: RefCell<FxHashMap<Bound, Option<Shp>>>,
    pub(crate) symbols: Answers<Symbol, shelves::Sparse<Symbol>>,
    pub(crate) values: Answers<crate::flow::Origins>,
    /// The least depth at which a value was asked for.
    pub(crate) lowest: Cell<u32>,
    /// What variables and parameters may be, by their numbers.
    pub(crate) bound: Made<crate::flow::Origins>,
    /// What functions give, by their numbers.
    pub(crate) given: Made<crate::flow::Origins>,
    pub(crate) objects: std::cell::OnceCell<crate::flow::Objects>,
    /// What is kept for the application, by its name.
    pub(crate) kept: std::cell::OnceCell<FxHashMap<String, At>>,
    /// What code of Python keeps for the application, by its name; none for what is set in several places.
    kept_for_application: std::cell::OnceCell<FxHashMap<String, Option<At>>>,
    pub(crate) keeps_rows: std::cell::OnceCell<std::collections::BTreeSet<String>>,
    pub(crate) handlers_know: std::cell::OnceCell<std::collections::BTreeSet<String>>,
    /// The names of what is given to routers of the operator's own services.
    pub(crate) given_to_operators: std::cell::OnceCell<std::collections::BTreeSet<String>>,
    /// Whom functions let through that stand before others.
    pub(crate) admits: RefCell<FxHashMap<Fun, crate::flow::Admits>>,
    /// The handlers of which it is only assumed that several callers come there.
    pub(crate) assumed: std::cell::OnceCell<FxHashMap<Fun, crate::flow::Assumed>>,
    /// Texts that are paths, by the last name of each.
    pub(crate) dotted: std::cell::OnceCell<FxHashMap<String, Vec<String>>>,
    /// Whether administrators are of no tenant.
    pub(crate) admins_apart: std::cell::OnceCell<bool>,
    /// Whether anything is a tenant's.
    pub(crate) tenants: std::cell::OnceCell<bool>,
    /// Whether all clients of the database have the service's key.
    pub(crate) only_service: std::cell::OnceCell<bool>,
    /// The texts that stand for a tenant in so many places that they are a place of all who have none.
    pub(crate) places_of_all: std::cell::OnceCell<std::collections::BTreeSet<String>>,
    pub(crate) knows_callers: std::cell::OnceCell<std::collections::BTreeSet<String>>,
    /// The folders of packages with a table of tenants' rows.
    pub(crate) tenants_tables: std::cell::OnceCell<std::collections::BTreeSet<String>>,
    pub(crate) guards: RefCell<FxHashMap<Fun, std::rc::Rc<Vec<crate::flow::Guard>>>>,
    pub(crate) queries: std::cell::OnceCell<Vec<crate::flow::Query>>,
    pub(crate) owned: std::cell::OnceCell<BTreeMap<String, crate::flow::Owned>>,
    pub(crate) accesses: std::cell::OnceCell<Vec<crate::flow::Access>>,
    /// Of those, by their numbers, what a function puts there.
    pub(crate) puts: std::cell::OnceCell<FxHashMap<Fun, Vec<usize>>>,
    pub(crate) shared_writes: std::cell::OnceCell<Vec<crate::flow::SharedWrite>>,
    /// The values that queries are asked with, and the queries.
    pub(crate) filters: std::cell::OnceCell<rustc_hash::FxHashSet<At>>,
    /// The folders of packages that speak over standard input.
    pub(crate) on_stdio: std::cell::OnceCell<std::collections::BTreeSet<String>>,
    /// What takes the first entry of a map or list, and the map or list.
    pub(crate) firsts: std::cell::OnceCell<BTreeMap<At, At>>,
    pub(crate) header_words: std::cell::OnceCell<std::collections::BTreeSet<String>>,
    pub(crate) tenant_words: std::cell::OnceCell<std::collections::BTreeSet<String>>,
    /// Whether the program is for those who let flats.
    pub(crate) lets_flats: std::cell::OnceCell<bool>,
    /// The beginnings of paths that the project lists as open to everybody.
    pub(crate) open_paths: std::cell::OnceCell<Vec<String>>,
    pub(crate) hubs: std::cell::OnceCell<crate::flow::Hubs>,
    /// Whether objects are the request's own, and whether they are shared, as far as that was asked.
    pub(crate) own_objects: crate::flow::Asked,
    pub(crate) shared_objects: crate::flow::Asked,
    /// The names with which calls are written.
    called: std::cell::OnceCell<calls::CalledNames>,
    called_callees: std::cell::OnceCell<calls::Calls>,
}

impl Memory {
    /// None yet, of these modules.
    fn of(units: &[Unit]) -> Self {
        let sizes: Vec<usize> = units.iter().map(Unit::places).collect();
        Self {
            passed: units.iter().map(|_| std::cell::OnceCell::new()).collect(),
            symbols: Answers::sized(sizes.clone()),
            values: Answers::sized(sizes),
            bound: Made::sized(units.iter().map(|unit| unit.ir.bindings.len()).collect()),
            given: Made::sized(units.iter().map(|unit| unit.ir.functions.len()).collect()),
            ..Self::default()
        }
    }
}

impl Project {
    /// A module.
    #[must_use]
    #[inline]
    pub fn unit(&self, id: ModuleId) -> Option<&Unit> {
        self.units.get(id.index())
    }

    /// Gives up the texts that were read again, when they are many by now.
    pub(crate) fn forget_texts(&mut self) {
        if self.units.iter().map(|unit| unit.ir.source.held()).sum::<usize>() > MOST_TEXT {
            self.units.iter_mut().for_each(|unit| unit.ir.source.forget());
        }
    }

    /// All modules with their ids.
    pub fn units(&self) -> impl Iterator<Item = (ModuleId, &Unit)> {
        (0..).map(ModuleId).zip(&self.units)
    }

    /// The texts of names and strings of all modules, each once.
    pub(crate) fn all_texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter()
    }

    /// Tells which modules have a name with one of these texts in it, in small or capital letters; a text is in small letters.
    pub(crate) fn naming(&self, texts: &[&str]) -> impl Fn(ModuleId) -> bool {
        let held = self.texts.held(|text| vocabulary::mentions(text, texts));
        move |module| self.unit(module).is_some_and(|unit| unit.ir.names.hold(&held))
    }

    /// The text of an expression's source.
    #[must_use]
    #[inline]
    pub fn snippet(&self, at: At) -> &str {
        self.unit(at.module).map_or("", |unit| unit.ir.snippet(unit.ir.span(at.expr)))
    }

    /// Where an expression stands.
    #[must_use]
    #[inline]
    pub fn span(&self, at: At) -> Span {
        self.unit(at.module).map_or_else(Span::default, |unit| unit.ir.span(at.expr))
    }

    /// The function whose code an expression is.
    #[must_use]
    #[inline]
    pub fn function_of(&self, at: At) -> Fun {
        let id = self.unit(at.module).map_or(FunctionId::MODULE, |unit| unit.index.function(at.expr));
        Fun { module: at.module, id }
    }

    /// The name of a function for messages.
    #[must_use]
    pub fn function_name(&self, fun: Fun) -> &str {
        let name = self.unit(fun.module).and_then(|unit| {
            let function = unit.ir.function(fun.id)?;
            function.name.map(|name| unit.ir.text(name))
        });
        name.unwrap_or("this function")
    }

    /// What a call calls, and what is known of it.
    #[must_use]
    #[inline]
    pub fn callee(&self, call: At) -> Option<&Callee> {
        let number = self.callee_of.get(call.module.index())?.get(call.expr.index())?;
        self.callees.get(number.checked_sub(1)? as usize)
    }

    /// The module that a specifier names in a module.
    #[must_use]
    pub(crate) fn imported_module(&self, importer: ModuleId, specifier: &str) -> Option<ModuleId> {
        let unit = self.unit(importer)?;
        if let Some(known) = self.memory.imports.borrow().get(&importer).and_then(|all| all.get(specifier)) {
            return *known;
        }
        let found = self.paths.resolve(&unit.ir.path, unit.ir.language, specifier);
        let mut imports = self.memory.imports.borrow_mut();
        imports.entry(importer).or_default().insert(specifier.to_owned(), found);
        found
    }

    /// The names that other modules import from a module, in their order.
    pub(crate) fn importing(&self, module: ModuleId) -> &[Bound] {
        let all = self.memory.importing.get_or_init(|| {
            let mut all: FxHashMap<ModuleId, Vec<Bound>> = FxHashMap::default();
            for (own, unit) in self.units() {
                for import in &unit.ir.imports {
                    if let Some(binding) = import.binding
                        && let Some(from) = self.imported_module(own, unit.ir.text(import.specifier))
                        && from != own
                    {
                        all.entry(from).or_default().push((own, binding));
                    }
                }
            }
            all
        });
        all.get(&module).map_or(&[], Vec::as_slice)
    }

    /// What a module binds to a name in its own scope, the last time.
    pub(crate) fn global(&self, module: ModuleId, name: &str) -> Option<BindingId> {
        let place = self.texts.place(name)?;
        let all = self.globals.get(module.index())?;
        let (own, id) = all.get(all.partition_point(|(own, _)| *own <= place).checked_sub(1)?)?;
        (*own == place).then_some(*id)
    }

    /// The values that are assigned to a field of a class, `this.name = …`.
    #[must_use]
    pub(crate) fn field_writes(&self, class: Cls, name: &str) -> &[At] {
        let fields = self.field_writes.get(&class);
        fields.and_then(|fields| fields.get(name)).map_or(&[], Vec::as_slice)
    }

    /// The names of the fields of a class that its methods assign.
    pub(crate) fn written_fields(&self, class: Cls) -> impl Iterator<Item = &str> {
        self.field_writes.get(&class).into_iter().flat_map(|fields| fields.keys()).map(String::as_str)
    }

    /// The calls of a function.
    #[must_use]
    #[inline]
    pub fn callers(&self, fun: Fun) -> &[At] {
        self.callers.get(&fun).map_or(&[], Vec::as_slice)
    }
}
