//! What names say about where values come from.

use super::Origins;
use crate::{
    ir::{ArgKind, Call, ExprId, ExprKind, NameRef, PropertyKey},
    project::{Unit, Word},
    vocabulary::{self, Meaning},
};

/// A value of unknown source that is named like an owner is one.
pub(super) fn named(name: &str, value: Origins) -> Origins {
    named_by(|| vocabulary::meaning_of(name), value)
}

/// The same by what the name means.
pub(super) fn named_by(meaning: impl FnOnce() -> Meaning, value: Origins) -> Origins {
    let open = value.without(Origins::UNKNOWN | Origins::CONSTANT | Origins::REQUEST) == Origins::NONE
        && value.has(Origins::UNKNOWN);
    let is_party = || {
        let meaning = meaning();
        meaning.is_owner() || meaning.is_principal()
    };
    if open && is_party() { value | Origins::OWNER } else { value }
}

/// What names of functions have in them that give back what they are given in another form.
const CONVERSIONS: &[&str] = &[
    "str",
    "int",
    "float",
    "parse",
    "trim",
    "strip",
    "lower",
    "upper",
    "decode",
    "encode",
    "get",
    "pop",
    "loads",
    "dict",
    "list",
    "uuid",
    "validate",
    "normal",
    "clean",
    "sanit",
    "unquote",
    "replace",
    "slice",
    "split",
    "join",
    "tolowercase",
    "param",
    "header",
    "cast",
    "coerce",
    "assign",
    "format",
    "stringify",
    "hash",
    "digest",
    "update",
    "key",
    "safe",
];

/// Whether a function gives back what it is given in another form.
pub(super) fn converts(name: &str) -> bool {
    // `Object.fromEntries(form)` has all that the form has.
    if name == "fromEntries" || name.chars().next().is_some_and(char::is_uppercase) {
        return true;
    }
    let lower = name.to_lowercase();
    let bytes = lower.as_bytes();
    // Most places are told by their first letter.
    bytes.iter().enumerate().any(|(at, first)| {
        let begins = |word: &&&str| word.as_bytes().first() == Some(first);
        let mut likely = CONVERSIONS.iter().filter(begins);
        likely.any(|word| bytes.get(at..).is_some_and(|rest| rest.starts_with(word.as_bytes())))
    })
}

/// Whether a function makes something that goes on with what it is given: `build("drive", "v3", credentials=…)`, `connect(token)`.
pub(super) fn makes(name: &str) -> bool {
    vocabulary::words(name).first().is_some_and(|first| {
        matches!(
            first.as_str(),
            "build"
                | "create"
                | "make"
                | "connect"
                | "open"
                | "init"
                | "initialize"
                | "login"
                | "authorize"
                | "from"
                | "client"
                | "extend"
        )
    })
}

/// How many records in records of options are looked into.
const OPTIONS: u32 = 4;

/// Whether a call is given a credential, by the name of an argument or of what it is given, however deep in its options.
pub(super) fn given_credential(unit: &Unit, call: &Call) -> bool {
    call.args.iter().any(|arg| {
        let keyword = match arg.kind {
            ArgKind::Keyword(name) => vocabulary::is_credential(unit.ir.text(name)),
            _ => false,
        };
        keyword || holds_credential(unit, arg.value, OPTIONS)
    })
}

/// Whether a value is a credential or a record of options that has one: `{ global: { headers: { Authorization: `Bearer ${token}` } } }`.
fn holds_credential(unit: &Unit, value: ExprId, depth: u32) -> bool {
    let Some(depth) = depth.checked_sub(1) else { return false };
    match unit.ir.expr(value) {
        ExprKind::Name(NameRef::Binding(id)) => vocabulary::is_credential(unit.ir.binding_name(*id)),
        ExprKind::Object(properties) => properties.iter().any(|property| {
            let named =
                matches!(property.key, PropertyKey::Name(name) if brings_credential(unit.ir.text(name)));
            named || holds_credential(unit, property.value, depth)
        }),
        _ => false,
    }
}

/// Whether an option or a header of that name is for a credential.
fn brings_credential(name: &str) -> bool {
    matches!(name, "auth" | "Cookie" | "cookie")
        || name.eq_ignore_ascii_case("authorization")
        || vocabulary::is_credential(&name.replace('-', "_"))
}

/// What the name of a function says of the value that a call of it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Says(u8);

impl Says {
    const CONVERTS: u8 = 1;
    const PARTY: u8 = 1 << 1;
    const DEMANDS: u8 = 1 << 2;
    const ASKS: u8 = 1 << 3;
    const BODY: u8 = 1 << 4;

