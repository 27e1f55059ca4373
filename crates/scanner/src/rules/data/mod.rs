//! Rules of the layer data.

crate::rules::rules! {}
