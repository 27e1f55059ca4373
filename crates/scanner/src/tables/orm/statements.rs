//! Data definition in strings of a program: `op.execute("ALTER TABLE …")`, `db.exec("CREATE TABLE …")`.

use std::collections::HashSet;

use crate::{
    ir::{ExprId, ExprKind, Kinds, Module, TemplatePart, walk},
    lang::sql::{self, Change, Placed},
};

/// What stands for a value that is put into a string.
const HOLE: &str = "pwhole";
/// Words of statements that say how tables are made.
pub(crate) const SCHEMAS: &[&str] = &[
    "ROW LEVEL SECURITY",
    "row level security",
    "CREATE TABLE",
    "create table",
    "ADD COLUMN",
    "add column",
    "CREATE POLICY",
    "create policy",
    "SECURITY DEFINER",
    "security definer",
];
/// Functions that take a migration back.
const BACK: [&str; 5] = ["down", "downgrade", "rollback", "revert", "backwards"];

/// The changes that strings of a module make to a schema, with lines and columns of the module. Tables and columns are not
/// dropped by code: it is seldom known when that runs.
#[must_use]
pub fn changes(module: &Module) -> Vec<Placed> {
    if !SCHEMAS.iter().any(|words| module.source.mentions(words)) {
        return Vec::new();
    }
    let mut back: HashSet<ExprId> = HashSet::new();
    for (id, function) in module.functions() {
        let name = function.name.map_or("", |name| module.text(name));
        if BACK.contains(&name) {
            walk::function_exprs(module, id, &mut |id| {
                back.insert(id);
            });
        }
    }
    let mut names: Option<Vec<String>> = None;
    let mut found = Vec::new();
    for (id, expr) in module.exprs_of(Kinds::TEXT).filter(|(id, _)| !back.contains(id)) {
        let Some(text) = text(module, expr).filter(|text| is_about_schemas(text)) else { continue };
        let start = module.position(module.span(id).start);
        for mut placed in sql::changes(&text).changes {
            placed.line += start.line - 1;
            placed.column = 1;
            match &placed.change {
                Change::Drop(_) | Change::DropColumn { .. } | Change::SetSession { .. } => continue,
                Change::RowSecurity { table, .. } if table.name.contains(HOLE) => {
                    // In a loop over names, or over what the catalogue says: the names are somewhere in the module.
                    let tables = names.get_or_insert_with(|| identifiers(module)).clone();
                    found.push(Placed { change: Change::Dynamic { tables, policies: true }, ..placed });
                }
                Change::CreatePolicy(policy) if policy.table.name.contains(HOLE) => {}
                Change::CreateTable { table, .. } if table.name.contains(HOLE) => {}
                // A label that was added later and may be empty, `workspace TEXT`, says nothing of whose a row is; an id does.
                Change::AddColumn { column, .. } if column.nullable && !is_id(&column.name) => {}
                _ => found.push(placed),
            }
        }
    }
    found
}

/// Whether a module speaks to SQLite, which has neither roles nor row-level security: it imports one of its drivers.
#[must_use]
pub fn speaks_to_sqlite(module: &Module) -> bool {
    module.imports.iter().any(|import| {
        let name = module.text(import.specifier);
        matches!(
            name,
            "sqlite3" | "aiosqlite" | "better-sqlite3" | "node:sqlite" | "bun:sqlite" | "sql.js" | "libsql"
        )
    })
}
fn is_about_schemas(text: &str) -> bool {
    // Each of them has one of these in it, and most texts have none.
    ["SECURITY", "security", "CREATE ", "create ", "ADD ", "add "].iter().any(|word| text.contains(word))
        && SCHEMAS.iter().any(|words| text.contains(words))
}

fn is_id(column: &str) -> bool {
    ["id", "uuid", "key"].iter().any(|end| column.to_ascii_lowercase().ends_with(end))
}

/// A string, or a template with its values left open.
fn text(module: &Module, expr: &ExprKind) -> Option<String> {
    match expr {
        ExprKind::String(text) => Some(module.text(*text).to_owned()),
        ExprKind::Template(parts) | ExprKind::Tagged { parts, .. } => Some(
            parts
                .iter()
                .map(|part| match part {
                    TemplatePart::Text(text) => module.text(*text),
                    TemplatePart::Value(_) => HOLE,
                })
                .collect(),
        ),
        _ => None,
    }
}

/// Strings of a module that could be the names of tables.
fn identifiers(module: &Module) -> Vec<String> {
    let mut names: Vec<String> = module
        .exprs()
        .filter_map(|(_, expr)| match expr {
            ExprKind::String(text) => Some(module.text(*text)),
            _ => None,
        })
        .filter(|text| {
            !text.is_empty() && text.len() < 64 && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        })
        .map(str::to_lowercase)
        .collect();
    names.sort();
    names.dedup();
    names
}
