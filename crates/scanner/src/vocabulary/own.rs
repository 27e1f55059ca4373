//! Words that mean a tenant in one project: `clinic`, `gym`, `empresa`.
//!
//! A project says which: clients name it in a header of each request (`X-Gym-ID`), the code asks for the current one, and its users
//! or their memberships have a column for it. [`crate::tables`] looks for them when all migrations and models are known.

use std::cell::RefCell;

/// More words than a project has for its tenants.
const MOST: usize = 4;

thread_local! {
    /// The words of the project that this thread looks at. Whatever a name means is asked by one thread.
    static OWN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps a project's words until it is dropped, so that the next project does not have them.
#[derive(Debug)]
#[must_use = "the words are forgotten when this is dropped"]
pub(crate) struct Words(());

/// Takes words for tenants, in small letters and in the singular.
pub(crate) fn take(words: Vec<String>) -> Words {
    super::forget();
    OWN.with_borrow_mut(|own| {
        *own = words;
        own.truncate(MOST);
    });
    Words(())
}

impl Drop for Words {
    fn drop(&mut self) {
        OWN.with_borrow_mut(Vec::clear);
        super::forget();
    }
}

/// Whether a word means a tenant in this project.
pub(crate) fn is_own(word: &str) -> bool {
    OWN.with_borrow(|own| own.iter().any(|known| known == word))
}

/// Whether a name has such a word in it, in small or capital letters.
pub(super) fn mentioned(name: &str) -> bool {
    OWN.with_borrow(|own| own.iter().any(|known| super::mentions(name, &[known.as_str()])))
}
