//! Rules of the data layer.

pub mod rls;

crate::rules::rules! { unscoped_query, optional_owner_filter, owner_left_out, lost_predicate, sibling_without_check, service_role, session_setting }
