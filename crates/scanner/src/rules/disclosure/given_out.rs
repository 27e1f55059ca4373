//! What handlers of HTTP give out that lets whoever has it act: a key of the process's own, the ids of everybody's sessions.

use partywall_model::{Confidence, Severity};

use super::credential_in_answer::{MAKERS, is_about};
use crate::{
    flow::{Entry, Lifetimes, Origins},
    ir::{Call, ExprId, ExprKind, NameRef, Pattern, PropertyKey, TemplatePart},
    library::Role,
    project::{At, Fun, Parent, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How far an answer is taken apart.
const DEPTH: u32 = 6;

/// Methods and functions that answer a request.
const ANSWERS: &[&str] = &[
    "json",
    "send",
    "end",
    "render",
    "jsonify",
    "render_template",
    "JSONResponse",
    "TemplateResponse",
    "JsonResponse",
];

/// Words of keys that are made to be shown.
const SHOWN: &[&str] = &[
    "publishable",
    "pub",
    "pk",
    "anon",
    "client",
    "site",
    "map",
    "maps",
    "mapbox",
    "firebase",
    "vapid",
    "captcha",
    "recaptcha",
    "hcaptcha",
    "turnstile",
    "analytics",
    "posthog",
    "segment",
    "measurement",
    "algolia",
    "search",
    "sentry",
    "intercom",
    "demo",
    "test",
    "csrf",
];

/// Reports such answers.
pub(super) fn given_out(project: &Project, report: &mut Report<'_>) {
    own_keys(project, report);
    sessions(project, report);
}

/// The handler of HTTP that a function is a part of; none of the operator's own people.
fn handler(project: &Project, fun: Fun) -> Option<&Entry> {
    let entry = project.entry_around(fun)?;
    (entry.kind == "http" && !project.is_operators(entry)).then_some(entry)
}

fn own_keys(project: &Project, report: &mut Report<'_>) {
    let answers = project.calls_named(|name| ANSWERS.contains(&name));
    for (module, unit) in project.units() {
        for expr in answers.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let fun = project.function_of(at);
            let open = |entry: &&Entry| is_open(project, entry.handler) && is_open(project, fun);
            let Some(entry) = handler(project, fun).filter(open) else { continue };
            let found = call.args.iter().find_map(|arg| own_key(project, at.to(arg.value), DEPTH));
            tell(project, report, entry, found);
        }
    }
    // `return { key: process.env.SPEECH_API_KEY }` of a handler whose answer is what it returns.
    for entry in project.entries() {
        let fun = entry.handler;
        let Some(unit) =
            project.unit(fun.module).filter(|_| handler(project, fun).is_some() && is_open(project, fun))
        else {
            continue;
        };
        let values = unit.index.returns(fun.id).iter().map(|value| At { module: fun.module, expr: *value });
        let found = values.take(8).find_map(|value| own_key(project, value, DEPTH));
        tell(project, report, entry, found);
    }
}

fn tell(project: &Project, report: &mut Report<'_>, entry: &Entry, found: Option<(At, String)>) {
    let makes = vocabulary::words(project.function_name(entry.handler))
        .iter()
        .any(|word| MAKERS.contains(&word.as_str()));
    if let Some((place, name)) = found.filter(|_| !makes) {
        report
            .reached(place, format!("`{name}` of the process is part of what every caller is answered"))
            .severity(Severity::Medium)
            .confidence(Confidence::Medium);
    }
}

/// Whether a handler asks its caller for no secret of the process and no rank.
fn is_open(project: &Project, fun: Fun) -> bool {
    let of_process = |side: At| project.origins(side).has(Origins::ENV);
    !project.refuses_by_rank(fun)
        && !project.guards(fun).iter().any(|guard| of_process(guard.left) || of_process(guard.right))
}

/// A credential of the process's own in a value, as it is: not what was made with it.
fn own_key(project: &Project, at: At, depth: u32) -> Option<(At, String)> {
    let depth = depth.checked_sub(1)?;
    let unit = project.unit(at.module)?;
    let below = |expr: ExprId| own_key(project, at.to(expr), depth);
    match unit.ir.expr(at.expr) {
        ExprKind::Object(properties) => properties.iter().find_map(|property| match property.key {
            PropertyKey::Name(name) if is_no_secret(unit.ir.text(name)) => None,
            _ => below(property.value),
        }),
        ExprKind::Array { items, .. } => items.iter().copied().find_map(below),
        ExprKind::Template(parts) => parts.iter().find_map(|part| match part {
            TemplatePart::Value(value) => below(*value),
            TemplatePart::Text(_) => None,
        }),
        ExprKind::Logical { left, right, .. } => below(*left).or_else(|| below(*right)),
        ExprKind::Call(call) => {
            let name = project.written(at.to(call.callee)).pop()?;
            matches!(name.as_str(), "stringify" | "dumps").then(|| below(call.positional(0)?)).flatten()
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            let [source] = unit.index.sources(*id) else { return None };
            let followed = source.path.is_empty() && !is_no_secret(unit.ir.binding_name(*id));
            let (_, name) = followed.then(|| below(source.value)).flatten()?;
            Some((at, name))
        }
        ExprKind::Member { property, .. } => {
            let name = unit.ir.text(*property);
            let own = vocabulary::is_credential(name) && !is_no_secret(name) && is_of_process(project, at);
            own.then(|| (at, name.to_owned()))
        }
        _ => None,
    }
}

fn is_no_secret(name: &str) -> bool {
    is_about(name) || vocabulary::words(name).iter().any(|word| SHOWN.contains(&word.as_str()))
}

/// Whether a value is of the process's environment and of nothing else.
fn is_of_process(project: &Project, at: At) -> bool {
    project.origins(at).without(Origins::CONSTANT) == Origins::ENV
}

/// Reports lists of the ids of sessions that hold transports: in a server that lets in whoever has one, an id is all that is needed.
fn sessions(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    let lists = project.calls_named(|name| matches!(name, "keys" | "entries" | "list"));
    for (module, unit) in project.units() {
        for expr in lists.among(module) {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            let Some(map) =
                listed(unit, call).filter(|_| handler(project, project.function_of(at)).is_some())
            else {
                continue;
            };
            let named = vocabulary::words(project.last_written(at.to(map)).unwrap_or_default());
            let holds = named.iter().any(|word| matches!(word.as_str(), "transport" | "transports"))
                || lives.holds(at.to(map), &[Role::Transport]);
            if holds && shows_ids(unit, *expr) && project.is_shown(at) {
                report
                    .reached(at, "the ids of all sessions are given to whoever asks, and an id is what a session is used with")
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium)
                    .fix("Answer with how many there are, or show the list to the operator only; compare the session's owner with the caller.");
            }
        }
    }
}

