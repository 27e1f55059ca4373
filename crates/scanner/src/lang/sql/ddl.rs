//! One statement of a migration as changes.

use sqlparser::tokenizer::Token;

use super::{
    Change, Column, Command, Condition, Cursor, Name, Policy, RowSecurity, block, policy::condition_of,
};

/// Reads a statement and passes on what it changes.
pub(super) fn read(mut at: Cursor<'_>, add: &mut dyn FnMut(Change)) {
    if at.words("create") {
        create(at, add);
    } else if at.words("alter") {
        alter(at, add);
    } else if at.words("drop") {
        drop(at, add);
    } else if at.words("grant") {
        grant(at, add);
    } else if at.words("revoke") {
        revoke(at, add);
    } else if at.words("do") {
        block::read(at, add);
    } else if let Some(setting) = block::session_setting(at) {
        add(Change::SetSession { setting });
    }
}

fn create(mut at: Cursor<'_>, add: &mut dyn FnMut(Change)) {
    at.words("or replace");
    let temporary = at.words("global temporary")
        || at.words("temporary")
        || at.words("temp")
        || at.words("local temporary");
    at.words("unlogged");
    if at.words("table") {
        create_table(at, temporary, add);
    } else if at.words("policy") {
        if let Some(policy) = policy(at) {
            add(Change::CreatePolicy(policy));
        }
    } else if at.words("materialized view") {
        create_view(at, true, add);
    } else if at.words("recursive view") || at.words("view") {
        create_view(at, false, add);
    } else if at.words("function") || at.words("procedure") {
        block::function(at, add);
    }
}

fn create_table(mut at: Cursor<'_>, temporary: bool, add: &mut dyn FnMut(Change)) {
    let if_not_exists = at.words("if not exists");
    let Some(table) = at.name() else { return };
    let partition_of = at.words("partition of").then(|| at.name()).flatten();
    let mut like = None;
    let mut columns = Vec::new();
    let mut references = Vec::new();
    if let Some(body) = at.parenthesis() {
        for mut part in body.commas() {
            if part.words("like") {
                like = part.name();
                continue;
            }
            match item(part) {
                Item::Column(column) => columns.push(column),
                Item::Reference(names, to) => references.push((names, to)),
                Item::Nothing => {}
            }
        }
    }
    if at.words("inherits") {
        like = at.parenthesis().and_then(|mut parents| parents.name());
    } else if at.skip_to("as table") || (at.skip_to("as select") && at.token(&Token::Mul) && at.words("from"))
    {
        like = at.name();
    }
    add(Change::CreateTable { table: table.clone(), columns, if_not_exists, temporary, partition_of, like });
    for (columns, references) in references {
        add(Change::AddReference { table: table.clone(), columns, references });
    }
}

/// Types with a size in parentheses.
const SIZED: [&str; 10] =
    ["varchar", "char", "character", "numeric", "decimal", "bit", "varbinary", "binary", "int", "vector"];

/// What stands between two commas of a table.
enum Item {
    Column(Column),
    Reference(Vec<String>, Name),
    Nothing,
}

fn item(mut at: Cursor<'_>) -> Item {
    if at.words("constraint") {
        at.word();
    }
    if at.words("foreign key") {
        let names = at.parenthesis().map(names).unwrap_or_default();
        if at.words("references")
            && let Some(table) = at.name()
        {
            return Item::Reference(names, table);
        }
        return Item::Nothing;
    }
    for start in ["primary key", "unique key", "fulltext key", "exclude using", "like"] {
        if { at }.words(start) {
            return Item::Nothing;
        }
    }
    // A column may be called like one of these, but then its type follows and no list.
    for start in ["unique", "check", "key", "index", "exclude"] {
        let mut ahead = at;
        if ahead.words(start) {
            let sized = ahead.word().is_some_and(|word| SIZED.contains(&word.as_str()));
            if !sized && ahead.peek() == Some(&Token::LParen) {
                return Item::Nothing;
            }
        }
    }
    column(at).map_or(Item::Nothing, Item::Column)
}

fn column(mut at: Cursor<'_>) -> Option<Column> {
    let name = at.word()?;
    let kind = { at }.word().and_then(|word| cast(&word));
    let not_null = { at }.skip_to("not null") || { at }.skip_to("primary key");
    let references = at.skip_to("references").then(|| at.name()).flatten();
    Some(Column { name, kind, nullable: !not_null, references })
}

