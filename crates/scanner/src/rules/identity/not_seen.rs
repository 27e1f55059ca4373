//! Ids that reach a use from where this rule does not see what was checked: a row that was looked up, a state that was signed, an
//! object that was made with the caller.

use crate::{
    flow::Origins,
    ir::{ExprId, ExprKind, NameRef, walk},
    project::{At, Project},
    vocabulary,
};

/// First words of functions that look something up and give what they found, and not what they were asked with.
const LOOKS_UP: &[&str] =
    &["get", "find", "load", "fetch", "lookup", "resolve", "list", "ensure", "select", "read", "default"];

/// Last words of functions that take a value out of the request.
const TAKES: &[&str] = &[
    "header",
    "headers",
    "param",
    "params",
    "parameter",
    "query",
    "body",
    "json",
    "input",
    "cookie",
    "cookies",
    "args",
    "argument",
    "request",
];

/// Whether an id was checked, or may have been, where this rule does not look.
pub(super) fn is_elsewhere(project: &Project, value: At, at: At, name: &str) -> bool {
    is_handed_on(project, value)
        || is_looked_up(project, value)
        || is_of_state(project, value)
        || is_of_role(project, value)
        || reads_claims(project, at)
        || is_of_end_user(name)
}

/// Whether a value is a part of the claims that Passport gives a strategy for JSON Web Tokens when it has verified them:
/// `validate(payload)`.
pub(super) fn is_of_strategy(project: &Project, value: At) -> bool {
    let (Some(unit), Some(id)) = (project.unit(value.module), root(project, value)) else { return false };
    let Some((fun, _, _)) = project.parameter_of(value.module, id) else { return false };
    matches!(unit.ir.binding_name(id), "payload" | "claims" | "jwtPayload")
        && project.function_name(fun) == "validate"
        && unit.ir.has_name(&["PassportStrategy"])
}

/// Whether a call is of a method of an object that was made with the verified caller: `Notes(db, role=role).of(tenant_id)`,
/// `notes = Notes(db, role)` and then `notes.of(tenant_id)`. It may refuse who is no member.
pub(super) fn is_told_caller(project: &Project, callee: At, verified: &impl Fn(ExprId) -> bool) -> bool {
    let Some(unit) = project.unit(callee.module) else { return false };
    let ExprKind::Member { object, .. } = unit.ir.expr(callee.expr) else { return false };
    let told = |made: ExprId| matches!(unit.ir.expr(made), ExprKind::Call(call) if call.args.iter().any(|arg| verified(arg.value)));
    match unit.ir.expr(*object) {
        ExprKind::Name(NameRef::Binding(id)) => {
            unit.index.sources(*id).iter().take(4).any(|source| source.path.is_empty() && told(source.value))
        }
        ExprKind::Call(_) => told(*object),
        _ => false,
    }
}

/// Whether a value is a property of a record that a function which is no handler is given, and that its callers put together: what
/// they put in has come in there.
fn is_handed_on(project: &Project, value: At) -> bool {
    let (Some(unit), Some(id)) = (project.unit(value.module), root(project, value)) else { return false };
    let Some((fun, number, path)) = project.parameter_of(value.module, id) else { return false };
    if matches!(unit.ir.expr(value.expr), ExprKind::Name(_)) && path.is_empty()
        || project.entry(fun).is_some()
    {
        return false;
    }
    let calls = project.callers(fun);
    !calls.is_empty()
        && calls.iter().take(16).all(|call| {
            let given = project.argument(*call, fun, number);
            given.is_none_or(|given| {
                project
                    .unit(given.module)
                    .is_some_and(|unit| matches!(unit.ir.expr(given.expr), ExprKind::Object(_)))
            })
        })
}

/// The variable that a value is, or is a property of.
fn root(project: &Project, value: At) -> Option<crate::ir::BindingId> {
    let unit = project.unit(value.module)?;
    let mut at = value.expr;
    for _ in 0..6 {
        match unit.ir.expr(at) {
            ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => at = *object,
            ExprKind::Name(NameRef::Binding(id)) => return Some(*id),
            _ => return None,
        }
    }
    None
}

