//! Whom what frameworks ask before a handler lets through: functions, what functions of ours make with a role, classes and their objects.

use super::{
    gateways::{DECIDES, is_metadata},
    operators::{ASKS, Admits, says},
};
use crate::{
    ir::{Call, ExprKind, NameRef, walk},
    project::{At, Cls, Fun, Project, Symbol},
    vocabulary,
};

impl Project {
    /// Whom what stands before a handler lets in.
    #[must_use]
    pub fn admits(&self, handler: Fun) -> Admits {
        self.admitted.get(&handler).copied().unwrap_or_default()
    }

    /// Whom a value lets through that a framework asks before a handler: a function, what a function of ours makes with a role, a class
    /// or an object of one, a list of them.
    pub(super) fn admits_guard(&self, at: At, depth: u32) -> Admits {
        let (Some(depth), Some(unit)) = (depth.checked_sub(1), self.unit(at.module)) else {
            return Admits::Anybody;
        };
        match unit.ir.expr(at.expr) {
            ExprKind::Array { items, .. } => {
                items.iter().map(|item| self.admits_guard(at.to(*item), depth)).max().unwrap_or_default()
            }
            ExprKind::Spread(value) | ExprKind::Await(value) => self.admits_guard(at.to(*value), depth),
            ExprKind::Function(id) => self.admits_through(Fun { module: at.module, id: *id }, depth),
            ExprKind::Call(call) => self.admits_made(at, call, depth),
            ExprKind::Name(NameRef::Binding(id)) => {
                let (module, own) = self.declared(at.module, *id).unwrap_or((at.module, *id));
                let made = self.unit(module).map_or(&[][..], |unit| unit.index.sources(own));
                if let [source] = made
                    && source.path.is_empty()
                    && let Some(unit) = self.unit(module)
                    && matches!(
                        unit.ir.expr(source.value),
                        ExprKind::Call(_) | ExprKind::Array { .. } | ExprKind::Name(_)
                    )
                {
                    return self.admits_guard(At { module, expr: source.value }, depth);
                }
                self.admits_named(at, depth)
            }
            ExprKind::Name(_) | ExprKind::Member { .. } => self.admits_named(at, depth),
            _ => Admits::Anybody,
        }
    }

    /// The same of what is named: a function or class of ours decides by what it does, any other by its name.
    fn admits_named(&self, at: At, depth: u32) -> Admits {
        let path = self.written_as_exported(at);
        let Some(name) = path.last() else { return Admits::Anybody };
        match self.symbol(at) {
            Symbol::Function(fun) => self.admits_function(fun, name, depth),
            Symbol::Class(class) | Symbol::Instance(class) => {
                self.admits_class(class, name, Admits::Anybody, depth)
            }
            Symbol::Value(value) if value != at => self.admits_guard(value, depth),
            // What the framework brings: Django's staff are the operator's.
            Symbol::External { package, .. } if package.starts_with("rest_framework") => {
                match name.as_str() {
                    "IsAdminUser" => Admits::Operators,
                    _ => Admits::Anybody,
                }
            }
            _ => self.settled(asked(name, says(name))),
        }
    }

    fn admits_function(&self, fun: Fun, name: &str, depth: u32) -> Admits {
        let own = self.admits_through(fun, depth);
        if own == Admits::Operators || !self.may_refuse(fun, 3) {
            return own;
        }
        own.max(self.settled(asked(name, says(name))))
    }

    /// Whom a class lets through, by its method that decides, its name and the roles that its object was made with.
    fn admits_class(&self, class: Cls, name: &str, told: Admits, depth: u32) -> Admits {
        let decides: Vec<Fun> = DECIDES.iter().filter_map(|method| self.method(class, method)).collect();
        let own = decides.iter().map(|fun| self.admits_through(*fun, depth)).max().unwrap_or_default();
        // A class that is made of another decides as that one does.
        let refuses = decides.iter().any(|fun| self.may_refuse(*fun, 3));
        match decides.is_empty() || refuses {
            true => own.max(told).max(self.settled(asked_by_class(name))),
            false => own,
        }
    }

