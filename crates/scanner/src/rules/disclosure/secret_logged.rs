//! A credential of a caller in a log, and all of what they wrote or were answered.

use partywall_model::{Axis, Check, Layer, Severity};

use crate::{
    flow::{Lifetimes, Origins, is_credential_itself},
    ir::{BindingId, ExprId, ExprKind, FunctionId, NameRef, PropertyKey, TemplatePart, walk},
    library::Role,
    project::{At, Fun, Parent, Project, Unit},
    rules::{Report, Rule},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "secret-logged",
        layer: Layer::Disclosure,
        summary: "A caller's credential, or all of what they wrote or were answered, is written to a log.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "Who may read the log, or what it is shipped to, may act as the caller, and reads what every tenant asked and found.",
    fix: "Leave the credential out, or log a hash of it; of what was asked and found log the length or an id.",
    cwe: &["CWE-532"],
    soc2: &["CC6.1", "CC7.2"],
    owasp: &["A09:2021"],
    markdown: include_str!("secret_logged.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    super::content_logged::content_logged(project, report);
    let asked = project.calls_with(Role::Log);
    // A logger that is told what to leave out leaves it out of what it is given whole.
    let redacts = project.units().any(|(_, unit)| unit.ir.has_name(&["redact", "redactions", "redactor", "redactPaths"]));
    let lives = Lifetimes::new(project);
    let named = project.calls_named(|name| METHODS.contains(&name) || name == "print");
    let functions = project.calls_of(|callee| FUNCTIONS.contains(&callee.name()));
    for (module, unit) in project.units() {
        // What a command of the operator's prints is no caller's.
        let served = |call: &&ExprId| {
            let at = At { module, expr: **call };
            let fun = project.function_of(at);
            (is_of_logger(unit, at) && lives.is_per_request(fun)) || (is_print(unit, at) && is_served(project, fun))
        };
        let own = named.among(module).filter(served);
        let by_function = |call: &&ExprId| lives.is_per_request(project.function_of(At { module, expr: **call }));
        for call in asked.among(module).chain(own).chain(functions.among(module).filter(by_function)) {
            let at = At { module, expr: *call };
            let ExprKind::Call(expr) = unit.ir.expr(*call) else { continue };
            let whole = |arg: At| (!redacts).then(|| in_whole(project, unit, arg, 3)).flatten();
            let secret = expr.args.iter().map(|arg| at.to(arg.value)).find_map(|arg| secret(project, unit, arg).or_else(|| whole(arg)));
            if let Some(name) = secret {
                report.reached(at, format!("`{name}` is written to the log"));
            }
        }
    }
}

/// Methods of loggers.
const METHODS: &[&str] = &["log", "info", "debug", "warn", "warning", "error", "trace", "verbose", "fatal", "http"];

/// Functions that write to a log, as projects call them that have written one.
const FUNCTIONS: &[&str] = &[
    "logDebug", "logInfo", "logWarn", "logWarning", "logError", "logTrace", "logVerbose", "log_debug", "log_info", "log_warn",
    "log_warning", "log_error", "log_trace",
];

/// Whether a call is one of a logger that the project has written itself, by the name of what it is a method of: `this.logger.info(…)`.
fn is_of_logger(unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return false };
    let name = match unit.ir.expr(*object) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        _ => return false,
    };
    !call.args.is_empty() && matches!(name.trim_start_matches(['_', '#']).to_ascii_lowercase().as_str(), "logger" | "log")
}

/// Whether a call is that of Python's `print`.
fn is_print(unit: &Unit, at: At) -> bool {
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return false };
    matches!(unit.ir.expr(call.callee), ExprKind::Name(NameRef::Global(name)) if unit.ir.text(*name) == "print")
}

/// Whether callers of the server reach a function, or one that it stands in.
fn is_served(project: &Project, fun: Fun) -> bool {
    project.around(fun).into_iter().any(|around| project.reach(around).is_some())
}

/// The name of the credential that a value is, or has as a part of its text. What a function makes of one is none.
fn secret(project: &Project, unit: &Unit, at: At) -> Option<String> {
    match unit.ir.expr(at.expr) {
        ExprKind::Template(parts) => parts.iter().find_map(|part| match part {
            TemplatePart::Value(value) => named(project, unit, at.to(*value)),
            TemplatePart::Text(_) => None,
        }),
        ExprKind::Binary { left, right, .. } => {
            let side = |expr: ExprId| named(project, unit, at.to(expr));
            side(*left).or_else(|| side(*right))
        }
        _ => named(project, unit, at),
    }
}

