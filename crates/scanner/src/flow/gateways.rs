//! What stands before handlers and lets few in: functions before them in a route, on their router or where that is mounted,
//! dependencies, decorators and guards of frameworks.

use std::cell::{OnceCell, RefCell};

use rustc_hash::FxHashMap;

use super::{
    Entry,
    operators::{Admits, says},
    refusals::outer,
};
use crate::{
    ir::{
        ArgKind, BindingId, BindingKind, Call, ClassId, ExprId, ExprKind, ImportKind, NameRef, PropertyKey,
        StmtKind,
    },
    marks,
    project::{At, Cls, Fun, ModuleId, Parent, Project, Unit},
    vocabulary,
};

/// How many routers may be mounted on one another, and how far a guard is followed.
const DEPTH: u32 = 4;

/// How many uses of a router are looked at.
const USES: usize = 512;

/// Names under which frameworks are told what stands before a handler.
pub(super) const BEFORE: &[&str] = &[
    "dependencies",
    "guards",
    "permission_classes",
    "preHandler",
    "onRequest",
    "preValidation",
    "beforeHandle",
    "before",
    "middleware",
    "middlewares",
    "preParsing",
    "auth",
];

/// Methods of classes that let somebody in or refuse.
pub(super) const DECIDES: &[&str] = &[
    "canActivate",
    "__call__",
    "has_permission",
    "handle",
    "use",
    "test_func",
    "intercept",
    "dispatch",
    "authorize",
];

/// What stands before the handlers of a project, as far as it was asked.
struct Gates<'p> {
    project: &'p Project,
    routers: RefCell<FxHashMap<(ModuleId, BindingId), Vec<Before>>>,
    mounts: RefCell<FxHashMap<(ModuleId, BindingId), Vec<At>>>,
    /// Whether something asks for the operator's secret below a prefix for administrators.
    prefix: OnceCell<bool>,
}

/// Something that a router runs before the routes that follow.
#[derive(Debug, Clone)]
struct Before {
    /// From when on, within the module.
    order: u32,
    /// The routes that it is for, by how they begin; all without.
    prefix: Option<String>,
    admits: Admits,
}

/// Whom what stands before handlers lets in, of those that have anything but everybody. What is registered several times is as open as
/// the most open place.
pub(super) fn find_admitted(project: &Project, entries: &[Entry]) -> FxHashMap<Fun, Admits> {
    let gates =
        Gates { project, routers: RefCell::default(), mounts: RefCell::default(), prefix: OnceCell::new() };
    let mut admitted: FxHashMap<Fun, Admits> = FxHashMap::default();
    for entry in entries {
        if admitted.get(&entry.handler) == Some(&Admits::Anybody) {
            continue;
        }
        let own = gates.of(entry);
        admitted.entry(entry.handler).and_modify(|known| *known = own.min(*known)).or_insert(own);
    }
    admitted.retain(|_, admits| *admits != Admits::Anybody);
    admitted
}

