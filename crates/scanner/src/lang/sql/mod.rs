//! SQL: what migrations do to a schema, and what a query asks of which tables.
//!
//! Data definition is read from sqlparser's tokens by a reader of its own: migrations are full of extensions (policies,
//! options, blocks of PL/pgSQL) that a grammar refuses, and of what is needed here each statement says little. Queries are
//! read from sqlparser's syntax tree, and from tokens, with less confidence, where there is none.

mod block;
mod cursor;
mod ddl;
mod facts;
mod fallback;
mod policy;
mod prose;
mod query;
mod statements;
mod text;

pub use facts::{Block, Parsed, Placeholder, TableUse, Test, Value, Verb};
pub use policy::{Condition, condition};
pub use query::read as read_query;
pub use text::{Piece, Text};

use cursor::Cursor;

/// The name of a table or another object, as the catalogue would have it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// The schema, if it is said.
    pub schema: Option<String>,
    /// The name.
    pub name: String,
}

impl Name {
    /// A name without a schema.
    #[must_use]
    pub fn bare(name: &str) -> Self {
        Self { schema: None, name: name.to_owned() }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.schema {
            Some(schema) => write!(formatter, "{schema}.{}", self.name),
            None => formatter.write_str(&self.name),
        }
    }
}

/// A column as it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type where a text has to be cast to it, in lower case: `uuid`, `bigint`, `integer`.
    pub kind: Option<&'static str>,
    /// Whether it may be null.
    pub nullable: bool,
    /// The table that it refers to.
    pub references: Option<Name>,
}

/// Which statements a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// All of them.
    All,
    /// Reading.
    Select,
    /// Adding rows.
    Insert,
    /// Changing rows.
    Update,
    /// Deleting rows.
    Delete,
}

/// A row-level security policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// The table.
    pub table: Name,
    /// Whether it lets rows through (policies are OR-ed) or only holds rows back.
    pub permissive: bool,
    /// The statements it is for.
    pub command: Command,
    /// The roles it is for; empty means everybody.
    pub roles: Vec<String>,
    /// The rows that are seen.
    pub using: Option<Condition>,
    /// The rows that may be written.
    pub check: Option<Condition>,
}

/// A change of the row-level security of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowSecurity {
    /// Policies apply.
    Enable,
    /// Policies do not apply.
    Disable,
    /// Policies apply to the owner too.
    Force,
    /// They do not apply to the owner.
    NoForce,
}

/// What one statement of a migration does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A table begins.
    CreateTable {
        /// Its name.
        table: Name,
        /// Its columns.
        columns: Vec<Column>,
        /// Whether nothing happens when it is there.
        if_not_exists: bool,
        /// Whether it ends with the session.
        temporary: bool,
        /// The table whose partition it is.
        partition_of: Option<Name>,
        /// The table whose columns it has too.
        like: Option<Name>,
    },
    /// Tables or views end.
    Drop(Vec<Name>),
    /// A table gets another name or schema.
    Rename {
        /// The name so far.
        table: Name,
        /// The name from now on.
        to: Name,
    },
    /// A column is added, or said to refer to another table.
    AddColumn {
        /// The table.
        table: Name,
        /// The column.
        column: Column,
    },
    /// A column refers to another table.
    AddReference {
        /// The table.
        table: Name,
        /// Its columns.
        columns: Vec<String>,
        /// The other table.
        references: Name,
    },
    /// A column ends.
    DropColumn {
        /// The table.
        table: Name,
        /// The column.
        column: String,
    },
    /// A column gets another name.
    RenameColumn {
        /// The table.
        table: Name,
        /// The name so far.
        column: String,
        /// The name from now on.
        to: String,
    },
    /// Whether policies apply.
    RowSecurity {
        /// The table.
        table: Name,
        /// The change.
        change: RowSecurity,
    },
    /// A policy begins.
    CreatePolicy(Policy),
    /// A policy changes.
    AlterPolicy(Policy),
    /// A policy ends.
    DropPolicy {
        /// Its name.
        name: String,
        /// The table.
        table: Name,
    },
    /// A view begins or is replaced.
    CreateView {
        /// Its name.
        view: Name,
        /// Whether it holds a copy.
        materialized: bool,
        /// Whether it reads with the rights of the reader.
        invoker: bool,
        /// The tables it reads.
        reads: Vec<Name>,
        /// Its conditions: does it test the caller by itself?
        condition: Condition,
    },
    /// Whether a view reads with the rights of the reader.
    AlterView {
        /// The view.
        view: Name,
        /// Whether it does.
        invoker: bool,
    },
    /// A function begins or is replaced.
    CreateFunction {
        /// Its name.
        function: Name,
        /// Whether it runs with the rights of its owner.
        definer: bool,
        /// Whether its search path is fixed.
        search_path: bool,
        /// Whether it is the body of a trigger, which nobody can call.
        trigger: bool,
        /// The tables that its body reads or writes.
        touches: Vec<Name>,
        /// What its body tests.
        condition: Condition,
        /// A setting of the application that its body sets for the whole session.
        sets: Option<String>,
    },
    /// A function gets or loses its owner's rights, or a search path of its own.
    AlterFunction {
        /// The function.
        function: Name,
        /// Whether it runs with the rights of its owner from now on, if that is said.
        definer: Option<bool>,
        /// Whether its search path is fixed from now on.
        search_path: bool,
    },
    /// A table becomes a partition.
    Attach {
        /// The table.
        table: Name,
        /// The table whose partition it becomes.
        to: Name,
    },
    /// Privileges are given.
    Grant {
        /// The privileges, in lower case; `all` is one.
        privileges: Vec<String>,
        /// The tables; empty where it is all tables of a schema.
        tables: Vec<Name>,
        /// The schema whose tables they all are.
        schema: Option<String>,
        /// Who gets them.
        roles: Vec<String>,
    },
    /// Privileges are taken.
    Revoke {
        /// The tables; empty where it is all tables of a schema.
        tables: Vec<Name>,
        /// The schema whose tables they all are.
        schema: Option<String>,
        /// Who loses them.
        roles: Vec<String>,
    },
    /// A setting of the application is set for the session and not only for the transaction.
    SetSession {
        /// The setting.
        setting: String,
    },
    /// Row-level security is set by a statement that is put together while it runs: the names in it, or none where they come
    /// from elsewhere.
    Dynamic {
        /// Names that stand in the block.
        tables: Vec<String>,
        /// Whether it makes policies.
        policies: bool,
    },
}

/// A change and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// What happens there.
    pub change: Change,
}

/// What a text of SQL does to a schema.
#[derive(Debug, Default)]
pub struct Changes {
    /// The changes in their order.
    pub changes: Vec<Placed>,
    /// Lines of statements that could not be read.
    pub unread: Vec<u32>,
}

/// Reads the changes that a text makes. What is none of the changes above is left out; nothing fails.
#[must_use]
pub fn changes(text: &str) -> Changes {
    let (statements, unread) = statements::of(text);
    let mut found = Changes { changes: Vec::new(), unread };
    for statement in &statements {
        let start = Cursor::new(&statement.tokens);
        let (line, column) = start.place();
        let mut add = |change| found.changes.push(Placed { line, column, change });
        ddl::read(start, &mut add);
    }
    found
}

#[cfg(test)]
mod tests;
