//! Routing: an answer, event or handle reaches only the caller it was made for.
//!
//! There are no sessions, event stores or listen streams that could be stolen: a reply travels on the HTTP exchange of
//! its request and on nothing else. What a client can hand back (cursors, `requestState`) is sealed to its principal
//! (`Sealer`). Requests that a foreign web page makes a browser send are refused (`Doors`).

mod doors;
mod seal;

pub(crate) use doors::Doors;
pub(crate) use seal::{Binding, Sealer};
