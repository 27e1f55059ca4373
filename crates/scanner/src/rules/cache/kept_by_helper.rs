//! What a function keeps by helpers that are given key and value, `keep(key, answer)` beside `known(key)`, when the value was made for the
//! caller and the key has nothing of it. The helpers know neither; whoever calls them knows both.

use std::collections::BTreeMap;

use partywall_model::{Confidence, Severity};

use super::unscoped_cache_key::is_scoped;
use crate::{
    flow::{Access, Lifetimes, Origins, Store},
    ir::{BindingId, ExprKind, FunctionId, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many callers of a helper are looked at, and how many values one is followed back through.
const CALLERS: usize = 24;
const STEPS: usize = 16;

/// What helpers do with one store: where they are given the key, and the value if they put it there.
#[derive(Default)]
struct Helpers {
    gets: Vec<(Fun, usize)>,
    puts: Vec<(Fun, usize, usize)>,
}

/// Reports calls that put such a value there.
pub(super) fn kept_by_helper(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let mut stores: BTreeMap<&Store, Helpers> = BTreeMap::new();
    for access in project.accesses() {
        if matches!(&access.store, Store::Field(class, _) if lives.outlives(*class) == Some(false)) {
            continue;
        }
        let Some(key) = given(project, access, access.key) else { continue };
        let helpers = stores.entry(&access.store).or_default();
        match access.value {
            Some(value) => {
                if let Some(value) = given(project, access, value).filter(|value| *value != key) {
                    helpers.puts.push((access.function, key, value));
                }
            }
            None => helpers.gets.push((access.function, key)),
        }
    }
    for helpers in stores.values() {
        for (put, key, value) in &helpers.puts {
            for call in project.callers(*put).iter().take(CALLERS) {
                if let (Some(key), Some(value)) =
                    (project.argument(*call, *put, *key), project.argument(*call, *put, *value))
                {
                    judge(project, report, &lives, helpers, *call, key, value);
                }
            }
        }
    }
}

/// The number of the parameter of a function that a value is made of, when it is one.
fn given(project: &Project, access: &Access, value: At) -> Option<usize> {
    let of = |id: BindingId| {
        let (fun, number, path) = project.parameter_of(value.module, id)?;
        (fun == access.function && path.is_empty()).then_some(number)
    };
    let mut numbers: Vec<usize> = project.roots(value).into_iter().filter_map(of).collect();
    numbers.sort_unstable();
    numbers.dedup();
    match numbers.as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

fn judge(
    project: &Project,
    report: &mut Report<'_>,
    lives: &Lifetimes<'_>,
    helpers: &Helpers,
    call: At,
    key: At,
    value: At,
) {
    let fun = project.function_of(call);
    let Some(unit) = project.unit(call.module) else { return };
    if fun.id == FunctionId::MODULE
        || key.module != call.module
        || !lives.is_per_request(fun)
        || !project.has_owners(call.module)
        || is_scoped(project, key)
        || of_one_party(project, unit, call)
    {
        return;
    }
    let text = project.snippet(key);
    // The same function has asked for it before, under the same key.
    let asked = helpers.gets.iter().any(|(get, number)| {
        project.callers(*get).iter().take(CALLERS).any(|other| {
            project.function_of(*other) == fun
                && project.argument(*other, *get, *number).is_some_and(|own| project.snippet(own) == text)
        })
    });
    let Some(whom) = whom(project, unit, fun, value).filter(|_| asked) else { return };
    report
        .reached(
            call,
            format!("what is kept here was made for `{whom}`, and the key `{text}` has nothing of it"),
        )
        .severity(Severity::Medium)
        .confidence(Confidence::Medium);
}

/// Whether what a helper is a method of was made or found for somebody: `cacheOf(tenantId).write(key, value)`.
fn of_one_party(project: &Project, unit: &Unit, call: At) -> bool {
    let ExprKind::Call(own) = unit.ir.expr(call.expr) else { return false };
    let ExprKind::Member { object, .. } = unit.ir.expr(own.callee) else { return false };
    let object = call.to(*object);
    if project.origins(object).has(Origins::PRINCIPAL | Origins::SECRET) {
        return true;
    }
    let mut values = vec![object.expr];
    values.extend(
        project
            .roots(object)
            .into_iter()
            .filter(|root| !unit.ir.is_module_level(*root))
            .flat_map(|root| unit.index.sources(root).iter().take(4).map(|source| source.value)),
    );
    let mut found = false;
    for value in values {
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id))
                if vocabulary::says_whose(unit.ir.binding_name(*id)));
        });
    }
    found
}

/// For whom a value was asked for, by what the calls that made it were given: `query(sql, [tenantId])`. Nothing where nothing was waited
/// for.
fn whom(project: &Project, unit: &Unit, fun: Fun, value: At) -> Option<String> {
    let mut open = vec![value.expr];
    let mut seen: Vec<BindingId> = Vec::new();
    let (mut found, mut waited, mut next) = (None, false, 0);
    while let Some(expr) = open.get(next).copied().filter(|_| next < STEPS) {
        next += 1;
        walk::exprs_below(&unit.ir, expr, &mut |own| match unit.ir.expr(own) {
            ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) && !seen.contains(id) => {
                seen.push(*id);
                let sources = unit.index.sources(*id).iter().filter(|source| source.function == fun.id);
                open.extend(sources.take(3).map(|source| source.value));
            }
            ExprKind::Await(_) => waited = true,
            ExprKind::Call(call) => {
                for arg in &call.args {
                    found = found.take().or_else(|| party_in(project, unit, value.to(arg.value)));
                }
            }
            _ => {}
        });
    }
    found.filter(|_| waited)
}

/// The name of the tenant, user or credential that is a part of an argument.
fn party_in(project: &Project, unit: &Unit, at: At) -> Option<String> {
    let mut found = None;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => {
                unit.ir.binding_name(*id)
            }
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            _ => return,
        };
        let own = vocabulary::is_tenant(name) || vocabulary::is_user(name) || vocabulary::is_credential(name);
        if found.is_none() && own && project.origins(at.to(expr)).has_owner() {
            found = Some(name.to_owned());
        }
    });
    found
}
