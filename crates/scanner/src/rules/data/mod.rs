//! Rules of the data layer.

pub mod rls;

crate::rules::rules! { session_setting }