/// Whether a value was looked up: `actor = await directory.get_actor(id)`, and then `actor.organization_id`. It is what the row
/// says, and who may see the row is another question. What reads it from the request is no look-up, whatever its name.
pub(in crate::rules) fn is_looked_up(project: &Project, value: At) -> bool {
    let (Some(unit), Some(id)) = (project.unit(value.module), root(project, value)) else { return false };
    let sources = unit.index.sources(id);
    let mut looked = false;
    !sources.is_empty()
        && sources.iter().take(6).all(|source| match gives(project, value.to(source.value), 8) {
            Gives::Looked => {
                looked = true;
                true
            }
            Gives::Nothing => true,
            Gives::Other => false,
        })
        && looked
}

/// What a variable is set to.
enum Gives {
    /// What was looked up.
    Looked,
    /// Nothing, or what whoever calls the function has given.
    Nothing,
    /// Anything else.
    Other,
}

fn gives(project: &Project, value: At, depth: u32) -> Gives {
    let (Some(unit), Some(depth)) = (project.unit(value.module), depth.checked_sub(1)) else {
        return Gives::Other;
    };
    match unit.ir.expr(value.expr) {
        ExprKind::Await(inner) => gives(project, value.to(*inner), depth + 1),
        ExprKind::Null => Gives::Nothing,
        ExprKind::Array { items, .. } if items.is_empty() => Gives::Nothing,
        // `job = await client.job(id)`, `result = job["result"]`, `result["workspace_id"]`
        ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => {
            gives(project, value.to(*object), depth)
        }
        // `[team.id for team in teams]`
        ExprKind::Comprehension(comprehension) => match comprehension.clauses.first() {
            Some(clause) => gives(project, value.to(clause.iter), depth),
            None => Gives::Other,
        },
        ExprKind::Name(NameRef::Binding(id)) => {
            let handler = |fun| project.entry(fun).is_some();
            if project.parameter_of(value.module, *id).is_some_and(|(fun, ..)| !handler(fun)) {
                return Gives::Nothing;
            }
            if is_looked_up_once(project, value, *id, depth) { Gives::Looked } else { Gives::Other }
        }
        ExprKind::Call(call) => {
            let Some(callee) = project.callee(value) else { return Gives::Other };
            let name = callee.name().to_owned();
            let words = vocabulary::words(&name);
            let kept = matches!(name.as_str(), "get" | "hget" | "getdel" | "execute" | "scalar" | "first")
                && project.written(value.to(call.callee)).iter().any(|part| {
                    vocabulary::words(part)
                        .iter()
                        .any(|word| matches!(word.as_str(), "redis" | "cache" | "kv" | "db"))
                });
            let asks =
                words.len() > 1 && words.first().is_some_and(|first| LOOKS_UP.contains(&first.as_str()));
            let takes = words.iter().any(|word| TAKES.contains(&word.as_str()));
            let request = call.args.iter().any(|arg| {
                let at = value.to(arg.value);
                project.origins(at).has(Origins::REQUEST)
                    || project.written(at).last().is_some_and(|name| {
                        vocabulary::is_credential(name)
                            || vocabulary::words(name).iter().any(|word| TAKES.contains(&word.as_str()))
                    })
            });
            let replies = asks_a_client(project, value.to(call.callee)) && !takes;
            if kept || replies || (asks && !takes && !request && !call.is_new) {
                return Gives::Looked;
            }
            // `orjson.loads(data)` of what was kept.
            match call.positional(0) {
                Some(inner) if matches!(name.as_str(), "loads" | "parse" | "list" | "set" | "sorted") => {
                    gives(project, value.to(inner), depth)
                }
                _ => Gives::Other,
            }
        }
        _ => Gives::Other,
    }
}

/// Whether what is called is a method of the client of another service, whose reply says what it knows:
/// `self.storage_client.job_detail`.
fn asks_a_client(project: &Project, callee: At) -> bool {
    let Some(unit) = project.unit(callee.module) else { return false };
    let ExprKind::Member { object, .. } = unit.ir.expr(callee.expr) else { return false };
    project.written(callee.to(*object)).last().is_some_and(|of| {
        vocabulary::words(of).last().is_some_and(|word| matches!(word.as_str(), "client" | "api" | "sdk"))
    })
}

