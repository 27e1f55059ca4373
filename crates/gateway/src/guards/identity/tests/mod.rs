//! The guard against every known identity technique, and the life of keys and tokens.

mod keys;
mod setup;
mod support;
mod techniques;
mod tokens;
