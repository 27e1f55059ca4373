//! A memoising decorator or wrapper on a function that reads the caller from somewhere else than its arguments, or is asked by
//! ids that the caller chooses.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Origins, Owned},
    ir::{ArgKind, BindingKind, ExprId, ExprKind, Function, Language, NameRef, PropertyKey, walk},
    library::{CallDef, Origin, PlaceArg, PlacePath, Role},
    project::{At, CallSet, Fun, ModuleId, Parent, Project, Symbol, Unit},
    rules::{Report, Rule, data::authorship::is_only_made_by_somebody},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "memoised-result",
        layer: Layer::Cache,
        summary: "A function is memoised by its arguments, which do not name the tenant, although its result is a tenant's.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "The memo's key is the arguments alone, so that one tenant's result answers another's call.",
    fix: "Pass the verified tenant as an argument, so that it is part of the memo's key, or do not memoise.",
    cwe: &["CWE-524", "CWE-488"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("memoised_result.md"),
    run,
};

/// Decorators that memoise, whatever they are imported from.
pub(super) const MEMOISERS: &[&str] = &[
    "lru_cache", "cache", "cached", "memoize", "memoise", "alru_cache", "ttl_cache", "cachedmethod", "async_lru_cache", "cache_data",
    "cache_resource", "Memoize", "Cacheable", "UseCache",
];

fn run(project: &Project, report: &mut Report<'_>) {
    super::part_of_key::part_of_key(project, report);
    super::by_url::by_url(project, report);
    super::own_memo::own_memo(project, report);
    let wrapping = project.calls_of(|callee| callee.defs.iter().any(wraps));
    for (module, unit) in project.units() {
        wrapped(project, &wrapping, module, unit, report);
        for (id, function) in unit.ir.functions() {
            for decorator in &function.decorators {
                let at = At { module, expr: *decorator };
                let fun = Fun { module, id };
                if memoises(project, unit, at) || super::own_keys::leaves_out_caller(project, unit, at, function, fun) {
                    judge(project, module, unit, Fun { module, id }, report);
                    break;
                }
                if let Some(key) = left_out_of_key(project, unit, at, function) {
                    report
                        .at(key, "this key leaves out whose result it is, which the function is told")
                        .confidence(Confidence::Medium);
                }
            }
        }
    }
}

/// Whether what a library says of a call is that it remembers a function that it is given, and does not stand above one.
fn wraps(def: &std::sync::Arc<CallDef>) -> bool {
    let decorator = |place: &PlacePath| place.arg == PlaceArg::Decorated;
    def.role == Role::Memoize && !def.function.as_ref().is_some_and(|place| place.0.iter().any(decorator))
}

/// Functions that a call wraps and remembers, `unstable_cache(async () => …, ["invoices"])`: what they take of the caller with them is
/// no part of the key unless it is told.
fn wrapped(project: &Project, wrapping: &CallSet, module: ModuleId, unit: &Unit, report: &mut Report<'_>) {
    for expr in wrapping.among(module) {
        let at = At { module, expr: *expr };
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
        let Some(function) = call.positional(0) else { continue };
        let ExprKind::Function(id) = unit.ir.expr(function) else { continue };
        let fun = Fun { module, id: *id };
        // What is remembered by a wrapper that each request makes anew is that request's own, unless the key is everybody's.
        let named_key = call.positional(1).filter(|key| matches!(unit.ir.expr(*key), ExprKind::Array { .. }));
        let told = unit.ir.function(*id).is_some_and(|function| function.params.iter().any(|own| own.name.is_some_and(|name| is_party(unit.ir.text(name)))));
        let keyed = call.args.iter().skip(1).any(|arg| is_keyed(project, unit, at.to(arg.value)));
        let takes = named_key.is_some() && crate::flow::captured(project, at.to(function)).has_owner();
        let of_module = unit.index.function(*expr) == crate::ir::FunctionId::MODULE || named_key.is_some();
        if !told && !keyed && (takes || (of_module && reads_caller(project, module, unit, fun))) {
            report
                .at(at, "what this remembers is made for the caller, and its key does not say for whom")
                .confidence(Confidence::Medium);
        }
    }
}

