//! A tenant out of thin air when the request has none.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::{of_all::is_place_of_all, unused_default};
use crate::{
    flow::{Lifetimes, Origins},
    ir::{ExprId, ExprKind, FunctionId, Kinds, LogicalOp, StmtKind, UnaryOp, walk},
    library::Role,
    project::{At, CallSet, Fun, ModuleId, Parent, Project, Unit},
    rules::{Found, Report, Rule, branches::absent_variable},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "default-tenant",
        layer: Layer::Context,
        summary: "A request without a tenant goes on with a default one.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "Whoever comes without a tenant, by mistake or on purpose, reads and writes the default tenant's data; and a lost \
          context shows itself as wrong data instead of an error.",
    fix: "Throw, or answer 401, when there is no tenant.",
    cwe: &["CWE-1188", "CWE-636"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021", "A07:2021"],
    markdown: include_str!("default_tenant.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    super::one_bucket::one_bucket(project, report);
    let lives = Lifetimes::new(project);
    let stores = project.calls_with(Role::ContextNew);
    let lookups = project.calls_named(|name| matches!(name, "get" | "pop" | "getattr"));
    for (module, unit) in project.units() {
        for (id, expr) in unit.ir.exprs_of(Kinds::CHOICE | Kinds::CALL) {
            let at = At { module, expr: id };
            let (value, fallback) = match expr {
                ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, right } => (*left, *right),
                ExprKind::Conditional { then, otherwise, test } => {
                    let when = if is_fallback(project, unit, at.to(*otherwise)) { (*then, *otherwise) } else { (*otherwise, *then) };
                    if !is_presence(unit, *test) {
                        continue;
                    }
                    when
                }
                // `headers.get("x-tenant-id", "public")`, `getattr(request.state, "tenant_id", "public")`
                ExprKind::Call(_) if !lookups.has(at) => continue,
                ExprKind::Call(call) => {
                    let Some((name, default)) = lookup(project, unit, at, call) else { continue };
                    if is_fallback(project, unit, at.to(default)) && !unused_default::is_said(project, unit, at) && !is_fixed_lookup(project, unit, at, call) {
                        let stated = is_ambient(project, unit, at) || project.origins(at).has(Origins::UNVERIFIED | Origins::PRINCIPAL);
                        let severity = if vocabulary::is_tenant(&name) && stated { Severity::High } else { Severity::Medium };
                        tell(project, report, &lives, at, severity);
                    }
                    continue;
                }
                _ => continue,
            };
            if !is_fallback(project, unit, at.to(fallback)) || unused_default::is_said(project, unit, at) || unused_default::is_written_down(project, unit, at) {
                continue;
            }
            let fun = project.function_of(at);
            if fun.id == FunctionId::MODULE || setting(project, at.to(value)) || unused_default::is_never_reached(project, at, value) {
                continue;
            }
            let Some(severity) = party(project, unit, at, value) else { continue };
            let ambient = super::left_to_default::asks_context(project, unit, at.to(value));
            let found = tell(project, report, &lives, at, severity);
            if ambient {
                found.whatever_the_way();
            }
        }
        parameters(project, report, &lives, module, unit);
        super::left_to_default::left_to_default(project, &lives, report, module, unit);
        stores_with_default(project, report, &stores, module, unit);
        contexts(project, report, module, unit);
        branches(project, report, &lives, module, unit);
        beginnings(project, report, &lives, module, unit);
        super::first_administrator::first_administrator(project, &lives, report, module, unit);
        super::get_default::get_default(project, &lives, report, module, unit);
        super::only_one::only_one(project, report, module, unit);
        super::first_party::first_party(project, report, module, unit);
        super::last_one::last_one(project, report, module, unit);
        super::one_session::one_session(project, &lives, report, module, unit);
        super::constant_party::constant_party(project, &lives, report, module, unit);
        super::constant_party::paid_for_one(project, &lives, report, module, unit);
        super::constant_party::nobody(project, report, module, unit);
        super::one_bucket::falls_off(project, report, module, unit, &|at| is_fallback(project, unit, at));
    }
}

/// Variables for a tenant or user that begin as the default one, and are set to the caller's only where something holds:
/// `let userId = serverUser; if (claims && directory) userId = await directory.find(claims.sub)`.
fn beginnings(project: &Project, report: &mut Report<'_>, lives: &Lifetimes<'_>, module: ModuleId, unit: &Unit) {
    for (id, binding) in unit.ir.bindings() {
        let name = unit.ir.text(binding.name);
        let sources = unit.index.sources(id);
        let [first, rest @ ..] = sources else { continue };
        if !unit.meaning(binding.name).is_owner() || is_word_of_display(name) || rest.is_empty() || rest.len() > 4 || !first.declares || !first.path.is_empty() {
            continue;
        }
        let at = At { module, expr: first.value };
        let fun = project.function_of(at);
        if !(lives.is_per_request(fun) || is_given_caller(unit, fun)) || !is_fallback(project, unit, at) {
            continue;
        }
        // Set in a branch, in the same function, to what the request says.
        let branched = rest.iter().all(|source| {
            source.function == first.function
                && source.stmt.and_then(|stmt| unit.index.stmt_parent(stmt)).is_some_and(|up| match unit.ir.stmt(up) {
                    // Where it hangs on more than the caller: a directory that may be absent, a mode.
                    StmtKind::If { test, .. } => {
                        matches!(unit.ir.expr(*test), ExprKind::Logical { op: LogicalOp::And, .. })
                    }
                    StmtKind::Try { .. } => true,
                    _ => false,
                })
        });
        let of_request = rest.iter().any(|source| {
            let origins = project.origins(At { module, expr: source.value });
            origins.is_of_request() || origins.has_owner()
        });
        // Whoever has no identity at all is turned away, or where every branch sets it: nothing is left to the default.
        let refused = unit.ir.function(fun.id).is_some_and(|function| throws_without(unit, &function.body));
        if branched && of_request && !refused && !sets_always(unit, rest) {
            tell(project, report, lives, at, Severity::Medium);
        }
    }
}

/// Whether a function is called with the caller: `async (transport, authClaims) => …`.
fn is_given_caller(unit: &Unit, fun: Fun) -> bool {
    unit.ir.function(fun.id).is_some_and(|function| {
        function.params.iter().filter_map(|own| own.name).any(|own| vocabulary::is_principal(unit.ir.text(own)))
    })
}

/// Whether an `if` sets a variable in both of its branches.
fn sets_always(unit: &Unit, sources: &[crate::project::Source]) -> bool {
    let mut ups = sources.iter().filter_map(|source| source.stmt.and_then(|stmt| unit.index.stmt_parent(stmt)));
    let Some(first) = ups.next() else { return false };
    ups.any(|up| up == first)
}

/// Whether a branch of a function's own that asks for something missing throws.
fn throws_without(unit: &Unit, body: &[crate::ir::StmtId]) -> bool {
    let mut found = false;
    walk::stmts_below(&unit.ir, body, &mut |stmt| {
        if let StmtKind::If { test, otherwise, then, .. } = unit.ir.stmt(stmt) {
            let throws = |block: &[crate::ir::StmtId]| {
                block.iter().any(|own| matches!(unit.ir.stmt(*own), StmtKind::Throw(_)))
            };
            let missing = matches!(unit.ir.expr(*test), ExprKind::Unary { op: UnaryOp::Not, .. });
            found |= throws(otherwise) || (missing && throws(then));
        }
    });
    found
}

/// Branches for when there is no tenant, which take another one: `if not tenant: tenant = get_default_tenant()`.
fn branches(project: &Project, report: &mut Report<'_>, lives: &Lifetimes<'_>, module: ModuleId, unit: &Unit) {
    for (_, stmt) in unit.ir.stmts() {
        let StmtKind::If { test, then, .. } = stmt else { continue };
        let Some(id) = absent_variable(unit, *test) else { continue };
        let name = unit.ir.binding_name(id);
        if (vocabulary::is_credential(name) || vocabulary::is_principal(name)) && !vocabulary::is_owner(name) {
            nobody(project, report, module, unit, then);
            continue;
        }
        if !(vocabulary::is_tenant(name) || vocabulary::is_user(name)) || is_word_of_display(name) {
            continue;
        }
        for own in then {
            let value = match unit.ir.stmt(*own) {
                StmtKind::Assign { target, value, .. } if target.as_binding() == Some(id) => *value,
                StmtKind::Return(Some(value)) => *value,
                _ => continue,
            };
            let at = At { module, expr: value };
            let fun = project.function_of(at);
            let returned = matches!(unit.ir.stmt(*own), StmtKind::Return(_));
            let fits = !returned || target_name(unit, value).is_some_and(|name| vocabulary::is_owner(&name));
            if fun.id == FunctionId::MODULE || !fits || !is_fallback(project, unit, at) {
                continue;
            }
            tell(project, report, lives, at, if vocabulary::is_tenant(name) { Severity::High } else { Severity::Medium });
        }
    }
}

/// Functions that say who calls, and name one and the same user for all who come without a token: `if token is None: return "anonymous"`.
fn nobody(project: &Project, report: &mut Report<'_>, module: ModuleId, unit: &Unit, then: &[crate::ir::StmtId]) {
    for own in then {
        let StmtKind::Return(Some(value)) = unit.ir.stmt(*own) else { continue };
        let at = At { module, expr: *value };
        let one = match unit.ir.expr(*value) {
            ExprKind::String(text) => {
                is_id(unit.ir.text(*text)) || matches!(unit.ir.text(*text), "anonymous" | "anon" | "unknown")
            }
            _ => is_fallback(project, unit, at),
        };
        let fun = project.function_of(at);
        let names_one = unit.ir.function(fun.id).and_then(|function| function.name).is_some_and(|name| {
            let name = unit.ir.text(name);
            vocabulary::words(name).iter().any(|word| vocabulary::is_owner(word) || matches!(word.as_str(), "principal" | "caller" | "identity"))
                && !is_word_of_display(name)
        });
        if one && names_one {
            report
                .reached(at, "all who come without a token are one and the same user")
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// The name of the tenant or user that a call looks up, and what it gives when there is none.
fn lookup(project: &Project, unit: &Unit, at: At, call: &crate::ir::Call) -> Option<(String, ExprId)> {
    let name = project.last_written(at.to(call.callee))?;
    let (key, default) = match name {
        "get" | "pop" => (call.positional(0)?, call.positional(1)?),
        "getattr" => (call.positional(1)?, call.positional(2)?),
        _ => return None,
    };
    let ExprKind::String(key) = unit.ir.expr(key) else { return None };
    let key = unit.ir.text(*key);
    let party = vocabulary::is_tenant(key) || vocabulary::is_user(key);
    (party && !is_word_of_display(key)).then(|| (key.to_owned(), default))
}

/// The name of the tenant or user that a call looks up, whatever it gives when there is none: `getattr(meta, "user_id", None)`,
/// `headers.get("x-tenant-id")`.
fn looked_up<'u>(project: &Project, unit: &'u Unit, at: At) -> Option<&'u str> {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let key = match project.last_written(at.to(call.callee))? {
        "get" | "pop" => call.positional(0)?,
        "getattr" => call.positional(1)?,
        _ => return None,
    };
    let ExprKind::String(key) = unit.ir.expr(key) else { return None };
    Some(unit.ir.text(*key)).filter(|key| vocabulary::is_tenant(key) || vocabulary::is_user(key))
}

/// Whether a lookup is one of settings: of the environment or of a configuration.
fn is_fixed_lookup(project: &Project, unit: &Unit, at: At, call: &crate::ir::Call) -> bool {
    let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return false };
    let path = project.written(at.to(*object));
    path.last().is_some_and(|name| matches!(name.as_str(), "environ" | "env" | "config" | "settings" | "cfg" | "os")) || setting(project, at.to(*object))
}

