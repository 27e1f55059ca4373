//! Faults, met by a real process: for each a clear error for the one concerned, a bounded amount of memory, and a
//! neighbour whose replies are the same, byte for byte, as when it was alone.
//!
//! `PARTYWALL_FIGURES` prints how much memory each fault took.

mod clients;
mod crowd;
mod damage;
mod disk;
mod house;
mod kill;
mod neighbour;
#[path = "../../../gateway/src/guards/capacity/shared/tests/server.rs"]
mod redis;
mod reload;
mod replicas;
mod together;
mod upstream;
mod upstreams;
mod wire;
