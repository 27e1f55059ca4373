//! Rules of the layer cache.

crate::rules::rules! {}
