//! The credential or headers of one request as defaults of a client that all requests use.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::put_on_clients;
use crate::{
    flow::{Lifetimes, Origins},
    ir::{BindingKind, Call, ExprId, ExprKind, FunctionId, ImportKind, Language, NameRef, PropertyKey, StmtKind},
    project::{At, Fun, Project, Symbol, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "shared-client-defaults",
        layer: Layer::State,
        summary: "The credential or headers of one request become the defaults of a client that all requests use.",
    },
    severity: Severity::High,
    axis: Axis::Credentials,
    why: "Requests of other callers go out with this one's credential until the next one overwrites it.",
    fix: "Hand the credential to each call, or make the client for the request.",
    cwe: &["CWE-488", "CWE-362"],
    soc2: &["CC6.1", "CC6.3"],
    owasp: &["A01:2021"],
    markdown: include_str!("shared_client_defaults.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units() {
        for write in &unit.index.writes {
            let fun = Fun { module, id: write.function };
            let place = At { module, expr: write.place };
            let path = project.written(place);
            let defaults = path.iter().skip(1).any(|part| matches!(part.as_str(), "defaults" | "headers" | "cookies" | "auth"));
            // `sdk.api_key = user.key`: what a library reads from its own module.
            let of_module = path.len() == 2 && path.last().is_some_and(|name| vocabulary::is_credential(name)) && is_library(project, unit, place);
            if write.function == FunctionId::MODULE || !lives.is_per_request(fun) {
                continue;
            }
            if !(defaults || of_module) {
                put_on_clients::assigned(project, &lives, unit, place, write, report);
                continue;
            }
            let value = At { module, expr: write.value };
            let taken = is_of_caller(project, value) || (of_module && project.origins(value).is_chosen());
            let sent = !taken && (sends_credential(project, unit, value) || names_party(project, unit, place, value));
            if (taken || sent) && (of_module || is_shared(project, &lives, unit, place)) {
                tell(report, place, taken);
            }
        }
        for call in &unit.index.calls {
            let at = At { module, expr: *call };
            if !lives.is_per_request(project.function_of(at)) {
                continue;
            }
            let ExprKind::Call(own) = unit.ir.expr(*call) else { continue };
            if sets_default(project, &lives, unit, at) {
                tell(report, at, true);
            } else if updates_party(project, &lives, unit, at, own) || signs_in(project, &lives, unit, at) {
                tell(report, at, false);
            } else {
                put_on_clients::called(project, &lives, unit, at, own, report);
            }
        }
    }
}

pub(super) fn tell(report: &mut Report<'_>, at: At, sure: bool) {
    let found = report.reached(at, "from here on all requests go out with what this one brought").confidence(Confidence::Medium);
    if !sure {
        found.severity(Severity::Medium);
    }
}

/// Words of what looks up who somebody is, and goes on as nobody.
const LOOKS_UP: &[&str] = &["auth", "authenticator", "user", "users", "account", "accounts", "identity", "service", "manager", "repo", "repository", "store", "db", "model", "provider"];

/// Whether a call, of which nothing is taken, signs a client in that others use, with what the client sends:
/// `client.login(body["name"], body["password"])`, `session.cookies.set("sid", body["sid"])`.
fn signs_in(project: &Project, lives: &Lifetimes<'_>, unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return false };
    let method = unit.ir.text(*property);
    let holder = project.last_written(at.to(*object)).unwrap_or_default();
    let signs = matches!(method, "login" | "log_in" | "authenticate" | "sign_in" | "signIn" | "set_auth");
    let sets = matches!(method, "set" | "update" | "add") && matches!(holder, "cookies" | "headers");
    let alone = unit.index.stmt_of(at.expr).is_some_and(|stmt| match unit.ir.stmt(stmt) {
        StmtKind::Expr(expr) => match unit.ir.expr(*expr) {
            ExprKind::Await(value) => *value == at.expr,
            _ => *expr == at.expr,
        },
        _ => false,
    });
    let looks_up = vocabulary::words(holder).iter().any(|word| LOOKS_UP.contains(&word.as_str()));
    (signs || sets)
        && alone
        && !looks_up
        && !project.callee(at).is_some_and(|callee| callee.certain && !callee.targets.is_empty())
        && call.args.iter().any(|arg| sends_credential(project, unit, at.to(arg.value)))
        && is_shared(project, lives, unit, at.to(*object))
}