/// The map whose keys a call lists: `map.keys()`, `Object.keys(map)`, `list(map)`.
fn listed(unit: &Unit, call: &Call) -> Option<ExprId> {
    match unit.ir.expr(call.callee) {
        ExprKind::Member { object, .. } => match unit.ir.expr(*object) {
            ExprKind::Name(NameRef::Global(name)) if unit.ir.text(*name) == "Object" => call.positional(0),
            _ => call.args.is_empty().then_some(*object),
        },
        ExprKind::Name(NameRef::Global(_)) => call
            .positional(0)
            .filter(|arg| matches!(unit.ir.expr(*arg), ExprKind::Name(_) | ExprKind::Member { .. })),
        _ => None,
    }
}

/// Whether what is made of each entry has its key in it, and not only a part of that.
fn shows_ids(unit: &Unit, list: ExprId) -> bool {
    let mut here = list;
    for _ in 0..8 {
        let Parent::Expr(up) = unit.index.parent(here) else { return true };
        if let ExprKind::Call(call) = unit.ir.expr(up)
            && let Some(made) = call.positional(0)
            && call.callee == here
            && let ExprKind::Function(id) = unit.ir.expr(made)
        {
            let Some(function) = unit.ir.function(*id) else { return false };
            let key = match function.params.first().map(|own| &own.pattern) {
                Some(Pattern::Array { items, .. }) => {
                    items.first().and_then(|first| first.as_ref()?.as_binding())
                }
                Some(pattern) => pattern.as_binding(),
                None => None,
            };
            let cuts = |used: &ExprId| {
                matches!(unit.index.parent(*used), Parent::Expr(up) if matches!(unit.ir.expr(up),
                    ExprKind::Member { .. } | ExprKind::Call(_) | ExprKind::Index { .. }))
            };
            return key.is_some_and(|key| unit.index.uses(key).iter().any(|used| !cuts(used)));
        }
        here = up;
    }
    true
}
