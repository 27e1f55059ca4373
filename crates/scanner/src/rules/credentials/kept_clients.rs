//! Clients that are made once, when the server starts, with the process's own credential, and that answer every caller.

use std::collections::BTreeSet;

use partywall_model::{Confidence, Severity};
use rustc_hash::FxHashMap;

use super::{
    environment_credential::{OPERATORS, credential, first, is_operators},
    own_sessions::OWN,
};
use crate::{
    flow::{Cell, Lifetimes},
    ir::{
        ArgKind, Call, ExprId, ExprKind, FunctionId, Kinds, LogicalOp, NameRef, Pattern, PropertyKey,
        StmtKind, walk,
    },
    library::Role,
    project::{At, Cls, Fun, ModuleId, NameSet, Parent, Project, Symbol, Unit},
    rules::Report,
    tenancy::{Tenancy, is_stdio_only},
    vocabulary,
};

/// How many calls are followed from where a client is made to where it is used.
const DEPTH: u32 = 4;

/// Words of what speaks to another service.
const CLIENTS: &[&str] = &["client", "api", "sdk", "connector", "rest"];

/// Words of clients that the operator has for itself.
const ITS_OWN: &[&str] = &[
    "oauth",
    "auth",
    "jwks",
    "verifier",
    "store",
    "storage",
    "cache",
    "queue",
    "logger",
    "email",
    "rate",
    "provider",
    "agent",
    "slack",
    "discord",
    "notifier",
    "alert",
    "notification",
    "notifications",
    "push",
    "onesignal",
    "sms",
    "sns",
    "sqs",
    "ses",
    "fcm",
    "clerk",
    "firebase",
    "payment",
    "payments",
    "billing",
    "captcha",
    "analytics",
];

/// Parts of the names of packages whose clients are for what the operator runs on: clouds, sign-in, payments.
const PLATFORMS: &[&str] = &[
    "aws-sdk",
    "google-cloud",
    "azure",
    "boto",
    "clerk",
    "firebase",
    "stripe",
    "supabase",
    "auth0",
    "workos",
];

/// What a client has to do with requests.
#[derive(Default)]
struct Held {
    /// Where a request uses it first.
    used: Option<At>,
    /// The calls that a server does at its start to get it.
    got: Vec<At>,
}

/// Reports clients that hold the process's own credential and are there for all requests.
pub(super) fn kept_clients(project: &Project, lives: &Lifetimes<'_>, report: &mut Report<'_>) {
    let names = Names::of(project);
    let mut sending: FxHashMap<Cls, bool> = FxHashMap::default();
    let mut told: BTreeSet<At> = BTreeSet::new();
    for (module, unit) in project.units() {
        if project.tenancy_of(module) != Tenancy::Multi || is_stdio_only(unit) {
            continue;
        }
        for expr in &unit.index.calls {
            let at = At { module, expr: *expr };
            let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
            if call.args.is_empty() || lives.is_per_request(project.function_of(at)) {
                continue;
            }
            if !is_client(project, at, call, &names, &mut sending) {
                continue;
            }
            let Some(name) = call.args.iter().find_map(|arg| own_credential(project, unit, at.to(arg.value)))
            else {
                continue;
            };
            let mut held = Held::default();
            follow(project, lives, at, DEPTH, &mut held);
            let Some(used) = held.used else { continue };
            if tells_it_itself(project, lives, at) {
                continue;
            }
            let severity = if project.knows_callers(module)
                && project.has_owners(module)
                && !project.also_speaks_on_stdio(module)
            {
                Severity::Medium
            } else {
                Severity::Low
            };
            let message = format!(
                "this client is made once with `{name}`, which is the process's own, and answers every caller"
            );
            say(report, at, message, severity).related(
                used.module,
                project.span(used),
                "a request uses it here",
            );
            for got in held.got.into_iter().filter(|got| got.module != module && told.insert(*got)).take(12) {
                let message =
                    format!("what is got here when the server starts acts with `{name}` for every caller");
                say(report, got, message, Severity::Low).related(module, project.span(at), "it is made here");
            }
        }
    }
}

