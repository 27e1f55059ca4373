//! Rules of the layer capacity.

mod limit_without_told;

crate::rules::rules! { one_limit, spoofable_limit }
