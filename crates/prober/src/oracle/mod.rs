//! What tells a leak from an answer that is merely different.

#[cfg(test)]
pub(crate) mod known;
pub(crate) mod rank;
pub(crate) mod reading;
pub(crate) mod shift;
pub(crate) mod twin;

pub(crate) use reading::{Judged, compare, judge};
pub(crate) use twin::difference;
