//! What all requests find the same, whoever made it: variables around handlers, fields of objects that register routes, what
//! constructors are given.

use super::Lifetimes;
use crate::{
    ir::{BindingId, BindingKind, ExprId, ExprKind, FunctionId, FunctionKind, NameRef},
    library::Role,
    project::{At, Cls, Fun, Symbol},
    vocabulary,
};

/// How many steps are taken from a use to the variable that holds it.
const STEPS: u32 = 4;

/// Names of the server in a record about it.
const SERVERS: &[&str] = &["server", "mcpServer", "mcp", "mcp_server"];

/// First words of methods that give what is there, and make nothing.
const LOOKS: &[&str] = &["get", "find", "lookup", "resolve", "load", "for"];

/// Something that outlives the requests that use it.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// The value that it was made as, when that is seen.
    pub made: Option<At>,
    /// Whether it is seen that several requests find the same; else the function that holds it could be called for each.
    pub certain: bool,
}

impl Lifetimes<'_> {
    /// What a constructor is given for a field, when that is made before: `constructor(private server: McpServer)`.
    pub(super) fn given_before(&self, class: Cls, name: &str, roles: &[Role], depth: u32) -> Option<At> {
        let unit = self.project.unit(class.module)?;
        let decl = unit.ir.class(class.id)?;
        let number = |function: &crate::ir::Function| {
            function.params.iter().position(|own| {
                let named = own.name.is_some_and(|own| unit.ir.text(own) == name);
                let stored = || {
                    self.project.field_writes(class, name).iter().any(|value| {
                        matches!(unit.ir.expr(value.expr), &ExprKind::Name(NameRef::Binding(id))
                            if value.module == class.module && own.pattern.as_binding() == Some(id))
                    })
                };
                (own.is_field && named) || stored()
            })
        };
        let (constructor, number) = decl.methods.iter().find_map(|id| {
            let function = unit.ir.function(*id).filter(|own| own.kind == FunctionKind::Constructor)?;
            Some((Fun { module: class.module, id: *id }, number(function)?))
        })?;
        self.project.callers(constructor).iter().take(6).find_map(|call| {
            let arg = self.project.argument(*call, constructor, number)?;
            let early = !self.is_per_request(self.project.function_of(*call));
            (early && self.makes(arg, roles))
                .then_some(arg)
                .or_else(|| self.made_before_in(arg, roles, depth))
        })
    }

    /// Whether a method of a class registers what answers HTTP requests.
    pub(super) fn registers_routes(&self, class: Cls) -> bool {
        let routers = self.objects.routers.get_or_init(|| {
            let routes = self.project.entries().iter().filter(|entry| {
                matches!(entry.kind.as_str(), "http" | "middleware")
                    && entry.registration.expr != ExprId::MISSING
            });
            routes
                .filter_map(|entry| {
                    // A decorator is no part of a method: it says nothing of when it runs.
                    let fun = self.project.function_of(entry.registration);
                    (fun.id != FunctionId::MODULE).then(|| self.project.this_of(fun)).flatten()
                })
                .collect()
        });
        routers.contains(&class)
    }

    /// Whether `this` in a function is the class and no object of it.
    pub(super) fn is_static(&self, fun: Fun) -> bool {
        let Some(unit) = self.project.unit(fun.module) else { return false };
        let around = self.project.around(fun);
        let mut functions = around.iter().filter_map(|fun| unit.ir.function(fun.id));
        functions
            .find(|function| function.class.is_some())
            .is_some_and(|function| matches!(function.kind, FunctionKind::Static | FunctionKind::ClassMethod))
    }

    /// Whether what a request uses is the same for all requests, although nobody is seen to make it: a variable of the module or of
    /// the function that registers the handler, or a field of an object that lives as long.
    #[must_use]
    pub fn held(&self, at: At) -> Option<Held> {
        self.held_in(at, STEPS)
    }

    fn held_in(&self, at: At, steps: u32) -> Option<Held> {
        let steps = steps.checked_sub(1)?;
        let unit = self.project.unit(at.module)?;
        match unit.ir.expr(at.expr) {
            ExprKind::Await(value) => self.held_in(at.to(*value), steps),
            ExprKind::Name(NameRef::Binding(id)) => self.variable_held(at, *id),
            // `this.connect(transport)` of a class that is a server itself.
            ExprKind::This => {
                let class = self.project.this_of(self.project.function_of(at))?;
                let shared = self.is_server_class(class, STEPS) && self.outlives(class)?;
                shared.then_some(Held { made: None, certain: true })
            }
            ExprKind::Member { object, property, .. } => {
                if SERVERS.contains(&unit.ir.text(*property)) && self.is_looked_up(at.to(*object)) {
                    return Some(Held { made: None, certain: false });
                }
                if !matches!(unit.ir.expr(*object), ExprKind::This) {
                    let of = self.held_in(at.to(*object), steps)?;
                    return Some(Held { made: None, ..of });
                }
                let fun = self.project.function_of(at);
                let class = self.project.this_of(fun)?;
                let field = unit.ir.text(*property);
                let replaced = self.project.field_writes(class, field).iter().any(|value| {
                    let writer = self.project.function_of(*value);
                    self.is_per_request(writer)
                });
                let held =
                    !replaced && self.project.method(class, field).is_none() && self.outlives(class)?;
                held.then_some(Held { made: None, certain: true })
            }
            _ => None,
        }
    }

    fn variable_held(&self, at: At, id: BindingId) -> Option<Held> {
        let unit = self.project.unit(at.module)?;
        match unit.ir.binding(id)?.kind {
            BindingKind::Import(_) => {
                let value = self.imported(at)?;
                let from = self.project.unit(value.module)?;
                match from.ir.expr(value.expr) {
                    ExprKind::Call(_) => Some(Held { made: Some(value), certain: true }),
                    // `export default server`
                    ExprKind::Name(NameRef::Binding(id)) if from.ir.is_module_level(*id) => {
                        self.variable_held(value, *id)
                    }
                    _ => None,
                }
            }
            BindingKind::Parameter(function) => {
                let fun = Fun { module: at.module, id: function };
                let (_, number, _) = self.project.parameter_of(at.module, id)?;
                self.around_handler(at, fun)?;
                let callers = self.project.callers(fun);
                if callers.iter().any(|call| self.is_per_request(self.project.function_of(*call))) {
                    return None;
                }
                let arg = |call: &At| self.project.argument(*call, fun, number);
                let fresh = callers.iter().any(|call| arg(call).is_some_and(|arg| self.is_function(arg)));
                let certain = self.registers(at, fun) || !callers.is_empty();
                (!fresh).then_some(Held { made: None, certain })
            }
            BindingKind::Variable => {
                let function = unit.ir.binding_function(id);
                let fun = Fun { module: at.module, id: function };
                if function != FunctionId::MODULE {
                    self.around_handler(at, fun)?;
                }
                let mut made = None;
                for source in unit.index.sources(id) {
                    if self.is_per_request(Fun { module: at.module, id: source.function }) {
                        return None;
                    }
                    let gives = matches!(
                        unit.ir.expr(source.value),
                        ExprKind::Call(_) | ExprKind::Await(_) | ExprKind::Member { .. } | ExprKind::Name(_)
                    );
                    made = made.or_else(|| gives.then(|| at.to(source.value)));
                }
                made?;
                let certain =
                    function == FunctionId::MODULE || self.registers(at, fun) || self.runs_at_start(fun);
                Some(Held { made, certain })
            }
            _ => None,
        }
    }

    /// Whether a function is no part of a request and stands around the one in which something is used.
    fn around_handler(&self, at: At, fun: Fun) -> Option<()> {
        let user = self.project.function_of(at);
        (!self.is_per_request(fun) && user != fun && self.project.around(user).contains(&fun)).then_some(())
    }

    /// Whether a function registers the handler in which something is used.
    fn registers(&self, at: At, fun: Fun) -> bool {
        let around = self.project.around(self.project.function_of(at));
        around.iter().filter_map(|user| self.project.entry(*user)).any(|entry| {
            entry.registration.expr != ExprId::MISSING
                && self.project.around(self.project.function_of(entry.registration)).contains(&fun)
        })
    }

    /// Whether a value is a function and not what one gives.
    fn is_function(&self, at: At) -> bool {
        self.project
            .unit(at.module)
            .is_some_and(|unit| matches!(unit.ir.expr(at.expr), ExprKind::Function(_)))
    }

    /// Whether objects of a class are servers of MCP: it extends the SDK's, itself or through others of the project.
    pub(super) fn is_server_class(&self, class: Cls, steps: u32) -> bool {
        let (Some(steps), Some(unit)) = (steps.checked_sub(1), self.project.unit(class.module)) else {
            return false;
        };
        let Some(decl) = unit.ir.class(class.id) else { return false };
        decl.bases.iter().any(|base| match self.project.symbol(At { module: class.module, expr: *base }) {
            Symbol::Class(base) => self.is_server_class(base, steps),
            Symbol::External { package, path } => {
                let defs = self.project.libraries.calls_of(&package, &path);
                defs.iter().any(|def| def.role == Role::Server)
            }
            _ => false,
        })
    }

    /// Whether an object was looked up in something that requests share, by what is no session: `registry.resolve(tenant)`.
    fn is_looked_up(&self, at: At) -> bool {
        let Some(unit) = self.project.unit(at.module) else { return false };
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
        let [source] = unit.index.sources(*id) else { return false };
        let mut value = source.value;
        if let ExprKind::Await(inner) = unit.ir.expr(value) {
            value = *inner;
        }
        let ExprKind::Call(call) = unit.ir.expr(value) else { return false };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return false };
        let words = vocabulary::words(unit.ir.text(*property));
        let looks = words.first().is_some_and(|first| LOOKS.contains(&first.as_str()))
            && !words
                .iter()
                .any(|word| matches!(word.as_str(), "create" | "make" | "new" | "build" | "connect"));
        let kept = vocabulary::words(self.project.last_written(at.to(*object)).unwrap_or_default());
        let of_session =
            kept.iter().any(|word| word.starts_with("session") || word.starts_with("connection"))
                || call.args.iter().any(|arg| self.names_session(at.to(arg.value)));
        looks && source.path.is_empty() && !call.args.is_empty() && !of_session
    }

    /// Whether a key is that of one session or connection, by its name or by what it is made of.
    pub(super) fn names_session(&self, key: At) -> bool {
        let says = |name: &str| {
            let words = vocabulary::words(name);
            vocabulary::is_session_id(name)
                || words.iter().any(|word| {
                    matches!(
                        word.as_str(),
                        "session" | "sid" | "uuid" | "connection" | "transport" | "socket"
                    )
                })
        };
        let written = self.project.last_written(key).is_some_and(says);
        let roots = self.project.roots(key);
        let root = |id: &BindingId| {
            self.project.unit(key.module).is_some_and(|unit| says(unit.ir.binding_name(*id)))
        };
        written || roots.iter().any(root) || self.project.snippet(key).contains("UUID")
    }

    /// What a map that requests share gives for a key that is no session's, where it was put there: `servers.get(kind)`.
    pub(super) fn kept_in_map(&self, at: At, roles: &[Role]) -> Option<At> {
        let unit = self.project.unit(at.module)?;
        let (map, key) = match unit.ir.expr(at.expr) {
            ExprKind::Call(call) => match unit.ir.expr(call.callee) {
                ExprKind::Member { object, property, .. } if unit.ir.text(*property) == "get" => {
                    (*object, call.positional(0)?)
                }
                _ => return None,
            },
            ExprKind::Index { object, index, .. } => (*object, *index),
            _ => return None,
        };
        let (map, key) = (at.to(map), at.to(key));
        let named = vocabulary::words(self.project.last_written(map).unwrap_or_default());
        if self.cell(map).is_none()
            || self.names_session(key)
            || named.iter().any(|word| word.starts_with("session"))
        {
            return None;
        }
        let (store, _) = self.project.store(map)?;
        let accesses = self.project.accesses();
        let put = accesses.iter().filter(|access| access.store == store && !self.names_session(access.key));
        put.filter_map(|access| access.value).find(|value| self.makes(*value, roles))
    }

    /// Whether a map holds what has a role, by what is put into it.
    #[must_use]
    pub fn holds(&self, map: At, roles: &[Role]) -> bool {
        let Some((store, _)) = self.project.store(map) else { return false };
        self.project
            .accesses()
            .iter()
            .any(|access| access.store == store && access.value.is_some_and(|value| self.makes(value, roles)))
    }
}
