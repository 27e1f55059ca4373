//! Lists of records that say whose they are, which a request searches without asking whose: `[one for one in notes if text in one["text"]]`.

use std::collections::BTreeMap;

use partywall_model::{Confidence, Severity};

use super::{
    kept_records::looks_whose,
    kept_things::{is_of_sessions, knows_callers},
};
use crate::{
    flow::{Cell, Lifetimes},
    ir::{ExprId, ExprKind, FunctionId, Kinds, Language, PropertyKey},
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Reports comprehensions over such lists that a function of a request gives back.
pub(super) fn kept_lists(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let owned = lists_of_records(project, lives);
    if owned.is_empty() {
        return;
    }
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for (expr, kind) in unit.ir.exprs_of(Kinds::COMPREHENSION) {
            let ExprKind::Comprehension(comprehension) = kind else { continue };
            let at = At { module, expr };
            let fun = project.function_of(at);
            let of = comprehension.clauses.iter().find_map(|clause| {
                let name = project.last_written(at.to(clause.iter))?;
                let cells = owned.get(name)?;
                let cell = lives.cell(at.to(clause.iter))?;
                cells.contains(&cell).then(|| name.to_owned())
            });
            let given = fun.id != FunctionId::MODULE && unit.index.returns(fun.id).contains(&expr);
            let Some(name) = of.filter(|_| given) else { continue };
            if lives.is_per_request(fun) && knows_callers(project, module) && !looks_whose(project, fun) {
                report
                    .reached(
                        at,
                        format!("the records of `{name}` say whose they are, and everybody's are searched"),
                    )
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// The lists that outlive a request and get records with an owner, by their names.
fn lists_of_records(project: &Project, lives: &Lifetimes<'_>) -> BTreeMap<String, Vec<Cell>> {
    let mut owned: BTreeMap<String, Vec<Cell>> = BTreeMap::new();
    let appends = project.calls_named(|name| name == "append");
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::Python) {
        for expr in appends.among(module) {
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
            let whose = call.positional(0).is_some_and(|record| says_whose(unit, record));
            if unit.ir.text(*property) != "append" || !whose {
                continue;
            }
            let list = At { module, expr: *object };
            let name = project.last_written(list).unwrap_or_default().to_owned();
            if let Some(cell) = lives.cell(list)
                && !is_of_sessions(&name)
                && !vocabulary::is_cache(&name)
            {
                owned.entry(name).or_default().push(cell);
            }
        }
    }
    owned
}

/// Whether a written record names its owner: `{"user": user, "text": text}`.
fn says_whose(unit: &Unit, record: ExprId) -> bool {
    let ExprKind::Object(properties) = unit.ir.expr(record) else { return false };
    properties.iter().any(|property| match property.key {
        PropertyKey::Name(name) => {
            let name = unit.ir.text(name);
            vocabulary::is_owner(name) || matches!(name, "user" | "tenant")
        }
        _ => false,
    })
}