fn say<'r>(
    report: &'r mut Report<'_>,
    at: At,
    message: String,
    severity: Severity,
) -> &'r mut crate::rules::Found {
    let confidence = if severity == Severity::Low { Confidence::Low } else { Confidence::Medium };
    report.at(at, message).severity(severity).confidence(confidence)
}

/// What the names of calls say of clients, asked once for each name.
struct Names<'p> {
    /// What is the operator's or the process's own.
    own: NameSet<'p>,
    /// What speaks to another service.
    clients: NameSet<'p>,
}

impl<'p> Names<'p> {
    fn of(project: &'p Project) -> Self {
        let has = |name: &str, list: &[&str]| {
            vocabulary::words(name).iter().any(|word| list.contains(&word.as_str()))
        };
        let operators = |name: &str| {
            let is =
                |word: &String| OPERATORS.contains(&word.as_str()) && word != "client" && word != "admin";
            vocabulary::words(name).iter().any(is)
        };
        Self {
            own: project.calls_named(|name| operators(name) || has(name, ITS_OWN)),
            clients: project.calls_named(|name| has(name, CLIENTS)),
        }
    }
}

/// Whether a call makes a client of another service that is no library's own, whose credentials another rule asks for.
fn is_client(
    project: &Project,
    at: At,
    call: &Call,
    names: &Names<'_>,
    sending: &mut FxHashMap<Cls, bool>,
) -> bool {
    let Some(name) = project.last_written(at.to(call.callee)).filter(|_| !names.own.has(at)) else {
        return false;
    };
    let package = project.callee(at).and_then(|callee| callee.package.as_deref());
    if package.is_some_and(|package| PLATFORMS.iter().any(|part| package.contains(part))) {
        return false;
    }
    let named = names.clients.has(at);
    if let Symbol::Class(class) = project.symbol(at.to(call.callee)) {
        return named || *sending.entry(class).or_insert_with(|| sends(project, class));
    }
    let makes = call.is_new
        || name.starts_with(|char: char| char.is_uppercase())
        || vocabulary::words(name)
            .first()
            .is_some_and(|verb| matches!(verb.as_str(), "create" | "make" | "build" | "init" | "new"));
    named && makes && project.callee(at).is_none_or(|callee| callee.defs.is_empty())
}

/// Whether a method of a class calls another service.
fn sends(project: &Project, class: Cls) -> bool {
    let Some(unit) = project.unit(class.module) else { return false };
    unit.index.calls.iter().any(|expr| {
        let at = At { module: class.module, expr: *expr };
        project.callee(at).is_some_and(|callee| {
            callee.defs.iter().any(|def| {
                matches!(def.role, Role::Fetch | Role::Client)
                    && !matches!(def.kind.as_deref(), Some("llm" | "telemetry" | "database"))
            })
        }) && project.this_of(project.function_of(at)) == Some(class)
    })
}

/// The process's own credential in what a client is told: of the environment, or written out.
fn own_credential(project: &Project, unit: &Unit, at: At) -> Option<String> {
    let mut found = None;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        if found.is_none() {
            let own = credential(project, unit, at.to(expr)).map(|(name, _)| name);
            found = own.or_else(|| written_out(unit, expr)).filter(|name| is_upstream(name));
        }
    });
    found
}

/// The name of a constant of the module that holds a credential as it is.
fn written_out(unit: &Unit, expr: ExprId) -> Option<String> {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(expr) else { return None };
    let [source] = unit.index.sources(*id) else { return None };
    let name = unit.ir.binding_name(*id);
    let plain = source.path.is_empty() && matches!(unit.ir.expr(source.value), ExprKind::String(_));
    (plain && unit.ir.is_module_level(*id) && vocabulary::is_credential(name)).then(|| name.to_owned())
}

fn is_upstream(name: &str) -> bool {
    let own = |word: &String| OWN.contains(&word.as_str()) || ITS_OWN.contains(&word.as_str());
    !is_operators(name) && !vocabulary::words(name).iter().any(own)
}

