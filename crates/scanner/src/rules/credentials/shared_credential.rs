//! One credential out of the process's environment that the tools use for every caller.

use std::collections::BTreeSet;

use partywall_model::{Axis, Check, Confidence, Layer, Severity};
use rustc_hash::FxHashMap;

use crate::{
    flow::{Lifetimes, Origins},
    ir::{ArgKind, ExprId, ExprKind, NameRef, PropertyKey},
    library::{CallDef, Role},
    project::{At, Project},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "shared-credential",
        layer: Layer::Credentials,
        summary: "Another service is called for every tenant with one credential out of the process's environment.",
    },
    severity: Severity::High,
    axis: Axis::Credentials,
    why: "The other service cannot tell the tenants apart: each caller reads and writes all that the one credential opens.",
    fix: "Look the credential up by the verified tenant for each request, and make the client with it.",
    cwe: &["CWE-441", "CWE-522"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021", "A07:2021"],
    markdown: include_str!("shared_credential.md"),
    run,
};

/// How many calls and names are followed from a client to where it is made.
const DEPTH: u32 = 6;

/// Services that the operator uses for itself: payments, mail, messages.
pub(super) const OPERATORS: &[&str] = &["stripe", "twilio", "sendgrid", "mailchimp", "sentry", "resend", "postmark"];

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let mut seen: BTreeSet<At> = BTreeSet::new();
    for (module, unit) in project.units() {
        for call in &unit.index.calls {
            let at = At { module, expr: *call };
            let fun = project.function_of(at);
            if !lives.is_per_request(fun) {
                continue;
            }
            let ExprKind::Call(expr) = unit.ir.expr(*call) else { continue };
            let receiver = match unit.ir.expr(expr.callee) {
                ExprKind::Member { object, .. } => lives
                    .made_before(at.to(*object), &[Role::Client])
                    .or_else(|| of_state(project, at.to(*object), DEPTH))
                    .and_then(|made| maker(project, made, DEPTH)),
                _ => None,
            };
            let Some(made) = receiver.or_else(|| is_service(project, at).then_some(at)) else { continue };
            if seen.contains(&made) || !has_fixed_credential(project, made) || super::of_models::asks_a_model(project, made) || super::oauth_apps::is_app_without_token(project, made) {
                continue;
            }
            let global = super::global_fetch::is_global(project, made);
            if global && (super::global_fetch::is_the_servers_own(project, made) || !is_of_tool(project, at)) {
                continue;
            }
            seen.insert(made);
            judge(project, at, made, report);
        }
    }
}

fn judge(project: &Project, used: At, made: At, report: &mut Report<'_>) {
    let tool = is_of_tool(project, used);
    let found =
        report.reached(used, "this call uses one credential of the process's environment for every caller");
    if made != used {
        found.related(made.module, project.span(made), "the client is made here, once for all");
    }
    // A server that never asks who calls may be one user's own; the operator's own store is behind the server for all.
    if !tool
        || !is_all_of_environment(project, made)
        || keeps_the_servers_own(project, made)
        || project.also_speaks_on_stdio(used.module)
        || !project.has_owners(used.module) || !(project.is_asked_multi() || project.knows_callers(used.module)) {
        found.severity(Severity::Medium).confidence(Confidence::Medium);
    }
}

/// Whether a call is certain to be reached by a tool, a resource or a prompt.
fn is_of_tool(project: &Project, at: At) -> bool {
    let fun = project.function_of(at);
    let reach = project.around(fun).into_iter().find_map(|fun| project.reach(fun));
    reach.and_then(|reach| Some((reach.certain, project.entries().get(reach.entry)?))).is_some_and(|(certain, entry)| {
        certain && matches!(entry.kind.as_str(), "tool" | "resource" | "prompt")
    })
}

