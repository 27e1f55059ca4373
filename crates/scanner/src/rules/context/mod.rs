//! Rules of the layer context.

crate::rules::rules! { default_tenant, skipped_check, context_set_without_end, frozen_context }
