//! Rules of the layer context.

crate::rules::rules! {}
