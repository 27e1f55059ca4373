//! Rules of the data layer.

mod all_tenants;
mod asked_by;
mod authorship;
mod below_parent;
mod by_id_alone;
mod by_id_elsewhere;
pub(in crate::rules) mod callers;
mod callers_decide;
pub(in crate::rules) mod compared;
mod file_paths;
mod flagged_check;
mod kept_by_key;
mod kept_in_redis;
mod kept_lists;
mod kept_owned;
pub(in crate::rules) mod kept_records;
mod kept_things;
mod moved_below;
mod named_in_text;
pub(in crate::rules) mod named_objects;
mod named_places;
mod narrowed;
mod neighbours;
mod no_owner;
mod object_keys;
mod odd_query;
mod one_file;
mod other_methods;
mod own_schema;
mod past_scope;
mod points;
pub mod rls;
mod shorter_call;
mod sibling_compares;
mod sibling_with_context;
mod sibling_without_guard;
mod sibling_without_secret;
mod signed_in;
mod streamed;
mod unread_owner;
pub(in crate::rules) mod unused_caller;
mod wheres;
mod whole_body;
mod whole_label;

crate::rules::rules! { unscoped_query, unscoped_view, optional_owner_filter, owner_left_out, lost_predicate, sibling_without_check, ignored_caller, foreign_parent, membership_not_required, author_left_out, unowned_rows, service_role, session_setting }
