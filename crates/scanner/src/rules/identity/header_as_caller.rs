//! Functions that say who calls, and take a header's word for it: `def get_user_id(request): return request.headers.get("x-user-id")`.

use partywall_model::{Confidence, Severity};

use crate::{
    ir::{BindingId, ExprId, ExprKind, Function, FunctionId, NameRef, walk},
    project::{At, Fun, Project, Unit},
    rules::Report,
    vocabulary,
};

/// Verbs of functions that find out something.
const FINDS: &[&str] = &[
    "get",
    "resolve",
    "current",
    "extract",
    "read",
    "identify",
    "authenticate",
    "determine",
    "derive",
    "find",
    "require",
    "fetch",
    "effective",
    "request",
    "parse",
    "lookup",
    "infer",
];

/// What stands in code that looks at whether the header may be believed.
const LOOKS: &[&str] = &[
    "verify",
    "hmac",
    "signature",
    "compare_digest",
    "timingsafe",
    "trusted",
    "trust_",
    "trustproxy",
    "internal",
    "secret",
    "is_proxy",
    "jwt",
    "decode",
    "service_token",
    "gateway",
    "webhook",
    "admin",
    "impersonat",
    "unsign",
    "signer",
    "signed",
    "serializer",
    "loads",
    "decrypt",
    "unseal",
];

/// Reports such functions where they read the header.
pub(super) fn header_as_caller(project: &Project, report: &mut Report<'_>) {
    told_as_caller(project, report);
    super::cookie_as_caller::cookie_as_caller(project, report);
    let naming = project.naming(&["headers", "header", "meta", "_meta", "cookies"]);
    for (module, unit) in project.units().filter(|(module, _)| naming(*module)) {
        for (id, function) in unit.ir.functions() {
            let named = function.name.is_some_and(|name| {
                says_who_calls(unit.ir.text(name)) || gives_party(unit, function, unit.ir.text(name))
            });
            if !named || looks(unit, id, LOOKS) {
                continue;
            }
            let fun = Fun { module, id };
            let Some((at, header)) = given_header(project, unit, fun) else { continue };
            report
                .reached(at, format!("`{header}` is whatever the client says, and is who calls from here on"))
                .severity(Severity::Medium)
                .confidence(Confidence::Medium);
        }
    }
}

/// Reports functions of the kind that FastAPI injects which give what the client put into the address or the body: `def
/// get_current_user_id(user_id: str = Query(...)): return user_id`.
fn told_as_caller(project: &Project, report: &mut Report<'_>) {
    const SENT: &[&str] = &["Query(", "Body(", "Form(", "Path("];
    for (module, unit) in
        project.units().filter(|(_, unit)| unit.ir.has_name(&["Query", "Body", "Form", "Path"]))
    {
        for (id, function) in unit.ir.functions() {
            let named = function.name.is_some_and(|name| says_who_calls(unit.ir.text(name)));
            if !named || looks(unit, id, LOOKS) {
                continue;
            }
            let fun = Fun { module, id };
            let told = function.params.iter().find(|own| {
                let Some(given) = own.pattern.as_binding() else { return false };
                let sent = project.injections(module, own).into_iter().any(|at| {
                    let text = project.snippet(at);
                    SENT.iter().any(|word| text.starts_with(word) || text.contains(&format!(", {word}")))
                });
                let is_it = |expr: &ExprId| matches!(unit.ir.expr(*expr), ExprKind::Name(NameRef::Binding(id)) if *id == given);
                sent && vocabulary::is_owner(unit.ir.binding_name(given)) && unit.index.returns(fun.id).iter().any(is_it)
            });
            if let Some(told) = told {
                let name = told.pattern.as_binding().map_or("", |id| unit.ir.binding_name(id));
                report
                    .add(
                        module,
                        told.span,
                        format!("`{name}` is whatever the client says, and is who calls from here on"),
                    )
                    .severity(Severity::High)
                    .confidence(Confidence::Medium);
            }
        }
    }
}

/// Whether a function's name says that it gives the caller: `get_user_id`, `resolveTenant`, `current_owner`.
pub(in crate::rules) fn says_who_calls(name: &str) -> bool {
    let words = vocabulary::words(name);
    let verb = words.iter().any(|word| FINDS.contains(&word.as_str()));
    let list = words.last().is_some_and(|last| last.ends_with('s') && last != "address");
    if !verb || list {
        return false;
    }
    let rest: Vec<&str> = words.iter().map(String::as_str).filter(|word| !FINDS.contains(word)).collect();
    let rest = rest.join("_");
    vocabulary::is_owner(&rest)
        || vocabulary::is_principal(&rest)
        || matches!(rest.as_str(), "caller" | "identity" | "caller_id")
}

/// Whether a function is named for a tenant or user and given nothing but the request to find out which: `tenantOf(extra)`,
/// `def account_id()`.
fn gives_party(unit: &Unit, function: &Function, name: &str) -> bool {
    const REQUEST: &[&str] =
        &["req", "request", "ctx", "context", "extra", "c", "event", "scope", "headers", "info", "_"];
    let words: Vec<String> = vocabulary::words(name)
        .iter()
        .filter(|word| !matches!(word.as_str(), "of" | "for"))
        .cloned()
        .collect();
    let given = |own: &crate::ir::Parameter| {
        own.name.is_some_and(|name| REQUEST.contains(&unit.ir.text(name).trim_start_matches('_')))
    };
    vocabulary::is_owner(&words.join("_"))
        && function.kind != crate::ir::FunctionKind::Getter
        && function.class.is_none()
        && function.params.iter().all(given)
}

