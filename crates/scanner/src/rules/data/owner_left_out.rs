//! A call that could say whose data is meant, and does not.

use std::collections::BTreeSet;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::unscoped_query;
use crate::{
    flow::{Origins, Owned, Query},
    ir::{ArgKind, BindingId, BindingKind, Call, ExprId, ExprKind, FunctionId, FunctionKind, Language, NameRef, Parameter, StmtKind, walk},
    library::Role,
    project::{At, Fun, Parent, Project, Unit},
    rules::{Report, Rule, identity::looked_up::is_callers_row},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "owner-left-out",
        layer: Layer::Data,
        summary: "A function that knows whose data is meant asks for it by an id alone, or leaves the owner out.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "What is asked gives the data of whoever it is, and the caller that knows better does not look.",
    fix: "Pass the owner on, make it a required parameter, and compare what is found with it.",
    cwe: &["CWE-639", "CWE-862"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("owner_left_out.md"),
    run,
};

/// How many calls of one function are looked at.
const CALLS: usize = 48;

/// Verbs of functions that reach data.
pub(super) const READS: &[&str] = &[
    "get", "list", "find", "search", "load", "read", "fetch", "query", "delete", "remove", "update", "count", "retrieve", "lookup",
];

fn run(project: &Project, report: &mut Report<'_>) {
    super::kept_records::kept_records(project, report);
    super::kept_things::kept_things(project, report);
    super::object_keys::object_keys(project, report);
    super::named_objects::named_objects(project, report);
    super::kept_in_redis::kept_in_redis(project, report);
    super::kept_by_key::kept_by_key(project, report);
    super::other_methods::other_methods(project, report);
    super::shorter_call::shorter_calls(project, report);
    super::by_id_elsewhere::by_id_elsewhere(project, report);
    let mut told = BTreeSet::new();
    let open = unscoped_query::open(project);
    for (query, is) in &open {
        if !matches!(is, Owned::Yes | Owned::Sibling) {
            continue;
        }
        for call in askers(project, query.function) {
            if asks_by_id(project, query, call) && told.insert(call) {
                let text = format!("whose `{}` is meant is known here, and not said", query.shown);
                report.reached(call, text).confidence(Confidence::Medium).related(
                    query.at.module,
                    project.span(query.at),
                    "the rows are found by their id alone",
                );
            }
        }
    }
    for (module, unit) in project.units() {
        for (id, function) in unit.ir.functions() {
            let fun = Fun { module, id };
            let name = function.name.map_or("", |name| unit.ir.text(name));
            if !vocabulary::words(name).first().is_some_and(|verb| READS.contains(&verb.as_str())) {
                continue;
            }
            for (number, parameter) in function.params.iter().enumerate() {
                let Some(binding) = parameter.pattern.as_binding() else { continue };
                let own = unit.ir.binding_name(binding);
                let nothing = parameter.default.is_some_and(|value| matches!(unit.ir.expr(value), ExprKind::Null));
                let nullable = parameter.type_text.is_some_and(|text| may_be_nothing(unit.ir.text(text)));
                if (parameter.optional || nothing || nullable) && vocabulary::is_owner(own) && !unit.index.uses(binding).is_empty() && !finds_itself(project, unit, fun, binding) {
                    left_out(project, report, fun, number, own, &mut told);
                }
            }
        }
    }
}

/// Reports the calls that leave an optional owner out although they have one.
fn left_out(project: &Project, report: &mut Report<'_>, fun: Fun, number: usize, name: &str, told: &mut BTreeSet<At>) {
    for call in project.callers(fun).iter().take(CALLS) {
        let Some(unit) = project.unit(call.module) else { continue };
        let ExprKind::Call(written) = unit.ir.expr(call.expr) else { continue };
        let spread = written.args.iter().any(|arg| !matches!(arg.kind, ArgKind::Positional | ArgKind::Keyword(_)));
        // `get_chat(id, user_id=None)` leaves the owner out as well.
        let said = project.argument(*call, fun, number).filter(|said| !is_nothing(project, *said));
        if spread || said.is_some() {
            continue;
        }
        let holder = project.function_of(*call);
        if !knows_owner(project, holder) {
            if !is_compared(project, unit, *call) && hands_on(project, *call, written, holder) {
                through(project, report, holder, name, told);
            }
            continue;
        }
        if !says_owner(project, *call, written) && !is_compared(project, unit, *call) && told.insert(*call) {
            report
                .reached(*call, format!("`{name}` is left out here, though it is known whose data is meant"))
                .confidence(Confidence::Low);
        }
    }
}

/// Whether a function that is not told the owner takes it from the context of the request: `if tenant_id is None: tenant_id =
/// current_tenant_id()`. Who leaves it out loses nothing.
fn finds_itself(project: &Project, unit: &Unit, fun: Fun, id: BindingId) -> bool {
    unit.index.sources(id).iter().filter(|source| source.function == fun.id).any(|source| {
        let mut found = false;
        walk::exprs_below(&unit.ir, source.value, &mut |expr| {
            let at = At { module: fun.module, expr };
            let ExprKind::Call(call) = unit.ir.expr(expr) else { return };
            let reads = project.callee(at).is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::ContextGet));
            let named = project.last_written(at).is_some_and(|name| vocabulary::words(name).iter().any(|word| word == "current"));
            found |= reads || (named && call.args.is_empty());
        });
        found
    })
}