/// Whether a client is made in a part of the server that is named for where it keeps its own data: `storage/cloudflare.py`,
/// `class D1Backend`.
fn keeps_the_servers_own(project: &Project, made: At) -> bool {
    let Some(unit) = project.unit(made.module) else { return false };
    let class = project.this_of(project.function_of(made)).map_or("", |class| project.class_name(class)).to_owned();
    let folder = unit.ir.path.rsplit('/').nth(1).unwrap_or("");
    let has = |name: &str, list: &[&str]| vocabulary::words(name).iter().any(|word| list.contains(&word.as_str()));
    has(folder, &["storage", "storages", "vectorstore", "vectorstores", "embeddings"]) || has(&class, &["storage", "backend", "embedding"])
}

/// What an application keeps for all requests under a name: `ctx.request_context.lifespan_context.client`,
/// `request.app.state.client`.
fn of_state(project: &Project, at: At, depth: u32) -> Option<At> {
    let (depth, unit) = (depth.checked_sub(1)?, project.unit(at.module)?);
    match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            let [source] = unit.index.sources(*id) else { return None };
            of_state(project, at.to(source.value), depth)
        }
        ExprKind::Await(value) => of_state(project, at.to(*value), depth),
        ExprKind::Member { object, property, .. } => {
            let holder = project.written(at.to(*object));
            let kept = holder.iter().rev().take(2).any(|name| {
                matches!(name.as_str(), "lifespan_context" | "lifespan_state" | "state" | "app_context")
            });
            kept.then(|| kept_as(project, unit.ir.text(*property)))?
        }
        ExprKind::Index { object, index, .. } => {
            let kept = project.written(at.to(*object)).last().is_some_and(|name| name == "lifespan_context");
            match unit.ir.expr(*index) {
                ExprKind::String(name) if kept => kept_as(project, unit.ir.text(*name)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The value that some code keeps under a name for the application: it is written to its state, or a lifespan gives it.
fn kept_as(project: &Project, wanted: &str) -> Option<At> {
    project.memory.kept.get_or_init(|| kept(project)).get(wanted).copied()
}

/// All that is kept for the application, the first of each name.
fn kept(project: &Project) -> FxHashMap<String, At> {
    let mut all = FxHashMap::default();
    for (module, unit) in project.units() {
        let mut keep = |name: &str, expr: ExprId| {
            all.entry(name.to_owned()).or_insert(At { module, expr });
        };
        for write in &unit.index.writes {
            let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { continue };
            let holder = project.written(At { module, expr: *object });
            if holder.last().is_some_and(|name| name == "state") {
                keep(unit.ir.text(*property), write.value);
            }
        }
        for (_, kind) in unit.ir.exprs() {
            let ExprKind::Yield { value: Some(record), .. } = kind else { continue };
            // What a record that is given has under a name: `AppContext(client=client)`, `{"client": client}`.
            match unit.ir.expr(*record) {
                ExprKind::Call(call) => call.args.iter().for_each(|arg| {
                    if let ArgKind::Keyword(name) = arg.kind {
                        keep(unit.ir.text(name), arg.value);
                    }
                }),
                ExprKind::Object(properties) => properties.iter().for_each(|property| {
                    if let PropertyKey::Name(name) = property.key {
                        keep(unit.ir.text(name), property.value);
                    }
                }),
                _ => {}
            }
        }
    }
    all
}

/// The call that makes a client, found through names and functions of the project.
fn maker(project: &Project, at: At, depth: u32) -> Option<At> {
    let depth = depth.checked_sub(1)?;
    let unit = project.unit(at.module)?;
    match unit.ir.expr(at.expr) {
        ExprKind::Await(value) => maker(project, at.to(*value), depth),
        ExprKind::Logical { left, right, .. } => {
            maker(project, at.to(*left), depth).or_else(|| maker(project, at.to(*right), depth))
        }
        ExprKind::Name(NameRef::Binding(id)) => unit
            .index
            .sources(*id)
            .iter()
            .take(4)
            .find_map(|source| maker(project, at.to(source.value), depth)),
        ExprKind::Call(_) => {
            if is_service(project, at) {
                return Some(at);
            }
            let callee = project.callee(at)?;
            callee.targets.iter().take(2).find_map(|target| {
                let unit = project.unit(target.module)?;
                let returns = unit.index.returns(target.id).iter().take(4);
                returns.copied().find_map(|expr| maker(project, At { module: target.module, expr }, depth))
            })
        }
        _ => None,
    }
}

/// What libraries say of a call that makes or uses a client of a service with data of tenants.
fn service(project: &Project, at: At) -> Option<&CallDef> {
    let callee = project.callee(at)?;
    if callee.package.as_deref().is_some_and(|package| OPERATORS.iter().any(|name| package.contains(name))) {
        return None;
    }
    let def = callee.defs.iter().find(|def| {
        matches!(def.role, Role::Client | Role::Fetch)
            && !matches!(def.kind.as_deref(), Some("llm" | "telemetry" | "database"))
    })?;
    Some(def)
}

fn is_service(project: &Project, at: At) -> bool {
    service(project, at).is_some()
}

/// Whether the credential of a client is the environment's and nothing of the request is part of it.
fn has_fixed_credential(project: &Project, made: At) -> bool {
    let Some(def) = service(project, made) else { return false };
    let saas = def.kind.as_deref() == Some("saas");
    def.credential.iter().flat_map(|place| project.at_place(made, place)).any(|value| {
        let mut fixed = false;
        credential_values(project, value, saas, DEPTH, &mut |value| {
            let origins = project.origins(value);
            fixed |= origins.has(Origins::ENV) && !origins.is_of_request() && !origins.has_owner() && !is_signed_in(project, value);
        });
        fixed
    })
}

/// Whether all that is seen of a client's credential is the environment's: what a store of tokens adds may be somebody's own.
fn is_all_of_environment(project: &Project, made: At) -> bool {
    let Some(def) = service(project, made) else { return false };
    let saas = def.kind.as_deref() == Some("saas");
    def.credential.iter().flat_map(|place| project.at_place(made, place)).any(|value| {
        let mut all = false;
        credential_values(project, value, saas, DEPTH, &mut |value| {
            let origins = project.origins(value);
            all |= origins.has(Origins::ENV) && !origins.has(Origins::UNKNOWN);
        });
        all
    })
}

/// Whether a value is a parameter of a type of somebody's sign-in, `credentials: Credentials`, of which not all is known: what the
/// environment adds is the application's own id and secret.
fn is_signed_in(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    let Some((fun, number, path)) = project.parameter_of(at.module, *id) else { return false };
    let typed = unit.ir.function(fun.id).and_then(|function| function.params.get(number)?.type_text);
    let named = typed.is_some_and(|text| {
        vocabulary::words(unit.ir.text(text)).iter().any(|word| matches!(word.as_str(), "credentials" | "credential"))
    });
    path.is_empty() && named && project.origins(at).has(Origins::UNKNOWN)
}

/// The credentials in an argument: those of its properties that are named like one, or for a SaaS client the value itself.
fn credential_values(project: &Project, at: At, whole: bool, depth: u32, visit: &mut impl FnMut(At)) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let Some(unit) = project.unit(at.module) else { return };
    match unit.ir.expr(at.expr) {
        ExprKind::Object(properties) => {
            for property in properties {
                let PropertyKey::Name(name) = property.key else { continue };
                let name = unit.ir.text(name);
                if vocabulary::is_credential(name) || matches!(name, "auth" | "headers" | "Cookie" | "cookie")
                {
                    credential_values(project, at.to(property.value), true, depth, visit);
                }
            }
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            let sources = unit.index.sources(*id);
            let literal = sources.iter().any(|source| {
                matches!(unit.ir.expr(source.value), ExprKind::Object(_)) && source.path.is_empty()
            });
            if literal {
                for source in sources {
                    credential_values(project, at.to(source.value), whole, depth, visit);
                }
            } else if whole {
                visit(at);
            }
        }
        // `auth=("user", TOKEN)`, `auth=BasicAuth(USER, TOKEN)`: what is named like a credential decides.
        ExprKind::Array { items, .. } => {
            for item in items {
                credential_values(project, at.to(*item), true, depth, visit);
            }
        }
        ExprKind::Call(call) if whole => {
            let plain =
                call.args.iter().any(|arg| matches!(arg.kind, ArgKind::Positional | ArgKind::Keyword(_)));
            if plain {
                visit(at);
            }
        }
        _ if whole => visit(at),
        _ => {}
    }
}