/// Whether a call leaves something of the caller in a client that others use: `session.headers.update(…)`,
/// `client.setCredentials(…)`. What methods of the project's own do is seen in them.
fn sets_default(project: &Project, lives: &Lifetimes<'_>, unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return false };
    if project.callee(at).is_some_and(|callee| callee.certain && !callee.targets.is_empty()) {
        return false;
    }
    let method = unit.ir.text(*property);
    let holder = project.written(at.to(*object)).pop().unwrap_or_default();
    let words = vocabulary::words(method);
    let of_headers = matches!(method, "update" | "set" | "add") && matches!(holder.as_str(), "headers" | "cookies" | "common");
    let setter = words.first().is_some_and(|first| first == "set")
        && words.iter().any(|word| matches!(word.as_str(), "token" | "credentials" | "credential" | "auth" | "key" | "authorization" | "bearer"));
    // `sdk.configure(api_key=user.key)`
    let configures = matches!(method, "configure" | "setup_default_session" | "set_api_key" | "set_token" | "set_access_token") && is_library(project, unit, at.to(call.callee));
    if configures {
        let of_request = |arg: &crate::ir::Arg| {
            let named = matches!(arg.kind, crate::ir::ArgKind::Keyword(name) if vocabulary::is_credential(unit.ir.text(name)));
            is_of_caller(project, at.to(arg.value)) || (named && project.origins(at.to(arg.value)).is_chosen())
        };
        return call.args.iter().any(of_request);
    }
    let header = method == "setHeader" && holder != "res" && holder != "response";
    (of_headers || setter || header)
        && call.args.iter().any(|arg| is_of_caller(project, at.to(arg.value)))
        && is_shared(project, lives, unit, at.to(*object))
}

/// Whether a place is an attribute of a module of a Python library, which the process has once.
fn is_library(project: &Project, unit: &Unit, place: At) -> bool {
    let ExprKind::Member { object, .. } = unit.ir.expr(place.expr) else { return false };
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return false };
    let imported = match unit.ir.binding(*id).map(|binding| binding.kind) {
        Some(BindingKind::Import(number)) => unit.ir.imports.get(number as usize).is_some_and(|import| matches!(import.kind, ImportKind::Namespace)),
        _ => false,
    };
    unit.ir.language == Language::Python && imported && matches!(project.symbol(place.to(*object)), Symbol::External { .. })
}

/// Whether a value is a credential or identity of the request.
pub(super) fn is_of_caller(project: &Project, at: At) -> bool {
    project.origins(at).has(Origins::SECRET | Origins::PRINCIPAL | Origins::UNVERIFIED)
}

/// Whether a header that says for whom a request is gets a party's id: `session.headers["X-Company-Id"] = company_id`.
fn names_party(project: &Project, unit: &Unit, place: At, value: At) -> bool {
    let ExprKind::Index { index, .. } = unit.ir.expr(place.expr) else { return false };
    let ExprKind::String(header) = unit.ir.expr(*index) else { return false };
    is_party_header(unit.ir.text(*header)) && is_partys(project, value)
}

/// Whether a call puts such a header among those that a client sends with all requests: `session.headers.update({"X-Tenant": tenant_id})`.
fn updates_party(project: &Project, lives: &Lifetimes<'_>, unit: &Unit, at: At, call: &Call) -> bool {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return false };
    let of_headers = project.last_written(at.to(*object)) == Some("headers") && unit.ir.text(*property) == "update";
    of_headers && call.args.iter().any(|arg| holds_party(project, unit, at.to(arg.value))) && is_shared(project, lives, unit, at.to(*object))
}

/// Whether a header is named for a tenant or user: `X-Tenant-Id`.
fn is_party_header(header: &str) -> bool {
    let lower = header.to_lowercase();
    let name = lower.strip_prefix("x-").unwrap_or(&lower).replace('-', "_");
    vocabulary::is_owner(&name)
}

