//! Rules of the layer credentials.

mod along_redirects;
mod any_after_own;
mod beside_callers;
mod beside_sessions;
mod brought_unused;
mod by_name;
mod by_other;
mod callers_own;
mod ends_shared;
mod falls_past;
pub(in crate::rules) mod for_first;
mod global_fetch;
mod headers_along;
mod in_its_place;
mod kept_beside;
mod kept_clients;
mod kept_once;
mod last_issued;
mod left_by_others;
mod lets_on;
mod oauth_apps;
mod of_models;
mod of_session;
mod own_first;
mod own_sessions;

crate::rules::rules! { credential_fallback, credential_of_anybody, credential_of_creator, environment_credential, one_credential_file, shared_credential, credential_by_argument, token_passthrough }
