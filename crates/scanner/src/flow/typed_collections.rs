//! Collections of documents whose type says that they have an owner: `db.collection<NoteDoc>("notes")` of
//! `interface NoteDoc { tenantId: string }`.

use super::Owned;
use crate::{
    ir::{BindingKind, ExprKind, ImportKind, Language},
    project::{ModuleId, Project},
    tables::level_of_column,
};

/// How much of a type is read.
const LONGEST: usize = 4096;

impl Project {
    /// Notes the collections whose documents have an owner by their type.
    pub(super) fn typed_collections(&self, note: &mut impl FnMut(&str, Owned)) {
        for (module, unit) in self.units() {
            if unit.ir.language != Language::JavaScript {
                continue;
            }
            for expr in &unit.index.calls {
                let ExprKind::Call(call) = unit.ir.expr(*expr) else { continue };
                let ExprKind::Member { property, .. } = unit.ir.expr(call.callee) else { continue };
                if unit.ir.text(*property) != "collection" {
                    continue;
                }
                let Some(first) = call.positional(0) else { continue };
                let ExprKind::String(name) = unit.ir.expr(first) else { continue };
                let mut between = unit.ir.span(call.callee);
                (between.start, between.end) = (between.end, unit.ir.span(first).start);
                let given = unit.ir.snippet(between).trim_start();
                let Some(given) = given.strip_prefix('<').and_then(|rest| rest.split_once('>')) else {
                    continue;
                };
                if self.type_has_owner(module, given.0.trim()) {
                    note(unit.ir.text(*name), Owned::Yes);
                }
            }
        }
    }

    /// Whether an interface or a type of that name, of a module or one that it imports it from, has an owner's field.
    fn type_has_owner(&self, module: ModuleId, name: &str) -> bool {
        let Some((home, id)) = self.global(module, name).and_then(|id| {
            let unit = self.unit(module)?;
            match unit.ir.binding(id)?.kind {
                BindingKind::Import(number) => {
                    let import = unit.ir.imports.get(number as usize)?;
                    let ImportKind::Named(wanted) = import.kind else { return None };
                    let home = self.imported_module(module, unit.ir.text(import.specifier))?;
                    Some((home, self.global(home, unit.ir.text(wanted))?))
                }
                _ => Some((module, id)),
            }
        }) else {
            return false;
        };
        let Some(unit) = self.unit(home) else { return false };
        let Some(binding) = unit.ir.binding(id).filter(|binding| binding.kind == BindingKind::Other) else {
            return false;
        };
        let rest = unit.ir.source.get(binding.span.end as usize..).unwrap_or("");
        members(rest).any(|name| level_of_column(name).is_some())
    }
}

/// The names of the members of the type that a text goes on with.
fn members(text: &str) -> impl Iterator<Item = &str> {
    let end = text.char_indices().nth(LONGEST).map_or(text.len(), |(at, _)| at);
    let text = text.get(..end).unwrap_or("");
    let body = text.split_once('{').map_or("", |(_, body)| body);
    let mut depth = 1_usize;
    let close = body.char_indices().find_map(|(at, char)| {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    });
    let body = body.get(..close.unwrap_or(body.len())).unwrap_or("");
    body.split([';', ',', '\n']).filter_map(|member| {
        let (name, _) = member.split_once(':')?;
        let name = name.trim().trim_start_matches("readonly ").trim_end_matches('?').trim();
        name.chars().all(|char| char.is_alphanumeric() || char == '_').then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::members;

    #[test]
    fn members_of_a_type_are_read_to_its_end() {
        let of = |text: &str| members(text).collect::<Vec<_>>().join(" ");
        assert_eq!(
            of(" { _id: ObjectId; readonly tenantId?: string\n}\ninterface B { userId: string }"),
            "_id tenantId"
        );
        assert_eq!(of(" = { meta: { x: number }, title: string }; const a = { b: 1 }"), "meta title");
    }
}
