//! Values that say who the verified caller is without a word for an owner: `user.email`, `claims.sub`, a wallet's address.

use super::{Origins, Query, Scope, lists_owners};
use crate::{
    project::{At, Project},
    vocabulary,
};

/// Last words of names by which people are told apart.
const PERSONS: &[&str] = &[
    "email",
    "mail",
    "sub",
    "subject",
    "login",
    "username",
    "caller",
    "principal",
    "identity",
    "actor",
    "viewer",
    "upn",
    "oid",
    "wallet",
    "address",
    "pubkey",
    "did",
    "handle",
];

impl Project {
    /// Whether a value tells who the verified caller is.
    fn is_person(&self, at: At) -> bool {
        let named = self.last_written(at).is_some_and(|name| {
            vocabulary::words(name).last().is_some_and(|last| PERSONS.contains(&last.as_str()))
        });
        named && {
            let origins = self.origins(at);
            origins.has(Origins::PRINCIPAL) && !origins.is_chosen()
        }
    }

    /// Queries that take such a value name the owner of their rows: `where({ email })`, `insert into notes (caller, …)`.
    pub(super) fn named_by_persons(&self, all: &mut [Query]) {
        for query in all {
            let open = query.scope == Scope::None && !lists_owners(&query.shown);
            if open && query.filters.iter().any(|at| self.is_person(*at)) {
                query.scope = Scope::Owner;
            }
        }
    }
}
