//! Memos whose key is a part of the arguments: `memoize(load)` of a library that takes the first one, `once(load)`, a `cacheKey` that
//! leaves the caller out, `cache.wrap(key, () => load(caller, id))`.

use partywall_model::{Confidence, Severity};

use super::memoised_result::is_party;
use crate::{
    flow::{Lifetimes, Origins, captured},
    ir::{
        Call, ExprId, ExprKind, Function, FunctionId, Language, NameRef, ParameterKind, Pattern, PropertyKey,
    },
    project::{At, Fun, Parent, Project, Symbol, Unit},
    rules::Report,
};

/// Packages whose memo is found by the first argument, unless they are told another key in their second argument.
const BY_FIRST: &[&str] = &["p-memoize", "mem", "memoize"];

/// Packages with a `memoize` that is found by the first argument, unless a function makes the key.
const WITH_RESOLVER: &[&str] = &[
    "lodash",
    "lodash-es",
    "lodash.memoize",
    "lodash/memoize",
    "lodash/memoize.js",
    "underscore",
    "es-toolkit/compat",
];

/// Packages with a `once`.
const ONCE: &[&str] = &[
    "lodash",
    "lodash-es",
    "lodash.once",
    "lodash/once",
    "lodash/once.js",
    "underscore",
    "once",
    "ramda",
    "es-toolkit",
    "onetime",
];

/// Methods of caches that are given a key and what makes the value.
const WRAPS: &[&str] = &[
    "wrap",
    "getOrSet",
    "getOrCompute",
    "getOrLoad",
    "getOrFetch",
    "getOrCreate",
    "remember",
    "computeIfAbsent",
    "fetchOrStore",
];

