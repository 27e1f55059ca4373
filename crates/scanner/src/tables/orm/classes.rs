//! Models that are classes: TypeORM, MikroORM, SQLAlchemy, SQLModel, Django, Tortoise, Peewee, Beanie.

use super::{
    Model, callee, given, last_name, property, string,
    tables::{core_column, foreign, says},
};
use crate::{
    ir::{Call, Class, ExprKind, Field, Language, Module},
    lang::sql::{Column, Name},
    vocabulary,
};

pub(super) fn find(module: &Module) -> Vec<Model> {
    module.classes().filter_map(|(_, class)| model(module, class)).collect()
}

fn model(module: &Module, class: &Class) -> Option<Model> {
    let code = module.text(class.name?).to_owned();
    let (table, columns) = entity(module, class, &code)
        .or_else(|| declared(module, class, &code))
        .or_else(|| sqlmodel(module, class, &code))
        .or_else(|| django(module, class, &code))
        .or_else(|| document(module, class, &code))?;
    (!columns.is_empty()).then_some(Model { code, table, columns, at: class.span.start, secured: false })
}

fn decorator<'m>(module: &'m Module, field: &Field, names: &[&str]) -> Option<&'m Call> {
    field.decorators.iter().find_map(|id| match module.expr(*id) {
        ExprKind::Call(call) if names.contains(&callee(module, call)) => Some(&**call),
        _ => None,
    })
}

/// `@Entity("name") class Doc { @Column() orgId: string; @ManyToOne(() => Org) org: Org }`
fn entity(module: &Module, class: &Class, code: &str) -> Option<(Name, Vec<Column>)> {
    let call = class.decorators.iter().find_map(|id| match module.expr(*id) {
        ExprKind::Call(call) if matches!(callee(module, call), "Entity" | "Table") => Some(call),
        _ => None,
    })?;
    let options = call.positional(0);
    let named = options.and_then(|id| {
        string(module, id).or_else(|| {
            ["name", "tableName"]
                .iter()
                .find_map(|key| property(module, id, key))
                .and_then(|id| string(module, id))
        })
    });
    let mut columns = Vec::new();
    for field in &class.fields {
        let name = module.text(field.name).to_owned();
        let columns_of = [
            "Column",
            "PrimaryColumn",
            "PrimaryGeneratedColumn",
            "Property",
            "PrimaryKey",
            "TenantId",
            "ForeignKey",
        ];
        if let Some(call) = decorator(module, field, &columns_of) {
            let options = call.args.iter().map(|arg| arg.value);
            let given = options.clone().find_map(|id| {
                ["name", "fieldName", "field"].iter().find_map(|key| property(module, id, key))
            });
            let nullable = options.clone().find_map(|id| {
                property(module, id, "nullable").or_else(|| property(module, id, "allowNull"))
            });
            columns.push(Column {
                name: given.and_then(|id| string(module, id)).unwrap_or(&name).to_owned(),
                kind: None,
                nullable: nullable.is_some_and(|id| matches!(module.expr(id), ExprKind::Bool(true))),
                references: None,
            });
        } else if let Some(call) = decorator(module, field, &["ManyToOne", "OneToOne", "BelongsTo"]) {
            let to = call.positional(0).map(|id| last_name(module, given(module, id)).to_owned());
            let joined = decorator(module, field, &["JoinColumn"])
                .and_then(|call| property(module, call.positional(0)?, "name"))
                .and_then(|id| string(module, id));
            columns.push(Column {
                name: joined.map_or_else(|| format!("{name}Id"), str::to_owned),
                kind: None,
                nullable: false,
                references: to.map(|to| Name::bare(&to)),
            });
        }
    }
    Some((Name::bare(named.unwrap_or(code)), columns))
}

/// `class Doc(Base): __tablename__ = "docs"; org_id = Column(ForeignKey("orgs.id"))`
fn declared(module: &Module, class: &Class, code: &str) -> Option<(Name, Vec<Column>)> {
    let table = class.fields.iter().find(|field| module.text(field.name) == "__tablename__");
    let table = match table {
        Some(table) => table.value.and_then(|id| string(module, id))?.to_owned(),
        None if is_flasks(module, class) => vocabulary::words(code).join("_"),
        None => return None,
    };
    let columns = class.fields.iter().filter_map(|field| {
        let name = module.text(field.name).to_owned();
        if let Some(mut column) = field.value.and_then(|id| core_column(module, id)) {
            if column.name.is_empty() {
                column.name = name;
            }
            return Some(column);
        }
        let kind = module.text(field.type_text?);
        let plain = kind.starts_with("Mapped[") && field.value.is_none();
        let keyed = match module.expr(field.value?) {
            ExprKind::Call(call) if callee(module, call) == "Field" => foreign(module, call),
            _ if plain => None,
            _ => return None,
        };
        Some(Column {
            name,
            kind: None,
            nullable: kind.contains("None") || kind.contains("Optional"),
            references: keyed,
        })
    });
    let mut columns: Vec<Column> = columns.collect();
    // `org_id: Mapped[str]` without a value.
    for field in class.fields.iter().filter(|field| field.value.is_none()) {
        let kind = field.type_text.map_or("", |kind| module.text(kind));
        let inner = kind.strip_prefix("Mapped[").unwrap_or_default();
        // A relation to another model begins with a capital letter.
        if inner.starts_with(|c: char| c.is_ascii_lowercase())
            || inner.starts_with("UUID")
            || inner.starts_with("Optional[")
        {
            columns.push(Column {
                name: module.text(field.name).to_owned(),
                kind: None,
                nullable: kind.contains("None"),
                references: None,
            });
        }
    }
    Some((Name::bare(&table), columns))
}

