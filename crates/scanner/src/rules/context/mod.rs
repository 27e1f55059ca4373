//! Rules of the layer context.

crate::rules::rules! { default_tenant, skipped_check, unbound_server, context_left_behind, context_set_without_end, frozen_context }
