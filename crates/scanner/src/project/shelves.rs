//! Where answers are kept that were worked out before: few bytes for each place, since there are very many.

use std::{
    cell::RefCell,
    hash::{BuildHasher, Hash},
    num::NonZeroU8,
};

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::At;

/// What is made at many places and is no question of its own: it is made of other answers, each of which is asked for at a depth.
///
/// What was made of answers that rest on nothing open is made of the same ones again, as long as there is as much depth as there
/// was, or as much as it took.
#[derive(Debug)]
pub(crate) struct Made<T>(RefCell<Places<Option<(T, NonZeroU8)>>>);

impl<T> Default for Made<T> {
    fn default() -> Self {
        Self(RefCell::new(Places { modules: Vec::new(), sizes: Vec::new() }))
    }
}

impl<T: Copy> Made<T> {
    /// What was made before with so much depth, and what that took.
    pub(crate) fn get(&self, at: At, depth: u32) -> Option<(T, u32)> {
        let known = self.0.borrow().get(at).copied().flatten();
        known.map(|(made, takes)| (made, u32::from(takes.get()) - 1)).filter(|(_, takes)| *takes <= depth)
    }

    /// Keeps what took so much depth; what took more than there ever is is not kept.
    pub(crate) fn put(&self, at: At, made: T, takes: u32) {
        let Some(takes) = u8::try_from(takes.saturating_add(1)).ok().and_then(NonZeroU8::new) else { return };
        if let Some(place) = self.0.borrow_mut().make(at) {
            *place = Some((made, takes));
        }
    }

    /// None yet, for modules with so many of them.
    pub(crate) fn sized(sizes: Vec<usize>) -> Self {
        Self(RefCell::new(Places { modules: Vec::new(), sizes }))
    }
}

/// What is known of one expression.
#[derive(Debug)]
pub(crate) enum Slot<T> {
    /// For ever.
    Known(T),
    /// So far, with the number of the outermost open question that it rests on.
    Open(T, u16),
}

/// Where answers are kept.
pub(crate) trait Shelf<T> {
    /// An empty one for modules of these sizes.
    fn sized(sizes: Vec<usize>) -> Self;
    fn get(&self, at: At) -> Option<Slot<T>>;
    fn put(&mut self, at: At, slot: Slot<T>);
    fn remove(&mut self, at: At);
}

/// Things by module and number there. Those of a module are made at once, when the first one is needed.
#[derive(Debug)]
struct Places<T> {
    modules: Vec<Vec<T>>,
    /// How many the modules need, as far as that is known.
    sizes: Vec<usize>,
}

impl<T: Default> Places<T> {
    fn get(&self, at: At) -> Option<&T> {
        self.modules.get(at.module.index())?.get(at.expr.index())
    }

    fn get_mut(&mut self, at: At) -> Option<&mut T> {
        self.modules.get_mut(at.module.index())?.get_mut(at.expr.index())
    }

    fn make(&mut self, at: At) -> Option<&mut T> {
        let number = at.module.index();
        if self.modules.len() <= number {
            self.modules.resize_with(number + 1, Vec::new);
        }
        let module = self.modules.get_mut(number)?;
        if module.len() <= at.expr.index() {
            let size = self.sizes.get(number).copied().unwrap_or(0).max(at.expr.index() + 1);
            module.reserve_exact(size - module.len());
            module.resize_with(size, T::default);
        }
        module.get_mut(at.expr.index())
    }
}

/// Answers that are open: few at once, and each for a short time.
#[derive(Debug)]
struct Opened<T> {
    slots: Vec<Option<(T, u16)>>,
    free: Vec<u32>,
}

impl<T> Default for Opened<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T: Clone> Opened<T> {
    /// Keeps one and gives its number.
    fn add(&mut self, answer: T, on: u16) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        self.set(number, answer, on);
        number
    }

    fn set(&mut self, number: u32, answer: T, on: u16) {
        if let Some(slot) = self.slots.get_mut(number as usize) {
            *slot = Some((answer, on));
        }
    }

    fn get(&self, number: u32) -> Option<Slot<T>> {
        self.slots.get(number as usize)?.as_ref().map(|(answer, on)| Slot::Open(answer.clone(), *on))
    }

    fn remove(&mut self, number: u32) {
        if let Some(slot) = self.slots.get_mut(number as usize)
            && slot.take().is_some()
        {
            self.free.push(number);
        }
    }
}

/// An answer that is a number of few bits.
pub(crate) trait Small: Copy {
    /// The number, which is at most [`MOST`].
    fn number(self) -> u16;
    fn of_number(number: u16) -> Self;
}

/// The largest number that a small answer can be.
pub(crate) const MOST: u16 = (1 << 14) - 1;
/// The bit of what is known for ever.
const KNOWN: u16 = 1 << 15;
/// The bit of what is open: the rest is its number.
const OPEN: u16 = 1 << 14;

