//! Queries: SQL in strings and calls of ORMs, whether they name an owner, and which entities have one.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    chains::{innermost, is_whole, outermost},
    models::models,
    named::Names,
    repositories::is_repository,
    singular,
};
use crate::{
    ir::{BinaryOp, ExprKind, Kinds, NameRef, StmtKind, walk},
    lang::sql::Verb,
    project::{At, Fun, Parent, Project, Unit, Word},
    tables::level_of_table,
    vocabulary,
};

/// A query of rows.
#[derive(Debug, Clone)]
pub struct Query {
    /// The call or the text.
    pub at: At,
    /// The function that it stands in.
    pub function: Fun,
    /// The table or model, in lower case and the singular.
    pub entity: String,
    /// The entity as it is written.
    pub shown: String,
    /// What it does.
    pub verb: Verb,
    /// How its owner is named.
    pub scope: Scope,
    /// The values that it filters by, as far as they are known.
    pub filters: Vec<At>,
    /// Whether it was read from SQL.
    pub is_sql: bool,
    /// Whether SQL lists a column for an owner among those that it reads.
    pub shows_owner: bool,
    /// Whether it names a tenant in the project's own word, see `Project::tenant_words`.
    pub tied: bool,
    /// The columns that SQL tests in every case.
    pub tests: Vec<String>,
    /// Whether a row that is there already is written over, whosever it is: it is found by an id that is no owner's.
    pub overwrites: bool,
}

/// How a query names the owner of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// It does.
    Owner,
    /// Only when a value is given.
    Optional,
    /// It does not.
    None,
}

/// Whether rows of an entity belong to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owned {
    /// Its table or model has no owner.
    No,
    /// Nothing is known.
    Unknown,
    /// A query lists an owner among its columns, or puts one in.
    Listed,
    /// Other queries of it name an owner.
    Sibling,
    /// Its table or model has an owner.
    Yes,
}

/// Methods of ORMs and repositories that read or write rows, by what they do.
const METHODS: &[(&str, Verb)] = &[
    ("findUnique", Verb::Select),
    ("findUniqueOrThrow", Verb::Select),
    ("findFirst", Verb::Select),
    ("findFirstOrThrow", Verb::Select),
    ("findMany", Verb::Select),
    ("findOne", Verb::Select),
    ("findOneBy", Verb::Select),
    ("findById", Verb::Select),
    ("findByPk", Verb::Select),
    ("findAll", Verb::Select),
    ("findOneOrFail", Verb::Select),
    ("findByIdAndUpdate", Verb::Update),
    ("findByIdAndDelete", Verb::Delete),
    ("findOneAndUpdate", Verb::Update),
    ("findOneAndDelete", Verb::Delete),
    ("updateMany", Verb::Update),
    ("updateOne", Verb::Update),
    ("deleteMany", Verb::Delete),
    ("deleteOne", Verb::Delete),
    ("destroy", Verb::Delete),
    ("countDocuments", Verb::Select),
    ("find_one", Verb::Select),
    ("find_one_and_update", Verb::Update),
    ("update_one", Verb::Update),
    ("update_many", Verb::Update),
    ("delete_one", Verb::Delete),
    ("delete_many", Verb::Delete),
    ("get_or_none", Verb::Select),
    ("get_by_id", Verb::Select),
    ("getById", Verb::Select),
    ("deleteById", Verb::Delete),
    ("updateById", Verb::Update),
    ("delete_by_id", Verb::Delete),
    ("one", Verb::Select),
    ("one_or_none", Verb::Select),
    ("getOne", Verb::Select),
    ("find_by_id", Verb::Select),
];

impl Project {
    /// All queries.
    #[must_use]
    pub fn queries(&self) -> &[Query] {
        self.memory.queries.get_or_init(|| self.find_queries())
    }

