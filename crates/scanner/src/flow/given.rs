//! What functions give again and again: the one object of a dependency, of a memoised function, of the application.

use super::{Cell, Lifetimes};
use crate::{
    ir::{BindingId, BindingKind, ExprId, ExprKind, FunctionKind, NameRef, walk},
    library::Role,
    project::{At, Cls, Fun, ModuleId, Parent, Symbol},
};

/// Of how many callers it is looked what they hand over.
const PASSED: usize = 6;

impl Lifetimes<'_> {
    /// The cell of what a variable or parameter of a request holds, when that is no object of the request's own: a dependency
    /// that a function of the project gives all requests, what such a function gives when it is called.
    pub(super) fn given_cell(&self, module: ModuleId, id: BindingId, depth: u32) -> Option<Cell> {
        let depth = depth.checked_sub(1)?;
        let unit = self.project.unit(module)?;
        match unit.ir.binding(id)?.kind {
            BindingKind::Parameter(_) => match self.dependency(module, id) {
                Some(fun) => self.given_by(fun, depth),
                None => self.passed_cell(module, id, depth),
            },
            BindingKind::Variable => {
                // `context = None`, until there is one.
                let nothing = |value: ExprId| matches!(unit.ir.expr(value), ExprKind::Null);
                let mut sources = unit.index.sources(id).iter().filter(|source| !nothing(source.value));
                let (Some(source), None) = (sources.next(), sources.next()) else { return None };
                if !source.path.is_empty() {
                    return None;
                }
                // `state = ctx.request_context.lifespan_context`
                if self.is_below_application_state(At { module, expr: source.value }) {
                    return self.place(At { module, expr: source.value }, depth);
                }
                // `history = HISTORY` is another name for it.
                if let ExprKind::Name(NameRef::Binding(other)) = unit.ir.expr(source.value)
                    && unit.ir.language == crate::ir::Language::Python
                    && *other != id
                    && unit.ir.is_module_level(*other)
                {
                    return self.place(At { module, expr: source.value }, depth);
                }
                let value = match unit.ir.expr(source.value) {
                    ExprKind::Await(value) => *value,
                    _ => source.value,
                };
                if !matches!(unit.ir.expr(value), ExprKind::Call(_)) {
                    return None;
                }
                self.given_by_call(At { module, expr: value }, depth)
            }
            _ => None,
        }
    }

    /// Whether a place is the application's state or a field below it: `websocket.app.state.hub`.
    fn is_below_application_state(&self, at: At) -> bool {
        let Some(unit) = self.project.unit(at.module) else { return false };
        let mut here = at.expr;
        for _ in 0..6 {
            if self.is_application_state(at.to(here)) {
                return true;
            }
            let ExprKind::Member { object, .. } = unit.ir.expr(here) else { return false };
            here = *object;
        }
        false
    }

    /// The cell of what all callers of a function hand to it: `remember(tools, body)` with the one `tools` of the module.
    fn passed_cell(&self, module: ModuleId, id: BindingId, depth: u32) -> Option<Cell> {
        let (fun, number, path) = self.project.parameter_of(module, id)?;
        if !path.is_empty() || self.project.entry(fun).is_some() {
            return None;
        }
        let callers = self.project.callers(fun);
        if callers.len() > PASSED {
            return None;
        }
        let mut cell = None;
        for call in callers {
            let given = self.project.argument(*call, fun, number)?;
            let unit = self.project.unit(given.module)?;
            let named = matches!(unit.ir.expr(given.expr), ExprKind::Name(_) | ExprKind::Member { .. });
            let of = self.place(given, depth).filter(|_| named)?;
            if cell.as_ref().is_some_and(|other| *other != of) {
                return None;
            }
            cell = Some(of);
        }
        cell
    }

    /// Whether a variable is what an object was made with, and a handler that its constructor writes goes on with it for all
    /// requests: `def __init__(self, tools): async def run(request): …tools…`.
    pub(super) fn is_of_all_requests(&self, at: At, id: BindingId) -> bool {
        let Some((owner, _, path)) = self.project.parameter_of(at.module, id) else { return false };
        let Some(unit) = self.project.unit(at.module) else { return false };
        let Some(function) = unit.ir.function(owner.id) else { return false };
        let Some(class) = function.class.filter(|_| function.kind == FunctionKind::Constructor) else {
            return false;
        };
        let here = self.project.function_of(at);
        path.is_empty()
            && unit.ir.language == crate::ir::Language::Python
            && here != owner
            && self.is_per_request(here)
            && !self.is_per_request(owner)
            && !self.is_made_for_requests(Cls { module: at.module, id: class })
    }

    /// The function that a parameter is filled by: `store = Depends(get_store)`, `Annotated[Store, Depends(get_store)]`.
    pub(super) fn dependency(&self, module: ModuleId, id: BindingId) -> Option<Fun> {
        let (fun, number, path) = self.project.parameter_of(module, id)?;
        let unit = self.project.unit(fun.module)?;
        let parameter = unit.ir.function(fun.id)?.params.get(number).filter(|_| path.is_empty())?;
        let mut found = None;
        for own in self.project.injections(fun.module, parameter) {
            let Some(home) = self.project.unit(own.module) else { continue };
            walk::exprs_below(&home.ir, own.expr, &mut |expr| {
                let at = own.to(expr);
                let ExprKind::Call(call) = home.ir.expr(expr) else { return };
                let depends = self
                    .project
                    .callee(at)
                    .is_some_and(|callee| matches!(callee.name(), "Depends" | "Security"));
                if let (true, Some(given)) = (depends && found.is_none(), call.positional(0))
                    && let Symbol::Function(given) = self.project.symbol(at.to(given))
                {
                    found = Some(given);
                }
            });
        }
        found
    }

    /// The cell of what a call of a function of the project gives, when it is the same for all requests.
    pub(super) fn given_by_call(&self, at: At, depth: u32) -> Option<Cell> {
        if let Some(cell) = self.of_context_variable(at) {
            return Some(cell);
        }
        if let Some(class) = self.only_one_made(at) {
            return Some(Cell::Field(class, String::new()));
        }
        let callee = self.project.callee(at).filter(|callee| callee.certain)?;
        match callee.targets.as_slice() {
            [target] => self.given_by(*target, depth),
            _ => None,
        }
    }

    /// The class of which a call gives the only object there is: `Desk()`.
    fn only_one_made(&self, at: At) -> Option<Cls> {
        let ExprKind::Call(call) = self.project.unit(at.module)?.ir.expr(at.expr) else { return None };
        let Symbol::Class(class) = self.project.symbol(at.to(call.callee)) else { return None };
        self.is_only_one(class).then_some(class)
    }

    /// What a context variable of the project holds that is set where the process starts, and never while a request is served:
    /// `_settings.get()`. Every context has the one object.
    fn of_context_variable(&self, at: At) -> Option<Cell> {
        let unit = self.project.unit(at.module)?;
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return None };
        if unit.ir.text(*property) != "get" || !call.args.is_empty() {
            return None;
        }
        let (module, own) = self.project.declared(at.module, *id).unwrap_or((at.module, *id));
        let home = self.project.unit(module).filter(|home| home.ir.is_module_level(own))?;
        let makes = |value: ExprId| {
            matches!(home.ir.expr(value), ExprKind::Call(_))
                && self.project.last_written(At { module, expr: value }) == Some("ContextVar")
        };
        if !home.index.sources(own).iter().any(|source| makes(source.value)) {
            return None;
        }
        let mut sets = home.index.uses(own).iter().filter(|used| {
            let Parent::Expr(up) = home.index.parent(**used) else { return false };
            matches!(home.ir.expr(up), ExprKind::Member { property, .. } if home.ir.text(*property) == "set")
        });
        let at_start =
            |used: &ExprId| !self.is_per_request(self.project.function_of(At { module, expr: *used }));
        let first = sets.next()?;
        (at_start(first) && sets.all(at_start)).then_some(Cell::Binding(module, own))
    }

    /// The cell of what a function gives, when it is the same for all requests.
    fn given_by(&self, fun: Fun, depth: u32) -> Option<Cell> {
        let unit = self.project.unit(fun.module)?;
        let function = unit.ir.function(fun.id)?;
        if matches!(function.kind, FunctionKind::Constructor) {
            return None;
        }
        if self.is_memoised(fun) {
            return Some(Cell::Binding(fun.module, function.binding?));
        }
        // A dependency that cleans up afterwards yields what it gives.
        let mut returns = unit.index.returns(fun.id).to_vec();
        if function.is_generator {
            walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
                if let ExprKind::Yield { value: Some(value), .. } = unit.ir.expr(expr) {
                    returns.push(*value);
                }
            });
        }
        let mut given = None;
        for value in returns.iter().take(4) {
            if matches!(unit.ir.expr(*value), ExprKind::Null) {
                continue;
            }
            // One that is made for the call is nobody else's.
            given = Some(self.place(At { module: fun.module, expr: *value }, depth)?);
        }
        given
    }

    /// Whether an object of a class is seen to be made while a request is answered.
    #[must_use]
    pub fn is_made_for_requests(&self, class: Cls) -> bool {
        let places = self.project.made.get(&class).into_iter().flatten();
        places.into_iter().any(|at| self.is_per_request(self.project.function_of(*at)))
    }

    /// Whether a function without parameters is memoised, so that all get what the first one got.
    pub(crate) fn is_memoised(&self, fun: Fun) -> bool {
        let Some(function) = self.project.unit(fun.module).and_then(|unit| unit.ir.function(fun.id)) else {
            return false;
        };
        function.params.is_empty()
            && function.decorators.iter().any(|expr| {
                let at = At { module: fun.module, expr: *expr };
                let name = self.project.written(at).pop().unwrap_or_default();
                let known = self
                    .project
                    .callee(at)
                    .is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::Memoize));
                known || matches!(name.as_str(), "lru_cache" | "cache")
            })
    }

    /// Whether there is one object of a class, however often it is made: Python's `__new__` that gives what the class keeps, a metaclass
    /// or a decorator that does so.
    pub(crate) fn is_only_one(&self, class: Cls) -> bool {
        let Some(unit) = self.project.unit(class.module) else { return false };
        let Some(decl) = unit.ir.class(class.id) else { return false };
        let says = |expr: &ExprId| {
            self.project
                .written(At { module: class.module, expr: *expr })
                .last()
                .is_some_and(|name| name.to_lowercase().contains("singleton"))
        };
        // `class Desk(Base, metaclass=Singleton)`: keyword arguments stand behind what it extends.
        unit.ir.language == crate::ir::Language::Python
            && (self.keeps_first(class) || decl.decorators.iter().any(says) || decl.bases.iter().any(says))
    }

    /// Whether a container gives all who ask the one object of a class: `providers.Singleton(Desk)` of dependency-injector.
    pub(super) fn is_provided_once(&self, class: Cls) -> bool {
        self.objects.provided.get_or_init(|| self.provided_once()).contains(&class)
    }

    fn provided_once(&self) -> rustc_hash::FxHashSet<Cls> {
        let asked = self.project.calls_named(|name| matches!(name, "Singleton" | "ThreadSafeSingleton"));
        let mut found = rustc_hash::FxHashSet::default();
        let python = |unit: &crate::project::Unit| unit.ir.language == crate::ir::Language::Python;
        for (module, unit) in self.project.units().filter(|(_, unit)| python(unit)) {
            for expr in asked.among(module) {
                let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
                let given = call.positional(0).map(|given| self.project.symbol(At { module, expr: given }));
                if let Some(Symbol::Class(class)) = given {
                    found.insert(class);
                }
            }
        }
        found
    }

    /// Whether `__new__` of a class, or of one that it extends, keeps the first object on the class: `cls._instance = …`.
    fn keeps_first(&self, class: Cls) -> bool {
        let Some(new) = self.project.method(class, "__new__") else { return false };
        let Some(unit) = self.project.unit(new.module) else { return false };
        unit.index.writes.iter().any(|write| {
            let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { return false };
            let on_class = match unit.ir.expr(*object) {
                ExprKind::This => true,
                ExprKind::Name(NameRef::Binding(id)) => {
                    unit.ir.binding_name(*id) == "cls"
                        || matches!(
                            self.project.symbol(At { module: new.module, expr: *object }),
                            Symbol::Class(_)
                        )
                }
                _ => false,
            };
            let name = unit.ir.text(*property).trim_start_matches('_');
            write.function == new.id
                && on_class
                && ["instance", "inst", "singleton", "self", "obj", "the"]
                    .iter()
                    .any(|own| name.starts_with(own))
        })
    }

    /// Whether an expression is the application that a handler of aiohttp finds in its request, where something is taken out of it or put
    /// into it by a key.
    fn is_map_of_application(&self, unit: &crate::project::Unit, expr: ExprId) -> bool {
        let ExprKind::Member { object, property, .. } = unit.ir.expr(expr) else { return false };
        let of_request = matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(id)) if matches!(unit.ir.binding_name(*id), "request" | "req"));
        let keyed = || match unit.index.parent(expr) {
            Parent::Expr(up) => matches!(unit.ir.expr(up), ExprKind::Index { object, .. } if *object == expr),
            _ => false,
        };
        unit.ir.language == crate::ir::Language::Python
            && unit.ir.text(*property) == "app"
            && of_request
            && keyed()
    }

    /// Whether an expression is the state of the whole application: `app.state`, `request.app.state`, a server's `lifespan_context`.
    pub(super) fn is_application_state(&self, at: At) -> bool {
        let Some(unit) = self.project.unit(at.module) else { return false };
        // Of aiohttp the application itself is the map: `request.app["workspace"]`.
        if self.is_map_of_application(unit, at.expr) {
            return true;
        }
        let ExprKind::Member { object, property, .. } = unit.ir.expr(at.expr) else { return false };
        // What a server's lifespan gave is there for as long as the server runs.
        if unit.ir.text(*property) == "lifespan_context" && unit.ir.language == crate::ir::Language::Python {
            return true;
        }
        let of_app = match unit.ir.expr(*object) {
            ExprKind::Member { property, .. } => unit.ir.text(*property) == "app",
            ExprKind::Name(NameRef::Binding(id)) => {
                matches!(unit.ir.binding_name(*id), "app" | "current_app" | "application")
            }
            _ => false,
        };
        let kept = match unit.ir.language {
            crate::ir::Language::Python => {
                matches!(unit.ir.text(*property), "state" | "ctx" | "context" | "extensions")
            }
            crate::ir::Language::JavaScript => unit.ir.text(*property) == "locals",
        };
        kept && of_app
    }
}