/// Whether the client's own class sends the credential where a request is answered, which is reported there.
fn tells_it_itself(project: &Project, lives: &Lifetimes<'_>, at: At) -> bool {
    let Some(ExprKind::Call(call)) = project.unit(at.module).map(|unit| unit.ir.expr(at.expr)) else {
        return false;
    };
    let Symbol::Class(class) = project.symbol(at.to(call.callee)) else { return false };
    let Some(unit) = project.unit(class.module) else { return false };
    unit.ir.functions().any(|(id, function)| {
        let fun = Fun { module: class.module, id };
        function.class == Some(class.id) && lives.is_per_request(fun) && first(project, unit, fun).is_some()
    })
}

/// Follows a client from where it is made, or got, to what requests use.
fn follow(project: &Project, lives: &Lifetimes<'_>, at: At, depth: u32, held: &mut Held) {
    let (Some(depth), Some(unit)) = (depth.checked_sub(1), project.unit(at.module)) else { return };
    let mut here = at.expr;
    for _ in 0..8 {
        match unit.index.parent(here) {
            Parent::Expr(up) => match unit.ir.expr(up) {
                ExprKind::Await(_) | ExprKind::Logical { .. } => here = up,
                ExprKind::Conditional { test, .. } if *test != here => here = up,
                ExprKind::Assign { target, .. } => return kept_in(project, lives, at, target, depth, held),
                ExprKind::Call(call) if call.callee != here => {
                    return match yielded(unit, up, here) {
                        Some(name) => kept_for_all(project, lives, name, held),
                        None => handed(project, lives, at.to(up), here, depth, held),
                    };
                }
                ExprKind::Object(_) => {
                    if let Some(name) = yielded(unit, up, here) {
                        kept_for_all(project, lives, name, held);
                    }
                    return;
                }
                _ => return,
            },
            Parent::Stmt(stmt) => match unit.ir.stmt(stmt) {
                StmtKind::Assign { target, .. } => return kept_in(project, lives, at, target, depth, held),
                StmtKind::Return(_) => {
                    let fun = project.function_of(at);
                    for call in project.callers(fun).iter().take(16) {
                        let before = held.used;
                        follow(project, lives, *call, depth, held);
                        if held.used.is_some()
                            && (before.is_none() || held.got.len() < 12)
                            && !held.got.contains(call)
                        {
                            held.got.push(*call);
                        }
                    }
                    return;
                }
                _ => return,
            },
            _ => return,
        }
    }
}

/// The name under which a record that a lifespan gives has a value: `yield AppContext(desk=desk)`, `yield {"desk": desk}`.
fn yielded(unit: &Unit, record: ExprId, value: ExprId) -> Option<&str> {
    let Parent::Expr(up) = unit.index.parent(record) else { return None };
    if !matches!(unit.ir.expr(up), ExprKind::Yield { .. }) {
        return None;
    }
    let name = match unit.ir.expr(record) {
        ExprKind::Call(call) => call.args.iter().find_map(|arg| match arg.kind {
            ArgKind::Keyword(name) if arg.value == value => Some(name),
            _ => None,
        }),
        ExprKind::Object(properties) => properties.iter().find_map(|property| match property.key {
            PropertyKey::Name(name) if property.value == value => Some(name),
            _ => None,
        }),
        _ => None,
    };
    name.map(|name| unit.ir.text(name))
}

/// Looks for the first read by a request of what a lifespan gives under a name.
fn kept_for_all(project: &Project, lives: &Lifetimes<'_>, name: &str, held: &mut Held) {
    let given = |at: At| {
        project.written(at).iter().any(|part| part.starts_with("lifespan_") || part == "app_context")
    };
    for (module, unit) in project.units() {
        let read = unit.ir.exprs_of(Kinds::MEMBER | Kinds::INDEX).find_map(|(expr, kind)| {
            let object = match kind {
                ExprKind::Member { object, property, .. } if unit.ir.text(*property) == name => *object,
                ExprKind::Index { object, index, .. } => match unit.ir.expr(*index) {
                    ExprKind::String(text) if unit.ir.text(*text) == name => *object,
                    _ => return None,
                },
                _ => return None,
            };
            let at = At { module, expr };
            let whole = match unit.ir.expr(object) {
                ExprKind::Name(NameRef::Binding(id)) => {
                    unit.index.sources(*id).iter().any(|source| given(at.to(source.value)))
                }
                _ => given(at.to(object)),
            };
            (whole && lives.is_per_request(project.function_of(at))).then_some(at)
        });
        if held.used.is_none() {
            held.used = read;
        }
    }
}

