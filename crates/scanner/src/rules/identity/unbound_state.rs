//! A sign-in that any browser may go on with: the `state` of OAuth is looked up, and not compared with what the browser holds that began.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use crate::{
    flow::{Lifetimes, Origins},
    ir::{BindingId, ExprId, ExprKind, FunctionId, Kinds, NameRef, walk},
    project::{At, Fun, Project, Step, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "unbound-oauth-state",
        layer: Layer::Identity,
        summary: "The state of a sign-in is looked up on the server, and any browser may go on with it.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "Whoever begins a sign-in has a state that is valid, and sends its address to somebody else: that person's account is then \
          connected to the one who began, or the token goes to that client.",
    fix: "Set a cookie with the state (or its hash) when the sign-in begins, `HttpOnly`, `Secure` and `SameSite=Lax`, and compare it with \
          the state that comes back (RFC 6749, section 10.12; RFC 9700, section 4.7).",
    cwe: &["CWE-352", "CWE-384"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021", "A07:2021"],
    markdown: include_str!("unbound_state.md"),
    run,
};

/// Words of what keeps the states that are under way.
const KEEPERS: &[&str] = &[
    "kv", "redis", "store", "stores", "state", "states", "pending", "cache", "flow", "flows", "auth", "oauth", "transactions",
    "requests", "storage", "db",
];

/// Methods that look something up by its key.
const LOOKS: &[&str] = &["get", "getdel", "get_del", "getDel", "take", "pop", "consume", "load", "find"];

/// Names in a program that exchanges a code for a token.
const EXCHANGES: &[&str] = &["authorization_code", "grant_type", "client_secret", "clientSecret", "fetch_token"];

fn run(project: &Project, report: &mut Report<'_>) {
    let lives = Lifetimes::new(project);
    for (module, unit) in project.units().filter(|(_, unit)| unit.ir.has_name(&["state"])) {
        if !is_of_sign_in(project, unit) {
            continue;
        }
        for (id, _) in unit.ir.functions() {
            let fun = Fun { module, id };
            if id == FunctionId::MODULE || !lives.is_per_request(fun) {
                continue;
            }
            let Some(at) = looked_up(project, unit, fun).filter(|_| !is_bound_above(project, fun)) else { continue };
            let text = "this sign-in is found by its `state` alone: whichever browser comes back with it goes on";
            report.reached(at, text).confidence(Confidence::Medium);
        }
    }
}

/// Whether a code is exchanged for a token in this file, or in one that calls into it.
fn is_of_sign_in(project: &Project, unit: &Unit) -> bool {
    let says = |text: &str| {
        vocabulary::words(text).iter().any(|word| matches!(word.as_str(), "oauth" | "oauth2" | "oidc" | "callback"))
    };
    let exchanges = |unit: &Unit| {
        unit.ir.has_name(&["code"]) && (unit.ir.has_name(EXCHANGES) || unit.ir.has_name_with(&["exchange"]))
    };
    exchanges(unit) || (unit.ir.path.split(['/', '.']).any(says) && project.units().any(|(_, other)| exchanges(other)))
}

/// Where a function looks up what is kept under the state that came back.
fn looked_up(project: &Project, unit: &Unit, fun: Fun) -> Option<At> {
    let states: Vec<BindingId> =
        unit.ir.bindings().map(|(id, _)| id).filter(|id| is_state(project, unit, fun, *id)).collect();
    let mut found = None;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let at = At { module: fun.module, expr };
        let (kept, key) = match unit.ir.expr(expr) {
            ExprKind::Index { object, index, .. } => (*object, *index),
            ExprKind::Call(call) => match (unit.ir.expr(call.callee), call.positional(0)) {
                (ExprKind::Member { object, property, .. }, Some(first)) if LOOKS.contains(&unit.ir.text(*property)) => {
                    (*object, first)
                }
                _ => return,
            },
            _ => return,
        };
        let keeps = project.last_written(at.to(kept)).is_some_and(|name| {
            vocabulary::words(name).iter().any(|word| KEEPERS.contains(&word.as_str()))
        });
        if found.is_none() && keeps && has(unit, key, &states) && !unit.index.writes.iter().any(|write| write.place == expr) {
            found = Some(at);
        }
    });
    found
}

