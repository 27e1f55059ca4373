//! What the code of a Python server keeps for the whole application: `app["sessions"] = Sessions()`, `app.state.index = Index(es)`.

use rustc_hash::FxHashMap;

use super::{At, Project, Unit};
use crate::ir::{ExprId, ExprKind, Language, NameRef};

/// Names of applications.
const APPS: &[&str] = &["app", "application", "current_app"];

/// Where frameworks let code keep things: of Starlette, Sanic.
const STATES: &[&str] = &["state", "ctx"];

impl Project {
    /// The one value that is kept for the application where an expression takes it from, by whoever put it there.
    pub(super) fn kept_for_application(&self, at: At) -> Option<At> {
        let unit = self.unit(at.module).filter(|unit| unit.ir.language == Language::Python)?;
        let name = self.kept_name(unit, at)?;
        self.memory.kept_for_application.get_or_init(|| self.find_kept()).get(&name).copied().flatten()
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
        all
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
            ExprKind::Member { object, property, .. } => match unit.ir.expr(*object) {
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

/// Whether an expression is the application, by its name: `app`, `request.app`, `self.app`.
fn is_application(unit: &Unit, expr: ExprId) -> bool {
    match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => APPS.contains(&unit.ir.binding_name(*id)),
        ExprKind::Member { property, .. } => APPS.contains(&unit.ir.text(*property)),
        _ => false,
    }
}
