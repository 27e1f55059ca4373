//! How long things live: what is made for one request, and what outlives it.

use std::cell::{OnceCell, RefCell};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    ir::{
        BindingId, BindingKind, Class, ExprId, ExprKind, FunctionId, FunctionKind, Kinds, Language, Name,
        NameRef, Pattern, StmtKind,
    },
    project::{At, Cls, Fun, ModuleId, Parent, Project, Symbol, Unit, is_lifespan},
};

/// How many steps are taken from a use to where its value is made.
pub(super) const DEPTH: u32 = 8;

/// A variable or field that outlives a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Cell {
    /// A variable of a module, or of a function that is no part of a request.
    Binding(ModuleId, BindingId),
    /// A field of an object that outlives a request.
    Field(Cls, String),
    /// A property of an object that outlives a request, by the object's cell.
    Property(Box<Cell>, String),
    /// The object of the global names: `globalThis`, `global`.
    Global,
}

/// What is known of lifetimes in a project.
#[derive(Debug)]
pub struct Lifetimes<'p> {
    pub(super) project: &'p Project,
    /// What is known of objects.
    pub(super) objects: &'p Objects,
}

/// What is known of the objects of a project; it is looked for once.
#[derive(Debug)]
pub(crate) struct Objects {
    /// Where properties are read, by their names; written places are left out.
    pub(super) read: FxHashMap<String, Vec<At>>,
    /// Whether objects of a class outlive a request, as far as it was asked.
    known: RefCell<FxHashMap<Cls, Option<bool>>>,
    /// Whether expressions make something with one of some roles, by the steps that were left.
    pub(super) makes: RefCell<FxHashMap<(At, u64, u32), bool>>,
    /// Where what outlives a request was made, in the same way.
    pub(super) made_before: RefCell<FxHashMap<(At, u64, u32), Option<At>>>,
    /// The functions that run when the process starts.
    pub(super) starts: OnceCell<FxHashSet<Fun>>,
    /// The classes whose methods register routes.
    pub(super) routers: OnceCell<FxHashSet<Cls>>,
    /// The classes of which a container has one object for all.
    pub(super) provided: OnceCell<FxHashSet<Cls>>,
}

impl Objects {
    /// Looks where objects are made.
    fn find(project: &Project) -> Self {
        let mut read: FxHashMap<String, Vec<At>> = FxHashMap::default();
        for (module, unit) in project.units() {
            let mut written: Vec<ExprId> = unit.index.writes.iter().map(|write| write.place).collect();
            written.sort_unstable();
            let mut by_name: Vec<(Name, At)> = Vec::new();
            for (expr, kind) in unit.ir.exprs_of(Kinds::MEMBER | Kinds::INDEX | Kinds::CALL) {
                let name = match kind {
                    ExprKind::Call(_) => got_by_name(unit, expr).map(|(_, name)| name),
                    ExprKind::Member { property, .. } => Some(*property),
                    // `state["tenant"]` is `state.tenant`, and `latest[0]` is a place of its own too.
                    ExprKind::Index { index, .. } => match unit.ir.expr(*index) {
                        ExprKind::String(name) | ExprKind::Number(name) => Some(*name),
                        _ => None,
                    },
                    _ => None,
                };
                if let Some(name) = name
                    && written.binary_search(&expr).is_err()
                {
                    by_name.push((name, At { module, expr }));
                }
                // `app[CURRENT]`, where `CURRENT = "workspace"`.
                if let ExprKind::Index { index, .. } = kind
                    && name.is_none()
                    && written.binary_search(&expr).is_err()
                    && let Some(text) = project.text_of_name(At { module, expr: *index })
                {
                    read.entry(text.to_owned()).or_default().push(At { module, expr });
                }
            }
            // Each name of the module is looked up once.
            by_name.sort_by_key(|(name, _)| *name);
            for same in by_name.chunk_by(|a, b| a.0 == b.0) {
                let Some((name, _)) = same.first() else { continue };
                let name = unit.ir.text(*name);
                if !read.contains_key(name) {
                    read.insert(name.to_owned(), Vec::new());
                }
                if let Some(places) = read.get_mut(name) {
                    places.extend(same.iter().map(|(_, at)| *at));
                }
            }
        }
        Self {
            read,
            known: RefCell::default(),
            makes: RefCell::default(),
            made_before: RefCell::default(),
            starts: OnceCell::new(),
            routers: OnceCell::new(),
            provided: OnceCell::new(),
        }
    }
}