/// Whether a default is a name that people read: `const orgName = personal ? "Personal" : …`.
fn is_for_show(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let Some(StmtKind::Assign { target, .. }) = unit.index.stmt_of(at.expr).map(|stmt| unit.ir.stmt(stmt)) else { return false };
    target.as_binding().is_some_and(|id| vocabulary::words(unit.ir.binding_name(id)).last().is_some_and(|last| last == "name" || last == "title"))
}

pub(super) fn tell<'r>(project: &Project, report: &'r mut Report<'_>, lives: &Lifetimes<'_>, at: At, severity: Severity) -> &'r mut Found {
    let fun = project.function_of(at);
    let reached = lives.is_per_request(fun);
    let found = report.reached(at, "a request without a tenant goes on with a default");
    let unsure = !reached || is_for_sign_in(project, at) || is_for_message(project, at) || is_place_of_all(project, at) || is_configured(project, at) || is_for_show(project, at);
    found.severity(if unsure { severity.min(Severity::Medium) } else { severity });
    // Who is counted together, or what a key says, is no data that is reached.
    if super::counted::is_only_counted(project, at) || super::switched::is_for_switch(project, at) {
        found.severity(Severity::Low).confidence(Confidence::Low);
    }
    found
}

/// Whether a default is the one that the operator has set for the server in its environment, and not written out.
fn is_configured(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let mut found = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Member { .. } | ExprKind::Call(_) | ExprKind::Index { .. }) && setting(project, at.to(expr));
    });
    found
}