/// A place for each expression of a module, for small answers that many expressions have.
#[derive(Debug)]
pub(crate) struct Dense<T> {
    places: Places<u16>,
    opened: Opened<T>,
    /// What is open beyond the numbers that a place can hold.
    beyond: rustc_hash::FxHashMap<At, (T, u16)>,
}

impl<T: Small> Shelf<T> for Dense<T> {
    fn sized(sizes: Vec<usize>) -> Self {
        Self {
            places: Places { modules: Vec::new(), sizes },
            opened: Opened::default(),
            beyond: rustc_hash::FxHashMap::default(),
        }
    }

    fn get(&self, at: At) -> Option<Slot<T>> {
        let cell = *self.places.get(at)?;
        if cell & KNOWN != 0 {
            return Some(Slot::Known(T::of_number(cell & MOST)));
        }
        if cell & OPEN == 0 {
            return None;
        }
        if cell & MOST == MOST {
            return self.beyond.get(&at).map(|(answer, on)| Slot::Open(*answer, *on));
        }
        self.opened.get(u32::from(cell & MOST))
    }

    fn put(&mut self, at: At, slot: Slot<T>) {
        let Self { places, opened, beyond } = self;
        let Some(place) = places.make(at) else { return };
        close(*place, at, opened, beyond);
        *place = match slot {
            Slot::Known(answer) => KNOWN | (answer.number() & MOST),
            Slot::Open(answer, on) => {
                let number = opened.add(answer, on);
                match u16::try_from(number) {
                    Ok(number) if number < MOST => OPEN | number,
                    _ => {
                        opened.remove(number);
                        beyond.insert(at, (answer, on));
                        OPEN | MOST
                    }
                }
            }
        };
    }

    fn remove(&mut self, at: At) {
        let Self { places, opened, beyond } = self;
        let Some(place) = places.get_mut(at) else { return };
        close(std::mem::take(place), at, opened, beyond);
    }
}

/// Gives up what a place says is open, if it does.
#[inline]
fn close<T: Clone>(
    cell: u16,
    at: At,
    opened: &mut Opened<T>,
    beyond: &mut rustc_hash::FxHashMap<At, (T, u16)>,
) {
    if cell & (KNOWN | OPEN) == OPEN {
        if cell & MOST == MOST {
            beyond.remove(&at);
        } else {
            opened.remove(u32::from(cell & MOST));
        }
    }
}

/// For large answers of which many are equal: a number for each expression, and each answer once.
#[derive(Debug)]
pub(crate) struct Sparse<T> {
    /// 0 where there is no answer, else one more than the number of one that is known, or of one that is open with [`FAR`].
    numbers: Places<u32>,
    all: Vec<T>,
    by_hash: HashTable<u32>,
    opened: Opened<T>,
}

/// The bit of the number of an answer that is open.
const FAR: u32 = 1 << 31;

impl<T: Clone + Eq + Hash> Sparse<T> {
    /// The number of an answer.
    fn number(&mut self, answer: T) -> u32 {
        let hash = FxBuildHasher.hash_one(&answer);
        let is = |number: &u32| self.all.get(*number as usize) == Some(&answer);
        if let Some(number) = self.by_hash.find(hash, is) {
            return *number;
        }
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.all.push(answer);
        let all = &self.all;
        let rehash =
            |number: &u32| all.get(*number as usize).map_or(0, |known| FxBuildHasher.hash_one(known));
        self.by_hash.insert_unique(hash, number, rehash);
        number
    }
}

impl<T: Clone + Eq + Hash> Shelf<T> for Sparse<T> {
    fn sized(sizes: Vec<usize>) -> Self {
        Self {
            numbers: Places { modules: Vec::new(), sizes },
            all: Vec::new(),
            by_hash: HashTable::new(),
            opened: Opened::default(),
        }
    }

    fn get(&self, at: At) -> Option<Slot<T>> {
        let cell = self.numbers.get(at)?.checked_sub(1)?;
        if cell & FAR == 0 {
            return self.all.get(cell as usize).cloned().map(Slot::Known);
        }
        self.opened.get(cell & !FAR)
    }

    fn put(&mut self, at: At, slot: Slot<T>) {
        self.remove(at);
        let cell = match slot {
            Slot::Known(answer) => self.number(answer),
            Slot::Open(answer, on) => self.opened.add(answer, on) | FAR,
        };
        if let Some(place) = self.numbers.make(at) {
            *place = cell + 1;
        }
    }

    fn remove(&mut self, at: At) {
        let Some(place) = self.numbers.get_mut(at) else { return };
        if let Some(cell) = std::mem::take(place).checked_sub(1)
            && cell & FAR != 0
        {
            self.opened.remove(cell & !FAR);
        }
    }
}
