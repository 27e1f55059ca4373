//! Rules of the layer disclosure.

mod content_logged;
mod given_out;

crate::rules::rules! { credential_in_answer, foreign_told_apart, secret_logged }
