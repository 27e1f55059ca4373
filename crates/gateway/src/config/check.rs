//! What must hold of a configuration as a whole.
//!
//! Each problem names the key and says what would be right. A tool's problems point at its table; all others name the
//! full key.

mod data;
pub(crate) mod names;
mod server;
mod shared;
#[cfg(test)]
mod tests;
mod tool;
mod upstream;

use std::time::Duration;

use super::Config;

/// One problem: its text and, where known, the byte offset of the table it is in.
pub(super) struct Problem {
    pub(super) at: Option<usize>,
    pub(super) text: String,
}

/// Every problem of a configuration.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Found::default();
    server::check_server(config, &mut found);
    server::check_identity(config, &mut found);
    data::check_data(config, &mut found);
    server::check_capacity(config, &mut found);
    server::check_http(config, &mut found);
    shared::check_shared(config, &mut found);
    tool::check_tools(config, &mut found);
    upstream::check_upstreams(config, &mut found);
    found.problems
}

/// The longest duration that any key may have.
const LONGEST: Duration = Duration::from_secs(3600);

/// Collects problems; `at` is where the table under examination starts.
#[derive(Default)]
struct Found {
    at: Option<usize>,
    problems: Vec<Problem>,
}

impl Found {
    fn say(&mut self, key: &str, problem: impl std::fmt::Display) {
        self.problems.push(Problem { at: self.at, text: format!("`{key}`: {problem}") });
    }

    fn say_unless(&mut self, good: bool, key: &str, problem: impl std::fmt::Display) {
        if !good {
            self.say(key, problem);
        }
    }

    /// A number within bounds.
    fn number(&mut self, key: &str, value: impl TryInto<u64>, least: u64, most: u64) {
        let fits = value.try_into().is_ok_and(|value| (least..=most).contains(&value));
        self.say_unless(fits, key, format!("must be from {least} to {most}"));
    }

    /// A duration that is neither nothing nor absurd.
    fn duration(&mut self, key: &str, value: Duration) {
        let fits = !value.is_zero() && value <= LONGEST;
        self.say_unless(fits, key, "must be more than 0 and at most `\"1h\"`");
    }
}
