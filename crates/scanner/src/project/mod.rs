//! Which modules there are and how they name each other.
