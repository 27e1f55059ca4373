//! Queries that are methods of a model class, of a collection of documents, or functions that look one row up.

use super::{models::is_model, names::is_class};
use crate::{
    ir::{Call, ExprId, ExprKind, Language, NameRef},
    lang::sql::Verb,
    library::Role,
    project::{At, Parent, Project, Symbol, Word},
};

/// Methods of model classes that begin a query: `Note.get(…)`, `Note.filter(…)`, `Note.delete()`.
const BEGIN: &[(&str, Verb)] = &[
    ("get", Verb::Select),
    ("get_or_none", Verb::Select),
    ("get_by_id", Verb::Select),
    ("filter", Verb::Select),
    ("exclude", Verb::Select),
    ("select", Verb::Select),
    ("find", Verb::Select),
    ("find_one", Verb::Select),
    ("find_all", Verb::Select),
    ("delete", Verb::Delete),
    ("update", Verb::Update),
];

/// Methods of an entity's class that begin a query, where rows are asked of the class itself: `Note.findBy({ id })`.
const OF_ENTITY: &[(&str, Verb)] = &[
    ("find", Verb::Select),
    ("findBy", Verb::Select),
    ("findOne", Verb::Select),
    ("findOneBy", Verb::Select),
    ("findOneOrFail", Verb::Select),
    ("findOrFail", Verb::Select),
    ("findByOrFail", Verb::Select),
    ("findOneByOrFail", Verb::Select),
    ("findAndCount", Verb::Select),
    ("findAndCountBy", Verb::Select),
    ("count", Verb::Select),
    ("countBy", Verb::Select),
    ("createQueryBuilder", Verb::Select),
    ("update", Verb::Update),
    ("delete", Verb::Delete),
    ("softDelete", Verb::Delete),
];

/// Functions that look up the row of a model that is their first argument.
const LOOKUPS: &[&str] = &["get_object_or_404", "aget_object_or_404", "get_list_or_404", "get_or_404"];

/// Methods of the query that a model class of Flask-SQLAlchemy has.
const QUERY: &[&str] = &[
    "get",
    "get_or_404",
    "one_or_404",
    "first_or_404",
    "filter",
    "filter_by",
    "first",
    "all",
    "order_by",
    "join",
    "options",
    "paginate",
    "count",
    "where",
];

/// Calls that give a collection by its name.
const COLLECTIONS: &[&str] = &[
    "collection",
    "get_collection",
    "getCollection",
    "Collection",
    "get_or_create_collection",
    "create_collection",
    "getOrCreateCollection",
    "Table",
    "index",
    "initIndex",
    "openTable",
    "open_table",
];

impl Project {
    /// The model or collection of a call that is such a query, and what it does.
    pub(super) fn document_query(&self, at: At, call: &Call, path: &[Word]) -> Option<(String, Verb)> {
        let unit = self.unit(at.module)?;
        let name = path.last()?.as_str();
        if let Some(found) = self.query_of_model(at, call, name) {
            return Some(found);
        }
        if let Some(found) = self.query_built(at, call, name) {
            return Some(found);
        }
        if LOOKUPS.contains(&name) {
            let model = self.written(at.to(call.positional(0)?));
            return Some((model.first()?.to_string(), Verb::Select));
        }
        let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
        if let Some((_, verb)) = BEGIN.iter().find(|(own, _)| *own == name)
            && let Some(model) = self.model_of(at.to(*object))
        {
            return Some((model, ends_in(self, at).unwrap_or(*verb)));
        }
        if let Some((_, verb)) = OF_ENTITY.iter().find(|(own, _)| *own == name)
            && let Some(entity) = self.active_record(at.to(*object))
        {
            return Some((entity, *verb));
        }
        let verb = match name {
            "find" | "find_one" | "findOne" | "count_documents" | "countDocuments" | "aggregate" => {
                Verb::Select
            }
            "delete_one" | "deleteOne" | "delete_many" | "deleteMany" | "find_one_and_delete" => Verb::Delete,
            "update_one"
            | "updateOne"
            | "update_many"
            | "updateMany"
            | "find_one_and_update"
            | "replace_one" => Verb::Update,
            "insert_one" | "insertOne" | "insert_many" | "insertMany" => Verb::Insert,
            _ => return None,
        };
        // `list.find(item => …)` and `text.find("a")` search a value.
        let filtered = call.positional(0).is_none_or(|first| {
            matches!(unit.ir.expr(first), ExprKind::Object(_) | ExprKind::Array { .. })
                || (name != "find" && !matches!(unit.ir.expr(first), ExprKind::Function(_)))
        });
        if !filtered {
            return None;
        }
        let collection = self.collection(at.to(*object));
        collection
            .or_else(|| (path.len() > 1).then(|| path.iter().rev().nth(1).map(Word::to_string)).flatten())
            .map(|entity| (entity, verb))
    }

