//! Methods of classes, and of those that they extend.

use super::{At, Cls, Fun, Project, Symbol};

impl Project {
    /// The name of a class for messages.
    #[must_use]
    pub fn class_name(&self, class: Cls) -> &str {
        let name =
            self.unit(class.module).and_then(|unit| Some(unit.ir.text(unit.ir.class(class.id)?.name?)));
        name.unwrap_or("this class")
    }

    /// The method of a class or of one that it extends: of the class itself, else of the first one of those that has it.
    #[must_use]
    pub fn method(&self, class: Cls, name: &str) -> Option<Fun> {
        // Most have it themselves, or extend nothing.
        let own = self.own_method(class, name);
        let extends = || {
            self.unit(class.module)
                .and_then(|unit| unit.ir.class(class.id))
                .is_some_and(|decl| !decl.bases.is_empty())
        };
        if own.is_some() || !extends() {
            return own;
        }
        let mut open = vec![class];
        let mut seen: Vec<Cls> = Vec::new();
        while let Some(class) = open.pop().filter(|_| seen.len() < 16) {
            if seen.contains(&class) {
                continue;
            }
            seen.push(class);
            let own = self.own_method(class, name);
            if own.is_some() {
                return own;
            }
            let decl = self.unit(class.module)?.ir.class(class.id)?;
            let bases = decl.bases.iter().rev().filter_map(|base| {
                match self.symbol(At { module: class.module, expr: *base }) {
                    Symbol::Class(base) => Some(base),
                    _ => None,
                }
            });
            open.extend(bases);
        }
        None
    }

    /// The method of a class itself.
    fn own_method(&self, class: Cls, name: &str) -> Option<Fun> {
        let unit = self.unit(class.module)?;
        let found = unit.ir.class(class.id)?.methods.iter().find(|id| {
            let function = unit.ir.function(**id);
            function.and_then(|function| function.name).is_some_and(|own| unit.ir.text(own) == name)
        });
        found.map(|id| Fun { module: class.module, id: *id })
    }
}
