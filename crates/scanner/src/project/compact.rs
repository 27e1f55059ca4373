//! Lists of numbers that take as few bytes as their numbers need: a project has millions of them, and nearly all are small.

use crate::ir::Numbers;

/// Numbers that few of many places have: a bit says whether a place has one, and they stand one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Few {
    /// For each 64 places which have one, and how many have one before.
    pieces: Box<[(u64, u32)]>,
    numbers: Box<[u32]>,
}

impl Few {
    /// Those of some of so many places; of two for one place the first is kept.
    pub(super) fn of(places: usize, mut all: Vec<(u32, u32)>) -> Self {
        all.sort_by_key(|(place, _)| *place);
        all.dedup_by_key(|(place, _)| *place);
        let mut pieces = vec![(0_u64, 0_u32); places.div_ceil(64)].into_boxed_slice();
        let mut numbers = Vec::with_capacity(all.len());
        for (place, number) in all {
            if let Some((bits, _)) = pieces.get_mut(place as usize / 64) {
                *bits |= 1 << (place % 64);
                numbers.push(number);
            }
        }
        let mut before = 0;
        for (bits, first) in &mut pieces {
            *first = before;
            before += bits.count_ones();
        }
        Self { pieces, numbers: numbers.into() }
    }

    /// The number of a place.
    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<u32> {
        let (bits, before) = self.pieces.get(place / 64)?;
        let bit = 1_u64 << (place % 64);
        if bits & bit == 0 {
            return None;
        }
        self.numbers.get(*before as usize + (bits & (bit - 1)).count_ones() as usize).copied()
    }
}

/// Lists by a number, one after the other: of each number where its list begins. Most are short or empty.
#[derive(Debug)]
pub(super) struct Grouped<T> {
    starts: Numbers,
    items: Box<[T]>,
    /// What is gathered, with its number, until all is there.
    gathered: Vec<(u32, T)>,
}

impl<T> Default for Grouped<T> {
    fn default() -> Self {
        Self { starts: Numbers::default(), items: Box::default(), gathered: Vec::new() }
    }
}

impl<T> Grouped<T> {
    pub(super) fn push(&mut self, number: u32, item: T) {
        self.gathered.push((number, item));
    }

    /// Puts everything in its list, in the order in which it came.
    pub(super) fn finish(&mut self) {
        let mut gathered = std::mem::take(&mut self.gathered);
        gathered.sort_by_key(|(number, _)| *number);
        let mut starts = Vec::new();
        for (start, (number, _)) in (0_u32..).zip(&gathered) {
            starts.resize(starts.len().max(*number as usize + 1), start);
        }
        self.starts = Numbers::of(&starts);
        self.items = gathered.into_iter().map(|(_, item)| item).collect::<Vec<_>>().into();
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> &[T] {
        let number = number as usize;
        let Some(start) = self.starts.get(number) else { return &[] };
        let end = self.starts.get(number + 1).map_or(self.items.len(), |end| end as usize);
        self.items.get(start as usize..end).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_its_own_number_or_none() {
        let all: Vec<(u32, u32)> =
            [199, 0, 63, 64, 130].into_iter().map(|place| (place, place + 7)).collect();
        let few = Few::of(200, all.clone());
        for place in 0..260 {
            let own = all.iter().find(|(own, _)| *own == place).map(|(_, number)| *number);
            assert_eq!(few.get(place as usize), own, "{place}");
        }
    }
}
