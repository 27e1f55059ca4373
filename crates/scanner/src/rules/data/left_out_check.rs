//! A function without the check that the functions beside it make of the same thing for the same caller: `assertMember(user.id, spaceId)`
//! stands in each method of a service that takes `spaceId` and `user`, and not in this one. The check is one that throws, so that nothing
//! of the function says that it is missing.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::Confidence;

use super::{
    callers::{asks_caller, own_code},
    left_out_look::Look,
};
use crate::{
    flow::{Admits, Origins},
    ir::{BindingKind, ExprKind, FunctionId, NameRef, walk},
    project::{At, Cls, Fun, ModuleId, Project, Unit},
    rules::{
        Report,
        refusing::{is_about_reach, refuses_by_name, throws},
    },
    vocabulary,
};

/// How many functions have to check before one that does not is told, if it does not do what one of them does.
const CHECKED: usize = 2;

/// First words of functions that give something and change nothing.
const READS: &[&str] = &[
    "get", "list", "read", "fetch", "find", "search", "show", "view", "count", "export", "download", "load",
    "query", "retrieve", "lookup", "browse", "all",
];

/// What a value comes from, as far as two functions can be the same in that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// What the function is given, or the request says.
    Given,
    /// What a function of that name gives.
    Called(String),
    /// Anything else.
    Else,
}

/// What is asked of a thing for a caller: the check, the names of who calls and those of the things.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    pub(super) check: Fun,
    pub(super) class: Option<Cls>,
    pub(super) callers: BTreeSet<String>,
    pub(super) things: BTreeMap<String, Source>,
}

/// What a function has under which names.
#[derive(Default)]
pub(super) struct Has {
    pub(super) named: BTreeMap<String, Source>,
    /// Those of them that are used, not only taken.
    pub(super) used: BTreeSet<String>,
    pub(super) calls: Vec<At>,
}

/// Reports such functions.
pub(super) fn left_out_check(project: &Project, report: &mut Report<'_>) {
    let checks = project.calls_named(refuses_by_name);
    for (module, unit) in project.units().filter(|(module, _)| project.has_owners(*module)) {
        let mut asked: BTreeMap<Asked, BTreeMap<Fun, Vec<At>>> = BTreeMap::new();
        let mut refused: BTreeMap<Fun, bool> = BTreeMap::new();
        for expr in checks.among(module) {
            let at = At { module, expr: *expr };
            let Some(check) = check_of(project, at, &mut refused) else { continue };
            let fun = handler_of(project, at);
            if fun.id != FunctionId::MODULE
                && let Some(one) = asked_by(project, unit, fun, at, check)
            {
                asked.entry(one).or_default().entry(fun).or_default().push(at);
            }
        }
        if asked.is_empty() {
            continue;
        }
        let all: Vec<(Fun, Has)> =
            functions(project, unit, module).into_iter().map(|fun| (fun, has(project, unit, fun))).collect();
        for (asked, told) in asked {
            judge(project, report, unit, &asked, &told, &all);
        }
    }
}

/// The function of the project that a call asks, when it throws.
pub(super) fn check_of(project: &Project, at: At, refused: &mut BTreeMap<Fun, bool>) -> Option<Fun> {
    let callee = project.callee(at).filter(|callee| callee.certain)?;
    let target = callee.targets.first().copied()?;
    let refuses = *refused.entry(target).or_insert_with(|| throws(project, target, 3));
    refuses.then_some(target)
}

/// The function that callers come to in which a place stands: the nearest entry point around it, or its own.
fn handler_of(project: &Project, at: At) -> Fun {
    let own = project.function_of(at);
    project.around(own).into_iter().find(|fun| project.entry(*fun).is_some()).unwrap_or(own)
}

