//! Counting: numbers that move as often as the neighbour does something.

use std::collections::BTreeMap;

use crate::{facts::Facts, target::Exchange};

/// How often the neighbour acts between two looks: three different numbers, so that what moves by itself does not fit.
pub(crate) const STEPS: [i64; 3] = [3, 5, 2];

/// The looks before the neighbour acts: they show by how much a number moves with each look.
pub(crate) const ALONE: usize = 3;

/// Whole numbers in an answer, by where they stand.
pub(crate) type Numbers = BTreeMap<String, i64>;

/// The whole numbers in what an answer says.
pub(crate) fn in_answer(exchange: &Exchange) -> Numbers {
    let facts = exchange.success().map(Facts::of).unwrap_or_default();
    facts.leaves().filter_map(|(path, text)| Some((path.to_owned(), text.parse().ok()?))).collect()
}

/// The whole numbers in headers that tell of limits and use.
pub(crate) fn in_headers(exchange: &Exchange) -> Numbers {
    let mut numbers = Numbers::new();
    let Some(reply) = exchange.reply() else { return numbers };
    for (name, value) in &reply.headers {
        let name = name.as_str();
        if !["ratelimit", "rate-limit", "quota", "remaining", "usage"].iter().any(|word| name.contains(word))
        {
            continue;
        }
        let value = value.to_str().unwrap_or_default();
        for (place, number) in
            value.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty()).enumerate()
        {
            if let Ok(number) = number.parse() {
                numbers.insert(format!("{name} {place}"), number);
            }
        }
    }
    numbers
}

/// The first number that moved with the neighbour, and by how much each time, of looks [`ALONE`] and after each of [`STEPS`].
/// None where no number does; an error where there is no number that could be followed.
pub(crate) fn follows(looks: &[Numbers]) -> Result<Option<(String, i64)>, ()> {
    let Some(first) = looks.first() else { return Err(()) };
    let mut steady = false;
    for path in first.keys() {
        let line: Vec<i64> = looks.iter().filter_map(|look| look.get(path).copied()).collect();
        if line.len() != ALONE + STEPS.len() {
            continue;
        }
        let moves: Vec<i64> = line
            .iter()
            .zip(line.iter().skip(1))
            .map(|(before, after)| after.saturating_sub(*before))
            .collect();
        let (alone, beside) = moves.split_at_checked(ALONE - 1).unwrap_or_default();
        let Some(own) = alone.first() else { continue };
        // A number that does not even move evenly alone tells nothing.
        if !alone.iter().all(|step| step == own) {
            continue;
        }
        steady = true;
        let each: Vec<Option<i64>> = beside
            .iter()
            .zip(STEPS)
            .map(|(step, times)| {
                let by = step.saturating_sub(*own);
                (by % times == 0).then_some(by / times)
            })
            .collect();
        if let Some(Some(by)) = each.first()
            && *by != 0
            && each.iter().all(|other| *other == Some(*by))
        {
            return Ok(Some((path.clone(), *by)));
        }
    }
    if steady { Ok(None) } else { Err(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(line: [i64; 6]) -> Vec<Numbers> {
        line.iter().map(|number| Numbers::from([("/n".to_owned(), *number)])).collect()
    }

    #[test]
    fn only_what_moves_with_the_neighbour_follows_him() {
        assert_eq!(follows(&looks([10, 10, 10, 13, 18, 20])), Ok(Some(("/n".to_owned(), 1))));
        // Each look counts too.
        assert_eq!(follows(&looks([10, 11, 12, 16, 22, 25])), Ok(Some(("/n".to_owned(), 1))));
        assert_eq!(follows(&looks([90, 89, 88, 81, 70, 65])), Ok(Some(("/n".to_owned(), -2))));
        assert_eq!(follows(&looks([10, 11, 12, 13, 14, 15])), Ok(None));
        // Seconds that pass are no neighbour's.
        assert_eq!(follows(&looks([10, 10, 10, 10, 11, 11])), Ok(None));
        assert_eq!(follows(&looks([10, 14, 22, 25, 31, 33])), Err(()));
        assert_eq!(follows(&[]), Err(()));
    }
}
