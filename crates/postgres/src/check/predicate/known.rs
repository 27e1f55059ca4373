//! What is known of the database around a text: functions that it calls, keys of tables that it reads, types that it names.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
};

/// A function's text, to be read where a policy calls it.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub(crate) schema: String,
    /// `sql`, `plpgsql` and so on.
    pub(crate) language: String,
    /// Names of what it is called with.
    pub(crate) arguments: Vec<String>,
    pub(crate) source: String,
}

/// What tells rows of a table apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keys {
    /// Columns of which no two rows have the same values.
    pub(crate) unique: BTreeSet<BTreeSet<String>>,
    /// The column that says whose a row is.
    pub(crate) tenant: Option<String>,
}

/// What a text is read for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Whether the server's name for who asks is one for all tenants.
    pub(crate) by_one_user: bool,
    /// Whether what whoever asks may have written there does not count.
    pub(crate) strictly: bool,
}

/// How many subqueries and functions are entered for one text; whoever calls for more is not understood.
const MOST_WORK: usize = 4_000;

/// What is known beside a text.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Functions by their names without schemas.
    pub(crate) functions: BTreeMap<String, Vec<Body>>,
    /// Keys by tables' names without schemas; of tables of the same name those that each of them has.
    pub(crate) keys: BTreeMap<String, Keys>,
    /// Enumerations and domains, which a cast leaves as different as they were.
    pub(crate) types: BTreeSet<String>,
    /// Whether the server's name for who asks can be a tenant's: the application's role becomes others that policies name.
    pub(crate) users_differ: bool,
    /// What the tenant is called: the setting, and its column's names.
    pub(crate) tenants: BTreeSet<String>,
    /// Columns that the application's role gives any value, by tables' names without schemas.
    pub(crate) free: BTreeMap<String, BTreeSet<String>>,
    /// What was entered for the text that is being read.
    pub(crate) entered: AtomicUsize,
}

impl Known {
    /// A new text.
    pub(super) fn begin(&self) {
        self.entered.store(0, Ordering::Relaxed);
    }

    /// Counts a subquery or function that is entered, and says whether it may be.
    pub(super) fn enters(&self) -> bool {
        self.entered.fetch_add(1, Ordering::Relaxed) < MOST_WORK
    }

    /// A table with its keys.
    pub(crate) fn add_table(&mut self, name: &str, keys: Keys) {
        match self.keys.get_mut(name) {
            None => {
                self.keys.insert(name.to_owned(), keys);
            }
            Some(others) => {
                others.unique.retain(|key| keys.unique.contains(key));
                others.tenant = others.tenant.take().filter(|column| keys.tenant.as_ref() == Some(column));
            }
        }
    }
}
