//! What each part of a run came to.

use std::fmt;

/// One part.
struct Part {
    name: String,
    passed: usize,
    failed: usize,
}

/// All parts, in the order in which they ran, and what failed tests said.
#[derive(Default)]
pub(crate) struct Summary {
    parts: Vec<Part>,
    failures: Vec<String>,
}

impl Summary {
    /// Adds a part. One that went wrong without counting a failure has one.
    pub(crate) fn add(&mut self, name: impl Into<String>, good: bool, passed: usize, failed: usize) {
        let failed = if good { failed } else { failed.max(1) };
        self.parts.push(Part { name: name.into(), passed, failed });
    }

    /// Adds what failed tests printed, which is shown again before the table.
    pub(crate) fn tell(&mut self, lines: Vec<String>) {
        self.failures.extend(lines);
    }

    pub(crate) fn is_good(&self) -> bool {
        self.parts.iter().all(|part| part.failed == 0)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.failures.is_empty() {
            writeln!(f, "== what failed")?;
            for line in &self.failures {
                writeln!(f, "{line}")?;
            }
        }
        for Part { name, passed, failed } in &self.parts {
            let verdict = if *failed == 0 { "ok" } else { "FAILED" };
            writeln!(f, "{verdict:<6} {name:<28} {passed} passed, {failed} failed")?;
        }
        let sum = |of: fn(&Part) -> usize| self.parts.iter().map(of).sum::<usize>();
        write!(f, "{} passed, {} failed", sum(|part| part.passed), sum(|part| part.failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_went_wrong_counts_as_a_failure() {
        let mut summary = Summary::default();
        summary.add("one", true, 3, 0);
        assert!(summary.is_good());
        summary.add("two", false, 2, 0);
        assert!(!summary.is_good());
        assert!(summary.to_string().ends_with("\n5 passed, 1 failed"));
        assert!(!summary.to_string().contains("what failed"));
        summary.tell(vec!["---- one::b stdout ----".to_owned()]);
        assert!(summary.to_string().starts_with("== what failed\n---- one::b stdout ----\n"));
    }
}