/// What a call asks: for whom, of what.
pub(super) fn asked_by(project: &Project, unit: &Unit, fun: Fun, at: At, check: Fun) -> Option<Asked> {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let mut asked =
        Asked { check, class: project.this_of(fun), callers: BTreeSet::new(), things: BTreeMap::new() };
    let mut either = BTreeMap::new();
    for arg in &call.args {
        match argument(project, unit, at.to(arg.value)) {
            Some(Argument::Either(name, source)) => {
                either.insert(name, source);
            }
            Some(Argument::Caller(name)) => {
                asked.callers.insert(name);
            }
            Some(Argument::Thing(name, source)) => {
                asked.things.insert(name, source);
            }
            None => {}
        }
    }
    match asked.things.is_empty() {
        true => asked.things = either,
        false => asked.callers.extend(either.into_keys()),
    }
    let named = is_about_reach(project.function_name(check));
    (named && !asked.callers.is_empty() && !asked.things.is_empty()).then_some(asked)
}

enum Argument {
    Caller(String),
    /// A tenant that was looked up: who calls, or what they want to reach.
    Either(String, Source),
    Thing(String, Source),
}

/// What an argument of a check is.
fn argument(project: &Project, unit: &Unit, at: At) -> Option<Argument> {
    let at = bare(project, unit, at);
    let origins = project.origins(at);
    let chosen = origins.has(Origins::INPUT);
    let party = |name: &str| {
        vocabulary::is_principal(name)
            || vocabulary::is_owner(name)
            || matches!(name, "user" | "actor" | "apiKey" | "api_key")
            || vocabulary::words(name).iter().any(|word| vocabulary::is_tenant(word))
    };
    match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let name = unit.ir.binding_name(*id).to_owned();
            let local = !unit.ir.is_module_level(*id);
            let source = source(project, unit, at);
            let tenant = matches!(source, Source::Called(_)) && vocabulary::is_tenant(&name);
            // A row that was looked up for the caller is no caller.
            let row = matches!(&source, Source::Called(called) if !asks_caller(called));
            match !chosen && (party(&name) || (origins.has(Origins::PRINCIPAL) && !row)) {
                true if tenant => Some(Argument::Either(name, source)),
                true => Some(Argument::Caller(name)),
                false => (local && !is_bag(&name)).then_some(Argument::Thing(name, source)),
            }
        }
        ExprKind::Member { property, .. } => {
            let path = project.written(at);
            let [first, second, ..] = path.as_slice() else { return None };
            let request = is_request(first);
            if !chosen && (path.iter().any(|name| party(name)) || origins.has(Origins::PRINCIPAL)) {
                return Some(Argument::Caller(if request { second } else { first }.as_str().to_owned()));
            }
            let root = root(unit, at)?;
            if is_given(project, unit, root) {
                return Some(Argument::Thing(unit.ir.text(*property).to_owned(), Source::Given));
            }
            let local = !request
                && !is_bag(first)
                && matches!(unit.ir.expr(root.expr), ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id));
            local.then(|| Argument::Thing(first.as_str().to_owned(), source(project, unit, root)))
        }
        _ => None,
    }
}

/// Whether a name is that of all that a function is told.
fn is_bag(name: &str) -> bool {
    matches!(
        name,
        "input"
            | "data"
            | "payload"
            | "body"
            | "params"
            | "args"
            | "arguments"
            | "options"
            | "opts"
            | "dto"
            | "props"
    )
}

/// Whether a name is that of what a framework gives a handler, or of the object that a method is of.
fn is_request(name: &str) -> bool {
    matches!(name, "req" | "request" | "ctx" | "context" | "c" | "self" | "this")
}

/// The variable that a path of names begins with.
fn root(unit: &Unit, at: At) -> Option<At> {
    let mut here = at.expr;
    for _ in 0..8 {
        match unit.ir.expr(here) {
            ExprKind::Member { object, .. } => here = *object,
            ExprKind::Name(_) => return Some(at.to(here)),
            _ => return None,
        }
    }
    None
}

