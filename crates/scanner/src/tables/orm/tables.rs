//! Tables that a call makes: Drizzle, Sequelize, Mongoose, SQLAlchemy's `Table`.

use rustc_hash::FxHashMap;

use super::{Model, callee, given, key, last_name, object_name, properties, property, string};
use crate::{
    ir::{Call, ExprId, ExprKind, Kinds, Module, NameRef, Pattern, StmtKind},
    lang::sql::{Column, Name},
};

/// The most calls of a chain such as `uuid("a").notNull().references(…)`.
const LONGEST: usize = 16;

pub(super) fn find(module: &Module) -> Vec<Model> {
    let mut found = Vec::new();
    let mut named: FxHashMap<ExprId, (&str, bool)> = FxHashMap::default();
    for (_, stmt) in module.stmts() {
        if let StmtKind::Assign { target: Pattern::Binding(binding), value, .. } = stmt {
            let table = inner(module, *value);
            if !matches!(module.expr(table), ExprKind::Call(_)) {
                continue;
            }
            named.insert(table, (module.binding_name(*binding), table != *value));
        }
    }
    for (id, expr) in module.exprs_of(Kinds::CALL) {
        let ExprKind::Call(call) = expr else { continue };
        let name = named.get(&id);
        if let Some(model) = model(module, call, name.map(|(name, _)| *name)) {
            let secured = name.is_some_and(|(_, secured)| *secured) || callee(module, call) == "withRLS";
            found.push(Model { at: module.span(id).start, secured, ..model });
        }
    }
    found
}

/// `pgTable(…).enableRLS()` is the table inside.
fn inner(module: &Module, id: ExprId) -> ExprId {
    if let ExprKind::Call(call) = module.expr(id)
        && let ExprKind::Member { object, property, .. } = module.expr(call.callee)
        && module.text(*property) == "enableRLS"
    {
        return *object;
    }
    id
}

fn model(module: &Module, call: &Call, code: Option<&str>) -> Option<Model> {
    let new = |code: Option<&str>, table: &str, columns: Vec<Column>| Model {
        code: code.unwrap_or(table).to_owned(),
        table: Name::bare(table),
        columns,
        at: 0,
        secured: false,
    };
    match callee(module, call) {
        "pgTable" | "mysqlTable" | "sqliteTable" | "table" | "withRLS" => {
            let name = string(module, call.positional(0)?)?;
            let columns = drizzle(module, call.positional(1)?);
            // Other libraries have a `table` too; these columns are calls.
            (!columns.is_empty()).then(|| new(code, name, columns))
        }
        "define" => {
            let name = string(module, call.positional(0)?)?;
            let columns = keys(module, call.positional(1)?);
            let table = call
                .positional(2)
                .and_then(|options| property(module, options, "tableName"))
                .and_then(|id| string(module, id));
            (!columns.is_empty()).then(|| new(code.or(Some(name)), table.unwrap_or(name), columns))
        }
        "init" => {
            let ExprKind::Member { object, .. } = module.expr(call.callee) else { return None };
            let options = call.positional(1)?;
            property(module, options, "sequelize")?;
            let class = last_name(module, *object).to_owned();
            let table = property(module, options, "tableName")
                .and_then(|id| string(module, id))
                .unwrap_or(&class)
                .to_owned();
            Some(new(Some(&class), &table, keys(module, call.positional(0)?)))
        }
        "model" => {
            let name = string(module, call.positional(0)?)?;
            let schema = schema(module, call.positional(1)?)?;
            Some(new(code.or(Some(name)), name, keys(module, schema)))
        }
        "Table" => {
            let name = string(module, call.positional(0)?)?;
            let columns: Vec<Column> =
                call.args.iter().filter_map(|arg| core_column(module, arg.value)).collect();
            (!columns.is_empty()).then(|| new(code, name, columns))
        }
        _ => None,
    }
}

