//! Known findings that are not reported again.
