//! Rules of the layer capacity.

mod limit_without_told;
mod one_object;

crate::rules::rules! { one_limit, spoofable_limit }