/// Whether what a wrapper is told beside the function says whose the result is. By its tags, or for how long, nothing is found.
fn is_keyed(project: &Project, unit: &Unit, at: At) -> bool {
    const OTHERS: &[&str] = &["tags", "revalidate", "ttl", "max", "maxAge", "expire", "duration"];
    match unit.ir.expr(at.expr) {
        ExprKind::Object(properties) => properties.iter().any(|property| {
            !matches!(property.key, PropertyKey::Name(name) if OTHERS.contains(&unit.ir.text(name))) && is_keyed(project, unit, at.to(property.value))
        }),
        _ => project.origins(at).has_owner(),
    }
}

pub(super) fn is_party(name: &str) -> bool {
    vocabulary::says_whose(name)
}

fn memoises(project: &Project, unit: &Unit, at: At) -> bool {
    let Some(callee) = project.callee(at) else { return false };
    if callee.defs.iter().any(|def| def.role == Role::Memoize) {
        return !own_key(project, unit, at);
    }
    if super::own_memo::is_own_memo(project, at) {
        return !own_key(project, unit, at);
    }
    MEMOISERS.contains(&callee.name()) && callee.targets.is_empty() && !own_key(project, unit, at)
}

/// Whether the key is made by a function of its own, which this rule does not read.
fn own_key(project: &Project, unit: &Unit, at: At) -> bool {
    key_maker(project, unit, at).is_some()
}

/// Names of what makes the key.
const KEYS: &[&str] = &["key", "key_builder", "key_func", "make_cache_key", "key_prefix", "user"];

/// What a memoiser is told makes the key: by name, or in a record that all of them share, `cached(**ONE_MINUTE)`.
pub(super) fn key_maker(project: &Project, unit: &Unit, at: At) -> Option<At> {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    call.args.iter().find_map(|arg| match arg.kind {
        // A text that all keys begin with makes none; a function is asked for the whole key.
        ArgKind::Keyword(name) if unit.ir.text(name) == "key_prefix" => matches!(unit.ir.expr(arg.value), ExprKind::Name(_) | ExprKind::Function(_))
            .then(|| at.to(arg.value))
            .filter(|key| matches!(project.symbol(*key), Symbol::Function(_)) || matches!(unit.ir.expr(key.expr), ExprKind::Function(_))),
        ArgKind::Keyword(name) => KEYS.contains(&unit.ir.text(name)).then(|| at.to(arg.value)),
        ArgKind::KeywordSpread => KEYS.iter().find_map(|name| project.property_value(at.to(arg.value), name)),
        _ => None,
    })
}

/// The function that makes the key of a memoised one, when it is written out, takes parts of the arguments, and none of them is
/// whose result it is: `key_builder=lambda f, self, user, month: f"report-{month}"`.
fn left_out_of_key(project: &Project, unit: &Unit, at: At, function: &Function) -> Option<At> {
    let callee = project.callee(at)?;
    let known = callee.defs.iter().any(|def| def.role == Role::Memoize) || MEMOISERS.contains(&callee.name());
    let place = key_maker(project, unit, at).filter(|_| known)?;
    let maker = match (project.unit(place.module)?.ir.expr(place.expr), project.symbol(place)) {
        (ExprKind::Function(id), _) => Fun { module: place.module, id: *id },
        (ExprKind::Name(_), Symbol::Function(fun)) => fun,
        _ => return None,
    };
    let told = function.params.iter().filter_map(|own| own.name.map(|name| (own, unit.ir.text(name))));
    let told: Vec<&str> = told.filter(|(own, name)| is_party(name) || opens_with_credential(unit, own)).map(|(_, name)| name).collect();
    let taken = taken_by(project, maker, function, unit)?;
    let whole = |name: &String| {
        is_party(name) || told.contains(&name.as_str()) || matches!(name.as_str(), "args" | "kwargs" | "self" | "request" | "req" | "ctx" | "context")
    };
    let other = |name: &String| function.params.iter().filter_map(|own| own.name).any(|own| unit.ir.text(own) == name) || name == "rest";
    (!told.is_empty() && taken.iter().any(other) && !taken.iter().any(whole)).then_some(place)
}

