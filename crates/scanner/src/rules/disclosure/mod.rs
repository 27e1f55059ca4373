//! Rules of the layer disclosure.

mod given_out;

crate::rules::rules! { credential_in_answer, foreign_told_apart, secret_logged }
