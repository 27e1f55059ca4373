//! Tools in tables of a server's own, of which a name in the request picks one: `handlers[request.params.name](args)`.

use std::collections::BTreeSet;

use super::Entry;
use crate::{
    ir::{BindingId, ExprId, ExprKind, Kinds, Language, NameRef, Property, PropertyKey, StmtKind},
    project::{At, Cls, Fun, ModuleId, Parent, Project, Unit},
    vocabulary,
};

/// Texts of servers that answer calls of tools by one handler, or register what a list holds.
pub(crate) const ONE_HANDLER: &[&str] =
    &["CallToolRequestSchema", ".call_tool(", "\"tools/call\"", "'tools/call'", "McpServer("];

/// Words of tables of handlers.
const TABLES: &[&str] =
    &["handler", "handlers", "tool", "tools", "dispatch", "dispatcher", "executors", "implementations"];

/// Words of parameters that are the request or what the SDK says of it.
const REQUESTS: &[&str] = &["extra", "req", "request", "session", "auth", "caller", "user"];

/// Words of parameters that a server gives its tools.
const GIVEN: &[&str] = &[
    "ctx", "context", "client", "db", "deps", "services", "service", "store", "api", "server", "self", "app",
    "manager", "logger", "config",
];

/// Names of a tool's function beside what describes it.
const FUNCTIONS: &[&str] = &["handler", "execute", "run", "callback", "invoke", "handle", "call", "fn"];

/// Names of what describes a tool beside its function.
const DESCRIPTIONS: &[&str] = &["definition", "config", "tool", "spec", "schema", "metadata", "info"];

/// The tools in tables of the packages that answer calls of tools by one handler.
pub(super) fn tables(project: &Project, entries: &mut Vec<Entry>) {
    let one = |unit: &Unit| ONE_HANDLER.iter().any(|text| unit.ir.source.mentions(text));
    let folders: BTreeSet<&str> = project
        .units()
        .filter(|(_, unit)| one(unit))
        .filter_map(|(module, _)| project.folder(module))
        .collect();
    for (module, unit) in project.units() {
        super::dispatched::registries(project, module, unit, entries);
    }
    let answers = |module: ModuleId| project.folder(module).is_some_and(|folder| folders.contains(folder));
    for (module, unit) in project.units().filter(|(module, _)| answers(*module)) {
        for (expr, kind) in unit.ir.exprs_of(Kinds::OBJECT | Kinds::CALL) {
            let at = At { module, expr };
            match kind {
                ExprKind::Object(properties) if is_table(unit, expr) => {
                    for property in properties {
                        add(project, at, at.to(property.value), entries);
                    }
                }
                ExprKind::Object(properties) => described(project, unit, at, properties, entries),
                ExprKind::Call(call) if call.is_new && is_named(unit, expr) => {
                    call.positional(0).into_iter().for_each(|first| pairs(project, at, first, entries));
                }
                _ => {}
            }
        }
        classes(project, module, unit, entries);
        super::dispatched::dispatched(project, module, unit, entries);
    }
}

/// The functions in a list of pairs, `new Map([["list", list]])`.
fn pairs(project: &Project, table: At, list: ExprId, entries: &mut Vec<Entry>) {
    let Some(unit) = project.unit(table.module) else { return };
    let ExprKind::Array { items, .. } = unit.ir.expr(list) else { return };
    for item in items {
        if let ExprKind::Array { items: pair, .. } = unit.ir.expr(*item)
            && let [_, value] = &**pair
        {
            add(project, table, table.to(*value), entries);
        }
    }
}

/// Adds the function that a value of a table is.
pub(super) fn add(project: &Project, table: At, value: At, entries: &mut Vec<Entry>) {
    let Some(unit) = project.unit(value.module) else { return };
    let named = matches!(
        unit.ir.expr(value.expr),
        ExprKind::Function(_) | ExprKind::Name(NameRef::Binding(_)) | ExprKind::Member { .. }
    );
    for handler in named.then(|| project.functions_of(value)).into_iter().flatten().take(2) {
        push(project, table, handler, entries);
    }
}

pub(super) fn push(project: &Project, registration: At, handler: Fun, entries: &mut Vec<Entry>) {
    let Some(unit) = project.unit(handler.module) else { return };
    let Some(function) = unit.ir.function(handler.id) else { return };
    let python = unit.ir.language == Language::Python;
    let names = function.params.iter().map(|own| own.name.map_or("", |name| unit.ir.text(name)));
    let has =
        |name: &str, list: &[&str]| vocabulary::words(name).iter().any(|word| list.contains(&word.as_str()));
    // What the server gives its tools besides is neither the request nor sent by the caller, and whose data it says is not either.
    let given = |name: &str| has(name, GIVEN) || vocabulary::is_owner(name);
    let numbered: Vec<(u32, &str)> = (0_u32..).zip(names).collect();
    let context =
        numbered.iter().filter(|(_, name)| has(name, REQUESTS)).map(|(number, _)| *number).collect();
    let mut sent =
        numbered.iter().filter(|(_, name)| !has(name, REQUESTS) && !given(name)).map(|(number, _)| *number);
    entries.push(Entry {
        handler,
        kind: "tool".to_owned(),
        registration,
        // In Python the arguments may be handed over by their names.
        input: Some(if python { sent.collect() } else { sent.next().into_iter().collect() }),
        context,
    });
}

