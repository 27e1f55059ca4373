//! Rules of the layer context.

mod constant_party;
mod kept_worker;
mod of_all;
mod one_bucket;
mod one_session;
mod only_one;
mod unused_default;

crate::rules::rules! { default_tenant, skipped_check, unbound_server, context_set_without_end, frozen_context, lost_context, shared_context_default, thread_local_caller }
