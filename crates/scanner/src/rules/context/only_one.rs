//! The one user that there is, for whoever is not known: `everybody = db.query(User).all(); if len(everybody) == 1: return everybody[0]`.

use partywall_model::{Confidence, Severity};

use crate::{
    flow::{is_end, lists_owners},
    ir::{BindingId, CompareOp, ExprId, ExprKind, FunctionId, NameRef, StmtKind, walk},
    project::{At, Fun, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Words of conditions in a chain that asks for some of the rows only.
const NARROWS: &[&str] = &["where", "filter", "filter_by", "find_by", "eq", "limit", "first", "get"];

/// Reports such branches, in functions that are asked about somebody.
pub(super) fn only_one(project: &Project, report: &mut Report<'_>, module: ModuleId, unit: &Unit) {
    for (id, stmt) in unit.ir.stmts() {
        let StmtKind::If { test, then, .. } = stmt else { continue };
        let fun = Fun { module, id: unit.index.stmt_function(id) };
        let Some(list) = counts_one(unit, *test).filter(|_| fun.id != FunctionId::MODULE) else { continue };
        if unit.ir.is_module_level(list)
            || !is_asked_about(unit, fun)
            || !lists_everybody(project, unit, module, list)
        {
            continue;
        }
        let mut first = None;
        walk::stmts_below(&unit.ir, then, &mut |inner| {
            walk::parts(&unit.ir, inner, &mut |part| {
                let walk::Part::Expr(root) = part else { return };
                walk::exprs_below(&unit.ir, root, &mut |expr| {
                    if let ExprKind::Index { object, index, .. } = unit.ir.expr(expr)
                        && is_end(unit, *index)
                        && matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(own)) if *own == list)
                    {
                        first = first.or(Some(expr));
                    }
                });
            });
        });
        if let Some(expr) = first {
            report
                .reached(At { module, expr }, "whoever is not known is taken for the only one that there is")
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// The list of which a test says that it has one entry, and nothing else: `len(users) == 1`, `users.length === 1`.
fn counts_one(unit: &Unit, test: ExprId) -> Option<BindingId> {
    let ExprKind::Compare { op: CompareOp::Eq, left, right } = unit.ir.expr(test) else { return None };
    let one =
        |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Number(text) if unit.ir.text(*text) == "1");
    let counted = if one(*right) { *left } else { return None };
    let list = match unit.ir.expr(counted) {
        ExprKind::Call(call) => {
            let len = matches!(unit.ir.expr(call.callee), ExprKind::Name(NameRef::Global(name)) if unit.ir.text(*name) == "len");
            call.positional(0).filter(|_| len)?
        }
        ExprKind::Member { object, property, .. } if unit.ir.text(*property) == "length" => *object,
        _ => return None,
    };
    match unit.ir.expr(list) {
        ExprKind::Name(NameRef::Binding(id)) => Some(*id),
        _ => None,
    }
}

/// Whether a function is told of somebody whom it is to find: a sender, a name, a token.
fn is_asked_about(unit: &Unit, fun: Fun) -> bool {
    unit.ir.function(fun.id).is_some_and(|function| {
        function.params.iter().filter_map(|own| own.name).any(|name| {
            let name = unit.ir.text(name);
            vocabulary::is_owner(name)
                || vocabulary::is_principal(name)
                || vocabulary::is_credential(name)
                || vocabulary::words(name).iter().any(|word| {
                    matches!(
                        word.as_str(),
                        "sender"
                            | "from"
                            | "caller"
                            | "user"
                            | "email"
                            | "phone"
                            | "channel"
                            | "chat"
                            | "request"
                    )
                })
        })
    })
}

/// Whether a variable is all the users or tenants that there are: what a query of them gives that has no condition, or what a
/// function lists that is told nothing.
fn lists_everybody(project: &Project, unit: &Unit, module: ModuleId, list: BindingId) -> bool {
    let [source] = unit.index.sources(list) else { return false };
    let (mut of_people, mut narrowed) = (false, false);
    walk::exprs_below(&unit.ir, source.value, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let name = unit.ir.binding_name(*id);
            of_people |= name.starts_with(char::is_uppercase) && lists_owners(name);
        }
        ExprKind::Call(call) => {
            let name = project.last_written(At { module, expr }).unwrap_or_default();
            let words = vocabulary::words(name);
            narrowed |= NARROWS.contains(&name);
            let lists = words
                .first()
                .is_some_and(|verb| matches!(verb.as_str(), "list" | "all" | "get" | "find" | "load"));
            of_people |= lists
                && words.len() > 1
                && call.args.is_empty()
                && words.last().is_some_and(|last| last.ends_with('s') && lists_owners(last));
        }
        _ => {}
    });
    of_people && !narrowed
}
