//! Interfaces and types of objects: where they are declared, which classes implement them, and what their members are.

use std::collections::BTreeMap;

use super::{At, Cls, Fun, ModuleId, Path, Project, Symbol, Unit};
use crate::{
    ir::{BindingKind, Class, ExportKind, ExprKind, ImportKind, Name},
    vocabulary,
};

/// A type of objects of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shp {
    /// Its module.
    pub module: ModuleId,
    /// Its number there.
    pub number: u32,
}

/// Of how many classes that implement one interface a call may run the method.
const MOST: usize = 8;

/// How many names are followed from one to the next.
const DEPTH: u32 = 24;

/// Through how many interfaces that extend others a class is looked for.
const BASES: u32 = 4;

/// Words of classes that stand in for another one when the program is tried.
const STAND_INS: &[&str] = &["mock", "fake", "stub", "dummy", "test", "noop", "spy"];

/// What a module declares, by numbers in its list, in the order of the places of their names.
pub(super) fn shapes(unit: &Unit) -> Box<[(u32, u32)]> {
    let all = (0..).zip(&unit.ir.shapes);
    let mut all: Box<[(u32, u32)]> =
        all.filter_map(|(number, shape)| Some((unit.ir.names.place(shape.name)?, number))).collect();
    all.sort_unstable();
    all
}

impl Project {
    /// The type of objects that a module declares, or writes out, under a name.
    pub(super) fn own_shape(&self, module: ModuleId, name: &str) -> Option<Shp> {
        let place = self.texts.place(name)?;
        let all = self.shapes.get(module.index())?;
        let (own, number) = all.get(all.partition_point(|(own, _)| *own < place))?;
        (*own == place).then_some(Shp { module, number: *number })
    }

    /// The type of objects that a name stands for in a module, wherever it is declared.
    fn find_shape(&self, module: ModuleId, name: &str, depth: u32) -> Option<Shp> {
        let depth = self.step(depth)?;
        if let Some(own) = self.own_shape(module, name) {
            return Some(own);
        }
        let unit = self.unit(module)?;
        let id = self.global(module, name)?;
        let BindingKind::Import(number) = unit.ir.binding(id)?.kind else { return None };
        if let Some(known) = self.memory.imported_shapes.borrow().get(&(module, id)) {
            return *known;
        }
        let import = unit.ir.imports.get(number as usize)?;
        let ImportKind::Named(wanted) = import.kind else { return None };
        let from = self.named_module(module, import.specifier)?;
        let found = self.exported_shape(from, unit.ir.text(wanted), depth);
        self.memory.imported_shapes.borrow_mut().insert((module, id), found);
        found
    }

    fn exported_shape(&self, module: ModuleId, name: &str, depth: u32) -> Option<Shp> {
        let depth = self.step(depth)?;
        if let Some(own) = self.own_shape(module, name) {
            return Some(own);
        }
        let unit = self.unit(module)?;
        let passed = self.exports_as(module, name).find_map(|export| match export.kind {
            ExportKind::From { specifier, name: Some(name) } => {
                self.exported_shape(self.named_module(module, specifier)?, unit.ir.text(name), depth)
            }
            ExportKind::Binding(binding) => self.find_shape(module, unit.ir.binding_name(binding), depth),
            _ => None,
        });
        passed.or_else(|| {
            self.passed(module)?.exported.iter().find_map(|from| self.exported_shape(*from, name, depth))
        })
    }

    /// Finds the classes that implement each interface.
    pub(super) fn find_implementers(&mut self) {
        let mut all: BTreeMap<Shp, Vec<Cls>> = BTreeMap::new();
        for (module, unit) in self.units() {
            for (id, class) in unit.ir.classes() {
                for shape in self.implemented_shapes(module, unit, class) {
                    let classes = all.entry(shape).or_default();
                    if classes.len() < MOST {
                        classes.push(Cls { module, id });
                    }
                }
            }
        }
        for classes in all.values_mut() {
            let real = |class: &Cls| {
                !vocabulary::words(self.class_name(*class))
                    .iter()
                    .any(|word| STAND_INS.contains(&word.as_str()))
            };
            if classes.iter().any(real) {
                classes.retain(real);
            }
        }
        self.implementers = all.into_iter().collect();
    }

    /// The interfaces that a class says it implements, and those that they extend.
    fn implemented_shapes(&self, module: ModuleId, unit: &Unit, class: &Class) -> Vec<Shp> {
        let named = |module: ModuleId, text: &str| self.find_shape(module, bare(text), DEPTH);
        let mut found: Vec<Shp> =
            class.implements.iter().filter_map(|name| named(module, unit.ir.text(*name))).collect();
        let mut next = 0;
        while let Some(shape) = found.get(next).copied().filter(|_| next < BASES as usize) {
            next += 1;
            let Some(home) = self.unit(shape.module) else { continue };
            let bases = home.ir.shapes.get(shape.number as usize).map(|own| &*own.bases).unwrap_or_default();
            for base in bases.iter().filter_map(|base| named(shape.module, home.ir.text(*base))) {
                if !found.contains(&base) {
                    found.push(base);
                }
            }
        }
        found
    }