/// The name of the credential that something has in it which is logged whole: `{ url, token }`, `req.headers`, `extra.authInfo`.
fn in_whole(project: &Project, unit: &Unit, at: At, steps: u32) -> Option<String> {
    let steps = steps.checked_sub(1)?;
    match unit.ir.expr(at.expr) {
        ExprKind::Object(properties) => properties.iter().find_map(|own| {
            let value = at.to(own.value);
            let text = || named(project, unit, value).or_else(|| secret(project, unit, value));
            match own.key {
                PropertyKey::Name(_) | PropertyKey::Spread => text().or_else(|| in_whole(project, unit, value, steps)),
                PropertyKey::Computed(_) => None,
            }
        }),
        ExprKind::Member { object, property, .. } => {
            let name = unit.ir.text(*property);
            let of_request = || project.origins(at.to(*object)).has(Origins::REQUEST);
            let known = || project.origins(at).has(Origins::PRINCIPAL | Origins::SECRET | Origins::REQUEST);
            // What the SDK's middleware leaves there has the token in it; what others leave there is read from one.
            let auth = (name == "authInfo" || (name == "auth" && unit.ir.has_name(SDK))) && known();
            if auth || (name == "headers" && of_request()) {
                return Some(name.to_owned());
            }
            (name == "body" && of_request()).then(|| taken_of_body(project, unit, at)).flatten()
        }
        // `JSON.stringify(req.headers, null, 2)`
        ExprKind::Call(call) => {
            let name = project.written(at.to(call.callee)).pop()?;
            match (unit.ir.expr(call.callee), call.positional(0)) {
                (_, Some(first)) if matches!(name.as_str(), "stringify" | "inspect" | "dumps" | "dict" | "fromEntries") => {
                    in_whole(project, unit, at.to(first), steps)
                }
                (ExprKind::Member { object, .. }, None) if name == "entries" => in_whole(project, unit, at.to(*object), steps),
                // `c.req.header()` gives all of them.
                (ExprKind::Member { object, .. }, None) if name == "header" => {
                    project.origins(at.to(*object)).has(Origins::REQUEST).then(|| "headers".to_owned())
                }
                _ => None,
            }
        }
        ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
            [source] if source.path.is_empty() && matches!(unit.ir.expr(source.value), ExprKind::Object(_)) => {
                in_whole(project, unit, at.to(source.value), steps)
            }
            // `context` of which the function takes `context.token` afterwards.
            [source] if source.path.is_empty() && matches!(unit.ir.expr(source.value), ExprKind::Call(_) | ExprKind::Await(_)) => {
                taken_of(unit, *id).filter(|_| is_of_callers(project, at.to(source.value)) || is_body(project, at.to(source.value)))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Names of the SDK's middleware that leaves on the request who calls, with the token.
const SDK: &[&str] = &["requireBearerAuth", "mcpAuthRouter", "mcpAuthMetadataRouter", "AuthInfo"];

/// The credential that a handler takes out of the request's body, which is logged as a whole: `const { password } = req.body`.
fn taken_of_body(project: &Project, unit: &Unit, body: At) -> Option<String> {
    let handler = project.function_of(body);
    if handler.id == FunctionId::MODULE {
        return None;
    }
    let is_one = |name: &str| vocabulary::is_credential(name) && !is_about(name);
    let of_body = |at: At| {
        let origins = project.origins(at);
        origins.has(Origins::INPUT) && !origins.has(Origins::ENV)
    };
    let mut found = None;
    walk::function_exprs(&unit.ir, handler.id, &mut |expr| {
        if let ExprKind::Member { object, property, .. } = unit.ir.expr(expr)
            && is_one(unit.ir.text(*property))
            && of_body(body.to(*object))
        {
            found.get_or_insert_with(|| unit.ir.text(*property).to_owned());
        }
    });
    found.or_else(|| {
        unit.ir.bindings().find_map(|(id, binding)| {
            let name = unit.ir.text(binding.name);
            let taken = || {
                unit.index.sources(id).iter().any(|source| {
                    source.function == handler.id && !source.path.is_empty() && of_body(body.to(source.value))
                })
            };
            (is_one(name) && taken()).then(|| name.to_owned())
        })
    })
}

/// The credential that the code takes out of a variable: `context.token`.
fn taken_of(unit: &Unit, id: BindingId) -> Option<String> {
    unit.index.uses(id).iter().find_map(|used| {
        let Parent::Expr(up) = unit.index.parent(*used) else { return None };
        match unit.ir.expr(up) {
            ExprKind::Member { object, property, .. } if object == used => {
                let name = unit.ir.text(*property);
                (vocabulary::is_credential(name) && !is_about(name)).then(|| name.to_owned())
            }
            _ => None,
        }
    })
}

/// Whether a value is a request's body: `await request.json()`.
fn is_body(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    match unit.ir.expr(at.expr) {
        ExprKind::Await(value) => is_body(project, at.to(*value)),
        ExprKind::Call(call) => {
            let json = call.args.is_empty() && project.last_written(at.to(call.callee)) == Some("json");
            json && project.origins(at).has(Origins::INPUT)
        }
        _ => false,
    }
}

/// Whether a call gives what belongs to one caller: a store of the context, a session.
fn is_of_callers(project: &Project, at: At) -> bool {
    let named = project.unit(at.module).is_some_and(|unit| {
        let text = unit.ir.snippet(unit.ir.span(at.expr)).to_lowercase();
        ["getstore(", "session", "authcontext", "auth_context", "authinfo", "current_user", "currentuser"].iter().any(|word| text.contains(word))
    });
    named || project.origins(at).has(Origins::PRINCIPAL | Origins::SECRET)
}

/// Whether a name tells something about a credential and is none.
fn is_about(name: &str) -> bool {
    let about = [
        "id", "ids", "uri", "type", "name", "url", "path", "count", "hash", "masked", "redacted", "expiry", "expires",
        "env", "var", "alias", "endpoint", "prefix", "has", "is",
    ];
    let words = vocabulary::words(name);
    // What became of one: `token_added`.
    let became = words.last().is_some_and(|last| {
        matches!(last.as_str(), "added" | "stored" | "saved" | "removed" | "revoked" | "valid" | "exists" | "found" | "ok" | "status")
    });
    became || words.iter().any(|word| about.contains(&word.as_str()))
}

fn named(project: &Project, unit: &Unit, at: At) -> Option<String> {
    let name = match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        _ => return None,
    };
    if !vocabulary::is_credential(name) || is_about(name) {
        return None;
    }
    let secret =
        Origins::SECRET | Origins::UNVERIFIED | Origins::PRINCIPAL | Origins::INPUT | Origins::REQUEST;
    (project.origins(at).has(secret) || is_made_for_caller(project, unit, at)).then(|| name.to_owned())
}

/// Words of functions that make a credential, or take one out of something, where they do not name it.
const MAKES: &[&str] = &["sign", "encode", "decrypt"];

/// Functions that give what nobody can guess.
const CHANCE: &[&str] = &[
    "token_urlsafe", "token_hex", "token_bytes", "randomBytes", "generate_password", "uuid4", "uuidv4", "uuid", "randomUUID", "nanoid",
    "random_base32", "generateSecret",
];

/// Methods that cut something off a text.
const CUTS: &[&str] = &["strip", "trim", "split", "replace", "removeprefix", "slice", "substring", "lstrip"];

/// Whether a variable was set, in a request, to what a call made or found that is named for a credential: `token = issue_token(…)`,
/// `key = secrets.token_urlsafe(32)`. What is the process's own is none.
fn is_made_for_caller(project: &Project, unit: &Unit, at: At) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
    let [source] = unit.index.sources(*id) else { return false };
    let itself = is_credential_itself(unit.ir.binding_name(*id));
    if !itself || unit.ir.is_module_level(*id) || !source.path.is_empty() || project.origins(at).has(Origins::ENV) {
        return false;
    }
    let mut call = source.value;
    while let ExprKind::Await(inner) = unit.ir.expr(call) {
        call = *inner;
    }
    // `randomBytes(32).toString("hex")`
    if let ExprKind::Call(outer) = unit.ir.expr(call)
        && let ExprKind::Member { object, property, .. } = unit.ir.expr(outer.callee)
        && matches!(unit.ir.text(*property), "toString" | "strip" | "hex" | "decode")
    {
        call = *object;
    }
    let ExprKind::Call(made) = unit.ir.expr(call) else { return false };
    // `token = authorization.removeprefix("Bearer ")`
    if let ExprKind::Member { object, property, .. } = unit.ir.expr(made.callee)
        && CUTS.contains(&unit.ir.text(*property))
    {
        let roots = project.roots(at.to(*object));
        let whole = roots.iter().any(|root| {
            let name = unit.ir.binding_name(*root);
            vocabulary::is_credential(name) || name.eq_ignore_ascii_case("authorization")
        });
        return whole && is_served(project, project.function_of(at));
    }
    let path = project.written_as_exported(at.to(made.callee));
    let Some(name) = path.last() else { return false };
    let words = vocabulary::words(name);
    let settings = words.iter().any(|word| matches!(word.as_str(), "settings" | "config" | "env" | "required" | "csrf"));
    let names = vocabulary::is_credential(name) || words.iter().any(|word| MAKES.contains(&word.as_str())) || CHANCE.contains(&name.as_str());
    names && !settings && is_served(project, project.function_of(at))
}
