//! Rules of the layer state.

mod class_field;

crate::rules::rules! { request_in_shared_cell, process_environment, patched_for_a_request, shared_client_defaults }
