//! Rules of the layer context.

mod constant_party;
mod counted;
mod empty_check;
mod first_administrator;
mod first_party;
mod flushed;
mod get_default;
mod goes_on;
mod kept_after;
mod kept_in_thread;
mod kept_jobs;
mod kept_worker;
mod last_one;
mod left_to_default;
mod of_all;
mod one_bucket;
mod one_session;
mod only_one;
mod open_unless_set;
mod own_missing;
mod set_in_thread;
mod switched;
mod unawaited_check;
mod unused_default;

crate::rules::rules! { default_tenant, skipped_check, unbound_server, context_set_without_end, frozen_context, lost_context, shared_context_default, thread_local_caller }
