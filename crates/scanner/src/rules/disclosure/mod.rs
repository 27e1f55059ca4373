//! Rules of the layer disclosure.

crate::rules::rules! {}