/// Follows what is put into a variable or field.
fn kept_in(project: &Project, lives: &Lifetimes<'_>, at: At, target: &Pattern, depth: u32, held: &mut Held) {
    match target {
        Pattern::Binding(id) => uses_of(project, lives, at.module, *id, depth, held),
        Pattern::Place(place) => {
            if let Some(cell) = lives.cell(at.to(*place)) {
                see(project, lives, &cell, held);
            }
        }
        _ => {}
    }
}

/// Follows a variable to what requests do with it, and to what it is given back by.
fn uses_of(
    project: &Project,
    lives: &Lifetimes<'_>,
    module: ModuleId,
    id: crate::ir::BindingId,
    depth: u32,
    held: &mut Held,
) {
    let Some(unit) = project.unit(module) else { return };
    if lives.binding_outlives(module, id) {
        see(project, lives, &Cell::Binding(module, id), held);
    }
    if held.used.is_none() {
        for used in unit.index.uses(id).iter().take(16) {
            follow(project, lives, At { module, expr: *used }, depth, held);
        }
    }
}

/// Follows an argument into the function that it is given to.
fn handed(project: &Project, lives: &Lifetimes<'_>, call: At, arg: ExprId, depth: u32, held: &mut Held) {
    let Some(callee) = project.callee(call).filter(|callee| callee.certain) else { return };
    for target in callee.targets.iter().take(2) {
        let Some(function) = project.unit(target.module).and_then(|unit| unit.ir.function(target.id)) else {
            continue;
        };
        for (number, parameter) in function.params.iter().enumerate() {
            if project.argument(call, *target, number).is_some_and(|given| given.expr == arg)
                && let Some(id) = parameter.pattern.as_binding()
            {
                uses_of(project, lives, target.module, id, depth, held);
            }
        }
    }
}

/// Looks for the first use of a request, where nothing of the caller goes before it.
fn see(project: &Project, lives: &Lifetimes<'_>, cell: &Cell, held: &mut Held) {
    if held.used.is_some() {
        return;
    }
    let mut reads = lives.reads(project, cell);
    // Other modules may import it under another name.
    if let Cell::Binding(module, id) = cell {
        for (other, own) in project.importing(*module) {
            let Some(unit) = project.unit(*other) else { continue };
            if project.declared(*other, *own) == Some((*module, *id)) {
                let uses = unit.index.uses(*own).iter().map(|expr| At { module: *other, expr: *expr });
                reads.extend(uses.map(|at| (at, project.function_of(at), unit.index.order(at.expr))));
            }
        }
    }
    let serves = |at: &At, fun: Fun| {
        fun.id != FunctionId::MODULE
            && lives.is_per_request(fun)
            && project.unit(at.module).is_some_and(|unit| !comes_second(unit, at.expr))
    };
    held.used = reads.into_iter().find(|(at, fun, _)| serves(at, *fun)).map(|(at, ..)| at);
}

/// Whether a value is taken only where another one is missing, or is only tested.
fn comes_second(unit: &Unit, expr: ExprId) -> bool {
    match unit.index.parent(expr) {
        Parent::Expr(up) => match unit.ir.expr(up) {
            ExprKind::Logical { op: LogicalOp::Or | LogicalOp::Nullish, right, .. } => *right == expr,
            ExprKind::Conditional { .. } | ExprKind::Unary { .. } | ExprKind::Compare { .. } => true,
            _ => false,
        },
        Parent::Stmt(stmt) => matches!(unit.ir.stmt(stmt), StmtKind::If { .. }),
        _ => false,
    }
}