/// A value without what changes its form only: `str(id)`, `UUID(id)`, `await row`.
fn bare(project: &Project, unit: &Unit, at: At) -> At {
    let mut here = at;
    for _ in 0..3 {
        here = match unit.ir.expr(here.expr) {
            ExprKind::Await(value) => here.to(*value),
            ExprKind::Call(call) => {
                let forms = project.last_written(here).is_some_and(|name| {
                    matches!(name, "str" | "String" | "UUID" | "int" | "Number" | "parseInt")
                });
                match call.positional(0).filter(|_| forms) {
                    Some(value) => here.to(value),
                    None => return here,
                }
            }
            _ => return here,
        };
    }
    here
}

/// Whether a value is what the function is given, or what the request says. What a list's items are is not given.
fn is_given(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    match unit.ir.binding(*id).map(|own| own.kind) {
        Some(BindingKind::Parameter(own)) => {
            let named = unit.ir.function(own).is_some_and(|function| function.name.is_some());
            named || project.entry(Fun { module: at.module, id: own }).is_some()
        }
        _ => project.origins(at).has(Origins::INPUT) && called(project, unit, at).is_none(),
    }
}

fn source(project: &Project, unit: &Unit, at: At) -> Source {
    match called(project, unit, at) {
        Some(name) => Source::Called(name),
        None if is_given(project, unit, at) => Source::Given,
        None => Source::Else,
    }
}

/// The function that gives what a variable is.
fn called(project: &Project, unit: &Unit, at: At) -> Option<String> {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return None };
    let first = unit.index.sources(*id).first()?;
    let value = bare(project, unit, at.to(first.value));
    let call = matches!(unit.ir.expr(value.expr), ExprKind::Call(_));
    call.then(|| project.last_written(value).map(str::to_owned))?
}

/// The functions of a module that callers come to.
pub(super) fn functions(project: &Project, unit: &Unit, module: ModuleId) -> Vec<Fun> {
    let all = unit.ir.functions().map(|(id, _)| Fun { module, id });
    let come =
        all.filter(|fun| fun.id != FunctionId::MODULE && !refuses_by_name(project.function_name(*fun)));
    come.filter(|fun| match project.entry(*fun) {
        Some(entry) => {
            !project.is_operators(entry) && !project.is_public(entry) && !project.is_checked_before(entry)
        }
        None => project.reach(*fun).is_some(),
    })
    .filter(|fun| project.admits(*fun) != Admits::Operators)
    .collect()
}

/// What a function has, and calls.
pub(super) fn has(project: &Project, unit: &Unit, fun: Fun) -> Has {
    let mut has = Has::default();
    for own in own_code(project, fun) {
        for parameter in unit.ir.function(own.id).map_or(&[][..], |function| &function.params) {
            parameter.pattern.for_each_binding(&mut |id| {
                let source = if own == fun { Source::Given } else { Source::Else };
                has.named.entry(unit.ir.binding_name(id).to_owned()).or_insert(source);
            });
        }
        walk::function_exprs(&unit.ir, own.id, &mut |expr| {
            let at = At { module: fun.module, expr };
            match unit.ir.expr(expr) {
                ExprKind::Call(_) => has.calls.push(at),
                ExprKind::Name(NameRef::Binding(id)) if !unit.ir.is_module_level(*id) => {
                    let name = unit.ir.binding_name(*id);
                    if !has.named.contains_key(name) {
                        has.named.insert(name.to_owned(), source(project, unit, at));
                    }
                    has.used.insert(name.to_owned());
                }
                ExprKind::Member { property, .. }
                    if project.first_written(at).is_some_and(is_request)
                        || root(unit, at).is_some_and(|root| is_given(project, unit, root)) =>
                {
                    let name = unit.ir.text(*property);
                    has.named.entry(name.to_owned()).or_insert(Source::Given);
                    has.used.insert(name.to_owned());
                }
                _ => {}
            }
        });
    }
    has
}

