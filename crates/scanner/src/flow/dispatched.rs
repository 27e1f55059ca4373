//! Tools that the one handler of a server reaches by an object, by the name of a method, or by what is put into a table piece by piece:
//! `handlers.get(name).run(arguments)`, `getattr(tools, name)(**arguments)`, `handlers.set("list", list)`.

use super::{
    Entry,
    dispatch::{add, is_name_of_table, is_name_of_tool, push},
};
use crate::{
    ir::{
        ArgKind, Call, ExprId, ExprKind, FunctionId, FunctionKind, Kinds, Language, NameRef, PropertyKey,
        TemplatePart,
    },
    project::{At, Cls, Fun, ModuleId, Parent, Project, Symbol, Unit},
    vocabulary,
};

/// First words of names of methods that run a tool.
const RUNS: &[&str] = &["run", "execute", "handle", "invoke", "call"];

/// The tools that a module of such a package puts into tables, has as objects, or reaches by the names of methods.
pub(super) fn dispatched(project: &Project, module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    for call in &unit.index.calls {
        let at = At { module, expr: *call };
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { continue };
        put(project, unit, at, call, entries);
        by_attribute(project, unit, at, call, entries);
        filled_table(project, unit, at, call, entries);
    }
    for write in &unit.index.writes {
        let ExprKind::Index { object, .. } = unit.ir.expr(write.place) else { continue };
        let at = At { module, expr: write.place };
        match last_name(unit, *object) {
            Some(name) if is_name_of_table(name) => add_any(project, at, at.to(write.value), entries),
            _ => {}
        }
    }
    for (id, expr) in unit.ir.exprs_of(Kinds::OBJECT) {
        let ExprKind::Object(properties) = expr else { continue };
        let Parent::Stmt(stmt) = unit.index.parent(id) else { continue };
        let crate::ir::StmtKind::Assign { target, .. } = unit.ir.stmt(stmt) else { continue };
        if target.as_binding().is_some_and(|id| is_name_of_table(unit.ir.binding_name(id))) {
            let named = properties
                .iter()
                .filter(|own| matches!(own.key, PropertyKey::Name(_) | PropertyKey::Computed(_)));
            named.for_each(|own| {
                object(project, At { module, expr: id }, At { module, expr: own.value }, entries)
            });
        }
    }
    of_tools_class(project, module, unit, entries);
}

/// Tools that a module registers in ways of which the text of its package says nothing else.
pub(super) fn registries(project: &Project, module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    if unit.ir.language != Language::Python {
        return;
    }
    for write in &unit.index.writes {
        let ExprKind::Index { object, index, .. } = unit.ir.expr(write.place) else { continue };
        // `server.request_handlers[CallToolRequest] = on_call` of the low-level server.
        if last_name(unit, *object) != Some("request_handlers")
            || last_name(unit, *index) != Some("CallToolRequest")
        {
            continue;
        }
        let registration = At { module, expr: write.place };
        let handlers = super::registered::functions_of(project, registration.to(write.value));
        entries.extend(handlers.into_iter().map(|handler| Entry {
            handler,
            kind: "tool".to_owned(),
            registration,
            input: Some(vec![0]),
            context: Vec::new(),
        }));
    }
    own_registry(project, module, unit, entries);
}

/// Whether a call hands over nothing but all that was sent, by name: `run(**arguments)`.
fn sends_all(call: &Call) -> bool {
    matches!(&*call.args, [only] if matches!(only.kind, ArgKind::KeywordSpread))
}

/// A tool of whose parameters callers fill every one, also one that is named for an owner.
fn push_filled(registration: At, handler: Fun, entries: &mut Vec<Entry>) {
    for own in entries.iter_mut().filter(|own| own.handler == handler && own.kind == "tool") {
        own.input = None;
    }
    let kind = "tool".to_owned();
    entries.push(Entry { handler, kind, registration, input: None, context: Vec::new() });
}

/// The functions of a table that is written out, of which a name picks one that is given all that was sent: `TOOLS[name](**arguments)`.
fn filled_table(project: &Project, unit: &Unit, at: At, call: &Call, entries: &mut Vec<Entry>) {
    let ExprKind::Index { object, index, .. } = unit.ir.expr(call.callee) else { return };
    if unit.ir.language != Language::Python || !sends_all(call) || !is_name_of_tool(unit, *index) {
        return;
    }
    for table in project.elements(at.to(*object)) {
        let Some(home) = project.unit(table.module) else { continue };
        let ExprKind::Object(properties) = home.ir.expr(table.expr) else { continue };
        for property in properties.iter().take(64) {
            if let Symbol::Function(handler) = project.symbol(table.to(property.value)) {
                push_filled(at, handler, entries);
            }
        }
    }
}