/// Whether a function makes what somebody reads of an error or an event.
fn is_for_message(project: &Project, at: At) -> bool {
    let name = project.function_name(project.function_of(at)).to_owned();
    vocabulary::words(&name).iter().any(|word| {
        matches!(word.as_str(), "error" | "errors" | "message" | "describe" | "format" | "log" | "title" | "label")
    })
}

/// Whether a file is about signing in, where nobody has a tenant yet.
fn is_for_sign_in(project: &Project, at: At) -> bool {
    project.unit(at.module).is_some_and(|unit| {
        unit.ir.path.to_lowercase().split(['/', '.', '_', '-']).any(|part| matches!(part, "saml" | "sso" | "login" | "signin" | "signup"))
    })
}

/// Whether a value is written out: a text that could be an id, or the environment.
pub(super) fn is_fallback(project: &Project, unit: &Unit, at: At) -> bool {
    match unit.ir.expr(at.expr) {
        ExprKind::String(text) => is_id(unit.ir.text(*text)),
        ExprKind::Number(text) => unit.ir.text(*text) != "0",
        ExprKind::Name(_) | ExprKind::Member { .. } => {
            let name = project.written(at).pop().unwrap_or_default();
            let words = vocabulary::words(&name);
            let says = words.iter().any(|word| matches!(word.as_str(), "default" | "fallback" | "public" | "shared" | "global"));
            let origins = project.origins(at);
            let fixed = origins.without(Origins::CONSTANT | Origins::ENV | Origins::UNKNOWN | Origins::OWNER) == Origins::NONE;
            let null = matches!(unit.ir.expr(at.expr), ExprKind::Null);
            !null && ((says && fixed) || (project.is_fixed(at) && origins != Origins::NONE && written_text(project, at).is_none_or(|text| is_id(&text))
                && origins.has(Origins::ENV)))
                || written_text(project, at).is_some_and(|text| is_id(&text))
        }
        // `get_default_tenant()`, `firstOrganization()`
        ExprKind::Call(_) => {
            let name = project.callee(at).map_or("", |callee| callee.name()).to_owned();
            let words = vocabulary::words(&name);
            let says = words.iter().any(|word| matches!(word.as_str(), "default" | "fallback" | "first"));
            let env = matches!(name.as_str(), "getenv" | "get") && project.origins(at).has(Origins::ENV);
            (says && words.iter().any(|word| vocabulary::is_owner(word))) || (env && names_default(unit, at))
        }
        ExprKind::Await(value) => is_fallback(project, unit, at.to(*value)),
        _ => false,
    }
}