/// Whether a value is a party's id, and not the server's own.
fn is_partys(project: &Project, value: At) -> bool {
    let origins = project.origins(value);
    (origins.has(Origins::OWNER) || origins.is_chosen()) && !origins.has(Origins::ENV)
}

/// Whether an object of headers says for whom requests are: `{"X-Tenant-Id": tenant_id}`.
fn holds_party(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Object(properties) = unit.ir.expr(at.expr) else { return false };
    properties.iter().any(|property| match property.key {
        PropertyKey::Name(name) => is_party_header(unit.ir.text(name)) && is_partys(project, at.to(property.value)),
        _ => false,
    })
}

/// Whether a value has a credential or a session's id in it, by its name, that the client sends.
fn sends_credential(project: &Project, unit: &Unit, at: At) -> bool {
    let mut found = false;
    crate::ir::walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        let name = match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
            ExprKind::Member { property, .. } => unit.ir.text(*property),
            ExprKind::Index { index, .. } => match unit.ir.expr(*index) {
                ExprKind::String(name) => unit.ir.text(*name),
                _ => return,
            },
            _ => return,
        };
        found = found
            || ((vocabulary::is_credential(name) || vocabulary::is_session_id(name)) && project.origins(at.to(expr)).is_chosen());
    });
    found
}

/// Whether the thing at the root of a path outlives the request, and is not the request or its answer itself.
pub(super) fn is_shared(project: &Project, lives: &Lifetimes<'_>, unit: &Unit, at: At) -> bool {
    is_shared_by(project, lives, unit, at, ALIASES)
}

/// How many variables are followed that only name a part of something: `session = self.session`.
const ALIASES: u32 = 3;

fn is_shared_by(project: &Project, lives: &Lifetimes<'_>, unit: &Unit, at: At, steps: u32) -> bool {
    let root = root(unit, at.expr);
    // `ctx.request_context.lifespan_context.client`, `request.app.state.http`
    if unit.ir.language == Language::Python && is_kept(lives, unit, at) {
        return true;
    }
    match unit.ir.expr(root) {
        ExprKind::Name(NameRef::Binding(id)) => {
            // `client = ctx.request_context.lifespan_context["client"]`
            let of_lifespan = matches!(unit.index.sources(*id), [source] if project.written(at.to(source.value)).iter().any(|name| name == "lifespan_context"));
            let other = || match unit.index.sources(*id) {
                [source] if source.path.is_empty() && source.function != FunctionId::MODULE && source.value != root => {
                    let names = matches!(unit.ir.expr(source.value), ExprKind::Name(_) | ExprKind::Member { .. });
                    names.then(|| at.to(source.value))
                }
                _ => None,
            };
            let of_other = || steps.checked_sub(1).zip(other()).is_some_and(|(steps, of)| is_shared_by(project, lives, unit, of, steps));
            of_lifespan || lives.cell(at.to(root)).is_some() || of_other()
        }
        // `this.client.defaults…` of an object that outlives the request.
        ExprKind::This => {
            let class = project.this_of(project.function_of(at));
            class.is_some_and(|class| lives.outlives(class) == Some(true))
        }
        _ => matches!(unit.ir.expr(root), ExprKind::Name(NameRef::Global(name)) if unit.ir.text(*name) == "axios"),
    }
}

/// Whether something on the way to a field outlives the request.
fn is_kept(lives: &Lifetimes<'_>, unit: &Unit, at: At) -> bool {
    let mut here = at.expr;
    for _ in 0..8 {
        let (ExprKind::Member { object, .. } | ExprKind::Index { object, .. }) = unit.ir.expr(here) else { return false };
        if !matches!(unit.ir.expr(*object), ExprKind::This) && lives.cell(at.to(here)).is_some() {
            return true;
        }
        here = *object;
    }
    false
}

pub(super) fn root(unit: &Unit, expr: ExprId) -> ExprId {
    let mut here = expr;
    for _ in 0..32 {
        match unit.ir.expr(here) {
            ExprKind::Member { object, .. } | ExprKind::Index { object, .. } => here = *object,
            _ => break,
        }
    }
    here
}
