//! Queries of a class that narrows its rows to one owner in a method of its own, and of which one begins at the model itself:
//! `select(Note).where(…)` beside `self.select().where(…)`.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{CompareOp, ExprKind, FunctionId, Language, StmtKind, walk},
    project::{At, Cls, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Methods that give a query to go on with.
const BEGINS: &[&str] = &[
    "select",
    "_select",
    "query",
    "_query",
    "base_query",
    "_base_query",
    "scoped",
    "_scoped",
    "_scoped_query",
    "get_queryset",
];

/// Reports such queries, when another method of the same class begins with the narrowed one.
pub(super) fn past_scope(project: &Project, report: &mut Report<'_>) {
    let selects = project.calls_named(|name| name == "select");
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for expr in selects.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let bare = matches!(unit.ir.expr(call.callee), ExprKind::Name(_))
                && project.last_written(at) == Some("select");
            let model = call.positional(0).filter(|_| bare && call.args.len() == 1);
            let is_model = model.is_some_and(|model| {
                matches!(unit.ir.expr(model), ExprKind::Name(_))
                    && project
                        .last_written(at.to(model))
                        .is_some_and(|name| name.starts_with(char::is_uppercase))
            });
            let fun = project.function_of(at);
            let Some(class) = project.this_of(fun).filter(|_| is_model) else { continue };
            let Some((method, field)) = narrowed(project, class) else { continue };
            if method == fun
                || is_narrowed(project, unit, at, class, &field)
                || !goes_on(project, class, method)
            {
                continue;
            }
            let name = project.function_name(method).to_owned();
            report
                .reached(
                    at,
                    format!("this begins at the model itself, past `{name}`, which keeps to one `{field}`"),
                )
                .severity(Severity::Medium)
                .confidence(Confidence::Medium)
                .related(
                    method.module,
                    project
                        .unit(method.module)
                        .and_then(|unit| unit.ir.function(method.id))
                        .map(|function| function.head)
                        .unwrap_or_default(),
                    "queries begin here",
                );
        }
    }
}

/// The method of a class that gives a query narrowed to a field of the object, and that field.
fn narrowed(project: &Project, class: Cls) -> Option<(Fun, String)> {
    BEGINS.iter().find_map(|name| {
        let method = project.method(class, name)?;
        Some((method, compared_field(project, class, method, 2)?))
    })
}

/// The field of the object, named for an id, that a method or one that it calls compares rows with.
fn compared_field(project: &Project, class: Cls, fun: Fun, depth: u32) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    let unit = project.unit(fun.module)?;
    let mut found = None;
    let mut called = Vec::new();
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Compare { op: CompareOp::Eq, left, right } => {
            for side in [*left, *right] {
                if let ExprKind::Member { object, property, .. } = unit.ir.expr(side)
                    && matches!(unit.ir.expr(*object), ExprKind::This)
                    && is_whose(unit.ir.text(*property))
                {
                    found = Some(unit.ir.text(*property).to_owned());
                }
            }
        }
        ExprKind::Call(call) => {
            if let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee)
                && matches!(unit.ir.expr(*object), ExprKind::This)
            {
                called.push(unit.ir.text(*property).to_owned());
            }
        }
        _ => {}
    });
    found.or_else(|| {
        called
            .iter()
            .take(4)
            .find_map(|name| compared_field(project, class, project.method(class, name)?, depth))
    })
}

/// Whether a field says whose something is: a tenant, a user, or what the application keeps apart.
pub(super) fn is_whose(name: &str) -> bool {
    let words = vocabulary::words(name);
    vocabulary::is_owner(name)
        || (words.len() > 1
            && words.last().is_some_and(|last| last == "id")
            && words.first().is_some_and(|first| {
                matches!(
                    first.as_str(),
                    "project"
                        | "workspace"
                        | "space"
                        | "namespace"
                        | "group"
                        | "bank"
                        | "vault"
                        | "store"
                        | "site"
                )
            }))
}

/// Whether the statement of a query, or one that goes on with its variable, reads the field or hands it to a method that compares it.
fn is_narrowed(project: &Project, unit: &Unit, at: At, class: Cls, field: &str) -> bool {
    let Some(stmt) = unit.index.stmt_of(at.expr) else { return true };
    let mut stmts = vec![stmt];
    if let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt)
        && let Some(id) = target.as_binding()
    {
        let own = unit.index.function(at.expr);
        let used = unit.index.uses(id).iter().filter(|used| unit.index.function(**used) == own);
        stmts.extend(used.filter_map(|used| unit.index.stmt_of(*used)));
    }
    stmts.into_iter().take(16).any(|stmt| {
        let mut found = false;
        walk::parts(&unit.ir, stmt, &mut |part| {
            let walk::Part::Expr(root) = part else { return };
            walk::exprs_below(&unit.ir, root, &mut |expr| {
                if let ExprKind::Member { object, property, .. } = unit.ir.expr(expr)
                    && matches!(unit.ir.expr(*object), ExprKind::This)
                {
                    let name = unit.ir.text(*property);
                    let compares =
                        || project.method(class, name).and_then(|own| compared_field(project, class, own, 1));
                    found |= compares().is_some_and(|own| own == field);
                }
                // `Note.project_id == note.project_id` keeps to one too.
                found |= matches!(unit.ir.expr(expr), ExprKind::Member { property, .. } if unit.ir.text(*property) == field);
            });
        });
        found
    })
}

/// Whether another method of a class begins with the narrowed query.
fn goes_on(project: &Project, class: Cls, method: Fun) -> bool {
    let Some(unit) = project.unit(class.module) else { return false };
    let name = project.function_name(method).to_owned();
    let Some(decl) = unit.ir.class(class.id) else { return false };
    decl.methods.iter().filter(|id| **id != FunctionId::MODULE).any(|id| {
        let mut found = false;
        walk::function_exprs(&unit.ir, *id, &mut |expr| {
            if let ExprKind::Call(call) = unit.ir.expr(expr)
                && let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee)
            {
                found |= matches!(unit.ir.expr(*object), ExprKind::This) && unit.ir.text(*property) == name;
            }
        });
        found
    })
}
