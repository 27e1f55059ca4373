//! How long things live: what is made for one request, and what outlives it.

use std::cell::{OnceCell, RefCell};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    ir::{
        BindingId, BindingKind, ExprId, ExprKind, FunctionId, FunctionKind, Kinds, Name, NameRef, Pattern,
        PropertyKey, StmtKind,
    },
    library::Role,
    project::{At, Cls, Fun, ModuleId, Parent, Project, Symbol, Unit},
};

/// How many steps are taken from a use to where its value is made.
const DEPTH: u32 = 8;

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
    makes: RefCell<FxHashMap<(At, u64, u32), bool>>,
    /// The functions that run when the process starts.
    pub(super) starts: OnceCell<FxHashSet<Fun>>,
    /// The classes whose methods register routes.
    pub(super) routers: OnceCell<FxHashSet<Cls>>,
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
            starts: OnceCell::new(),
            routers: OnceCell::new(),
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
    let named = matches!(unit.ir.expr(object), ExprKind::Name(_) | ExprKind::Member { .. });
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

    fn class_outlives(&self, class: Cls, depth: u32) -> Option<bool> {
        if let Some(known) = self.objects.known.borrow().get(&class) {
            return *known;
        }
        // What is asked for again while it is worked out is not known.
        self.objects.known.borrow_mut().insert(class, None);
        let outlives = self.find_outlives(class, depth);
        self.objects.known.borrow_mut().insert(class, outlives);
        outlives
    }

    fn find_outlives(&self, class: Cls, depth: u32) -> Option<bool> {
        let depth = depth.checked_sub(1)?;
        let unit = self.project.unit(class.module)?;
        let decl = unit.ir.class(class.id)?;
        let record = self.is_record(class, 6);
        for base in &decl.bases {
            let at = At { module: class.module, expr: *base };
            let (package, path) = match self.project.symbol(at) {
                Symbol::External { package, path } => (Some(package), path),
                Symbol::Unknown(path) => (None, path),
                _ => continue,
            };
            let defs = self.project.libraries.bases(unit.ir.language, package.as_deref(), &path);
            if defs.iter().any(|def| def.per_request) {
                return Some(false);
            }
        }
        let said = decl.decorators.iter().map(|expr| unit.ir.snippet(unit.ir.span(*expr)));
        if said.clone().any(|text| {
            text.contains("Scope.REQUEST")
                || text.contains("Scope.TRANSIENT")
                || text.contains("workflow.defn")
        }) {
            return Some(false);
        }
        if said.clone().any(|text| text.contains("Injectable") || text.contains("Controller")) {
            return Some(true);
        }
        if self.is_only_one(class) {
            return Some(true);
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
            || (!self.is_per_request(fun) && self.runs_at_start(fun))
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
                _ => None,
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

    fn property(&self, object: At, name: String, depth: u32) -> Option<Cell> {
        let unit = self.project.unit(object.module)?;
        if matches!(unit.ir.expr(object.expr), ExprKind::This) {
            let fun = self.project.function_of(object);
            let class = self.project.this_of(fun)?;
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
        let of = self.place(object, depth)?;
        // What its methods call `self.token` is the same field.
        if let Symbol::Instance(class) = self.project.symbol(object) {
            return Some(Cell::Field(class, name));
        }
        Some(Cell::Property(Box::new(of), name))
    }

    /// Whether an expression makes something with a role, itself or through a function of the project.
    #[must_use]
    pub fn makes(&self, at: At, roles: &[Role]) -> bool {
        self.makes_in(at, roles, DEPTH)
    }

    fn makes_in(&self, at: At, roles: &[Role], depth: u32) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return false };
        let Some(unit) = self.project.unit(at.module) else { return false };
        if !matches!(unit.ir.expr(at.expr), ExprKind::Name(_) | ExprKind::Call(_)) {
            return self.find_makes(unit, at, roles, depth);
        }
        // Functions that give what others give come to the same calls on many ways.
        let key = (at, roles.iter().fold(0, |bits, role| bits | (1 << (*role as u64))), depth);
        if let Some(known) = self.objects.makes.borrow().get(&key) {
            return *known;
        }
        let makes = self.find_makes(unit, at, roles, depth);
        self.objects.makes.borrow_mut().insert(key, makes);
        makes
    }

    fn find_makes(&self, unit: &Unit, at: At, roles: &[Role], depth: u32) -> bool {
        match unit.ir.expr(at.expr) {
            ExprKind::Await(value) | ExprKind::Assign { value, .. } => {
                self.makes_in(at.to(*value), roles, depth)
            }
            ExprKind::Logical { left, right, .. } => {
                self.makes_in(at.to(*left), roles, depth) || self.makes_in(at.to(*right), roles, depth)
            }
            // The low-level server of `McpServer`.
            ExprKind::Member { object, property, .. } => {
                unit.ir.text(*property) == "server"
                    && roles.contains(&Role::Server)
                    && self.makes_in(at.to(*object), roles, depth)
            }
            ExprKind::Name(NameRef::Binding(id)) => unit
                .index
                .sources(*id)
                .iter()
                .filter(|source| source.path.is_empty())
                .any(|source| self.makes_in(at.to(source.value), roles, depth)),
            ExprKind::Object(properties) => properties.iter().any(|property| {
                matches!(property.key, PropertyKey::Name(_))
                    && self.makes_in(at.to(property.value), roles, depth)
            }),
            ExprKind::Call(_) => {
                let Some(callee) = self.project.callee(at) else { return false };
                if callee
                    .defs
                    .iter()
                    .any(|def| roles.contains(&def.role) && def.kind.as_deref() != Some("stdio"))
                {
                    return true;
                }
                if roles.contains(&Role::Server)
                    && let ExprKind::Call(call) = unit.ir.expr(at.expr)
                    && let Symbol::Class(class) = self.project.symbol(at.to(call.callee))
                    && self.is_server_class(class, 4)
                {
                    return true;
                }
                if !callee.certain {
                    return false;
                }
                callee.targets.iter().any(|target| {
                    let Some(unit) = self.project.unit(target.module) else { return false };
                    let is_constructor = unit
                        .ir
                        .function(target.id)
                        .is_some_and(|function| function.kind == FunctionKind::Constructor);
                    let returns = unit.index.returns(target.id).iter().take(4);
                    !is_constructor
                        && returns
                            .copied()
                            .any(|expr| self.makes_in(At { module: target.module, expr }, roles, depth))
                })
            }
            _ => false,
        }
    }

    /// Where a value was made that outlives the request in which it is used; nothing when it is made for the request, or when
    /// that is not known. Roles say what it must be.
    #[must_use]
    pub fn made_before(&self, at: At, roles: &[Role]) -> Option<At> {
        self.made_before_in(at, roles, DEPTH)
    }

    pub(super) fn made_before_in(&self, at: At, roles: &[Role], depth: u32) -> Option<At> {
        let depth = depth.checked_sub(1)?;
        let unit = self.project.unit(at.module)?;
        match unit.ir.expr(at.expr) {
            ExprKind::Await(value) => self.made_before_in(at.to(*value), roles, depth),
            ExprKind::Logical { left, right, .. } => self
                .made_before_in(at.to(*left), roles, depth)
                .or_else(|| self.made_before_in(at.to(*right), roles, depth)),
            ExprKind::Name(NameRef::Binding(id)) => self.bound_before(at, *id, roles, depth),
            ExprKind::Member { object, property, .. } => {
                let name = unit.ir.text(*property);
                if matches!(unit.ir.expr(*object), ExprKind::This) {
                    let class = self.project.this_of(self.project.function_of(at))?;
                    return self.field_before(class, name, roles, depth);
                }
                // `wrapper.server` of an object that is made before.
                let inner = self.made_before_in(at.to(*object), roles, depth);
                inner.or_else(|| match self.project.symbol(at.to(*object)) {
                    Symbol::Instance(class) => self.field_before(class, name, roles, depth),
                    _ => None,
                })
            }
            ExprKind::Index { .. } => self.kept_in_map(at, roles),
            ExprKind::Call(_) => {
                if let Some(kept) = self.kept_in_map(at, roles) {
                    return Some(kept);
                }
                // A function that gives the one it has.
                let callee = self.project.callee(at)?;
                let targets = callee.targets.iter().filter(|_| callee.certain);
                targets.into_iter().find_map(|target| {
                    let unit = self.project.unit(target.module)?;
                    unit.index.returns(target.id).iter().take(4).find_map(|expr| {
                        self.made_before_in(At { module: target.module, expr: *expr }, roles, depth)
                    })
                })
            }
            _ => None,
        }
    }

    fn bound_before(&self, at: At, id: BindingId, roles: &[Role], depth: u32) -> Option<At> {
        let unit = self.project.unit(at.module)?;
        let binding = unit.ir.binding(id)?;
        if let BindingKind::Import(_) = binding.kind {
            let symbol_module = self.imported(at)?;
            let made = self.made_before_in(symbol_module, roles, depth);
            return made.or_else(|| self.makes(symbol_module, roles).then_some(symbol_module));
        }
        if let BindingKind::Parameter(_) = binding.kind {
            let (fun, number, path) = self.project.parameter_of(at.module, id)?;
            if !path.is_empty() || self.project.entry(fun).is_some() {
                return None;
            }
            return self.project.callers(fun).iter().take(6).find_map(|call| {
                let arg = self.project.argument(*call, fun, number)?;
                let here = self.project.function_of(*call);
                // A parameter of a function that is no part of a request is one thing for all requests.
                if !self.is_per_request(here) && self.makes(arg, roles) && !self.is_per_request(fun) {
                    return Some(arg);
                }
                self.made_before_in(arg, roles, depth)
            });
        }
        let kept = self.binding_outlives(at.module, id);
        let mut sources = unit.index.sources(id).iter().filter(|source| source.path.len() <= 1);
        sources.find_map(|source| {
            let value = at.to(source.value);
            if kept && self.makes(value, roles) {
                return Some(value);
            }
            self.made_before_in(value, roles, depth)
        })
    }

    fn field_before(&self, class: Cls, name: &str, roles: &[Role], depth: u32) -> Option<At> {
        if self.class_outlives(class, depth) == Some(false) {
            return None;
        }
        let certain = self.class_outlives(class, depth) == Some(true);
        let unit = self.project.unit(class.module)?;
        let decl = unit.ir.class(class.id)?;
        let field = decl.fields.iter().find(|field| unit.ir.text(field.name) == name);
        let first = field.and_then(|field| field.value).map(|expr| At { module: class.module, expr });
        let writes = self.project.field_writes(class, name);
        let made = first.into_iter().chain(writes.iter().copied());
        let mut made = made.filter(|value| self.makes(*value, roles));
        let own = made.find(|value| certain || !self.is_per_request(self.project.function_of(*value)));
        own.or_else(|| self.given_before(class, name, roles, depth))
    }

    /// The value that an imported name is bound to in its own module.
    pub(super) fn imported(&self, at: At) -> Option<At> {
        let unit = self.project.unit(at.module)?;
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return None };
        let BindingKind::Import(number) = unit.ir.binding(*id)?.kind else { return None };
        let import = unit.ir.imports.get(number as usize)?;
        let specifier = unit.ir.text(import.specifier);
        let module = self.project.imported_module(at.module, specifier)?;
        let name = match import.kind {
            crate::ir::ImportKind::Named(name) => unit.ir.text(name),
            crate::ir::ImportKind::Default => "default",
            _ => return None,
        };
        let from = self.project.unit(module)?;
        let export = from.ir.exports.iter().find(|export| from.ir.text(export.name) == name)?;
        match export.kind {
            crate::ir::ExportKind::Value(expr) => Some(At { module, expr }),
            crate::ir::ExportKind::Binding(binding) => {
                let value = from.index.sources(binding).first()?.value;
                (value != ExprId::MISSING).then_some(At { module, expr: value })
            }
            _ => None,
        }
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
