//! Versions of npm and PyPI, as far as "is it before the one that was mended" needs them.

/// Whether a version comes before another. Parts that are no numbers make it a version before the one that it names
/// (`2.0.0-rc.1`, `2.0.0rc1`). A version that cannot be read comes before none.
#[must_use]
pub fn is_before(version: &str, other: &str) -> bool {
    match (parts(version), parts(other)) {
        (Some((a, early)), Some((b, other_early))) => a < b || (a == b && early && !other_early),
        _ => false,
    }
}

/// The numbers of a version, and whether it comes before the release with these numbers.
fn parts(version: &str) -> Option<([u64; 4], bool)> {
    let version = version.trim().trim_start_matches(['v', '=', 'V']);
    let version = version.split('+').next().unwrap_or(version);
    let mut numbers = [0; 4];
    let mut rest = version;
    for (at, number) in numbers.iter_mut().enumerate() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (digits, after) = rest.split_at_checked(end)?;
        if digits.is_empty() {
            // `1.` and `x` are no versions; `1.2` and `1.2rc1` are.
            return if at == 0 { None } else { Some((numbers, true)) };
        }
        *number = digits.parse().ok()?;
        match after.strip_prefix('.') {
            Some(next) => rest = next,
            None => {
                return Some((
                    numbers,
                    !after.is_empty() && !after.starts_with(".post") && !after.starts_with("post"),
                ));
            }
        }
    }
    Some((numbers, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_in_the_order_of_their_numbers() {
        for (a, b) in [
            ("1.9.0", "1.10.0"),
            ("1.25.3", "1.26.0"),
            ("1.26", "1.26.1"),
            ("v1.0.0", "1.0.1"),
            ("1.26.0-rc.1", "1.26.0"),
            ("3.2.0b1", "3.2.0"),
        ] {
            assert!(is_before(a, b), "{a} {b}");
            assert!(!is_before(b, a), "{b} {a}");
        }
        for (a, b) in [
            ("1.26.0", "1.26.0"),
            ("1.26", "1.26.0"),
            ("*", "1.0.0"),
            ("workspace:*", "1.0.0"),
            ("", "1"),
            ("latest", "2.0.0"),
            ("1.26.0+build", "1.26.0"),
        ] {
            assert!(!is_before(a, b), "{a} {b}");
        }
    }
}