/// What a call takes out of an object by a name that is written out, `state.get("tenant")`, `getattr(state, "tenant")`: the object and
/// the name.
fn got_by_name(unit: &Unit, expr: ExprId) -> Option<(ExprId, Name)> {
    let ExprKind::Call(call) = unit.ir.expr(expr) else { return None };
    let (object, number) = match unit.ir.expr(call.callee) {
        ExprKind::Member { object, property, .. } if matches!(unit.ir.text(*property), "get" | "pop") => {
            (*object, 0)
        }
        ExprKind::Name(NameRef::Global(name)) if unit.ir.text(*name) == "getattr" => (call.positional(0)?, 1),
        _ => return None,
    };
    // `self.get("tenant")` asks a method of its own.
    let own = number == 1 && matches!(unit.ir.expr(object), ExprKind::This);
    let named = own || matches!(unit.ir.expr(object), ExprKind::Name(_) | ExprKind::Member { .. });
    match unit.ir.expr(call.positional(number).filter(|_| named)?) {
        ExprKind::String(name) => Some((object, *name)),
        _ => None,
    }
}

impl<'p> Lifetimes<'p> {
    /// Those of a project.
    #[must_use]
    pub fn new(project: &'p Project) -> Self {
        Self { project, objects: project.memory.objects.get_or_init(|| Objects::find(project)) }
    }

    /// Whether a function's code runs for a request.
    #[must_use]
    pub fn is_per_request(&self, fun: Fun) -> bool {
        if fun.id == FunctionId::MODULE {
            return false;
        }
        let known = self.project.served.get(fun.module.index()).and_then(|module| module.get(fun.id.index()));
        known
            .copied()
            .unwrap_or_else(|| self.project.is_around(fun, |around| self.project.reach(around).is_some()))
    }

    /// Whether objects of a class outlive a request; nothing when that is not known.
    #[must_use]
    pub fn outlives(&self, class: Cls) -> Option<bool> {
        self.class_outlives(class, DEPTH)
    }

    /// Whether what answers a request is seen to make an object of a class, or of one that extends it. Nothing else speaks as surely
    /// for objects of one request: [`Self::outlives`] says so too where it is only not seen that they are kept.
    #[must_use]
    pub fn is_made_for_a_request(&self, class: Cls) -> bool {
        let subs = self.project.subclasses(class).iter();
        let mut places =
            std::iter::once(&class).chain(subs).filter_map(|own| self.project.made.get(own)).flatten();
        places.any(|at| self.is_per_request(self.project.function_of(*at)))
    }

    pub(super) fn class_outlives(&self, class: Cls, depth: u32) -> Option<bool> {
        if let Some(known) = self.objects.known.borrow().get(&class) {
            return *known;
        }
        // What is asked for again while it is worked out is not known.
        self.objects.known.borrow_mut().insert(class, None);
        let outlives = self.find_outlives(class, depth);
        self.objects.known.borrow_mut().insert(class, outlives);
        outlives
    }