/// The names that a maker of keys takes; `rest` for all arguments but the first, where that says whose the result is.
pub(super) fn taken_by(project: &Project, maker: Fun, function: &Function, memoised: &Unit) -> Option<Vec<String>> {
    let unit = project.unit(maker.module)?;
    let mut taken = Vec::new();
    walk::function_exprs(&unit.ir, maker.id, &mut |expr| match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let name = unit.ir.binding_name(*id);
            let behind = match unit.index.parent(expr) {
                Parent::Expr(up) => unit.ir.snippet(unit.ir.span(up)).replace(' ', "").ends_with("[1:]"),
                _ => false,
            };
            let rest = behind && function.class.is_none() && name == "args";
            let one = one_of_all(unit, expr, name).and_then(|one| match one {
                One::Named(name) => Some(name.to_owned()),
                // What stands there is told by the function that is memoised.
                One::Placed(place) => {
                    let own = function.params.get(place)?.name?;
                    (function.class.is_none()).then(|| memoised.ir.text(own).to_owned())
                }
            });
            taken.push(one.unwrap_or_else(|| if rest { "rest".to_owned() } else { name.to_owned() }));
        }
        // `kwargs.get` is how something is taken, and is not taken itself.
        ExprKind::Member { property, .. } if unit.ir.text(*property) != "get" => taken.push(unit.ir.text(*property).to_owned()),
        _ => {}
    });
    Some(taken)
}

/// One argument out of all of them.
enum One<'u> {
    Named(&'u str),
    Placed(usize),
}

/// Which one of all arguments is taken: `kwargs["month"]`, `kwargs.get("month")`, `args[1]`.
fn one_of_all<'u>(unit: &'u Unit, expr: ExprId, name: &str) -> Option<One<'u>> {
    let Parent::Expr(up) = unit.index.parent(expr) else { return None };
    match (name, unit.ir.expr(up)) {
        ("kwargs" | "kw", ExprKind::Index { object, index, .. }) if *object == expr => match unit.ir.expr(*index) {
            ExprKind::String(text) => Some(One::Named(unit.ir.text(*text))),
            _ => None,
        },
        ("kwargs" | "kw", ExprKind::Member { property, .. }) if unit.ir.text(*property) == "get" => {
            let Parent::Expr(asked) = unit.index.parent(up) else { return None };
            let ExprKind::Call(call) = unit.ir.expr(asked) else { return None };
            match unit.ir.expr(call.positional(0)?) {
                ExprKind::String(text) => Some(One::Named(unit.ir.text(*text))),
                _ => None,
            }
        }
        ("args" | "a", ExprKind::Index { object, index, .. }) if *object == expr => match unit.ir.expr(*index) {
            ExprKind::Number(text) => unit.ir.text(*text).parse().ok().map(One::Placed),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a parameter has a credential in it that its function uses: `conn["api_token"]`.
fn opens_with_credential(unit: &Unit, parameter: &crate::ir::Parameter) -> bool {
    let Some(id) = parameter.pattern.as_binding() else { return false };
    unit.index.uses(id).iter().any(|used| {
        let Parent::Expr(up) = unit.index.parent(*used) else { return false };
        match unit.ir.expr(up) {
            ExprKind::Member { object, property, .. } => *object == *used && vocabulary::is_credential(unit.ir.text(*property)),
            ExprKind::Index { object, index, .. } => {
                *object == *used && matches!(unit.ir.expr(*index), ExprKind::String(name) if vocabulary::is_credential(unit.ir.text(*name)))
            }
            _ => false,
        }
    })
}

fn judge(project: &Project, module: ModuleId, unit: &Unit, fun: Fun, report: &mut Report<'_>) {
    let Some(function) = unit.ir.function(fun.id) else { return };
    let named = function.params.iter().any(|parameter| {
        parameter.name.is_some_and(|name| {
            let name = unit.ir.text(name);
            vocabulary::says_whose(name)
        })
    });
    if named {
        return;
    }
    // Fields of `self` that name an owner make it part of the object, and the object part of the key.
    if function.class.is_some() && project.this_of(fun).is_some_and(|class| project.is_per_tenant(class)) {
        return;
    }
    let ambient = asks_for_caller(project, module, unit, fun, |at| !is_of_arguments(project, at));
    let asks = !unit.index.awaits(fun.id).is_empty() || queries(project, module, unit, fun);
    let chosen = function.params.iter().any(|parameter| {
        parameter.pattern.as_binding().and_then(|id| unit.index.uses(id).first().copied()).is_some_and(|expr| project.origins(At { module, expr }).is_chosen())
    });
    let name = project.function_name(fun).to_owned();
    if ambient {
        let found = report.add(module, function.head, format!("`{name}` is memoised by its arguments but reads the caller from elsewhere"));
        found.confidence(Confidence::High);
        // A key that a caller of ours has made may say whose it is; what nobody is seen to reach may be the operator's.
        let keyed = function.params.iter().any(|parameter| {
            parameter.name.is_some_and(|name| vocabulary::words(unit.ir.text(name)).iter().any(|word| matches!(word.as_str(), "key" | "hash" | "fingerprint")))
        });
        if keyed || project.reach(fun).is_none() {
            found.severity(Severity::Medium).confidence(Confidence::Medium);
        }
    } else if lists_for_caller(project, module, unit, fun) {
        report
            .add(module, function.head, format!("`{name}` is memoised for everybody, and gives what its first caller may see"))
            .severity(Severity::Medium)
            .confidence(Confidence::Medium);
    } else if asks && chosen && !is_everybodys(&name) && project.reach(fun).is_some() && project.has_owners(module) {
        let found = report.add(module, function.head, format!("`{name}` is memoised by ids that callers choose, without the tenant"));
        found.confidence(Confidence::Medium);
        match asks_for_owned(project, fun, STEPS) {
            Asked::Owned => {}
            // What another service or an unknown helper gives may be as much the caller's.
            Asked::Unknown => {
                found.severity(Severity::Medium);
            }
            Asked::Everybodys => {
                found.severity(Severity::Low);
            }
        }
    }
}

/// Whether a function calls one that by what is known of its library gives what the caller may see, whatever it is asked for.
fn lists_for_caller(project: &Project, module: ModuleId, unit: &Unit, fun: Fun) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module, expr };
        found |= matches!(unit.ir.expr(expr), ExprKind::Call(_))
            && project.callee(at).is_some_and(|callee| {
                callee.defs.iter().any(|def| def.role == Role::Value && def.is == Some(Origin::Principal))
            });
    });
    found
}

