//! What narrows a query without naming an owner: the parent that most rows hang below, a second id, conditions from elsewhere, a manager
//! that adds one, a look at the row's parent afterwards.

use crate::{
    flow::Query,
    ir::{ArgKind, BindingId, ExprKind, NameRef, PropertyKey, StmtKind, walk},
    lang::sql::Verb,
    project::{At, Parent, Project, Symbol},
    vocabulary,
};

/// Whether a query may mean one tenant's rows in a way that is not followed.
pub(super) fn may_be_narrowed(project: &Project, query: &Query) -> bool {
    project.names_hub(query)
        || is_given_conditions(project, query)
        || is_given_whole(project, query)
        || is_made_for_caller(project, query)
        || narrows(project, query)
        || parent_is_asked_after(project, query)
        || has_scoped_manager(project, query)
        || only_counts(project, query)
}

/// Whether all that is changed is a number that goes up: `.update({Page.views: Page.views + 1})`.
fn only_counts(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    let steps = |value| match unit.ir.expr(value) {
        ExprKind::Binary { left, right, .. } => {
            [left, right].into_iter().any(|side| matches!(unit.ir.expr(*side), ExprKind::Number(_)))
        }
        _ => false,
    };
    let counts = |expr| match unit.ir.expr(expr) {
        ExprKind::Call(call) => {
            let sets = matches!(unit.ir.expr(call.callee), ExprKind::Member { property, .. }
                if matches!(unit.ir.text(*property), "update" | "set" | "values"));
            sets && call.positional(0).is_some_and(|first| match unit.ir.expr(first) {
                ExprKind::Object(properties) => {
                    !properties.is_empty() && properties.iter().all(|property| steps(property.value))
                }
                _ => false,
            })
        }
        _ => false,
    };
    let mut here = query.at.expr;
    for _ in 0..16 {
        let Parent::Expr(up) = unit.index.parent(here) else { break };
        if counts(up) {
            return true;
        }
        here = up;
    }
    let mut found = false;
    walk::exprs_below(&unit.ir, query.at.expr, &mut |expr| found |= counts(expr));
    found
}

/// Whether what is asked was made for a caller, by the name of what made it: `rows = self._user_scoped_repository()`,
/// `rows.for_tenant(tenant).find_by_id(id)`.
fn is_made_for_caller(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    let says = |call: At| {
        let Some(ExprKind::Call(call_of)) = project.unit(call.module).map(|unit| unit.ir.expr(call.expr))
        else {
            return false;
        };
        let words =
            vocabulary::words(project.last_written(call.to(call_of.callee)).unwrap_or_default()).to_vec();
        let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
        has(&["scoped"])
            || (has(&["for", "with", "by"]) && has(&["user", "tenant", "org", "caller", "account"]))
    };
    let mut at = query.at.expr;
    for _ in 0..8 {
        match unit.ir.expr(at) {
            ExprKind::Member { object, .. } => at = *object,
            ExprKind::Await(inner) => at = *inner,
            ExprKind::Call(call) => {
                if at != query.at.expr && says(query.at.to(at)) {
                    return true;
                }
                at = call.callee;
            }
            ExprKind::Name(NameRef::Binding(id)) => {
                return unit.index.sources(*id).iter().any(|source| {
                    let value = match unit.ir.expr(source.value) {
                        ExprKind::Await(inner) => *inner,
                        _ => source.value,
                    };
                    says(query.at.to(value))
                });
            }
            _ => return false,
        }
    }
    false
}

/// Whether a query is handed what to do as a whole, and every caller who writes it down names more than an id: `findFirst(args)`.
fn is_given_whole(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(query.at.expr) else { return false };
    let Some(ExprKind::Name(NameRef::Binding(id))) =
        call.positional(0).map(|argument| unit.ir.expr(argument))
    else {
        return false;
    };
    let Some((fun, number, path)) = project.parameter_of(query.at.module, *id) else { return false };
    if !path.is_empty() || project.entry(fun).is_some() || call.args.len() != 1 {
        return false;
    }
    project.callers(fun).iter().take(16).all(|caller| {
        let Some(given) = project.argument(*caller, fun, number) else { return false };
        let Some(filter) =
            project.literal_property(given, "where").or_else(|| project.literal_property(given, "filter"))
        else {
            return true;
        };
        let Some(home) = project.unit(filter.module) else { return false };
        match home.ir.expr(filter.expr) {
            ExprKind::Object(properties) => properties.iter().any(|property| match property.key {
                PropertyKey::Name(name) => vocabulary::is_owner(home.ir.text(name)),
                _ => true,
            }),
            _ => true,
        }
    })
}

