//! Queries that are told whose rows they are about by their first argument: of TypeORM's and MikroORM's managers, `em.findOne(Note, { id })`,
//! and of SQLAlchemy Core's tables, `select(notes)`, `notes.delete()`.

use super::Owned;
use crate::{
    ir::{Call, ExprKind, Language, NameRef, PropertyKey},
    lang::sql::Verb,
    project::{At, Project, Word},
    tables::level_of_column,
    vocabulary,
};

/// Methods of managers, and what they do.
const OF_MANAGERS: &[(&str, Verb)] = &[
    ("find", Verb::Select),
    ("findBy", Verb::Select),
    ("findOne", Verb::Select),
    ("findOneBy", Verb::Select),
    ("findOneOrFail", Verb::Select),
    ("findOneByOrFail", Verb::Select),
    ("findAndCount", Verb::Select),
    ("findAndCountBy", Verb::Select),
    ("nativeUpdate", Verb::Update),
    ("update", Verb::Update),
    ("nativeDelete", Verb::Delete),
    ("delete", Verb::Delete),
    ("softDelete", Verb::Delete),
];

/// Statements of SQLAlchemy, as functions and as methods of tables.
const STATEMENTS: &[(&str, Verb)] =
    &[("select", Verb::Select), ("update", Verb::Update), ("delete", Verb::Delete)];

/// Methods that make an index over fields of a collection of documents.
const INDEXES: &[&str] = &["createIndex", "create_index", "ensureIndex", "ensure_index"];

impl Project {
    /// The entity of a call of a manager of all entities, and what it does: `em.findOne(Note, { id })`, `manager.delete(Note, id)`.
    pub(super) fn of_manager(&self, at: At, call: &Call, path: &[Word]) -> Option<(String, Verb)> {
        let [.., receiver, name] = path else { return None };
        let (_, verb) = OF_MANAGERS.iter().find(|(own, _)| *own == name.as_str())?;
        if !keeps_entities(receiver) {
            return None;
        }
        let entity = self.written_as_exported(at.to(call.positional(0)?)).pop()?;
        let class = entity.starts_with(char::is_uppercase) && entity.contains(char::is_lowercase);
        class.then(|| (entity.to_string(), *verb))
    }

    /// The table of a statement of SQLAlchemy Core, and what it does.
    pub(super) fn core_query(&self, at: At, call: &Call, path: &[Word]) -> Option<(String, Verb)> {
        let unit = self.unit(at.module).filter(|unit| unit.ir.language == Language::Python)?;
        let (_, verb) = STATEMENTS.iter().find(|(own, _)| *own == path.last().map_or("", Word::as_str))?;
        if let ExprKind::Member { object, .. } = unit.ir.expr(call.callee)
            && let Some(table) = self.core_table(at.to(*object))
        {
            return Some((table, *verb));
        }
        self.core_table(at.to(call.positional(0)?)).map(|table| (table, *verb))
    }

    /// The name of the table that an expression is or takes a column of: `notes`, `notes.c.title`, of `notes = Table("notes", …)`.
    fn core_table(&self, at: At) -> Option<String> {
        let unit = self.unit(at.module)?;
        let mut here = at.expr;
        for _ in 0..4 {
            match unit.ir.expr(here) {
                ExprKind::Member { object, .. } => here = *object,
                ExprKind::Name(NameRef::Binding(id)) => {
                    let (module, id) = self.declared(at.module, *id).unwrap_or((at.module, *id));
                    let home = self.unit(module)?;
                    let [source] = home.index.sources(id) else { return None };
                    let ExprKind::Call(made) = home.ir.expr(source.value) else { return None };
                    if self.last_written(At { module, expr: made.callee }) != Some("Table") {
                        return None;
                    }
                    let ExprKind::String(name) = home.ir.expr(made.positional(0)?) else { return None };
                    return Some(home.ir.text(*name).to_owned());
                }
                _ => return None,
            }
        }
        None
    }

    /// Notes the collections of documents with an index over an owner's field: `notes.createIndex({ tenantId: 1 })`.
    pub(super) fn indexed_collections(&self, note: &mut impl FnMut(&str, Owned)) {
        for (module, unit) in self.units() {
            for expr in &unit.index.calls {
                let at = At { module, expr: *expr };
                let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
                let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { continue };
                if !INDEXES.contains(&unit.ir.text(*property)) {
                    continue;
                }
                let owned = call.positional(0).is_some_and(|fields| self.has_owners_field(at.to(fields)));
                let named = || {
                    self.collection(at.to(*object))
                        .or_else(|| self.written(at.to(*object)).pop().map(String::from))
                };
                if let Some(name) = owned.then(named).flatten() {
                    note(&name, Owned::Yes);
                }
            }
        }
    }

    /// Whether the fields of an index have an owner's among them: `{ tenantId: 1 }`, `"tenant_id"`, `[("tenant_id", 1)]`.
    fn has_owners_field(&self, fields: At) -> bool {
        let Some(unit) = self.unit(fields.module) else { return false };
        let own = |name: &str| level_of_column(name).is_some();
        match unit.ir.expr(fields.expr) {
            ExprKind::String(text) => own(unit.ir.text(*text)),
            ExprKind::Object(properties) => properties
                .iter()
                .any(|property| matches!(property.key, PropertyKey::Name(name) if own(unit.ir.text(name)))),
            ExprKind::Array { items, .. } => items.iter().any(|item| match unit.ir.expr(*item) {
                ExprKind::String(text) => own(unit.ir.text(*text)),
                ExprKind::Array { items, .. } => items.first().is_some_and(
                    |first| matches!(unit.ir.expr(*first), ExprKind::String(text) if own(unit.ir.text(*text))),
                ),
                _ => false,
            }),
            _ => false,
        }
    }
}

/// Whether a name is that of what asks for rows of all entities: `em`, `entityManager`, `dataSource.manager`, `orm.em.fork()`.
fn keeps_entities(name: &str) -> bool {
    let words = vocabulary::words(name);
    matches!(words.as_slice(), [word] if word == "em" || word == "fork")
        || words.last().is_some_and(|last| last == "manager" || last == "em")
            && words.iter().all(|word| {
                matches!(word.as_str(), "entity" | "manager" | "em" | "transactional" | "trx" | "tx")
            })
}
