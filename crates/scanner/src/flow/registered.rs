//! Functions that a call registers, by itself or out of a list, a table or a tuple that is written out elsewhere.

use crate::{
    ir::ExprKind,
    library::{Place, PlaceArg},
    project::{At, Fun, Project, Symbol},
};

/// How many handlers one call may register.
const HANDLERS: usize = 64;

/// The functions at a place of a call.
pub(super) fn handlers_at(project: &Project, call: At, place: &Place) -> Vec<Fun> {
    let mut found: Vec<Fun> =
        project.at_place(call, place).into_iter().flat_map(|value| project.functions_of(value)).collect();
    if !found.is_empty() {
        return found;
    }
    let spread = project.spread_items(call);
    for path in &place.0 {
        let args: Vec<At> = match path.arg {
            PlaceArg::Number(number) if !spread.is_empty() => {
                spread.get(number).copied().into_iter().collect()
            }
            PlaceArg::Last if !spread.is_empty() => spread.last().copied().into_iter().collect(),
            _ => {
                let whole = crate::library::PlacePath { arg: path.arg.clone(), properties: Vec::new() };
                project.at_place(call, &Place(vec![whole]))
            }
        };
        let mut values: Vec<At> =
            args.into_iter().flat_map(|arg| flat(project, project.elements(arg))).collect();
        for name in &path.properties {
            let parts = values.iter().filter_map(|value| project.property_value(*value, name)).collect();
            values = flat(project, parts);
        }
        found.extend(values.into_iter().flat_map(|value| own_functions(project, value)));
        if !found.is_empty() {
            break;
        }
    }
    found.truncate(HANDLERS);
    found
}

/// The functions that a value may be, also as an item of a list in a loop.
pub(super) fn functions_of(project: &Project, value: At) -> Vec<Fun> {
    if let Symbol::Function(handler) = project.symbol(value) {
        return vec![handler];
    }
    project
        .elements(value)
        .into_iter()
        .flat_map(|value| own_functions(project, value))
        .take(HANDLERS)
        .collect()
}

/// The function that a value names or is; what a call gives is not looked into again.
fn own_functions(project: &Project, value: At) -> Option<Fun> {
    let unit = project.unit(value.module)?;
    if matches!(unit.ir.expr(value.expr), ExprKind::Call(_)) {
        return None;
    }
    match project.symbol(value) {
        Symbol::Function(handler) => Some(handler),
        _ => None,
    }
}

/// Values with the items of lists among them in their place.
fn flat(project: &Project, values: Vec<At>) -> Vec<At> {
    values
        .into_iter()
        .flat_map(|value| project.items_of_array(value).map_or_else(|| vec![value], Iterator::collect))
        .take(HANDLERS)
        .collect()
}