    /// What libraries say of objects of the classes that a class extends.
    fn said_by_bases(&self, class: Cls, decl: &Class) -> Option<bool> {
        let module = class.module;
        let unit = self.project.unit(module)?;
        for base in &decl.bases {
            let (package, path) = match self.project.symbol(At { module, expr: *base }) {
                Symbol::External { package, path } => (Some(package), path),
                Symbol::Unknown(path) => (None, path),
                _ => continue,
            };
            let defs = self.project.libraries.bases(unit.ir.language, package.as_deref(), &path);
            if defs.iter().any(|def| def.per_request) {
                return Some(false);
            }
            if defs.iter().any(|def| def.one_for_all) && !self.is_made_for_a_request(class) {
                return Some(true);
            }
            // One stands before all requests.
            if defs.iter().any(|def| def.kind.as_deref() == Some("middleware")) {
                return Some(true);
            }
        }
        None
    }

    fn find_outlives(&self, class: Cls, depth: u32) -> Option<bool> {
        let depth = depth.checked_sub(1)?;
        let unit = self.project.unit(class.module)?;
        let decl = unit.ir.class(class.id)?;
        let record = self.is_record(class, 6);
        if let Some(outlives) = self.said_by_bases(class, decl) {
            return Some(outlives);
        }
        if self.is_for_each_request(class) {
            return Some(false);
        }
        let said = decl.decorators.iter().map(|expr| unit.ir.snippet(unit.ir.span(*expr)));
        if said.clone().any(|text| text.contains("Injectable") || text.contains("Controller"))
            || self.is_said(class, "singleton")
        {
            return Some(true);
        }
        if self.is_only_one(class)
            || self.is_provided_once(class)
            || super::handlers::is_made_with_get_response(unit, decl)
        {
            return Some(true);
        }
        if self.is_resolved_anew(class, depth) {
            return Some(false);
        }
        let own = self.project.made.get(&class).into_iter().flatten();
        let subs = self.project.subclasses(class).iter();
        let places: Vec<At> =
            own.chain(subs.filter_map(|sub| self.project.made.get(sub)).flatten()).copied().collect();
        // One file speaks over standard input, for one user; another one serves, and makes one for each request.
        let alone = |at: &&At| self.project.unit(at.module).is_some_and(crate::tenancy::is_stdio_only);
        let serving: Vec<At> = places.iter().filter(|at| !alone(at)).copied().collect();
        let places = if serving.is_empty() { places } else { serving };
        let serves = self.project.entries().iter().any(|entry| {
            entry.handler.module == class.module && self.project.this_of(entry.handler) == Some(class)
        });
        let kept = |at: &At| {
            // What only the function that makes it uses lives as long as that one.
            if !serves && self.is_only_used_here(*at, depth) {
                return false;
            }
            // A record is made for what it says, wherever that is, unless it is seen to be kept.
            let passing =
                record && self.project.function_of(*at).id != FunctionId::MODULE && !self.is_put(*at, depth);
            !passing && self.is_kept(*at, depth)
        };
        if places.iter().any(kept) {
            return Some(true);
        }
        // Who registers routes is there as long as they are, unless a request makes it.
        let for_a_request = |at: &At| self.is_per_request(self.project.function_of(*at));
        if self.registers_routes(class) && !places.iter().any(for_a_request) {
            return Some(true);
        }
        if !places.is_empty() {
            return Some(false);
        }
        // Nobody is seen to make one: it does when it registers what requests reach.
        let registers = self.project.entries().iter().any(|entry| {
            entry.handler.module == class.module
                && self.project.this_of(entry.handler) == Some(class)
                && self.project.around(entry.handler).iter().skip(1).any(|fun| {
                    unit.ir.function(fun.id).is_some_and(|function| function.class == Some(class.id))
                })
        });
        registers.then_some(true)
    }

