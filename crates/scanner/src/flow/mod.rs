//! Where values come from and flow to.

mod entries;
mod guards;
mod origins;
mod reach;
mod stores;

pub use entries::Entry;
pub(crate) use entries::find_entries;
pub use origins::Origins;
pub use reach::Reach;
pub use stores::{Access, Store};
pub(crate) use reach::find_reach;
