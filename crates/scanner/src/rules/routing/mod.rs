//! Rules of the routing layer.

pub mod vulnerable_sdk;

crate::rules::rules! {}
