//! Writes of requests to what outlives them, and reads of it.

use super::{Cell, Lifetimes, Origins};
use crate::{
    ir::{
        ArgKind, BindingKind, ExprId, ExprKind, FunctionId, FunctionKind, Language, LogicalOp, Name, NameRef,
        PropertyKey, Span, StmtKind, walk,
    },
    library::Role,
    project::{At, Fun, ModuleId, NameSet, Parent, Project, Symbol, Unit},
};

/// A write, in code that runs for a request, to something that outlives the request.
#[derive(Debug, Clone)]
pub struct SharedWrite {
    /// What is written to.
    pub cell: Cell,
    /// The value.
    pub value: At,
    /// Where the write stands.
    pub span: Span,
    /// The function that writes.
    pub fun: Fun,
    /// When, within the function.
    pub order: u32,
    /// Whether the old value stays part of it: `+=`.
    pub updates: bool,
    /// Whether what an earlier request has left stays, when there is something: `client ??= make(token)`.
    pub keeps: bool,
}

impl SharedWrite {
    /// A value that a call puts in the place of the old one.
    pub(super) fn by_call(unit: &Unit, at: At, fun: Fun, cell: Cell, value: ExprId) -> Self {
        Self {
            cell,
            value: at.to(value),
            span: unit.ir.span(at.expr),
            fun,
            order: unit.index.order(at.expr),
            updates: false,
            keeps: false,
        }
    }
}

/// Whether a value is only taken where there is none yet: of `||=` and `??=`.
fn is_memo(unit: &Unit, value: ExprId) -> bool {
    let logical = match unit.index.parent(value) {
        Parent::Expr(up) => match unit.ir.expr(up) {
            ExprKind::Assign { logical, .. } => *logical,
            _ => None,
        },
        Parent::Stmt(stmt) => match unit.ir.stmt(stmt) {
            StmtKind::Assign { logical, .. } => *logical,
            _ => None,
        },
        _ => None,
    };
    matches!(logical, Some(LogicalOp::Or | LogicalOp::Nullish))
}