/// `class Doc(db.Model)` of Flask-SQLAlchemy, which names the table by itself.
fn is_flasks(module: &Module, class: &Class) -> bool {
    let base = class.bases.iter().any(|id| {
        matches!(module.expr(*id), ExprKind::Member { object, property, .. }
            if module.text(*property) == "Model" && last_name(module, *object) == "db")
    });
    base && !class.fields.iter().any(|field| module.text(field.name) == "__abstract__")
        && class.fields.iter().any(|field| field.value.is_some_and(|id| core_column(module, id).is_some()))
}

/// `class Doc(SQLModel, table=True): org_id: int = Field(foreign_key="org.id")`
fn sqlmodel(module: &Module, class: &Class, code: &str) -> Option<(Name, Vec<Column>)> {
    if module.language != Language::Python {
        return None;
    }
    let head: String = module.snippet(class.span).lines().take(4).collect::<Vec<_>>().join(" ");
    let head = head.split_once("):").map_or(head.as_str(), |(head, _)| head).replace(' ', "");
    if !head.contains("table=True") {
        return None;
    }
    let columns = class.fields.iter().filter(|field| field.type_text.is_some()).filter_map(|field| {
        let kind = module.text(field.type_text?);
        let call = field.value.and_then(|id| match module.expr(id) {
            ExprKind::Call(call) => Some(call),
            _ => None,
        });
        if call.is_some_and(|call| callee(module, call) == "Relationship") {
            return None;
        }
        Some(Column {
            name: module.text(field.name).to_owned(),
            kind: None,
            nullable: kind.contains("None") || kind.contains("Optional"),
            references: call.and_then(|call| foreign(module, call)),
        })
    });
    Some((Name::bare(&code.to_lowercase()), columns.collect()))
}

/// `class Doc(models.Model): org = models.ForeignKey(Org, on_delete=…)`, and Tortoise and Peewee.
fn django(module: &Module, class: &Class, code: &str) -> Option<(Name, Vec<Column>)> {
    if class.bases.is_empty() {
        return None;
    }
    let columns: Vec<Column> = class
        .fields
        .iter()
        .filter_map(|field| {
            let ExprKind::Call(call) = module.expr(field.value?) else { return None };
            let kind = callee(module, call);
            let name = module.text(field.name);
            let relation = matches!(kind, "ForeignKey" | "OneToOneField" | "ForeignKeyField");
            // `Field` itself is pydantic's.
            if !relation && (!kind.ends_with("Field") || kind == "Field" || kind == "ManyToManyField") {
                return None;
            }
            let to = call
                .positional(0)
                .filter(|_| relation)
                .map(|id| string(module, id).unwrap_or_else(|| last_name(module, id)));
            let to = to.map(|to| to.rsplit('.').next().unwrap_or(to).to_owned());
            Some(Column {
                name: if relation && !name.ends_with("_id") { format!("{name}_id") } else { name.to_owned() },
                kind: None,
                nullable: says(module, call, "null", true),
                references: to.map(|to| Name::bare(&to)),
            })
        })
        .collect();
    let model = class.bases.iter().any(|id| {
        let base = last_name(module, *id);
        base.ends_with("Model") || base.contains("Model")
    });
    // Forms and serialisers have fields too; a model's base says that it is one.
    model.then(|| (Name::bare(code), columns))
}

/// `class Doc(Document): org_id: str` of Beanie and MongoEngine.
fn document(module: &Module, class: &Class, code: &str) -> Option<(Name, Vec<Column>)> {
    if !class.bases.iter().any(|id| matches!(last_name(module, *id), "Document" | "DynamicDocument")) {
        return None;
    }
    let columns =
        class.fields.iter().filter(|field| field.type_text.is_some() || field.value.is_some()).map(|field| {
            Column {
                name: module.text(field.name).to_owned(),
                kind: None,
                nullable: field.type_text.is_some_and(|kind| module.text(kind).contains("None")),
                references: None,
            }
        });
    Some((Name::bare(code), columns.collect()))
}
