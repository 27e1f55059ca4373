//! Rules of the cache layer.

crate::rules::rules! { anonymous_key, unscoped_cache_key, fetched_for_one, first_caller_cached, memoised_result, public_cache_scope }