impl<'p> Lifetimes<'p> {
    /// All writes of requests to what outlives them.
    #[must_use]
    pub fn shared_writes(&self, project: &'p Project) -> &'p [SharedWrite] {
        project.memory.shared_writes.get_or_init(|| self.find_shared_writes(project))
    }

    fn find_shared_writes(&self, project: &'p Project) -> Vec<SharedWrite> {
        let mut found = Vec::new();
        let likely = project.calls_named(|name| {
            matches!(name, "assign" | "update" | "setattr" | "set" | "setKey" | "setState")
        });
        for (module, unit) in project.units() {
            for (id, binding) in unit.ir.bindings() {
                if !matches!(binding.kind, BindingKind::Variable | BindingKind::Other)
                    || !self.binding_outlives(module, id)
                {
                    continue;
                }
                let owner = unit.ir.binding_function(id);
                for source in unit.index.sources(id) {
                    let fun = Fun { module, id: source.function };
                    if source.function == owner || !self.is_per_request(fun) {
                        continue;
                    }
                    let value = unit.ir.span(source.value);
                    let span = source.stmt.map_or(value, |stmt| unit.ir.stmt_span(stmt));
                    let memo = is_memo(unit, source.value);
                    found.push(SharedWrite {
                        cell: Cell::Binding(module, id),
                        value: At { module, expr: source.value },
                        span: Span::new(span.start, value.end.max(span.start)),
                        fun,
                        order: source.order,
                        updates: source.updates && !memo,
                        keeps: memo,
                    });
                }
            }
            for write in &unit.index.writes {
                let fun = Fun { module, id: write.function };
                let kind = unit.ir.function(write.function).map(|function| function.kind);
                if kind == Some(FunctionKind::Constructor) || !self.is_per_request(fun) {
                    continue;
                }
                let Some(cell) = self.cell(At { module, expr: write.place }) else { continue };
                let place = unit.ir.span(write.place);
                let value = unit.ir.span(write.value);
                found.push(SharedWrite {
                    cell,
                    value: At { module, expr: write.value },
                    span: Span::new(place.start, value.end.max(place.end)),
                    fun,
                    order: write.order,
                    updates: write.updates && !is_memo(unit, write.value),
                    keeps: is_memo(unit, write.value),
                });
            }
            self.assigned_at_once(&likely, module, unit, &mut found);
        }
        found
    }

    /// Writes of several properties at once: `Object.assign(settings, { token })`, `settings.update(token=token)`.
    fn assigned_at_once(
        &self,
        likely: &NameSet<'_>,
        module: ModuleId,
        unit: &Unit,
        found: &mut Vec<SharedWrite>,
    ) {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let fun = Fun { module, id: unit.index.function(*expr) };
            self.set_by_name(at, call, fun, found);
            self.set_in_store(at, call, fun, found);
            super::literals::set_in_map(self, at, call, fun, found);
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
            let (target, given) = match unit.ir.text(*property) {
                "assign" if matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Global(name)) if unit.ir.text(*name) == "Object") =>
                {
                    let Some(target) = call.positional(0) else { continue };
                    (target, 1)
                }
                // In JavaScript it asks a client to change a row.
                "update" if unit.ir.language == Language::Python => (*object, 0),
                _ => continue,
            };
            if !self.is_per_request(fun) {
                continue;
            }
            let Some(cell) = self.cell(at.to(target)) else { continue };
            let is_dict = given == 0 && call.args.len() == 1 && self.begins_as_dict(&cell);
            let mut put = |cell: Cell, value: ExprId| {
                found.push(SharedWrite {
                    cell,
                    value: at.to(value),
                    span: unit.ir.span(*expr),
                    fun,
                    order: unit.index.order(*expr),
                    updates: false,
                    keeps: false,
                });
            };
            let of = |name: Name| Cell::Property(Box::new(cell.clone()), unit.ir.text(name).to_owned());
            for arg in call.args.iter().skip(given) {
                match (arg.kind, unit.ir.expr(arg.value)) {
                    (ArgKind::Keyword(name), _) => put(of(name), arg.value),
                    (ArgKind::Positional, ExprKind::Object(properties)) => {
                        for property in properties {
                            if let PropertyKey::Name(name) = property.key {
                                put(of(name), property.value);
                            }
                        }
                    }
                    // `LAST.update(body)`: what is in it goes over.
                    (ArgKind::Positional, ExprKind::Name(_)) if is_dict => put(cell.clone(), arg.value),
                    _ => {}
                }
            }
        }
    }

    /// Whether a variable of a module begins as an empty dict.
    fn begins_as_dict(&self, cell: &Cell) -> bool {
        let Cell::Binding(module, id) = cell else { return false };
        let Some(unit) = self.project.unit(*module) else { return false };
        let Some(first) = unit.index.sources(*id).first() else { return false };
        unit.ir.language == crate::ir::Language::Python
            && matches!(unit.ir.expr(first.value), ExprKind::Object(properties) if properties.is_empty())
    }

    /// `setattr(state, "tenant", tenant)`.
    fn set_by_name(&self, at: At, call: &crate::ir::Call, fun: Fun, found: &mut Vec<SharedWrite>) {
        let Some(unit) = self.project.unit(at.module) else { return };
        let sets = matches!(unit.ir.expr(call.callee), ExprKind::Name(NameRef::Global(name)) if unit.ir.text(*name) == "setattr");
        let (Some(object), Some(name), Some(value)) =
            (call.positional(0), call.positional(1), call.positional(2))
        else {
            return;
        };
        let ExprKind::String(name) = unit.ir.expr(name) else { return };
        if !sets || !self.is_per_request(fun) {
            return;
        }
        let Some(of) = self.cell(at.to(object)) else { return };
        // What its methods call `self.tenant` is the same field.
        let name = unit.ir.text(*name).to_owned();
        let cell = match self.project.symbol(at.to(object)) {
            Symbol::Instance(class) => Cell::Field(class, name),
            _ => Cell::Property(Box::new(of), name),
        };
        found.push(SharedWrite::by_call(unit, at, fun, cell, value));
    }

    /// The reads of a cell in its module: where, and when within the function.
    #[must_use]
    pub fn reads(&self, project: &Project, cell: &Cell) -> Vec<(At, Fun, u32)> {
        let mut found = Vec::new();
        let mut add = |module: ModuleId, expr: ExprId| {
            if let Some(unit) = project.unit(module) {
                let fun = Fun { module, id: unit.index.function(expr) };
                found.push((At { module, expr }, fun, unit.index.order(expr)));
            }
        };
        match cell {
            Cell::Binding(module, id) => {
                let Some(unit) = project.unit(*module) else { return found };
                unit.index.uses(*id).iter().for_each(|expr| add(*module, *expr));
                let name = unit.ir.binding_name(*id);
                // Names of other modules that import it.
                for (other, own) in project.importing(*module) {
                    let Some(unit) = project.unit(*other) else { continue };
                    if unit.ir.binding_name(*own) == name {
                        unit.index.uses(*own).iter().for_each(|expr| add(*other, *expr));
                    }
                }
                // `state.current` of modules that import the whole.
                for at in self.objects.read.get(name).into_iter().flatten().take(400) {
                    if let Some(ExprKind::Member { object, .. }) =
                        project.unit(at.module).map(|unit| unit.ir.expr(at.expr))
                        && matches!(project.symbol(at.to(*object)), Symbol::Module(own) if own == *module)
                    {
                        add(at.module, at.expr);
                    }
                }
            }
            Cell::Field(class, name) => {
                for at in self.objects.read.get(name).into_iter().flatten() {
                    let Some(unit) = project.unit(at.module) else { continue };
                    let object = match unit.ir.expr(at.expr) {
                        ExprKind::Member { object, .. } => object,
                        // `getattr(state, "tenant")`
                        ExprKind::Call(call) => match call.args.first() {
                            Some(first) if call.args.len() > 1 => &first.value,
                            _ => continue,
                        },
                        _ => continue,
                    };
                    let own = match unit.ir.expr(*object) {
                        ExprKind::This => project.this_of(project.function_of(*at)) == Some(*class),
                        _ => matches!(project.symbol(at.to(*object)),
                            Symbol::Instance(of) | Symbol::Class(of) if of == *class),
                    };
                    if own {
                        add(at.module, at.expr);
                    }
                }
            }
            Cell::Global => {}
            Cell::Property(_, name) => {
                for at in self.objects.read.get(name).into_iter().flatten().take(400) {
                    if self.cell(*at).as_ref() == Some(cell) {
                        add(at.module, at.expr);
                    }
                }
            }
        }
        found
    }
}

