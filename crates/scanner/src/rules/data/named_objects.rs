//! Files and objects of all callers under names that requests choose: one request writes `join(dir, name)`, another one reads it,
//! and nothing of the path says whose it is.

use std::collections::BTreeMap;

use partywall_model::{Confidence, Severity};

use super::{
    callers::is_caller,
    file_paths::says_whose,
    ignored_caller::is_compared,
    named_places::{Place, Verb, places},
};
use crate::{
    flow::{Lifetimes, Origins},
    ir::{BindingKind, Call, ExprId, ExprKind, FunctionId, Language, NameRef, TemplatePart, walk},
    library::Role,
    project::{At, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many values and calls a name is followed through.
pub(in crate::rules) const DEPTH: u32 = 16;

/// How many callers of a function are asked.
const CALLERS: usize = 4;

/// Functions that make a name of a name.
const SHAPES: &[&str] = &[
    "join",
    "resolve",
    "normalize",
    "basename",
    "String",
    "encodeURIComponent",
    "decodeURIComponent",
    "decodeURI",
    "replace",
    "replaceAll",
    "slice",
    "trim",
    "toLowerCase",
    "toString",
    "concat",
    "substring",
    "split",
    "pop",
    "at",
    "parse",
    "filenamify",
    "sanitize",
    "extname",
    "URL",
];

/// Words of what is found by a secret, or belongs to whoever has the name.
const SECRETS: &[&str] = &[
    "code", "state", "nonce", "otp", "hash", "slug", "digest", "checksum", "ip", "locale", "lang", "version",
];

/// Reports such uses.
pub(super) fn named_objects(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let mut by_folder: BTreeMap<&str, Vec<Place>> = BTreeMap::new();
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::JavaScript) {
        if !(project.handlers_know_callers(module) || project.is_asked_multi()) {
            continue;
        }
        let own = places(project, module, unit);
        let served = own.into_iter().filter(|place| lives.is_per_request(project.function_of(place.at)));
        by_folder.entry(project.folder(module).unwrap_or_default()).or_default().extend(served);
    }
    for all in by_folder.values() {
        for place in all.iter().filter(|place| !is_everybodys(place)) {
            judge(project, all, place, report);
        }
        super::one_file::one_file(project, all, report);
    }
}

fn judge(project: &Project, all: &[Place], place: &Place, report: &mut Report<'_>) {
    let Some(key) = place.key.filter(|key| !has_owner(project, *key, 3)) else { return };
    if place.verb == Verb::List || project.is_superusers(place.at) || !is_chosen(project, key, DEPTH) {
        return;
    }
    let others = || all.iter().filter(|other| other.at != place.at && is_among(other, place));
    let open = |other: &&Place| other.key.is_some_and(|key| !has_owner(project, key, 3));
    let brings =
        |other: &&Place| other.verb == Verb::Write && other.data.is_none_or(|data| is_sent(project, data));
    // Others name their owner: whoever knows the whole name of one is given it.
    let told = others()
        .any(|other| other.verb == Verb::Write && other.key.is_some_and(|key| has_owner(project, key, 3)));
    let partner = match place.verb {
        Verb::Write => {
            brings(&place).then(|| others().find(|other| other.verb == Verb::Read && open(other))).flatten()
        }
        _ => others().find(|other| brings(other) && (open(other) || told)),
    };
    let Some(partner) = partner else { return };
    let what = if place.is_file { "file" } else { "object" };
    let found = report.reached(
        place.at,
        format!("this {what} is found by a name of the request, among those of all callers"),
    );
    found.severity(Severity::Medium).confidence(Confidence::Medium);
    let note = if partner.verb == Verb::Write {
        "requests write there what they were sent"
    } else {
        "whoever says its name is given it here"
    };
    found.related(partner.at.module, project.span(partner.at), note);
}

/// Whether two are in the same folder or bucket.
fn is_among(one: &Place, other: &Place) -> bool {
    one.is_file == other.is_file && one.among == other.among && (!one.is_file || !one.among.is_empty())
}

/// Whether a folder or bucket is everybody's by its name.
fn is_everybodys(place: &Place) -> bool {
    place.among.split(['/', '"', '\'', '.']).any(says_whose)
}

/// Whether a value is what a request brought.
fn is_sent(project: &Project, at: At) -> bool {
    project.origins(at).has(Origins::INPUT | Origins::UNVERIFIED | Origins::REQUEST)
}

/// Whether a part of a name says whose it is, or may.
pub(in crate::rules) fn has_owner(project: &Project, key: At, depth: u32) -> bool {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(key.module)) else { return false };
    let mut found = project
        .origins(key)
        .has(Origins::PRINCIPAL | Origins::SECRET | Origins::OWNER | Origins::SESSION | Origins::UNVERIFIED);
    walk::exprs_below(&unit.ir, key.expr, &mut |expr| {
        let at = key.to(expr);
        match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => {
                found |= names_owner(unit.ir.binding_name(*id));
                if !found && !unit.ir.is_module_level(*id) {
                    found |= unit
                        .index
                        .sources(*id)
                        .iter()
                        .take(3)
                        .any(|source| has_owner(project, at.to(source.value), depth));
                }
            }
            ExprKind::Member { property, .. } => found |= names_owner(unit.ir.text(*property)),
            // `pathOf(request, name)` may say it.
            ExprKind::Call(call) => {
                let whole = |arg: &crate::ir::Arg| {
                    matches!(unit.ir.expr(arg.value), ExprKind::Name(_))
                        && project.origins(at.to(arg.value)).has(Origins::REQUEST)
                };
                found |= call.args.iter().any(whole);
            }
            _ => {}
        }
    });
    found
}

