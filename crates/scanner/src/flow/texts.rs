//! Texts of queries in code.

use std::collections::BTreeSet;

use super::{
    chains::in_branch,
    memberships::is_own_tenant,
    queries::{Query, Scope},
    singular,
};
use crate::{
    ir::{BinaryOp, ExprKind, NameRef, StmtKind, TemplatePart, walk},
    lang::sql::{self, Piece},
    project::{At, Fun, Parent, Project, Source, Unit},
    tables::level_of_column,
    vocabulary,
};

/// A part of a text: what is written out, and what is put into it.
pub(super) enum Part {
    /// What is written out.
    Text(String),
    /// A value that is put in.
    Hole(At),
}

/// The language of a query, by how its text begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// SQL.
    Sql,
    /// The language of graph databases.
    Cypher,
}

/// How a text begins, when it begins as a query does.
pub(super) fn begins(text: &str) -> Option<Begins> {
    let text = text.trim_start();
    let end = text.bytes().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(text.len());
    let word = text.get(..end).unwrap_or_default();
    let is = |words: &[&str]| words.iter().any(|own| word.eq_ignore_ascii_case(own));
    let begins = if is(&["SELECT", "UPDATE", "DELETE", "INSERT", "WITH"]) {
        Begins::Sql
    } else if is(&["MATCH", "OPTIONAL", "MERGE", "CREATE", "UNWIND"]) {
        Begins::Cypher
    } else {
        return None;
    };
    text.contains([' ', '\n']).then_some(begins)
}

impl Project {
    /// The queries that a text of SQL is, if it is one.
    pub(super) fn sql_queries(&self, at: At, words: &BTreeSet<String>, all: &mut Vec<Query>) {
        let Some(unit) = self.unit(at.module) else { return };
        // "Update a document of the tenant." describes a function.
        if let Parent::Stmt(stmt) = unit.index.parent(at.expr)
            && matches!(unit.ir.stmt(stmt), StmtKind::Expr(_))
        {
            return;
        }
        let pieces = match self.query_pieces(unit, at) {
            Some((Begins::Sql, pieces)) => pieces,
            Some((Begins::Cypher, pieces)) => return self.cypher_query(at, &pieces, all),
            None => return,
        };
        let mut text: Vec<Piece<'_>> = Vec::with_capacity(pieces.len());
        for piece in &pieces {
            match piece {
                Part::Text(own) => text.push(Piece::Text(own)),
                Part::Hole(at) => {
                    // `FROM notes{where}`: what is put in begins with a space.
                    if self.is_conditions(*at) {
                        text.push(Piece::Text(" "));
                    }
                    text.push(Piece::Hole);
                }
            }
        }
        let holes: Vec<At> = pieces
            .iter()
            .filter_map(|piece| match piece {
                Part::Hole(at) => Some(*at),
                Part::Text(_) => None,
            })
            .collect();
        let Some(parsed) = sql::read_query(&text) else { return };
        for run in self.runs_of(unit, at) {
            let shows_owner = super::columns::shows_owner(&text);
            self.sql_blocks(at, &parsed, (run.function, &run.values, &holes, shows_owner), words, all);
        }
    }

