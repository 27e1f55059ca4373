//! Queries of rows whose owner was looked at before: by an earlier query, or by all who call the function.

use super::{callers::is_id, compared::compares_after};
use crate::{
    flow::{Origins, Query, excludes, is_request},
    ir::{ArgKind, BindingId, ExprId, ExprKind, FunctionId, NameRef, PropertyKey, walk},
    lang::sql::Verb,
    project::{At, Fun, Project, Step, Unit},
    rules::identity::looked_up::{is_callers_row, is_of_callers_row},
    vocabulary,
};

/// Of how many callers the checks are looked for.
const CALLERS: usize = 32;

/// Whether an earlier query of the function, or of one around it, found the same rows by the same id and their owner:
/// `findFirst({ id, userId })`, then `delete({ id })`, there or in what a transaction runs.
pub(super) fn found_before(project: &Project, query: &Query) -> bool {
    // The model or connection that both are asked of is none.
    let Some(unit) = project.unit(query.at.module) else { return false };
    let ids: Vec<_> = query
        .filters
        .iter()
        .flat_map(|at| project.roots(*at))
        .filter(|id| {
            let name = unit.ir.binding_name(*id);
            // All parts of a request are of the same request.
            !unit.ir.is_module_level(*id) && !is_request(name) && !is_bound(name)
        })
        .filter(|id| query.verb == Verb::Select || finds_the_row(unit.ir.binding_name(*id), &query.entity))
        .collect();
    // `req.params.id`
    let parts: Vec<_> = query.filters.iter().map(|at| project.written(*at)).collect();
    let mut here = query.at.expr;
    for around in project.around(query.function) {
        if around.id == FunctionId::MODULE {
            break;
        }
        let order = unit.index.order(here);
        let found = project.queries().iter().any(|other| {
            other.function == around
                && other.verb == Verb::Select
                && other.entity == query.entity
                && project.order(other.at) < order
                && !excludes(unit, other.at.expr, here)
                && (project.says_whose(other) || is_narrowed_by_caller(project, unit, other))
                && other.filters.iter().any(|at| {
                    project.roots(*at).iter().any(|root| ids.contains(root))
                        || parts.iter().any(|part| part.len() > 2 && *part == project.written(*at))
                })
        });
        if found {
            return true;
        }
        let Some(site) = unit.index.site(around.id) else { break };
        here = site;
    }
    false
}

/// Whether a query is given conditions that were made of the caller: `findOne({ _id: id, ...campusOf(req) })`.
pub(super) fn is_narrowed_by_caller(project: &Project, unit: &Unit, query: &Query) -> bool {
    let told = |value: ExprId| {
        let mut told = false;
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            told |= call.args.iter().any(|arg| {
                project.origins(query.at.to(arg.value)).has(Origins::PRINCIPAL | Origins::REQUEST)
            });
        });
        told
    };
    let made = |value: ExprId| match unit.ir.expr(value) {
        ExprKind::Name(NameRef::Binding(id)) => {
            unit.index.sources(*id).iter().any(|source| told(source.value))
        }
        _ => told(value),
    };
    let mut found = false;
    walk::exprs_below(&unit.ir, query.at.expr, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Object(properties) => {
            found |= properties
                .iter()
                .any(|property| matches!(property.key, PropertyKey::Spread) && made(property.value));
        }
        ExprKind::Call(call) => {
            found |=
                call.args.iter().any(|arg| matches!(arg.kind, ArgKind::KeywordSpread) && made(arg.value));
        }
        _ => {}
    });
    found
}

/// Words of what bounds a list and finds no row.
const BOUNDS: &[&str] = &[
    "date",
    "day",
    "days",
    "today",
    "now",
    "since",
    "until",
    "start",
    "end",
    "begin",
    "from",
    "to",
    "month",
    "week",
    "year",
    "hours",
    "limit",
    "offset",
    "page",
    "skip",
    "take",
    "size",
    "per",
    "status",
    "type",
    "sort",
    "order",
    "cutoff",
    "period",
    "deadline",
    "threshold",
];

