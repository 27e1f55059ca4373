//! Rules of the routing layer.

pub mod vulnerable_sdk;

crate::rules::rules! { shared_server, session_without_owner, broadcast, ignored_owner }
