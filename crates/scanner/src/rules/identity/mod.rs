//! Rules of the identity layer.

mod apart;
mod audience;
mod before_sign_in;
mod behind_policies;
mod belonging;
mod callers_service;
mod checked_as_told;
mod cookie_as_caller;
mod copied_body;
mod doubts;
mod found_instead;
mod given_on;
pub(in crate::rules) mod header_as_caller;
mod kept_tokens;
mod limited;
pub(in crate::rules) mod looked_up;
pub(in crate::rules) mod not_seen;
mod one_subject;
mod only_told;
mod open_transport;
mod other_scope;
mod own_issuer;
mod preferred;
mod records;
mod session_user;
mod spread_last;
mod spread_over;
mod spread_verified;
mod stamped;
mod thrown_away;
mod unverified_email;

crate::rules::rules! { action_without_caller, client_as_principal, owner_from_body, overridden_tenant, role_instead_of_tenant, tenant_from_input, unverified_token, editable_metadata, lossy_owner_name, unbound_state }