/// The columns of Drizzle: `{ tenantId: uuid("tenant_id").notNull().references(() => tenants.id) }`.
fn drizzle(module: &Module, id: ExprId) -> Vec<Column> {
    let columns = properties(module, given(module, id)).iter().filter_map(|property| {
        let mut column =
            Column { name: key(module, property)?, kind: None, nullable: true, references: None };
        let mut at = property.value;
        for _ in 0..LONGEST {
            let ExprKind::Call(call) = module.expr(at) else { break };
            match callee(module, call) {
                "notNull" | "primaryKey" => column.nullable = false,
                "references" => {
                    let to = call.positional(0).and_then(|id| object_name(module, given(module, id)));
                    column.references = to.map(|to| Name::bare(&to));
                }
                _ => {}
            }
            if let ExprKind::Member { object, .. } = module.expr(call.callee)
                && matches!(module.expr(*object), ExprKind::Call(_))
            {
                at = *object;
                continue;
            }
            if let Some(name) = call.positional(0).and_then(|id| string(module, id)) {
                column.name = name.to_owned();
            }
            return Some(column);
        }
        None
    });
    columns.collect()
}

/// Columns named by the keys of an object, as in Sequelize and Mongoose.
fn keys(module: &Module, id: ExprId) -> Vec<Column> {
    let columns = properties(module, id).iter().filter_map(|entry| {
        let name =
            property(module, entry.value, "field").and_then(|id| string(module, id)).map(str::to_owned);
        let to = property(module, entry.value, "ref")
            .and_then(|id| string(module, id).map(str::to_owned))
            .or_else(|| {
                let references = property(module, entry.value, "references")?;
                property(module, references, "model")
                    .map(|id| string(module, id).unwrap_or_else(|| last_name(module, id)).to_owned())
            });
        let allow = property(module, entry.value, "allowNull")
            .map(|id| matches!(module.expr(id), ExprKind::Bool(false)));
        let required = property(module, entry.value, "required")
            .map(|id| matches!(module.expr(id), ExprKind::Bool(true)));
        Some(Column {
            name: name.or_else(|| key(module, entry))?,
            kind: None,
            nullable: !allow.or(required).unwrap_or(false),
            references: to.map(|to| Name::bare(&to)),
        })
    });
    columns.collect()
}

/// The object of `new Schema({…})`, there or where the name was assigned.
fn schema(module: &Module, id: ExprId) -> Option<ExprId> {
    let made = |id: ExprId| match module.expr(id) {
        ExprKind::Call(call) if callee(module, call) == "Schema" => call.positional(0),
        _ => None,
    };
    if let Some(found) = made(id) {
        return Some(found);
    }
    let ExprKind::Name(NameRef::Binding(name)) = module.expr(id) else { return None };
    module.stmts().find_map(|(_, stmt)| match stmt {
        StmtKind::Assign { target: Pattern::Binding(binding), value, .. } if binding == name => made(*value),
        _ => None,
    })
}

/// `Column("org_id", ForeignKey("orgs.id"), nullable=False)` of SQLAlchemy.
pub(super) fn core_column(module: &Module, id: ExprId) -> Option<Column> {
    let ExprKind::Call(call) = module.expr(id) else { return None };
    if !matches!(callee(module, call), "Column" | "mapped_column") {
        return None;
    }
    let name = call.positional(0).and_then(|id| string(module, id)).unwrap_or_default().to_owned();
    Some(Column {
        name,
        kind: None,
        nullable: !says(module, call, "nullable", false) && !says(module, call, "primary_key", true),
        references: foreign(module, call),
    })
}

/// Whether a call has a keyword with this truth.
pub(super) fn says(module: &Module, call: &Call, name: &str, value: bool) -> bool {
    call.args.iter().any(|arg| {
        matches!(arg.kind, crate::ir::ArgKind::Keyword(key) if module.text(key) == name)
            && matches!(module.expr(arg.value), ExprKind::Bool(found) if *found == value)
    })
}

/// The table of `ForeignKey("orgs.id")` among the arguments, or of `foreign_key="orgs.id"`.
pub(super) fn foreign(module: &Module, call: &Call) -> Option<Name> {
    call.args.iter().find_map(|arg| {
        let target = match (arg.kind, module.expr(arg.value)) {
            (crate::ir::ArgKind::Keyword(key), ExprKind::String(text))
                if module.text(key) == "foreign_key" =>
            {
                module.text(*text)
            }
            (_, ExprKind::Call(inner)) if callee(module, inner) == "ForeignKey" => {
                let target = inner.positional(0)?;
                match string(module, target) {
                    Some(text) => text,
                    None => return object_name(module, target).map(|name| Name::bare(&name)),
                }
            }
            _ => return None,
        };
        let mut parts = target.rsplit('.');
        parts.next()?;
        let name = parts.next().unwrap_or(target);
        Some(Name { schema: parts.next().map(str::to_owned), name: name.to_owned() })
    })
}
