//! What the runtime's own `fetch` is called for besides the data of tenants.

use super::{of_models::names_in, shared_credential::OPERATORS};
use crate::{
    ir::{ExprKind, NameRef},
    project::{At, Project},
    vocabulary,
};

/// Words of addresses and credentials by which the server itself signs in, asks whose a token is, or is woken.
const OWN: &[&str] = &[
    "oauth",
    "oauth2",
    "introspect",
    "introspection",
    "revoke",
    "basic",
    "cron",
    "webhook",
    "email",
    "mail",
    "sms",
];

/// Whether a call is one of the global `fetch`, of which no library says what it is for.
pub(super) fn is_global(project: &Project, call: At) -> bool {
    project.callee(call).is_some_and(|callee| callee.package.is_none() && callee.name() == "fetch")
}

/// Whether such a call is about the server's own dealings: its sign-in as an application (a client's id and secret, RFC 6749 section
/// 2.3.1), a question about a token (RFC 7662), mail and payments.
pub(super) fn is_the_servers_own(project: &Project, call: At) -> bool {
    let mut names = names_in(project, call);
    // `fetch(endpoint, …)`, and what the endpoint is made of.
    if let Some(unit) = project.unit(call.module)
        && let ExprKind::Call(parts) = unit.ir.expr(call.expr)
    {
        for arg in parts.args.iter().take(2) {
            if let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(arg.value) {
                let sources = unit.index.sources(*id).iter().take(4);
                sources.for_each(|source| names.extend(names_in(project, call.to(source.value))));
            }
        }
    }
    names.iter().any(|name| {
        let words = vocabulary::words(name);
        let has = |word: &str| words.iter().any(|own| own == word);
        OPERATORS.iter().any(|own| name.to_ascii_lowercase().contains(own))
            || OWN.iter().any(|word| has(word))
            || (has("client") && has("secret"))
    })
}
