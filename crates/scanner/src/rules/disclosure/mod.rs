//! Rules of the layer disclosure.

crate::rules::rules! { secret_logged }
