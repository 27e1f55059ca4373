//! Rules of the layer routing.

crate::rules::rules! {}
