//! Rows that callers leave in a table which has no column for whose they are, and that whoever is signed in finds again.

use std::collections::{BTreeMap, BTreeSet};

use partywall_model::{Axis, Check, Confidence, Layer, Severity};

use super::{
    asked_by::is_left_to_handler,
    by_id_alone::is_common,
    signed_in::signed_in,
    asked_elsewhere::is_asked_elsewhere,
    passed_over::skipped,
    unscoped_query::is_checked,
};
use crate::{
    flow::{Origins, Owned, Query, Scope, lists_owners, singular},
    ir::{ExprId, ExprKind, FunctionId, walk},
    lang::sql::{Column, Verb},
    project::{At, Fun, Project},
    rules::{Report, Rule},
    tables::{Table, key, level_of_column},
    vocabulary,
};

/// The rule.
pub const RULE: Rule = Rule {
    check: Check {
        id: "unowned-rows",
        layer: Layer::Data,
        summary: "Rows that callers write have no column for whose they are, and every caller reads, changes or deletes them.",
    },
    severity: Severity::Medium,
    axis: Axis::Security,
    why: "A table without an owner holds everybody's rows: no query can tell a caller's from another's.",
    fix: "Give the table a column for the owner, fill it with the verified caller when a row is added, and test for it in every query.",
    cwe: &["CWE-639", "CWE-862"],
    soc2: &["CC6.1"],
    owasp: &["A01:2021"],
    markdown: include_str!("unowned_rows.md"),
    run,
};

fn run(project: &Project, report: &mut Report<'_>) {
    let tables = unowned(project);
    if tables.is_empty() {
        return;
    }
    let signed = signed_in(project);
    if signed.is_empty() {
        return;
    }
    let written = written(project, &tables, &signed);
    let shown = shown_to_all(project, &tables, &signed);
    let beside = is_beside_owned(project);
    for query in project.queries() {
        let Some(table) = tables.get(query.entity.as_str()) else { continue };
        if !written.contains(query.entity.as_str()) || shown.contains(query.entity.as_str()) || !is_open(project, query, &signed) {
            continue;
        }
        let does = match query.verb {
            Verb::Update => "changes",
            Verb::Delete => "deletes",
            _ => "reads",
        };
        let message = format!("this query {does} `{}`, which callers write and which has no column for whose its rows are", query.shown);
        let found = report.reached_in(query.at, query.function, message);
        found.at_place(&table.place, "the table has no owner");
        if beside {
            found.severity(Severity::Medium).confidence(Confidence::Medium);
        } else {
            found.severity(Severity::Low).confidence(Confidence::Low);
        }
    }
}

/// Words of tables that hold nobody's rows in particular, wherever they stand in the name: what signing in needs, and what the server
/// notes and plans for itself.
const ASIDE: &[&str] = &[
    "session", "token", "verification", "otp", "nonce", "challenge", "oauth", "auth", "jwk", "credential", "invite", "invitation", "waitlist", "captcha", "role",
    "permission", "policy", "queue", "job", "outbox", "worker", "lock", "lease", "migration", "schema", "health", "heartbeat", "metric", "stat", "log", "audit",
    "webhook", "cron", "cache", "setting", "config", "configuration", "feature", "flag", "catalog", "catalogue", "master", "seed", "test", "demo", "admin",
    "system", "global", "shared", "public", "default", "lookup", "reference", "enum", "blog", "news", "newsletter", "faq", "inventory",
];

/// Last words of tables whose rows are looked up by all, or shown to all, beside those of [`is_common`].
const COMMON: &[&str] = &[
    "code", "state", "key", "client", "version", "counter", "usage", "option", "parameter", "experiment", "tag", "label", "type", "kind", "status", "unit",
    "timezone", "price", "pricing", "tier", "brand", "sku", "stock", "preset", "announcement", "banner", "comment", "review", "rating", "course", "lesson",
    "quiz", "question", "exam", "song", "album", "artist", "genre", "menu", "dish", "restaurant", "hotel", "room", "seat", "venue", "subscriber", "vote", "rate",
    "rule", "blocklist", "allowlist", "ban", "slug", "redirect", "link", "url", "domain", "sample", "embedding", "chunk", "vector", "index", "feed",
    "department", "designation", "holiday", "shift", "employee", "staff", "doctor", "vehicle", "node", "cluster", "host", "instance", "machine",
    "deployment", "environment", "build", "release", "benchmark", "fact", "agent", "server", "integration", "topic",
    "medicine", "medication", "drug", "supplier", "vendor", "equipment", "warehouse",
];

