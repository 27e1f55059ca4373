//! What the code of a Python server keeps for the whole application: `app["sessions"] = Sessions()`, `app.state.index = Index(es)`, and
//! what a lifespan gives, `yield AppContext(desk=desk)`.

use rustc_hash::FxHashMap;

use super::{At, Parent, Project, Unit};
use crate::ir::{ArgKind, ExprId, ExprKind, Function, FunctionId, Language, NameRef, PropertyKey, walk};

/// Names of applications.
const APPS: &[&str] = &["app", "application", "current_app"];

/// Where frameworks let code keep things: of Starlette, Sanic.
const STATES: &[&str] = &["state", "ctx"];

impl Project {
    /// The one value that is kept for the application where an expression takes it from, by whoever put it there.
    pub(crate) fn kept_for_application(&self, at: At) -> Option<At> {
        let unit = self.unit(at.module).filter(|unit| unit.ir.language == Language::Python)?;
        let name = self.kept_name(unit, at)?;
        self.memory.kept_for_application.get_or_init(|| self.find_kept()).get(&name).copied().flatten()
    }

    /// The one value that is kept for the application under a name, however it is taken from there.
    pub(crate) fn kept_under(&self, name: &str) -> Option<At> {
        let all = self.memory.kept_for_application.get_or_init(|| self.find_kept());
        let ways = [name.to_owned(), format!("[{name}]"), of_request(name)];
        ways.iter().find_map(|way| all.get(way).copied().flatten())
    }

    /// All such values, by their names; none for what is set in several places.
    fn find_kept(&self) -> FxHashMap<String, Option<At>> {
        let mut all: FxHashMap<String, Option<At>> = FxHashMap::default();
        for (module, unit) in self.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
            for write in &unit.index.writes {
                let Some(name) = self.kept_name(unit, At { module, expr: write.place }) else { continue };
                let nothing = matches!(unit.ir.expr(write.value), ExprKind::Null);
                if !nothing {
                    let value = At { module, expr: write.value };
                    all.entry(name).and_modify(|known| *known = None).or_insert(Some(value));
                }
            }
        }
        for (module, unit) in self.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
            for (id, _) in unit.ir.functions().filter(|(_, function)| is_lifespan(unit, function)) {
                self.given_by_lifespan(At { module, expr: ExprId::MISSING }, id, &mut all);
            }
        }
        all
    }

    /// What a lifespan yields, as a whole and by the names that it has there: `yield {"desk": desk}`.
    fn given_by_lifespan(&self, at: At, id: FunctionId, all: &mut FxHashMap<String, Option<At>>) {
        let Some(unit) = self.unit(at.module) else { return };
        let mut keep = |name: String, value: ExprId| {
            all.entry(name).and_modify(|known| *known = None).or_insert(Some(at.to(value)));
        };
        walk::function_exprs(&unit.ir, id, &mut |expr| {
            let ExprKind::Yield { value: Some(value), .. } = unit.ir.expr(expr) else { return };
            match unit.ir.expr(*value) {
                ExprKind::Null => return,
                ExprKind::Object(properties) => {
                    for property in properties {
                        if let PropertyKey::Name(name) = property.key {
                            keep(of_request(unit.ir.text(name)), property.value);
                        }
                    }
                }
                ExprKind::Call(call) => {
                    for arg in &call.args {
                        if let ArgKind::Keyword(name) = arg.kind {
                            keep(of_request(unit.ir.text(name)), arg.value);
                        }
                    }
                }
                _ => {}
            }
            keep(LIFESPAN.to_owned(), *value);
        });
    }

    /// The name under which an expression takes something from the application or puts it there.
    fn kept_name(&self, unit: &Unit, at: At) -> Option<String> {
        match unit.ir.expr(at.expr) {
            ExprKind::Index { object, index, .. } if is_application(unit, *object) => {
                let key = match unit.ir.expr(*index) {
                    ExprKind::String(text) => unit.ir.text(*text),
                    _ => self.text_of_name(At { module: at.module, expr: *index })?,
                };
                Some(format!("[{key}]"))
            }
            ExprKind::Member { property, .. } if unit.ir.text(*property) == LIFESPAN => {
                Some(LIFESPAN.to_owned())
            }
            ExprKind::Member { object, property, .. } => match unit.ir.expr(*object) {
                ExprKind::Member { object: request, property: state, .. }
                    if unit.ir.text(*state) == "state" && is_request(unit, *request) =>
                {
                    Some(of_request(unit.ir.text(*property)))
                }
                ExprKind::Member { object: app, property: state, .. }
                    if STATES.contains(&unit.ir.text(*state)) && is_application(unit, *app) =>
                {
                    Some(unit.ir.text(*property).to_owned())
                }
                _ => None,
            },
            _ => None,
        }
    }
}

/// The field of a context under which a server's SDK gives what the lifespan gave.
const LIFESPAN: &str = "lifespan_context";

/// The name of what Starlette puts into the state of each request out of what the lifespan gave: `request.state.desk`.
fn of_request(name: &str) -> String {
    format!("state.{name}")
}

/// Whether a generator is what runs around a server: it is handed over as `lifespan`, or named for it.
pub(crate) fn is_lifespan(unit: &Unit, function: &Function) -> bool {
    if unit.ir.language != Language::Python || !function.is_generator {
        return false;
    }
    let named = function.name.is_some_and(|name| unit.ir.text(name).to_lowercase().contains("lifespan"));
    let handed = || {
        function.binding.is_some_and(|id| {
            unit.index.uses(id).iter().any(|used| match unit.index.parent(*used) {
                Parent::Expr(up) => match unit.ir.expr(up) {
                    ExprKind::Call(call) => call.args.iter().any(|arg| {
                        arg.value == *used
                            && matches!(arg.kind, ArgKind::Keyword(name) if unit.ir.text(name) == "lifespan")
                    }),
                    _ => false,
                },
                _ => false,
            })
        })
    };
    let said = || {
        function.decorators.iter().any(|expr| {
            matches!(
                unit.ir.snippet(unit.ir.span(*expr)).trim_end_matches("()"),
                "lifespan" | "lifespan.lifespan"
            )
        })
    };
    named || said() || handed()
}

/// Whether an expression is a request, by its name.
fn is_request(unit: &Unit, expr: ExprId) -> bool {
    matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id))
        if matches!(unit.ir.binding_name(*id), "request" | "req" | "websocket" | "ws" | "conn" | "connection"))
}

/// Whether an expression is the application, by its name: `app`, `request.app`, `self.app`.
fn is_application(unit: &Unit, expr: ExprId) -> bool {
    match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => APPS.contains(&unit.ir.binding_name(*id)),
        ExprKind::Member { property, .. } => APPS.contains(&unit.ir.text(*property)),
        _ => false,
    }
}