    /// By the name.
    pub(crate) fn of(name: &str) -> Self {
        let words = vocabulary::words(name);
        let first = words.first().map(String::as_str);
        let asks = first.is_some_and(|first| {
            matches!(
                first,
                "get"
                    | "require"
                    | "current"
                    | "resolve"
                    | "extract"
                    | "load"
                    | "ensure"
                    | "authenticate"
                    | "verify"
                    | "fetch"
                    | "must"
                    | "assert"
                    | "use"
            )
        });
        let of = words.get(usize::from(asks)..).unwrap_or(&[]).join("_");
        // `get_user_auth_secret()` gives the server's own.
        let servers =
            words.last().is_some_and(|last| matches!(last.as_str(), "secret" | "settings" | "config"));
        let party = !servers
            && (vocabulary::is_owner(&of) || vocabulary::is_principal(&of) || first == Some("authenticate"));
        let demands = matches!(first, Some("authenticate" | "verify" | "require"));
        let bits = [
            (converts(name), Self::CONVERTS),
            (party, Self::PARTY),
            (demands, Self::DEMANDS),
            (super::bearers::asks_for_party(&words), Self::ASKS),
            (reads_body(&words), Self::BODY),
        ];
        Self(bits.into_iter().filter(|(holds, _)| *holds).fold(0, |sum, (_, bit)| sum | bit))
    }

    /// As [`converts`].
    pub(super) const fn converts(self) -> bool {
        self.0 & Self::CONVERTS != 0
    }

    /// As [`super::bearers::asks_for_party`].
    pub(super) const fn asks_for_party(self) -> bool {
        self.0 & Self::ASKS != 0
    }

    /// Whether a function of this name, when it is given a request, gives what the client sent in it: `readJson(req)`.
    pub(super) const fn reads_body(self) -> bool {
        self.0 & Self::BODY != 0
    }

    /// A call whose name says that it gives the caller: `getCurrentUser()`, `require_tenant()`.
    pub(super) fn called(self, value: Origins) -> Origins {
        let given = value.is_chosen() && self.0 & Self::DEMANDS == 0;
        if self.0 & Self::PARTY != 0 && !given { value | Origins::OWNER } else { value }
    }
}

/// Whether words say that the body of a request is read: `readJson`, `parseJsonBody`, `getRequestBody`. What a function that is named
/// for a token gives is the token's.
fn reads_body(words: &[String]) -> bool {
    let verb = words.first().is_some_and(|first| {
        matches!(
            first.as_str(),
            "read" | "parse" | "get" | "load" | "collect" | "receive" | "body" | "json" | "consume"
        )
    });
    verb && words.iter().any(|word| matches!(word.as_str(), "body" | "json" | "formdata"))
        && !words.iter().any(|word| vocabulary::is_credential(word) || vocabulary::is_principal(word))
}

pub(super) fn injected_name(word: &str, parameter: &str, value: Origins) -> Origins {
    let words = vocabulary::words(word);
    let mentions = [
        "user",
        "tenant",
        "principal",
        "auth",
        "identity",
        "operator",
        "org",
        "account",
        "token",
        "claims",
        "permission",
        "permissions",
        "role",
        "admin",
    ];
    let said = words.iter().any(|word| mentions.contains(&word.as_str()));
    if said || vocabulary::is_principal(parameter) || vocabulary::is_owner(parameter) {
        value.without(Origins::REQUEST | Origins::INPUT | Origins::UNVERIFIED) | Origins::PRINCIPAL
    } else {
        value
    }
}

/// What a parameter is by its name and type alone.
pub(super) fn by_name(name: &str, type_text: &str) -> Origins {
    if matches!(
        name,
        "payload"
            | "args"
            | "arguments"
            | "params"
            | "input"
            | "body"
            | "request_body"
            | "tool_args"
            | "query_params"
    ) {
        return Origins::INPUT | Origins::UNKNOWN;
    }
    let request = ["req", "request", "ctx", "context", "extra", "info", "c"];
    let typed = [
        "Request",
        "Context",
        "RequestHandlerExtra",
        "ServerContext",
        "IncomingMessage",
        "RequestContext",
        "HonoRequest",
    ];
    let bare = type_text.split(['<', '[']).next().unwrap_or("").trim();
    let last = bare.rsplit('.').next().unwrap_or("");
    if typed.contains(&last) || (request.contains(&name) && !matches!(last, "str" | "string" | "dict")) {
        return Origins::REQUEST;
    }
    if vocabulary::is_principal(name) || vocabulary::is_principal(last) {
        return Origins::PRINCIPAL | Origins::OWNER;
    }
    named(name, Origins::UNKNOWN)
}

