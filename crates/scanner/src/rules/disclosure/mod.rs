//! Rules of the layer disclosure.

crate::rules::rules! { foreign_told_apart, secret_logged }
