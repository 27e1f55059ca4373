//! Credentials: whose key an upstream saw, and secrets in answers.

use partywall_prober::Plan;

use crate::support::{leaky, plain, safe, writes};

fn with_a_region(plan: &mut Plan) {
    plan.headers = vec![("x-region".to_owned(), "eu".to_owned().into())];
}

leaky! {
    shared_and_shown_credentials_are_found(plain) = [("shared-key", "CR-01"), ("secret-in-errors", "CR-07")];
    credentials_that_are_kept_warm_or_carried_along_are_found(plain) = [
        ("last-credential", "CR-03"),
        ("warm-connection", "CR-02"),
        ("fetch-with-key", "CR-08"),
        ("fetch-with-token", "CR-10"),
    ];
    what_one_leaves_at_an_upstream_is_found(writes) = [("one-shell", "CR-04")];
    selectors_that_may_be_left_out_are_found(with_a_region) = [("no-selector-is-first", "CR-05")];
}

safe! {
    selectors_that_must_stand_hold(with_a_region) = [("", "CR-05")];
}