/// Whether a later query of the function asks for what the row belongs to, with an owner: `call = find({ callId })`, and then
/// `find({ resultId: call.resultId, uid })`.
fn parent_is_asked_after(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    let mut at = query.at.expr;
    let mut row: Vec<BindingId> = Vec::new();
    for _ in 0..6 {
        match unit.index.parent(at) {
            Parent::Expr(up) => at = up,
            Parent::Stmt(stmt) => {
                if let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) {
                    target.for_each_binding(&mut |id| row.push(id));
                }
                break;
            }
            _ => break,
        }
    }
    !row.is_empty()
        && project.queries().iter().any(|other| {
            other.function == query.function
                && other.verb == Verb::Select
                && project.order(other.at) > project.order(query.at)
                && project.says_whose(other)
                && other
                    .filters
                    .iter()
                    .any(|filter| project.roots(*filter).iter().any(|root| row.contains(root)))
        })
}

/// Whether the model's manager is one of a class that is named for an owner: `objects = NoteManager()` of
/// `class NoteManager(OwnOrganizationMixin, …)`, which adds the condition to every query.
fn has_scoped_manager(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    let mut models: Vec<At> = Vec::new();
    walk::exprs_below(&unit.ir, query.at.expr, &mut |expr| {
        if let ExprKind::Member { object, property, .. } = unit.ir.expr(expr)
            && unit.ir.text(*property) == "objects"
        {
            models.push(query.at.to(*object));
        }
    });
    models.into_iter().any(|model| {
        let Symbol::Class(class) = project.symbol(model) else { return false };
        let Some(home) = project.unit(class.module) else { return false };
        let Some(field) = home
            .ir
            .class(class.id)
            .and_then(|decl| decl.fields.iter().find(|field| home.ir.text(field.name) == "objects"))
        else {
            return false;
        };
        let Some(ExprKind::Call(made)) = field.value.map(|value| home.ir.expr(value)) else { return false };
        let Symbol::Class(manager) = project.symbol(At { module: class.module, expr: made.callee }) else {
            return false;
        };
        let Some(of) = project.unit(manager.module) else { return false };
        of.ir.class(manager.id).is_some_and(|decl| {
            decl.bases.iter().any(|base| {
                let name = of.ir.snippet(of.ir.span(*base));
                vocabulary::words(name).iter().any(|word| vocabulary::is_tenant(word))
            })
        })
    })
}

/// Whether conditions of a query are a parameter of its function: whoever calls it says whose rows are meant.
fn is_given_conditions(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    let Some(function) = unit.ir.function(query.function.id) else { return false };
    let given = function.params.iter().filter_map(|parameter| parameter.name).any(|name| {
        vocabulary::words(unit.ir.text(name)).last().is_some_and(|word| {
            matches!(
                word.as_str(),
                "condition" | "conditions" | "clauses" | "filters" | "criteria" | "predicates" | "where"
            )
        })
    });
    given && project.entry(query.function).is_none()
}

/// Whether a query names the parent that most rows hang below, in a function that is no handler: whoever calls it says whose rows are
/// meant.
pub(super) fn is_far_from_callers(project: &Project, query: &Query) -> bool {
    !project.around(query.function).iter().any(|fun| project.entry(*fun).is_some())
        && project.names_hub(query)
}

/// Whether a value only says where a list goes on, and what it names is not given.
pub(super) fn is_cursor(project: &Project, at: At) -> bool {
    project.written(at).last().is_some_and(|name| {
        matches!(
            name.as_str(),
            "cursor"
                | "before"
                | "after"
                | "starting_after"
                | "ending_before"
                | "startingAfter"
                | "endingBefore"
        )
    })
}

/// Whether a query finds a row by its own id and by the id of something else, which nobody needs who does not mean to narrow it:
/// `where: { id, folderId }`.
fn narrows(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    let (mut own, mut other) = (false, false);
    let mut see = |name: &str| {
        let words = vocabulary::words(name);
        own |= matches!(words.as_slice(), [word] if matches!(word.as_str(), "id" | "uuid" | "pk"));
        other |= words.len() > 1 && words.last().is_some_and(|last| matches!(last.as_str(), "id" | "uuid"));
    };
    walk::exprs_below(&unit.ir, query.at.expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Object(properties) => properties.iter().for_each(|property| {
            if let PropertyKey::Name(name) = property.key {
                see(unit.ir.text(name));
            }
        }),
        ExprKind::Call(call) => call.args.iter().for_each(|arg| {
            if let ArgKind::Keyword(name) = arg.kind {
                see(unit.ir.text(name));
            }
        }),
        ExprKind::Compare { left, .. } => {
            if let ExprKind::Member { property, .. } = unit.ir.expr(*left) {
                see(unit.ir.text(*property));
            }
        }
        _ => {}
    });
    own && other && query.verb == Verb::Select
}