/// Whether a type says that there may be no value: `UUID | None`, `Optional[str]`, `string | null`.
fn may_be_nothing(text: &str) -> bool {
    text.starts_with("Optional[") || text.split('|').any(|part| matches!(part.trim(), "None" | "null" | "undefined"))
}

fn is_nothing(project: &Project, at: At) -> bool {
    let unit = project.unit(at.module);
    unit.is_some_and(|unit| matches!(unit.ir.expr(at.expr), ExprKind::Null))
}

/// Reports the calls, by functions that know the owner, of one that is told nothing of it and leaves it out for what it is given:
/// `copy(root, id)` that says `get(root, id)`.
fn through(project: &Project, report: &mut Report<'_>, between: Fun, name: &str, told: &mut BTreeSet<At>) {
    for call in project.callers(between).iter().take(CALLS) {
        let Some(unit) = project.unit(call.module) else { continue };
        let ExprKind::Call(written) = unit.ir.expr(call.expr) else { continue };
        let fun = project.function_of(*call);
        let certain = project.callee(*call).is_some_and(|callee| callee.certain && callee.targets.len() == 1);
        let says = written.args.iter().any(|arg| names_owner(unit, arg.value));
        let looked = || compares_owner(project, unit, *call) || told_before(project, unit, *call, written);
        if !certain || fun == between || !knows_owner(project, fun) || says || looked() {
            continue;
        }
        if !is_compared(project, unit, *call) && told.insert(*call) {
            let text = format!("`{name}` is left out in what is called here, though it is known whose data is meant");
            report.reached(*call, text).confidence(Confidence::Low);
        }
    }
}

/// Whether a call is given an id that is a parameter of the function that it stands in, which is no handler. Who is looked up by an id
/// of a party is that party.
fn hands_on(project: &Project, call: At, written: &Call, holder: Fun) -> bool {
    let Some(unit) = project.unit(call.module) else { return false };
    let given = |root: &BindingId| {
        let name = unit.ir.binding_name(*root);
        let words = vocabulary::words(name);
        let party = vocabulary::is_owner(name) || vocabulary::is_session_id(name) || words.first().is_some_and(|first| first == "client");
        words.last().is_some_and(|last| matches!(last.as_str(), "id" | "ids" | "uuid" | "slug"))
            && !party
            && project.parameter_of(call.module, *root).is_some_and(|(fun, ..)| fun == holder)
    };
    holder.id != FunctionId::MODULE
        && project.entry(holder).is_none()
        && written.args.iter().any(|arg| project.roots(call.to(arg.value)).iter().any(given))
}

/// Whether something was called before with what a call is given and with the owner beside it, and may have refused.
pub(super) fn told_before(project: &Project, unit: &Unit, call: At, written: &Call) -> bool {
    let ids: Vec<BindingId> = written.args.iter().flat_map(|arg| project.roots(call.to(arg.value))).collect();
    let order = project.order(call);
    let mut found = false;
    walk::function_exprs(&unit.ir, project.function_of(call).id, &mut |expr| {
        let ExprKind::Call(other) = unit.ir.expr(expr) else { return };
        let at = call.to(expr);
        found = found
            || (project.order(at) < order
                && other.args.iter().any(|arg| project.roots(call.to(arg.value)).iter().any(|root| ids.contains(root)))
                && says_owner(project, at, other));
    });
    found
}

