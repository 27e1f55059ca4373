//! `[shared]`.

use std::time::Duration;

use super::Found;
use crate::{config::Config, guards::capacity::shared::nodes};

pub(super) fn check_shared(config: &Config, found: &mut Found) {
    let Some(shared) = &config.shared else { return };
    if let Some(text) = shared.redis.literal() {
        match nodes(text, shared.cluster) {
            Err(why) => found.say("shared.redis", why),
            Ok(nodes) => found.say_unless(
                nodes.iter().all(|node| node.password().is_none()),
                "shared.redis",
                "must not hold a password, since many read this file; write `env:NAME` or `file:PATH`",
            ),
        }
    }
    let prefix = &shared.prefix;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
    found.say_unless(
        (1..=64).contains(&prefix.len()) && prefix.bytes().all(allowed),
        "shared.prefix",
        "must have 1 to 64 of the characters A-Z a-z 0-9 . _ - :",
    );
    found.say_unless(
        (Duration::from_millis(1)..=Duration::from_secs(1)).contains(&shared.timeout),
        "shared.timeout",
        "must be from `\"1ms\"` to `\"1s\"`; calls wait so long when the server does not answer",
    );
    found.number("shared.replicas", shared.replicas, 1, 1000);
}