/// What a text is cast to for a column of a type; nothing where it need not be.
fn cast(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "uuid" => "uuid",
        "bigint" | "int8" | "bigserial" => "bigint",
        "integer" | "int" | "int4" | "serial" => "integer",
        "smallint" | "int2" => "smallint",
        _ => return None,
    })
}

fn names(at: Cursor<'_>) -> Vec<String> {
    at.commas().into_iter().filter_map(|mut part| part.word()).collect()
}

/// A policy after its keyword.
fn policy(mut at: Cursor<'_>) -> Option<Policy> {
    let name = at.word()?;
    if !at.words("on") {
        return None;
    }
    let table = at.name()?;
    let mut policy = Policy {
        name,
        table,
        permissive: true,
        command: Command::All,
        roles: Vec::new(),
        using: None,
        check: None,
    };
    while !at.is_empty() {
        if at.words("as restrictive") {
            policy.permissive = false;
        } else if at.words("for select") {
            policy.command = Command::Select;
        } else if at.words("for insert") {
            policy.command = Command::Insert;
        } else if at.words("for update") {
            policy.command = Command::Update;
        } else if at.words("for delete") {
            policy.command = Command::Delete;
        } else if at.words("to") {
            policy.roles = roles(&mut at);
        } else if at.words("using") {
            policy.using = at.parenthesis().map(condition_of);
        } else if at.words("with check") {
            policy.check = at.parenthesis().map(condition_of);
        } else {
            at.next();
        }
    }
    Some(policy)
}

/// Names of roles, with commas between them. `public` is everybody.
fn roles(at: &mut Cursor<'_>) -> Vec<String> {
    let mut roles = Vec::new();
    loop {
        at.words("group");
        let Some(role) = at.word() else { break };
        roles.push(role);
        if !at.token(&Token::Comma) {
            break;
        }
    }
    roles
}

fn create_view(mut at: Cursor<'_>, materialized: bool, add: &mut dyn FnMut(Change)) {
    at.words("if not exists");
    let Some(view) = at.name() else { return };
    at.parenthesis();
    let mut invoker = false;
    if at.words("with") {
        invoker = at.parenthesis().is_some_and(is_invoker);
    }
    let reads = block::tables(at);
    add(Change::CreateView { view, materialized, invoker, reads, condition: condition_of(at) });
}

/// Whether options say `security_invoker`.
fn is_invoker(options: Cursor<'_>) -> bool {
    options.commas().into_iter().any(|mut option| {
        option.word().as_deref() == Some("security_invoker")
            && (option.is_empty()
                || (option.token(&Token::Eq)
                    && ["true", "on", "1", "yes", "'true'", "'on'", "'1'"]
                        .contains(&option.text().to_lowercase().as_str())))
    })
}

fn alter(mut at: Cursor<'_>, add: &mut dyn FnMut(Change)) {
    if at.words("table") {
        alter_table(at, add);
    } else if at.words("policy") {
        let mut ahead = at;
        if let Some(policy) = policy(at) {
            // A new name is no change of what it does.
            if !ahead.skip_to("rename to") {
                add(Change::AlterPolicy(policy));
            }
        }
    } else if at.words("view") || at.words("materialized view") {
        at.words("if exists");
        let Some(view) = at.name() else { return };
        let set = at.words("set");
        if (set || at.words("reset"))
            && let Some(options) = at.parenthesis()
            && options.text().to_lowercase().contains("security_invoker")
        {
            add(Change::AlterView { view, invoker: set && is_invoker(options) });
        }
    } else if at.words("function") || at.words("procedure") || at.words("routine") {
        let Some(function) = at.name() else { return };
        at.parenthesis();
        let definer = match { at }.skip_to("security definer") {
            true => Some(true),
            false => { at }.skip_to("security invoker").then_some(false),
        };
        let search_path = { at }.skip_to("set search_path");
        add(Change::AlterFunction { function, definer, search_path });
    }
}