    fn find_queries(&self) -> Vec<Query> {
        let mut all = Vec::new();
        let words = self.tenant_words();
        for (module, unit) in self.units() {
            for (id, expr) in unit.ir.exprs_of(Kinds::TEXT | Kinds::CALL) {
                let at = At { module, expr: id };
                match expr {
                    ExprKind::String(_)
                    | ExprKind::Template(_)
                    | ExprKind::Tagged { .. }
                    | ExprKind::Binary { op: BinaryOp::Add, .. }
                        if is_whole(unit, id) =>
                    {
                        self.sql_queries(at, words, &mut all);
                    }
                    ExprKind::Call(_) => self.orm_query(at, words, &mut all),
                    _ => {}
                }
            }
        }
        self.named_by_persons(&mut all);
        all
    }

    fn orm_query(&self, at: At, words: &BTreeSet<String>, all: &mut Vec<Query>) {
        let Some(unit) = self.unit(at.module) else { return };
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return };
        let path = self.written(at.to(call.callee));
        let Some((entity, verb)) = self.orm_entity(unit, at, call, &path) else {
            self.repository_call(at, call, &path, all);
            return;
        };
        let chain = outermost(unit, at.expr);
        let mut names = self.names_of(at.to(chain), &entity, words);
        // `query = select(X)` goes on in other statements, and so does `query = undeleted(select(X))`.
        let mut whole = chain;
        for _ in 0..3 {
            let Parent::Expr(up) = unit.index.parent(whole) else { break };
            if !matches!(unit.ir.expr(up), ExprKind::Call(call) if call.callee != whole) {
                break;
            }
            whole = outermost(unit, up);
        }
        if let Parent::Stmt(stmt) = unit.index.parent(whole)
            && let StmtKind::Assign { target, .. } = unit.ir.stmt(stmt)
            && let Some(id) = target.as_binding()
        {
            let fun = unit.index.function(chain);
            for used in unit.index.uses(id).iter().filter(|used| unit.index.function(**used) == fun).take(12)
            {
                let next = outermost(unit, *used);
                if self.assigns_back(unit, next, id) {
                    self.names_in(at.to(next), 3, &mut names);
                }
            }
        }
        // What the chain is called on, a connection or a context that has one, is no value that rows are found by.
        let root = innermost(unit, chain);
        // `index = index_of(user_id)`: a store of vectors that was opened for somebody holds nobody else's.
        // What stands around all functions was opened for nobody: `const Note = model("Note", new Schema({ userId: String }))`.
        if self.store_query(at).is_some()
            && let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(root)
            && !unit.ir.is_module_level(*id)
        {
            for source in unit.index.sources(*id).iter().take(2) {
                walk::exprs_below(&unit.ir, source.value, &mut |expr| {
                    if let ExprKind::Call(call) = unit.ir.expr(expr) {
                        call.args.iter().for_each(|arg| self.names_in(at.to(arg.value), 1, &mut names));
                    }
                });
            }
        }
        names.values.retain(|value| value.expr != root);
        names.owner = names.owner || super::builders::is_scoped_around(self, unit, at.to(chain));
        let scope = match (names.owner, self.asks_only_when_given(at.to(chain))) {
            (false, _) => Scope::None,
            (true, true) => Scope::Optional,
            (true, false) => Scope::Owner,
        };
        if scope == Scope::None && self.asked_by_callers(at.to(chain), (&entity, verb), words, all) {
            return;
        }
        all.push(Query {
            at: at.to(chain),
            function: self.function_of(at),
            entity: singular(&entity),
            shown: entity,
            verb,
            scope,
            filters: names.values,
            is_sql: super::builders::built(unit, at.expr, call, &path).is_some(),
            shows_owner: false,
            tied: names.tied,
            tests: Vec::new(),
            overwrites: false,
        });
    }

    /// A call of a repository's own method that names an owner, `notes.of_tenant(tenant_id)`: its rows have one.
    fn repository_call(&self, at: At, call: &crate::ir::Call, path: &[Word], all: &mut Vec<Query>) {
        let Some(receiver) = path.iter().rev().nth(1).filter(|receiver| is_repository(receiver)) else {
            return;
        };
        let entity = self.repository_entity(at, call).unwrap_or_else(|| self.nameless(at, receiver));
        let mut names = Names::default();
        call.args.iter().for_each(|arg| self.names_in(at.to(arg.value), 2, &mut names));
        if !names.owner {
            return;
        }
        all.push(Query {
            at,
            function: self.function_of(at),
            entity: singular(&entity),
            shown: receiver.to_string(),
            verb: Verb::Select,
            scope: Scope::Owner,
            filters: names.values,
            is_sql: false,
            shows_owner: false,
            tied: false,
            tests: Vec::new(),
            overwrites: false,
        });
    }

    /// What stands for the rows of a repository that nothing names: those of the class or file that it is used in.
    fn nameless(&self, at: At, receiver: &str) -> String {
        let class = self.this_of(self.function_of(at)).map(|class| self.class_name(class).to_owned());
        let file = || {
            let path = self.unit(at.module).map_or("", |unit| unit.ir.path.as_str());
            path.rsplit_once('.').map_or(path, |(stem, _)| stem).to_owned()
        };
        format!("{}.{receiver}", class.unwrap_or_else(file))
    }

    /// The model or table of a call that starts a query.
    #[expect(clippy::too_many_lines, reason = "one question after the other about one chain of calls")]
    fn orm_entity(
        &self,
        unit: &Unit,
        at: At,
        call: &crate::ir::Call,
        path: &[Word],
    ) -> Option<(String, Verb)> {
        let name = path.last()?.as_str();
        if let Some(found) = self.of_manager(at, call, path).or_else(|| self.core_query(at, call, path)) {
            return Some(found);
        }
        if let Some(verb) = of_repository(name)
            && let Some(entity) = self.got_repository(unit, at, call)
        {
            return Some((entity, verb));
        }
        let said = self.said_in_argument(at, call, name);
        if let Some((shown, verb)) = said.or_else(|| self.document_query(at, call, path)) {
            // Two classes may have a `noteRepo` for rows of two kinds.
            let kept = path.iter().rev().nth(1).filter(|receiver| is_repository(receiver)).and_then(|_| {
                self.got_repository(unit, at, call).or_else(|| self.repository_entity(at, call))
            });
            return Some((kept.unwrap_or(shown), verb));
        }
        let argument = |number: usize| {
            let mut expr = call.positional(number)?;
            // `query(func.count(Model.id))`
            if let ExprKind::Call(inner) = unit.ir.expr(expr)
                && self.written(at.to(inner.callee)).first().is_some_and(|first| first == "func")
            {
                expr = inner.positional(0)?;
            }
            // `select(Model.id, …)` is of Model.
            let path = self.written_as_exported(at.to(expr));
            // `select(cls)` in a method of the model's class.
            let own = matches!(path.first().map(Word::as_str), Some("cls" | "this")) && path.len() < 3;
            if own && name != "get" && unit.ir.language == crate::ir::Language::Python {
                let class = self.this_of(self.function_of(at))?;
                return Some(self.class_name(class).to_owned());
            }
            // `from(schema.notes)`
            if let [first, table, ..] = path.as_slice()
                && matches!(first.as_str(), "schema" | "schemas" | "tables" | "dbSchema")
            {
                return Some(table.to_string());
            }
            path.iter()
                .find(|part| part.chars().next().is_some_and(char::is_uppercase))
                .or(path.first())
                .map(Word::to_string)
        };
        let is_class = |name: &String| {
            name.chars().next().is_some_and(char::is_uppercase) && name.chars().any(char::is_lowercase)
        };
        match (name, path.len()) {
            ("select" | "update" | "delete", 1) | ("query", 2..) => {
                let verb = if name == "update" {
                    Verb::Update
                } else if name == "delete" {
                    Verb::Delete
                } else {
                    Verb::Select
                };
                if let Some(entity) = argument(0).filter(is_class) {
                    return Some((entity, verb));
                }
            }
            // `Note.objects.get(id=key, owner=user)` names its model elsewhere.
            ("get", 2..) if call.args.len() >= 2 && call.positional(0).is_some() => {
                if let Some(entity) = argument(0).filter(is_class) {
                    return Some((entity, Verb::Select));
                }
            }
            ("update" | "delete" | "upsert", 3..)
                if self.is_prisma(at, path) || self.is_shaped_as_prisma(at, call, name) =>
            {
                let verb = if name == "delete" { Verb::Delete } else { Verb::Update };
                return path.iter().rev().nth(1).map(|entity| (entity.to_string(), verb));
            }
            ("count" | "aggregate" | "groupBy", 3..) if path.iter().any(|part| part == "prisma") => {
                return path.iter().rev().nth(1).map(|entity| (entity.to_string(), Verb::Select));
            }
            ("table" | "from_", 2..) => {
                if let Some(found) = self.of_table(unit, at, call, path) {
                    return Some(found);
                }
            }
            // `Note.update({ body }, { where: { id } })`
            ("update", 2) if is_class(&path.first()?.to_string()) => {
                let options = call.positional(1)?;
                if self.literal_property(at.to(options), "where").is_some() {
                    return path.first().map(|entity| (entity.to_string(), Verb::Update));
                }
            }
            // `Note.select().where(…)`
            ("select", 2) if is_class(&path.first()?.to_string()) => {
                return path.first().map(|entity| (entity.to_string(), Verb::Select));
            }
            ("from" | "delete" | "update", 2..) => {
                // `supabase.from("notes").insert(row).select()` gives what it adds.
                if let Some(found) = self.of_table(unit, at, call, path).filter(|_| name == "from") {
                    return Some(found);
                }
                let db = path.iter().any(|part| {
                    matches!(
                        part.as_str(),
                        "db" | "tx"
                            | "supabase"
                            | "database"
                            | "drizzle"
                            | "client"
                            | "trx"
                            | "knex"
                            | "createQueryBuilder"
                    )
                });
                // `db.table("notes").update(row)` and `storage.from(bucket)` have said what they are of.
                let said =
                    path.iter().any(|part| matches!(part.as_str(), "table" | "from" | "from_" | "storage"));
                if said && (name != "from" || path.iter().any(|part| part == "storage")) {
                    return None;
                }
                // `db.delete(row)` takes a row that was found before, and finds none; `repo.delete(id)` is told which.
                let told = path.iter().rev().nth(1).is_some_and(|receiver| is_repository(receiver))
                    && call.positional(0).is_some_and(|expr| is_id(unit, expr));
                let row = name == "delete"
                    && !told
                    && call.positional(0).is_some_and(|expr| {
                        matches!(unit.ir.expr(expr), ExprKind::Name(NameRef::Binding(id)) if self.is_local(unit, *id))
                    });
                if row {
                    return None;
                }
                if db {
                    let verb = if name == "update" {
                        Verb::Update
                    } else if name == "delete" {
                        Verb::Delete
                    } else {
                        Verb::Select
                    };
                    let text = call.positional(0).and_then(|expr| match unit.ir.expr(expr) {
                        ExprKind::String(text) => Some(unit.ir.text(*text).to_owned()),
                        _ => None,
                    });
                    return text.or_else(|| argument(0)).map(|entity| (entity, verb));
                }
            }
            (
                "get" | "filter" | "all" | "exclude" | "aget" | "first" | "afirst" | "values" | "in_bulk"
                | "get_or_none",
                _,
            ) if path.iter().any(|part| part == "objects") => {
                let before = path.iter().position(|part| part == "objects")?;
                return before
                    .checked_sub(1)
                    .and_then(|at| path.get(at))
                    .map(|entity| (entity.to_string(), Verb::Select));
            }
            _ => {}
        }
        if let Some(found) = super::builders::built(unit, at.expr, call, path) {
            return Some(found);
        }
        // `repo.get("owner")` takes a part out of what is said of a repository of code.
        // So does `self.repositories.get(kind)` one of several.
        let one = path
            .iter()
            .rev()
            .nth(1)
            .is_some_and(|receiver| receiver.to_lowercase().ends_with("repositories"));
        let part = name == "get"
            && (one
                || call.positional(0).is_some_and(|key| matches!(unit.ir.expr(key), ExprKind::String(_))));
        let repo = path.iter().rev().nth(1).filter(|receiver| is_repository(receiver) && !part);
        if let Some(receiver) = repo
            && matches!(
                name,
                "get"
                    | "delete"
                    | "update"
                    | "find"
                    | "remove"
                    | "one"
                    | "one_or_none"
                    | "get_by_id"
                    | "get_one"
                    | "get_one_or_none"
                    | "find_by_id"
                    | "find_one"
                    | "findOne"
                    | "findOneBy"
                    | "findOneOrFail"
                    | "findOneByOrFail"
                    | "findById"
                    | "softDelete"
                    | "createQueryBuilder"
            )
        {
            let verb = if matches!(name, "delete" | "remove" | "softDelete") {
                Verb::Delete
            } else if name == "update" {
                Verb::Update
            } else {
                Verb::Select
            };
            if let Some(entity) = self.repository_entity(at, call) {
                return Some((entity, verb));
            }
            return Some((self.nameless(at, receiver), verb));
        }
        let method =
            METHODS.iter().find(|(own, _)| *own == name).filter(|_| !matches!(name, "one" | "one_or_none"));
        let Some((_, verb)) = method else { return self.store_query(at) };
        let receiver = path.iter().rev().nth(1)?;
        // `client.contacts.basic_api.get_by_id(id)` asks another service.
        if vocabulary::words(receiver).last().is_some_and(|last| last == "api") {
            return None;
        }
        let model = if path.len() == 2 { self.model_behind(at, call) } else { None };
        Some((model.unwrap_or_else(|| receiver.to_string()), *verb))
    }

    /// The table of a client of PostgREST and what is done with it: `supabase.table("notes").delete().eq("id", id)`.
    fn of_table(&self, unit: &Unit, at: At, call: &crate::ir::Call, path: &[Word]) -> Option<(String, Verb)> {
        let ExprKind::String(table) = unit.ir.expr(call.positional(0)?) else { return None };
        let client = path.iter().rev().nth(1)?;
        let words = vocabulary::words(client);
        if !words.iter().any(|word| {
            matches!(word.as_str(), "supabase" | "sb" | "client" | "db" | "database" | "postgrest")
        }) {
            return None;
        }
        let Parent::Expr(up) = unit.index.parent(at.expr) else { return None };
        let ExprKind::Member { property, .. } = unit.ir.expr(up) else { return None };
        let verb = match unit.ir.text(*property) {
            "select" => Verb::Select,
            "update" | "upsert" => Verb::Update,
            "delete" => Verb::Delete,
            "insert" => Verb::Insert,
            _ => return None,
        };
        Some((unit.ir.text(*table).to_owned(), verb))
    }

    /// The table of a query whose only argument says it: `cms.find({ collection: "labels", where })`.
    fn said_in_argument(&self, at: At, call: &crate::ir::Call, name: &str) -> Option<(String, Verb)> {
        let verb = match name {
            "find" | "findOne" | "findByID" | "findById" | "count" => Verb::Select,
            "update" | "updateByID" => Verb::Update,
            "delete" | "deleteByID" => Verb::Delete,
            _ => return None,
        };
        let argument = at.to(call.positional(0)?);
        let table = self
            .literal_property(argument, "collection")
            .or_else(|| self.literal_property(argument, "table"))?;
        let unit = self.unit(table.module)?;
        let ExprKind::String(text) = unit.ir.expr(table.expr) else { return None };
        Some((unit.ir.text(*text).to_owned(), verb))
    }

    /// Whether a path of names begins with a client of Prisma, under its own name or another one.
    fn is_prisma(&self, at: At, path: &[Word]) -> bool {
        let imported = self.callee(at).map_or(&[][..], |callee| &callee.path[..]);
        path.iter().chain(imported).any(|part| part == "prisma")
    }

    /// Whether a call has the form that Prisma's have, whatever the client is called: `db.note.delete({ where })`.
    fn is_shaped_as_prisma(&self, at: At, call: &crate::ir::Call, name: &str) -> bool {
        let Some(only) = call.positional(0).filter(|_| call.args.len() == 1) else { return false };
        let has = |key: &str| self.literal_property(at.to(only), key).is_some();
        has("where")
            && match name {
                "delete" => true,
                "update" => has("data"),
                _ => has("create"),
            }
    }

    /// Which entities have owners, by tables, models and other queries.
    #[must_use]
    pub fn owned_entities(&self) -> &BTreeMap<String, Owned> {
        self.memory.owned.get_or_init(|| self.find_owned(self.queries()))
    }

    fn find_owned(&self, queries: &[Query]) -> BTreeMap<String, Owned> {
        let mut owned: BTreeMap<String, Owned> = BTreeMap::new();
        let mut note = |name: &str, is: Owned| {
            let slot = owned.entry(singular(name)).or_insert(is);
            *slot = (*slot).max(is);
        };
        for table in self.tables.tables.values() {
            let is = match &table.owner {
                Some(owner) if owner.guessed => Owned::Listed,
                Some(_) => Owned::Yes,
                None => Owned::No,
            };
            note(&table.name.name, is);
        }
        for unit in &self.units {
            models(unit, &mut note);
        }
        self.indexed_collections(&mut note);
        self.typed_collections(&mut note);
        // One of many queries that names an owner of rows whose model has none is the odd one.
        let mut named: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for query in queries.iter().filter(|query| query.verb != Verb::Insert || !query.is_sql) {
            let (with, all) = named.entry(query.entity.as_str()).or_default();
            // What the clients name in a header is what rows are kept apart by.
            let apart = query.tied && !self.header_words().is_empty();
            *with += usize::from(query.scope == Scope::Owner || apart);
            *all += 1;
        }
        // `SELECT id, tenant_id FROM runs`, `INSERT INTO runs (tenant_id, …)`: rows of a table that no migration of the project made.
        for query in queries.iter().filter(|query| query.is_sql) {
            let told = query.shows_owner || (query.verb == Verb::Insert && query.scope == Scope::Owner);
            if told {
                owned.entry(singular(&query.entity)).or_insert(Owned::Listed);
            }
        }
        for (entity, (with, all)) in named {
            let odd = owned.get(&singular(entity)) == Some(&Owned::No) && with * ODD < all;
            if with > 0 && !odd {
                let slot = owned.entry(singular(entity)).or_insert(Owned::Sibling);
                *slot = (*slot).max(Owned::Sibling);
            }
        }
        owned
    }
}