    /// Whether what is put into a text is a condition of its own by its name, `where_sql`, which is joined of several in the same
    /// function.
    fn is_conditions(&self, at: At) -> bool {
        let Some(unit) = self.unit(at.module) else { return false };
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return false };
        let named = vocabulary::words(unit.ir.binding_name(*id)).iter().any(|word| {
            matches!(word.as_str(), "where" | "clause" | "filter" | "filters" | "conditions" | "condition")
        });
        let joined = |source: &Source| unit.ir.snippet(unit.ir.span(source.value)).contains(".join(");
        named && unit.index.sources(*id).iter().any(joined)
    }

    /// Adds the queries of a text of SQL that a function runs with values, and with holes in the text.
    fn sql_blocks(
        &self,
        at: At,
        parsed: &sql::Parsed,
        (function, values, holes, shows_owner): (Fun, &[At], &[At], bool),
        words: &BTreeSet<String>,
        all: &mut Vec<Query>,
    ) {
        let mentioned = match self.owner_in_strings(function) {
            Scope::None => self.owner_in_helpers(at, holes),
            said => said,
        };
        // `query += " AND owner_id = ?"`
        let grows = self.unit(at.module).is_some_and(|unit| grows(unit, at.expr));
        let filters = values.iter().chain(holes).copied().collect::<Vec<_>>();
        for block in &parsed.blocks {
            let Some(table) = block.tables.first().and_then(|table| table.name.as_ref()) else { continue };
            let owner = |column: &str| level_of_column(column).is_some() || vocabulary::is_owner(column);
            let required = block.tests.iter().any(|test| owner(&test.column) && test.required)
                || block.writes.iter().any(|(column, _)| owner(column))
                || block.tests.iter().any(|test| matches!(test.value, sql::Value::Setting(_)))
                || parsed
                    .blocks
                    .iter()
                    .any(|inner| inner.decides && inner.tests.iter().any(|test| owner(&test.column)));
            let optional = block.tests.iter().any(|test| owner(&test.column));
            let open = grows || !block.open.is_empty();
            let scope = if required || (open && mentioned == Scope::Owner) {
                Scope::Owner
            } else if optional || (open && mentioned == Scope::Optional) {
                Scope::Optional
            } else {
                Scope::None
            };
            all.push(Query {
                at,
                function,
                entity: singular(&table.name),
                shown: table.name.clone(),
                verb: block.verb,
                scope,
                filters: filters.clone(),
                is_sql: true,
                shows_owner,
                tied: block.tests.iter().any(|test| {
                    // `project = ? OR project = ?`: the caller's and everybody's.
                    (test.required
                        || self.header_words().iter().any(|word| test.column.starts_with(word.as_str())))
                        && is_own_tenant(&test.column, words)
                }),
                tests: block
                    .tests
                    .iter()
                    .filter(|test| test.required)
                    .map(|test| test.column.clone())
                    .collect(),
                overwrites: block.writes.iter().any(|(column, _)| owner(column))
                    && block.conflict.as_deref().is_some_and(|found_by| {
                        let is_id =
                            |column: &String| column == "id" || column == "uuid" || column.ends_with("_id");
                        !found_by.is_empty() && found_by.iter().all(|column| is_id(column) && !owner(column))
                    }),
            });
        }
    }

    /// The pieces of a text that begins as a query does, and as which.
    fn query_pieces(&self, unit: &Unit, at: At) -> Option<(Begins, Vec<Part>)> {
        // Most texts are told by how they begin, without their pieces being gathered.
        let likely = match unit.ir.expr(at.expr) {
            ExprKind::String(text) => begins(unit.ir.text(*text)).is_some(),
            ExprKind::Template(parts) | ExprKind::Tagged { parts, .. } => match parts.first() {
                Some(TemplatePart::Text(text)) => begins(unit.ir.text(*text)).is_some(),
                first => first.is_some(),
            },
            _ => true,
        };
        if !likely {
            return None;
        }
        let mut pieces = Vec::new();
        self.pieces(at, 4, &mut pieces);
        let first = pieces.iter().find_map(|piece| match piece {
            Part::Text(text) => Some(text.as_str()),
            Part::Hole(_) => None,
        });
        first.and_then(begins).map(|begins| (begins, pieces))
    }

    /// The text of a string with its holes; names of constant strings are read.
    fn pieces(&self, at: At, depth: u32, out: &mut Vec<Part>) {
        let Some(unit) = self.unit(at.module) else { return };
        match (unit.ir.expr(at.expr), depth.checked_sub(1)) {
            (ExprKind::String(text), _) => out.push(Part::Text(unit.ir.text(*text).to_owned())),
            (ExprKind::Template(parts) | ExprKind::Tagged { parts, .. }, Some(depth)) => {
                for part in parts {
                    match part {
                        TemplatePart::Text(text) => out.push(Part::Text(unit.ir.text(*text).to_owned())),
                        TemplatePart::Value(value) => self.pieces(at.to(*value), depth, out),
                    }
                }
            }
            (ExprKind::Binary { op: BinaryOp::Add, left, right }, Some(depth)) => {
                self.pieces(at.to(*left), depth, out);
                self.pieces(at.to(*right), depth, out);
            }
            (ExprKind::Name(NameRef::Binding(id)), Some(depth)) => {
                let [source] = unit.index.sources(*id) else {
                    out.push(self.table_said(at, out).map_or(Part::Hole(at), Part::Text));
                    return;
                };
                let text = matches!(unit.ir.expr(source.value), ExprKind::String(_) | ExprKind::Template(_));
                if text && source.path.is_empty() {
                    self.pieces(at.to(source.value), depth, out);
                } else {
                    out.push(self.table_said(at, out).map_or(Part::Hole(at), Part::Text));
                }
            }
            // `FROM {qualified("notes")}`: a helper that puts the schema before a table's name.
            (ExprKind::Call(_), Some(depth)) if self.given_text(at).is_some() => {
                if let Some(text) = self.given_text(at) {
                    self.pieces(text, depth, out);
                }
            }
            (ExprKind::Call(call), _) => {
                match self.table_name(at, call, out).or_else(|| self.table_said(at, out)) {
                    Some(name) => out.push(Part::Text(name)),
                    None => out.push(Part::Hole(at)),
                }
            }
            _ => match self.table_said(at, out) {
                Some(name) => out.push(Part::Text(name)),
                None => out.push(Part::Hole(at)),
            },
        }
    }

    /// The one condition that a function of the project gives: `WHERE {tenant_clause()}` of `return f"tenant_id = '{tenant()}'"`.
    fn given_text(&self, call: At) -> Option<At> {
        let callee = self.callee(call).filter(|callee| callee.certain)?;
        let [target] = callee.targets.as_slice() else { return None };
        let home = self.unit(target.module)?;
        let [value] = home.index.returns(target.id) else { return None };
        let ExprKind::Template(parts) = home.ir.expr(*value) else { return None };
        let compares = parts
            .iter()
            .any(|part| matches!(part, TemplatePart::Text(text) if home.ir.text(*text).contains('=')));
        compares.then_some(At { module: target.module, expr: *value })
    }

    /// What a table is called by the code that puts its name into a text: `FROM ${this.notesTable}`, `FROM ${sql.unsafe(notesTable)}`.
    fn table_said(&self, at: At, before: &[Part]) -> Option<String> {
        let Some(Part::Text(text)) = before.last() else { return None };
        let word = text.trim_end().rsplit(char::is_whitespace).next()?.to_ascii_uppercase();
        if !matches!(word.as_str(), "FROM" | "JOIN" | "UPDATE" | "INTO")
            || !text.ends_with(char::is_whitespace)
        {
            return None;
        }
        let unit = self.unit(at.module)?;
        let value = match unit.ir.expr(at.expr) {
            ExprKind::Call(call) => call.positional(0)?,
            _ => at.expr,
        };
        let said = self.last_written(at.to(value))?;
        let words = vocabulary::words(said);
        let own: Vec<&str> = words
            .iter()
            .map(String::as_str)
            .filter(|word| !matches!(*word, "table" | "tbl" | "name" | "tablename" | "quoted" | "safe"))
            .collect();
        // `FROM ${table}` says nothing, and what is a path is one of several.
        (!own.is_empty() && said.chars().all(|char| char.is_ascii_alphanumeric() || char == '_'))
            .then(|| own.join("_"))
    }

    /// The name that is a call's only argument, where the text before is about to name a table.
    fn table_name(&self, at: At, call: &crate::ir::Call, before: &[Part]) -> Option<String> {
        let Some(Part::Text(text)) = before.last() else { return None };
        let word = text.trim_end().rsplit(char::is_whitespace).next()?.to_ascii_uppercase();
        if !matches!(word.as_str(), "FROM" | "JOIN" | "UPDATE" | "INTO") || call.args.len() != 1 {
            return None;
        }
        let unit = self.unit(at.module)?;
        let ExprKind::String(name) = unit.ir.expr(call.positional(0)?) else { return None };
        let name = unit.ir.text(*name);
        let plain = !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
        plain.then(|| name.to_owned())
    }

    /// Whether what stands in a text's holes is made by functions of ours whose strings name an owner's column: `${ownFilter}` of
    /// `const { sql: ownFilter } = filterFor(userId)`.
    fn owner_in_helpers(&self, at: At, holes: &[At]) -> Scope {
        let Some(unit) = self.unit(at.module) else { return Scope::None };
        let made = |hole: &At| {
            let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(hole.expr) else { return Scope::None };
            let [source] = unit.index.sources(*id) else { return Scope::None };
            match self
                .callee(at.to(source.value))
                .filter(|callee| callee.certain)
                .map(|callee| callee.targets.as_slice())
            {
                Some([target]) => self.owner_in_strings(*target),
                _ => Scope::None,
            }
        };
        holes
            .iter()
            .filter(|hole| hole.module == at.module)
            .map(made)
            .find(|scope| *scope != Scope::None)
            .unwrap_or(Scope::None)
    }

    /// Whether the strings of a function name an owner's column: conditions that are put together. Optional when each stands
    /// in a branch.
    fn owner_in_strings(&self, fun: Fun) -> Scope {
        let Some(unit) = self.unit(fun.module) else { return Scope::None };
        let mut scope = Scope::None;
        walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
            let mut texts = Vec::new();
            match unit.ir.expr(expr) {
                ExprKind::String(text) => texts.push(*text),
                ExprKind::Template(parts) => texts.extend(parts.iter().filter_map(|part| match part {
                    TemplatePart::Text(text) => Some(*text),
                    TemplatePart::Value(_) => None,
                })),
                _ => return,
            }
            let names = texts.iter().any(|text| {
                let text = unit.ir.text(*text);
                text.contains('=')
                    && text
                        .split(|char: char| !(char.is_alphanumeric() || char == '_'))
                        .any(|word| level_of_column(word).is_some() || vocabulary::is_owner(word))
            });
            if names {
                let branch = unit.index.stmt_of(expr).is_some_and(|stmt| in_branch(unit, stmt));
                scope = if branch && scope != Scope::Owner { Scope::Optional } else { Scope::Owner };
            }
        });
        scope
    }
}

/// Whether a text is put into a variable to which more text is added later: `query = "SELECT …"`, `query += " AND …"`.
fn grows(unit: &Unit, text: crate::ir::ExprId) -> bool {
    let Parent::Stmt(stmt) = unit.index.parent(text) else { return false };
    let StmtKind::Assign { target, op: None, .. } = unit.ir.stmt(stmt) else { return false };
    target.as_binding().is_some_and(|id| unit.index.sources(id).iter().any(|source| source.updates))
}
