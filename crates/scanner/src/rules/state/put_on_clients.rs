//! What a request puts on a client of a library that all requests use, other than its defaults: `sdk.apiKey = token`,
//! `db.auth.setSession(…)`, `sdk.config({ apiKey })`, a hook that takes the request's token with it, and headers in a variable.

use partywall_model::{Confidence, Severity};

use super::shared_client_defaults::{is_of_caller, is_shared, root, tell};
use crate::{
    flow::{Lifetimes, Origins, captured},
    ir::{BindingKind, Call, ExprId, ExprKind, Language, NameRef, PropertyKey, walk},
    project::{At, Parent, Project, Symbol, Unit, Write},
    rules::Report,
    vocabulary,
};

/// Methods that set what a library is to use from now on.
const CONFIGURES: &[&str] = &["options", "config", "configure", "init", "update", "defaults"];

/// Packages whose client is whoever signed in with it last, until somebody else does.
const SIGNED_IN: &[&str] = &["@supabase/supabase-js", "pocketbase", "firebase", "appwrite"];

/// Methods and functions that sign a client in.
const SIGNS_IN: &[&str] = &[
    "signInWithPassword",
    "signInWithIdToken",
    "signInWithOtp",
    "signInWithEmailAndPassword",
    "signInWithCustomToken",
    "signInWithCredential",
    "exchangeCodeForSession",
    "verifyOtp",
    "refreshSession",
    "setSession",
    "authWithPassword",
    "authWithOAuth2",
    "authWithOAuth2Code",
    "loadFromCookie",
    "setJWT",
];

/// Reports an assignment of a credential of the request to a property of such a client, or to headers in a variable.
pub(super) fn assigned(
    project: &Project,
    lives: &Lifetimes<'_>,
    unit: &Unit,
    place: At,
    write: &Write,
    report: &mut Report<'_>,
) {
    let (object, name) = match unit.ir.expr(place.expr) {
        ExprKind::Member { object, property, .. } => (*object, unit.ir.text(*property)),
        ExprKind::Index { object, index, .. } => match unit.ir.expr(*index) {
            ExprKind::String(name) => (*object, unit.ir.text(*name)),
            _ => return,
        },
        _ => return,
    };
    let taken = is_of_caller(project, place.to(write.value));
    if is_of_sdk(project, place.to(object))
        && (vocabulary::is_credential(name) || name == "organization")
        && (taken || is_given(project, place.to(write.value)))
    {
        if lives.is_per_request(project.function_of(place)) {
            tell(report, place, true);
        }
        return;
    }
    if !taken || !(vocabulary::is_credential(name) || name.eq_ignore_ascii_case("cookie")) {
        return;
    }
    let client = vocabulary::is_credential(name) && is_of_library(project, place.to(object));
    if (client || are_sent_later(unit, object, write)) && is_shared(project, lives, unit, place.to(object)) {
        tell(report, place, true);
    }
}

/// Packages whose module itself is the client: `openai.api_key = key`. Sources: their README files.
const SDKS: &[&str] = &[
    "openai",
    "stripe",
    "cohere",
    "replicate",
    "resend",
    "pinecone",
    "postmarker",
    "braintree",
    "paystackapi",
    "clearbit",
    "easypost",
];

/// Whether a value is the module of such a package.
fn is_of_sdk(project: &Project, at: At) -> bool {
    let python = project.unit(at.module).is_some_and(|unit| unit.ir.language == Language::Python);
    python
        && matches!(project.symbol(at), Symbol::External { package, path } if path.is_empty() && SDKS.contains(&package.as_str()))
}

/// Whether a value is what the function around is given, or a part of it: `customer.openai_key`.
fn is_given(project: &Project, at: At) -> bool {
    project.roots(at).iter().any(|id| project.parameter_of(at.module, *id).is_some())
}

/// Whether a variable holds headers, and is used elsewhere, or after the function has waited.
fn are_sent_later(unit: &Unit, object: ExprId, write: &Write) -> bool {
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(object) else { return false };
    let headers = vocabulary::words(unit.ir.binding_name(*id)).last().is_some_and(|last| last == "headers");
    headers
        && unit.index.uses(*id).iter().any(|used| {
            let function = unit.index.function(*used);
            let elsewhere = function != write.function
                && !unit.index.writes.iter().any(|other| holds(unit, other.place, *used));
            elsewhere || unit.index.waits_between(write.function, write.order, unit.index.order(*used))
        })
}

fn holds(unit: &Unit, place: ExprId, used: ExprId) -> bool {
    matches!(unit.ir.expr(place), ExprKind::Member { object, .. } | ExprKind::Index { object, .. } if *object == used)
}