/// The tables that have no owner at all and hold nobody's in particular neither by their name nor by a column.
fn unowned(project: &Project) -> BTreeMap<String, &Table> {
    let schema = &project.tables;
    // Where no table speaks of users or tenants there are none that anybody could keep apart.
    if !schema.tables.values().any(names_parties) {
        return BTreeMap::new();
    }
    let theirs = Theirs::find(project);
    let owned = project.owned_entities();
    let open = |(name, table): (&String, &Table)| {
        table.owner.is_none()
            && table.partition_of.is_none()
            && !table.columns.is_empty()
            && !theirs.referred.contains(name)
            && !is_for_all(&table.name.name)
            && !lists_owners(&table.name.name)
            && !project.tenant_words().contains(&singular(&table.name.name))
            && owned.get(&singular(&table.name.name)).is_none_or(|is| *is == Owned::No)
            && !table.columns.iter().any(|column| ties(project, column, &theirs))
    };
    let open: BTreeMap<&String, &Table> = schema.tables.iter().filter(|entry| open(*entry)).collect();
    let mut found: BTreeMap<String, &Table> = open.values().map(|table| (singular(&table.name.name), *table)).collect();
    // `prisma.application` of the model `Application`, which may be mapped to a table of another name.
    let models = schema.models.iter().filter(|(code, _)| !is_for_all(code));
    found.extend(models.filter_map(|(code, name)| Some((singular(code), *open.get(name)?))));
    found
}

/// The tables of rows with an owner, and those that they refer to: what an order names, a product, is everybody's, and a room is its
/// members'.
struct Theirs {
    referred: BTreeSet<String>,
    /// The keys of all of them.
    keys: BTreeSet<String>,
    /// Their names in the singular.
    names: Vec<String>,
}

impl Theirs {
    fn find(project: &Project) -> Self {
        let tables = &project.tables.tables;
        let owned = tables.iter().filter(|(_, table)| table.owner.is_some());
        let columns = owned.clone().flat_map(|(_, table)| &table.columns);
        let referred: BTreeSet<String> = columns.filter_map(|column| column.references.as_ref().map(key)).collect();
        let mut keys: BTreeSet<String> = owned.map(|(name, _)| name.clone()).collect();
        keys.extend(referred.iter().cloned());
        let names = tables.iter().filter(|(name, _)| keys.contains(*name)).map(|(_, table)| singular(&table.name.name)).collect();
        Self { referred, keys, names }
    }
}

/// Whether a table lists users or tenants, or a column of it names one: an `owner` or `author` is as often a text.
fn names_parties(table: &Table) -> bool {
    let Some(owner) = &table.owner else { return false };
    let words = vocabulary::words(&owner.column);
    owner.itself || (words.len() == 2 && words.iter().any(|word| matches!(word.as_str(), "user" | "tenant" | "org" | "organization" | "workspace" | "account" | "customer" | "member" | "team")))
}

/// Whether a table's name says that its rows are no caller's.
fn is_for_all(name: &str) -> bool {
    let words = vocabulary::words(name);
    let has = |list: &[&str], word: &String| list.contains(&word.as_str()) || list.contains(&singular(word).as_str());
    words.iter().any(|word| has(ASIDE, word)) || words.last().is_some_and(|last| is_common(last) || has(COMMON, last))
}

/// Whether a column says in some way whose a row is: it names a party, a session or who did something, or refers to a row with an owner,
/// or to what rows with an owner refer to: the branch that a user belongs to. A `company` without an id is a text.
fn ties(project: &Project, column: &Column, theirs: &Theirs) -> bool {
    let words = vocabulary::words(&column.name);
    let says = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    let refers = column.references.as_ref().is_some_and(|to| theirs.keys.contains(&key(to)));
    let guessed = words.split_last().is_some_and(|(last, stem)| {
        let stem = stem.concat();
        last == "id" && !stem.is_empty() && theirs.names.iter().any(|name| name.ends_with(&stem))
    });
    refers
        || guessed
        || level_of_column(&column.name).is_some()
        || (vocabulary::says_whose(&column.name) && !(words.len() == 1 && vocabulary::is_tenant(&column.name)))
        || project.is_own_tenant(&column.name)
        || words.last().is_some_and(|last| last == "by")
        || says(&["participant", "participants", "member", "members", "recipient", "sender", "assignee", "username", "userid", "actor", "creator", "uploader", "reporter", "requester", "submitter", "players", "fingerprint", "visitor", "namespace", "realm"])
}

/// Whether several other tables of the schema name an owner themselves, of more than what signing in needs: the one that does not was
/// forgotten.
fn is_beside_owned(project: &Project) -> bool {
    let tables = project.tables.tables.values().filter(|table| !is_for_all(&table.name.name) && table.partition_of.is_none());
    let (mut with, mut without) = (0_usize, 0_usize);
    for table in tables {
        match &table.owner {
            Some(owner) if !owner.itself && !matches!(table.name.name.to_lowercase().as_str(), "account" | "accounts") => with += 1,
            Some(_) => {}
            None => without += 1,
        }
    }
    with > 1 && with >= without
}

/// Methods that add rows.
const ADDS: &[&str] = &[
    "create", "createMany", "create_many", "insert", "insertOne", "insertMany", "insert_one", "insert_many", "add", "upsert", "bulk_create", "acreate", "build",
    "get_or_create", "save",
];