fn is_looked_up_once(project: &Project, value: At, id: crate::ir::BindingId, depth: u32) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    let sources = unit.index.sources(id);
    !sources.is_empty()
        && sources
            .iter()
            .take(4)
            .all(|source| !matches!(gives(project, value.to(source.value), depth), Gives::Other))
}

/// Whether a value is a part of a role in which somebody acts, as `self.role.workspace_id` is: whoever made the role knew who it is.
fn is_of_role(project: &Project, value: At) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    let ExprKind::Member { object, .. } = unit.ir.expr(value.expr) else { return false };
    // Of the object itself: a role in what the caller sends is the caller's word.
    let own = matches!(unit.ir.expr(*object), ExprKind::Member { object, .. } if matches!(unit.ir.expr(*object), ExprKind::This));
    own && project.written(value.to(*object)).last().is_some_and(|of| matches!(of.as_str(), "role" | "actor"))
}

/// Whether a value is a part of a state that came back from a sign-in, which the server has signed or kept:
/// `state = open_state(query.state)`, `state["workspace_id"]`.
pub(in crate::rules) fn is_of_state(project: &Project, value: At) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    let mut found = false;
    crate::ir::walk::exprs_below(&unit.ir, value.expr, &mut |expr| {
        if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) {
            found |= vocabulary::words(unit.ir.binding_name(*id)).first().is_some_and(|word| word == "state")
                && unit.index.sources(*id).iter().any(|source| {
                    matches!(unit.ir.expr(source.value), ExprKind::Call(_) | ExprKind::Await(_))
                });
        }
    });
    found
        || root(project, value).is_some_and(|id| {
            unit.index.sources(id).iter().take(4).any(|source| {
                is_state_of(project, value.to(source.value), id)
                    || asked_with(&unit.ir, source.value)
                        .into_iter()
                        .any(|arg| is_state_of(project, value.to(arg), id))
            })
        })
}

/// Whether a value is a variable named for a state, other than `id`, or a part of it.
fn is_state_of(project: &Project, value: At, id: crate::ir::BindingId) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    root(project, value).is_some_and(|own| {
        own != id && vocabulary::words(unit.ir.binding_name(own)).first().is_some_and(|word| word == "state")
    })
}

/// What a function is asked with: `state` of `await flows.gateway_of(state)`.
fn asked_with(ir: &crate::ir::Module, value: ExprId) -> Vec<ExprId> {
    match ir.expr(value) {
        ExprKind::Await(inner) => asked_with(ir, *inner),
        ExprKind::Call(call) => call.args.iter().map(|arg| arg.value).collect(),
        _ => Vec::new(),
    }
}

/// Whether a use stands in a function that takes the claims of a token or a signed event apart, or is for signing in: who calls it
/// has verified the token, or has another finding.
fn reads_claims(project: &Project, at: At) -> bool {
    let fun = project.function_of(at);
    let entry =
        project.reach(fun).and_then(|reach| project.entries().get(reach.entry)).map(|entry| entry.handler);
    std::iter::once(fun)
        .chain(entry.filter(|entry| *entry != fun))
        .any(|fun| is_for_claims(project.function_name(fun)))
}

fn is_for_claims(name: &str) -> bool {
    let words = vocabulary::words(name);
    let of_token = words.iter().any(|word| {
        matches!(
            word.as_str(),
            "jwt"
                | "claims"
                | "payload"
                | "oidc"
                | "saml"
                | "sso"
                | "login"
                | "signin"
                | "signup"
                | "webhook"
                | "event"
        )
    });
    // One service that calls another with a shared secret says for whom.
    let service = words.iter().any(|word| word == "authenticate")
        && words.iter().any(|word| matches!(word.as_str(), "service" | "internal"));
    of_token || service
}

