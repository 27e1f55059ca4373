//! A memoising decorator or wrapper on a function that reads the caller from somewhere else than its arguments, or is asked by
//! ids that the caller chooses.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::Origins,
    ir::{ExprKind, NameRef, walk},
    library::Role,
    project::{At, Fun, ModuleId, Project, Unit},
    rules::{Report, Rule},
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
const MEMOISERS: &[&str] = &[
    "lru_cache", "cache", "cached", "memoize", "memoise", "alru_cache", "ttl_cache", "cachedmethod", "async_lru_cache", "cache_data",
    "cache_resource", "Memoize", "Cacheable", "UseCache",
];

fn run(project: &Project, report: &mut Report<'_>) {
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            for decorator in &function.decorators {
                let at = At { module, expr: *decorator };
                if memoises(project, unit, at) {
                    judge(project, module, unit, Fun { module, id }, report);
                    break;
                }
            }
        }
    }
}

fn memoises(project: &Project, unit: &Unit, at: At) -> bool {
    let Some(callee) = project.callee(at) else { return false };
    if callee.defs.iter().any(|def| def.role == Role::Memoize) {
        return !own_key(unit, at);
    }
    MEMOISERS.contains(&callee.name()) && callee.targets.is_empty() && !own_key(unit, at)
}

/// Whether the key is made by a function of its own, which this rule does not read.
fn own_key(unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    call.args.iter().any(|arg| match arg.kind {
        crate::ir::ArgKind::Keyword(name) => matches!(unit.ir.text(name), "key" | "key_builder" | "key_func"),
        _ => false,
    })
}

fn judge(project: &Project, module: ModuleId, unit: &Unit, fun: Fun, report: &mut Report<'_>) {
    let Some(function) = unit.ir.function(fun.id) else { return };
    let named = function.params.iter().any(|parameter| {
        parameter.name.is_some_and(|name| {
            let name = unit.ir.text(name);
            vocabulary::is_owner(name) || vocabulary::is_principal(name) || vocabulary::is_credential(name) || vocabulary::is_session_id(name)
        })
    });
    if named {
        return;
    }
    // Fields of `self` that name an owner make it part of the object, and the object part of the key.
    if function.class.is_some() && project.this_of(fun).is_some_and(|class| project.is_per_tenant(class)) {
        return;
    }
    let ambient = reads_caller(project, module, unit, fun);
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
    } else if asks && chosen && !is_everybodys(&name) && project.reach(fun).is_some() && project.has_owners(module) {
        let found = report.add(module, function.head, format!("`{name}` is memoised by ids that callers choose, without the tenant"));
        found.confidence(Confidence::Medium);
    }
}

/// Whether a function gives what is there for all tenants, by its name: `platform_manifest`.
fn is_everybodys(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "platform" | "global" | "public" | "builtin" | "shared" | "system"))
}

fn reads_caller(project: &Project, module: ModuleId, unit: &Unit, fun: Fun) -> bool {
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        if let ExprKind::Call(_) = unit.ir.expr(expr) {
            let at = At { module, expr };
            let decorator = unit.ir.function(fun.id).is_some_and(|function| function.decorators.contains(&expr));
            let origins = project.origins(at);
            // `settings.jwt_secret.reveal()`: a key of the server's own is nobody's.
            let caller = origins.has(Origins::PRINCIPAL | Origins::OWNER) || (origins.has(Origins::SECRET) && !is_of_settings(project, at));
            found |= !decorator && caller && ambient_call(project, at) && !is_servers_own(project, at);
        }
    });
    found
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