    /// What an object of a type is that is named in a module: of the only class that implements it, else what the type says.
    pub(super) fn named_shape(&self, module: ModuleId, name: &str, depth: u32) -> Option<Symbol> {
        let of = if name.starts_with('{') {
            self.own_shape(module, name)?
        } else {
            self.find_shape(module, name, depth)?
        };
        let depth = self.step(depth)?;
        let unit = self.unit(of.module)?;
        let shape = unit.ir.shapes.get(of.number as usize)?;
        match self.implementers.get(&of).map(Vec::as_slice) {
            Some([one]) => return Some(Symbol::Instance(*one)),
            Some([_, _, ..]) => return Some(Symbol::Shape(of)),
            _ => {}
        }
        match &*shape.bases {
            // Another name for a type.
            [only] if shape.members.is_empty() => {
                let symbol = self.type_symbol(of.module, unit.ir.text(*only), depth);
                (!matches!(symbol, Symbol::Unknown(_))).then_some(symbol)
            }
            [] if shape.members.is_empty() => None,
            _ => Some(Symbol::Shape(of)),
        }
    }

    /// A member of an object of a type.
    pub(super) fn shape_member(&self, of: Shp, name: &str, depth: u32) -> Symbol {
        let unknown = || Symbol::Unknown(Path::of(self.shape_name(of)).then(name));
        let (Some(depth), Some(unit)) = (self.step(depth), self.unit(of.module)) else { return unknown() };
        let Some(shape) = unit.ir.shapes.get(of.number as usize) else { return unknown() };
        let own = |(_, text): &(Name, Name)| self.type_symbol(of.module, unit.ir.text(*text), depth);
        if let Some(member) = shape.members.iter().find(|(own, _)| unit.ir.text(*own) == name) {
            return match own(member) {
                Symbol::Unknown(_) => unknown(),
                known => known,
            };
        }
        for base in shape.bases.iter().take(MOST) {
            let base = self.type_symbol(of.module, unit.ir.text(*base), depth);
            if matches!(base, Symbol::Unknown(_)) || base == Symbol::Shape(of) {
                continue;
            }
            match self.member(base, name, depth) {
                Symbol::Unknown(_) => {}
                known => return known,
            }
        }
        unknown()
    }

    /// Whether a call is one of something that is only known by the type of the object that holds it, `container.notes.rename(id)` of
    /// `container: Container`: what stands there when the program runs is said elsewhere.
    pub(crate) fn is_by_shape(&self, call: At) -> bool {
        let Some(unit) = self.unit(call.module) else { return false };
        let ExprKind::Call(made) = unit.ir.expr(call.expr) else { return false };
        let mut here = made.callee;
        for _ in 0..6 {
            let ExprKind::Member { object, .. } = unit.ir.expr(here) else { return false };
            here = *object;
            if matches!(self.symbol(call.to(here)), Symbol::Shape(_)) {
                return true;
            }
        }
        false
    }

    fn shape_name(&self, of: Shp) -> &str {
        let name = self.unit(of.module).and_then(|unit| {
            let shape = unit.ir.shapes.get(of.number as usize)?;
            Some(unit.ir.text(shape.name))
        });
        name.filter(|name| !name.starts_with('{')).unwrap_or("object")
    }

    /// The methods that a call of one runs where the type of the object has none itself: those of the classes that implement an
    /// interface, or that extend the class.
    pub(super) fn implemented(&self, callee: At) -> Vec<Fun> {
        let Some(unit) = self.unit(callee.module) else { return Vec::new() };
        let ExprKind::Member { object, property, .. } = unit.ir.expr(callee.expr) else { return Vec::new() };
        let name = unit.ir.text(*property);
        let classes = match self.symbol(callee.to(*object)) {
            Symbol::Shape(of) => self.implementers.get(&of).map_or(&[][..], Vec::as_slice),
            Symbol::Instance(class) if self.method(class, name).is_none() => self.subclasses(class),
            _ => &[],
        };
        classes.iter().filter_map(|class| self.method(*class, name)).take(MOST).collect()
    }

    /// What a name is that is taken out of a parameter with a type: `notes` of `({ notes }: Deps)`.
    pub(super) fn taken_out(&self, module: ModuleId, id: crate::ir::BindingId, depth: u32) -> Option<Symbol> {
        let depth = self.step(depth)?;
        let (fun, number, path) = self.parameter_of(module, id)?;
        let unit = self.unit(module)?;
        let text = unit.ir.function(fun.id)?.params.get(number)?.type_text.filter(|_| !path.is_empty())?;
        let mut symbol = self.type_symbol(module, unit.ir.text(text), depth);
        for step in &path {
            symbol = match step {
                super::Step::Key(key) => self.member(symbol, unit.ir.text(*key), depth),
                _ => return None,
            };
        }
        (!matches!(symbol, Symbol::Unknown(_))).then_some(symbol)
    }

    /// What a type is that is asked of a value: `typeof notes`, `ReturnType<typeof createNotes>`.
    pub(super) fn type_of_value(&self, module: ModuleId, text: &str, depth: u32) -> Option<Symbol> {
        let depth = self.step(depth)?;
        let (before, after) = text.split_once("typeof ")?;
        let end = after
            .find(|char: char| !(char.is_alphanumeric() || matches!(char, '_' | '$')))
            .unwrap_or(after.len());
        let (name, rest) = after.split_at_checked(end)?;
        if rest.starts_with(['.', '[']) {
            return None;
        }
        let symbol = self.bound_symbol(module, self.global(module, name)?, depth);
        let symbol = match (before.trim_end().ends_with("ReturnType<"), symbol) {
            (true, of @ Symbol::Function(_)) => self.result(of, depth),
            (false, of @ (Symbol::Value(_) | Symbol::Instance(_) | Symbol::External { .. }))
                if before.is_empty() =>
            {
                of
            }
            _ => return None,
        };
        (!matches!(symbol, Symbol::Unknown(_))).then_some(symbol)
    }
}

/// The name of a type without its arguments.
fn bare(text: &str) -> &str {
    text.split(['<', '[', ' ']).next().unwrap_or("")
}
