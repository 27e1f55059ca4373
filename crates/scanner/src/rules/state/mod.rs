//! Rules of the layer state.

crate::rules::rules! { request_in_shared_cell, request_in_shared_list, process_environment, patched_for_a_request, shared_client_defaults }