/// Whether a value is something of a library: what it exports, or an object that it made. In Python what a package exports may be one
/// for each request, as `g` and `request` are, and so is what is local to a thread.
fn is_of_library(project: &Project, at: At) -> bool {
    let Symbol::External { package, path } = project.symbol(at) else { return false };
    let Some(unit) = project.unit(at.module) else { return false };
    let imported = match unit.ir.expr(at.expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            matches!(unit.ir.binding(*id).map(|binding| binding.kind), Some(BindingKind::Import(_)))
        }
        _ => false,
    };
    let local =
        path.iter().any(|part| matches!(part.as_str(), "local" | "Local" | "LocalProxy" | "LocalStack"));
    let of_request =
        matches!(package.as_str(), "flask" | "quart" | "starlette_context" | "threading" | "contextvars");
    !(unit.ir.language == Language::Python && (imported || local || of_request))
}

/// Reports a call that puts something of the request on such a client.
pub(super) fn called(
    project: &Project,
    lives: &Lifetimes<'_>,
    unit: &Unit,
    at: At,
    call: &Call,
    report: &mut Report<'_>,
) {
    let (object, method) = match unit.ir.expr(call.callee) {
        ExprKind::Member { object, property, .. } => (Some(*object), unit.ir.text(*property)),
        ExprKind::Name(_) => (None, project.last_written(at.to(call.callee)).unwrap_or_default()),
        _ => return,
    };
    if SIGNS_IN.contains(&method) {
        // `signInWithEmailAndPassword(auth, …)` is given the client.
        let Some(client) = object.or_else(|| call.positional(0)) else { return };
        if signs_in(project, at, call, client) && is_shared(project, lives, unit, at.to(client)) {
            let found = report
                .reached(at, "from here on this client, which all requests use, is whoever signed in last");
            found.confidence(Confidence::Medium);
            if !asks_for_rows(project, lives, at.to(root(unit, client))) {
                found.severity(Severity::Medium);
            }
        }
        return;
    }
    if logs_in(project, lives, unit, at, call, object) {
        report
            .reached(at, "this client keeps the cookies of whoever signed in last, for all requests")
            .severity(Severity::Medium)
            .confidence(Confidence::Medium);
        return;
    }
    let Some(object) = object else { return };
    let hung_up = || {
        method == "use"
            && hooks_in(project, at.to(object))
            && call.args.iter().any(|arg| captured(project, at.to(arg.value)).has(CREDENTIALS))
    };
    let configured = || {
        CONFIGURES.contains(&method)
            && is_of_library(project, at.to(object))
            // `prisma.account.update({ where, data })` changes a row.
            && call.args.iter().all(|arg| project.literal_property(at.to(arg.value), "where").is_none())
            && call.args.iter().any(|arg| names_credential(project, unit, at.to(arg.value), 2))
    };
    if (hung_up() || configured()) && is_shared(project, lives, unit, at.to(object)) {
        tell(report, at, true);
    }
}

/// What makes a client that keeps the cookies it is given. Sources: the documentation of fetch-cookie, axios-cookiejar-support, got, requests
/// and httpx.
const KEEPS_COOKIES: &[&str] = &[
    "fetchCookie",
    "makeFetchCookie",
    "wrapper",
    "extend",
    "Session",
    "session",
    "AsyncClient",
    "Client",
    "ClientSession",
];

/// Whether a call signs in with what the client sends, on a client of the module that keeps cookies: `http(loginUrl, { body: { name,
/// password } })`, `session.post(login_url, data={"password": password})`.
fn logs_in(
    project: &Project,
    lives: &Lifetimes<'_>,
    unit: &Unit,
    at: At,
    call: &Call,
    object: Option<ExprId>,
) -> bool {
    let client = match (object, unit.ir.expr(call.callee)) {
        (Some(object), ExprKind::Member { property, .. })
            if matches!(unit.ir.text(*property), "post" | "request" | "put") =>
        {
            object
        }
        (None, ExprKind::Name(_)) => call.callee,
        _ => return false,
    };
    let says = call.positional(0).is_some_and(|url| {
        let text = project.snippet(at.to(url)).to_lowercase();
        ["login", "signin", "sign-in", "sign_in", "/auth", "session", "logon"]
            .iter()
            .any(|word| text.contains(word))
    });
    let password = |arg: &crate::ir::Arg| {
        let mut found = false;
        let mut see = |name: &str, value: ExprId| {
            let named = vocabulary::words(name)
                .iter()
                .any(|word| matches!(word.as_str(), "password" | "passwd" | "passphrase" | "pin"));
            found = found || (named && project.origins(at.to(value)).is_of_request());
        };
        walk::exprs_below(&unit.ir, arg.value, &mut |expr| match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => see(unit.ir.binding_name(*id), expr),
            ExprKind::Member { property, .. } => see(unit.ir.text(*property), expr),
            // `request.form["password"]`, `{"password": form["pw"]}`
            ExprKind::Index { index, .. } => {
                if let ExprKind::String(name) = unit.ir.expr(*index) {
                    see(unit.ir.text(*name), expr);
                }
            }
            ExprKind::Object(properties) => {
                for property in properties {
                    if let PropertyKey::Name(name) = property.key {
                        see(unit.ir.text(name), property.value);
                    }
                }
            }
            _ => {}
        });
        found
    };
    says && call.args.iter().any(password)
        && keeps_cookies(project, unit, at.to(client))
        && is_shared(project, lives, unit, at.to(client))
}

