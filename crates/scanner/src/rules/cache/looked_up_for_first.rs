//! A client that is kept for the whole process and was made with a credential that was looked up by what the first caller named:
//! `if _client is None: account = load(document_id); _client = Client(password=account["password"])`.

use std::collections::BTreeSet;

use crate::{
    ir::{ArgKind, BindingId, ExprId, ExprKind, NameRef, PropertyKey, walk},
    project::{At, Fun, Project, Unit},
    vocabulary,
};

/// How many variables are looked through.
const STEPS: usize = 24;

/// Last words of parameters that name one of many things.
const NAMES: &[&str] = &["id", "ids", "uuid", "slug", "email", "domain"];

/// The parameter by which the credential was found that a value is made with.
pub(super) fn looked_up(project: &Project, unit: &Unit, fun: Fun, value: ExprId) -> Option<String> {
    let mut made = value;
    while let ExprKind::Await(inner) = unit.ir.expr(made) {
        made = *inner;
    }
    let ExprKind::Call(call) = unit.ir.expr(made) else { return None };
    let mut credentials = call.args.iter().filter(|arg| {
        let named =
            matches!(arg.kind, ArgKind::Keyword(name) if vocabulary::is_credential(unit.ir.text(name)));
        (named || names_credential(unit, arg.value)) && !is_whole_parameter(project, unit, fun, arg.value)
    });
    credentials.find_map(|arg| behind(project, unit, fun, arg.value))
}

/// The parameter that a value was looked up by: through variables, and at least one call.
fn behind(project: &Project, unit: &Unit, fun: Fun, value: ExprId) -> Option<String> {
    let mut open = names_in(unit, value);
    let mut done: BTreeSet<BindingId> = BTreeSet::new();
    while let Some(id) = open.pop() {
        if done.len() > STEPS || !done.insert(id) || unit.ir.is_module_level(id) {
            continue;
        }
        for source in unit.index.sources(id).iter().filter(|source| source.function == fun.id) {
            if let Some(name) = asked_by(project, unit, fun, source.value) {
                return Some(name);
            }
            open.extend(names_in(unit, source.value));
        }
    }
    None
}

/// The parameter that names one of many things and that a call in a value is told.
fn asked_by(project: &Project, unit: &Unit, fun: Fun, value: ExprId) -> Option<String> {
    let mut found = None;
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
        for arg in &call.args {
            let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(arg.value) else { continue };
            let name = unit.ir.binding_name(*id);
            let of_many = vocabulary::words(name).last().is_some_and(|last| NAMES.contains(&last.as_str()));
            let own = project
                .parameter_of(fun.module, *id)
                .is_some_and(|(of, _, path)| of == fun && path.is_empty());
            if of_many
                && own
                && found.is_none()
                && !project.origins(At { module: fun.module, expr: arg.value }).has(crate::flow::Origins::ENV)
            {
                found = Some(format!("`{name}`"));
            }
        }
    });
    found
}

fn names_in(unit: &Unit, value: ExprId) -> Vec<BindingId> {
    let mut found = Vec::new();
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
            found.push(*id);
        }
    });
    found
}

/// Whether a value is or has in it what is named like a credential: `row["api_token"]`, `{ auth: account.token }`.
fn names_credential(unit: &Unit, value: ExprId) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => vocabulary::is_credential(unit.ir.text(*property)),
            ExprKind::Index { index, .. } => {
                matches!(unit.ir.expr(*index), ExprKind::String(text) if vocabulary::is_credential(unit.ir.text(*text)))
            }
            ExprKind::Name(NameRef::Binding(id)) => vocabulary::is_credential(unit.ir.binding_name(*id)),
            ExprKind::Object(properties) => properties.iter().any(
                |own| matches!(own.key, PropertyKey::Name(name) if vocabulary::is_credential(unit.ir.text(name))),
            ),
            _ => false,
        };
    });
    found
}

/// Whether a value is what the function was given: who calls may hand the same to all.
fn is_whole_parameter(project: &Project, unit: &Unit, fun: Fun, value: ExprId) -> bool {
    matches!(unit.ir.expr(value), ExprKind::Name(NameRef::Binding(id)) if project.parameter_of(fun.module, *id).is_some_and(|(of, ..)| of == fun))
}