/// What a member of a request or context object is.
pub(super) fn request_member(name: &str) -> Origins {
    let lower = name.to_lowercase();
    match lower.as_str() {
        "headers" | "header" | "cookies" | "cookie" | "getheader" | "_meta" | "meta" | "hostname" | "ip"
        | "client" | "clientinfo" | "client_info" | "client_id" | "clientid" => Origins::UNVERIFIED,
        "body" | "query" | "params" | "param" | "args" | "arguments" | "input" | "json" | "form" | "url"
        | "path" | "searchparams" | "query_params" | "path_params" | "formdata" | "text" | "files"
        | "queries" | "match_info" | "receive_json" | "receive_text" | "receive_bytes" | "parsedinput"
        | "rawinput" | "clientinput" => Origins::INPUT,
        "sessionid" | "session_id" => Origins::SESSION,
        "env" | "bindings" => Origins::ENV,
        "requestid" | "request_id" | "signal" | "method" | "log" | "logger" | "app" | "server" | "db" => {
            Origins::UNKNOWN
        }
        _ if vocabulary::is_credential(name) => Origins::SECRET,
        _ if vocabulary::is_principal(name) || vocabulary::is_owner(name) || lower == "session" => {
            Origins::PRINCIPAL
        }
        _ => Origins::REQUEST | Origins::UNKNOWN,
    }
}

/// What a method of a request gives for a name: `ctx.get_state("user")`, `ctx.get("mcp-session-id")` of a header.
pub(super) fn asked_member(method: &str, key: &str) -> Origins {
    match method {
        "get_state" => request_member(key),
        "get" if key.contains('-') || key.eq_ignore_ascii_case("authorization") => Origins::UNVERIFIED,
        _ => request_member(method),
    }
}

/// What a member of a value is when only the value's origins are known.
pub(super) fn member_of(base: Origins, name: &str) -> Origins {
    if base.has(Origins::REQUEST) {
        return request_member(name);
    }
    let known = Origins::INPUT
        | Origins::UNVERIFIED
        | Origins::SESSION
        | Origins::PRINCIPAL
        | Origins::SECRET
        | Origins::ENV;
    if base.has(known) { base } else { named(name, base | Origins::UNKNOWN) }
}

/// With what paths to the environment begin.
const ENVIRONMENTS: &[&str] =
    &["process", "Deno", "Bun", "os", "environ", "getenv", "import", "sys", "settings", "config"];

/// Whether a path that begins with a word may read the environment of the process.
pub(super) fn begins_environment(first: &str) -> bool {
    matches!(first.len(), 2..=8) && ENVIRONMENTS.contains(&first)
}

/// Whether a path reads the environment of the process.
pub(super) fn is_environment(path: &[Word]) -> bool {
    // Most paths begin with other words.
    if !path.first().is_some_and(|first| begins_environment(first)) {
        return false;
    }
    let path: Vec<&str> = path.iter().map(Word::as_str).collect();
    matches!(
        path.as_slice(),
        ["process" | "Deno" | "Bun" | "os", "env" | "environ", ..]
            | ["os", "getenv"]
            | ["environ" | "getenv", ..]
            | ["import", "meta", "env", ..]
            | ["sys", "argv", ..]
    ) || matches!(path.as_slice(), [.., "env" | "environ", "get"] if path.first() == Some(&"os"))
        || path.first().is_some_and(|first| *first == "settings" || *first == "config")
            && path.last().is_some_and(|last| {
                last.chars().any(char::is_uppercase) && !last.chars().any(char::is_lowercase)
            })
}

/// Whether a name is that of a class, which is nobody in particular: `User` of `User.created_at`.
pub(super) fn is_class(name: &str) -> bool {
    name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase)
}

/// Whether a name is that of a parameter that is the request, or the context that it comes in: all its parts are of the same request.
pub(crate) fn is_request(name: &str) -> bool {
    matches!(name, "req" | "request" | "ctx" | "context" | "c" | "event")
}

/// Last words of names of credentials themselves.
const CREDENTIALS: &[&str] = &[
    "token",
    "key",
    "secret",
    "password",
    "credential",
    "credentials",
    "apikey",
    "bearer",
    "jwt",
    "pat",
    "header",
];

/// Whether a name is a credential's, and neither that of what keeps some nor of what became of one: `apiKey`, but not `secretManager`,
/// `tokenAdded` or `validatedToken`.
pub(crate) fn is_credential_itself(name: &str) -> bool {
    let words = vocabulary::words(name);
    let last = words.last().is_some_and(|word| CREDENTIALS.contains(&word.as_str()));
    let read = words
        .first()
        .is_some_and(|word| matches!(word.as_str(), "validated" | "decoded" | "parsed" | "verified"));
    vocabulary::is_credential(name) && last && !read
}
