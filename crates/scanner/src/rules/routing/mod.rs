//! Rules of the routing layer.

pub mod vulnerable_sdk;

mod asked_tasks;
mod by_conversation;
mod by_key;
mod by_thread;
mod by_topic;
mod each_connection;
mod forwarded;
mod handed_session;
mod joined_rooms;
mod listed_ids;
mod mounted;
mod named_object;
mod one_event_store;
mod one_for_all;
mod one_process;
mod one_upstream;
mod only_added;
mod only_touched;
mod own_mailbox;
mod posted_on;
mod session_by_helper;
mod session_holders;
mod subscribed;
mod tagged_sockets;
mod to_each;
mod told_ids;
mod topics;
mod unused_owner;

crate::rules::rules! {
    shared_server, session_without_owner, task_without_owner, any_session, request_id_key, replayed_events, broadcast, ignored_owner,
    shared_process
}
