//! What is known of a query.

use super::Name;

/// What is put into a query while the program runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placeholder {
    /// The hole with this number, from 0, in the string.
    Hole(u32),
    /// The value at this position, from 0, of those that are passed along.
    Position(u32),
    /// The value with this name.
    Name(String),
}

/// What a block does to its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// It reads.
    Select,
    /// It adds rows.
    Insert,
    /// It changes rows.
    Update,
    /// It deletes rows.
    Delete,
}

/// A table of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableUse {
    /// Its name; nothing where the name is put in while the program runs.
    pub name: Option<Name>,
    /// What its columns are qualified with.
    pub alias: String,
}

/// What a column is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Something that is put in.
    Placeholder(Placeholder),
    /// A constant.
    Literal(String),
    /// Nothing.
    Null,
    /// Another column.
    Column {
        /// The alias before it.
        table: Option<String>,
        /// Its name.
        column: String,
    },
    /// A setting of the session: `current_setting('app.tenant')`.
    Setting(String),
    /// The result of a function, such as `auth.uid()`.
    Function(String),
    /// The result of the block with this number.
    Block(usize),
    /// Something else.
    Other,
}

/// A comparison of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// The alias before the column.
    pub table: Option<String>,
    /// The column.
    pub column: String,
    /// What it is compared with.
    pub value: Value,
    /// Whether only equal rows pass; a `LIKE` or `>` is no such test.
    pub equal: bool,
    /// Whether every row has to pass it; a test beside an `OR` holds nothing back.
    pub required: bool,
}

/// One part of a query with its own tables and conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What it does.
    pub verb: Verb,
    /// The tables it reads; of a block that writes, the first is the one it writes to.
    pub tables: Vec<TableUse>,
    /// What rows are tested for.
    pub tests: Vec<Test>,
    /// The columns that are written, with their values.
    pub writes: Vec<(String, Value)>,
    /// Parts of the conditions that are put in while the program runs.
    pub open: Vec<Placeholder>,
    /// The block that this one is a part of.
    pub parent: Option<usize>,
    /// Whether a row of the parent needs a row of this block: `EXISTS`, `IN`.
    pub decides: bool,
    /// Of `ON CONFLICT … DO UPDATE`, the columns of the key.
    pub conflict: Option<Vec<String>>,
}

/// A query that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Its blocks; a block comes before its parts.
    pub blocks: Vec<Block>,
    /// A setting of the application that it sets for the session, not for the transaction.
    pub session_setting: Option<String>,
    /// Whether it was parsed; if not, it was guessed from its tokens.
    pub exact: bool,
}
