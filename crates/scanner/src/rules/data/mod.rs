//! Rules of the data layer.

pub mod rls;

crate::rules::rules! { unscoped_query, optional_owner_filter, service_role, session_setting }