/// Whether a variable is the state that came back: `url.searchParams.get("state")`, `req.query.state`, a handler's parameter `state`.
fn is_state(project: &Project, unit: &Unit, fun: Fun, id: BindingId) -> bool {
    let name = unit.ir.binding_name(id);
    if !vocabulary::words(name).iter().any(|word| word == "state") {
        return false;
    }
    let own = project.parameter_of(fun.module, id).is_some_and(|(own, _, path)| own == fun && path.is_empty());
    let sent = || {
        let used = unit.index.uses(id).first();
        used.is_some_and(|used| project.origins(At { module: fun.module, expr: *used }).has(Origins::INPUT))
    };
    let handed = own && name == "state" && sent();
    handed
        || unit.index.sources(id).iter().any(|source| {
            let taken = matches!(&*source.path, [.., Step::Key(key)] if unit.ir.text(*key) == "state");
            source.function == fun.id && (taken && is_query(unit, source.value) || reads_state(unit, source.value))
        })
}

/// Whether a value is the query of a request.
fn is_query(unit: &Unit, value: ExprId) -> bool {
    matches!(unit.ir.expr(value), ExprKind::Member { property, .. } if matches!(unit.ir.text(*property), "query" | "query_params" | "args" | "searchParams"))
}

/// Whether a value reads `state` of a request's query.
fn reads_state(unit: &Unit, value: ExprId) -> bool {
    let is_state = |expr: ExprId| matches!(unit.ir.expr(expr), ExprKind::String(text) if unit.ir.text(*text) == "state");
    let of_query = |expr: ExprId| match unit.ir.expr(expr) {
        ExprKind::Member { property, .. } => {
            matches!(unit.ir.text(*property), "query" | "query_params" | "args" | "searchParams" | "get" | "GET")
        }
        ExprKind::Name(NameRef::Binding(id)) => {
            matches!(unit.ir.binding_name(*id), "params" | "searchParams" | "query" | "query_params" | "qs")
        }
        _ => false,
    };
    let mut found = false;
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Member { object, property, .. } => unit.ir.text(*property) == "state" && of_query(*object),
            ExprKind::Index { object, index, .. } => is_state(*index) && of_query(*object),
            ExprKind::Call(call) => match unit.ir.expr(call.callee) {
                ExprKind::Member { object, property, .. } => {
                    let asks = matches!(unit.ir.text(*property), "get" | "query");
                    asks && call.positional(0).is_some_and(is_state) && (of_query(*object) || unit.ir.text(*property) == "query")
                }
                _ => false,
            },
            _ => false,
        };
    });
    found
}

fn has(unit: &Unit, value: ExprId, names: &[BindingId]) -> bool {
    let mut found = false;
    walk::exprs_below(&unit.ir, value, &mut |expr| {
        found |= matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if names.contains(id));
    });
    found
}

/// Whether a function, one that calls it or one that it calls asks for a cookie or for the session of the browser.
fn is_bound_above(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return true };
    let called = || {
        unit.ir.exprs_of(Kinds::CALL).any(|(expr, _)| {
            unit.index.function(expr) == fun.id
                && project
                    .callee(At { module: fun.module, expr })
                    .is_some_and(|callee| callee.targets.iter().any(|target| asks_browser(project, *target)))
        })
    };
    let calling = || project.callers(fun).iter().take(8).any(|call| asks_browser(project, project.function_of(*call)));
    project.around(fun).into_iter().any(|around| asks_browser(project, around)) || calling() || called()
}

/// Whether a function reads a cookie, or the session that a cookie is for: `req.cookies.state`, `getCookie(c, "state")`,
/// `request.headers.get("cookie")`, `request.session`.
fn asks_browser(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        found |= match unit.ir.expr(expr) {
            ExprKind::Member { property, .. } => {
                matches!(unit.ir.text(*property), "cookies" | "cookie" | "signedCookies" | "session")
            }
            ExprKind::String(text) => unit.ir.text(*text).eq_ignore_ascii_case("cookie"),
            ExprKind::Call(call) => project.last_written(At { module: fun.module, expr: call.callee }).is_some_and(|name| {
                let words = vocabulary::words(name);
                let reads = matches!(words.first().map(String::as_str), Some("get" | "read" | "parse" | "verify" | "cookies" | "use" | "load"));
                // `get_db_session` gives no browser's.
                let of_browser = words.last().is_some_and(|last| last == "session") && words.len() <= 3;
                let of_database = words.iter().any(|word| matches!(word.as_str(), "db" | "database" | "async" | "sql"));
                reads && (words.iter().any(|word| matches!(word.as_str(), "cookie" | "cookies")) || (of_browser && !of_database))
            }),
            _ => false,
        };
    });
    found
}