/// Whether an object is a table of handlers: all in it are functions, and a name picks one, or it is named for that.
pub(super) fn is_table(unit: &Unit, expr: ExprId) -> bool {
    let ExprKind::Object(properties) = unit.ir.expr(expr) else { return false };
    let function = |property: &Property| {
        let named = matches!(property.key, PropertyKey::Name(_) | PropertyKey::Computed(_));
        let spread = matches!(property.key, PropertyKey::Spread);
        spread
            || (named
                && matches!(
                    unit.ir.expr(property.value),
                    ExprKind::Function(_) | ExprKind::Name(NameRef::Binding(_)) | ExprKind::Member { .. }
                ))
    };
    !properties.is_empty() && properties.iter().all(function) && is_named(unit, expr)
}

/// Whether a value is kept in a variable that is named for handlers or of which a name picks one, or given by a function that is.
fn is_named(unit: &Unit, expr: ExprId) -> bool {
    let says = is_name_of_table;
    match unit.index.parent(expr) {
        Parent::Stmt(stmt) => match unit.ir.stmt(stmt) {
            StmtKind::Assign { target, .. } => target
                .as_binding()
                .is_some_and(|id| says(unit.ir.binding_name(id)) || is_picked_from(unit, id)),
            StmtKind::Return(_) => {
                let function = unit.ir.function(unit.index.function(expr));
                let name = function.and_then(|function| function.name).map_or("", |name| unit.ir.text(name));
                says(name)
            }
            _ => false,
        },
        _ => false,
    }
}

/// Whether a name is that of a table of handlers.
pub(super) fn is_name_of_table(name: &str) -> bool {
    vocabulary::words(name).last().is_some_and(|last| TABLES.contains(&last.as_str()))
}

/// Whether a name that is not written out picks from a variable what is called.
fn is_picked_from(unit: &Unit, id: BindingId) -> bool {
    unit.index.uses(id).iter().take(16).any(|used| {
        let Parent::Expr(up) = unit.index.parent(*used) else { return false };
        match unit.ir.expr(up) {
            ExprKind::Index { object, index, .. } => *object == *used && is_name_of_tool(unit, *index),
            _ => false,
        }
    })
}

/// Whether a value is the name of the tool that is called: `name`, `toolName`, `request.params.name`.
pub(super) fn is_name_of_tool(unit: &Unit, expr: ExprId) -> bool {
    let last = match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => unit.ir.binding_name(*id),
        ExprKind::Member { property, .. } => unit.ir.text(*property),
        _ => return false,
    };
    vocabulary::words(last).iter().any(|word| word == "name" || word == "tool")
}

/// An object that holds a tool's function beside what describes it: `{ definition: { … }, handler }`, `{ name, handler }`.
fn described(project: &Project, unit: &Unit, at: At, properties: &[Property], entries: &mut Vec<Entry>) {
    let value = |wanted: &[&str]| {
        properties.iter().find_map(|property| match property.key {
            PropertyKey::Name(name) if wanted.contains(&unit.ir.text(name)) => Some(property.value),
            _ => None,
        })
    };
    let Some(function) = value(FUNCTIONS) else { return };
    let says = [
        &["name"][..],
        &["description"],
        &["inputSchema", "parameters", "schema", "input_schema", "args"],
        DESCRIPTIONS,
    ];
    // The function may be named elsewhere; what is written out there beside a whole description was found before.
    let kinds = says.iter().filter(|wanted| value(wanted).is_some()).count();
    let file = unit.ir.path.rsplit('/').any(|part| {
        vocabulary::words(part).iter().any(|word| word == "tool" || word == "tools" || word == "handlers")
    });
    if kinds >= 2 || (kinds == 1 && file) {
        add(project, at, at.to(function), entries);
    }
}

/// Whether an object that describes a tool names its function, and does not write it out.
pub(super) fn names_function(unit: &Unit, expr: ExprId) -> bool {
    let ExprKind::Object(properties) = unit.ir.expr(expr) else { return false };
    let function = properties.iter().find(
        |property| matches!(property.key, PropertyKey::Name(name) if FUNCTIONS.contains(&unit.ir.text(name))),
    );
    function.is_some_and(|property| !matches!(unit.ir.expr(property.value), ExprKind::Function(_)))
}

/// Classes that describe a tool in their fields and have a method that runs it.
fn classes(project: &Project, module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    for (id, class) in unit.ir.classes() {
        let has =
            |wanted: &[&str]| class.fields.iter().any(|field| wanted.contains(&unit.ir.text(field.name)));
        if !(has(&["name", "toolName"])
            && has(&["description", "inputSchema", "schema", "parameters", "input_schema"]))
        {
            continue;
        }
        let class = Cls { module, id };
        let method = ["execute", "run", "handle", "invoke", "call"]
            .iter()
            .find_map(|name| project.method(class, name));
        if let Some(handler) = method {
            push(project, At { module, expr: ExprId::MISSING }, handler, entries);
        }
    }
}