impl Gates<'_> {
    fn of(&self, entry: &Entry) -> Admits {
        let own = self.on_handler(entry).max(self.on_route(entry));
        if own != Admits::Operators
            && self.is_below_prefix(entry)
            && *self.prefix.get_or_init(|| self.asks_below_prefix())
        {
            return Admits::Operators;
        }
        own
    }

    /// Whether a route is one for administrators, by its file or the prefix of its router.
    fn is_below_prefix(&self, entry: &Entry) -> bool {
        let at = entry.registration;
        let Some(unit) =
            self.project.unit(at.module).filter(|_| at.expr != ExprId::MISSING && entry.kind == "http")
        else {
            return false;
        };
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
        let begins = |text: &str| text.split('/').any(|part| part == "admin");
        let router = router_of(unit, call.callee).map_or(&[][..], |id| unit.index.sources(id));
        route_of(unit, call).is_some_and(begins)
            || unit.ir.path.rsplit('/').next().is_some_and(|file| file.starts_with("admin."))
            || router.iter().any(|source| {
                begins(unit.ir.snippet(unit.ir.span(source.value)).trim_end_matches([')', '"', '\'']))
            })
    }

    /// Whether a function for all requests asks those below `/admin` for a secret of the operator's:
    /// `if path.startswith("/admin"): return await self.admin_only(request, call_next)`.
    fn asks_below_prefix(&self) -> bool {
        self.project.units().any(|(module, unit)| {
            let spoken = marks::BEGINS.iter().any(|text| unit.ir.source.mentions(text));
            spoken
                && unit.index.calls.iter().any(|expr| {
                    let at = At { module, expr: *expr };
                    self.project
                        .last_written(at)
                        .is_some_and(|name| matches!(name, "startswith" | "startsWith"))
                        && self.asks_there(unit, at)
                })
        })
    }

    fn asks_there(&self, unit: &Unit, at: At) -> bool {
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
        let told = |expr: ExprId| match unit.ir.expr(expr) {
            ExprKind::String(text) => Some(unit.ir.text(*text)),
            ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
                [source] => match unit.ir.expr(source.value) {
                    ExprKind::String(text) => Some(unit.ir.text(*text)),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        let admin =
            call.positional(0).and_then(told).is_some_and(|text| text.split('/').any(|part| part == "admin"));
        let Some(StmtKind::If { then, .. }) = unit.index.stmt_of(at.expr).map(|stmt| unit.ir.stmt(stmt))
        else {
            return false;
        };
        let fun = self.project.function_of(at);
        admin
            && outer(unit, then).into_iter().any(|stmt| {
                let value = match unit.ir.stmt(stmt) {
                    StmtKind::Return(Some(value)) => *value,
                    _ => return self.project.lets_past(unit, fun, stmt, DEPTH) == Admits::Operators,
                };
                let value = match unit.ir.expr(value) {
                    ExprKind::Await(inner) => *inner,
                    _ => value,
                };
                let callee = self
                    .project
                    .callee(at.to(value))
                    .filter(|callee| callee.certain && !callee.targets.is_empty());
                callee.is_some_and(|callee| {
                    callee
                        .targets
                        .iter()
                        .all(|fun| self.project.admits_through(*fun, DEPTH) == Admits::Operators)
                })
            })
    }

    /// What the handler itself, its class and its parameters say.
    fn on_handler(&self, entry: &Entry) -> Admits {
        let module = entry.handler.module;
        let Some(unit) = self.project.unit(module) else { return Admits::Anybody };
        let Some(function) = unit.ir.function(entry.handler.id) else { return Admits::Anybody };
        let at = |expr: &ExprId| At { module, expr: *expr };
        let mut found = Admits::Anybody;
        for parameter in &function.params {
            for injected in self.project.injections(module, parameter) {
                found = found.max(self.project.asks_first(injected, DEPTH));
            }
        }
        let decorators = function.decorators.iter().map(at).filter(|at| *at != entry.registration);
        let own: Vec<At> = decorators.collect();
        let class = function.class.and_then(|id| Some((id, unit.ir.class(id)?)));
        let of_class: Vec<At> = class.iter().flat_map(|(_, class)| class.decorators.iter().map(at)).collect();
        found = found.max(self.decorators(unit, &own, &of_class));
        if let Some((id, _)) = class {
            found = found.max(self.on_class(unit, module, id));
        }
        found
    }

    /// What decorators say: `@UseGuards(PlatformAdminGuard)`, `@Roles("super_admin")` where something reads the roles,
    /// `@user_passes_test(lambda user: user.is_superuser)`.
    fn decorators(&self, unit: &Unit, own: &[At], of_class: &[At]) -> Admits {
        let mut found = Admits::Anybody;
        let reads_roles = || {
            let guard = |at: &At| {
                let text = self.project.snippet(*at);
                text.contains("Guard") && !text.starts_with("Roles")
            };
            own.iter().chain(of_class).any(guard)
                || self
                    .project
                    .units()
                    .any(|(_, unit)| marks::GUARDS.iter().any(|text| unit.ir.source.mentions(text)))
        };
        for at in own.iter().chain(of_class) {
            let name = self.project.last_written(*at).unwrap_or_default();
            match unit.ir.expr(at.expr) {
                ExprKind::Call(call) if matches!(name, "UseGuards" | "permission_classes" | "UsePipes") => {
                    for arg in &call.args {
                        found = found.max(self.project.admits_guard(at.to(arg.value), DEPTH));
                    }
                }
                ExprKind::Call(call) if is_metadata(name) => {
                    let roles = self.project.roles_of(*at, call);
                    if roles != Admits::Anybody && reads_roles() {
                        found = found.max(roles);
                    }
                }
                _ => found = found.max(self.project.admits_guard(*at, DEPTH)),
            }
        }
        found
    }

    /// What a class of handlers says of all of them: `permission_classes = [IsSuperUser]`, a base `SuperuserRequiredMixin`.
    fn on_class(&self, unit: &Unit, module: ModuleId, id: ClassId) -> Admits {
        let Some(class) = unit.ir.class(id) else { return Admits::Anybody };
        let mut found = Admits::Anybody;
        for field in &class.fields {
            if let (Some(value), true) = (field.value, BEFORE.contains(&unit.ir.text(field.name))) {
                found = found.max(self.project.admits_guard(At { module, expr: value }, DEPTH));
            }
        }
        for base in &class.bases {
            let name = self.project.last_written(At { module, expr: *base }).unwrap_or_default();
            let words = vocabulary::words(name);
            let mixin =
                words.iter().any(|word| word == "mixin") && words.iter().any(|word| word == "required");
            if mixin {
                found = found.max(self.project.settled(says(name)));
            }
            if name == "UserPassesTestMixin"
                && let Some(test) = self.project.method(Cls { module, id }, "test_func")
            {
                found = found.max(self.project.admits_through(test, DEPTH));
            }
        }
        found
    }

    /// What stands before the handler in its route, and before the route on its router.
    fn on_route(&self, entry: &Entry) -> Admits {
        let at = entry.registration;
        let Some(unit) = self.project.unit(at.module) else { return Admits::Anybody };
        if at.expr == ExprId::MISSING {
            return Admits::Anybody;
        }
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return Admits::Anybody };
        let mut found = Admits::Anybody;
        let handler = |arg: ExprId| self.project.functions_of(at.to(arg)).contains(&entry.handler);
        let place = call.args.iter().position(|arg| handler(arg.value)).unwrap_or(call.args.len());
        for (number, arg) in call.args.iter().enumerate() {
            found = found.max(match arg.kind {
                ArgKind::Keyword(name) if BEFORE.contains(&unit.ir.text(name)) => {
                    self.project.admits_guard(at.to(arg.value), DEPTH)
                }
                ArgKind::Positional if number < place => self.before(unit, at, arg.value),
                _ => Admits::Anybody,
            });
        }
        let Some(router) = router_of(unit, call.callee) else { return found };
        let route = route_of(unit, call).unwrap_or_default();
        let order = self.order(unit, at);
        found.max(self.on_router(at.module, router, route, order, DEPTH))
    }

    /// When something is registered: for what stands in a function of the module, when within it.
    fn order(&self, unit: &Unit, at: At) -> u32 {
        unit.index.order(at.expr)
    }

    /// What an argument before a handler lets in: a function, a list of them, options with hooks.
    fn before(&self, unit: &Unit, at: At, arg: ExprId) -> Admits {
        match unit.ir.expr(arg) {
            ExprKind::String(_) | ExprKind::Template(_) => Admits::Anybody,
            ExprKind::Object(properties) => {
                let hooks = properties.iter().filter(
                    |property| matches!(property.key, PropertyKey::Name(name) if BEFORE.contains(&unit.ir.text(name))),
                );
                hooks
                    .map(|property| self.project.admits_guard(at.to(property.value), DEPTH))
                    .max()
                    .unwrap_or_default()
            }
            _ => self.project.admits_guard(at.to(arg), DEPTH),
        }
    }

    /// What a router runs before a route, and what stands before it wherever it is mounted.
    fn on_router(&self, module: ModuleId, router: BindingId, route: &str, order: u32, depth: u32) -> Admits {
        let Some(depth) = depth.checked_sub(1) else { return Admits::Anybody };
        let (home, own) = self.project.declared(module, router).unwrap_or((module, router));
        let here = self.run_by(home, own);
        let same = home == module;
        let applies = |before: &&Before| {
            (!same || before.order <= order)
                && before.prefix.as_deref().is_none_or(|prefix| {
                    route.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
        };
        let found = here.iter().filter(applies).map(|before| before.admits).max().unwrap_or_default();
        if found == Admits::Operators {
            return found;
        }
        let mounts = self.mounted(home, own);
        let each = mounts.iter().take(8).map(|mount| {
            let Some(unit) = self.project.unit(mount.module) else { return Admits::Anybody };
            let ExprKind::Call(call) = unit.ir.expr(mount.expr) else { return Admits::Anybody };
            let mut before = Admits::Anybody;
            for arg in &call.args {
                before = before.max(match arg.kind {
                    ArgKind::Keyword(name) if BEFORE.contains(&unit.ir.text(name)) => {
                        self.project.admits_guard(mount.to(arg.value), DEPTH)
                    }
                    ArgKind::Positional if !self.is_router(mount.to(arg.value), (home, own)) => {
                        self.before(unit, *mount, arg.value)
                    }
                    _ => Admits::Anybody,
                });
            }
            let prefix = route_of(unit, call).unwrap_or_default();
            match router_of(unit, call.callee) {
                Some(outer) if (mount.module, outer) != (home, own) => before.max(self.on_router(
                    mount.module,
                    outer,
                    prefix,
                    unit.index.order(mount.expr),
                    depth,
                )),
                _ => before,
            }
        });
        found.max(each.min().unwrap_or_default())
    }

    /// What a router runs before its routes: `router.use(requireSuperAdmin)`, `APIRouter(dependencies=[…])`.
    fn run_by(&self, module: ModuleId, router: BindingId) -> Vec<Before> {
        if let Some(known) = self.routers.borrow().get(&(module, router)) {
            return known.clone();
        }
        let mut found = Vec::new();
        let Some(unit) = self.project.unit(module) else { return found };
        for source in unit.index.sources(router).iter().take(2) {
            let ExprKind::Call(call) = unit.ir.expr(source.value) else { continue };
            for arg in &call.args {
                if let ArgKind::Keyword(name) = arg.kind
                    && BEFORE.contains(&unit.ir.text(name))
                {
                    let admits = self.project.admits_guard(At { module, expr: arg.value }, DEPTH);
                    found.push(Before { order: 0, prefix: None, admits });
                }
            }
        }
        for used in unit.index.uses(router).iter().take(USES) {
            self.run_at(unit, At { module, expr: *used }, &mut found);
        }
        found.retain(|before| before.admits != Admits::Anybody);
        self.routers.borrow_mut().insert((module, router), found.clone());
        found
    }

    /// What one use of a router makes it run: `router.use("/admin", requireAdmin)`, `fastify.addHook("preHandler", requireAdmin)`,
    /// `@bp.before_request`.
    fn run_at(&self, unit: &Unit, used: At, found: &mut Vec<Before>) {
        let Parent::Expr(member) = unit.index.parent(used.expr) else { return };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(member) else { return };
        if *object != used.expr {
            return;
        }
        let name = unit.ir.text(*property);
        if name == "before_request" {
            let decorated = unit.ir.functions().find(|(_, function)| function.decorators.contains(&member));
            if let Some((id, _)) = decorated {
                let admits = self.project.admits_through(Fun { module: used.module, id }, DEPTH);
                found.push(Before { order: 0, prefix: None, admits });
            }
            return;
        }
        if !matches!(name, "use" | "all" | "addHook") {
            return;
        }
        let Parent::Expr(call) = unit.index.parent(member) else { return };
        let ExprKind::Call(written) = unit.ir.expr(call) else { return };
        // What hands over another router stands before that one only.
        if written.callee != member || written.args.iter().any(|arg| self.holds_routes(used.to(arg.value))) {
            return;
        }
        let prefix = match route_of(unit, written) {
            _ if name == "addHook" => None,
            None => None,
            Some(path) => Some(path.trim_end_matches(['*', '/', ')', '(', '.']).to_owned())
                .filter(|path| !path.is_empty()),
        };
        let admits =
            written.args.iter().map(|arg| self.before(unit, used, arg.value)).max().unwrap_or_default();
        // In a function that mounts, the order is that function's.
        found.push(Before { order: unit.index.order(call), prefix, admits });
    }

    /// Whether a value is a router and no function that stands before one.
    fn holds_routes(&self, at: At) -> bool {
        let name = self.project.last_written(at).unwrap_or_default();
        let words = vocabulary::words(name);
        words.iter().any(|word| {
            matches!(word.as_str(), "router" | "routes" | "route" | "routers" | "controller" | "app" | "api")
        })
    }

    /// Where a router is mounted: `app.use("/admin", guard, router)`, `app.include_router(router)`.
    fn mounted(&self, module: ModuleId, router: BindingId) -> Vec<At> {
        if let Some(known) = self.mounts.borrow().get(&(module, router)) {
            return known.clone();
        }
        let mut found = Vec::new();
        let name = self.project.unit(module).map_or("", |unit| unit.ir.binding_name(router));
        self.handed_on(module, router, &mut found);
        for (other, binding) in self.project.importing(module) {
            let Some(unit) = self.project.unit(*other) else { continue };
            let kind = unit.ir.binding(*binding).map(|own| own.kind);
            let Some(BindingKind::Import(number)) = kind else { continue };
            let whole = unit.ir.imports.get(number as usize).is_some_and(|import| {
                // `const users = require("./users")`, whose whole is the router.
                matches!(import.kind, ImportKind::Namespace | ImportKind::Default)
            });
            if self.project.declared(*other, *binding) == Some((module, router)) {
                self.handed_on(*other, *binding, &mut found);
            } else if whole {
                self.handed_on(*other, *binding, &mut found);
                self.members(*other, *binding, name, &mut found);
            }
        }
        self.mounts.borrow_mut().insert((module, router), found.clone());
        found
    }

    /// The calls that a binding is handed to which mount it.
    fn handed_on(&self, module: ModuleId, id: BindingId, found: &mut Vec<At>) {
        let Some(unit) = self.project.unit(module) else { return };
        for used in unit.index.uses(id).iter().take(USES) {
            mounting(unit, At { module, expr: *used }, found);
        }
    }

    /// The same of a member of an imported module: `include_router(tenants.router)`.
    fn members(&self, module: ModuleId, id: BindingId, name: &str, found: &mut Vec<At>) {
        let Some(unit) = self.project.unit(module) else { return };
        for used in unit.index.uses(id).iter().take(USES) {
            let Parent::Expr(up) = unit.index.parent(*used) else { continue };
            if matches!(unit.ir.expr(up), ExprKind::Member { property, .. } if unit.ir.text(*property) == name)
            {
                mounting(unit, At { module, expr: up }, found);
            }
        }
    }

    /// Whether an argument is the router itself.
    fn is_router(&self, at: At, (module, router): (ModuleId, BindingId)) -> bool {
        let Some(unit) = self.project.unit(at.module) else { return false };
        let root = match unit.ir.expr(at.expr) {
            ExprKind::Member { object, .. } => *object,
            _ => at.expr,
        };
        match unit.ir.expr(root) {
            ExprKind::Name(NameRef::Binding(id)) => {
                let declared = self.project.declared(at.module, *id).unwrap_or((at.module, *id));
                declared == (module, router)
                    || (self.project.importing(module).contains(&(at.module, *id))
                        && says_router(self.project, at))
            }
            _ => false,
        }
    }
}

/// Whether a value is named for routes.
fn says_router(project: &Project, at: At) -> bool {
    project.last_written(at).is_some_and(|name| {
        vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "router" | "routes" | "route"))
    })
}

