//! Faults that need a hand inside the process: a clock that is set, streams that nobody reads. Those that a whole
//! process must survive are in the tests of the command.

mod clock;
mod streams;
mod windows;
