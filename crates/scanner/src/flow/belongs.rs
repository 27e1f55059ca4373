//! Guards before handlers that hold the tenant whom the path names against what the caller belongs to: dependencies, permission
//! classes, guards of a route.

use super::{
    Entry, Origins,
    gateways::{BEFORE, DECIDES, router_of},
};
use crate::{
    ir::{ArgKind, BindingId, Call, CompareOp, ExprId, ExprKind, NameRef, Property, StmtKind, UnaryOp, walk},
    project::{At, Cls, Fun, Parent, Project, Symbol, Unit},
    vocabulary,
};

/// How far guards and values are followed.
const DEPTH: u32 = 4;

/// How many expressions of a guard are looked at.
const PARTS: usize = 400;

/// Members of requests and views that hold what the path says.
const PATHS: &[&str] =
    &["params", "path_params", "kwargs", "view_args", "match_info", "query", "query_params"];

/// Members of requests that are the caller.
const CALLERS: &[&str] = &["user", "auth", "principal", "currentUser", "current_user", "viewer", "account"];

/// Names of parameters and variables that are the caller.
const CALLER_NAMES: &[&str] = &["user", "current_user", "currentUser", "me", "caller", "actor", "viewer"];

/// What a handler is given, that a guard may hold against the caller.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    /// Its name.
    name: &'a str,
    /// Whether what a token says under the same name is something else: where the handler knows the caller too, its own function may
    /// look at both.
    strict: bool,
}

impl Project {
    /// Whether something that stands before a handler refuses who does not belong to what the path names by a name:
    /// `ctx = Depends(require_perm("read"))`, of which a dependency looks for the membership of the caller in `org_id`.
    #[must_use]
    pub fn is_held_before(&self, entry: &Entry, name: &str) -> bool {
        let asked = Asked { name, strict: !self.is_told_caller(entry) };
        self.stand_before(entry).into_iter().any(|fun| self.holds(fun, asked, entry, DEPTH))
    }

    /// Whether a handler is given the verified caller.
    fn is_told_caller(&self, entry: &Entry) -> bool {
        let module = entry.handler.module;
        let Some(unit) = self.unit(module) else { return true };
        let Some(function) = unit.ir.function(entry.handler.id) else { return true };
        function.params.iter().any(|parameter| {
            let mut told = false;
            parameter.pattern.for_each_binding(&mut |id| {
                let used = unit.index.uses(id).first();
                told |= used.is_some_and(|expr| {
                    self.origins(At { module, expr: *expr }).has(Origins::PRINCIPAL | Origins::REQUEST)
                });
            });
            told
        })
    }

    /// The functions that stand before a handler, with those that decide for classes.
    fn stand_before(&self, entry: &Entry) -> Vec<Fun> {
        let mut found = Vec::new();
        let module = entry.handler.module;
        let Some(unit) = self.unit(module) else { return found };
        let Some(function) = unit.ir.function(entry.handler.id) else { return found };
        for parameter in &function.params {
            for at in self.injections(module, parameter) {
                self.injected_functions(at, &mut found);
            }
        }
        let class = function.class.and_then(|id| unit.ir.class(id));
        let decorators =
            function.decorators.iter().chain(class.iter().flat_map(|class| class.decorators.iter()));
        for decorator in decorators {
            let at = At { module, expr: *decorator };
            if at == entry.registration {
                continue;
            }
            match unit.ir.expr(*decorator) {
                ExprKind::Call(call)
                    if matches!(self.last_written(at), Some("UseGuards" | "permission_classes")) =>
                {
                    call.args
                        .iter()
                        .for_each(|arg| self.functions_before(at.to(arg.value), DEPTH, &mut found));
                }
                _ => self.functions_before(at, DEPTH, &mut found),
            }
        }
        for field in class.iter().flat_map(|class| class.fields.iter()) {
            if let (Some(value), true) = (field.value, BEFORE.contains(&unit.ir.text(field.name))) {
                self.functions_before(At { module, expr: value }, DEPTH, &mut found);
            }
        }
        self.before_route(entry, &mut found);
        found.truncate(16);
        found
    }