/// How many functions a memoised one is followed through to its queries.
const STEPS: u32 = 3;

/// Whose the rows are that a function asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    /// Nobody's: no table of them has an owner.
    Everybodys,
    /// None that are known.
    Unknown,
    /// Somebody's.
    Owned,
}

/// Whose the rows are that a function, or one that it calls, asks for: what is there for everybody is the same for whoever asks first.
fn asks_for_owned(project: &Project, fun: Fun, steps: u32) -> Asked {
    let owned = project.owned_entities();
    let mut found = None;
    for query in project.queries().iter().filter(|query| query.function == fun) {
        let is = match owned.get(&query.entity) {
            // Who made it is not whose it is: a catalogue that the staff keeps.
            Some(_) if is_only_made_by_somebody(project, query) => Asked::Everybodys,
            Some(Owned::Yes | Owned::Sibling | Owned::Listed) => Asked::Owned,
            _ => Asked::Everybodys,
        };
        found = found.max(Some(is));
    }
    let (Some(steps), Some(unit)) = (steps.checked_sub(1), project.unit(fun.module)) else { return found.unwrap_or(Asked::Unknown) };
    for call in unit.index.calls.iter().filter(|call| unit.index.function(**call) == fun.id) {
        let Some(callee) = project.callee(At { module: fun.module, expr: *call }).filter(|callee| callee.certain) else { continue };
        for target in callee.targets.iter().take(4) {
            found = found.max(Some(asks_for_owned(project, *target, steps)));
        }
    }
    found.unwrap_or(Asked::Unknown)
}

/// Whether a function gives what is there for all tenants, by its name: `platform_manifest`.
fn is_everybodys(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "platform" | "global" | "public" | "builtin" | "shared" | "system"))
}

/// Whether a function asks for the caller without being told: `current_user()`, `tenant_var.get()`.
pub(super) fn reads_caller(project: &Project, module: ModuleId, unit: &Unit, fun: Fun) -> bool {
    asks_for_caller(project, module, unit, fun, |_| true)
}

