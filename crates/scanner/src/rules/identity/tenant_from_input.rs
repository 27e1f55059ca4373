//! A tenant or user id that the caller chooses decides whose data is reached.

use std::collections::BTreeSet;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::{before_sign_in, belonging::{held_before, tenant_held_before}, doubts, limited, looked_up, not_seen, records};
use crate::{
    flow::{Origins, is_join, is_key_store},
    ir::{BindingId, ExprId, ExprKind, Kinds, PropertyKey},
    project::{At, Callee, Fun, Project, Step},
    rules::{Report, Rule, data::compared::compares_after},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "tenant-from-input",
        layer: Layer::Identity,
        summary: "The id of a tenant or user comes from arguments, the path, a header or another thing that callers choose.",
    },
    severity: Severity::High,
    axis: Axis::Permissions,
    why: "A caller, or the model that speaks for one, names another tenant or user and acts as that one.",
    fix: "Take it from the verified token only, and leave it out of what callers send; where several may be named, compare with the verified ones and refuse.",
    cwe: &["CWE-639", "CWE-290"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("tenant_from_input.md"),
    run,
};

/// What a finding says that is not high because nothing shows that the id reaches the server's own data.
const NOT_SEEN: &str = "A caller, or the model that speaks for one, names another tenant or user. No query, map or file of this server is seen \
                        that this id decides: if it goes to another service with the caller's own credential, that service decides.";

fn run(project: &Project, report: &mut Report<'_>) {
    super::header_as_caller::header_as_caller(project, report);
    let mut seen: BTreeSet<(Fun, String)> = BTreeSet::new();
    let lookups = project.calls_of(is_lookup);
    for (module, unit) in project.units() {
        for (id, expr) in unit.ir.exprs_of(Kinds::MEMBER | Kinds::INDEX | Kinds::CALL) {
            let name = match expr {
                ExprKind::Member { property, .. } if unit.meaning(*property).is_owner() => unit.ir.text(*property),
                ExprKind::Index { index, .. } => match unit.ir.expr(*index) {
                    ExprKind::String(text) => unit.ir.text(*text),
                    _ => continue,
                },
                // `request.headers.get("x-tenant-id")`, `arguments.get("tenant_id")`
                // `readHeader(request, "x-tenant-id")`
                ExprKind::Call(_) if !project.is_one_of(&lookups, At { module, expr: id }) => continue,
                ExprKind::Call(call) => match call.positional(usize::from(is_of_header(project, At { module, expr: id }, call))).map(|expr| unit.ir.expr(expr)) {
                    Some(ExprKind::String(text)) => unit.ir.text(*text),
                    // `request.cookies.get(TENANT_ID_COOKIE)`
                    Some(ExprKind::Name(crate::ir::NameRef::Binding(own))) => {
                        match of_place(unit.ir.binding_name(*own)) {
                            Some(name) => name,
                            None => continue,
                        }
                    }
                    _ => continue,
                },
                _ => continue,
            };
            // `note.userId = user.id` reads nothing there.
            if !vocabulary::is_owner(name) || unit.index.writes.iter().any(|write| write.place == id) {
                continue;
            }
            let at = At { module, expr: id };
            if project.origins(at).has(Origins::INPUT | Origins::UNVERIFIED) {
                use_of(project, at, at, name, &mut seen, report);
            }
        }
        for (id, binding) in unit.ir.bindings() {
            let name = unit.ir.text(binding.name);
            if unit.meaning(binding.name).is_owner() && !is_other_sub(unit, id, name) {
                chosen_binding(project, At { module, expr: ExprId::MISSING }, id, name, &mut seen, report);
            }
        }
    }
    super::checked_as_told::checked_as_told(project, &seen, report);
}

/// Whether a variable was set to the verified caller, where there is one, before a use or by it: `user_id = bind(user_id)`.
fn is_bound_before(project: &Project, unit: &crate::project::Unit, module: At, id: BindingId, used: ExprId) -> bool {
    unit.index.sources(id).iter().any(|source| {
        let ends = unit.index.function(used) == source.function && unit.index.order(used) < source.order;
        let inside = unit.ir.span(source.value).contains(unit.ir.span(used));
        (inside || !ends) && prefers_caller(project, unit, module.to(source.value), id)
    })
}