    /// The model of a query that begins with the model's own: `Invoice.query.filter_by(…)`, `Invoice.query.get_or_404(id)`.
    fn query_of_model(&self, at: At, call: &Call, name: &str) -> Option<(String, Verb)> {
        let unit = self.unit(at.module)?;
        let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
        // `query = Invoice.query`, and later `query.order_by(…).all()`
        let object = match unit.ir.expr(*object) {
            ExprKind::Name(NameRef::Binding(id))
                if unit.ir.language == Language::Python && !unit.ir.is_module_level(*id) =>
            {
                unit.index.sources(*id).first().filter(|source| source.path.is_empty())?.value
            }
            _ => *object,
        };
        let ExprKind::Member { object: model, property, .. } = unit.ir.expr(object) else { return None };
        let begins = unit.ir.text(*property) == "query" && QUERY.contains(&name);
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*model) else { return None };
        let model = unit.ir.binding_name(*id);
        (begins && is_class(model)).then(|| (model.to_owned(), ends_in(self, at).unwrap_or(Verb::Select)))
    }

    /// The model of a query that a call without arguments begins and a chain goes on with: `Invoice.query().where("id", id).first()` of
    /// Objection and Lucid.
    fn query_built(&self, at: At, call: &Call, name: &str) -> Option<(String, Verb)> {
        let unit = self.unit(at.module)?;
        let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(*object) else { return None };
        let model = unit.ir.binding_name(*id);
        if name != "query"
            || !call.args.is_empty()
            || !is_class(model)
            || unit.ir.language != Language::JavaScript
        {
            return None;
        }
        let Parent::Expr(up) = unit.index.parent(at.expr) else { return None };
        let ExprKind::Member { property, .. } = unit.ir.expr(up) else { return None };
        let verb = match unit.ir.text(*property) {
            "where" | "findById" | "findOne" | "first" | "preload" | "select" | "withGraphFetched"
            | "andWhere" | "whereIn" | "findByIds" => Verb::Select,
            "patch" | "update" | "patchAndFetchById" | "updateAndFetchById" => Verb::Update,
            "delete" | "deleteById" => Verb::Delete,
            _ => return None,
        };
        Some((model.to_owned(), ends_in(self, at).unwrap_or(verb)))
    }

    /// The collection of a call that libraries say is a query of a store of vectors or documents, and what it does.
    pub(super) fn store_query(&self, at: At) -> Option<(String, Verb)> {
        let callee = self.callee(at)?;
        let def = callee
            .defs
            .iter()
            .find(|def| def.role == Role::Query && def.sql.is_none() && def.table.is_some())?;
        // What a function lets through is not read.
        let passes = def.filter.as_ref().is_some_and(|place| {
            self.at_place(at, place).into_iter().any(|own| {
                matches!(
                    self.unit(own.module).map(|unit| unit.ir.expr(own.expr)),
                    Some(ExprKind::Function(_))
                )
            })
        });
        if passes {
            return None;
        }
        let place = self.at_place(at, def.table.as_ref()?).into_iter().next()?;
        let named = text(self, place).or_else(|| self.collection(place));
        let entity = named.or_else(|| self.written(place).pop().map(String::from))?;
        let verb = match def.kind.as_deref() {
            Some("write") => Verb::Insert,
            Some("update") => Verb::Update,
            Some("delete") => Verb::Delete,
            _ => Verb::Select,
        };
        Some((entity, verb))
    }

    /// The name of the model class that an expression is.
    fn model_of(&self, at: At) -> Option<String> {
        let unit = self.unit(at.module)?;
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(at.expr) else { return None };
        match self.symbol(at) {
            Symbol::Class(class) => {
                let home = self.unit(class.module)?;
                let decl = home.ir.class(class.id)?;
                is_model(home, decl).then(|| self.class_name(class).to_owned())
            }
            // A model of a module that was not read: `from .models import Note`.
            Symbol::External { package, .. } => {
                let named = unit.ir.binding_name(*id);
                let model = package.rsplit(['.', '/']).next().is_some_and(|last| last.starts_with("model"));
                (model && named.starts_with(char::is_uppercase)).then(|| named.to_owned())
            }
            _ => None,
        }
    }

    /// The name of the entity that an expression is, when its class extends the base of those whose class is asked for rows.
    fn active_record(&self, at: At) -> Option<String> {
        let class = match self.symbol(at) {
            Symbol::Class(class) => class,
            // An entity of a module that was not read: `import { Note } from "../entities/note"`.
            Symbol::External { package, .. } => {
                let name = self.last_written(at).filter(|name| name.starts_with(char::is_uppercase))?;
                let entity =
                    package.starts_with('.') && package.split('/').any(|part| part.starts_with("entit"));
                return entity.then(|| name.to_owned());
            }
            _ => return None,
        };
        let home = self.unit(class.module).filter(|home| home.ir.language == Language::JavaScript)?;
        let base = |base: &ExprId| {
            let name = self.written_as_exported(At { module: class.module, expr: *base }).pop();
            name.is_some_and(|name| matches!(name.as_str(), "BaseEntity" | "BaseModel"))
        };
        home.ir.class(class.id)?.bases.iter().any(base).then(|| self.class_name(class).to_owned())
    }

    /// The name of the collection that an expression is: `db.collection("notes")`, or a variable that was set to one.
    pub(super) fn collection(&self, at: At) -> Option<String> {
        let unit = self.unit(at.module)?;
        match unit.ir.expr(at.expr) {
            ExprKind::Call(call) => {
                let name = self.written(at.to(call.callee)).pop()?;
                // `index.namespace(tenantId)` is a part of the index.
                if let ExprKind::Member { object, .. } = unit.ir.expr(call.callee)
                    && name == "namespace"
                {
                    return self.collection(at.to(*object));
                }
                let first = call.positional(0).filter(|_| COLLECTIONS.contains(&name.as_str()))?;
                text(self, at.to(first))
            }
            ExprKind::Await(value) => self.collection(at.to(*value)),
            ExprKind::Name(NameRef::Binding(id)) => {
                let (module, id) = self.declared(at.module, *id).unwrap_or((at.module, *id));
                let home = self.unit(module)?;
                let [source] = home.index.sources(id) else { return None };
                let value = At { module, expr: source.value };
                match home.ir.expr(source.value) {
                    ExprKind::Call(_) | ExprKind::Await(_) => self.collection(value),
                    ExprKind::Index { index, .. } if source.path.is_empty() => text(self, value.to(*index)),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

fn text(project: &Project, at: At) -> Option<String> {
    let unit = project.unit(at.module)?;
    match unit.ir.expr(at.expr) {
        ExprKind::String(text) => Some(unit.ir.text(*text).to_owned()),
        _ => None,
    }
}

/// What a chain does in the end: `Note.filter(…).delete()`.
fn ends_in(project: &Project, at: At) -> Option<Verb> {
    let unit = project.unit(at.module)?;
    let chain: ExprId = super::chains::outermost(unit, at.expr);
    match project.written(at.to(chain)).last()?.as_str() {
        "delete" => Some(Verb::Delete),
        "update" => Some(Verb::Update),
        _ => None,
    }
}