/// The same by those calls alone of which something holds.
fn asks_for_caller(project: &Project, module: ModuleId, unit: &Unit, fun: Fun, counts: impl Fn(At) -> bool) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        found |= is_of_current(project, unit, At { module, expr });
        if let ExprKind::Call(_) = unit.ir.expr(expr) {
            let at = At { module, expr };
            let decorator = unit.ir.function(fun.id).is_some_and(|function| function.decorators.contains(&expr));
            let origins = project.origins(at);
            // `settings.jwt_secret.reveal()`: a key of the server's own is nobody's.
            let caller = origins.has(Origins::PRINCIPAL | Origins::OWNER) || (origins.has(Origins::SECRET) && !is_of_settings(project, at));
            // The headers of the request, in Python where a library keeps them for whoever asks.
            let sent = unit.ir.language == Language::Python && origins.has(Origins::UNVERIFIED | Origins::REQUEST);
            found |= !decorator && (caller || sent) && ambient_call(project, at) && !is_servers_own(project, at) && counts(at);
        }
    });
    found
}

/// Whether a value is a part of the caller that a framework of Python has for whoever asks: `current_user.id`, `g.user.id`.
fn is_of_current(project: &Project, unit: &Unit, at: At) -> bool {
    if unit.ir.language != Language::Python {
        return false;
    }
    let ExprKind::Member { object, .. } = unit.ir.expr(at.expr) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return false };
    matches!(unit.ir.binding(*id).map(|binding| binding.kind), Some(BindingKind::Import(_))) && project.origins(at).has(Origins::PRINCIPAL)
}

/// Whether a call is of a part of the settings.
fn is_of_settings(project: &Project, at: At) -> bool {
    project.written(at).first().is_some_and(|first| matches!(first.as_str(), "settings" | "config" | "conf" | "env" | "cfg"))
}

/// Whether a call gives what the server itself has, by its name: its secret, its settings, its key.
fn is_servers_own(project: &Project, at: At) -> bool {
    let name = project.callee(at).map_or_else(String::new, |callee| callee.name().to_owned());
    let words = vocabulary::words(&name);
    let constructs = name.starts_with(char::is_uppercase);
    let own = words.last().is_some_and(|last| matches!(last.as_str(), "secret" | "settings" | "config" | "jwk" | "jwks" | "status" | "configuration"));
    let key = words.last().is_some_and(|last| last == "key") && words.iter().any(|word| matches!(word.as_str(), "public" | "private" | "signing"));
    // `derive(server_secret())`
    let made = project.unit(at.module).is_some_and(|unit| match unit.ir.expr(at.expr) {
        ExprKind::Call(call) => !call.args.is_empty() && call.args.iter().all(|arg| matches!(unit.ir.expr(arg.value), ExprKind::Call(_)) && is_servers_own(project, at.to(arg.value))),
        _ => false,
    });
    constructs || own || key || made || words.iter().any(|word| word == "secret") || is_of_settings(project, at)
}

/// Whether a value is made of what a function is told, which is a part of the key: `name.lower()`, `isinstance(kind, str)`.
fn is_of_arguments(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let mut found = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) else { return };
        // `self` is told nothing of who asks.
        let own = |id: crate::ir::BindingId| project.parameter_of(at.module, id).is_some() && !matches!(unit.ir.binding_name(id), "self" | "cls");
        found |= own(*id) || project.roots(at.to(expr)).into_iter().any(own);
    });
    found
}

/// A call without arguments that gives the caller: `current_user()`, `tenant_var.get()`.
fn ambient_call(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    match unit.ir.expr(at.expr) {
        ExprKind::Call(call) => {
            let told = call.args.iter().any(|arg| project.origins(at.to(arg.value)).has_owner());
            call.args.is_empty() || (matches!(unit.ir.expr(call.callee), ExprKind::Name(NameRef::Global(_))) && !told)
        }
        _ => false,
    }
}

fn queries(project: &Project, module: ModuleId, unit: &Unit, fun: Fun) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if let Some(callee) = project.callee(At { module, expr }) {
            found |= callee.defs.iter().any(|def| matches!(def.role, Role::Query | Role::Fetch))
                || matches!(callee.name(), "execute" | "query" | "fetchone" | "fetchall" | "find_one" | "findOne");
        }
    });
    found
}
