//! Types of objects as they are written: interfaces, and types that are an object's or stand for another one.

use super::{List, Name};

/// A type that a file of TypeScript declares, or writes out where it is needed.
#[derive(Debug)]
pub struct Shape {
    /// Its name; the text of one that is written out: `{ notes: NotesService }`.
    pub name: Name,
    /// The types that it extends, and those that it stands for, as written.
    pub bases: List<Name>,
    /// Its members that are objects of another type: their names, and these types as written.
    pub members: List<(Name, Name)>,
}
