//! What names stand in an expression, and in what its variables were set to: an owner's, the values that rows are found by.

use std::collections::BTreeSet;

use super::{
    beside::written_spans,
    chains::outermost,
    memberships::is_own_tenant,
    names::{is_class, is_request},
    singular,
};
use crate::{
    ir::{
        ArgKind, BindingId, BindingKind, ExprId, ExprKind, FunctionId, NameRef, Pattern, PropertyKey, Span,
        StmtKind, walk,
    },
    project::{At, ModuleId, Parent, Project, Unit},
    tables::level_of_column,
    vocabulary,
};

/// What an expression names.
#[derive(Default)]
pub(super) struct Names {
    /// Whether it names an owner.
    pub(super) owner: bool,
    /// The project's own words for a tenant's id.
    pub(super) own: BTreeSet<String>,
    /// Whether it names a tenant by one of them.
    pub(super) tied: bool,
    /// The entity that is asked for.
    pub(super) entity: String,
    /// The variables in it.
    pub(super) values: Vec<At>,
    pub(super) seen: BTreeSet<(ModuleId, BindingId)>,
    /// Where in the module of the query what comes along with the rows stands, and is no condition of it.
    pub(super) beside: Vec<Span>,
}

impl Names {
    pub(super) fn see(&mut self, name: &str) {
        if is_constant(name) {
            return;
        }
        self.tied |= is_own_tenant(name, &self.own);
        self.owner |= level_of_column(name).is_some()
            || vocabulary::is_owner(name)
            || (vocabulary::is_principal(name) && singular(name) != self.entity);
    }
}