/// Whether a function has one of some words in the names that it uses, by which it looks whether what it reads is true.
pub(super) fn looks(unit: &Unit, id: FunctionId, words: &[&str]) -> bool {
    let mut looks = false;
    walk::function_exprs(&unit.ir, id, &mut |expr| {
        let text = match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
            ExprKind::Name(NameRef::Global(name)) | ExprKind::Member { property: name, .. } => {
                unit.ir.text(*name)
            }
            _ => return,
        };
        looks |= vocabulary::mentions(text, words);
    });
    looks
}

/// The header that a function gives: by a return of what it reads, or of a variable with it.
fn given_header(project: &Project, unit: &Unit, fun: Fun) -> Option<(At, String)> {
    for value in unit.index.returns(fun.id).iter().take(8) {
        let mut open: Vec<ExprId> = vec![*value];
        let mut seen: Vec<BindingId> = Vec::new();
        while let Some(expr) = open.pop() {
            let mut found = None;
            walk::exprs_below(&unit.ir, expr, &mut |own| {
                if found.is_none() {
                    found = header_of(project, unit, At { module: fun.module, expr: own })
                        .map(|name| (own, name));
                }
                if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(own)
                    && !seen.contains(id)
                    && seen.len() < 16
                    && unit.ir.binding_function(*id) == fun.id
                {
                    seen.push(*id);
                    open.extend(unit.index.sources(*id).iter().map(|source| source.value));
                }
            });
            if let Some((own, name)) = found {
                return Some((At { module: fun.module, expr: own }, name));
            }
        }
    }
    None
}

/// The name of the header that an expression reads, when it names a party.
fn header_of(project: &Project, unit: &Unit, at: At) -> Option<String> {
    let (from, name) = match unit.ir.expr(at.expr) {
        ExprKind::Call(call) => {
            // `getattr(meta, "tenant", None)`
            if let ExprKind::Name(NameRef::Global(name)) = unit.ir.expr(call.callee)
                && unit.ir.text(*name) == "getattr"
                && is_bag(unit, call.positional(0)?)
            {
                return owner(text_of(project, unit, at.to(call.positional(1)?))?);
            }
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return None };
            match unit.ir.text(*property) {
                "get" => (*object, call.positional(0)?),
                "header" | "getHeader" | "get_header" => {
                    return party(text_of(project, unit, at.to(call.positional(0)?))?);
                }
                _ => return None,
            }
        }
        ExprKind::Index { object, index, .. } => (*object, *index),
        // `req.headers["x-user-id"]`
        ExprKind::Member { object, property, .. } => {
            if is_bag(unit, *object) {
                return owner(unit.ir.text(*property).to_owned());
            }
            return party(unit.ir.text(*property).to_owned()).filter(|_| are_headers(unit, *object));
        }
        _ => return None,
    };
    if is_bag(unit, from) {
        return owner(text_of(project, unit, at.to(name))?);
    }
    if !are_headers(unit, from) {
        return None;
    }
    party(text_of(project, unit, at.to(name))?)
}

fn are_headers(unit: &Unit, expr: ExprId) -> bool {
    let text = unit.ir.snippet(unit.ir.span(expr)).to_lowercase();
    text.ends_with("headers") || text.ends_with("headers()")
}

/// Whether an expression is one of the records that a client fills as it likes: the cookies of a request, the `_meta` of a message.
fn is_bag(unit: &Unit, expr: ExprId) -> bool {
    let text = unit.ir.snippet(unit.ir.span(expr)).trim_end_matches('?');
    let last = text.rsplit('.').next().unwrap_or(text);
    let set = matches!(last, "meta") && text.starts_with("import");
    matches!(last, "cookies" | "COOKIES" | "_meta" | "meta") && !set
}

/// The name of what a client put there, when it names a tenant or user: `account`, `com.example/tenant`.
fn owner(name: String) -> Option<String> {
    let own = name.rsplit(['/', '.']).next().unwrap_or(&name).to_owned();
    vocabulary::is_owner(&own).then_some(name)
}

fn party(name: String) -> Option<String> {
    let words = vocabulary::words(&name);
    let own = words.first().is_some_and(|word| word == "x") || words.iter().any(|word| word == "id");
    (own && vocabulary::is_owner(&name)).then_some(name)
}

/// A text that is written out, or that a constant holds.
fn text_of(project: &Project, unit: &Unit, at: At) -> Option<String> {
    match unit.ir.expr(at.expr) {
        ExprKind::String(text) => Some(unit.ir.text(*text).to_owned()),
        ExprKind::Name(NameRef::Binding(id)) => {
            let (module, own) = project.declared(at.module, *id).unwrap_or((at.module, *id));
            let home = project.unit(module)?;
            let [source] = home.index.sources(own) else { return None };
            match home.ir.expr(source.value) {
                ExprKind::String(text) => Some(home.ir.text(*text).to_owned()),
                _ => None,
            }
        }
        _ => None,
    }
}
