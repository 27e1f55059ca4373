//! A module as readable text, for the tests of front ends.

use std::fmt::Write;

use super::{
    ArgKind, ExprId, ExprKind, FunctionId, Module, NameRef, Pattern, PropertyKey, StmtId, StmtKind,
    TemplatePart,
};

/// Writes a module's functions, each with its statements, one a line. Bindings are written with their ids, so that what a name
/// stands for is seen.
#[must_use]
pub fn dump(module: &Module) -> String {
    let mut out = String::new();
    for import in &module.imports {
        let binding = import.binding.map_or_else(String::new, |id| name(module, NameRef::Binding(id)));
        let _ = writeln!(out, "import {:?} from {} as {binding}", import.kind, module.text(import.specifier));
    }
    for (id, function) in module.functions() {
        let params: Vec<String> = function
            .params
            .iter()
            .map(|parameter| {
                let default =
                    parameter.default.map_or_else(String::new, |value| format!(" = {}", expr(module, value)));
                format!("{}{default}", pattern(module, &parameter.pattern))
            })
            .collect();
        let _ = writeln!(
            out,
            "fn{} {:?} {} ({}){}{}{}",
            id.0,
            function.kind,
            function.name.map_or("-", |name| module.text(name)),
            params.join(", "),
            if function.is_async { " async" } else { "" },
            function.class.map_or_else(String::new, |class| format!(" class{}", class.0)),
            function.decorators.iter().fold(String::new(), |all, d| format!("{all} @{}", expr(module, *d))),
        );
        block(module, &function.body, 1, &mut out);
    }
    for (id, class) in module.classes() {
        let bases: Vec<String> = class.bases.iter().map(|base| expr(module, *base)).collect();
        let _ = writeln!(
            out,
            "class{} {} ({})",
            id.0,
            class.name.map_or("-", |name| module.text(name)),
            bases.join(", ")
        );
        for field in &class.fields {
            let value = field.value.map_or_else(String::new, |value| format!(" = {}", expr(module, value)));
            let _ = writeln!(
                out,
                "  {}{}{value}",
                if field.is_static { "static " } else { "" },
                module.text(field.name)
            );
        }
        let methods: Vec<String> = class.methods.iter().map(|method| format!("fn{}", method.0)).collect();
        let _ = writeln!(out, "  methods {}", methods.join(" "));
    }
    for export in &module.exports {
        let _ = writeln!(out, "export {} {:?}", module.text(export.name), export.kind);
    }
    out
}

fn name(module: &Module, name: NameRef) -> String {
    match name {
        NameRef::Binding(id) => format!("{}#{}", module.binding_name(id), id.0),
        NameRef::Global(name) => format!("${}", module.text(name)),
    }
}

fn block(module: &Module, stmts: &[StmtId], depth: usize, out: &mut String) {
    for id in stmts {
        stmt(module, *id, depth, out);
    }
}

fn line(depth: usize, text: &str, out: &mut String) {
    let _ = writeln!(out, "{:width$}{text}", "", width = depth * 2);
}

fn stmt(module: &Module, id: StmtId, depth: usize, out: &mut String) {
    let kind = module.stmt(id);
    match kind {
        StmtKind::Expr(value) => line(depth, &expr(module, *value), out),
        StmtKind::Assign { target, op, logical, value, declares } => {
            let word = if *declares { "let " } else { "" };
            let op = op.map_or_else(String::new, |op| format!("{op:?}"));
            let logical = logical.map_or_else(String::new, |op| format!("{op:?}"));
            line(
                depth,
                &format!("{word}{} {op}{logical}= {}", pattern(module, target), expr(module, *value)),
                out,
            );
        }
        StmtKind::Return(value) => line(depth, &format!("return {}", option(module, *value)), out),
        StmtKind::Throw(value) => line(depth, &format!("throw {}", option(module, *value)), out),
        StmtKind::Function(FunctionId(id)) => line(depth, &format!("function fn{id}"), out),
        StmtKind::Class(class) => line(depth, &format!("class class{}", class.0), out),
        _ => {
            let word = format!("{kind:?}");
            let word = word.split([' ', '(', '{']).next().unwrap_or("").to_lowercase();
            let mut head = word;
            super::walk::parts(module, id, &mut |part| match part {
                super::walk::Part::Expr(value) => head = format!("{head} {}", expr(module, value)),
                super::walk::Part::Pattern(target) => head = format!("{head} {}", pattern(module, target)),
                super::walk::Part::Stmt(_) => {}
            });
            line(depth, &head, out);
            super::walk::parts(module, id, &mut |part| {
                if let super::walk::Part::Stmt(inner) = part {
                    stmt(module, inner, depth + 1, out);
                }
            });
        }
    }
}

fn option(module: &Module, value: Option<ExprId>) -> String {
    value.map_or_else(String::new, |value| expr(module, value))
}

/// Writes a pattern.
#[must_use]
pub fn pattern(module: &Module, target: &Pattern) -> String {
    match target {
        Pattern::Binding(id) => name(module, NameRef::Binding(*id)),
        Pattern::Place(place) => expr(module, *place),
        Pattern::Object { properties, rest } => {
            let mut parts: Vec<String> = properties
                .iter()
                .map(|property| {
                    format!("{}: {}", key(module, property.key), pattern(module, &property.pattern))
                })
                .collect();
            parts.extend(rest.iter().map(|rest| format!("...{}", pattern(module, rest))));
            format!("{{{}}}", parts.join(", "))
        }
        Pattern::Array { items, rest } => {
            let mut parts: Vec<String> = items
                .iter()
                .map(|item| item.as_ref().map_or_else(String::new, |item| pattern(module, item)))
                .collect();
            parts.extend(rest.iter().map(|rest| format!("...{}", pattern(module, rest))));
            format!("[{}]", parts.join(", "))
        }
        Pattern::Default { pattern: inner, value } => {
            format!("{} = {}", pattern(module, inner), expr(module, *value))
        }
    }
}