    /// Whether objects of a class are records: of a model or a data class.
    fn is_record(&self, class: Cls, depth: u32) -> bool {
        let (Some(depth), Some(unit)) = (depth.checked_sub(1), self.project.unit(class.module)) else {
            return false;
        };
        let Some(decl) = unit.ir.class(class.id) else { return false };
        let said =
            decl.decorators.iter().any(|expr| unit.ir.snippet(unit.ir.span(*expr)).contains("dataclass"));
        said || decl.bases.iter().any(|base| {
            let at = At { module: class.module, expr: *base };
            match self.project.symbol(at) {
                Symbol::Class(base) => self.is_record(base, depth),
                _ => self.project.written(at).last().is_some_and(|name| {
                    matches!(name.as_str(), "BaseModel" | "SQLModel" | "TypedDict" | "NamedTuple")
                }),
            }
        })
    }

    /// Whether an object that is made at a place goes into a variable of the function there, and that one only calls its methods,
    /// reads its fields, or leaves it in what does not outlive the request.
    fn is_only_used_here(&self, at: At, depth: u32) -> bool {
        let Some(unit) = self.project.unit(at.module) else { return false };
        let fun = self.project.function_of(at);
        let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
        let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt) else { return false };
        let is_value =
            *value == at.expr || matches!(unit.ir.expr(*value), ExprKind::Await(inner) if *inner == at.expr);
        let Some(id) = target.as_binding() else { return false };
        let constructor =
            unit.ir.function(fun.id).is_some_and(|function| function.kind == FunctionKind::Constructor);
        if !is_value || fun.id == FunctionId::MODULE || constructor || unit.ir.binding_function(id) != fun.id
        {
            return false;
        }
        unit.index.uses(id).iter().all(|used| {
            if unit.index.function(*used) != fun.id {
                return false;
            }
            match unit.index.parent(*used) {
                Parent::Expr(up) => match unit.ir.expr(up) {
                    // `app.listen()` serves for as long as the process runs.
                    ExprKind::Member { object, property, .. } => {
                        *object == *used
                            && !matches!(
                                unit.ir.text(*property),
                                "listen" | "run" | "start" | "serve" | "connect" | "run_forever"
                            )
                    }
                    _ => false,
                },
                Parent::Stmt(stmt) => match unit.ir.stmt(stmt) {
                    StmtKind::Assign { target: Pattern::Place(place), .. } => {
                        !is_of_application(unit, *place) && self.place(at.to(*place), depth).is_none()
                    }
                    _ => false,
                },
                _ => false,
            }
        })
    }

    /// Whether an object that is made at a place is assigned to what outlives the request.
    fn is_put(&self, at: At, depth: u32) -> bool {
        let Some(unit) = self.project.unit(at.module) else { return false };
        // What a lifespan yields is there for as long as the server runs.
        if let Parent::Expr(up) = unit.index.parent(at.expr)
            && matches!(unit.ir.expr(up), ExprKind::Yield { .. })
            && unit
                .ir
                .function(unit.index.function(at.expr))
                .is_some_and(|function| is_lifespan(unit, function))
        {
            return true;
        }
        let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
        let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
        match target {
            Pattern::Place(place) => self.place(at.to(*place), depth).is_some(),
            Pattern::Binding(id) => unit.ir.is_module_level(*id),
            _ => false,
        }
    }

    /// Whether an object that is made at a place is kept beyond the request.
    fn is_kept(&self, at: At, depth: u32) -> bool {
        let Some(unit) = self.project.unit(at.module) else { return false };
        let mut here = at.expr;
        let mut parent = unit.index.parent(here);
        // Up through what only passes the value on.
        for _ in 0..8 {
            let Parent::Expr(up) = parent else { break };
            match unit.ir.expr(up) {
                ExprKind::Await(_) | ExprKind::Logical { .. } | ExprKind::Conditional { .. } => {
                    here = up;
                    parent = unit.index.parent(up);
                }
                ExprKind::Assign { target, .. } => return self.is_kept_in(at, target, depth),
                _ => break,
            }
        }
        let _ = here;
        match parent {
            // What stands in the body of a class of Python is made once, however many objects there are.
            Parent::Class(_) if unit.ir.language == Language::Python => return true,
            Parent::Class(id) => {
                return self.class_outlives(Cls { module: at.module, id }, depth) != Some(false);
            }
            Parent::Stmt(stmt) => {
                if let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt)
                    && self.is_kept_in(at, target, depth)
                {
                    return true;
                }
            }
            _ => {}
        }
        let fun = self.project.function_of(at);
        fun.id == FunctionId::MODULE
            || self.is_memoised(fun)
            || self.is_kept_by_property(fun, depth)
            || (!self.is_per_request(fun) && self.runs_at_start(fun))
    }

    /// Whether a function is a property of Python that an object works out once, `@cached_property`, and the object outlives a request.
    fn is_kept_by_property(&self, fun: Fun, depth: u32) -> bool {
        let Some(unit) = self.project.unit(fun.module) else { return false };
        let once = unit.ir.function(fun.id).is_some_and(|function| {
            function
                .decorators
                .iter()
                .any(|expr| unit.ir.snippet(unit.ir.span(*expr)).ends_with("cached_property"))
        });
        once && self.project.this_of(fun).is_some_and(|class| self.class_outlives(class, depth) == Some(true))
    }

    fn is_kept_in(&self, at: At, target: &Pattern, depth: u32) -> bool {
        match target {
            Pattern::Binding(id) => self.binding_outlives(at.module, *id),
            Pattern::Place(place) => self.place(at.to(*place), depth).is_some(),
            _ => !self.is_per_request(self.project.function_of(at)),
        }
    }

    /// Whether a variable outlives a request.
    #[must_use]
    pub fn binding_outlives(&self, module: ModuleId, id: BindingId) -> bool {
        let Some(unit) = self.project.unit(module) else { return false };
        let function = unit.ir.binding_function(id);
        let kind = unit.ir.binding(id).map(|binding| binding.kind);
        !matches!(kind, Some(BindingKind::Caught)) && !self.is_per_request(Fun { module, id: function })
    }

    /// The cell that a place is, when it outlives a request: `current`, `this.tenant`, `state.tenant`. A place below a key that
    /// is worked out is none: it belongs to whom the key belongs to.
    #[must_use]
    pub fn cell(&self, at: At) -> Option<Cell> {
        self.place(at, DEPTH)
    }

    pub(super) fn place(&self, at: At, depth: u32) -> Option<Cell> {
        let depth = depth.checked_sub(1)?;
        let unit = self.project.unit(at.module)?;
        if self.is_application_state(at) {
            return Some(Cell::Property(Box::new(Cell::Global), "app.state".to_owned()));
        }
        match unit.ir.expr(at.expr) {
            ExprKind::Name(NameRef::Binding(_)) | ExprKind::Member { .. }
                if self.is_of_this_request(unit, at) =>
            {
                None
            }
            ExprKind::Name(NameRef::Binding(id)) => {
                let binding = unit.ir.binding(*id)?;
                // What another module of the project declares is the variable there.
                if matches!(binding.kind, BindingKind::Import(_))
                    && let Some((module, own)) = self.project.declared(at.module, *id)
                    && (module, own) != (at.module, *id)
                {
                    return self.binding_outlives(module, own).then_some(Cell::Binding(module, own));
                }
                let parameter = matches!(binding.kind, BindingKind::Parameter(_));
                if (!parameter && self.binding_outlives(at.module, *id))
                    || (parameter && self.is_of_all_requests(at, *id))
                {
                    return Some(Cell::Binding(at.module, *id));
                }
                self.given_cell(at.module, *id, depth)
            }
            ExprKind::Name(NameRef::Global(name)) => {
                matches!(unit.ir.text(*name), "globalThis" | "global").then_some(Cell::Global)
            }
            ExprKind::Member { object, property, .. } => {
                let name = unit.ir.text(*property).to_owned();
                self.property(at.to(*object), name, depth)
            }
            ExprKind::Index { object, index, .. } => match unit.ir.expr(*index) {
                ExprKind::String(name) | ExprKind::Number(name) => {
                    let name = unit.ir.text(*name).to_owned();
                    self.property(at.to(*object), name, depth)
                }
                _ => {
                    let name = self.project.text_of_name(at.to(*index))?.to_owned();
                    self.property(at.to(*object), name, depth)
                }
            },
            // `state.get("tenant")` reads `state["tenant"]`.
            ExprKind::Call(_) => match got_by_name(unit, at.expr) {
                Some((object, name)) => self.property(at.to(object), unit.ir.text(name).to_owned(), depth),
                // `get_hub().text`, where there is one hub.
                None => self.given_by_call(at, depth),
            },
            _ => None,
        }
    }

    /// The cell of which a variable of a request is only another name: `state` of `const state = this.state`.
    fn named_part(&self, at: At, depth: u32) -> Option<Cell> {
        let unit = self.project.unit(at.module)?;
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return None };
        let [source] = unit.index.sources(*id) else { return None };
        let script = unit.ir.language == crate::ir::Language::JavaScript;
        // `const context = await contextOfAll`, `const state = shared`
        let value = match unit.ir.expr(source.value) {
            ExprKind::Await(value) if script => *value,
            _ => source.value,
        };
        let names = match unit.ir.expr(value) {
            ExprKind::Member { .. } => true,
            // `client = get_client()`, where that gives the one that there is.
            ExprKind::Call(_) => got_by_name(unit, value).is_none(),
            ExprKind::Name(NameRef::Binding(of)) => script && of != id,
            _ => false,
        };
        let value = at.to(value);
        (names && source.path.is_empty() && source.declares && !source.updates)
            .then(|| self.place(value, depth))?
    }

    fn property(&self, object: At, name: String, depth: u32) -> Option<Cell> {
        let unit = self.project.unit(object.module)?;
        if matches!(unit.ir.expr(object.expr), ExprKind::This) {
            let fun = self.project.function_of(object);
            let Some(class) = self.project.this_of(fun) else {
                let of = super::literals::cell_of_this(self, fun)?;
                return Some(Cell::Property(Box::new(of), name));
            };
            // In a static method it is the class itself, of which there is one.
            let outlives = self.is_static(fun) || self.class_outlives(class, depth)?;
            return outlives.then_some(Cell::Field(class, name));
        }
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(object.expr)
            && let Some(BindingKind::Class(_)) = unit.ir.binding(*id).map(|binding| binding.kind)
            && let Symbol::Class(class) = self.project.symbol(object)
        {
            return Some(Cell::Field(class, name));
        }
        // `state.current` of `import state` is the variable of that module.
        if let Symbol::Module(module) = self.project.symbol(object)
            && let Some(id) = self.project.global(module, &name)
        {
            return self.binding_outlives(module, id).then_some(Cell::Binding(module, id));
        }
        let of = self.place(object, depth).or_else(|| self.named_part(object, depth))?;
        // What its methods call `self.token` is the same field.
        if let Symbol::Instance(class) = self.project.symbol(object) {
            let own = self.is_for_each_request(class) || self.is_set_in_context(class, &name);
            return (!own).then_some(Cell::Field(class, name));
        }
        Some(Cell::Property(Box::new(of), name))
    }
}

/// Whether a place is a field of what stands for the whole application: `app.state.store`.
fn is_of_application(unit: &crate::project::Unit, place: ExprId) -> bool {
    let mut root = place;
    while let ExprKind::Member { object, .. } | ExprKind::Index { object, .. } = unit.ir.expr(root) {
        root = *object;
    }
    match unit.ir.expr(root) {
        ExprKind::Name(NameRef::Binding(id)) => {
            matches!(
                unit.ir.binding_name(*id),
                "app" | "application" | "server" | "fastify" | "mcp" | "api" | "router" | "state"
            )
        }
        _ => true,
    }
}
