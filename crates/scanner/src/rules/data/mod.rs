//! Rules of the data layer.
pub mod rls;
