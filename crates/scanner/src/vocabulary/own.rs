//! Words that mean a tenant in one project: `clinic`, `gym`, `empresa`.
//!
//! A project says which: clients name it in a header of each request (`X-Gym-ID`), the code asks for the current one, and its users
//! or their memberships have a column for it. [`crate::tables`] looks for them when all migrations and models are known.

use std::cell::{Cell, RefCell};

/// More words than a project has for its tenants.
const MOST: usize = 4;

thread_local! {
    /// The words of the project that this thread looks at. Whatever a name means is asked by one thread.
    static OWN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    /// Whether customers are kept account of in it, and do not call it themselves.
    static CUSTOMERS: Cell<bool> = const { Cell::new(false) };
}

/// Keeps a project's words until it is dropped, so that the next project does not have them.
#[derive(Debug)]
#[must_use = "the words are forgotten when this is dropped"]
pub(crate) struct Words(());

/// Takes words for tenants, in small letters and in the singular, and whether customers are things that the project keeps account of.
pub(crate) fn take(words: Vec<String>, customers: bool) -> Words {
    super::forget();
    CUSTOMERS.set(customers);
    OWN.with_borrow_mut(|own| {
        *own = words;
        own.truncate(MOST);
    });
    Words(())
}

impl Drop for Words {
    fn drop(&mut self) {
        OWN.with_borrow_mut(Vec::clear);
        CUSTOMERS.set(false);
        super::forget();
    }
}

/// Whether a word names what this project keeps account of, and no party that calls it: customers of a shop's staff.
pub(crate) fn is_thing(word: &str) -> bool {
    CUSTOMERS.get() && matches!(word, "customer" | "customers")
}

/// Whether a word means a tenant in this project.
pub(crate) fn is_own(word: &str) -> bool {
    OWN.with_borrow(|own| own.iter().any(|known| known == word))
}

/// Whether a name has such a word in it, in small or capital letters.
pub(super) fn mentioned(name: &str) -> bool {
    OWN.with_borrow(|own| own.iter().any(|known| super::mentions(name, &[known.as_str()])))
}
