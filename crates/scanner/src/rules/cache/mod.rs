//! Rules of the cache layer.

mod beside_context;
mod by_url;
pub(in crate::rules) mod first_caller_field;
mod kept_answers;
mod kept_by_helper;
mod kept_caller;
mod key_in_branches;
mod key_makers;
mod key_of_nobody;
pub(crate) mod key_without_told;
mod left_out;
mod left_out_field;
mod looked_up_for_first;
mod made_for_caller;
mod made_with_given;
mod one_result;
mod own_address_key;
mod own_keys;
mod own_memo;
mod part_of_key;
mod parts;
mod repointed;
mod token_of_first;
mod worked_out_around;

crate::rules::rules! { anonymous_key, unscoped_cache_key, fetched_for_one, first_caller_cached, memoised_result, public_cache_scope }
