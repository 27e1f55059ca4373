//! Paths of names, which are passed on and kept at many places.

use std::{ops::Deref, rc::Rc};

pub use compact_str::CompactString as Word;

/// A path of names: `Pool.query`. A copy is cheap.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path(Option<Rc<[Word]>>);

impl Path {
    /// No names.
    pub const EMPTY: Self = Self(None);

    /// One name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(Some(Rc::new([Word::new(name)])))
    }

    /// These names.
    #[must_use]
    pub fn all(names: Vec<Word>) -> Self {
        if names.is_empty() { Self::EMPTY } else { Self(Some(names.into())) }
    }

    /// The same with a further name.
    #[must_use]
    pub fn then(&self, name: &str) -> Self {
        Self(Some(self.iter().cloned().chain(std::iter::once(Word::new(name))).collect()))
    }
}

impl Deref for Path {
    type Target = [Word];

    fn deref(&self) -> &[Word] {
        self.0.as_deref().unwrap_or_default()
    }
}