/// Whether a variable of the environment is named for a default party: `getenv("DEFAULT_USER_ID")`.
fn names_default(unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let Some(ExprKind::String(name)) = call.positional(0).map(|expr| unit.ir.expr(expr)) else { return false };
    let words = vocabulary::words(unit.ir.text(*name));
    words.iter().any(|word| matches!(word.as_str(), "default" | "fallback")) && words.iter().any(|word| vocabulary::is_owner(word))
}

/// The text that a name stands for.
fn written_text(project: &Project, at: At) -> Option<String> {
    let unit = project.unit(at.module)?;
    let ExprKind::Name(crate::ir::NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return None };
    let sources = unit.index.sources(*id);
    let [source] = sources else { return None };
    match unit.ir.expr(source.value) {
        ExprKind::String(text) => Some(unit.ir.text(*text).to_owned()),
        _ => None,
    }
}

/// Whether a text could be somebody's id, and is not a way to say that there is none.
fn is_id(text: &str) -> bool {
    let lower = text.trim().to_lowercase();
    // `orgIdentifier`, `tenant_id`: the name of a field, and nobody's id.
    let words = vocabulary::words(text);
    let field = words.len() > 1
        && words.first().is_some_and(|first| vocabulary::is_owner(first))
        && words.last().is_some_and(|last| matches!(last.as_str(), "id" | "identifier" | "key" | "name" | "slug"));
    !lower.is_empty()
        && !field
        && !matches!(
            lower.as_str(),
            "unknown" | "none" | "n/a" | "null" | "undefined" | "-" | "?" | "missing" | "unset" | "anonymous" | "anon" | "(none)" | "me" | "self" | "@me"
        )
        // Words for all directories at once in the addresses of Microsoft's identity platform.
        && !matches!(lower.as_str(), "common" | "organizations" | "consumers")
        && lower.len() < 80
        && !lower.contains(' ')
        && !lower.starts_with("http:")
        && !lower.starts_with("https:")
}

