//! Where things with a role are made: a server, a client, a transport, and whether that was before the request.

use super::{Lifetimes, lifetime::DEPTH};
use crate::{
    ir::{BindingId, BindingKind, ExprId, ExprKind, FunctionKind, NameRef, PropertyKey},
    library::Role,
    project::{At, Cls, Symbol, Unit},
};

/// Some roles as one number.
fn bits(roles: &[Role]) -> u64 {
    roles.iter().fold(0, |bits, role| bits | (1 << (*role as u64)))
}

impl Lifetimes<'_> {
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
        let key = (at, bits(roles), depth);
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
        if !matches!(unit.ir.expr(at.expr), ExprKind::Name(_) | ExprKind::Call(_)) {
            return self.find_made_before(unit, at, roles, depth);
        }
        // Parameters of functions that many call come to the same places on many ways.
        let key = (at, bits(roles), depth);
        if let Some(known) = self.objects.made_before.borrow().get(&key) {
            return *known;
        }
        let made = self.find_made_before(unit, at, roles, depth);
        self.objects.made_before.borrow_mut().insert(key, made);
        made
    }

    fn find_made_before(&self, unit: &Unit, at: At, roles: &[Role], depth: u32) -> Option<At> {
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