/// The call that mounts a router that stands in it as an argument.
fn mounting(unit: &Unit, at: At, found: &mut Vec<At>) {
    let Parent::Expr(up) = unit.index.parent(at.expr) else { return };
    let ExprKind::Call(call) = unit.ir.expr(up) else { return };
    let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return };
    let mounts = matches!(
        unit.ir.text(*property),
        "use" | "route" | "include_router" | "mount" | "register" | "register_blueprint"
    );
    if mounts && call.args.iter().any(|arg| arg.value == at.expr) {
        found.push(at.to(up));
    }
}

/// Whether a decorator only says for whom a handler is: something else has to read it.
pub(super) fn is_metadata(name: &str) -> bool {
    matches!(
        name,
        "Roles"
            | "Role"
            | "SetMetadata"
            | "HasRoles"
            | "RequireRoles"
            | "RequiredRoles"
            | "AllowedRoles"
            | "Permissions"
    )
}

/// The router that a route is registered on: `router` of `router.get`, `app` of `app.route("/x").get`.
pub(super) fn router_of(unit: &Unit, callee: ExprId) -> Option<BindingId> {
    let mut here = callee;
    for _ in 0..8 {
        here = match unit.ir.expr(here) {
            ExprKind::Member { object, .. } => *object,
            ExprKind::Call(call) => call.callee,
            ExprKind::Name(NameRef::Binding(id)) => return Some(*id),
            _ => return None,
        };
    }
    None
}

/// The path that a call is told first.
pub(super) fn route_of<'u>(unit: &'u Unit, call: &Call) -> Option<&'u str> {
    match unit.ir.expr(call.positional(0)?) {
        ExprKind::String(text) => Some(unit.ir.text(*text)),
        _ => None,
    }
}
