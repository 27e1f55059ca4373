//! Rules of the layer capacity.

crate::rules::rules! { one_limit, spoofable_limit }