/// What is put into a table of handlers under a name: `handlers.set("list", list)`.
fn put(project: &Project, unit: &Unit, at: At, call: &Call, entries: &mut Vec<Entry>) {
    let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return };
    if unit.ir.text(*property) != "set" || !last_name(unit, *object).is_some_and(is_name_of_table) {
        return;
    }
    let named = call.positional(0).is_some_and(|key| matches!(unit.ir.expr(key), ExprKind::String(_)));
    if let Some(value) = call.positional(1).filter(|_| named && call.args.len() == 2) {
        add_any(project, at, at.to(value), entries);
    }
}

/// A function, or an object with a method that runs a tool.
fn add_any(project: &Project, table: At, value: At, entries: &mut Vec<Entry>) {
    add(project, table, value, entries);
    object(project, table, value, entries);
}

/// The method of an object of the project's own that runs a tool.
fn object(project: &Project, table: At, value: At, entries: &mut Vec<Entry>) {
    if let Symbol::Instance(class) = project.symbol(value)
        && let Some(handler) = runs(project, class)
    {
        push(project, table, handler, entries);
    }
}

/// The method of a class that runs it as a tool, of its own or of one that it extends.
fn runs(project: &Project, class: Cls) -> Option<Fun> {
    let own = || {
        let unit = project.unit(class.module)?;
        let methods = &unit.ir.class(class.id)?.methods;
        let found = methods.iter().find(|id| {
            let name = unit.ir.function(**id).and_then(|own| own.name).map_or("", |name| unit.ir.text(name));
            is_run(name)
        });
        found.map(|id| Fun { module: class.module, id: *id })
    };
    own().or_else(|| RUNS.iter().find_map(|name| project.method(class, name)))
}

/// Whether a name is that of a method that runs a tool: `run`, `run_tool`, `execute`, `call_tool`.
fn is_run(name: &str) -> bool {
    let words = vocabulary::words(name);
    let Some((first, rest)) = words.split_first() else { return false };
    RUNS.contains(&first.as_str()) && rest.iter().all(|word| word == "tool" || word == "async")
}

/// Classes of tools by what they extend, where that is of the project: `class Notes(ToolHandler)`.
fn of_tools_class(project: &Project, module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    for (_, class) in unit.ir.classes() {
        let tools = class.bases.iter().any(|base| {
            let named = last_name(unit, *base)
                .is_some_and(|name| vocabulary::words(name).iter().any(|word| word == "tool"));
            named && matches!(project.symbol(At { module, expr: *base }), Symbol::Class(_))
        });
        let method = class.methods.iter().find(|id| {
            let function = unit.ir.function(**id);
            function.is_some_and(|own| {
                own.name.is_some_and(|name| is_run(unit.ir.text(name))) && !own.params.is_empty()
            })
        });
        if let Some(method) = method.filter(|_| tools) {
            push(
                project,
                At { module, expr: class.bases.first().copied().unwrap_or(ExprId::MISSING) },
                Fun { module, id: *method },
                entries,
            );
        }
    }
}

/// Functions that the name of a tool finds as attributes: `getattr(tools, name)(**arguments)`, ``this[`tool_${name}`](args)``.
fn by_attribute(project: &Project, unit: &Unit, at: At, call: &Call, entries: &mut Vec<Entry>) {
    let (object, name) = match unit.ir.expr(call.callee) {
        ExprKind::Call(getter) if unit.ir.language == Language::Python => {
            let named = matches!(unit.ir.expr(getter.callee), ExprKind::Name(NameRef::Global(name)) if unit.ir.text(*name) == "getattr");
            match (getter.positional(0), getter.positional(1)) {
                (Some(object), Some(name)) if named => (object, name),
                _ => return,
            }
        }
        ExprKind::Index { object, index, .. } => (*object, *index),
        _ => return,
    };
    let prefix = match unit.ir.expr(name) {
        ExprKind::Template(parts) => match &**parts {
            [TemplatePart::Text(text), TemplatePart::Value(value)] if is_name_of_tool(unit, *value) => {
                unit.ir.text(*text)
            }
            _ => return,
        },
        _ if is_name_of_tool(unit, name) => "",
        _ => return,
    };
    let handlers: Vec<Fun> = match project.symbol(at.to(object)) {
        Symbol::Module(of) => functions(project, of, prefix),
        // Without the beginning of a name every method would be one.
        Symbol::Instance(class) if !prefix.is_empty() => methods(project, class, prefix),
        _ => return,
    };
    for handler in handlers.into_iter().take(64) {
        if sends_all(call) {
            push_filled(at, handler, entries);
        } else {
            push(project, at, handler, entries);
        }
    }
}

