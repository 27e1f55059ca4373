//! Rules of the data layer.

mod callers;
mod kept_in_redis;
mod kept_lists;
mod kept_records;
mod kept_things;
mod narrowed;
mod neighbours;
mod object_keys;
mod past_scope;
mod points;
pub mod rls;
mod shorter_call;
mod unread_owner;
mod wheres;

crate::rules::rules! { unscoped_query, unscoped_view, optional_owner_filter, owner_left_out, lost_predicate, sibling_without_check, ignored_caller, foreign_parent, membership_not_required, author_left_out, service_role, session_setting }
