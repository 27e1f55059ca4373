//! Streams that stay open: what others' work brings on them.

use crate::support::{leaky, plain, safe, writes};

leaky! {
    what_others_hear_is_found(plain) = [
        ("broadcast", "RT-16"),
        ("late-broadcast", "RT-16"),
        ("logs-to-all", "RT-05"),
        ("one-log-level", "RT-11"),
        ("one-stream", "SE-04"),
        ("listens-by-id", "RT-08"),
    ];
    news_for_everybody_is_found(writes) = [("news-to-all", "RT-06")];
    subscriptions_to_what_is_anothers_are_found(plain) = [("with-resources subscribes-anybody", "RT-07")];
}

safe! {
    subscriptions_to_what_is_ones_own_are_none(plain) = [("with-resources", "RT-07")];
}
