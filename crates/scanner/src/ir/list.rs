//! Lists that a module is full of.

use std::ops::Deref;

use thin_vec::ThinVec;

/// A list that does not change. It takes one word where it stands, and no memory of its own while it is empty.
#[derive(Debug)]
pub struct List<T>(ThinVec<T>);

impl<T> List<T> {
    /// A list of one.
    #[must_use]
    pub fn one(item: T) -> Self {
        std::iter::once(item).collect()
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(ThinVec::new())
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items: ThinVec<T> = items.into_iter().collect();
        if items.capacity() > items.len() {
            items.shrink_to_fit();
        }
        Self(items)
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> Self {
        items.into_iter().collect()
    }
}

impl<'l, T> IntoIterator for &'l List<T> {
    type Item = &'l T;
    type IntoIter = std::slice::Iter<'l, T>;

    #[inline]
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
