//! Objects that are written out and have methods, `const desk = { user: null, open(user) { this.user = user } }`, and maps that are used
//! as such: `desk.set("user", user)`.

use super::{Cell, Lifetimes, shared::SharedWrite};
use crate::{
    ir::{Call, ExprKind, FunctionKind, Language, NameRef, StmtKind},
    project::{At, Fun, Parent},
};

/// The variable of a module whose object a function has as `this`; none where the object is made for a request, or is not seen to be kept.
pub(super) fn cell_of_this(lives: &Lifetimes<'_>, fun: Fun) -> Option<Cell> {
    let unit = lives.project.unit(fun.module)?;
    // What an arrow calls `this` is that of the function around it.
    let method =
        lives.project.around(fun).into_iter().find(|own| {
            unit.ir.function(own.id).is_none_or(|function| function.kind != FunctionKind::Arrow)
        })?;
    let plain = unit.ir.function(method.id).is_some_and(|function| function.kind == FunctionKind::Plain);
    let Parent::Expr(object) = unit.index.parent(unit.index.site(method.id).filter(|_| plain)?) else {
        return None;
    };
    if !matches!(unit.ir.expr(object), ExprKind::Object(_)) {
        return None;
    }
    let Parent::Stmt(stmt) = unit.index.parent(object) else { return None };
    let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt) else { return None };
    let id = target.as_binding().filter(|id| *value == object && unit.ir.is_module_level(*id))?;
    lives.binding_outlives(fun.module, id).then_some(Cell::Binding(fun.module, id))
}

/// What a request puts under a name that is written out into a map that outlives it: `context.set("user", user)`.
pub(super) fn set_in_map(lives: &Lifetimes<'_>, at: At, call: &Call, fun: Fun, found: &mut Vec<SharedWrite>) {
    let Some(unit) = lives.project.unit(at.module).filter(|unit| unit.ir.language == Language::JavaScript)
    else {
        return;
    };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
    let (Some(key), Some(value)) = (call.positional(0), call.positional(1)) else { return };
    let ExprKind::String(name) = unit.ir.expr(key) else { return };
    let set = unit.ir.text(*property) == "set";
    if !set || call.args.len() != 2 || !lives.is_per_request(fun) || !is_map(lives, at.to(*object)) {
        return;
    }
    if let Some(of) = lives.cell(at.to(*object)) {
        let cell = Cell::Property(Box::new(of), unit.ir.text(*name).to_owned());
        found.push(SharedWrite::by_call(unit, at, fun, cell, value));
    }
}

/// Whether a variable or a field is seen to be made as a map.
fn is_map(lives: &Lifetimes<'_>, at: At) -> bool {
    let Some(unit) = lives.project.unit(at.module) else { return false };
    let makes = |value: At| {
        lives.project.unit(value.module).is_some_and(|unit| match unit.ir.expr(value.expr) {
            ExprKind::Call(call) => {
                call.is_new
                    && matches!(unit.ir.expr(call.callee), ExprKind::Name(NameRef::Global(name)) if unit.ir.text(*name) == "Map")
            }
            _ => false,
        })
    };
    match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            unit.index.sources(*id).iter().any(|source| source.path.is_empty() && makes(at.to(source.value)))
        }
        ExprKind::Member { object, property, .. } if matches!(unit.ir.expr(*object), ExprKind::This) => {
            lives.project.this_of(lives.project.function_of(at)).is_some_and(|class| {
                lives.project.field_values(class, unit.ir.text(*property)).into_iter().any(makes)
            })
        }
        _ => false,
    }
}