/// Whether a name is that of a bound of a list: `since`, `pageSize`, `status`.
fn is_bound(name: &str) -> bool {
    vocabulary::words(name).iter().all(|word| BOUNDS.contains(&word.as_str()))
        || vocabulary::words(name).last().is_some_and(|last| BOUNDS.contains(&last.as_str()) && last != "to")
}

/// Whether an id is that of the rows themselves, and not of what they stand beside: by `postId` one finds all likes of a post, whosever
/// they are.
fn finds_the_row(name: &str, entity: &str) -> bool {
    let words = vocabulary::words(name);
    if words.len() < 2 || words.last().is_none_or(|last| last != "id") {
        return true;
    }
    let joined = entity.replace('_', "").to_lowercase();
    words
        .iter()
        .rev()
        .skip(1)
        .any(|word| joined.contains(word.as_str()) || word.len() > 2 && joined.starts_with(word.as_str()))
}

/// Whether all who call the function of a query hold what its rows are found by against the caller before, or compare the owner of the
/// row that they get and refuse: `await ensureAccess(noteId, user.id)`, and then `await removeNote(noteId)`.
pub(super) fn callers_decide(project: &Project, query: &Query) -> bool {
    let Some(unit) = project.unit(query.at.module) else { return false };
    query.filters.iter().any(|at| {
        let Some((id, name)) = named(unit, *at) else { return false };
        let Some((fun, number, path)) = project.parameter_of(query.at.module, id) else { return false };
        let callers = project.callers(fun);
        is_id(name)
            && project.entry(fun).is_none()
            && project.around(query.function).contains(&fun)
            && !callers.is_empty()
            && callers.len() <= CALLERS
            && callers.iter().all(|call| decides(project, unit, query, *call, (fun, number, &path), *at))
    })
}

/// The variable that a value is, or is a field of, and the name of the value: `id`, `input.keyId`.
fn named(unit: &Unit, at: At) -> Option<(BindingId, &str)> {
    match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => Some((*id, unit.ir.binding_name(*id))),
        ExprKind::Member { object, property, .. } => match unit.ir.expr(*object) {
            ExprKind::Name(NameRef::Binding(id)) => Some((*id, unit.ir.text(*property))),
            _ => None,
        },
        _ => None,
    }
}

fn decides(
    project: &Project,
    unit: &Unit,
    query: &Query,
    call: At,
    (fun, number, path): (Fun, usize, &[Step]),
    filter: At,
) -> bool {
    if !project.callee(call).is_some_and(|callee| callee.certain) {
        return false;
    }
    if query.verb == Verb::Select && query.function == fun && compares_after(project, call) {
        return true;
    }
    let Some(given) = project.argument(call, fun, number) else { return false };
    // `rotate({ keyId: key.id })` of a function that takes `input.keyId`.
    let key = match (path.first(), unit.ir.expr(filter.expr)) {
        (Some(Step::Key(name)), _) => Some(unit.ir.text(*name)),
        (None, ExprKind::Member { property, .. }) => Some(unit.ir.text(*property)),
        _ => None,
    };
    let value = key.and_then(|key| field(project, given, key)).unwrap_or(given);
    !project.is_fixed(value) && is_looked_at(project, value)
}

/// The value of a field of a record that is written out.
fn field(project: &Project, at: At, key: &str) -> Option<At> {
    let unit = project.unit(at.module)?;
    let ExprKind::Object(properties) = unit.ir.expr(at.expr) else { return None };
    properties
        .iter()
        .find(|property| matches!(property.key, PropertyKey::Name(name) if unit.ir.text(name) == key))
        .map(|property| at.to(property.value))
}

/// Whether an id was held against the caller before, or is that of a row that was looked up with the caller.
fn is_looked_at(project: &Project, value: At) -> bool {
    if project.is_checked(value) || is_of_callers_row(project, value) {
        return true;
    }
    let Some(unit) = project.unit(value.module) else { return false };
    let row: Option<ExprId> = match unit.ir.expr(value.expr) {
        ExprKind::Member { object, .. } => {
            matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(_))).then_some(*object)
        }
        _ => None,
    };
    row.is_some_and(|row| is_callers_row(project, value.to(row)))
}
