//! A request's body that is written over a row as it came, key by key or as a whole: `row[key] = req.body[key]`,
//! `Object.assign(row, req.body)`, `findByIdAndUpdate(id, req.body)`. The owner's key can be among those, also where the row's owner was
//! compared before.

use partywall_model::{Confidence, Severity};

use super::owner_from_body::{is_owner, is_set_after};
use crate::{
    flow::{Origins, Owned, lists_owners, singular, written_in},
    ir::{BindingId, Call, ExprId, ExprKind, FunctionId, Language, NameRef, PropertyKey, StmtKind, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many variables are followed to where a body is read.
const STEPS: u32 = 3;

/// Reports such copies.
pub(super) fn copied_body(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::JavaScript) {
        if !project.has_owners(module) {
            continue;
        }
        for write in &unit.index.writes {
            let at = At { module, expr: write.place };
            if let Some(row) = by_keys(project, unit, at, write.value)
                && has_owner(project, unit, at, row)
                && !is_set_after(unit, at, row)
                && !is_asked(project, unit, at)
            {
                tell(report, at, unit.ir.binding_name(row));
            }
        }
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            if let Some(row) = as_a_whole(project, unit, at, call)
                && has_owner(project, unit, at, row)
                && !is_set_after(unit, at, row)
                && !is_asked(project, unit, at)
            {
                tell(report, at, unit.ir.binding_name(row));
            }
        }
    }
    in_queries(project, report);
}

fn tell(report: &mut Report<'_>, at: At, row: &str) {
    report
        .reached(at, format!("everything that was sent goes into `{row}`, whose owner can be among it"))
        .severity(Severity::Medium)
        .confidence(Confidence::Medium);
}

/// Reports queries that write the body as it came over rows that have an owner.
fn in_queries(project: &Project, report: &mut Report<'_>) {
    let owned = project.owned_entities();
    for query in project.queries() {
        let Some(unit) = project.unit(query.at.module) else { continue };
        let known = matches!(owned.get(&query.entity), Some(Owned::Yes | Owned::Sibling));
        if query.is_sql
            || !known
            || lists_owners(&query.shown)
            || unit.ir.language != Language::JavaScript
            || !project.has_owners(query.at.module)
        {
            continue;
        }
        let body = written_in(unit, query.at.expr)
            .into_iter()
            .find(|expr| holds_body(project, unit, query.at.to(*expr)));
        if let Some(body) = body.filter(|_| !is_asked(project, unit, query.at)) {
            tell(report, query.at.to(body), &query.shown);
        }
    }
}

/// The variable of a row that gets each key of a body: `row[key] = body[key]`.
fn by_keys(project: &Project, unit: &Unit, at: At, value: ExprId) -> Option<BindingId> {
    let ExprKind::Index { object: row, index: key, .. } = unit.ir.expr(at.expr) else { return None };
    let ExprKind::Index { object: body, index: same, .. } = unit.ir.expr(value) else { return None };
    let (
        ExprKind::Name(NameRef::Binding(row)),
        ExprKind::Name(NameRef::Binding(key)),
        ExprKind::Name(NameRef::Binding(same)),
    ) = (unit.ir.expr(*row), unit.ir.expr(*key), unit.ir.expr(*same))
    else {
        return None;
    };
    // `if (allowed.includes(key))`, `["title", "text"].forEach((key) => …)`
    let chosen = in_condition(unit, at.expr) || !runs_through_body(unit, at.expr);
    (key == same && !chosen && is_body(project, unit, at.to(*body), STEPS)).then_some(*row)
}

/// Whether a write stands in a branch of the function that makes it.
fn in_condition(unit: &Unit, expr: ExprId) -> bool {
    let mut here = unit.index.stmt_of(expr);
    for _ in 0..16 {
        let Some(stmt) = here else { return false };
        if matches!(unit.ir.stmt(stmt), StmtKind::If { .. } | StmtKind::Switch { .. }) {
            return true;
        }
        here = unit.index.stmt_parent(stmt);
    }
    false
}

/// Whether the loop or the callback that a write stands in goes over all keys of something: `Object.keys(body)`, and no list of its own.
fn runs_through_body(unit: &Unit, expr: ExprId) -> bool {
    let over = |text: &str| {
        (text.contains("Object.keys(") || text.contains("Object.entries(")) && !text.contains("filter(")
    };
    let mut here = unit.index.stmt_of(expr);
    for _ in 0..16 {
        let Some(stmt) = here else { break };
        if let StmtKind::ForEach { iter, .. } = unit.ir.stmt(stmt) {
            let text = unit.ir.snippet(unit.ir.span(*iter));
            // `for (const key in req.body)`
            return over(text) || matches!(unit.ir.expr(*iter), ExprKind::Member { .. } | ExprKind::Name(_));
        }
        here = unit.index.stmt_parent(stmt);
    }
    let fun = unit.index.function(expr);
    if fun == FunctionId::MODULE {
        return false;
    }
    let site = unit.index.site(fun).and_then(|site| unit.index.stmt_of(site));
    let before = site.and_then(|stmt| {
        let whole = unit.ir.stmt_span(stmt);
        let own = unit.ir.function(fun)?.span;
        Some(unit.ir.snippet(crate::ir::Span::new(whole.start, own.start)))
    });
    before.is_some_and(over)
}

