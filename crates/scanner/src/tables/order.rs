//! The order in which migrations are applied, by their names.

use std::cmp::Ordering;

/// Compares two paths as a person would: numbers by their values, folder by folder. A schema and what sets up the rest
/// comes before migrations of the same folder.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let mut left = a.split('/').peekable();
    let mut right = b.split('/').peekable();
    loop {
        match (left.next(), right.next()) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) => {
                let order = first(x).cmp(&first(y)).reverse().then_with(|| natural(x, y));
                if order != Ordering::Equal {
                    return order;
                }
            }
        }
    }
}

/// Whether a name is one that is applied before its neighbours.
fn first(name: &str) -> bool {
    ["schema.sql", "init.sql", "init", "structure.sql", "base.sql", "schema", "schemas", "tables"]
        .contains(&name)
}

fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (word, rest_a) =
            a.split_at_checked(a.find(|c: char| c.is_ascii_digit()).unwrap_or(a.len())).unwrap_or((a, ""));
        let (other, rest_b) =
            b.split_at_checked(b.find(|c: char| c.is_ascii_digit()).unwrap_or(b.len())).unwrap_or((b, ""));
        let order = word.cmp(other);
        if order != Ordering::Equal || (rest_a.is_empty() && rest_b.is_empty()) {
            return order;
        }
        let (number, after_a) = digits(rest_a);
        let (another, after_b) = digits(rest_b);
        let order = number.len().cmp(&another.len()).then_with(|| number.cmp(another));
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (after_a, after_b);
    }
}

/// The digits at the beginning, without leading zeros, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (digits.trim_start_matches('0'), rest)
}

/// Whether a file takes a migration back, so that it is not applied.
#[must_use]
pub fn is_way_back(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let stem = name.strip_suffix(".sql").unwrap_or(name);
    folders.split('/').any(|folder| ["down", "rollback", "rollbacks", "undo", "revert"].contains(&folder))
        || ["down", "undo", "rollback", "revert"].iter().any(|word| {
            stem == *word
                || [".", "_", "-"].iter().any(|mark| {
                    stem.ends_with(&format!("{mark}{word}")) || stem.starts_with(&format!("{word}{mark}"))
                })
        })
        || (stem.starts_with('u')
            && stem.contains("__")
            && stem.chars().nth(1).is_some_and(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_come_in_the_order_of_their_numbers() {
        let mut paths = vec![
            "db/migrations/V10__c.sql",
            "db/migrations/V2__b.sql",
            "db/migrations/V1__a.sql",
            "db/schema.sql",
            "db/policies.sql",
            "db/migrations/0002_x/migration.sql",
        ];
        paths.sort_by(|a, b| compare(a, b));
        assert_eq!(
            paths,
            [
                "db/schema.sql",
                "db/migrations/0002_x/migration.sql",
                "db/migrations/V1__a.sql",
                "db/migrations/V2__b.sql",
                "db/migrations/V10__c.sql",
                "db/policies.sql",
            ]
        );
        assert_eq!(compare("a/1", "a/1"), Ordering::Equal);
        assert_eq!(compare("a/20240101_b.sql", "a/20231231_c.sql"), Ordering::Greater);
    }

    #[test]
    fn the_way_back_is_known_by_its_name() {
        for path in [
            "m/001_a.down.sql",
            "m/down.sql",
            "m/1/down.sql",
            "m/U2__x.sql",
            "rollback/1.sql",
            "m/rollback_1.sql",
            "m/001_down.sql",
        ] {
            assert!(is_way_back(path), "{path}");
        }
        for path in
            ["m/001_a.up.sql", "m/users.sql", "m/shutdown.sql", "m/countdown_table.sql", "m/undone.sql"]
        {
            assert!(!is_way_back(path), "{path}");
        }
    }
}