    /// What stands before a handler in its route, and before the route on its router.
    fn before_route(&self, entry: &Entry, found: &mut Vec<Fun>) {
        let at = entry.registration;
        let Some(unit) = self.unit(at.module) else { return };
        if at.expr == ExprId::MISSING {
            return;
        }
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return };
        self.given_before(unit, at, call, entry.handler, found);
        let Some(router) = router_of(unit, call.callee) else { return };
        let (home, own) = self.declared(at.module, router).unwrap_or((at.module, router));
        let Some(unit) = self.unit(home) else { return };
        for source in unit.index.sources(own).iter().take(2) {
            if let ExprKind::Call(made) = unit.ir.expr(source.value) {
                self.given_before(unit, At { module: home, expr: source.value }, made, entry.handler, found);
            }
        }
        for used in unit.index.uses(own).iter().take(64) {
            let Parent::Expr(member) = unit.index.parent(*used) else { continue };
            let ExprKind::Member { property, .. } = unit.ir.expr(member) else { continue };
            let Parent::Expr(up) = unit.index.parent(member) else { continue };
            let earlier = home != at.module || unit.index.order(up) < unit.index.order(at.expr);
            if let ExprKind::Call(used) = unit.ir.expr(up)
                && used.callee == member
                && earlier
                && matches!(unit.ir.text(*property), "use" | "addHook")
            {
                let at = At { module: home, expr: up };
                used.args.iter().for_each(|arg| self.functions_before(at.to(arg.value), DEPTH, found));
            }
        }
    }

    fn given_before(&self, unit: &Unit, at: At, call: &Call, handler: Fun, found: &mut Vec<Fun>) {
        let last = call.args.len().saturating_sub(1);
        for (number, arg) in call.args.iter().enumerate() {
            let before = match arg.kind {
                ArgKind::Keyword(name) => BEFORE.contains(&unit.ir.text(name)),
                _ => number > 0 && number < last,
            };
            if before {
                self.functions_before(at.to(arg.value), DEPTH, found);
            }
        }
        found.retain(|fun| *fun != handler);
    }

    fn injected_functions(&self, at: At, found: &mut Vec<Fun>) {
        let Some(unit) = self.unit(at.module) else { return };
        walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            if matches!(self.last_written(at.to(call.callee)), Some("Depends" | "Security"))
                && let Some(first) = call.positional(0)
            {
                self.functions_before(at.to(first), DEPTH, found);
            }
        });
    }

    /// The functions that a value stands for which a framework asks before a handler.
    fn functions_before(&self, at: At, depth: u32, found: &mut Vec<Fun>) {
        let (Some(depth), Some(unit)) = (depth.checked_sub(1), self.unit(at.module)) else { return };
        match unit.ir.expr(at.expr) {
            ExprKind::Array { items, .. } => {
                items.iter().for_each(|item| self.functions_before(at.to(*item), depth, found));
            }
            ExprKind::Spread(value) => self.functions_before(at.to(*value), depth, found),
            ExprKind::Function(id) => found.push(Fun { module: at.module, id: *id }),
            ExprKind::Call(call) => {
                match self.written_as_exported(at.to(call.callee)).last().map(|name| &**name) {
                    Some("Depends" | "Security" | "Provide") => {
                        if let Some(first) = call.positional(0) {
                            self.functions_before(at.to(first), depth, found);
                        }
                    }
                    Some("applyDecorators" | "UseGuards") => {
                        call.args
                            .iter()
                            .for_each(|arg| self.functions_before(at.to(arg.value), depth, found));
                    }
                    _ => {
                        self.functions_of_symbol(at.to(call.callee), found);
                        self.decorators_of_symbol(at.to(call.callee), depth, found);
                    }
                }
            }
            ExprKind::Name(NameRef::Binding(id)) => {
                let (module, own) = self.declared(at.module, *id).unwrap_or((at.module, *id));
                match self.unit(module).map_or(&[][..], |home| home.index.sources(own)) {
                    // `require_read = require_perm("read")`
                    [source]
                        if source.path.is_empty()
                            && self.unit(module).is_some_and(|home| {
                                matches!(home.ir.expr(source.value), ExprKind::Call(_))
                            }) =>
                    {
                        self.functions_before(At { module, expr: source.value }, depth, found);
                    }
                    _ => self.functions_of_symbol(at, found),
                }
            }
            ExprKind::Member { .. } => self.functions_of_symbol(at, found),
            _ => {}
        }
    }

    /// What stands before a handler by a decorator of the project's own, which puts others together:
    /// `const WorkspaceMember = () => applyDecorators(UseGuards(WorkspaceGuard))`.
    fn decorators_of_symbol(&self, at: At, depth: u32, found: &mut Vec<Fun>) {
        let Symbol::Function(fun) = self.symbol(at) else { return };
        let Some(unit) = self.unit(fun.module) else { return };
        for value in unit.index.returns(fun.id).iter().take(2) {
            let value = At { module: fun.module, expr: *value };
            let name = self.written_as_exported(value).pop();
            if matches!(name.as_deref(), Some("applyDecorators" | "UseGuards")) {
                self.functions_before(value, depth, found);
            }
        }
    }

    fn functions_of_symbol(&self, at: At, found: &mut Vec<Fun>) {
        match self.symbol(at) {
            Symbol::Function(fun) => found.push(fun),
            Symbol::Class(class) | Symbol::Instance(class) => {
                found.extend(DECIDES.iter().filter_map(|name| self.method(class, name)));
            }
            _ => {}
        }
    }

    /// Whether a guard, or what it depends on, refuses who does not belong to what the path names.
    fn holds(&self, fun: Fun, asked: Asked<'_>, entry: &Entry, depth: u32) -> bool {
        let (Some(depth), Some(unit)) = (depth.checked_sub(1), self.unit(fun.module)) else { return false };
        let Some(function) = unit.ir.function(fun.id) else { return false };
        if self.opts_out(unit, fun).is_some_and(|field| !self.has_field(entry, field)) {
            return false;
        }
        let mut before = Vec::new();
        for parameter in &function.params {
            for at in self.injections(fun.module, parameter) {
                self.injected_functions(at, &mut before);
            }
        }
        let inner = unit.index.inner(fun.id).iter().take(4).map(|id| Fun { module: fun.module, id: *id });
        before.extend(inner);
        (self.refuses_some(unit, fun) && self.compares_with_caller(unit, fun, asked))
            || before.into_iter().take(8).any(|own| own != fun && self.holds(own, asked, entry, depth))
    }

    /// Whether a function refuses, or is a predicate: `return membership is not None`.
    fn refuses_some(&self, unit: &Unit, fun: Fun) -> bool {
        let Some(function) = unit.ir.function(fun.id) else { return false };
        let decides = function.name.is_some_and(|name| DECIDES.contains(&unit.ir.text(name)));
        let mut found = decides;
        walk::stmts_below(&unit.ir, &function.body, &mut |stmt| {
            found |= match unit.ir.stmt(stmt) {
                StmtKind::Throw(_) => true,
                StmtKind::Expr(value) | StmtKind::Return(Some(value)) => {
                    let text = self.snippet(At { module: fun.module, expr: *value });
                    ["403", "404", "401", "orbidden", "abort("].iter().any(|word| text.contains(word))
                }
                _ => false,
            };
        });
        found
    }

    /// Whether what the path names and the caller stand in one comparison or look-up of a function, and what that gives decides.
    fn compares_with_caller(&self, unit: &Unit, fun: Fun, asked: Asked<'_>) -> bool {
        let mut asks: Vec<ExprId> = Vec::new();
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let kind = matches!(
                unit.ir.expr(expr),
                ExprKind::Call(_)
                    | ExprKind::Compare {
                        op: CompareOp::Eq | CompareOp::NotEq | CompareOp::In | CompareOp::NotIn,
                        ..
                    }
            );
            if kind && asks.len() < PARTS {
                asks.push(expr);
            }
        });
        asks.into_iter().any(|expr| {
            let at = At { module: fun.module, expr };
            let parts = self.parts_of(unit, at);
            let named: Vec<usize> = (0..parts.len())
                .filter(|number| parts.get(*number).is_some_and(|part| self.is_of_path(*part, asked, DEPTH)))
                .collect();
            !named.is_empty()
                && (0..parts.len()).any(|number| {
                    (named.len() > 1 || !named.contains(&number))
                        && parts.get(number).is_some_and(|part| self.is_of_caller(*part, asked.name, DEPTH))
                })
                && self.what_comes_of_it_decides(unit, fun, expr)
        })
    }

    /// What is compared, or what a call is given, each field of a record by itself.
    fn parts_of(&self, unit: &Unit, at: At) -> Vec<At> {
        let mut parts = Vec::new();
        match unit.ir.expr(at.expr) {
            ExprKind::Compare { left, right, .. } => parts.extend([at.to(*left), at.to(*right)]),
            ExprKind::Call(call) if !call.is_new => {
                if let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) {
                    parts.push(at.to(*object));
                }
                for arg in &call.args {
                    match unit.ir.expr(arg.value) {
                        ExprKind::Object(properties) => fields(unit, at, properties, &mut parts),
                        ExprKind::Array { items, .. } => parts.extend(items.iter().map(|item| at.to(*item))),
                        _ => parts.push(at.to(arg.value)),
                    }
                }
            }
            _ => {}
        }
        parts
    }

    /// Whether a value is what the path says under a name.
    fn is_of_path(&self, at: At, asked: Asked<'_>, depth: u32) -> bool {
        let (Some(depth), Some(unit)) = (depth.checked_sub(1), self.unit(at.module)) else { return false };
        let name = asked.name;
        let mut found = false;
        let mut sources: Vec<ExprId> = Vec::new();
        walk::exprs_below(&unit.ir, at.expr, &mut |expr| match unit.ir.expr(expr) {
            ExprKind::String(text) => {
                let claims = || asked.strict && self.is_asked_of_claims(unit, at.to(expr));
                found |= unit.ir.text(*text) == name && !claims();
            }
            ExprKind::Member { object, property, .. } => {
                let of = self.last_written(at.to(*object));
                found |= unit.ir.text(*property) == name && of.is_some_and(|of| PATHS.contains(&of));
            }
            ExprKind::Name(NameRef::Binding(id)) => {
                found |= unit.ir.binding_name(*id) == name
                    && (self.parameter_of(at.module, *id).is_some() || is_taken_out(unit, *id));
                sources.extend(unit.index.sources(*id).iter().take(2).map(|source| source.value));
            }
            ExprKind::Call(call) => {
                // `tenant_id = tenant_of(claims)` comes from no path.
                let of_claims = asked.strict
                    && call.args.first().is_some_and(|first| self.is_claims(unit, at.to(first.value)));
                found |= !of_claims && self.names_inside(at.to(expr), name);
            }
            _ => {}
        });
        found || sources.into_iter().take(8).any(|value| self.is_of_path(at.to(value), asked, depth))
    }

    /// Whether a text is the name by which something is taken out of what a token says: `claims["tenant_id"]`, `claims.get("tenant_id")`.
    fn is_asked_of_claims(&self, unit: &Unit, text: At) -> bool {
        let Parent::Expr(up) = unit.index.parent(text.expr) else { return false };
        match unit.ir.expr(up) {
            ExprKind::Index { object, .. } => self.is_claims(unit, text.to(*object)),
            ExprKind::Call(call) => match unit.ir.expr(call.callee) {
                ExprKind::Member { object, .. } => self.is_claims(unit, text.to(*object)),
                _ => false,
            },
            _ => false,
        }
    }

    /// Whether a value is what a token says of its bearer, by its name or because it was verified.
    fn is_claims(&self, unit: &Unit, at: At) -> bool {
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
        let named = vocabulary::words(unit.ir.binding_name(*id))
            .iter()
            .any(|word| matches!(word.as_str(), "claims" | "claim" | "jwt"));
        let origins = self.origins(at);
        named || (origins.has(Origins::PRINCIPAL) && !origins.is_chosen() && !origins.has(Origins::REQUEST))
    }

    /// Whether a function of ours that is called reads what is named so: `_resolve_tenant(request, view.kwargs)`.
    fn names_inside(&self, call: At, name: &str) -> bool {
        let Some(callee) = self.callee(call).filter(|callee| callee.certain) else { return false };
        callee.targets.iter().take(2).any(|target| {
            let Some(unit) = self.unit(target.module) else { return false };
            let mut found = false;
            walk::function_exprs(&unit.ir, target.id, &mut |expr| {
                found |= matches!(unit.ir.expr(expr), ExprKind::String(text) if unit.ir.text(*text) == name);
            });
            found
        })
    }

    /// Whether a value is the caller, or what the caller has: `connection.user.teams`, `user.id`.
    fn is_of_caller(&self, at: At, name: &str, depth: u32) -> bool {
        let (Some(depth), Some(unit)) = (depth.checked_sub(1), self.unit(at.module)) else { return false };
        let mut found = false;
        let mut sources: Vec<ExprId> = Vec::new();
        walk::exprs_below(&unit.ir, at.expr, &mut |expr| match unit.ir.expr(expr) {
            ExprKind::Member { object, property, .. } => {
                let of_class = matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(id))
                    if unit.ir.binding_name(*id).starts_with(char::is_uppercase));
                found |= CALLERS.contains(&unit.ir.text(*property)) && !of_class;
            }
            ExprKind::Name(NameRef::Binding(id)) => {
                let own = unit.ir.binding_name(*id);
                found |= own != name && (CALLER_NAMES.contains(&own) || vocabulary::is_principal(own));
                sources.extend(unit.index.sources(*id).iter().take(2).map(|source| source.value));
            }
            _ => {}
        });
        found || sources.into_iter().take(8).any(|value| self.is_of_caller(at.to(value), name, depth))
    }

    /// Whether what a comparison or look-up gives is tested, or given back, and not dropped.
    fn what_comes_of_it_decides(&self, unit: &Unit, fun: Fun, expr: ExprId) -> bool {
        let mut here = expr;
        for _ in 0..12 {
            match unit.index.parent(here) {
                Parent::Expr(up) => here = up,
                Parent::Stmt(stmt) => {
                    return match unit.ir.stmt(stmt) {
                        StmtKind::If { then, otherwise, .. } => {
                            self.leaves(fun, then) || self.leaves(fun, otherwise)
                        }
                        StmtKind::Return(_) | StmtKind::Assert { .. } => true,
                        StmtKind::Assign { target, .. } => {
                            target.as_binding().is_some_and(|id| self.is_tested(unit, fun, id))
                        }
                        // `await ensure_member(user.id, org_id)`
                        StmtKind::Expr(_) => {
                            let at = At { module: fun.module, expr };
                            self.callee(at).is_some_and(|callee| {
                                Self::is_check(callee.name())
                                    && callee.certain
                                    && !callee.targets.is_empty()
                                    && callee.targets.iter().all(|target| self.may_refuse(*target, 3))
                            })
                        }
                        _ => false,
                    };
                }
                _ => return false,
            }
        }
        false
    }

    /// Whether a variable is what a condition tests that leads to a refusal, or what is given back.
    fn is_tested(&self, unit: &Unit, fun: Fun, id: BindingId) -> bool {
        unit.index.uses(id).iter().take(24).any(|used| {
            let Some(stmt) = unit.index.stmt_of(*used) else { return false };
            match unit.ir.stmt(stmt) {
                StmtKind::If { test, then, otherwise } => {
                    unit.ir.span(*test).contains(unit.ir.span(*used))
                        && (self.leaves(fun, then) || self.leaves(fun, otherwise))
                }
                StmtKind::Assert { .. } => true,
                StmtKind::Return(Some(value)) => {
                    unit.ir
                        .function(fun.id)
                        .and_then(|own| own.name)
                        .is_some_and(|name| DECIDES.contains(&unit.ir.text(name)))
                        && unit.ir.span(*value).contains(unit.ir.span(*used))
                }
                _ => false,
            }
        })
    }

    /// The field of a view without which a permission class lets everybody through:
    /// `roles = getattr(view, "required_roles", [])`, `if not roles: return True`.
    fn opts_out<'p>(&'p self, unit: &'p Unit, fun: Fun) -> Option<&'p str> {
        let function = unit.ir.function(fun.id)?;
        function.body.iter().find_map(|stmt| {
            let StmtKind::If { test, then, .. } = unit.ir.stmt(*stmt) else { return None };
            let ExprKind::Unary { op: UnaryOp::Not, operand } = unit.ir.expr(*test) else { return None };
            let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*operand) else { return None };
            let [only] = &**then else { return None };
            let StmtKind::Return(Some(value)) = unit.ir.stmt(*only) else { return None };
            let [source] = unit.index.sources(*id) else { return None };
            let ExprKind::Call(call) = unit.ir.expr(source.value) else { return None };
            let ExprKind::String(field) = unit.ir.expr(call.positional(1)?) else { return None };
            matches!(unit.ir.expr(*value), ExprKind::Bool(true)).then(|| unit.ir.text(*field))
        })
    }

    /// Whether the class of a handler has a field.
    fn has_field(&self, entry: &Entry, name: &str) -> bool {
        let Some(unit) = self.unit(entry.handler.module) else { return false };
        let class = unit.ir.function(entry.handler.id).and_then(|function| function.class);
        class.map(|id| Cls { module: entry.handler.module, id }).is_some_and(|class| {
            unit.ir
                .class(class.id)
                .is_some_and(|decl| decl.fields.iter().any(|field| unit.ir.text(field.name) == name))
        })
    }
}

fn fields(unit: &Unit, at: At, properties: &[Property], parts: &mut Vec<At>) {
    for property in properties {
        match unit.ir.expr(property.value) {
            ExprKind::Object(inner) if parts.len() < 32 => fields(unit, at, inner, parts),
            _ => parts.push(at.to(property.value)),
        }
    }
}

/// Whether a variable is taken out of the path's own record: `const { teamId } = req.params`.
fn is_taken_out(unit: &Unit, id: BindingId) -> bool {
    unit.index.sources(id).iter().any(|source| {
        matches!(unit.ir.expr(source.value), ExprKind::Member { property, .. } if PATHS.contains(&unit.ir.text(*property)))
    })
}
