//! What SQL may do, decided by SQLite's authorizer while a statement is compiled.
//!
//! A declared statement may read and change the rows of the tables that the migrations made, and nothing else: what is
//! not listed here is denied. Migrations may also change the schema, but reach no other file either.

use std::collections::BTreeMap;

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

/// Whose SQL is being compiled on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A declared statement is being compiled.
    Declared,
    /// A declared statement runs; search indexes compile statements of their own meanwhile.
    Running,
    /// A migration.
    Migration,
    /// Our own: transactions and bookkeeping.
    Own,
}

impl Phase {
    pub(super) fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Running,
            2 => Self::Migration,
            3 => Self::Own,
            _ => Self::Declared,
        }
    }

    pub(super) fn code(self) -> u8 {
        match self {
            Self::Declared => 0,
            Self::Running => 1,
            Self::Migration => 2,
            Self::Own => 3,
        }
    }
}

/// Bookkeeping tables begin with this.
pub(super) const OWN_PREFIX: &str = "_partywall";

/// Virtual tables that are part of SQLite and see their arguments only.
const TABLE_FUNCTIONS: [&str; 2] = ["json_each", "json_tree"];

/// Kinds of virtual tables a migration may create; all keep their rows in the same file.
const MODULES: [&str; 6] = ["fts3", "fts4", "fts5", "fts5vocab", "rtree", "rtree_i32"];

/// What virtual tables ask themselves: FTS5 whether another connection changed its index, R-Tree for a page's size.
const PRAGMAS: [&str; 2] = ["data_version", "page_size"];

/// Functions that load code, touch files, write to the process's log, or register callbacks. Most are not compiled in;
/// they stay denied should they ever be.
const FUNCTIONS: [&str; 9] = [
    "load_extension",
    "fts3_tokenizer",
    "readfile",
    "writefile",
    "edit",
    "fsdir",
    "sqlar_uncompress",
    "zipfile",
    "eval",
];

/// Functions that tell what an earlier call did on the same connection.
const RESIDUE: [&str; 3] = ["changes", "total_changes", "last_insert_rowid"];

/// Functions whose one call takes a time that the length of its arguments bounds well. Any other may be slow for texts
/// that a tenant chooses (`LIKE`, `instr`, `replace`, JSON), and one call cannot be stopped.
const LIGHT: [&str; 40] = [
    "abs",
    "avg",
    "char",
    "coalesce",
    "concat",
    "count",
    "date",
    "datetime",
    "dense_rank",
    "first_value",
    "group_concat",
    "hex",
    "if",
    "ifnull",
    "iif",
    "julianday",
    "lag",
    "last_value",
    "lead",
    "length",
    "likely",
    "lower",
    "max",
    "min",
    "nth_value",
    "ntile",
    "nullif",
    "quote",
    "rank",
    "round",
    "row_number",
    "sign",
    "substr",
    "substring",
    "sum",
    "time",
    "total",
    "typeof",
    "unixepoch",
    "upper",
];

/// The tables that declared statements may name, and whether each is heavy to read.
#[derive(Debug, Default)]
pub(super) struct Tables(BTreeMap<String, bool>);

impl Tables {
    pub(super) fn new(names: impl IntoIterator<Item = (String, bool)>) -> Self {
        let lower = names.into_iter().map(|(name, heavy)| (name.to_ascii_lowercase(), heavy));
        Self(lower.filter(|(name, _)| !reserved(name)).collect())
    }

    fn has(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        !reserved(&name) && (self.0.contains_key(&name) || TABLE_FUNCTIONS.contains(&name.as_str()))
    }

    /// Whether one step in the table can take long.
    fn is_heavy(&self, name: &str) -> bool {
        names(&TABLE_FUNCTIONS, name) || self.0.get(&name.to_ascii_lowercase()).is_some_and(|heavy| *heavy)
    }
}