/// Whether a name is that of one of several fixed values, `INTERNAL_TEAM`, and not of an id, `USER_ID`.
fn is_constant(name: &str) -> bool {
    let shouts = name.contains('_')
        && name.chars().all(|char| char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_');
    shouts && !name.ends_with("_ID") && !name.ends_with("_UID") && !name.ends_with("_IDS")
}

/// Whether a name is that of one of several fixed values of a class: `Role.OWNER`.
fn is_member_of_several(unit: &Unit, object: ExprId, name: &str) -> bool {
    let shouts = name.chars().all(|char| char.is_ascii_uppercase() || char == '_');
    shouts
        && !name.ends_with("_ID")
        && matches!(unit.ir.expr(object), ExprKind::Name(NameRef::Binding(id)) if is_class(unit.ir.binding_name(*id)))
}

/// The field that a statement sets of what a variable holds, and to what: `where.teamId = team.id`.
fn field_set(unit: &Unit, used: ExprId) -> Option<(&str, ExprId)> {
    let Parent::Expr(member) = unit.index.parent(used) else { return None };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(member) else { return None };
    let stmt = unit.index.stmt_of(member).filter(|_| *object == used)?;
    match unit.ir.stmt(stmt) {
        StmtKind::Assign { target: Pattern::Place(place), value, .. } if *place == member => {
            Some((unit.ir.text(*property), *value))
        }
        _ => None,
    }
}

/// Methods that give a part of a request.
const READS: &[&str] = &[
    "get",
    "getlist",
    "getAll",
    "param",
    "query",
    "queries",
    "header",
    "json",
    "valid",
    "body",
    "formData",
    "parseBody",
    "text",
    "cookie",
    "pop",
];

/// What a query asks of a request, `req.params.id` and `c.req.param("id")`: the request as a whole is no value that rows are found by.
/// Any other name is itself, and so is what a query is a method of, `ctx.db.note.findMany(…)`.
fn asked_of_request(unit: &Unit, name: ExprId, text: &str) -> ExprId {
    if is_request(text) { path_from(unit, name) } else { name }
}

/// The path that begins with an expression, through calls that give a part of it.
fn path_from(unit: &Unit, first: ExprId) -> ExprId {
    let mut here = first;
    while let Parent::Expr(up) = unit.index.parent(here) {
        match unit.ir.expr(up) {
            ExprKind::Member { object, .. } | ExprKind::Index { object, .. } if *object == here => here = up,
            ExprKind::Call(call) if call.callee == here => {
                let reads = matches!(unit.ir.expr(here), ExprKind::Member { property, .. } if READS.contains(&unit.ir.text(*property)));
                if !reads {
                    return first;
                }
                here = up;
            }
            ExprKind::Await(value) if *value == here && matches!(unit.index.parent(up), Parent::Expr(_)) => {
                here = up
            }
            _ => break,
        }
    }
    here
}

impl Project {
    /// What names stand in an expression, in what its variables were set to, and in helpers' arguments.
    pub(super) fn names_in(&self, at: At, depth: u32, names: &mut Names) {
        let Some(unit) = self.unit(at.module) else { return };
        let Some(depth) = depth.checked_sub(1) else { return };
        let (mut bindings, mut functions): (Vec<BindingId>, Vec<FunctionId>) = (Vec::new(), Vec::new());
        let written = written_spans(unit, at.expr);
        let beside = std::mem::take(&mut names.beside);
        walk::exprs_below(&unit.ir, at.expr, &mut |expr| match unit.ir.expr(expr) {
            _ if written.iter().chain(&beside).any(|values| values.contains(unit.ir.span(expr))) => {}
            ExprKind::Member { object, property, .. } => {
                let name = unit.ir.text(*property);
                if !is_member_of_several(unit, *object, name) {
                    names.see(name);
                }
                // `self.kwargs["pk"]`, `self.request.data["id"]`
                if matches!(unit.ir.expr(*object), ExprKind::This)
                    && (name == "kwargs" || is_request(name))
                    && path_from(unit, expr) != expr
                {
                    names.values.push(at.to(path_from(unit, expr)));
                }
            }
            ExprKind::String(text) => {
                let text = unit.ir.text(*text);
                names.see(text);
                // `note.workspaceId = :workspaceId`
                if text.contains('=') {
                    text.split(|char: char| !(char.is_alphanumeric() || char == '_')).for_each(|word| {
                        names.owner |= level_of_column(word).is_some();
                    });
                }
            }
            ExprKind::Name(NameRef::Binding(id)) => {
                if !is_class(unit.ir.binding_name(*id)) {
                    names.see(unit.ir.binding_name(*id));
                }
                names.values.push(at.to(asked_of_request(unit, expr, unit.ir.binding_name(*id))));
                bindings.push(*id);
            }
            // `where: (note, { and, eq }) => and(eq(note.id, id), eq(note.userId, user.id))`
            ExprKind::Function(id) => functions.push(*id),
            ExprKind::Object(properties) => {
                for property in properties {
                    if let PropertyKey::Name(name) = property.key {
                        names.see(unit.ir.text(name));
                    }
                }
            }
            ExprKind::Call(call) => {
                for arg in call.args.iter().filter(|arg| !written.contains(&unit.ir.span(arg.value))) {
                    if let ArgKind::Keyword(name) = arg.kind {
                        names.see(unit.ir.text(name));
                    }
                }
            }
            _ => {}
        });
        for id in functions.into_iter().take(4) {
            for expr in unit.index.returns(id).iter().take(2) {
                self.names_in(at.to(*expr), depth, names);
            }
        }
        for id in bindings {
            if names.seen.insert((at.module, id)) {
                self.names_behind(at, id, depth, names);
            }
        }
    }

    /// The same of what a variable in an expression was set to, in its function.
    fn names_behind(&self, at: At, id: BindingId, depth: u32, names: &mut Names) {
        let Some(unit) = self.unit(at.module) else { return };
        let fun = unit.index.function(at.expr);
        for source in unit.index.sources(id).iter().filter(|source| source.function == fun).take(6) {
            self.names_in(at.to(source.value), depth, names);
        }
        // `query = query.where(…)` in several statements.
        for used in unit.index.uses(id).iter().take(12) {
            let conditions = || {
                unit.index
                    .sources(id)
                    .iter()
                    .any(|own| matches!(unit.ir.expr(own.value), ExprKind::Object(_)))
            };
            // What the client asks to see of its own accord says nothing of who calls.
            if unit.index.function(*used) == fun
                && let Some((name, value)) = field_set(unit, *used).filter(|_| conditions())
                && !self.origins(at.to(value)).is_chosen()
            {
                names.see(name);
            }
            if unit.index.function(*used) == fun
                && matches!(unit.index.parent(*used), Parent::Expr(parent) if matches!(unit.ir.expr(parent), ExprKind::Member { .. }))
            {
                let chain = outermost(unit, *used);
                if chain != at.expr && self.assigns_back(unit, chain, id) {
                    self.names_in(at.to(chain), depth, names);
                }
            }
        }
    }

    /// Whether a name is a variable or parameter of a function.
    pub(super) fn is_local(&self, unit: &Unit, id: BindingId) -> bool {
        let kind = unit.ir.binding(id).map(|binding| binding.kind);
        matches!(kind, Some(BindingKind::Variable | BindingKind::Parameter(_) | BindingKind::Other))
            && !unit.ir.is_module_level(id)
    }

    pub(super) fn assigns_back(&self, unit: &Unit, chain: ExprId, id: BindingId) -> bool {
        match unit.index.parent(chain) {
            Parent::Stmt(stmt) => match unit.ir.stmt(stmt) {
                StmtKind::Assign { target, .. } => target.as_binding() == Some(id),
                StmtKind::Expr(_) => true,
                _ => false,
            },
            _ => false,
        }
    }
}
