//! What objects of a written type are.

use super::{ModuleId, Path, Project, Symbol};
use crate::ir::BindingKind;

/// Types that only wrap another one.
const WRAPPERS: &[&str] = &[
    "Promise",
    "Optional",
    "Union",
    "Readonly",
    "Partial",
    "Required",
    "Annotated",
    "Awaitable",
    "Coroutine",
    "Any",
    "None",
    "null",
    "undefined",
    "typing",
    "Type",
    "type",
    "InstanceType",
    "ReturnType",
    "typeof",
    "NonNullable",
    "AsyncIterator",
    "AsyncGenerator",
    "Iterator",
    "Generator",
    "ClassVar",
    "Final",
    "string",
    "str",
    "number",
    "int",
    "boolean",
    "bool",
    "object",
    "unknown",
    "any",
    "void",
    "dict",
    "Dict",
    "list",
    "List",
    "Map",
    "Record",
    "Array",
    "Set",
    "set",
    "tuple",
];

/// Types whose argument is not what the value is: a map of pools is no pool.
const CONTAINERS: &[&str] = &[
    "dict",
    "Dict",
    "list",
    "List",
    "Map",
    "Record",
    "Array",
    "Set",
    "set",
    "tuple",
    "Tuple",
    "WeakMap",
    "ReadonlyArray",
    "Callable",
];

impl Project {
    /// What an object of a written type is.
    #[must_use]
    pub fn type_symbol(&self, module: ModuleId, text: &str, depth: u32) -> Symbol {
        let unknown = || Symbol::Unknown(Path::EMPTY);
        let (Some(depth), Some(unit)) = (self.step(depth), self.unit(module)) else { return unknown() };
        if text.starts_with('{') {
            return self.named_shape(module, text, depth).unwrap_or_else(unknown);
        }
        if let Some(of) = self.type_of_value(module, text, depth) {
            return of;
        }
        let ident = |char: char| char.is_alphanumeric() || matches!(char, '_' | '$' | '.');
        for word in text.split(|char| !ident(char)).filter(|word| !word.is_empty()) {
            let mut parts = word.split('.');
            let Some(first) = parts.next() else { continue };
            let last = word.rsplit('.').next().unwrap_or(first);
            if CONTAINERS.contains(&last) {
                return unknown();
            }
            if WRAPPERS.contains(&last) {
                continue;
            }
            let Some(binding) = self.global(module, first) else { continue };
            let Some(kind) = unit.ir.binding(binding).map(|binding| binding.kind) else { continue };
            // Following a variable as a type would come back here.
            if !matches!(kind, BindingKind::Class(_) | BindingKind::Import(_) | BindingKind::Other) {
                continue;
            }
            let mut symbol = self.bound_symbol(module, binding, depth);
            for part in parts {
                symbol = self.member(symbol, part, depth);
            }
            match symbol {
                Symbol::Class(class) => return Symbol::Instance(class),
                Symbol::External { .. } => return symbol,
                _ if word == first => {
                    if let Some(of) = self.named_shape(module, first, depth) {
                        return of;
                    }
                }
                _ => {}
            }
        }
        unknown()
    }
}