    /// Whom what a call makes lets through: `requireRole("SUPER_ADMIN")`, `RoleGuard(UserRole.PLATFORM_ADMIN)`, `Depends(require_admin)`,
    /// `asyncHandler(requireAdmin)`.
    fn admits_made(&self, at: At, call: &Call, depth: u32) -> Admits {
        let path = self.written_as_exported(at);
        let Some(name) = path.last() else { return Admits::Anybody };
        if matches!(name.as_str(), "Depends" | "Security" | "Provide" | "bind") {
            let given = match name.as_str() {
                "bind" => self.unit(at.module).and_then(|unit| match unit.ir.expr(call.callee) {
                    ExprKind::Member { object, .. } => Some(*object),
                    _ => None,
                }),
                _ => call.positional(0),
            };
            return given.map_or(Admits::Anybody, |given| self.admits_guard(at.to(given), depth));
        }
        let roles = || match asks_for_role(name) {
            true => self.roles_of(at, call),
            false => Admits::Anybody,
        };
        let has_roles = asks_for_role(name) && call.args.iter().any(|arg| self.names_role(at.to(arg.value)));
        // With a role that it is told, its name says nothing more: unless it is the operator's own.
        let named = self.settled(asked(name, says(name)));
        let told = if has_roles && says(name) != Admits::Operators { roles() } else { named };
        let made = self.unit(at.module).map(|_| self.symbol(at.to(call.callee)));
        match made {
            Some(Symbol::Function(fun)) => {
                let composed = self.composed(fun, depth);
                let own = if has_roles { Admits::Anybody } else { self.admits_through(fun, depth) };
                let told = if self.may_refuse(fun, 3) { told } else { Admits::Anybody };
                own.max(told).max(composed)
            }
            Some(Symbol::Class(class)) => match has_roles {
                true if self.decides(class) => told,
                true => Admits::Anybody,
                false => self.admits_class(class, name, told, depth),
            },
            _ => {
                // `asyncHandler(requireAdmin)`
                let inner = call.args.iter().map(|arg| {
                    match self.unit(at.module).map(|unit| unit.ir.expr(arg.value)) {
                        Some(ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Function(_)) => {
                            self.admits_guard(at.to(arg.value), depth)
                        }
                        _ => Admits::Anybody,
                    }
                });
                told.max(inner.max().unwrap_or_default())
            }
        }
    }

    /// Whether a class has a method that refuses, or gives what a condition comes to.
    fn decides(&self, class: Cls) -> bool {
        DECIDES.iter().filter_map(|method| self.method(class, method)).any(|fun| self.may_refuse(fun, 3))
    }

    /// Decorators that a function of ours puts together: `applyDecorators(Roles("super_admin"), UseGuards(RolesGuard))`.
    fn composed(&self, fun: Fun, depth: u32) -> Admits {
        let Some(unit) = self.unit(fun.module) else { return Admits::Anybody };
        let mut found = Admits::Anybody;
        for value in unit.index.returns(fun.id).iter().take(2) {
            let at = At { module: fun.module, expr: *value };
            let ExprKind::Call(call) = unit.ir.expr(*value) else { continue };
            if self.last_written(at) != Some("applyDecorators") {
                continue;
            }
            let guarded = self.snippet(at).contains("Guard");
            for arg in &call.args {
                let ExprKind::Call(inner) = unit.ir.expr(arg.value) else { continue };
                let own = at.to(arg.value);
                found = found.max(match self.last_written(own) {
                    Some("UseGuards") => inner
                        .args
                        .iter()
                        .map(|arg| self.admits_guard(at.to(arg.value), depth))
                        .max()
                        .unwrap_or_default(),
                    Some(name) if is_metadata(name) && guarded => self.roles_of(own, inner),
                    _ => Admits::Anybody,
                });
            }
        }
        found
    }

    /// Whether an argument is a role that is written out, whichever.
    fn names_role(&self, at: At) -> bool {
        let Some(unit) = self.unit(at.module) else { return false };
        let mut found = false;
        walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
            found |= match unit.ir.expr(expr) {
                ExprKind::String(_) => true,
                ExprKind::Member { object, .. } => matches!(unit.ir.expr(*object), ExprKind::Name(_)),
                _ => false,
            };
        });
        found && !matches!(unit.ir.expr(at.expr), ExprKind::Function(_) | ExprKind::Call(_))
    }
}

/// Whom a function's name says that it wants: what has to do with administrators and asks for nothing, such as `adminRouter` or
/// `listAdmins`, says nothing.
fn asked(name: &str, says: Admits) -> Admits {
    const GUARDS: &[&str] = &[
        "require",
        "requires",
        "required",
        "only",
        "ensure",
        "check",
        "verify",
        "is",
        "must",
        "guard",
        "auth",
        "authenticate",
        "authenticated",
        "authorize",
        "authorise",
        "authorized",
        "protect",
        "restrict",
        "restricted",
        "allow",
        "has",
        "enforce",
        "assert",
        "validate",
        "get",
        "current",
        "access",
        "permission",
        "middleware",
        "test",
        "with",
        "role",
    ];
    let words = vocabulary::words(name);
    let asks = words.iter().any(|word| GUARDS.contains(&word.as_str()));
    // `superAdmin`, `admin` by itself.
    let short = words.len() == 1 || (words.len() == 2 && says == Admits::Operators);
    if asks || short { says } else { Admits::Anybody }
}

/// The same of a class: `PlatformAdminGuard`, `IsSuperUser`.
fn asked_by_class(name: &str) -> Admits {
    asked(name, says(name))
}

/// Whether a function or class asks for a role that it is told, by its name.
fn asks_for_role(name: &str) -> bool {
    const BESIDE: &[&str] = &["authorization", "user"];
    vocabulary::words(name)
        .iter()
        .any(|word| ASKS.contains(&word.as_str()) || BESIDE.contains(&word.as_str()))
}