/// Whether a word of a name is one of a tenant, a user or a caller: `state_user_id`.
fn names_party(name: &str) -> bool {
    vocabulary::words(name).iter().any(|word| vocabulary::is_owner(word) || vocabulary::is_principal(word))
}

/// Whether a call of a function of ours is given a variable, and gives the caller whom the request was verified for before it.
fn prefers_caller(project: &Project, unit: &crate::project::Unit, value: At, id: BindingId) -> bool {
    let value = match unit.ir.expr(value.expr) {
        ExprKind::Await(inner) => value.to(*inner),
        _ => value,
    };
    let ExprKind::Call(call) = unit.ir.expr(value.expr) else { return false };
    let given = call.args.iter().any(|arg| matches!(unit.ir.expr(arg.value), ExprKind::Name(crate::ir::NameRef::Binding(own)) if *own == id));
    let Some(callee) = project.callee(value).filter(|callee| given && callee.certain && !callee.targets.is_empty()) else { return false };
    callee.targets.iter().all(|target| {
        let Some(home) = project.unit(target.module) else { return false };
        let asks = home.index.calls.iter().any(|expr| {
            let at = At { module: target.module, expr: *expr };
            home.index.function(*expr) == target.id && project.origins(at).has(Origins::REQUEST | Origins::PRINCIPAL)
        });
        let gives = home.index.returns(target.id).iter().any(|expr| {
            let at = At { module: target.module, expr: *expr };
            let ExprKind::Name(crate::ir::NameRef::Binding(own)) = home.ir.expr(*expr) else { return project.origins(at).has(Origins::PRINCIPAL) };
            project.parameter_of(target.module, *own).is_none() && (names_party(home.ir.binding_name(*own)) || project.origins(at).has(Origins::PRINCIPAL))
        });
        asks && gives
    })
}

/// Words that say where a value is kept, and not what it is.
const PLACES: &[&str] = &["COOKIE", "HEADER", "NAME", "KEY", "cookie", "header"];

/// The name of what is kept there, by the name of a constant for a cookie or header, or of a variable with its value:
/// `TENANT_ID` of `TENANT_ID_COOKIE_NAME`.
fn of_place(name: &str) -> Option<&str> {
    let mut rest = name;
    let mut placed = false;
    while let Some((before, word)) = rest.rsplit_once('_').filter(|(_, word)| PLACES.contains(word)) {
        placed |= !matches!(word, "NAME" | "KEY");
        rest = before;
    }
    placed.then_some(rest).filter(|name| vocabulary::is_tenant(name))
}

fn is_lookup(callee: &Callee) -> bool {
    matches!(callee.name(), "get" | "header" | "param" | "query" | "pop" | "getHeader")
        || vocabulary::words(callee.name()).last().is_some_and(|word| word == "header")
}

/// Whether a call reads a header of a request that it is given first: `readHeader(request, "x-user-id")`.
fn is_of_header(project: &Project, at: At, call: &crate::ir::Call) -> bool {
    let named = project.callee(at).is_some_and(|callee| vocabulary::words(callee.name()).last().is_some_and(|word| word == "header"));
    named && call.positional(0).is_some_and(|first| is_request(project, at.to(first)))
}

/// A parameter or variable that holds an owner's id out of what the caller chose: where it is used is reported.
fn chosen_binding(project: &Project, module: At, id: BindingId, name: &str, seen: &mut BTreeSet<(Fun, String)>, report: &mut Report<'_>) {
    let Some(unit) = project.unit(module.module) else { return };
    for used in unit.index.uses(id) {
        let at = module.to(*used);
        if is_bound_before(project, unit, module, id, *used) {
            continue;
        }
        let origins = project.origins(at);
        if !origins.has(Origins::INPUT | Origins::UNVERIFIED) {
            return;
        }
        // Only where the value enters: in the handler, not in each helper that it is passed on to.
        let direct = match project.parameter_of(module.module, id) {
            Some((fun, number, path)) => project.entry(fun).is_some() || project.takes_apart_sent(fun, number, &path),
            None => unit.index.sources(id).iter().any(|source| {
                // A copy of what a function that is no handler was given: it entered elsewhere.
                if handed_on(project, module.to(source.value)) && !takes_apart(project, module.to(source.value), &source.path) {
                    return false;
                }
                let from = project.origins(module.to(source.value));
                let makes = project.callee(module.to(source.value)).is_some_and(|callee| callee.name().starts_with(char::is_uppercase));
                // `tenant = Tenant(name=name)` is a new one.
                !makes && from.has(Origins::INPUT | Origins::UNVERIFIED | Origins::REQUEST) && source.path.iter().all(|step| matches!(step, Step::Key(_) | Step::Rest))
            }),
        };
        if direct {
            use_of(project, at, at, name, seen, report);
        }
    }
}

