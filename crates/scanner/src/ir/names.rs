//! The texts of a module, one behind the other: a module has many short ones.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::Name;

/// Texts by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Names {
    texts: String,
    /// Where each text ends; it begins where the one before ends.
    ends: Vec<u32>,
}

impl Names {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// A text.
    pub(crate) fn get(&self, name: Name) -> Option<&str> {
        let number = name.index();
        let start = match number.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.texts.get(start as usize..*self.ends.get(number)? as usize)
    }

    /// All texts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..).map(Name).take(self.len()).filter_map(|name| self.get(name))
    }

    /// Leaves no room for further ones.
    pub(super) fn shrink_to_fit(&mut self) {
        self.texts.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

/// Finds the numbers of texts while a module is made.
#[derive(Debug)]
pub(super) struct Interned(HashTable<Name>);

impl Interned {
    /// With room for so many.
    pub(super) fn with_capacity(count: usize) -> Self {
        Self(HashTable::with_capacity(count))
    }

    /// The number of a text, a new one if it has none yet.
    pub(super) fn name(&mut self, names: &mut Names, text: &str) -> Name {
        let hash = FxBuildHasher.hash_one(text);
        if let Some(name) = self.0.find(hash, |name| names.get(*name) == Some(text)) {
            return *name;
        }
        let number = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let name = Name(number(names.ends.len()));
        names.texts.push_str(text);
        names.ends.push(number(names.texts.len()));
        let rehash = |name: &Name| FxBuildHasher.hash_one(names.get(*name).unwrap_or_default());
        self.0.insert_unique(hash, name, rehash);
        name
    }
}