fn key(module: &Module, key: PropertyKey) -> String {
    match key {
        PropertyKey::Name(name) => module.text(name).to_owned(),
        PropertyKey::Computed(value) => format!("[{}]", expr(module, value)),
        PropertyKey::Spread => "...".to_owned(),
    }
}

/// Writes an expression.
#[must_use]
#[expect(clippy::too_many_lines, reason = "one arm for each kind of node")]
pub fn expr(module: &Module, id: ExprId) -> String {
    let list = |items: &[ExprId]| items.iter().map(|item| expr(module, *item)).collect::<Vec<_>>().join(", ");
    match module.expr(id) {
        ExprKind::Missing => "?".to_owned(),
        ExprKind::String(text) => format!("{:?}", module.text(*text)),
        ExprKind::Number(text) => module.text(*text).to_owned(),
        ExprKind::Bool(value) => value.to_string(),
        ExprKind::Null => "null".to_owned(),
        ExprKind::Template(parts) => template(module, parts),
        ExprKind::Tagged { tag, parts } => format!("{}{}", expr(module, *tag), template(module, parts)),
        ExprKind::Name(reference) => name(module, *reference),
        ExprKind::This => "this".to_owned(),
        ExprKind::Super => "super".to_owned(),
        ExprKind::Member { object, property, optional } => {
            let dot = if *optional { "?." } else { "." };
            format!("{}{dot}{}", expr(module, *object), module.text(*property))
        }
        ExprKind::Index { object, index, optional } => {
            let dot = if *optional { "?." } else { "" };
            format!("{}{dot}[{}]", expr(module, *object), expr(module, *index))
        }
        ExprKind::Call(call) => {
            let args: Vec<String> = call
                .args
                .iter()
                .map(|arg| {
                    let value = expr(module, arg.value);
                    match arg.kind {
                        ArgKind::Positional => value,
                        ArgKind::Keyword(name) => format!("{}={value}", module.text(name)),
                        ArgKind::Spread => format!("...{value}"),
                        ArgKind::KeywordSpread => format!("**{value}"),
                    }
                })
                .collect();
            let new = if call.is_new { "new " } else { "" };
            let dot = if call.optional { "?." } else { "" };
            format!("{new}{}{dot}({})", expr(module, call.callee), args.join(", "))
        }
        ExprKind::Await(value) => format!("await {}", expr(module, *value)),
        ExprKind::Yield { value, delegate } => {
            format!("yield{} {}", if *delegate { "*" } else { "" }, option(module, *value))
        }
        ExprKind::Object(properties) => {
            let parts: Vec<String> = properties
                .iter()
                .map(|property| format!("{}: {}", key(module, property.key), expr(module, property.value)))
                .collect();
            format!("{{{}}}", parts.join(", "))
        }
        ExprKind::Array { items, kind } => format!("{kind:?}[{}]", list(items)),
        ExprKind::Spread(value) => format!("...{}", expr(module, *value)),
        ExprKind::Function(id) => format!("fn{}", id.0),
        ExprKind::Class(id) => format!("class{}", id.0),
        ExprKind::Conditional { test, then, otherwise } => {
            format!("({} ? {} : {})", expr(module, *test), expr(module, *then), expr(module, *otherwise))
        }
        ExprKind::Logical { op, left, right } => {
            format!("({} {op:?} {})", expr(module, *left), expr(module, *right))
        }
        ExprKind::Unary { op, operand } => format!("({op:?} {})", expr(module, *operand)),
        ExprKind::Binary { op, left, right } => {
            format!("({} {op:?} {})", expr(module, *left), expr(module, *right))
        }
        ExprKind::Compare { op, left, right } => {
            format!("({} {op:?} {})", expr(module, *left), expr(module, *right))
        }
        ExprKind::Assign { target, value, .. } => {
            format!("({} := {})", pattern(module, target), expr(module, *value))
        }
        ExprKind::Comprehension(comprehension) => {
            let mut text = format!("{:?}[", comprehension.kind);
            if let Some(key) = comprehension.key {
                let _ = write!(text, "{}: ", expr(module, key));
            }
            text.push_str(&expr(module, comprehension.element));
            for clause in &comprehension.clauses {
                let _ =
                    write!(text, " for {} in {}", pattern(module, &clause.target), expr(module, clause.iter));
                for condition in &clause.conditions {
                    let _ = write!(text, " if {}", expr(module, *condition));
                }
            }
            text.push(']');
            text
        }
        ExprKind::Sequence(items) => format!("({})", list(items)),
        ExprKind::Import(specifier) => format!("import({})", expr(module, *specifier)),
    }
}

fn template(module: &Module, parts: &[TemplatePart]) -> String {
    let parts: Vec<String> = parts
        .iter()
        .map(|part| match part {
            TemplatePart::Text(text) => module.text(*text).to_owned(),
            TemplatePart::Value(value) => format!("${{{}}}", expr(module, *value)),
        })
        .collect();
    format!("`{}`", parts.concat())
}
