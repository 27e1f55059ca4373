//! Functions that make keys out of a record that says whose the value is, and leave that out: `cacheKey({ orgId, name })` that gives
//! `parts.name`.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{BindingId, ExprKind, Function, Name, NameRef, PropertyKey, walk},
    project::{At, Fun, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many callers of a function are asked what they give.
const CALLERS: usize = 12;

/// Reports such functions where they give the key.
pub(super) fn left_out_field(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            let words = vocabulary::words(function.name.map_or("", |name| unit.ir.text(name)));
            let ends = [words.first(), words.last()];
            if !ends.into_iter().flatten().any(|word| word == "key")
                || words.iter().any(|word| matches!(word.as_str(), "public" | "global" | "shared" | "api"))
            {
                continue;
            }
            let Some(value) = unit.index.returns(id).last().map(|expr| At { module, expr: *expr }) else {
                continue;
            };
            let Some(owner) = left_out(project, unit, fun, function) else { continue };
            if !asks_elsewhere(project, unit, fun) {
                report
                    .reached(value, format!("this makes a key, is given `{owner}` and leaves it out"))
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium)
                    .whatever_the_way();
            }
        }
    }
}

/// The owner in the record that callers give, when the function takes other parts of it and not that one.
fn left_out(project: &Project, unit: &Unit, fun: Fun, function: &Function) -> Option<String> {
    function.params.iter().enumerate().find_map(|(number, own)| {
        let taken = parts_of(unit, own.pattern.as_binding()?)?;
        let mut owners: Vec<String> = Vec::new();
        for call in project.callers(fun).iter().take(CALLERS) {
            let given = project.argument(*call, fun, number)?;
            let home = project.unit(given.module)?;
            let ExprKind::Object(properties) = home.ir.expr(given.expr) else { continue };
            owners.extend(properties.iter().filter_map(|property| match property.key {
                PropertyKey::Name(name) if vocabulary::is_tenant(home.ir.text(name)) => {
                    Some(home.ir.text(name).to_owned())
                }
                _ => None,
            }));
        }
        let says = |name: &Name| vocabulary::says_whose(unit.ir.text(*name));
        let owner = owners.into_iter().next()?;
        (!taken.is_empty() && !taken.iter().any(says)).then_some(owner)
    })
}

/// The parts of a record that a function takes; nothing where it goes on with the whole.
fn parts_of(unit: &Unit, id: BindingId) -> Option<Vec<Name>> {
    let mut parts = Vec::new();
    for used in unit.index.uses(id) {
        let Parent::Expr(up) = unit.index.parent(*used) else { return None };
        match unit.ir.expr(up) {
            ExprKind::Member { object, property, .. } if object == used => parts.push(*property),
            _ => return None,
        }
    }
    Some(parts)
}

/// Whether a function finds out by itself whose the value is, or says so in other words.
fn asks_elsewhere(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let mut found = super::memoised_result::reads_caller(project, fun.module, unit, fun);
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => vocabulary::says_whose(unit.ir.text(*property)),
            ExprKind::Name(NameRef::Binding(id)) => vocabulary::says_whose(unit.ir.binding_name(*id)),
            _ => false,
        };
    });
    found
}