/// Whether an expression names an owner or a credential, or hands a context on as a whole. Who did something, `actor`, is noted with it.
fn names_owner(unit: &Unit, value: ExprId) -> bool {
    let mut named = matches!(unit.ir.expr(value), ExprKind::Name(NameRef::Binding(id)) if has_party(unit, *id));
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            _ => return,
        };
        named |= vocabulary::is_owner(name) || vocabulary::is_credential(name);
    });
    named
}

/// Whether a function compares an owner with something before a call.
pub(super) fn compares_owner(project: &Project, unit: &Unit, call: At) -> bool {
    let order = project.order(call);
    project
        .guards(project.function_of(call))
        .iter()
        .any(|guard| guard.order < order && (names_owner(unit, guard.left.expr) || names_owner(unit, guard.right.expr)))
}

/// The calls of a function that finds rows by their id, and those of functions that are told nothing more and hand the id on.
fn askers(project: &Project, fun: Fun) -> Vec<At> {
    let mut found: Vec<At> = project.callers(fun).iter().take(CALLS).copied().collect();
    for call in found.clone() {
        let holder = project.function_of(call);
        let Some(unit) = project.unit(call.module) else { continue };
        let ExprKind::Call(written) = unit.ir.expr(call.expr) else { continue };
        if holder == fun || knows_owner(project, holder) || is_compared(project, unit, call) || !hands_on(project, call, written, holder) {
            continue;
        }
        for outer in project.callers(holder).iter().take(CALLS) {
            let Some(unit) = project.unit(outer.module) else { continue };
            let ExprKind::Call(written) = unit.ir.expr(outer.expr) else { continue };
            let looked = || compares_owner(project, unit, *outer) || told_before(project, unit, *outer, written);
            if found.len() < CALLS * 2 && !found.contains(outer) && !looked() {
                found.push(*outer);
            }
        }
    }
    found
}

/// Whether a call of a function that finds rows by their id stands where their owner is known, and neither says nor compares it.
fn asks_by_id(project: &Project, query: &Query, call: At) -> bool {
    let Some(unit) = project.unit(call.module) else { return false };
    let ExprKind::Call(written) = unit.ir.expr(call.expr) else { return false };
    let fun = project.function_of(call);
    let certain = project.callee(call).is_some_and(|callee| callee.targets.len() == 1);
    certain
        && fun != query.function
        && !written.args.is_empty()
        && !knows_owner(project, query.function)
        && knows_owner(project, fun)
        && !says_owner(project, call, written)
        && !written.args.iter().any(|arg| project.is_checked(call.to(arg.value)) || is_callers_row(project, call.to(arg.value)))
        && !is_compared(project, unit, call)
}

/// Whether a function has a parameter that says whose data is meant, or is a handler that asks who calls.
pub(super) fn knows_owner(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let Some(function) = unit.ir.function(fun.id) else { return false };
    if fun.id == FunctionId::MODULE || function.kind == FunctionKind::Constructor {
        return false;
    }
    let told = function.params.iter().any(|parameter| {
        parameter.pattern.as_binding().is_some_and(|id| {
            let name = unit.ir.binding_name(id);
            let named = vocabulary::is_owner(name) || vocabulary::is_principal(name);
            named && (is_injected(project, fun, parameter) || !unit.index.uses(id).is_empty())
        })
    });
    told
        || (project.entry(fun).is_some() && asks_who_calls(project, unit, fun))
        || stands_in_told(project, unit, fun)
        || function.params.iter().any(|own| own.pattern.as_binding().is_some_and(|id| has_party(unit, id)))
}

/// Whether a tool stands in a function that was told whose tools it makes: `registerTools(server, userId)`.
fn stands_in_told(project: &Project, unit: &Unit, fun: Fun) -> bool {
    let tool = project.entry(fun).is_some_and(|entry| entry.kind == "tool");
    tool && project.around(fun).into_iter().skip(1).any(|around| {
        unit.ir.function(around.id).filter(|_| around.id != FunctionId::MODULE).is_some_and(|function| {
            function.params.iter().any(|parameter| {
                parameter.pattern.as_binding().is_some_and(|id| {
                    let name = unit.ir.binding_name(id);
                    (vocabulary::is_owner(name) || has_party(unit, id)) && !unit.index.uses(id).is_empty()
                })
            })
        })
    })
}

