//! SQL files and SQL strings.
