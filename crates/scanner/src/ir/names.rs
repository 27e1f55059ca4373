//! The texts of modules. A module has many short ones, and most of them stand in other modules too.

use std::{hash::BuildHasher, sync::Arc};

use compact_str::CompactString;
use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::{Module, Name};
use crate::vocabulary;

/// Texts by their numbers.
#[derive(Debug)]
pub(crate) enum Names {
    /// Of a module that stands alone. What is short stands in the list itself.
    Own(Vec<CompactString>),
    /// Of one of many: the places of its texts among those of all.
    Shared(Box<[u32]>, Texts),
}

impl Default for Names {
    fn default() -> Self {
        Self::Own(Vec::new())
    }
}

impl Names {
    /// How many there are.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Own(texts) => texts.len(),
            Self::Shared(places, _) => places.len(),
        }
    }

    /// A text.
    #[inline]
    pub(crate) fn get(&self, name: Name) -> Option<&str> {
        match self {
            Self::Own(texts) => texts.get(name.index()),
            Self::Shared(places, texts) => texts.all.get(*places.get(name.index())? as usize),
        }
        .map(CompactString::as_str)
    }

    /// The place of a text among those of all modules, once they share them.
    #[inline]
    pub(crate) fn place(&self, name: Name) -> Option<u32> {
        match self {
            Self::Own(_) => None,
            Self::Shared(places, _) => places.get(name.index()).copied(),
        }
    }

    /// Whether one of some texts is among them.
    pub(super) fn have(&self, wanted: &[&str]) -> bool {
        match self {
            Self::Own(texts) => texts.iter().any(|text| wanted.contains(&text.as_str())),
            // Places are compared, and not texts.
            Self::Shared(places, texts) => {
                wanted.iter().filter_map(|text| texts.place(text)).any(|place| places.contains(&place))
            }
        }
    }

    /// Whether one of them is held, by the places among those of all modules; none of a module that stands alone is.
    pub(crate) fn hold(&self, held: &[bool]) -> bool {
        match self {
            Self::Own(_) => false,
            Self::Shared(places, _) => places.iter().any(|place| held.get(*place as usize) == Some(&true)),
        }
    }

    /// Whether one of the texts has one of others in it, in small or capital letters of ASCII.
    pub(super) fn mention(&self, others: &[&str]) -> bool {
        self.iter().any(|text| vocabulary::mentions(text, others))
    }

    /// All texts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..).map(Name).map_while(|name| self.get(name))
    }

    /// The same without room for further ones, and the room for other ones.
    pub(super) fn fitting(self) -> (Self, Self) {
        let Self::Own(mut texts) = self else { return (self, Self::default()) };
        let mut fitting = Vec::with_capacity(texts.len());
        fitting.append(&mut texts);
        (Self::Own(fitting), Self::Own(texts))
    }

    /// Adds a text and gives its number.
    fn add(&mut self, text: &str) -> Name {
        let number = u32::try_from(self.len()).unwrap_or(u32::MAX);
        if let Self::Own(texts) = self {
            texts.push(CompactString::new(text));
        }
        Name(number)
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
        let name = names.add(text);
        let rehash = |name: &Name| FxBuildHasher.hash_one(names.get(*name).unwrap_or_default());
        self.0.insert_unique(hash, name, rehash);
        name
    }
}

/// The texts of all modules of a project, each of them once. A copy is cheap.
#[derive(Debug, Default, Clone)]
pub(crate) struct Texts {
    all: Arc<[CompactString]>,
    places: Arc<HashTable<u32>>,
}

impl Texts {
    /// Takes the texts of modules, which find them here from then on.
    pub(crate) fn share(modules: &mut [Module]) -> Self {
        let mut all: Vec<CompactString> = Vec::new();
        let mut places: HashTable<u32> = HashTable::new();
        let mut of = Vec::with_capacity(modules.len());
        for module in modules.iter_mut() {
            let Names::Own(texts) = std::mem::take(&mut module.names) else { continue };
            let own = texts.into_iter().map(|text| {
                let hash = FxBuildHasher.hash_one(text.as_str());
                if let Some(place) = places.find(hash, |place| all.get(*place as usize) == Some(&text)) {
                    return *place;
                }
                let place = u32::try_from(all.len()).unwrap_or(u32::MAX);
                all.push(text);
                places.insert_unique(hash, place, |place| {
                    FxBuildHasher.hash_one(all.get(*place as usize).map_or("", CompactString::as_str))
                });
                place
            });
            of.push(own.collect::<Box<[u32]>>());
        }
        let texts = Self { all: all.into(), places: Arc::new(places) };
        for (module, own) in modules.iter_mut().zip(of) {
            module.names = Names::Shared(own, texts.clone());
        }
        texts
    }

    /// Each text once.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(CompactString::as_str)
    }

    /// The place of a text, if a module has it.
    pub(crate) fn place(&self, text: &str) -> Option<u32> {
        let is = |place: &u32| self.all.get(*place as usize).is_some_and(|own| own == text);
        self.places.find(FxBuildHasher.hash_one(text), is).copied()
    }

    /// Which texts are what `holds` asks for, by their places. Each is asked for once, in however many modules it stands.
    pub(crate) fn held(&self, mut holds: impl FnMut(&str) -> bool) -> Box<[bool]> {
        self.all.iter().map(|text| holds(text)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_that_share_their_texts_find_their_own() {
        let lower = |text: &str| crate::lang::lower("a.ts", text.into()).unwrap().module;
        let texts = ["const a = 'x' + b;", "", "let b = a.c;"];
        let alone: Vec<Module> = texts.iter().map(|text| lower(text)).collect();
        let mut together: Vec<Module> = texts.iter().map(|text| lower(text)).collect();
        let all = Texts::share(&mut together);
        for (alone, together) in alone.iter().zip(&together) {
            assert!(alone.names.iter().eq(together.names.iter()));
            for (number, text) in (0..).zip(together.names.iter()) {
                assert!(all.place(text).is_some() && together.names.place(Name(number)) == all.place(text));
            }
        }
        assert_eq!(all.place("nowhere"), None);
        let held = all.held(|text| text == "x");
        for (alone, together) in alone.iter().zip(&together) {
            let has = alone.names.iter().any(|text| text == "x");
            assert_eq!(together.names.hold(&held), has);
            for names in [&alone.names, &together.names] {
                assert_eq!((names.have(&["nowhere", "x"]), names.have(&["nowhere"])), (has, false));
            }
        }
    }
}
