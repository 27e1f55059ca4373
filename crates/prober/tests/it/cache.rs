//! Cache: what one tenant's request left behind.

use crate::support::{leaky, plain};

leaky! {
    caches_without_the_tenant_are_found(plain) = [("cache-by-id", "CA-01"), ("list-cache", "CA-02")];
    keys_that_hold_too_little_are_found(plain) = [
        ("handshake-cache", "CA-03"),
        ("query-is-key", "CA-05"),
        ("negative-cache", "CA-06"),
        ("single-flight", "CA-07"),
        ("cache-by-meaning", "CA-10"),
        ("upstream-cache", "CA-12"),
        ("keeps-what-was-answered", "CA-09"),
    ];
    answers_that_are_marked_as_everybodys_are_found(plain) = [
        ("public-header", "CA-04"),
        ("one-validator", "CA-04"),
        ("public-scope", "CA-08"),
    ];
}
