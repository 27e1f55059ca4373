//! Questions to clients: the state that comes back, who is asked and who answers.

use crate::support::{leaky, plain};

leaky! {
    states_that_are_not_bound_are_found(plain) = [
        ("state-without-owner", "MR-01"),
        ("state-without-arguments", "MR-02"),
        ("state-unsigned", "MR-03"),
        ("state-with-secret", "MR-04"),
        ("shared-question", "MR-05"),
        ("answers-by-key", "MR-08"),
    ];
    questions_that_go_astray_are_found(plain) = [
        ("asks-everybody", "RT-13"),
        ("answers-without-owner", "SE-05"),
        ("relays-notifications", "MR-07"),
    ];
}
