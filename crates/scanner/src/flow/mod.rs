//! Where values come from and flow to.
