//! Objects that a container makes anew whenever somebody asks for one, as tsyringe does for what is `@injectable()`.

use super::Lifetimes;
use crate::{
    ir::{ExprKind, FunctionId, FunctionKind, Kinds},
    project::{At, Cls, Symbol, Unit},
};

/// Calls that keep one object of a class for all.
const KEEPS: &[&str] = &["registerSingleton", "registerInstance"];

impl Lifetimes<'_> {
    /// Whether a container makes an object of a class whenever it is asked for one, and none of them goes into what outlives a request:
    /// no object of a class that is there once is given one when it is made, and none is asked for when a module is loaded.
    pub(super) fn is_resolved_anew(&self, class: Cls, depth: u32) -> bool {
        let Some(unit) = self.project.unit(class.module) else { return false };
        let said = |name: &str| self.is_said(class, name);
        if !unit.ir.has_name(&["tsyringe"]) || !said("injectable") || said("singleton") || said("scoped") {
            return false;
        }
        !self.is_registered_as_one(class) && !self.is_held_for_long(class, depth)
    }

    /// Whether a decorator of a library of that name stands above a class: `@singleton()`.
    pub(super) fn is_said(&self, class: Cls, name: &str) -> bool {
        let Some(unit) = self.project.unit(class.module) else { return false };
        let Some(decl) = unit.ir.class(class.id) else { return false };
        decl.decorators.iter().any(|expr| {
            let named = match unit.ir.expr(*expr) {
                ExprKind::Call(call) => call.callee,
                _ => *expr,
            };
            match self.project.symbol(At { module: class.module, expr: named }) {
                Symbol::External { path, .. } => path.last().is_some_and(|own| own.as_str() == name),
                _ => false,
            }
        })
    }

    /// Whether a container is told that there is one object of a class, or is asked for one when a module is loaded.
    fn is_registered_as_one(&self, class: Cls) -> bool {
        self.project.units().any(|(module, unit)| {
            unit.ir.has_name(&["registerSingleton", "registerInstance", "register", "resolve"])
                && unit.ir.exprs_of(Kinds::CALL).any(|(expr, kind)| {
                    let ExprKind::Call(call) = kind else { return false };
                    let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return false };
                    let name = unit.ir.text(*property);
                    let once = KEEPS.contains(&name)
                        || (name == "register" && unit.ir.snippet(unit.ir.span(expr)).contains("Lifecycle."))
                        || (name == "resolve" && unit.index.function(expr) == FunctionId::MODULE);
                    once && call.args.iter().any(|arg| {
                        self.project.symbol(At { module, expr: arg.value }) == Symbol::Class(class)
                    })
                })
        })
    }

    /// Whether an object of a class is given to one that outlives a request when that is made: `constructor(private calls: CallService)`.
    fn is_held_for_long(&self, class: Cls, depth: u32) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return true };
        let name = self.project.class_name(class);
        self.project.units().filter(|(_, unit)| unit.ir.has_name(&[name])).any(|(module, unit)| {
            unit.ir.classes().any(|(id, other)| {
                let holder = Cls { module, id };
                holder != class
                    && other.methods.iter().any(|method| is_made_with(unit, *method, name))
                    && self.class_outlives(holder, depth) != Some(false)
            })
        })
    }
}

/// Whether a function is a constructor that has a parameter of a type.
fn is_made_with(unit: &Unit, method: FunctionId, name: &str) -> bool {
    unit.ir.function(method).is_some_and(|function| {
        function.kind == FunctionKind::Constructor
            && function
                .params
                .iter()
                .filter_map(|own| own.annotation)
                .any(|annotation| unit.ir.snippet(unit.ir.span(annotation)).contains(name))
    })
}
