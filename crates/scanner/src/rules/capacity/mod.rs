//! Rules of the layer capacity.

crate::rules::rules! {}