/// Whether what is being compiled can take long in a single step, so that a brake between the steps is no brake.
pub(super) fn is_heavy(tables: &Tables, context: &AuthContext<'_>) -> bool {
    match context.action {
        AuthAction::Read { table_name, .. } => tables.is_heavy(table_name),
        AuthAction::Function { function_name } => !names(&LIGHT, function_name),
        _ => false,
    }
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether a table belongs to SQLite or to the bookkeeping.
fn reserved(name: &str) -> bool {
    ["sqlite_", "pragma_", OWN_PREFIX, "dbstat"].iter().any(|prefix| starts_with(name, prefix))
}

fn allow_if(condition: bool) -> Authorization {
    if condition { Authorization::Allow } else { Authorization::Deny }
}

/// The authorizer.
pub(super) fn decide(phase: Phase, tables: &Tables, context: &AuthContext<'_>) -> Authorization {
    match phase {
        Phase::Own => Authorization::Allow,
        Phase::Migration => migration(context),
        Phase::Declared | Phase::Running => declared(phase, tables, context),
    }
}

fn declared(phase: Phase, tables: &Tables, context: &AuthContext<'_>) -> Authorization {
    if context.database_name.is_some_and(|name| name != "main") {
        return Authorization::Deny;
    }
    match context.action {
        AuthAction::Select | AuthAction::Recursive => Authorization::Allow,
        // No column is read: the name may be that of a common table expression, which only its own parts are checked
        // for, and a wrong name fails anyway.
        AuthAction::Read { table_name, column_name: "" } => allow_if(!reserved(table_name)),
        AuthAction::Read { table_name, .. }
        | AuthAction::Insert { table_name }
        | AuthAction::Delete { table_name }
        | AuthAction::Update { table_name, .. } => allow_if(tables.has(table_name)),
        AuthAction::Function { function_name } => allow_if(
            harmless(function_name)
                && !starts_with(function_name, "sqlite_")
                && (context.accessor.is_some() || !names(&RESIDUE, function_name)),
        ),
        AuthAction::Pragma { pragma_name, pragma_value: None } => {
            allow_if(phase == Phase::Running && names(&PRAGMAS, pragma_name))
        }
        _ => Authorization::Deny,
    }
}

fn migration(context: &AuthContext<'_>) -> Authorization {
    // Renaming looks into the temporary schema, which is empty: creating anything there is denied below.
    match context.action {
        AuthAction::Select
        | AuthAction::Recursive
        | AuthAction::Reindex { .. }
        // Without a name it is about every table.
        | AuthAction::Analyze { .. } => Authorization::Allow,
        AuthAction::Function { function_name } => allow_if(harmless(function_name)),
        AuthAction::Pragma {
            pragma_name,
            pragma_value: None,
        } => allow_if(names(&PRAGMAS, pragma_name)),
        AuthAction::CreateVtable {
            table_name,
            module_name,
        } => allow_if(!own(table_name) && names(&MODULES, module_name)),
        AuthAction::CreateIndex { table_name, .. }
        | AuthAction::CreateTable { table_name }
        | AuthAction::CreateTrigger { table_name, .. }
        | AuthAction::DropIndex { table_name, .. }
        | AuthAction::DropTable { table_name }
        | AuthAction::DropTrigger { table_name, .. }
        | AuthAction::DropVtable { table_name, .. }
        | AuthAction::AlterTable { table_name, .. }
        | AuthAction::Read { table_name, .. }
        | AuthAction::Insert { table_name }
        | AuthAction::Delete { table_name }
        | AuthAction::Update { table_name, .. } => allow_if(!own(table_name)),
        AuthAction::CreateView { view_name } | AuthAction::DropView { view_name } => {
            allow_if(!own(view_name))
        }
        _ => Authorization::Deny,
    }
}

fn own(name: &str) -> bool {
    starts_with(name, OWN_PREFIX)
}

fn harmless(function: &str) -> bool {
    !names(&FUNCTIONS, function) && !function.eq_ignore_ascii_case("sqlite_log")
}

fn names(list: &[&str], name: &str) -> bool {
    list.iter().any(|item| item.eq_ignore_ascii_case(name))
}