/// Whether a condition asks only whether something is there.
fn is_presence(unit: &Unit, test: ExprId) -> bool {
    match unit.ir.expr(test) {
        ExprKind::Name(_) | ExprKind::Member { .. } => true,
        ExprKind::Compare { left, right, .. } => {
            let types = |side: ExprId| matches!(unit.ir.expr(side), ExprKind::Null | ExprKind::Unary { op: UnaryOp::TypeOf, .. });
            types(*left) || types(*right)
        }
        // `Number.isInteger(tenantId) ? tenantId : 1`
        ExprKind::Call(call) => match unit.ir.expr(call.callee) {
            ExprKind::Member { property, .. } => matches!(unit.ir.text(*property), "isInteger" | "isFinite" | "isSafeInteger"),
            _ => false,
        },
        ExprKind::Unary { operand, .. } => is_presence(unit, *operand),
        _ => false,
    }
}

/// Whether a value is a setting and not of a request.
fn setting(project: &Project, value: At) -> bool {
    project.is_fixed(value) && project.origins(value).has(Origins::ENV)
}

/// How bad a default is for a value: what the value is, and what it is used as.
fn party(project: &Project, unit: &Unit, at: At, value: ExprId) -> Option<Severity> {
    let origins = project.origins(at.to(value));
    let first = first_choice(unit, value);
    let written = project.written(at.to(first)).pop().unwrap_or_default();
    let name = looked_up(project, unit, at.to(first)).unwrap_or(&written);
    let target = target_name(unit, at.expr).unwrap_or_default();
    // `question.subject ?? "unknown"` is what something is about; a token's subject is somebody.
    let topic = |name: &str| vocabulary::words(name).last().is_some_and(|word| word == "subject");
    if (topic(name) || topic(&target)) && !origins.has(Origins::PRINCIPAL | Origins::SECRET | Origins::UNVERIFIED) {
        return None;
    }
    // `account_name or settings.AZURE_ACCOUNT`: where the server itself keeps things.
    if name.replace('_', "").eq_ignore_ascii_case("accountname") {
        return None;
    }
    let tenant = vocabulary::is_tenant(name) || vocabulary::is_tenant(&target);
    let user = vocabulary::is_user(name) || vocabulary::is_user(&target);
    let of_request = origins.is_of_request() || origins.has(Origins::UNKNOWN);
    if !of_request || !(tenant || user) || is_word_of_display(name) {
        return None;
    }
    // An argument of a tool that may be left out is a convenience; a caller whose tenant is not known is a request that lost it.
    let caller = (origins.has(Origins::PRINCIPAL | Origins::SECRET | Origins::UNVERIFIED) && !is_handed_on(project, unit, at.to(value)))
        || is_ambient(project, unit, at.to(value));
    Some(match (tenant, caller) {
        (true, true) => Severity::High,
        _ => Severity::Medium,
    })
}

/// What is taken first of several values: `user_id` of `user_id or own_user or "default"`.
fn first_choice(unit: &Unit, value: ExprId) -> ExprId {
    let mut here = value;
    for _ in 0..8 {
        match unit.ir.expr(here) {
            ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, left, .. } => here = *left,
            _ => break,
        }
    }
    here
}

