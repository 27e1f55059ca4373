//! Claims of a token that nobody verified.

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::{
    apart::{in_a_mode, stand_apart},
    only_told::only_told,
};
use crate::{
    flow::Origins,
    ir::{ArgKind, Call, ExprId, ExprKind, NameRef, PropertyKey, StmtKind, UnaryOp, walk},
    library::Role,
    project::{At, Fun, ModuleId, Parent, Project, Symbol, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "unverified-token",
        layer: Layer::Identity,
        summary: "A token's claims are read although its signature, audience or issuer is not checked.",
    },
    severity: Severity::High,
    axis: Axis::Security,
    why: "Anybody can write a token with another tenant's claims, or bring one that was made for another service.",
    fix: "Verify the signature with the issuer's keys, and the audience and issuer, before a claim is read.",
    cwe: &["CWE-347", "CWE-345"],
    soc2: &["CC6.1"],
    owasp: &["A07:2021", "A02:2021"],
    markdown: include_str!("unverified_token.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    super::own_issuer::own_issuer(project, report);
    let (decodes, verified) = (project.calls_with(Role::Decode), project.calls_with(Role::Verify));
    let reads = project.calls_named(|name| matches!(name, "parse" | "loads"));
    for (module, unit) in project.units() {
        // A function that also verifies reads the header or the issuer first, to know by which key.
        let verifies: Vec<ExprId> = unit
            .index
            .calls
            .iter()
            .copied()
            .filter(|call| project.is_one_of(&verified, At { module, expr: *call }))
            .filter(|call| verifies(project, unit, module, *call))
            .collect();
        let beside = |call: ExprId| verifies.iter().filter(move |other| unit.index.function(**other) == unit.index.function(call));
        // `if secret: return decode(token, secret)`, and what follows is for tokens that nobody verifies.
        let is_verified = |call: ExprId| beside(call).any(|other| !stand_apart(unit, *other, call));
        for call in &unit.index.calls {
            let at = At { module, expr: *call };
            if reads.has(at)
                && let ExprKind::Call(expr) = unit.ir.expr(*call)
                && !is_verified(*call)
                && taken_apart(unit, expr)
                && !reads_form_only(unit, at)
            {
                report
                    .reached(at, "the claims of this token are taken out by hand, and its signature is not verified")
                    .severity(Severity::Medium)
                    .confidence(Confidence::Medium);
                continue;
            }
            if !project.is_one_of(&decodes, at) && !project.is_one_of(&verified, at) {
                continue;
            }
            let Some(callee) = project.callee(at) else { continue };
            let ExprKind::Call(expr) = unit.ir.expr(*call) else { continue };
            if callee.defs.iter().any(|def| def.role == Role::Decode) {
                let header = callee.name().to_lowercase().contains("header");
                if !header && !is_verified(*call) {
                    let found = report.reached(at, "the claims of this token are read and its signature is not verified");
                    if beside(*call).next().is_some() || expr.positional(0).is_some_and(|token| is_fetched(project, at.to(token))) || is_no_identity(project, unit, at) || only_told(project, project.function_of(at)) {
                        found.severity(weight(project, unit, at)).confidence(Confidence::Medium);
                    }
                }
            } else if callee.defs.iter().any(|def| def.role == Role::Verify) {
                match switched_off(project, module, expr) {
                    Some("signature") if !is_verified(*call) => {
                        let found = report.reached(at, "the signature of this token is not verified");
                        let again = beside(*call).next().is_some() || verifies.iter().any(|other| of_one_class(unit, unit.index.function(*call), unit.index.function(*other)));
                        if again || expr.positional(0).is_some_and(|token| is_fetched(project, at.to(token))) || is_no_identity(project, unit, at) || only_told(project, project.function_of(at)) {
                            found.severity(weight(project, unit, at)).confidence(Confidence::Medium);
                        }
                    }
                    Some("audience") if super::audience::is_looked_at(project, unit, at) => {}
                    Some("audience") => {
                        let found = report.reached(at, "a token that was made for another service is accepted: its audience is not checked");
                        // Who signs with a secret of its own has made every token that fits it.
                        found.severity(if super::audience::signs_itself(project, unit, at) { Severity::Low } else { Severity::Medium });
                    }
                    None if leaves_audience(project, at, expr, callee.name()) => {
                        let found = report.reached(at, "a token that its issuer made for another service is accepted: no audience is asked for");
                        found.severity(Severity::Medium).confidence(Confidence::Medium);
                    }
                    Some("issuer") => {
                        let found = report.reached(at, "a token of another issuer is accepted");
                        found.severity(Severity::Medium);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// How bad it is that claims are believed which may be nobody's: less where one person works on the server.
fn weight(project: &Project, unit: &Unit, call: At) -> Severity {
    if in_a_mode(unit, call.expr) || only_told(project, project.function_of(call)) { Severity::Low } else { Severity::Medium }
}

/// Whether two functions are methods of one class: who has verified a token in one reads its claims in the other.
fn of_one_class(unit: &Unit, one: crate::ir::FunctionId, other: crate::ir::FunctionId) -> bool {
    let class = |id| unit.ir.function(id).and_then(|function| function.class);
    class(one).is_some() && class(one) == class(other)
}

/// Whether a verification by the keys that an issuer publishes says nothing of the audience: `jwtVerify(token, JWKS)`. Source:
/// the MCP specification, authorization, "Token Audience Binding and Validation".
fn leaves_audience(project: &Project, at: At, call: &Call, name: &str) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let (Some(key), true) = (call.positional(1), name == "jwtVerify") else { return false };
    let published = unit.ir.snippet(unit.ir.span(key)).to_lowercase().contains("jwks");
    let says = call.positional(2).is_some_and(|options| match unit.ir.expr(options) {
        ExprKind::Object(properties) => properties.iter().any(|property| match property.key {
            PropertyKey::Name(name) => unit.ir.text(name) == "audience",
            _ => true,
        }),
        _ => true,
    });
    // Compared by hand, unless nothing of what the verification gives is looked at.
    let dropped = unit.index.stmt_of(at.expr).is_some_and(|stmt| match unit.ir.stmt(stmt) {
        StmtKind::Expr(own) => *own == at.expr || matches!(unit.ir.expr(*own), ExprKind::Await(inner) if *inner == at.expr),
        _ => false,
    });
    let function = unit.index.function(at.expr);
    let whole = unit.ir.function(function).map_or("", |own| unit.ir.snippet(own.span));
    published
        && !says
        && (dropped
            || !["aud", "azp", "client_id", "resource"].iter().any(|word| whole.contains(word))
            || super::audience::is_only_passed_on(project, unit, at))
}

/// What is read of a token to know what kind it is, and says nothing of who calls.
const OF_FORM: &[&str] =
    &["iss", "aud", "kid", "alg", "typ", "jti", "exp", "iat", "nbf", "header", "scope", "scp", "token_use", "token_type", "nonce", "sid"];

/// Whether the claims that are read are not seen to become the caller: a helper gives them to whoever asks, the token was made or
/// fetched here, or only its form is looked at.
fn is_no_identity(project: &Project, unit: &Unit, at: At) -> bool {
    let fun = project.function_of(at);
    let name = project.function_name(fun).to_owned();
    let words = vocabulary::words(&name);
    let says_so = words.iter().any(|word| matches!(word.as_str(), "peek" | "unverified" | "unsafe" | "inspect" | "expiry" | "expired"));
    let takes_apart = words.iter().any(|word| matches!(word.as_str(), "decode" | "parse")) && !is_asked_who(project, fun);
    let helper = says_so || takes_apart;
    // Signing in, out or through another service: the token came from where it was made.
    let signs = words.iter().any(|word| matches!(word.as_str(), "login" | "logout" | "signin" | "callback" | "exchange" | "revoke"));
    let made = project.roots(at).into_iter().any(|root| {
        unit.index.sources(root).iter().any(|source| {
            let call = match unit.ir.expr(source.value) {
                ExprKind::Await(inner) => *inner,
                _ => source.value,
            };
            project.callee(at.to(call)).is_some_and(|callee| {
                vocabulary::words(callee.name()).first().is_some_and(|word| matches!(word.as_str(), "create" | "sign" | "issue" | "mint" | "make" | "encode" | "generate" | "refresh"))
            })
        })
    });
    helper || signs || made || reads_form_only(unit, at) || is_only_logged(project, unit, at) || is_called_unverified(unit, at) || is_verified_elsewhere(project, unit, at)
        || super::kept_tokens::is_kept(project, unit, at)
}

/// Whether what was read goes into the log and nowhere else.
fn is_only_logged(project: &Project, unit: &Unit, at: At) -> bool {
    let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
    let StmtKind::Assign { target, value, .. } = unit.ir.stmt(stmt) else { return false };
    let Some(id) = target.as_binding().filter(|_| *value == at.expr) else { return false };
    let uses = unit.index.uses(id);
    !uses.is_empty()
        && uses.iter().all(|used| {
            let mut here = *used;
            for _ in 0..8 {
                let Parent::Expr(up) = unit.index.parent(here) else { return false };
                if project.callee(at.to(up)).is_some_and(|callee| callee.defs.iter().any(|def| def.role == Role::Log)) {
                    return true;
                }
                here = up;
            }
            false
        })
}

/// Whether what was read is named for what it is: `unverified = decode(token)`.
fn is_called_unverified(unit: &Unit, at: At) -> bool {
    let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
    let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
    target.as_binding().is_some_and(|id| {
        vocabulary::words(unit.ir.binding_name(id)).iter().any(|word| matches!(word.as_str(), "unverified" | "untrusted" | "unsafe"))
    })
}

/// Whether the same token is given to a function that verifies, by its name: the claims say to which.
fn is_verified_elsewhere(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let Some(ExprKind::Name(NameRef::Binding(id))) = call.positional(0).map(|token| unit.ir.expr(token)) else { return false };
    unit.index.uses(*id).iter().any(|used| {
        let Parent::Expr(up) = unit.index.parent(*used) else { return false };
        up != at.expr
            && matches!(unit.ir.expr(up), ExprKind::Call(call) if call.args.iter().any(|arg| arg.value == *used))
            && project.callee(at.to(up)).is_some_and(|callee| {
                vocabulary::words(callee.name()).iter().any(|word| matches!(word.as_str(), "verify" | "verified" | "validate" | "introspect" | "authenticate"))
            })
    })
}

/// Whether a function, or one that calls it, is named for finding out who calls.
fn is_asked_who(project: &Project, fun: Fun) -> bool {
    let asks = |fun: Fun| {
        vocabulary::words(project.function_name(fun)).iter().any(|word| {
            matches!(word.as_str(), "auth" | "authenticate" | "authenticated" | "authorize" | "user" | "identity" | "principal" | "caller" | "middleware" | "tenant" | "context" | "session")
        })
    };
    asks(fun) || project.callers(fun).iter().take(16).any(|call| {
        let from = project.function_of(*call);
        asks(from) || project.entry(from).is_some()
    })
}

/// Whether all that is read of the claims in the function is the token's form.
fn reads_form_only(unit: &Unit, at: At) -> bool {
    let Some(stmt) = unit.index.stmt_of(at.expr) else { return false };
    let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { return false };
    let Some(id) = target.as_binding() else { return false };
    let uses: Vec<&str> = unit.index.uses(id).iter().filter_map(|used| read_of(unit, *used)).collect();
    !uses.is_empty() && uses.iter().all(|name| OF_FORM.contains(name))
}

/// The name of what is read of a record: `claims.sub`, `claims["sub"]`, `claims.get("sub")`; its whole is read under no name.
fn read_of(unit: &Unit, used: ExprId) -> Option<&str> {
    let Parent::Expr(parent) = unit.index.parent(used) else { return None };
    match unit.ir.expr(parent) {
        ExprKind::Member { object, property, .. } if *object == used => {
            let name = unit.ir.text(*property);
            let Parent::Expr(up) = unit.index.parent(parent) else { return Some(name) };
            match unit.ir.expr(up) {
                ExprKind::Call(call) if call.callee == parent && name == "get" => match call.positional(0).map(|expr| unit.ir.expr(expr)) {
                    Some(ExprKind::String(text)) => Some(unit.ir.text(*text)),
                    _ => Some(""),
                },
                _ => Some(name),
            }
        }
        ExprKind::Index { object, index, .. } if *object == used => match unit.ir.expr(*index) {
            ExprKind::String(text) => Some(unit.ir.text(*text)),
            _ => Some(""),
        },
        // `if (!claims)` asks whether there are any; handed on as a whole, it may become anybody.
        ExprKind::Unary { .. } | ExprKind::Logical { .. } | ExprKind::Compare { .. } => None,
        ExprKind::Call(call) if call.args.iter().any(|arg| arg.value == used) && !is_type_test(unit, call) => Some(""),
        _ => None,
    }
}

fn is_type_test(unit: &Unit, call: &Call) -> bool {
    matches!(unit.ir.expr(call.callee), ExprKind::Name(crate::ir::NameRef::Global(name)) if unit.ir.text(*name) == "isinstance")
}

/// How far back the parts of a token are followed.
const STEPS: usize = 6;

/// Whether what is parsed is the middle part of a token, split and decoded: `JSON.parse(atob(token.split(".")[1]))`. A function that
/// looks at nothing but the time, or that checks a signature itself, is none.
fn taken_apart(unit: &Unit, call: &Call) -> bool {
    let Some(argument) = call.positional(0) else { return false };
    let function = unit.index.function(argument);
    let mut text = String::new();
    let mut open = vec![argument];
    let mut seen = Vec::new();
    let mut second = false;
    while let Some(expr) = open.pop().filter(|_| seen.len() < STEPS) {
        seen.push(expr);
        text.push_str(unit.ir.snippet(unit.ir.span(expr)));
        walk::exprs_below(&unit.ir, expr, &mut |inner| {
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(inner) {
                let sources = unit.index.sources(*id).iter().filter(|source| source.function == function);
                // `const [, payload] = token.split(".")`
                second |= sources.clone().any(|source| matches!(source.path.as_ref(), [crate::project::Step::Item(1)]));
                open.extend(sources.map(|source| source.value).filter(|value| !seen.contains(value)));
            }
        });
    }
    let splits = ["split(\".\"", "split('.'", "split(`.`"].iter().any(|part| text.contains(part));
    let decodes = ["atob(", "base64", "b64decode", "b64url"].iter().any(|part| text.contains(part));
    // The middle part; what the issuer answered, or a state that is sealed, is no caller's token.
    let middle = second || text.contains("[1]") || text.contains("[, ") || text.contains("[_, ");
    let other = ["id_token", "idToken", "state", "hint", "header_", "refresh"].iter().any(|part| text.contains(part));
    if !splits || !decodes || !middle || other {
        return false;
    }
    let whole = unit.ir.function(function).map_or("", |own| unit.ir.snippet(own.span));
    let checks = ["verify", "createHmac", "hmac", "timingSafeEqual", "compare_digest", "introspect", "ignature", "decrypt"].iter().any(|part| whole.contains(part));
    let times = unit.ir.function(function).and_then(|own| own.name).is_some_and(|name| {
        vocabulary::words(unit.ir.text(name)).iter().any(|word| matches!(word.as_str(), "exp" | "expiry" | "expired" | "expires" | "expiration" | "scopes" | "header"))
    });
    !checks && !times
}

/// Whether the function that reads a token has fetched it itself, from whoever issues it: `(await client.post(token_url, …)).json()`.
fn is_fetched(project: &Project, token: At) -> bool {
    let Some(unit) = project.unit(token.module) else { return false };
    if is_of_own_sign_in(project, unit, token) {
        return true;
    }
    let own = project.function_of(token).id;
    project.roots(token).into_iter().any(|root| {
        unit.index.sources(root).iter().any(|source| {
            let ExprKind::Await(call) = unit.ir.expr(source.value) else { return false };
            let asks = project.callee(token.to(*call)).is_some_and(|callee| {
                matches!(callee.name(), "post" | "fetch" | "request" | "exchange" | "getToken" | "fetch_token" | "exchange_code" | "exchangeCode" | "authenticateWithCode")
            });
            source.function == own && asks
        })
    })
}

/// Whether a token says who signed in and is read from what the server keeps of a sign-in of its own, which the issuer gave it and no
/// caller: `session.idToken`, `account.id_token`.
fn is_of_own_sign_in(project: &Project, unit: &Unit, token: At) -> bool {
    const KEPT: &[&str] = &["session", "account", "tokens", "tokenset", "credentials"];
    let ExprKind::Member { object, property, .. } = unit.ir.expr(token.expr) else { return false };
    let kept = project.last_written(token.to(*object)).map(vocabulary::words).and_then(|words| words.last().cloned());
    matches!(unit.ir.text(*property), "idToken" | "id_token")
        && kept.is_some_and(|last| KEPT.contains(&last.as_str()))
        && !project.origins(token).has(Origins::INPUT | Origins::UNVERIFIED)
}

fn verifies(project: &Project, unit: &Unit, module: ModuleId, call: ExprId) -> bool {
    let Some(callee) = project.callee(At { module, expr: call }) else { return false };
    let ExprKind::Call(expr) = unit.ir.expr(call) else { return false };
    callee.defs.iter().any(|def| def.role == Role::Verify) && switched_off(project, module, expr) != Some("signature")
}

/// What a verification is told not to look at: `options={"verify_signature": False}`, `verify=False`.
pub(super) fn switched_off(project: &Project, module: ModuleId, call: &Call) -> Option<&'static str> {
    let unit = project.unit(module)?;
    let mut found = None;
    let mut see = |unit: &Unit, name: &str, value: ExprId| {
        let off = match unit.ir.expr(value) {
            ExprKind::Bool(value) => !*value,
            ExprKind::Unary { op: UnaryOp::Not, operand } => {
                matches!(unit.ir.expr(*operand), ExprKind::Bool(true))
            }
            _ => false,
        };
        let what = match name {
            "verify_signature" | "verify" => "signature",
            "verify_aud" => "audience",
            "verify_iss" => "issuer",
            _ => return,
        };
        if off && found != Some("signature") {
            found = Some(what);
        }
    };
    for arg in &call.args {
        if let ArgKind::Keyword(name) = arg.kind {
            see(unit, unit.ir.text(name), arg.value);
        }
        // What the options are may be written in another file.
        let Symbol::Value(at) = project.symbol(At { module, expr: arg.value }) else { continue };
        let Some(unit) = project.unit(at.module) else { continue };
        if let ExprKind::Object(properties) = unit.ir.expr(at.expr) {
            for property in properties {
                if let PropertyKey::Name(name) = property.key {
                    see(unit, unit.ir.text(name), property.value);
                }
            }
        }
    }
    found
}
