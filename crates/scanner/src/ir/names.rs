//! The texts of a module, one behind the other: a module has many short ones.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::Name;

/// Texts by their numbers.
#[derive(Debug)]
pub(crate) struct Names {
    texts: String,
    /// Where each text begins, which is where the one before ends, and where the last one ends.
    bounds: Vec<u32>,
}

impl Default for Names {
    fn default() -> Self {
        Self { texts: String::new(), bounds: vec![0] }
    }
}

impl Names {
    /// How many there are.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    /// A text.
    #[inline]
    pub(crate) fn get(&self, name: Name) -> Option<&str> {
        let number = name.index();
        let [start, end] = self.bounds.get(number..number.checked_add(2)?)? else { return None };
        self.texts.get(*start as usize..*end as usize)
    }

    /// All texts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..).map(Name).take(self.len()).filter_map(|name| self.get(name))
    }

    /// Leaves no room for further ones.
    pub(super) fn shrink_to_fit(&mut self) {
        self.texts.shrink_to_fit();
        self.bounds.shrink_to_fit();
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
        let name = Name(number(names.len()));
        names.texts.push_str(text);
        names.bounds.push(number(names.texts.len()));
        let rehash = |name: &Name| FxBuildHasher.hash_one(names.get(*name).unwrap_or_default());
        self.0.insert_unique(hash, name, rehash);
        name
    }
}
