//! Rules of the data layer.

pub mod rls;

crate::rules::rules! { service_role, session_setting }
