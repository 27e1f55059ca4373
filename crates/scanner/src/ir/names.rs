//! The texts of a module: a module has many short ones.

use std::hash::BuildHasher;

use compact_str::CompactString;
use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::Name;
use crate::vocabulary;

/// Texts by their numbers. What is short stands in the list itself, so that one look at it is enough.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<CompactString>);

impl Names {
    /// How many there are.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// A text.
    #[inline]
    pub(crate) fn get(&self, name: Name) -> Option<&str> {
        self.0.get(name.index()).map(CompactString::as_str)
    }

    /// Whether one of the texts has one of others in it, in small or capital letters of ASCII.
    pub(super) fn mention(&self, others: &[&str]) -> bool {
        self.iter().any(|text| vocabulary::mentions(text, others))
    }

    /// All texts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(CompactString::as_str)
    }

    /// The same without room for further ones, and the room for other ones.
    pub(super) fn fitting(mut self) -> (Self, Self) {
        let mut fitting = Vec::with_capacity(self.0.len());
        fitting.append(&mut self.0);
        (Self(fitting), self)
    }
}

/// Finds the numbers of texts while a module is made.
#[derive(Debug, Default)]
pub(super) struct Interned(HashTable<Name>);

impl Interned {
    /// Forgets all, and keeps the room.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The number of a text, a new one if it has none yet.
    pub(super) fn name(&mut self, names: &mut Names, text: &str) -> Name {
        let hash = FxBuildHasher.hash_one(text);
        if let Some(name) = self.0.find(hash, |name| names.get(*name) == Some(text)) {
            return *name;
        }
        let name = Name(u32::try_from(names.len()).unwrap_or(u32::MAX));
        names.0.push(CompactString::new(text));
        let rehash = |name: &Name| FxBuildHasher.hash_one(names.get(*name).unwrap_or_default());
        self.0.insert_unique(hash, name, rehash);
        name
    }
}