/// Looks for the functions that have the same under the same names, and do not ask.
fn judge(
    project: &Project,
    report: &mut Report<'_>,
    unit: &Unit,
    asked: &Asked,
    told: &BTreeMap<Fun, Vec<At>>,
    all: &[(Fun, Has)],
) {
    let common = calls_of_all(project, told, all);
    let look = Look { project, unit, asked, common: &common };
    for (fun, checks) in told {
        if let Some((_, has)) = all.iter().find(|(own, _)| own == fun) {
            look.other_branches(report, has, checks);
        }
    }
    let open: Vec<(Fun, &Has, At)> = all
        .iter()
        .filter(|(fun, has)| !told.contains_key(fun) && look.is_alike(*fun, has))
        .filter_map(|(fun, has)| Some((*fun, has, look.used(has)?)))
        .filter(|(fun, has, _)| !look.is_kept(*fun, has))
        .collect();
    for (fun, has, at) in &open {
        let reads = reads(project, *fun);
        let unread = project.entry(*fun).is_none()
            && !is_for_changes(project.function_name(asked.check))
            && !asked.callers.iter().any(|name| has.used.contains(name));
        let peers: Vec<(&Fun, &Vec<At>)> =
            told.iter().filter(|(own, _)| unread || self::reads(project, **own) == reads).collect();
        let others = open.iter().filter(|(own, ..)| self::reads(project, *own) == reads).count();
        let Some((peer, Some(check))) = peers.first().map(|(peer, checks)| (**peer, checks.first())) else {
            continue;
        };
        let enough = peers.len() >= CHECKED && others * 2 <= peers.len();
        let alike = others == 1 && peers.len() == 1 && look.does_the_same(has, all, peer);
        if !enough && !alike {
            continue;
        }
        let thing = asked.things.keys().next().map_or("", String::as_str);
        let name = project.function_name(asked.check);
        report
            .reached(
                *at,
                format!("`{thing}` is used here without `{name}`, which what stands beside this calls first"),
            )
            .confidence(Confidence::Medium)
            .related(check.module, project.span(*check), "it is checked here");
    }
}

/// The names of what all of some functions call, when there are several.
pub(super) fn calls_of_all(
    project: &Project,
    told: &BTreeMap<Fun, Vec<At>>,
    all: &[(Fun, Has)],
) -> BTreeSet<String> {
    let names = |has: &Has| -> BTreeSet<String> {
        has.calls.iter().filter_map(|at| project.last_written(*at)).map(str::to_owned).collect()
    };
    let mut each = all.iter().filter(|(fun, _)| told.contains_key(fun)).map(|(_, has)| names(has));
    match (each.next(), told.len()) {
        (Some(first), 2..) => each.fold(first, |sum, next| sum.intersection(&next).cloned().collect()),
        _ => BTreeSet::new(),
    }
}

/// Whether a function only gives something, by its method or by its name.
fn reads(project: &Project, fun: Fun) -> bool {
    let method = project.entry(fun).and_then(|entry| {
        let unit = project.unit(entry.registration.module)?;
        let ExprKind::Call(call) = unit.ir.expr(entry.registration.expr) else { return None };
        project.last_written(entry.registration.to(call.callee))
    });
    let verb =
        |name: &str| vocabulary::words(name).first().is_some_and(|verb| READS.contains(&verb.as_str()));
    match method.map(str::to_lowercase).as_deref() {
        Some("get" | "head") => true,
        Some("post" | "put" | "patch" | "delete") => false,
        _ => verb(project.function_name(fun)),
    }
}

/// Whether a check is one of who may change something: who only reads may be somebody else.
fn is_for_changes(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| {
        matches!(
            word.as_str(),
            "update"
                | "write"
                | "edit"
                | "manage"
                | "management"
                | "delete"
                | "modify"
                | "mutation"
                | "create"
                | "admin"
                | "role"
                | "permission"
                | "permissions"
        )
    })
}