/// Whether a name is that of a customer's own customer: `end_user_organization_id`.
fn is_of_end_user(name: &str) -> bool {
    let words = vocabulary::words(name);
    matches!(words.as_slice(), [first, second, ..] if first == "end" && matches!(second.as_str(), "user" | "customer"))
        || words.first().is_some_and(|first| first == "enduser")
}

/// Whether a value is in the state of the request, and some function of the project put there what it had looked up: what a
/// middleware found by the caller's credential, `request.state.project_id = await project_of(token)`.
pub(super) fn is_set_for_request(project: &Project, value: At) -> bool {
    let Some(unit) = project.unit(value.module) else { return false };
    let member = match unit.ir.expr(value.expr) {
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] if source.path.is_empty() => source.value,
            _ => return false,
        },
        _ => value.expr,
    };
    let Some(name) = state_name(unit, member) else { return false };
    let mut found = false;
    for (module, home) in project.units() {
        for write in home.index.writes.iter().filter(|write| state_name(home, write.place) == Some(name)) {
            let looked = is_answer(home, write.value);
            // What some request sets as it was sent is the client's to choose.
            if !looked && project.origins(At { module, expr: write.value }).is_chosen() {
                return false;
            }
            found |= looked;
        }
    }
    found
}

/// The name of what a member of a request's state is: `project_id` of `request.state.project_id`.
fn state_name(unit: &crate::project::Unit, expr: ExprId) -> Option<&str> {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(expr) else { return None };
    let ExprKind::Member { object: request, property: state, .. } = unit.ir.expr(*object) else {
        return None;
    };
    let of_request = matches!(unit.ir.expr(*request), ExprKind::Name(NameRef::Binding(id)) if matches!(unit.ir.binding_name(*id), "request" | "req"));
    (of_request && matches!(unit.ir.text(*state), "state" | "locals")).then(|| unit.ir.text(*property))
}

/// Whether a value is what an awaited call gave, or a part of that: `found`, `found.project`, `found.data()`.
fn is_answer(unit: &crate::project::Unit, expr: ExprId) -> bool {
    let awaited = |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::Await(inner) if matches!(unit.ir.expr(*inner), ExprKind::Call(_)));
    let mut at = expr;
    for _ in 0..6 {
        match unit.ir.expr(at) {
            ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => at = *object,
            ExprKind::Call(call) => at = call.callee,
            ExprKind::Name(NameRef::Binding(id)) => {
                return unit.index.sources(*id).iter().any(|source| awaited(source.value));
            }
            _ => return awaited(at),
        }
    }
    false
}

/// Whether the function around a use, or one on the way to it, looked at the signature of what came before:
/// `if (!verifySignature(body, header)) throw …`. Who can sign says whose it is.
pub(super) fn is_signed_before(project: &Project, at: At) -> bool {
    let way = project.way(project.function_of(at));
    std::iter::once(at).chain(way.into_iter().take(6)).any(|place| looks_at_signature(project, place))
}

/// Whether the function around a place looks at a signature before it.
fn looks_at_signature(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let order = project.order(at);
    let signs = |name: &str| {
        let words = vocabulary::words(name);
        words.iter().any(|word| {
            matches!(word.as_str(), "verify" | "verifies" | "check" | "validate" | "valid" | "assert")
        }) && words.iter().any(|word| matches!(word.as_str(), "signature" | "signed" | "hmac" | "webhook"))
    };
    let (mut found, mut made, mut compared) = (false, false, false);
    walk::function_exprs(&unit.ir, project.function_of(at).id, &mut |expr| {
        let own = at.to(expr);
        if found || !matches!(unit.ir.expr(expr), ExprKind::Call(_)) || project.order(own) >= order {
            return;
        }
        let Some(name) = project.last_written(own) else { return };
        found = signs(name) || matches!(name, "constructEvent" | "constructEventAsync" | "construct_event");
        // `timingSafeEqual(given, createHmac("sha256", secret).update(body).digest())`
        made |=
            matches!(name, "createHmac" | "hmac") || project.written(own).iter().any(|part| part == "hmac");
        compared |= matches!(name, "timingSafeEqual" | "compare_digest");
    });
    found || (made && compared)
}
