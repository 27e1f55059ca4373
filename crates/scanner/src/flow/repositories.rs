//! Which rows a repository keeps, by its type or its name.

use crate::{
    ir::{Call, ExprKind, NameRef},
    project::{At, Project, Symbol, Unit},
    vocabulary,
};

/// Words that say that something keeps rows, or how, and not which.
const KEEPERS: &[&str] = &[
    "repo",
    "repository",
    "repositories",
    "dao",
    "impl",
    "sql",
    "sqlalchemy",
    "base",
    "abstract",
    "async",
    "generic",
    "mongo",
    "postgres",
    "protocol",
    "interface",
    "this",
    "self",
    "i",
    "in",
    "memory",
];

impl Project {
    /// The entity whose rows a repository keeps that a method is called on: of `Repository<Note>`, of `NoteRepository`, of a
    /// variable `note_repo`.
    pub(crate) fn repository_entity(&self, at: At, call: &Call) -> Option<String> {
        let unit = self.unit(at.module)?;
        let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
        let of = at.to(*object);
        let typed = self.written_type(unit, of).and_then(|text| entity_of_type(&text));
        let class = || match self.symbol(of) {
            Symbol::Instance(class) => entity_of_name(self.class_name(class)),
            _ => None,
        };
        let named = || entity_of_name(self.written(of).last()?);
        typed.or_else(class).or_else(named)
    }

    /// The type that a parameter, variable or field was declared with.
    fn written_type(&self, unit: &Unit, of: At) -> Option<String> {
        let declared = |unit: &Unit, id| {
            let text = unit.ir.binding(id)?.type_text?;
            Some(unit.ir.text(text).to_owned())
        };
        match unit.ir.expr(of.expr) {
            ExprKind::Name(NameRef::Binding(id)) => {
                declared(unit, *id).or_else(|| self.parameter_type(of, *id))
            }
            ExprKind::Member { object, property, .. } if matches!(unit.ir.expr(*object), ExprKind::This) => {
                let class = self.this_of(self.function_of(of))?;
                let name = unit.ir.text(*property);
                let home = self.unit(class.module)?;
                let field =
                    home.ir.class(class.id)?.fields.iter().find(|field| home.ir.text(field.name) == name);
                let written =
                    field.and_then(|field| field.type_text).map(|text| home.ir.text(text).to_owned());
                written.or_else(|| {
                    self.field_values(class, name).into_iter().find_map(|value| {
                        let unit = self.unit(value.module)?;
                        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(value.expr) else {
                            return None;
                        };
                        declared(unit, *id).or_else(|| self.parameter_type(value, *id))
                    })
                })
            }
            _ => None,
        }
    }

    fn parameter_type(&self, at: At, id: crate::ir::BindingId) -> Option<String> {
        let (fun, number, path) = self.parameter_of(at.module, id)?;
        let unit = self.unit(fun.module)?;
        let text = unit.ir.function(fun.id)?.params.get(number)?.type_text.filter(|_| path.is_empty())?;
        Some(unit.ir.text(text).to_owned())
    }
}

/// Whether a name is that of something that keeps rows.
#[must_use]
pub fn is_repository(name: &str) -> bool {
    // Most names have none of the words in them.
    let begins = |part: &[u8]| part.eq_ignore_ascii_case(b"rep") || part.eq_ignore_ascii_case(b"dao");
    if !name.as_bytes().windows(3).any(begins) {
        return false;
    }
    let words = vocabulary::words(name);
    words.iter().any(|word| matches!(word.as_str(), "repo" | "repository" | "dao" | "repositories"))
}

/// The entity in a type: the argument of a repository, else the type's own name without what says that it is one.
fn entity_of_type(text: &str) -> Option<String> {
    let ident = |char: char| char.is_alphanumeric() || char == '_';
    let words: Vec<&str> = text.split(|char| !ident(char)).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|word| {
        let lower = word.to_lowercase();
        lower.contains("repo") || lower.ends_with("dao")
    })?;
    let own = entity_of_name(words.get(at)?);
    own.or_else(|| words.get(at + 1).map(|word| (*word).to_owned()))
}

/// What is left of a name without the words that say that it is a repository.
fn entity_of_name(name: &str) -> Option<String> {
    let words = vocabulary::words(name);
    let left: Vec<String> = words.iter().filter(|word| !KEEPERS.contains(&word.as_str())).cloned().collect();
    (!left.is_empty()).then(|| left.join("_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_named_for_what_it_keeps() {
        let entity = |text: &str| entity_of_type(text).unwrap_or_default();
        assert_eq!(entity("MCPServerRepository"), "mcp_server");
        assert_eq!(entity("Repository<Note>"), "Note");
        assert_eq!(entity("\"NoteRepoImpl | None\""), "note");
        assert_eq!(entity_of_name("repo"), None);
    }
}
