//! Rules of the layer identity.

crate::rules::rules! {}