/// Reports a use of a chosen id that decides something: a query, a key, a call of a function of ours.
fn use_of(project: &Project, value: At, at: At, name: &str, seen: &mut BTreeSet<(Fun, String)>, report: &mut Report<'_>) {
    let fun = project.function_of(at);
    let origins = project.origins(value);
    // A fall-back to the caller or a choice between both is still the caller's choice, unless it is compared.
    if project.is_for_members(fun) || project.is_checked(at) || is_compared(project, at) || finds_what_is_compared(project, at) || looked_up::is_held_against(project, at) || held_before(project, fun, name) || of_principal(project, value) || is_bearers(project, value) || not_seen::is_signed_before(project, at) || not_seen::is_of_strategy(project, value) || looked_up::is_of_callers_row(project, at) || looked_up::is_checked_where_used(project, at) || records::is_record(project, at, name) || looked_up::finds_compared_row(project, at) || !decides(project, at) {
        return;
    }
    if before_sign_in::is_before_sign_in(project, at) || !seen.insert((fun, name.to_owned())) {
        return;
    }
    // The variable that it goes to is the same finding.
    if let Some(name) = goes_to(project, at) {
        seen.insert((fun, name));
    }
    let verified = project.has_owners(at.module) && caller_known(project, fun);
    let header = origins.has(Origins::UNVERIFIED) && !origins.has(Origins::INPUT);
    let what = if header { "an unverified header or token" } else { "what the caller sends" };
    let beside = beside_caller(project, at) || goes_beside(project, at) || goes_beside_later(project, at) || super::given_on::is_given_on_beside(project, at) || super::given_on::is_asked_with_owner(project, at);
    let service = super::callers_service::is_callers_service(project, at.module);
    let reaches = project.reaches_store(at);
    let decides = if reaches { "decides whose data is reached" } else { "says for whom the call is" };
    let found = report.reached(at, format!("`{name}` comes from {what} and {decides}"));
    let words = vocabulary::words(name);
    // `company_name` is what a thing is about, as `customer` is; `tenant` is whose it is.
    // `args.organization` is a record as often as an id.
    let record = matches!(name, "organization" | "organisation" | "account") && is_member(project, value);
    let about = words.last().is_some_and(|last| matches!(last.as_str(), "name" | "names")) || record || matches!(name, "customer" | "company" | "currentCompany" | "current_company" | "team");
    let id = (words.iter().any(|word| matches!(word.as_str(), "id" | "uuid" | "sub")) || vocabulary::is_tenant(name)) && !about;
    // In another service a customer is one of its records.
    let elsewhere = !reaches && words.iter().any(|word| word == "customer");
    if !id || elsewhere || is_behind_policies(project, at) {
        found.severity(Severity::Low).confidence(Confidence::Low);
    } else if service && !reaches {
        found.severity(Severity::Low).confidence(Confidence::Low).why(NOT_SEEN);
    } else if (beside || another_is_checked(project, at) || tenant_held_before(project, fun)) && vocabulary::is_user(name) {
        // Another user, within what the caller's own tenant scopes.
        found.severity(Severity::Low).confidence(Confidence::Low);
    } else if beside || of_this(project, value) || project.is_superusers(at) || project.is_foreign_word(name) || not_seen::is_elsewhere(project, value, at, name) {
        // The function that is given both may compare them; another service that is asked may know the caller's credential.
        found.severity(Severity::Medium).confidence(Confidence::Medium);
    } else if doubts::may_name_others(project, fun, at) || words.iter().any(|word| word == "customer") {
        // A customer is whom those who call sell to, more often than the one who calls.
        found.severity(Severity::Medium).confidence(Confidence::Medium);
    } else if service || !reaches || !project.surely_reaches_store(at) {
        found.severity(Severity::Medium).confidence(Confidence::Medium).why(NOT_SEEN);
    } else if vocabulary::is_user(name) && !verified {
        found.severity(Severity::Medium).confidence(Confidence::Medium);
    } else if !verified {
        // Where nobody asks who calls there is no caller's own to take instead.
        found.confidence(Confidence::Medium);
        if !header && !project.is_asked_multi() && !doubts::asks_who_calls(project, fun) && !project.handlers_know_callers(at.module) {
            found.severity(Severity::Medium);
        }
    }
}