/// Whether a value is an id by its name: `id`, `note_id`, `args.noteId`.
fn is_id(unit: &Unit, expr: crate::ir::ExprId) -> bool {
    let name = match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        _ => return false,
    };
    vocabulary::words(name).last().is_some_and(|last| matches!(last.as_str(), "id" | "ids" | "uuid"))
}

/// What a method of a repository that was got for a model does.
fn of_repository(name: &str) -> Option<Verb> {
    let known = METHODS.iter().find(|(own, _)| *own == name).map(|(_, verb)| *verb);
    known.or(match name {
        "createQueryBuilder" | "find" | "findBy" | "count" | "countBy" | "findAndCount"
        | "findOneByOrFail" => Some(Verb::Select),
        "update" => Some(Verb::Update),
        "delete" | "softDelete" => Some(Verb::Delete),
        _ => None,
    })
}

/// Whether an entity lists tenants or people themselves.
#[must_use]
pub fn lists_owners(shown: &str) -> bool {
    let words = vocabulary::words(shown);
    // `KhojUser` is the application's own user; `TeamUser` says who is in what.
    let own_user = matches!(words.as_slice(), [app, user] if matches!(user.as_str(), "user" | "users") && !JOINED.contains(&app.as_str()));
    own_user
        || level_of_table(shown).is_some()
        || matches!(singular(shown).as_str(), "user" | "tenant" | "organization" | "account" | "team")
}

/// Of so many queries of rows whose model has no owner, one that names an owner says nothing.
const ODD: usize = 5;

/// First words of tables that join users with what they belong to.
const JOINED: &[&str] = &[
    "team",
    "teams",
    "org",
    "organization",
    "organisation",
    "workspace",
    "project",
    "group",
    "channel",
    "chat",
    "tenant",
    "account",
    "company",
    "room",
    "role",
    "shared",
];