/// The origins of what a function takes with it from the request in which it is made. What of that is a server or transport is
/// of the request too.
#[must_use]
pub fn captured(project: &Project, at: At) -> Origins {
    origins_of(project, taken(project, at))
}

/// The origins of what a function that has a name takes with it from the request in which it is made.
#[must_use]
pub fn captured_by(project: &Project, fun: Fun) -> Origins {
    origins_of(project, taken_by(project, fun))
}

fn origins_of(project: &Project, taken: Vec<At>) -> Origins {
    let connected = taken.iter().any(|own| is_connection(project, *own));
    let start = if connected { Origins::REQUEST } else { Origins::NONE };
    taken.into_iter().fold(start, |sum, own| sum | project.origins(own))
}

/// Whether a function takes with it a server or transport that the code around it was called with.
#[must_use]
pub fn holds_connection(project: &Project, at: At) -> bool {
    taken(project, at).into_iter().any(|own| {
        let Some(unit) = project.unit(own.module) else { return false };
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(own.expr) else { return false };
        let parameter =
            unit.ir.binding(*id).is_some_and(|binding| matches!(binding.kind, BindingKind::Parameter(_)));
        parameter && is_connection(project, own)
    })
}

/// The uses, in a function, of variables of the functions around it.
fn taken(project: &Project, at: At) -> Vec<At> {
    let Some(unit) = project.unit(at.module) else { return Vec::new() };
    let ExprKind::Function(id) = unit.ir.expr(at.expr) else { return Vec::new() };
    taken_by(project, Fun { module: at.module, id: *id })
}

fn taken_by(project: &Project, fun: Fun) -> Vec<At> {
    let Some(unit) = project.unit(fun.module) else { return Vec::new() };
    let mut found = Vec::new();
    let mut open = vec![fun.id];
    let mut inside: Vec<FunctionId> = Vec::new();
    while let Some(function) = open.pop() {
        if inside.len() > 64 {
            break;
        }
        inside.push(function);
        open.extend(unit.index.inner(function));
    }
    for function in &inside {
        walk::function_exprs(&unit.ir, *function, &mut |expr| {
            let ExprKind::Name(NameRef::Binding(binding)) = unit.ir.expr(expr) else { return };
            let owner = unit.ir.binding_function(*binding);
            if !inside.contains(&owner) && owner != FunctionId::MODULE {
                found.push(At { module: fun.module, expr });
            }
        });
    }
    found
}

/// Whether a value is the server or transport of a connection, by its type.
#[must_use]
pub fn is_connection(project: &Project, at: At) -> bool {
    if is_response(project, at) {
        return true;
    }
    let Symbol::External { package, path } = project.symbol(at) else { return false };
    let defs = project.libraries.calls_of(&package, &path);
    defs.iter().any(|def| matches!(def.role, Role::Server | Role::Transport))
}

/// Whether a value is the response that a handler was given, beside its request: `(req, res) => …`.
fn is_response(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    let Some((fun, number, path)) = project.parameter_of(at.module, *id) else { return false };
    let named = matches!(unit.ir.binding_name(*id), "res" | "response" | "reply");
    let first = project.unit(fun.module).and_then(|unit| {
        let first = unit.ir.function(fun.id)?.params.first()?.name?;
        Some(matches!(unit.ir.text(first), "req" | "request" | "_req" | "_request"))
    });
    named && number == 1 && path.is_empty() && first == Some(true)
}