/// Whether a use stands in a query whose rows the policies of the table choose, whatever is asked for.
fn is_behind_policies(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let used = unit.ir.span(at.expr);
    project.queries().iter().any(|query| {
        query.at.module == at.module && unit.ir.span(query.at.expr).contains(used) && project.is_behind_policies(query)
    })
}

/// Whether a variable is what a row is looked up by, here or in another use of the function, and the row is compared with the
/// caller: `place = await placeOf(id)`, and then `if (place.userId !== user.sub) return refuse()`.
fn finds_what_is_compared(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Name(crate::ir::NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    let own = unit.index.function(at.expr);
    unit.index.uses(*id).iter().take(24).filter(|used| unit.index.function(**used) == own).any(|used| {
        let mut here = *used;
        for _ in 0..6 {
            let crate::project::Parent::Expr(up) = unit.index.parent(here) else { return false };
            if matches!(unit.ir.expr(up), ExprKind::Call(call) if call.callee != here) {
                return compares_after(project, at.to(up));
            }
            here = up;
        }
        false
    })
}

/// Whether another argument of the call that a use stands in was checked before: `authorize(user, group)`, and then
/// `add(person, group)`.
fn another_is_checked(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    // `where(Grant.note_id == note_id, Grant.user_id == user_id)`, where the note was checked.
    let used = unit.ir.span(at.expr);
    let beside = project.queries().iter().filter(|query| query.at.module == at.module && unit.ir.span(query.at.expr).contains(used)).any(|query| {
        query.filters.iter().any(|filter| !unit.ir.span(filter.expr).contains(used) && !project.is_fixed(*filter) && project.is_checked(*filter))
    });
    if beside {
        return true;
    }
    let crate::project::Parent::Expr(up) = unit.index.parent(at.expr) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(up) else { return false };
    call.args.iter().any(|arg| {
        arg.value != at.expr && matches!(unit.ir.expr(arg.value), ExprKind::Name(_)) && project.is_checked(at.to(arg.value))
    })
}

/// Whether a value is a parameter of a function that is no handler, or that and something for when it is not there.
fn handed_on(project: &Project, value: At) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    let expr = match unit.ir.expr(value.expr) {
        ExprKind::Logical { left, .. } => *left,
        _ => value.expr,
    };
    let ExprKind::Name(crate::ir::NameRef::Binding(id)) = unit.ir.expr(expr) else { return false };
    project.parameter_of(value.module, *id).is_some_and(|(fun, _, path)| path.is_empty() && project.entry(fun).is_none())
}

/// Whether something is taken out of a parameter that callers hand all that was sent to: `const { id, tenantId } = args`.
fn takes_apart(project: &Project, value: At, taken: &[Step]) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    let ExprKind::Name(crate::ir::NameRef::Binding(id)) = unit.ir.expr(value.expr) else { return false };
    let from = project.parameter_of(value.module, *id);
    from.is_some_and(|(fun, number, path)| path.is_empty() && project.takes_apart_sent(fun, number, taken))
}

