//! What the names of functions say of their checks: of whose a thing is, of who calls, of the form of a value.

/// Words of functions that check and throw.
pub(super) const CHECKS: &[&str] = &[
    "assert",
    "ensure",
    "require",
    "check",
    "verify",
    "authorize",
    "authorise",
    "validate",
    "enforce",
    "guard",
    "can",
    "owns",
    "allowed",
    "permitted",
    "access",
    "authorized",
    "belongs",
    "forbid",
    "permission",
    "member",
];

/// First words of names of functions that change who may do something.
pub(super) const CHANGES: &[&str] =
    &["add", "remove", "create", "delete", "invite", "update", "insert", "kick", "promote", "demote"];

/// First words of names of functions that record or change something.
pub(super) const DOES: &[&str] = &[
    "log",
    "record",
    "audit",
    "notify",
    "publish",
    "emit",
    "send",
    "add",
    "create",
    "insert",
    "assign",
    "invalidate",
    "update",
    "remove",
    "delete",
    "list",
    "count",
    "format",
];

/// Words of what a caller shows or is.
const CALLER: &[&str] = &[
    "auth",
    "authenticated",
    "authentication",
    "user",
    "userid",
    "session",
    "login",
    "signin",
    "signed",
    "in",
    "token",
    "bearer",
    "jwt",
    "id",
    "current",
    "identity",
    "principal",
    "caller",
    "viewer",
    "api",
    "key",
    "apikey",
    "or",
    "throw",
    // What looks at the form or the number of requests, and at nobody's things.
    "rate",
    "limit",
    "csrf",
    "xsrf",
    "origin",
    "captcha",
    "method",
    "version",
    "quota",
    "request",
    "input",
    "schema",
    "json",
    "body",
    "query",
    "params",
    "args",
    "content",
    "type",
    "headers",
    // What the caller may do at all, and not with which thing.
    "scope",
    "scopes",
];

/// Whether a function that requires something requires a caller and nothing else, by the words of its name: `requireUserId`,
/// `ensureAuthenticated`.
pub(super) fn finds_caller(words: &[String]) -> bool {
    let [verb, rest @ ..] = words else { return false };
    // `verify(req)` and `validate(req)` look at the token or the form.
    let alone = matches!(verb.as_str(), "verify" | "validate");
    matches!(
        verb.as_str(),
        "require"
            | "ensure"
            | "assert"
            | "check"
            | "verify"
            | "validate"
            | "enforce"
            | "authorize"
            | "authorise"
    ) && (alone || !rest.is_empty())
        && rest.iter().all(|word| CALLER.contains(&word.as_str()))
}

/// What a function checks that looks at the form of a value, or at what the server itself needs.
const FORMS: &[&str] = &[
    "uuid",
    "format",
    "length",
    "size",
    "slug",
    "syntax",
    "table",
    "tables",
    "schema",
    "schemas",
    "database",
    "index",
    "indexes",
    "indices",
    "bucket",
    "dirs",
    "directories",
    "initialized",
    "loaded",
    "ready",
    "connected",
];

/// Words beside those.
const OF_FORMS: &[&str] =
    &["with", "request", "id", "is", "valid", "of", "string", "name", "exist", "exists", "db", "are"];

/// Whether a function that checks something looks at its form only, or at what the server needs, by the words of its name:
/// `validate_uuid`, `check_length`, `ensure_tables`.
pub(super) fn looks_at_form(words: &[String]) -> bool {
    let [verb, rest @ ..] = words else { return false };
    let is = |word: &String, list: &[&str]| list.contains(&word.as_str());
    matches!(verb.as_str(), "require" | "ensure" | "assert" | "check" | "verify" | "validate")
        && rest.iter().any(|word| is(word, FORMS))
        && rest.iter().all(|word| is(word, FORMS) || is(word, OF_FORMS))
}
