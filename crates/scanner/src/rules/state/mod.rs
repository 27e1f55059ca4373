//! Rules of the layer state.

mod each_call;
mod emptied;
mod first_client;
pub(in crate::rules) mod got_for;
mod index_of_all;
mod kept_by_name;
mod kept_default;
mod kept_talks;
mod left_patched;
mod of_class;
mod one_conversation;
mod prototypes;
mod put_on_clients;
mod routes_of_first;
mod shown_whole;
mod store_of_app;
mod told_after;
mod told_first;
mod worked_out;
mod worker_environment;
mod wrapped;

crate::rules::rules! { request_in_shared_cell, request_in_shared_list, mutable_default, shared_conversation, process_environment, patched_for_a_request, shared_client_defaults }