/// Whether a variable holds what was looked up by a credential or a session's id, `user = await sessions.user_of(cookie)`: whoever has
/// that is the one. What is only taken out of a token is looked up nowhere and waits for nothing.
fn is_bearers(project: &Project, value: At) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    let ExprKind::Name(crate::ir::NameRef::Binding(id)) = unit.ir.expr(value.expr) else { return false };
    let sources = unit.index.sources(*id);
    !sources.is_empty()
        && sources.iter().all(|source| {
            let ExprKind::Await(call) = unit.ir.expr(source.value) else {
                return matches!(unit.ir.expr(source.value), ExprKind::Null);
            };
            let ExprKind::Call(expr) = unit.ir.expr(*call) else { return false };
            let decodes = project.callee(value.to(*call)).is_some_and(|callee| {
                callee.defs.iter().any(|def| def.role == crate::library::Role::Decode)
                    || vocabulary::words(callee.name()).iter().any(|word| matches!(word.as_str(), "decode" | "parse" | "extract"))
            });
            let shows = |name: &str| vocabulary::is_credential(name) || vocabulary::is_session_id(name);
            !decodes && expr.args.iter().any(|arg| {
                // `find({ secretKey: secret })`
                let record = matches!(unit.ir.expr(arg.value), ExprKind::Object(_) | ExprKind::Conditional { .. })
                    && project.roots(value.to(arg.value)).iter().any(|root| shows(unit.ir.binding_name(*root)));
                record || project.written(value.to(arg.value)).last().is_some_and(|name| shows(name))
            })
        })
}

/// Whether a value is a member of what is the caller by its type and name: `operator.tenant_id` of `operator: Operator`. Calls
/// from elsewhere that build one, for a job or a test, do not make it chosen.
fn of_principal(project: &Project, value: At) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    let ExprKind::Member { object, .. } = unit.ir.expr(value.expr) else { return false };
    if project.origins(value.to(*object)).has(Origins::PRINCIPAL) {
        return true;
    }
    let ExprKind::Name(crate::ir::NameRef::Binding(id)) = unit.ir.expr(*object) else { return false };
    let Some((fun, number, path)) = project.parameter_of(value.module, *id) else { return false };
    let parameter = unit.ir.function(fun.id).and_then(|function| function.params.get(number));
    let typed = parameter.and_then(|parameter| parameter.type_text).map_or("", |text| unit.ir.text(text));
    let last = typed.rsplit('.').next().unwrap_or("");
    let party = |name: &str| {
        vocabulary::is_principal(name) || vocabulary::words(name).iter().any(|word| matches!(word.as_str(), "operator" | "user" | "session" | "claims"))
    };
    path.is_empty() && party(last) && party(unit.ir.binding_name(*id))
}

/// Whether the call or record that a use stands in has the verified caller, or a credential, too.
pub(super) fn beside_caller(project: &Project, at: At) -> bool {
    use crate::project::Parent;
    let Some(unit) = project.unit(at.module) else { return false };
    let verified = |expr: ExprId| {
        let origins = project.origins(at.to(expr));
        // `projectId: context.projectId`, where users are members of projects.
        let own = origins.has(Origins::REQUEST) && !origins.is_chosen() && project.written(at.to(expr)).last().is_some_and(|name| project.is_own_tenant(name));
        if own || not_seen::is_set_for_request(project, at.to(expr)) || super::session_user::is_session_user(project, at.to(expr)) {
            return true;
        }
        origins.has(Origins::PRINCIPAL) || (origins.has(Origins::OWNER) && !origins.is_chosen())
    };
    let mut here = at.expr;
    for _ in 0..6 {
        let Parent::Expr(parent) = unit.index.parent(here) else { return false };
        let known = match unit.ir.expr(parent) {
            // A function for identities that is given the request too finds the caller in it: `resolveUser(req, body.userId)`.
            ExprKind::Call(call) => not_seen::is_told_caller(project, at.to(call.callee), &verified) || call.args.iter().any(|arg| {
                arg.value != here && (verified(arg.value) || (is_request(project, at.to(arg.value)) && is_for_identity(project, at.to(parent))))
            }),
            ExprKind::Object(properties) => properties.iter().any(|property| {
                let credential = matches!(property.key, PropertyKey::Name(name) if vocabulary::is_credential(unit.ir.text(name)) || unit.ir.text(name) == "key");
                property.value != here && (credential || verified(property.value))
            }),
            // `tenant ?? userId`: the verified one, where there is one.
            ExprKind::Logical { left, right, .. } => *right == here && verified(*left),
            ExprKind::Conditional { test, then, otherwise } => *test != here && (verified(*then) || verified(*otherwise)),
            ExprKind::Function(_) => return false,
            _ => false,
        };
        if known {
            return true;
        }
        here = parent;
    }
    false
}