fn names_owner(name: &str) -> bool {
    let words = vocabulary::words(name);
    says_whose(name)
        || vocabulary::is_credential(name)
        || words.iter().any(|word| SECRETS.contains(&word.as_str()))
}

/// Whether a name is one that the request chose, and was not looked up, compared or asked about before.
pub(in crate::rules) fn is_chosen(project: &Project, at: At, depth: u32) -> bool {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(at.module)) else { return false };
    let below = |expr: ExprId| is_chosen(project, at.to(expr), depth);
    match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            if is_asked_about(project, unit, at) {
                return false;
            }
            let parameter =
                matches!(unit.ir.binding(*id).map(|binding| binding.kind), Some(BindingKind::Parameter(_)));
            if parameter {
                return is_given(project, at, *id, depth);
            }
            !unit.ir.is_module_level(*id)
                && unit.index.sources(*id).iter().take(4).any(|source| below(source.value))
        }
        ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => {
            let sent = project.origins(at).has(Origins::INPUT) && !is_asked_about(project, unit, at);
            sent && (below(*object) || project.origins(at.to(*object)).has(Origins::REQUEST))
        }
        ExprKind::Await(value) | ExprKind::Spread(value) => below(*value),
        ExprKind::Template(parts) => {
            parts.iter().any(|part| matches!(part, TemplatePart::Value(value) if below(*value)))
        }
        ExprKind::Binary { left, right, .. } | ExprKind::Logical { left, right, .. } => {
            below(*left) || below(*right)
        }
        ExprKind::Conditional { then, otherwise, .. } => below(*then) || below(*otherwise),
        ExprKind::Array { items, .. } => items.iter().any(|item| below(*item)),
        ExprKind::Call(call) => is_made_of_chosen(project, unit, at, call, depth),
        _ => false,
    }
}

/// Whether a parameter is what a request says: of a handler, or of a function that is given it.
fn is_given(project: &Project, at: At, id: crate::ir::BindingId, depth: u32) -> bool {
    let Some((fun, number, _)) = project.parameter_of(at.module, id) else { return false };
    if !project.origins(at).has(Origins::INPUT | Origins::REQUEST) {
        return false;
    }
    // Some steps for each call, so that there are not too many ways.
    let Some(depth) = depth.checked_sub(2) else { return false };
    let callers = project.callers(fun);
    if callers.is_empty() {
        return true;
    }
    callers
        .iter()
        .take(CALLERS)
        .filter_map(|call| project.argument(*call, fun, number))
        .any(|arg| is_chosen(project, arg, depth))
}

/// Whether what a call gives is a name that the request chose, in another shape, or a part of the request.
fn is_made_of_chosen(project: &Project, unit: &Unit, at: At, call: &Call, depth: u32) -> bool {
    let below = |expr: ExprId| is_chosen(project, at.to(expr), depth);
    let Some(callee) = project.callee(at) else { return false };
    if callee.defs.iter().any(|def| matches!(def.role, Role::Query | Role::Fetch | Role::CacheGet)) {
        return false;
    }
    let name = callee.name();
    let receiver = match unit.ir.expr(call.callee) {
        ExprKind::Member { object, .. } => Some(*object),
        _ => None,
    };
    let own = callee.certain && !callee.targets.is_empty();
    if SHAPES.contains(&name) || own {
        return call.args.iter().any(|arg| below(arg.value)) || receiver.is_some_and(below);
    }
    // `c.req.param("name")`, `url.searchParams.get("name")`, `await request.json()`
    project.origins(at).has(Origins::INPUT) && call.args.iter().all(|arg| project.is_fixed(at.to(arg.value)))
}

/// Whether a name was compared, or something else was asked with it and the caller.
fn is_asked_about(project: &Project, unit: &Unit, value: At) -> bool {
    if is_compared(project, value) {
        return true;
    }
    // The request as a whole is in whatever is asked with it.
    let whole = |id: &crate::ir::BindingId| {
        unit.index
            .uses(*id)
            .first()
            .is_some_and(|used| project.origins(value.to(*used)).has(Origins::REQUEST))
    };
    let roots: Vec<_> = project.roots(value).into_iter().filter(|id| !whole(id)).collect();
    let (own, text) = (project.span(value), project.snippet(value));
    let mut found = false;
    for fun in
        project.around(project.function_of(value)).into_iter().take_while(|fun| fun.id != FunctionId::MODULE)
    {
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            if found || unit.ir.span(expr).contains(own) {
                return;
            }
            let (mut caller, mut named) = (false, false);
            for arg in &call.args {
                walk::exprs_below(&unit.ir, arg.value, &mut |inner| {
                    let is_value = matches!(
                        unit.ir.expr(inner),
                        ExprKind::Name(_) | ExprKind::Member { .. } | ExprKind::Call(_)
                    );
                    caller |= is_value && is_caller(project, value.to(inner));
                    named |= matches!(unit.ir.expr(inner), ExprKind::Name(NameRef::Binding(id)) if roots.contains(id))
                        || (is_value && project.snippet(value.to(inner)) == text);
                });
            }
            found = caller && named;
        });
    }
    found
}
