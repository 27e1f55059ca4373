//! Lists of numbers that take as few bytes as their numbers need: a project has millions of them, and nearly all are small.

use super::Span;

/// Numbers by their places.
#[derive(Debug)]
pub(crate) enum Numbers {
    /// None is above 255.
    Bytes(Box<[u8]>),
    /// None is above 65,535.
    Short(Box<[u16]>),
    /// Any.
    Long(Box<[u32]>),
}

impl Default for Numbers {
    fn default() -> Self {
        Self::Bytes(Box::default())
    }
}

impl Numbers {
    /// These numbers.
    pub(crate) fn of(all: &[u32]) -> Self {
        fn narrow<T: TryFrom<u32>>(all: &[u32]) -> Option<Box<[T]>> {
            all.iter().map(|number| T::try_from(*number).ok()).collect()
        }
        let most = all.iter().copied().max().unwrap_or(0);
        let short = || narrow(all).filter(|_| most <= u32::from(u16::MAX)).map(Self::Short);
        let bytes = if most <= u32::from(u8::MAX) { narrow(all).map(Self::Bytes) } else { None };
        bytes.or_else(short).unwrap_or_else(|| Self::Long(all.into()))
    }

    /// The number at a place.
    #[inline]
    pub(crate) fn get(&self, place: usize) -> Option<u32> {
        match self {
            Self::Bytes(all) => all.get(place).map(|number| u32::from(*number)),
            Self::Short(all) => all.get(place).map(|number| u32::from(*number)),
            Self::Long(all) => all.get(place).copied(),
        }
    }

    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Bytes(all) => all.len(),
            Self::Short(all) => all.len(),
            Self::Long(all) => all.len(),
        }
    }
}

/// Where many things stand.
#[derive(Debug, Default)]
pub(super) struct Spans {
    starts: Numbers,
    lengths: Numbers,
}

impl Spans {
    /// These.
    pub(super) fn of(all: &[Span]) -> Self {
        let starts: Vec<u32> = all.iter().map(|span| span.start).collect();
        let lengths: Vec<u32> = all.iter().map(|span| span.end.saturating_sub(span.start)).collect();
        Self { starts: Numbers::of(&starts), lengths: Numbers::of(&lengths) }
    }

    /// Where one of them stands.
    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<Span> {
        let (start, length) = (self.starts.get(place)?, self.lengths.get(place)?);
        Some(Span::new(start, start.saturating_add(length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_whatever_their_size() {
        for most in [0, 255, 256, 65_535, 65_536, u32::MAX] {
            let all = [3, most, 0];
            let numbers = Numbers::of(&all);
            assert_eq!((0..3).filter_map(|place| numbers.get(place)).collect::<Vec<_>>(), all);
            assert_eq!((numbers.len(), numbers.get(3)), (3, None));
        }
        assert!(matches!(Numbers::of(&[255]), Numbers::Bytes(_)));
        assert!(matches!(Numbers::of(&[256]), Numbers::Short(_)));
    }

    #[test]
    fn spans_stand_where_they_stood() {
        let all = [Span::default(), Span::new(3, 70_000), Span::new(65_536, 65_540)];
        let spans = Spans::of(&all);
        assert_eq!((0..4).filter_map(|place| spans.get(place)).collect::<Vec<_>>(), all);
    }
}
