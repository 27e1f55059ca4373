//! A route that gives what is known of people, or of their business, to whoever asks, beside routes of the same things that let only those
//! through who have signed in: `@Get(":id")` of leads beside `@UseGuards(JwtGuard) @Post()`.

use std::collections::BTreeMap;

use partywall_model::Confidence;

use crate::{
    flow::Entry,
    ir::{ExprId, ExprKind, Language},
    project::{Cls, ModuleId, Project, Unit},
    rules::Report,
    vocabulary,
};

/// How many routes of the same things have to be guarded.
const GUARDED: usize = 2;

/// Words of things that nobody shows to everybody.
const PERSONAL: &[&str] = &[
    "lead",
    "patient",
    "customer",
    "contact",
    "invoice",
    "payment",
    "appointment",
    "prescription",
    "message",
    "conversation",
    "chat",
    "ticket",
    "employee",
    "salary",
    "payroll",
    "order",
    "subscriber",
    "candidate",
    "applicant",
    "transaction",
    "expense",
    "loan",
    "claim",
    "policy",
    "document",
    "report",
    "record",
    "student",
    "booking",
    "reservation",
    "subscription",
    "wallet",
];

/// Words of guards and of middleware that asks who calls.
const GUARDS: &[&str] = &[
    "guard",
    "guards",
    "auth",
    "authenticate",
    "authenticated",
    "authorize",
    "authorized",
    "jwt",
    "protect",
    "protected",
    "login",
    "signed",
    "roles",
];

/// More words of what a route is given before its handler, and that asks who calls.
const MIDDLE: &[&str] =
    &["require", "ensure", "user", "admin", "session", "token", "verify", "passport", "member", "role"];

/// Words of routes that are for everybody, or have a secret of their own.
const OPEN: &[&str] = &[
    "public", "webhook", "webhooks", "callback", "health", "login", "register", "verify", "token", "share",
    "shared", "slug", "track", "tracking",
];

/// Reports such routes.
pub(super) fn sibling_without_guard(project: &Project, report: &mut Report<'_>) {
    // A guard of the whole application is no decorator.
    if project.units().any(|(_, unit)| unit.ir.has_name(&["APP_GUARD", "useGlobalGuards"])) {
        return;
    }
    let mut modules: BTreeMap<(ModuleId, Option<Cls>), Vec<&Entry>> = BTreeMap::new();
    for entry in project.entries().iter().filter(|entry| entry.kind == "http") {
        let javascript = project
            .unit(entry.registration.module)
            .is_some_and(|unit| unit.ir.language == Language::JavaScript);
        if javascript && entry.registration.expr != ExprId::MISSING && is_last(project, entry) {
            let class = project.this_of(entry.handler);
            modules.entry((entry.registration.module, class)).or_default().push(entry);
        }
    }
    for ((module, _), entries) in modules {
        let Some(unit) = project.unit(module) else { continue };
        if entries.iter().any(|entry| is_guarded_as_one(project, unit, entry)) {
            continue;
        }
        let (guarded, open): (Vec<&Entry>, Vec<&Entry>) =
            entries.into_iter().partition(|entry| is_guarded(project, unit, entry));
        if guarded.len() < GUARDED || open.len() > guarded.len() {
            continue;
        }
        for entry in open {
            let Some(thing) = personal(project, unit, entry)
                .filter(|_| reads(project, unit, entry) && !is_for_all(project, unit, entry))
            else {
                continue;
            };
            let span = project
                .unit(entry.handler.module)
                .and_then(|home| Some(home.ir.function(entry.handler.id)?.head))
                .unwrap_or_default();
            report
                .add(
                    entry.handler.module,
                    span,
                    format!("whoever asks is given `{thing}`, which the routes beside this one guard"),
                )
                .confidence(Confidence::Medium)
                .related(
                    module,
                    project.span(guarded.first().map_or(entry.registration, |entry| entry.registration)),
                    "a guard lets through who has signed in",
                );
        }
    }
}

/// Whether a handler is what a route comes to in the end, and not what stands before that.
fn is_last(project: &Project, entry: &Entry) -> bool {
    let Some(unit) = project.unit(entry.registration.module) else { return false };
    let ExprKind::Call(call) = unit.ir.expr(entry.registration.expr) else { return false };
    match call.args.last() {
        Some(last) if call.args.len() > 1 => {
            project.functions_of(entry.registration.to(last.value)).contains(&entry.handler)
        }
        _ => true,
    }
}

