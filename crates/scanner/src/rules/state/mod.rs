//! Rules of the layer state.

crate::rules::rules! {}