/// Whether a parameter is a context that says whose data is meant, by what functions of its file read of parameters with the same type:
/// `ctx: Context` where another one reads `ctx.tenantId`.
fn has_party(unit: &Unit, id: BindingId) -> bool {
    let typed = |id: BindingId| unit.ir.binding(id).and_then(|binding| binding.type_text).map(|text| unit.ir.text(text));
    let Some(of) = typed(id).filter(|text| vocabulary::words(text).iter().any(|word| matches!(word.as_str(), "context" | "ctx" | "scope"))) else {
        return false;
    };
    let reads = |id: BindingId| {
        unit.index.uses(id).iter().any(|used| match unit.index.parent(*used) {
            Parent::Expr(up) => {
                matches!(unit.ir.expr(up), ExprKind::Member { object, property, .. } if *object == *used && vocabulary::is_owner(unit.ir.text(*property)))
            }
            _ => false,
        })
    };
    unit.ir.bindings().any(|(own, binding)| matches!(binding.kind, BindingKind::Parameter(_)) && typed(own) == Some(of) && reads(own))
}

/// Whether a framework fills a parameter, by a dependency, and not the caller: `user = Depends(current_user)`.
fn is_injected(project: &Project, fun: Fun, parameter: &Parameter) -> bool {
    project.injections(fun.module, parameter).into_iter().any(|at| {
        let text = project.snippet(at);
        text.contains("Depends(") || text.contains("Security(")
    })
}

/// Whether a variable of a handler holds the verified caller, or its tenant or user.
fn asks_who_calls(project: &Project, unit: &Unit, fun: Fun) -> bool {
    unit.ir.bindings().any(|(id, _)| {
        let name = unit.ir.binding_name(id);
        (vocabulary::is_owner(name) || vocabulary::is_principal(name))
            && unit.index.sources(id).iter().any(|source| {
                let at = At { module: fun.module, expr: source.value };
                source.function == fun.id && project.origins(at).has(Origins::PRINCIPAL)
            })
    })
}

/// Whether an argument of a call names an owner or the caller, or is one.
pub(super) fn says_owner(project: &Project, call: At, written: &Call) -> bool {
    let Some(unit) = project.unit(call.module) else { return true };
    let receiver = match unit.ir.expr(written.callee) {
        ExprKind::Member { object, .. } => Some(*object),
        _ => None,
    };
    written.args.iter().map(|arg| arg.value).chain(receiver).any(|value| {
        let mut named = project.origins(call.to(value)).has_owner();
        walk::exprs_below(&unit.ir, value, &mut |expr| {
            let name = match unit.ir.expr(expr) {
                ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
                ExprKind::Member { property, .. } => unit.ir.text(*property),
                _ => return,
            };
            named |= vocabulary::is_owner(name) || vocabulary::is_principal(name) || vocabulary::is_credential(name);
        });
        // The whole context is handed on.
        named || matches!(unit.ir.expr(value), ExprKind::Name(NameRef::Binding(id)) if has_party(unit, *id))
    })
}

/// Whether what a call gives is compared, or handed to a check, in the function that it stands in.
pub(super) fn is_compared(project: &Project, unit: &Unit, call: At) -> bool {
    let mut bindings: Vec<BindingId> = Vec::new();
    if let Some(stmt) = unit.index.stmt_of(call.expr)
        && let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt)
    {
        target.for_each_binding(&mut |id| bindings.push(id));
    }
    let touches = |expr: ExprId| {
        let mut found = false;
        walk::exprs_below(&unit.ir, expr, &mut |expr| {
            found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if bindings.contains(id));
        });
        found
    };
    project.guards(project.function_of(call)).iter().any(|guard| {
        // The row's owner, or the row and a party: `row.status === "open"` says nothing of whose it is.
        let says = |side: At| {
            let mut found = false;
            walk::exprs_below(&unit.ir, side.expr, &mut |expr| {
                if let ExprKind::Member { property, .. } = unit.ir.expr(expr) {
                    found |= vocabulary::is_owner(unit.ir.text(*property));
                }
            });
            found
        };
        let python = unit.ir.language == Language::Python;
        let own = |row: At| python && project.origins(row).has_owner();
        let pair = |row: At, other: At| touches(row.expr) && (says(row) || says(other) || own(row) || project.origins(other).has_owner());
        pair(guard.left, guard.right) || pair(guard.right, guard.left)
    })
}