/// Whether a value is the request itself.
fn is_request(project: &Project, at: At) -> bool {
    project.written(at).last().is_some_and(|name| matches!(name.as_str(), "req" | "request" | "ctx" | "context" | "extra"))
        && project.origins(at).has(Origins::REQUEST)
}

/// Whether a call is of a function that is named for finding out who calls.
fn is_for_identity(project: &Project, call: At) -> bool {
    project.callee(call).is_some_and(|callee| {
        vocabulary::words(callee.name()).iter().any(|word| matches!(word.as_str(), "authenticated" | "authorized" | "auth" | "resolve" | "principal"))
    })
}

/// Whether a value is a field of the object whose method this is: where it came into the object is elsewhere.
fn of_this(project: &Project, value: At) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    matches!(unit.ir.expr(value.expr), ExprKind::Member { object, .. } if matches!(unit.ir.expr(*object), ExprKind::This))
}

/// Whether a variable `sub` is something else than the subject of a token: nothing that it is set from says so.
fn is_other_sub(unit: &crate::project::Unit, id: BindingId, name: &str) -> bool {
    let sources = unit.index.sources(id);
    name == "sub" && !sources.is_empty() && sources.iter().all(|source| {
        let text = unit.ir.snippet(unit.ir.span(source.value));
        source.path.is_empty() && !text.split(|char: char| !char.is_alphanumeric()).any(|word| word == "sub")
    })
}

/// Whether a use only gives its value to a variable, and that one is used beside the verified caller.
pub(super) fn goes_beside(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let Some(crate::ir::StmtKind::Assign { target, .. }) = unit.index.stmt_of(at.expr).map(|stmt| unit.ir.stmt(stmt)) else { return false };
    target.as_binding().is_some_and(|id| {
        unit.index.uses(id).iter().take(24).any(|used| beside_caller(project, at.to(*used)) || is_copied_beside(project, at.to(*used)))
    })
}

/// `raw = header("team-id")`, `teamId = parseInt(raw)`, and then `limits({ user, teamId })`.
fn is_copied_beside(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let Some(crate::ir::StmtKind::Assign { target, .. }) = unit.index.stmt_of(at.expr).map(|stmt| unit.ir.stmt(stmt)) else { return false };
    target.as_binding().is_some_and(|id| unit.index.uses(id).iter().take(24).any(|used| beside_caller(project, at.to(*used))))
}