/// The variable of a row that a call fills with a whole body: `Object.assign(row, body)`, `row.set(body)`, `repo.merge(row, body)`.
fn as_a_whole(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<BindingId> {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    let (row, body) = match (unit.ir.text(*property), call.args.len()) {
        ("assign" | "merge" | "extend", 2) => (call.positional(0)?, call.positional(1)?),
        ("set" | "update", 1) => (*object, call.positional(0)?),
        _ => return None,
    };
    let ExprKind::Name(NameRef::Binding(row)) = unit.ir.expr(row) else { return None };
    let found = unit
        .index
        .sources(*row)
        .iter()
        .any(|source| matches!(unit.ir.expr(source.value), ExprKind::Await(_)));
    (found && holds_body(project, unit, at.to(body))).then_some(*row)
}

/// Whether what is written is a body as it came, or has all of one in it behind which no owner is set.
fn holds_body(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Object(properties) = unit.ir.expr(at.expr) else {
        return is_body(project, unit, at, STEPS);
    };
    let spread = properties.iter().position(|property| match property.key {
        PropertyKey::Spread => is_body(project, unit, at.to(property.value), STEPS),
        PropertyKey::Name(name) => {
            unit.ir.text(name) == "$set" && holds_body(project, unit, at.to(property.value))
        }
        PropertyKey::Computed(_) => false,
    });
    let sets = |property: &crate::ir::Property| matches!(property.key, PropertyKey::Name(name) if is_owner(unit.ir.text(name)));
    spread.is_some_and(|place| !properties.iter().skip(place).any(sets))
}

/// Whether a value is a request's body as it came: `req.body`, `await request.json()`.
fn is_body(project: &Project, unit: &Unit, at: At, steps: u32) -> bool {
    let Some(steps) = steps.checked_sub(1) else { return false };
    match unit.ir.expr(at.expr) {
        ExprKind::Member { property, .. } => {
            unit.ir.text(*property) == "body" && project.origins(at).has(Origins::INPUT)
        }
        ExprKind::Await(value) => is_body(project, unit, at.to(*value), steps),
        ExprKind::Call(call) => {
            let json = project.last_written(at.to(call.callee)).is_some_and(|name| name == "json");
            json && call.args.is_empty() && project.origins(at).has(Origins::INPUT)
        }
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] => source.path.is_empty() && is_body(project, unit, at.to(source.value), steps),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a row is one that has an owner: its owner is compared in the function, or it was found in rows that have one.
fn has_owner(project: &Project, unit: &Unit, at: At, row: BindingId) -> bool {
    // `String(row.tenantId)`, `row.tenantId.equals(…)`
    let of_row = |side: At| {
        let mut found = false;
        walk::exprs_below(&unit.ir, side.expr, &mut |expr| {
            found |= match unit.ir.expr(expr) {
                ExprKind::Member { object, property, .. } => {
                    is_owner(unit.ir.text(*property))
                        && matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(id)) if *id == row)
                }
                _ => false,
            };
        });
        found && side.module == at.module
    };
    let compared =
        |fun: Fun| project.guards(fun).iter().any(|guard| of_row(guard.left) || of_row(guard.right));
    if project.around(project.function_of(at)).into_iter().any(compared) {
        return true;
    }
    let owned = project.owned_entities();
    project.queries().iter().any(|query| {
        query.at.module == at.module
            && matches!(owned.get(&singular(&query.entity)), Some(Owned::Yes))
            && unit
                .index
                .sources(row)
                .iter()
                .any(|source| unit.ir.span(source.value).contains(unit.ir.span(query.at.expr)))
    })
}

/// Whether something looks at the body first: a schema of the route, a call in the handler that validates.
fn is_asked(project: &Project, unit: &Unit, at: At) -> bool {
    let validates = |text: &str| {
        vocabulary::words(text).iter().any(|word| {
            word.starts_with("valid")
                || matches!(
                    word.as_str(),
                    "schema"
                        | "celebrate"
                        | "pick"
                        | "whitelist"
                        | "sanitize"
                        | "permit"
                        | "allowed"
                        | "allow"
                )
        })
    };
    let around = project.around(project.function_of(at));
    let entry = project.entry_around(project.function_of(at));
    if entry.is_some_and(|entry| project.is_operators(entry))
        || around.iter().any(|fun| project.refuses_by_rank(*fun))
    {
        return true;
    }
    let by_route = entry.is_some_and(|entry| {
        let Some(home) = project.unit(entry.registration.module) else { return false };
        let ExprKind::Call(call) = home.ir.expr(entry.registration.expr) else { return false };
        call.args.iter().any(|arg| {
            !matches!(home.ir.expr(arg.value), ExprKind::Function(_) | ExprKind::String(_))
                && validates(home.ir.snippet(home.ir.span(arg.value)))
        })
    });
    let here = around.iter().filter(|fun| fun.id != FunctionId::MODULE).any(|fun| {
        let mut found = false;
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| match unit.ir.expr(expr) {
            ExprKind::Call(call) => {
                let written = project.written(at.to(call.callee));
                let json = written.first().is_some_and(|first| first == "JSON");
                found |= written.last().is_some_and(|name| {
                    validates(name) || (!json && matches!(name.as_str(), "parse" | "safeParse" | "parseAsync"))
                });
            }
            // `const { userId, ...rest } = req.body`, `delete updates.userId`
            ExprKind::Unary { operand, .. } => found |= matches!(unit.ir.expr(*operand), ExprKind::Member { property, .. } if is_owner(unit.ir.text(*property))
                && unit.ir.snippet(unit.ir.span(expr)).starts_with("delete")),
            _ => {}
        });
        found
    });
    by_route || here
}