/// Reports such memos.
pub(super) fn part_of_key(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.language == Language::JavaScript) {
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            if let Some(key) = key_of(project, unit, at, call) {
                memoised(project, &lives, unit, at, call, &key, report);
            } else if let Some(key) = key_of_wrapped(project, unit, at, call)
                && lives.is_per_request(project.function_of(at))
                && is_of_nobody(project, key)
            {
                report
                    .reached(at, "what this keeps is made for the caller, and its key does not say for whom")
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// The numbers of the arguments that are the key of a memo; nothing where all are, or it is not seen.
fn key_of(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<Vec<usize>> {
    let callee = project.callee(at)?;
    let package = callee.package.as_deref()?;
    let name = callee.name();
    if matches!(name, "once" | "default" | "onetime")
        && ONCE.contains(&package)
        && (name != "default" || package.contains("once") || package == "onetime")
    {
        return Some(Vec::new());
    }
    let given = call.positional(1);
    if WITH_RESOLVER.contains(&package) && matches!(name, "memoize" | "default") {
        return match given.map(|given| unit.ir.expr(given)) {
            None => Some(vec![0]),
            Some(ExprKind::Function(id)) => used(unit, *id),
            Some(_) => None,
        };
    }
    let option = |name: &str| match unit.ir.expr(given?) {
        ExprKind::Object(properties) => properties.iter().find_map(|own| match own.key {
            PropertyKey::Name(key) if unit.ir.text(key) == name => Some(unit.ir.expr(own.value)),
            _ => None,
        }),
        _ => None,
    };
    let of_list = |kind: &ExprKind| match kind {
        ExprKind::Function(id) => used_of_list(unit, *id),
        _ => None,
    };
    if BY_FIRST.contains(&package) && matches!(name, "default" | "memoize" | "pMemoize") {
        return option("cacheKey").map_or_else(
            || given.is_none_or(|given| matches!(unit.ir.expr(given), ExprKind::Object(_))).then(|| vec![0]),
            of_list,
        );
    }
    if package == "memoizee" {
        let length = match option("length") {
            Some(ExprKind::Number(number)) => unit.ir.text(*number).parse::<usize>().ok(),
            _ => None,
        };
        return option("normalizer")
            .map_or_else(|| length.map(|length| (0..length.min(16)).collect()), of_list);
    }
    None
}

/// The parameters of a function that makes a key which it uses.
fn used(unit: &Unit, id: FunctionId) -> Option<Vec<usize>> {
    let function = unit.ir.function(id)?;
    let mut all = Vec::new();
    for (number, parameter) in function.params.iter().enumerate() {
        if parameter.kind == ParameterKind::Rest {
            return None;
        }
        let mut uses = false;
        parameter.pattern.for_each_binding(&mut |own| uses |= !unit.index.uses(own).is_empty());
        if uses {
            all.push(number);
        }
    }
    Some(all)
}

/// The same of a function that is given the list of the arguments: `([id]) => id`, `(args) => args[0]`.
fn used_of_list(unit: &Unit, id: FunctionId) -> Option<Vec<usize>> {
    let function = unit.ir.function(id)?;
    match &function.params.first()?.pattern {
        Pattern::Array { items, rest: None } => {
            let mut all = Vec::new();
            for (number, item) in items.iter().enumerate() {
                let mut uses = false;
                item.iter().for_each(|own| {
                    own.for_each_binding(&mut |own| uses |= !unit.index.uses(own).is_empty())
                });
                if uses {
                    all.push(number);
                }
            }
            Some(all)
        }
        Pattern::Binding(own) => unit.index.uses(*own).iter().map(|used| part(unit, *used)).collect(),
        _ => None,
    }
}

/// The number of the part that is taken out of a list.
fn part(unit: &Unit, used: ExprId) -> Option<usize> {
    let Parent::Expr(up) = unit.index.parent(used) else { return None };
    let ExprKind::Index { object, index, .. } = unit.ir.expr(up) else { return None };
    match unit.ir.expr(*index) {
        ExprKind::Number(number) if *object == used => unit.ir.text(*number).parse().ok(),
        _ => None,
    }
}

/// Reports a memo of a function that is told whose result it is in an argument which is no part of the key.
fn memoised(
    project: &Project,
    lives: &Lifetimes<'_>,
    unit: &Unit,
    at: At,
    call: &Call,
    key: &[usize],
    report: &mut Report<'_>,
) {
    if lives.is_per_request(project.function_of(at)) {
        return;
    }
    let Some(first) = call.positional(0) else { return };
    let fun = match unit.ir.expr(first) {
        ExprKind::Function(id) => Fun { module: at.module, id: *id },
        _ => match project.symbol(at.to(first)) {
            Symbol::Function(fun) => fun,
            _ => return,
        },
    };
    let Some(own) = project.unit(fun.module) else { return };
    let Some(function) = own.ir.function(fun.id) else { return };
    let calls = calls_of(project, unit, at);
    let says = |number: usize| tells_whose(project, own, function, number, &calls);
    let count = function.params.len();
    if key.iter().any(|number| says(*number)) {
        return;
    }
    let Some(left) = (0..count).find(|number| !key.contains(number) && says(*number)) else { return };
    let name =
        function.params.get(left).and_then(|own| own.name).map_or("the caller", |name| own.ir.text(name));
    let found = report.at(
        at,
        format!("`{name}` says whose result this is, and is no part of the key that it is remembered by"),
    );
    found.confidence(Confidence::Medium);
    // What is not seen to be used for requests may be a page's.
    if !calls.iter().any(|call| lives.is_per_request(project.function_of(*call))) {
        found.severity(Severity::Medium);
    }
}

/// Whether a parameter of a memoised function says whose result it is, by its name or by what calls put there.
fn tells_whose(project: &Project, own: &Unit, function: &Function, number: usize, calls: &[At]) -> bool {
    let Some(parameter) = function.params.get(number) else { return false };
    let named = parameter.name.is_some_and(|name| is_party(own.ir.text(name)));
    named
        || calls.iter().any(|call| {
            let given = project.unit(call.module).and_then(|unit| match unit.ir.expr(call.expr) {
                ExprKind::Call(made) => made.positional(number),
                _ => None,
            });
            given.is_some_and(|given| {
                let origins = project.origins(call.to(given));
                origins.has(Origins::PRINCIPAL | Origins::SECRET) && !origins.has(Origins::INPUT)
            })
        })
}

/// The calls of the variable that a memo is put into.
fn calls_of(project: &Project, unit: &Unit, at: At) -> Vec<At> {
    let Parent::Stmt(stmt) = unit.index.parent(at.expr) else { return Vec::new() };
    let crate::ir::StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return Vec::new() };
    let Some(id) = target.as_binding() else { return Vec::new() };
    let cell = crate::flow::Cell::Binding(at.module, id);
    let uses = Lifetimes::new(project).reads(project, &cell);
    uses.into_iter()
        .take(24)
        .filter_map(|(used, ..)| {
            let unit = project.unit(used.module)?;
            let Parent::Expr(up) = unit.index.parent(used.expr) else { return None };
            matches!(unit.ir.expr(up), ExprKind::Call(call) if call.callee == used.expr).then(|| used.to(up))
        })
        .collect()
}

/// The key of a cache that is given what makes the value, when that is made for the caller.
fn key_of_wrapped(project: &Project, unit: &Unit, at: At, call: &Call) -> Option<At> {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
    let method = unit.ir.text(*property);
    let key = at.to(call.positional(0)?);
    let made = call.positional(1)?;
    // `cache.fetch(id, { context: { user } })` of a cache that has been told how to fetch.
    if method == "fetch" {
        let ExprKind::Object(properties) = unit.ir.expr(made) else { return None };
        let context = properties
            .iter()
            .find(|own| matches!(own.key, PropertyKey::Name(name) if unit.ir.text(name) == "context"))?;
        let cache = project.callee(at)?.package.as_deref() == Some("lru-cache");
        return (cache && project.origins(at.to(context.value)).has_owner()).then_some(key);
    }
    let cache = || {
        let name = project.last_written(at.to(*object)).unwrap_or_default();
        crate::vocabulary::is_cache(name) || project.callee(at).is_some_and(|callee| callee.package.is_some())
    };
    let function = matches!(unit.ir.expr(made), ExprKind::Function(_));
    let of_caller =
        || captured(project, at.to(made)).has(Origins::PRINCIPAL | Origins::SECRET | Origins::OWNER);
    (WRAPS.contains(&method) && function && cache() && of_caller() && !is_of_request(project, at.to(*object)))
        .then_some(key)
}

/// Whether a cache is one of the request.
fn is_of_request(project: &Project, at: At) -> bool {
    let origins = project.origins(at);
    origins.has_owner() || origins.has(Origins::REQUEST)
}

/// Whether a key has nothing in it of the caller, of a session or of the request as a whole.
fn is_of_nobody(project: &Project, key: At) -> bool {
    let origins = project.origins(key);
    let whose = origins.has_owner() || origins.has(Origins::SESSION | Origins::REQUEST | Origins::UNVERIFIED);
    let told = project.unit(key.module).is_some_and(|unit| {
        let mut told = false;
        crate::ir::walk::exprs_below(&unit.ir, key.expr, &mut |expr| match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => told |= is_party(unit.ir.binding_name(*id)),
            ExprKind::Member { property, .. } => told |= is_party(unit.ir.text(*property)),
            _ => {}
        });
        told
    });
    !whose && !told
}