/// The entities of which a handler for whoever is signed in adds rows, out of what was sent.
fn written<'t>(project: &Project, tables: &'t BTreeMap<String, &Table>, signed: &BTreeSet<Fun>) -> BTreeSet<&'t str> {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    for query in project.queries().iter().filter(|query| query.verb == Verb::Insert) {
        if let Some((entity, _)) = tables.get_key_value(query.entity.as_str())
            && is_by_callers(project, query.function, signed)
            && (query.filters.iter().any(|at| project.origins(*at).is_chosen()) || is_sent(project, query.at))
        {
            found.insert(entity);
        }
    }
    let likely = project.calls_named(|name| ADDS.contains(&name) || (name.starts_with(char::is_uppercase) && tables.contains_key(&singular(name))));
    for (module, _) in project.units() {
        for expr in likely.among(module) {
            let at = At { module, expr: *expr };
            let Some(entity) = added(project, at).and_then(|entity| Some(tables.get_key_value(&singular(&entity))?.0)) else { continue };
            if !found.contains(entity.as_str()) && is_by_callers(project, project.function_of(at), signed) && is_sent(project, at) {
                found.insert(entity);
            }
        }
    }
    found
}

/// The entity that a call adds a row of, or makes one of: `prisma.note.create(…)`, `Note.objects.create(…)`, `db.insert(notes)`,
/// `Note(**body)`, `notes_collection.insert_one(…)`.
fn added(project: &Project, at: At) -> Option<String> {
    let unit = project.unit(at.module)?;
    let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return None };
    let path = project.written(at);
    let (name, before) = path.split_last()?;
    if name.starts_with(char::is_uppercase) {
        return Some(name.to_string());
    }
    if name == "insert"
        && let Some(first) = call.positional(0)
        && matches!(unit.ir.expr(first), ExprKind::Name(_) | ExprKind::Member { .. })
    {
        return project.last_written(at.to(first)).map(str::to_owned);
    }
    let receiver = before.iter().rev().find(|part| *part != "objects")?;
    let words = vocabulary::words(receiver);
    let kept: Vec<&str> =
        words.iter().map(String::as_str).filter(|word| !matches!(*word, "repo" | "repository" | "collection" | "model" | "dao" | "table" | "coll")).collect();
    // `this.repo.create(dto)` of a repository that only its type tells of.
    if kept.is_empty() { project.repository_entity(at, call) } else { Some(kept.join("_")) }
}

/// Whether a function is a part of what a handler does for whoever is signed in, without asking for a rank.
fn is_by_callers(project: &Project, fun: Fun, signed: &BTreeSet<Fun>) -> bool {
    if fun.id == FunctionId::MODULE {
        return false;
    }
    let Some(entry) = project.entry_around(fun) else { return false };
    signed.contains(&entry.handler)
        && !project.is_registered_for_operators(entry)
        && [fun, entry.handler].into_iter().all(|fun| !project.refuses_by_rank(fun) && !project.tells_ranks_apart(fun))
}

/// Whether something in an expression is what a request said.
fn is_sent(project: &Project, at: At) -> bool {
    let Some(unit) = project.unit(at.module) else { return false };
    let mut found = false;
    walk::exprs_below(&unit.ir, at.expr, &mut |expr| {
        found = found
            || (matches!(unit.ir.expr(expr), ExprKind::Name(_) | ExprKind::Member { .. })
                && project.origins(at.to(expr)).has(Origins::INPUT | Origins::REQUEST));
    });
    found
}

/// The entities that a handler gives to callers who have not signed in: what is public cannot be anybody's.
fn shown_to_all<'t>(project: &Project, tables: &'t BTreeMap<String, &Table>, signed: &BTreeSet<Fun>) -> BTreeSet<&'t str> {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    for query in project.queries().iter().filter(|query| query.verb == Verb::Select) {
        let Some((entity, _)) = tables.get_key_value(query.entity.as_str()) else { continue };
        let open = project.entry_around(query.function).is_some_and(|entry| {
            matches!(entry.kind.as_str(), "http" | "tool") && !signed.contains(&entry.handler) && !project.is_operators(entry) && !asks_for_secret(project, entry.handler)
        });
        if open {
            found.insert(entity);
        }
    }
    found
}

/// Whether a handler compares what was sent with a secret, as that of a link that the owner gives to others.
fn asks_for_secret(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let mut found = false;
    walk::function_exprs(&unit.ir, fun.id, &mut |expr| {
        let ExprKind::Compare { left, right, .. } = unit.ir.expr(expr) else { return };
        let secret = |side: ExprId| {
            let at = At { module: fun.module, expr: side };
            project.last_written(at).is_some_and(vocabulary::is_credential)
        };
        found = found || (secret(*left) && secret(*right));
    });
    found
}

/// Whether a query names nobody and is asked for whoever is signed in.
fn is_open(project: &Project, query: &Query, signed: &BTreeSet<Fun>) -> bool {
    query.scope == Scope::None
        && !query.tied
        && query.verb != Verb::Insert
        && is_by_callers(project, query.function, signed)
        && !skipped(project, query)
        && !is_checked(project, query)
        && !is_asked_elsewhere(project, query)
        && !is_left_to_handler(project, query)
}
