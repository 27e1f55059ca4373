//! Rules of the layer credentials.

crate::rules::rules! {}