/// The decorators of a handler, or what a route is given before its handler.
fn before(project: &Project, unit: &Unit, entry: &Entry) -> Vec<String> {
    let mut texts = Vec::new();
    let home = project.unit(entry.handler.module);
    if let Some((home, function)) = home.and_then(|home| Some((home, home.ir.function(entry.handler.id)?)))
        && function.class.is_some()
    {
        texts.extend(function.decorators.iter().map(|own| home.ir.snippet(home.ir.span(*own)).to_owned()));
    }
    if let ExprKind::Call(call) = unit.ir.expr(entry.registration.expr) {
        let count = call.args.len().saturating_sub(1);
        let middle =
            call.args.iter().take(count).filter(|arg| {
                !matches!(unit.ir.expr(arg.value), ExprKind::String(_) | ExprKind::Function(_))
            });
        texts.extend(middle.map(|arg| unit.ir.snippet(unit.ir.span(arg.value)).to_owned()));
    }
    texts
}

fn says(text: &str, list: &[&str]) -> bool {
    vocabulary::words(text).iter().any(|word| list.contains(&word.as_str()))
}

fn is_guarded(project: &Project, unit: &Unit, entry: &Entry) -> bool {
    // A decorator speaks of users also where it says what is answered.
    let by_route = project.this_of(entry.handler).is_none();
    before(project, unit, entry).iter().any(|text| {
        let named = text.split(|char: char| !(char.is_alphanumeric() || char == '_'));
        named.into_iter().any(|name| says(name, GUARDS) || (by_route && says(name, MIDDLE)))
    })
}

/// Whether the class of a handler, or the router that it is registered with, has a guard for all of its routes.
fn is_guarded_as_one(project: &Project, unit: &Unit, entry: &Entry) -> bool {
    let of_class = project.this_of(entry.handler).is_some_and(|class| {
        let decl = project.unit(class.module).and_then(|home| Some((home, home.ir.class(class.id)?)));
        decl.is_some_and(|(home, decl)| {
            decl.decorators.iter().any(|own| {
                let text = home.ir.snippet(home.ir.span(*own));
                text.split(|char: char| !(char.is_alphanumeric() || char == '_'))
                    .any(|name| says(name, GUARDS))
            })
        })
    });
    // `router.use(requireUser)`
    let by_router = || {
        unit.index.calls.iter().any(|expr| {
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { return false };
            let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { return false };
            matches!(unit.ir.text(*property), "use" | "addHook" | "all")
                && unit.ir.snippet(unit.ir.span(*expr)).len() < 400
                && {
                    let text = unit.ir.snippet(unit.ir.span(*expr));
                    text.split(|char: char| !(char.is_alphanumeric() || char == '_'))
                        .any(|name| says(name, GUARDS) || says(name, &["user", "session"]))
                }
        })
    };
    of_class || by_router()
}

/// Whether a route reads.
fn reads(project: &Project, unit: &Unit, entry: &Entry) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(entry.registration.expr) else { return false };
    let name = project.written_as_exported(entry.registration.to(call.callee)).pop();
    name.is_some_and(|name| matches!(name.as_str(), "get" | "Get"))
}

/// The word of what a route gives: of its path, its class, its handler or its file.
fn personal(project: &Project, unit: &Unit, entry: &Entry) -> Option<String> {
    let class =
        project.this_of(entry.handler).map(|class| project.class_name(class).to_owned()).unwrap_or_default();
    let file = unit.ir.path.rsplit('/').next().unwrap_or_default().to_owned();
    let own = project.function_name(entry.handler).to_owned();
    [route(unit, entry).unwrap_or_default(), class, own, file].iter().find_map(|text| {
        vocabulary::words(text).iter().find_map(|word| {
            let one = crate::flow::singular(word);
            PERSONAL.contains(&one.as_str()).then(|| word.clone())
        })
    })
}

fn route(unit: &Unit, entry: &Entry) -> Option<String> {
    let ExprKind::Call(call) = unit.ir.expr(entry.registration.expr) else { return None };
    match unit.ir.expr(call.positional(0)?) {
        ExprKind::String(text) => Some(unit.ir.text(*text).to_owned()),
        _ => None,
    }
}

/// Whether a route is for everybody by its name, or asks in its own code who calls.
fn is_for_all(project: &Project, unit: &Unit, entry: &Entry) -> bool {
    let route = route(unit, entry).unwrap_or_default();
    let named = says(&route, OPEN)
        || says(project.function_name(entry.handler), OPEN)
        || project.is_public(entry)
        || project.is_operators(entry);
    let decorated = before(project, unit, entry).iter().any(|text| says(text, OPEN));
    let home = project.unit(entry.handler.module);
    let asks = home
        .and_then(|home| Some(home.ir.snippet(home.ir.function(entry.handler.id)?.span).to_lowercase()))
        .is_some_and(|text| {
            ["user", "auth", "session", "token", "principal", "signature"]
                .iter()
                .any(|word| text.contains(word))
        });
    named || decorated || asks
}
