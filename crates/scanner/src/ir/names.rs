//! The texts of a module, one behind the other: a module has many short ones.

use std::hash::BuildHasher;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::Name;
use crate::vocabulary;

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

    /// Whether one of the texts has one of others in it, in small or capital letters of ASCII.
    pub(super) fn mention(&self, others: &[&str]) -> bool {
        // What stands in none of the texts is not in all of them, one behind the other, either.
        vocabulary::mentions(&self.texts, others)
            && self.iter().any(|text| vocabulary::mentions(text, others))
    }

    /// All texts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..).map(Name).take(self.len()).filter_map(|name| self.get(name))
    }

    /// The same without room for further ones, and the room for other ones.
    pub(super) fn fitting(mut self) -> (Self, Self) {
        let fitting =
            Self { texts: self.texts.as_str().to_owned(), bounds: self.bounds.as_slice().to_owned() };
        self.texts.clear();
        self.bounds.truncate(1);
        (fitting, self)
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
        let number = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let name = Name(number(names.len()));
        names.texts.push_str(text);
        names.bounds.push(number(names.texts.len()));
        let rehash = |name: &Name| FxBuildHasher.hash_one(names.get(*name).unwrap_or_default());
        self.0.insert_unique(hash, name, rehash);
        name
    }
}
