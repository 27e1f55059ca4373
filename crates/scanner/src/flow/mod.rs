//! Where values come from and flow to.

mod bearers;
mod builders;
mod chains;
mod columns;
mod conditions;
mod cypher;
mod destinations;
mod documents;
mod entries;
mod firsts;
mod gates;
mod given;
mod guards;
mod handlers;
mod held;
mod hubs;
mod lifetime;
mod locals;
mod made;
mod memberships;
mod models;
mod named;
mod names;
mod optional;
mod origins;
mod parameters;
mod prepared;
mod procedures;
mod queries;
mod ranks;
mod reach;
mod repositories;
mod shared;
mod shown;
mod starts;
mod stores;
mod tallies;
mod texts;

pub use entries::Entry;
pub(crate) use entries::find_entries;
pub use firsts::is_end;
pub use guards::Guard;
pub use held::Held;
pub(crate) use hubs::Hubs;
pub(crate) use lifetime::Objects;
pub use lifetime::{Cell, Lifetimes};
pub(crate) use locals::Asked;
pub use locals::{
    compares_what_it_keeps, has_own_receiver, has_shared_receiver, is_of_nobody, is_on_own_objects,
    is_on_shared_object, stands_where_renewed,
};
pub(crate) use names::Says;
pub use origins::Origins;
pub use queries::{Owned, Query, Scope, lists_owners, singular};
pub use reach::Reach;
pub(crate) use reach::{find_reach, find_served};
pub use shared::{SharedWrite, captured, captured_by, holds_connection, is_connection};
pub use stores::{Access, Store};