fn alter_table(mut at: Cursor<'_>, add: &mut dyn FnMut(Change)) {
    at.words("if exists");
    at.words("only");
    let Some(table) = at.name() else { return };
    for mut action in at.commas() {
        let change = if action.words("enable row level security") {
            Change::RowSecurity { table: table.clone(), change: RowSecurity::Enable }
        } else if action.words("disable row level security") {
            Change::RowSecurity { table: table.clone(), change: RowSecurity::Disable }
        } else if action.words("force row level security") {
            Change::RowSecurity { table: table.clone(), change: RowSecurity::Force }
        } else if action.words("no force row level security") {
            Change::RowSecurity { table: table.clone(), change: RowSecurity::NoForce }
        } else if action.words("rename to") {
            let Some(mut to) = action.name() else { continue };
            to.schema = to.schema.or_else(|| table.schema.clone());
            Change::Rename { table: table.clone(), to }
        } else if action.words("attach partition") {
            let Some(part) = action.name() else { continue };
            Change::Attach { table: part, to: table.clone() }
        } else if action.words("set schema") {
            let Some(schema) = action.word() else { continue };
            Change::Rename {
                table: table.clone(),
                to: Name { schema: Some(schema), name: table.name.clone() },
            }
        } else if action.words("rename column") || action.words("rename") {
            let (Some(column), true) = (action.word(), action.words("to")) else { continue };
            let Some(to) = action.word() else { continue };
            Change::RenameColumn { table: table.clone(), column, to }
        } else if action.words("drop constraint") {
            continue;
        } else if action.words("drop column") || action.words("drop") {
            action.words("if exists");
            let Some(column) = action.word() else { continue };
            Change::DropColumn { table: table.clone(), column }
        } else if action.words("add") {
            let Some(change) = added(action, &table) else { continue };
            change
        } else {
            continue;
        };
        add(change);
    }
}

fn added(mut action: Cursor<'_>, table: &Name) -> Option<Change> {
    let explicit = action.words("column");
    action.words("if not exists");
    let item = if explicit { Item::Column(column(action)?) } else { item(action) };
    match item {
        Item::Column(column) => Some(Change::AddColumn { table: table.clone(), column }),
        Item::Reference(columns, references) => {
            Some(Change::AddReference { table: table.clone(), columns, references })
        }
        Item::Nothing => None,
    }
}

fn drop(mut at: Cursor<'_>, add: &mut dyn FnMut(Change)) {
    if at.words("policy") {
        at.words("if exists");
        let (Some(name), true) = (at.word(), at.words("on")) else { return };
        if let Some(table) = at.name() {
            add(Change::DropPolicy { name, table });
        }
    } else if at.words("table") || at.words("view") || at.words("materialized view") {
        at.words("if exists");
        let names = at.commas().into_iter().filter_map(|mut part| part.name()).collect();
        add(Change::Drop(names));
    }
}

/// The tables of a GRANT or REVOKE after ON, and the schema if it is all of its tables. Nothing when it is about something
/// else.
fn objects(at: &mut Cursor<'_>, end: &str) -> Option<(Vec<Name>, Option<String>)> {
    if at.words("all tables in schema") {
        return Some((Vec::new(), Some(at.word()?)));
    }
    if !at.words("table") {
        for other in
            ["sequence", "all", "schema", "function", "database", "type", "domain", "language", "parameter"]
        {
            if { *at }.words(other) {
                return None;
            }
        }
    }
    let mut names = Vec::new();
    while let Some(name) = at.name() {
        names.push(name);
        if !at.token(&Token::Comma) {
            break;
        }
    }
    // A function has parentheses, so it does not get here.
    { *at }.words(end).then_some((names, None))
}

fn grant(mut at: Cursor<'_>, add: &mut dyn FnMut(Change)) {
    let before = at;
    if !at.skip_to("on") {
        return;
    }
    let given = before.rest().len() - at.rest().len() - 1;
    let privileges = Cursor::new(before.rest().get(..given).unwrap_or_default())
        .commas()
        .into_iter()
        .filter_map(|mut part| part.word())
        .collect();
    let Some((tables, schema)) = objects(&mut at, "to") else { return };
    if at.words("to") {
        add(Change::Grant { privileges, tables, schema, roles: roles(&mut at) });
    }
}

fn revoke(mut at: Cursor<'_>, add: &mut dyn FnMut(Change)) {
    if !at.skip_to("on") {
        return;
    }
    let Some((tables, schema)) = objects(&mut at, "from") else { return };
    if at.words("from") {
        add(Change::Revoke { tables, schema, roles: roles(&mut at) });
    }
}

/// Used by blocks: a condition of nothing.
pub(super) fn none() -> Condition {
    Condition::default()
}