/// Whether another use of the same variable in the function stands beside the verified caller: `team = await team_of(team_id)`, and
/// then `await role_in(team_id, user)`, which may refuse.
fn goes_beside_later(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Name(crate::ir::NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    let own = unit.index.function(at.expr);
    unit.index.uses(*id).iter().take(24).any(|used| *used != at.expr && unit.index.function(*used) == own && beside_caller(project, at.to(*used)))
}

/// Whether a value is a property of something.
fn is_member(project: &Project, value: At) -> bool {
    project.unit(value.module).is_some_and(|unit| matches!(unit.ir.expr(value.expr), ExprKind::Member { .. }))
}

/// Whether a use is a side of a comparison or an argument of a check.
fn is_compared(project: &Project, at: At) -> bool {
    use crate::project::Parent;
    let Some(unit) = project.unit(at.module) else { return true };
    let mut here = at.expr;
    for _ in 0..6 {
        let Parent::Expr(parent) = unit.index.parent(here) else { return false };
        match unit.ir.expr(parent) {
            // `Note.user_id == user_id` is a condition of a query.
            ExprKind::Compare { left, right, .. } if is_column(project, at.to(if *left == here { *right } else { *left })) => here = parent,
            ExprKind::Compare { .. } | ExprKind::Unary { .. } => return true,
            ExprKind::Conditional { test, .. } if *test == here => return true,
            _ => here = parent,
        }
    }
    false
}

/// Whether a value is a column of a model, by its being an attribute of a class that is named for an owner.
fn is_column(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(at.expr) else { return false };
    let model = project.written(at.to(*object)).last().is_some_and(|name| {
        name.starts_with(char::is_uppercase) && name.chars().any(char::is_lowercase)
    });
    model && unit.meaning(*property).is_owner()
}

/// Whether a use may decide whose data is reached: it is passed on, put into a record, a query or a key; not logged, tested or
/// given back.
fn decides(project: &Project, at: At) -> bool {
    use crate::project::Parent;
    let Some(unit) = project.unit(at.module) else { return false };
    let mut here = at.expr;
    let mut instead = false;
    for _ in 0..12 {
        match unit.index.parent(here) {
            Parent::Expr(parent) => match unit.ir.expr(parent) {
                ExprKind::Call(call) if call.callee != here => {
                    let name = project.callee(at.to(parent)).map_or("", |callee| callee.name()).to_lowercase();
                    let path = project.callee(at.to(parent)).map(|callee| callee.path.join(".").to_lowercase()).unwrap_or_default();
                    let plain = ["str", "string", "uuid", "int", "number", "parse", "trim", "tostring", "isinstance", "len", "get", "string.trim", "text", "stringify", "dumps"];
                    let last = name.rsplit('.').next().unwrap_or("");
                    if matches!(last, "debug" | "info" | "warn" | "warning" | "print" | "report_progress") || Project::is_check(&last_name(project, at.to(parent))) || project.compares_inside(at.to(parent)) || is_verified_inside(project, at.to(parent), at.to(here)) {
                        return false;
                    }
                    // Whoever names another's bucket is slowed down by it, and reaches nothing.
                    if limited::is_limiter(project, at.to(parent)) || limited::only_limits(project, unit, at.to(parent)) {
                        return false;
                    }
                    if path.contains("log") || path.starts_with("console") || name.contains("error") || name.contains("exception") {
                        return false;
                    }
                    // `redis.get(f"{tenant_id}:notes")` finds what is kept there.
                    if name == "get" && is_got_from_store(project, unit, at.to(parent)) {
                        return true;
                    }
                    // `Shop.objects.get(owner_id=owner_id)`; a `get` of a map has no names.
                    if name == "get" && call.args.iter().any(|arg| arg.value == here && matches!(arg.kind, crate::ir::ArgKind::Keyword(_))) {
                        return true;
                    }
                    // `users.get({ userId })`
                    if name == "get" && call.positional(0) == Some(here) && matches!(unit.ir.expr(here), ExprKind::Object(_)) {
                        return true;
                    }
                    if plain.contains(&name.as_str()) || name.contains("normali") || name.contains("clean") {
                        here = parent;
                        continue;
                    }
                    return true;
                }
                ExprKind::Index { index, .. } if *index == here => return true,
                // `(ROOT / tenant_id / name).read_text()`
                ExprKind::Member { object, property, .. } if *object == here && is_join(unit, *object) && OF_PATH.contains(&unit.ir.text(*property)) => return true,
                // A query: sql`… where tenant_id = ${tenantId}`
                ExprKind::Tagged { tag, .. } => return project.written(at.to(*tag)).last().is_some_and(|name| name.to_lowercase().contains("sql")),
                ExprKind::Function(_) => return false,
                // `{ tenantId: key.tenantId || sent.tenantId }`: what the caller says, where the key has none.
                ExprKind::Object(properties) if instead => {
                    return properties.iter().any(|property| {
                        property.value == here && matches!(property.key, PropertyKey::Name(name) if vocabulary::is_owner(unit.ir.text(name)))
                    });
                }
                ExprKind::Logical { left, right, .. } => {
                    let first = project.origins(at.to(*left));
                    // `key.tenantId`, of a key that was looked up by what the caller sent.
                    let named = matches!(unit.ir.expr(*left), ExprKind::Member { property, .. } if vocabulary::is_owner(unit.ir.text(*property)));
                    instead |= *right == here && (named || first.has_owner()) && !first.has(Origins::INPUT);
                    here = parent;
                }
                _ => here = parent,
            },
            Parent::Stmt(stmt) => return names_owner(unit, stmt) && !limited::is_kept_for_limiter(project, unit, at, stmt),
            _ => return false,
        }
    }
    false
}

/// Methods of a path that reach the file there.
const OF_PATH: &[&str] = &["read_bytes", "write_bytes", "read_text", "write_text", "unlink", "open", "iterdir", "glob", "rglob"];

/// Whether a call gets something out of a store of keys and values.
fn is_got_from_store(project: &Project, unit: &crate::project::Unit, call: At) -> bool {
    let ExprKind::Call(written) = unit.ir.expr(call.expr) else { return false };
    match unit.ir.expr(written.callee) {
        ExprKind::Member { object, .. } => is_key_store(project, call, call.to(*object)),
        _ => false,
    }
}

/// Whether the functions of ours that a call calls hand the value to what verifies it: `tenantOfCookie(cookie)`, which begins with
/// `verifyJwt(cookie)`.
fn is_verified_inside(project: &Project, call: At, value: At) -> bool {
    let Some(unit) = project.unit(call.module) else { return false };
    let ExprKind::Call(expr) = unit.ir.expr(call.expr) else { return false };
    let Some(number) = expr.args.iter().position(|arg| arg.value == value.expr) else { return false };
    let Some(callee) = project.callee(call).filter(|callee| callee.certain && !callee.targets.is_empty()) else { return false };
    callee.targets.iter().all(|target| {
        let Some(unit) = project.unit(target.module) else { return false };
        let Some(parameter) = unit.ir.function(target.id).and_then(|function| function.params.get(number)) else { return false };
        let Some(parameter) = parameter.pattern.as_binding() else { return false };
        project.guards(*target).iter().any(|guard| {
            let verifies = project.callee(guard.right).is_some_and(|callee| vocabulary::words(callee.name()).iter().any(|word| matches!(word.as_str(), "verify" | "authenticate" | "unseal" | "decrypt")));
            verifies && project.roots(guard.left).contains(&parameter)
        })
    })
}

/// The name of what a call calls, as it is written.
fn last_name(project: &Project, call: At) -> String {
    project.callee(call).map_or_else(String::new, |callee| callee.name().to_owned())
}

/// The name of the variable that the statement of a use sets.
fn goes_to(project: &Project, at: At) -> Option<String> {
    let unit = project.unit(at.module)?;
    let crate::ir::StmtKind::Assign { target, .. } = unit.ir.stmt(unit.index.stmt_of(at.expr)?) else { return None };
    Some(unit.ir.binding_name(target.as_binding()?).to_owned())
}

/// Whether a statement gives its value to a variable that is named for an owner: what follows uses that one.
fn names_owner(unit: &crate::project::Unit, stmt: crate::ir::StmtId) -> bool {
    let crate::ir::StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
    let Some(id) = target.as_binding() else { return is_of_context(unit, target) };
    let name = unit.ir.binding_name(id);
    let name = of_place(name).unwrap_or(name);
    let params = unit.index.uses(id).iter().any(|used| match unit.index.parent(*used) {
        crate::project::Parent::Expr(_) => true,
        // A function that gives the caller: what it gives is used as one.
        crate::project::Parent::Stmt(stmt) => match unit.ir.stmt(stmt) {
            crate::ir::StmtKind::Return(_) => true,
            crate::ir::StmtKind::Assign { target, .. } => is_of_context(unit, target),
            _ => false,
        },
        _ => false,
    });
    vocabulary::is_owner(name) && params
}

/// Whether what is assigned to is the caller in a context that goes with the request: `context.userId = …`.
fn is_of_context(unit: &crate::project::Unit, target: &crate::ir::Pattern) -> bool {
    const CONTEXTS: &[&str] = &["context", "ctx", "session", "auth", "req", "request", "locals", "identity", "principal", "state", "g"];
    let crate::ir::Pattern::Place(place) = target else { return false };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(*place) else { return false };
    let of = match unit.ir.expr(*object) {
        ExprKind::Name(crate::ir::NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        _ => return false,
    };
    vocabulary::is_owner(unit.ir.text(*property)) && vocabulary::words(of).iter().any(|word| CONTEXTS.contains(&word.as_str()))
}

/// Whether a function, or one around it, knows the verified caller.
fn caller_known(project: &Project, fun: Fun) -> bool {
    project.around(fun).into_iter().any(|around| {
        let Some(unit) = project.unit(around.module) else { return false };
        let Some(function) = unit.ir.function(around.id) else { return false };
        let mut known = false;
        for parameter in &function.params {
            parameter.pattern.for_each_binding(&mut |id| {
                known |= unit.index.uses(id).first().is_some_and(|expr| {
                    project.origins(At { module: around.module, expr: *expr }).has(Origins::PRINCIPAL | Origins::SECRET | Origins::REQUEST)
                });
            });
        }
        known
    })
}