/// Whether a value is a parameter of a function that is no handler: whether anybody leaves it out is not seen.
fn is_handed_on(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Name(crate::ir::NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    project.parameter_of(at.module, *id).is_some_and(|(fun, ..)| project.entry(fun).is_none())
}

/// Whether a value is read from a header, the state of the request or a store of the caller's context.
fn is_ambient(project: &Project, unit: &Unit, at: At) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        let own = at.to(expr);
        found |= match unit.ir.expr(expr) {
            ExprKind::Call(_) => {
                project.callee(own).is_some_and(|callee| callee.defs.iter().any(|def| matches!(def.role, Role::ContextGet | Role::Verify)))
            }
            ExprKind::Member { property, .. } => {
                let name = unit.ir.text(*property);
                vocabulary::is_principal(name) || matches!(name, "headers" | "state" | "user" | "session" | "token" | "locals")
            }
            ExprKind::Name(crate::ir::NameRef::Binding(id)) => {
                let name = unit.ir.binding_name(*id);
                vocabulary::is_principal(name) || matches!(name, "user" | "session" | "token" | "headers")
            }
            _ => false,
        };
    });
    found
}

fn is_word_of_display(name: &str) -> bool {
    let words = vocabulary::words(name);
    words.iter().any(|word| matches!(word.as_str(), "name" | "email" | "label" | "title" | "display" | "agent" | "login" | "username"))
}

/// The name that a value gets: of the variable, the property, or the function that returns it.
fn target_name(unit: &Unit, expr: ExprId) -> Option<String> {
    match unit.index.parent(expr) {
        Parent::Stmt(stmt) => match unit.ir.stmt(stmt) {
            StmtKind::Assign { target, .. } => {
                target.as_binding().map(|id| unit.ir.binding_name(id).to_owned())
            }
            StmtKind::Return(_) => {
                let function = unit.ir.function(unit.index.stmt_function(stmt))?;
                let name = unit.ir.text(function.name?);
                let words = vocabulary::words(name);
                // `get_tenant_id` is a verb and what it gives; `tenant_of` is not.
                let verb = words.len() > 1 && !words.first().is_some_and(|first| vocabulary::is_tenant(first));
                Some(words.get(usize::from(verb)..).unwrap_or(&[]).join("_"))
            }
            _ => None,
        },
        Parent::Expr(up) => match unit.ir.expr(up) {
            ExprKind::Object(properties) => properties.iter().find_map(|property| match property.key {
                crate::ir::PropertyKey::Name(name) if property.value == expr => Some(unit.ir.text(name).to_owned()),
                _ => None,
            }),
            _ => None,
        },
        _ => None,
    }
}

/// Parameters for a tenant that have a default of their own.
fn parameters(project: &Project, report: &mut Report<'_>, lives: &Lifetimes<'_>, module: ModuleId, unit: &Unit) {
    for (id, function) in unit.ir.functions() {
        for parameter in &function.params {
            let (Some(name), Some(default)) = (parameter.name, parameter.default) else { continue };
            let at = At { module, expr: default };
            let user = unused_default::is_default_user(unit, unit.ir.text(name), default);
            if !(vocabulary::is_tenant(unit.ir.text(name)) || user) || !is_fallback(project, unit, at) {
                continue;
            }
            // The realm of a challenge, `Bearer realm="…"`, is no tenant; the one of a path is.
            if unit.ir.text(name) == "realm" && !unit.ir.snippet(function.span).contains("realms") {
                continue;
            }
            let reached = lives.is_per_request(Fun { module, id });
            // Whether anybody who has a tenant leaves it out is not seen.
            let severity = if reached { Severity::Medium } else { Severity::Low };
            report
                .reached(at, format!("a call without `{}` goes on with a default {}", unit.ir.text(name), if user { "user" } else { "tenant" }))
                .severity(severity)
                .confidence(Confidence::Medium);
        }
    }
}

