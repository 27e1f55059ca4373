//! What libraries export as if there were one, and keep for each request or context of its own.

use super::Lifetimes;
use crate::{
    ir::{ExprId, ExprKind, Language, walk},
    library::Role,
    project::{At, Cls, Fun, Symbol, Unit},
};

/// Names that stand for the request that is answered, by package. Sources: the documentation of Flask, Quart and starlette-context.
const OF_REQUEST: &[(&str, &[&str])] = &[
    ("flask", &["g", "session", "request"]),
    ("quart", &["g", "session", "request", "websocket"]),
    ("starlette_context", &["context"]),
    ("flask_login", &["current_user"]),
];

/// Packages whose storages have a value for each context, and their names. Sources: the documentation of asgiref and werkzeug.
const STORAGES: &[(&str, &[&str])] =
    &[("asgiref", &["Local"]), ("werkzeug", &["Local", "LocalStack", "LocalProxy"])];

/// Whether a package, or a module of it, is one of a list, and the name one of its names.
fn is_in(list: &[(&str, &[&str])], package: &str, name: &str) -> bool {
    let root = package.split('.').next().unwrap_or(package);
    list.iter().any(|(own, names)| *own == root && names.contains(&name))
}

impl Lifetimes<'_> {
    /// Whether a value of Python is imported or made once and yet another one in each request: Flask's `g`, `asgiref.local.Local()`.
    pub(super) fn is_of_this_request(&self, unit: &Unit, at: At) -> bool {
        if unit.ir.language != Language::Python {
            return false;
        }
        let Symbol::External { package, path } = self.project.symbol(at) else { return false };
        path.last().is_some_and(|name| {
            let name = name.as_str();
            is_in(STORAGES, package.as_str(), name)
                || (path.len() == 1 && is_in(OF_REQUEST, package.as_str(), name))
        })
    }

    /// Whether a class says itself that each request, or whoever asks for one, has an object of its own: Nest's `Scope.REQUEST`.
    pub(super) fn is_for_each_request(&self, class: Cls) -> bool {
        let Some(unit) = self.project.unit(class.module) else { return false };
        unit.ir.class(class.id).is_some_and(|decl| {
            decl.decorators.iter().any(|expr| {
                let text = unit.ir.snippet(unit.ir.span(*expr));
                let scoped = text.contains("scope")
                    && [".REQUEST", ".TRANSIENT"].iter().any(|said| text.contains(said));
                scoped || text.contains("workflow.defn")
            })
        })
    }

    /// Whether what looks like a field of a class of Python is handed to a function that leaves it in a context variable:
    /// `@tenant.setter def tenant(self, value): self._tenant.set(value)`.
    pub(super) fn is_set_in_context(&self, class: Cls, name: &str) -> bool {
        let Some(unit) = self.project.unit(class.module) else { return false };
        let Some(decl) = unit.ir.class(class.id) else { return false };
        decl.methods.iter().any(|id| {
            let Some(function) = unit.ir.function(*id) else { return false };
            let setter = |expr: &ExprId| {
                matches!(unit.ir.expr(*expr), ExprKind::Member { property, .. } if unit.ir.text(*property) == "setter")
            };
            function.name.is_some_and(|own| unit.ir.text(own) == name)
                && function.decorators.iter().any(setter)
                && self.sets_context(unit, Fun { module: class.module, id: *id })
        })
    }

    fn sets_context(&self, unit: &Unit, fun: Fun) -> bool {
        let mut found = false;
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            found |= matches!(unit.ir.expr(expr), ExprKind::Call(_))
                && self
                    .project
                    .callee(At { module: fun.module, expr })
                    .is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::ContextSet));
        });
        found
    }
}
