//! Rules of the layer capacity.

crate::rules::rules! { spoofable_limit }