/// Context stores for a tenant that have a default.
fn stores_with_default(project: &Project, report: &mut Report<'_>, stores: &CallSet, module: ModuleId, unit: &Unit) {
    for expr in stores.among(module) {
        let at = At { module, expr: *expr };
        let Some(callee) = project.callee(at) else { continue };
        let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
        for def in &callee.defs {
            let default = match def.role {
                Role::ContextNew => call.args.iter().find_map(|arg| match arg.kind {
                    crate::ir::ArgKind::Keyword(name) if unit.ir.text(name) == "default" => Some(arg.value),
                    _ => None,
                }),
                _ => None,
            };
            let Some(default) = default else { continue };
            let name = target_name(unit, *expr).unwrap_or_default();
            let said = call.positional(0).map(|first| match unit.ir.expr(first) {
                ExprKind::String(text) => unit.ir.text(*text).to_owned(),
                _ => String::new(),
            });
            let names = [name, said.unwrap_or_default()];
            if !names.iter().any(|name| tenant_like(name)) {
                continue;
            }
            if is_fallback(project, unit, at.to(default)) {
                report.at(at.to(default), "code without a tenant goes on with a default one");
            } else if setting(project, at.to(default)) {
                // `ContextVar("tenant", default=os.environ.get("HOME_TENANT", "acme"))`: the operator's own, for whoever has none.
                report
                    .at(at.to(default), "code without a tenant goes on with the one that is set for the server")
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Readers of a context that catch its being absent.
fn contexts(project: &Project, report: &mut Report<'_>, module: ModuleId, unit: &Unit) {
    for (_, stmt) in unit.ir.stmts() {
        let StmtKind::Try { body, handlers, .. } = stmt else { continue };
        let mut reads = false;
        walk::stmts_below(&unit.ir, body, &mut |stmt| {
            walk::parts(&unit.ir, stmt, &mut |part| {
                if let walk::Part::Expr(expr) = part {
                    walk::exprs_below(&unit.ir, expr, &mut |expr| {
                        let at = At { module, expr };
                        reads |= project.callee(at).is_some_and(|callee| {
                            callee.defs.iter().any(|def| matches!(def.role, Role::ContextGet | Role::Verify))
                        });
                    });
                }
            });
        });
        for handler in handlers {
            walk::stmts_below(&unit.ir, &handler.body, &mut |stmt| {
                // `try { user = verify(token).sub } catch { user = "guest" }`
                if let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt)
                    && let Some(id) = target.as_binding()
                    && (vocabulary::is_tenant(unit.ir.binding_name(id)) || vocabulary::is_user(unit.ir.binding_name(id)))
                    && assigns(unit, body, id)
                    && is_fallback(project, unit, At { module, expr: *value })
                {
                    report
                        .reached(
                            At { module, expr: *value },
                            "when the caller cannot be told, the request goes on with a default one",
                        )
                        .severity(Severity::Medium);
                }
                if let StmtKind::Return(Some(value)) = unit.ir.stmt(stmt)
                    && (reads || gives_member(unit, body))
                    && is_fallback(project, unit, At { module, expr: *value })
                    && target_name(unit, *value).is_some_and(|name| tenant_like(&name))
                {
                    report.reached(
                        At { module, expr: *value },
                        "when the caller cannot be told, the request goes on with a default tenant",
                    );
                }
            });
        }
    }
}

/// Whether a block assigns a variable.
fn assigns(unit: &Unit, body: &[crate::ir::StmtId], id: crate::ir::BindingId) -> bool {
    let mut found = false;
    walk::stmts_below(&unit.ir, body, &mut |stmt| {
        found |= matches!(unit.ir.stmt(stmt), StmtKind::Assign { target, .. } if target.as_binding() == Some(id));
    });
    found
}

/// Whether a block returns a part of something: of a request, a session, a context.
fn gives_member(unit: &Unit, body: &[crate::ir::StmtId]) -> bool {
    let mut found = false;
    walk::stmts_below(&unit.ir, body, &mut |stmt| {
        if let StmtKind::Return(Some(value)) = unit.ir.stmt(stmt) {
            found |= matches!(unit.ir.expr(*value), ExprKind::Member { .. } | ExprKind::Index { .. });
        }
    });
    found
}

pub(super) fn tenant_like(name: &str) -> bool {
    vocabulary::is_tenant(name) || vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "tenant" | "org" | "organization" | "workspace"))
}