/// The public functions of a module whose names begin so.
fn functions(project: &Project, module: ModuleId, prefix: &str) -> Vec<Fun> {
    let Some(unit) = project.unit(module) else { return Vec::new() };
    let public = unit.ir.functions().filter(|(id, function)| {
        let name = function.name.map_or("", |name| unit.ir.text(name));
        function.class.is_none()
            && function.parent == Some(FunctionId::MODULE)
            && !name.is_empty()
            && !name.starts_with('_')
            && name.starts_with(prefix)
            && *id != FunctionId::MODULE
    });
    public.map(|(id, _)| Fun { module, id }).collect()
}

/// The methods of a class whose names begin so.
fn methods(project: &Project, class: Cls, prefix: &str) -> Vec<Fun> {
    let Some(unit) = project.unit(class.module) else { return Vec::new() };
    let Some(decl) = unit.ir.class(class.id) else { return Vec::new() };
    let named = decl.methods.iter().filter(|id| {
        let function = unit.ir.function(**id);
        function.is_some_and(|own| {
            own.kind != FunctionKind::Constructor
                && own.name.is_some_and(|name| unit.ir.text(name).starts_with(prefix))
        })
    });
    named.map(|id| Fun { module: class.module, id: *id }).collect()
}

/// Functions below a decorator of the project that puts what it is given into a table of tools: `TOOLS.append(fn); return fn`.
fn own_registry(project: &Project, module: ModuleId, unit: &Unit, entries: &mut Vec<Entry>) {
    for (id, function) in unit.ir.functions() {
        for decorator in &function.decorators {
            let at = At { module, expr: *decorator };
            let named = match unit.ir.expr(*decorator) {
                ExprKind::Call(call) => at.to(call.callee),
                _ => at,
            };
            if let Symbol::Function(target) = project.symbol(named)
                && puts_into_table(project, target)
            {
                push(project, at, Fun { module, id }, entries);
            }
        }
    }
}

/// Whether a function, or one that it gives, puts its parameter into a table of tools.
fn puts_into_table(project: &Project, fun: Fun) -> bool {
    let Some(unit) = project.unit(fun.module) else { return false };
    let of_tools = |name: &str| {
        vocabulary::words(name).last().is_some_and(|last| matches!(last.as_str(), "tool" | "tools"))
    };
    let inner = unit.index.inner(fun.id);
    let of = |id: FunctionId| id == fun.id || inner.contains(&id);
    let parameter = |expr: ExprId| match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => {
            project.parameter_of(fun.module, *id).is_some_and(|(own, ..)| of(own.id))
        }
        _ => false,
    };
    let written = unit.index.writes.iter().filter(|write| of(write.function)).any(|write| {
        matches!(unit.ir.expr(write.place), ExprKind::Index { object, .. }
            if last_name(unit, *object).is_some_and(of_tools))
            && parameter(write.value)
    });
    written
        || unit.index.calls.iter().filter(|call| of(unit.index.function(**call))).any(|call| {
            let ExprKind::Call(call) = unit.ir.expr(*call) else { return false };
            let ExprKind::Member { object, property, .. } = unit.ir.expr(call.callee) else { return false };
            unit.ir.text(*property) == "append"
                && last_name(unit, *object).is_some_and(of_tools)
                && call.positional(0).is_some_and(parameter)
        })
}

/// The last name of a name or a member.
fn last_name(unit: &Unit, expr: ExprId) -> Option<&str> {
    match unit.ir.expr(expr) {
        ExprKind::Name(NameRef::Binding(id)) => Some(unit.ir.binding_name(*id)),
        ExprKind::Name(NameRef::Global(name)) => Some(unit.ir.text(*name)),
        ExprKind::Member { property, .. } => Some(unit.ir.text(*property)),
        _ => None,
    }
}