/// Whether a variable was made as a client that keeps cookies.
fn keeps_cookies(project: &Project, unit: &Unit, client: At) -> bool {
    // `self.session` of an object: whether that is shared is asked for elsewhere.
    if let ExprKind::Member { object, property, .. } = unit.ir.expr(client.expr) {
        let class = match unit.ir.expr(*object) {
            ExprKind::This => project.this_of(project.function_of(client)),
            _ => match project.symbol(client.to(*object)) {
                Symbol::Class(class) | Symbol::Instance(class) => Some(class),
                _ => None,
            },
        };
        let values =
            class.map(|class| project.field_values(class, unit.ir.text(*property))).unwrap_or_default();
        return values.iter().any(|value| {
            project.unit(value.module).is_some_and(|home| match home.ir.expr(value.expr) {
                ExprKind::Call(_) => {
                    let name = project.callee(*value).map_or("", |callee| callee.name());
                    matches!(name, "Session" | "session" | "AsyncClient" | "Client" | "ClientSession")
                }
                _ => false,
            })
        });
    }
    let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(client.expr) else { return false };
    let (module, id) = project.declared(client.module, *id).unwrap_or((client.module, *id));
    let Some(unit) = project.unit(module) else { return false };
    let client = At { module, ..client };
    let [source] = unit.index.sources(id) else { return false };
    let ExprKind::Call(made) = unit.ir.expr(source.value) else { return false };
    let name = project.callee(client.to(source.value)).map_or("", |callee| callee.name());
    let name = if name == "default" {
        project.last_written(client.to(made.callee)).unwrap_or_default()
    } else {
        name
    };
    let jar = || project.snippet(client.to(source.value)).to_lowercase().contains("jar");
    match name {
        "wrapper" | "extend" => jar(),
        _ => {
            KEEPS_COOKIES.contains(&name)
                || (jar() && matches!(project.symbol(client.to(made.callee)), Symbol::External { .. }))
        }
    }
}

/// Whether rows or files are asked for with a client that is signed in.
fn asks_for_rows(project: &Project, lives: &Lifetimes<'_>, client: At) -> bool {
    let asks = |module_unit: &Unit, read: ExprId| match module_unit.index.parent(read) {
        Parent::Expr(up) => matches!(module_unit.ir.expr(up), ExprKind::Member { property, .. }
            if matches!(module_unit.ir.text(*property), "from" | "rpc" | "schema" | "storage" | "functions" | "collection" | "filter")),
        _ => false,
    };
    // Firebase has its database beside it, and asks as whoever is signed in.
    let beside =
        matches!(project.symbol(client), Symbol::External { package, .. } if package.starts_with("firebase"));
    let Some(cell) = lives.cell(client) else { return false };
    beside
        || lives
            .reads(project, &cell)
            .into_iter()
            .any(|(read, ..)| project.unit(read.module).is_some_and(|unit| asks(unit, read.expr)))
}

const CREDENTIALS: Origins = Origins::SECRET.or(Origins::PRINCIPAL).or(Origins::UNVERIFIED);

/// Whether the client is one of a library that keeps who signed in, and what it is given is the request's.
fn signs_in(project: &Project, at: At, call: &Call, client: ExprId) -> bool {
    let of = |symbol: Symbol| match symbol {
        Symbol::External { package, .. } => SIGNED_IN.iter().any(|name| {
            package.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }),
        _ => false,
    };
    let known = of(project.symbol(at.to(client))) || of(project.symbol(at.to(call.callee)));
    known && call.args.iter().any(|arg| project.origins(at.to(arg.value)).is_of_request())
}

/// Whether something is where hooks of a client are hung up: `http.interceptors.request`.
fn hooks_in(project: &Project, object: At) -> bool {
    let path = project.written(object);
    path.iter().any(|part| part.as_str() == "interceptors")
}

/// Whether an object names a credential, and that is the request's.
fn names_credential(project: &Project, unit: &Unit, at: At, depth: u32) -> bool {
    let (Some(depth), ExprKind::Object(properties)) = (depth.checked_sub(1), unit.ir.expr(at.expr)) else {
        return false;
    };
    properties.iter().any(|property| match property.key {
        PropertyKey::Name(name) => {
            let name = unit.ir.text(name);
            let own = at.to(property.value);
            let named = vocabulary::is_credential(name) || matches!(name, "auth" | "headers" | "credentials");
            (named && is_of_caller(project, own)) || names_credential(project, unit, own, depth)
        }
        _ => false,
    })
}
