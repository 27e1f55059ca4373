//! Joining modules to a project.

use std::{collections::BTreeMap, hash::BuildHasher, sync::Arc};

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::{
    At, Callee, Cls, Fun, ModuleId, Paths, Project, Symbol, Unit, Word, compact::Few, resolve, shapes,
    this_class,
};
use crate::{
    flow::{self, Says},
    ir::{ExprKind, Module, Texts},
    library::Libraries,
    tables::Schema,
    tenancy::{self, Tenancy},
};

/// What a project is made of.
#[derive(Debug, Default)]
pub struct Input {
    /// The lowered files.
    pub modules: Vec<Module>,
    /// `package.json`, `tsconfig.json`, `pyproject.toml` and their like: path and text.
    pub manifests: Vec<(String, String)>,
    /// What libraries do.
    pub libraries: Libraries,
    /// The tables of the database.
    pub tables: Schema,
    /// Whether several tenants use it, when the user has said so.
    pub tenancy: Option<Tenancy>,
}

impl Project {
    /// Joins modules: resolves imports and calls, finds entry points and what they reach.
    #[must_use]
    pub fn new(input: Input) -> Self {
        use rayon::prelude::*;
        let mut input = input;
        let texts = Texts::share(&mut input.modules);
        let units: Vec<Unit> = input.modules.into_par_iter().map(Unit::new).collect();
        let memory = super::Memory::of(&units);
        let paths = Paths::new(&units, &input.manifests);
        let globals = units.iter().map(resolve::globals).collect();
        let exports = units.iter().map(resolve::exports).collect();
        let shapes = units.iter().map(shapes::shapes).collect();
        let mut project = Self {
            units,
            libraries: input.libraries,
            tables: input.tables,
            packages: BTreeMap::new(),
            desktops: std::collections::BTreeSet::new(),
            tenancy: input.tenancy,
            paths,
            homes: Vec::new(),
            callers: FxHashMap::default(),
            made: FxHashMap::default(),
            callees: Vec::new(),
            callee_of: Vec::new(),
            methods: FxHashMap::default(),
            entries: Vec::new(),
            entry_of: FxHashMap::default(),
            admitted: FxHashMap::default(),
            reach: FxHashMap::default(),
            served: Vec::new(),
            texts,
            exports,
            globals,
            shapes,
            implementers: FxHashMap::default(),
            field_writes: FxHashMap::default(),
            subclasses: FxHashMap::default(),
            memory,
        };
        project.find_members();
        project.find_implementers();
        project.find_subclasses();
        project.find_calls();
        (project.entries, project.admitted) = flow::find_entries(&project);
        project.entry_of =
            project.entries.iter().enumerate().map(|(number, entry)| (entry.handler, number)).collect();
        project.reach = flow::find_reach(&project);
        project.served = flow::find_served(&project);
        project.packages = tenancy::find_packages(&project, &input.manifests);
        project.desktops = tenancy::find_desktops(&input.manifests);
        project.find_homes();
        project
    }

    fn find_homes(&mut self) {
        let mut folders: FxHashMap<&str, Arc<str>> = FxHashMap::default();
        let mut homes = Vec::with_capacity(self.units.len());
        for unit in &self.units {
            let folder = self.package_folder(&unit.ir.path);
            homes.push(Arc::clone(folders.entry(folder).or_insert_with(|| folder.into())));
        }
        self.homes = homes;
    }

    fn find_members(&mut self) {
        let mut writes: FxHashMap<Cls, FxHashMap<String, Vec<At>>> = FxHashMap::default();
        let mut methods: FxHashMap<String, Vec<Fun>> = FxHashMap::default();
        for (module, unit) in self.units() {
            for write in &unit.index.writes {
                let ExprKind::Member { object, property, .. } = unit.ir.expr(write.place) else { continue };
                if !matches!(unit.ir.expr(*object), ExprKind::This) {
                    continue;
                }
                if let Some(id) = this_class(&unit.ir, write.function) {
                    let fields = writes.entry(Cls { module, id }).or_default();
                    let name = unit.ir.text(*property).to_owned();
                    fields.entry(name).or_default().push(At { module, expr: write.value });
                }
            }
            for (_, class) in unit.ir.classes() {
                for id in &class.methods {
                    if let Some(name) = unit.ir.function(*id).and_then(|function| function.name) {
                        methods
                            .entry(unit.ir.text(name).to_owned())
                            .or_default()
                            .push(Fun { module, id: *id });
                    }
                }
            }
        }
        self.field_writes = writes;
        self.methods = methods;
    }

    fn find_subclasses(&mut self) {
        let mut direct: Vec<(Cls, Cls)> = Vec::new();
        for (module, unit) in self.units() {
            for (id, class) in unit.ir.classes() {
                for base in &class.bases {
                    if let Symbol::Class(base) = self.symbol(At { module, expr: *base }) {
                        direct.push((base, Cls { module, id }));
                    }
                }
            }
        }
        let mut all: FxHashMap<Cls, Vec<Cls>> = FxHashMap::default();
        let mut bases_of: FxHashMap<Cls, Vec<Cls>> = FxHashMap::default();
        for (base, sub) in &direct {
            bases_of.entry(*sub).or_default().push(*base);
        }
        for (base, sub) in &direct {
            let mut bases = vec![*base];
            let mut next = 0;
            // A class that extends itself through others ends at the bound.
            while let Some(last) = bases.get(next).copied().filter(|_| next < 8) {
                next += 1;
                let subs = all.entry(last).or_default();
                if !subs.contains(sub) {
                    subs.push(*sub);
                }
                let more = bases_of.get(&last).into_iter().flatten().copied();
                let more: Vec<Cls> = more.filter(|base| !bases.contains(base)).collect();
                bases.extend(more);
            }
        }
        self.subclasses = all;
    }

    fn find_calls(&mut self) {
        let mut callees = Callees::default();
        let mut callee_of = Vec::with_capacity(self.units.len());
        let mut callers: FxHashMap<Fun, Vec<At>> = FxHashMap::default();
        let mut made: FxHashMap<Cls, Vec<At>> = FxHashMap::default();
        for (module, unit) in (0..).map(ModuleId).zip(&self.units) {
            let decorators =
                unit.ir.functions().flat_map(|(_, function)| function.decorators.iter().copied());
            let bare = decorators.filter(|expr| !matches!(unit.ir.expr(*expr), ExprKind::Call(_)));
            let bare: Vec<_> = bare.collect();
            let mut numbers = Vec::with_capacity(unit.index.calls.len() + bare.len());
            for expr in unit.index.calls.iter().chain(&bare) {
                let at = At { module, expr: *expr };
                let Some((callee, class)) = self.find_callee(at) else { continue };
                if let (Some(class), ExprKind::Call(_)) = (class, unit.ir.expr(*expr)) {
                    made.entry(class).or_default().push(at);
                }
                for target in &callee.targets {
                    callers.entry(*target).or_default().push(at);
                }
                numbers.push((expr.0, callees.number(callee)));
            }
            callee_of.push(Few::of(unit.ir.exprs.len(), numbers));
        }
        callees.all.shrink_to_fit();
        self.callees = callees.all;
        self.callee_of = callee_of;
        self.callers = callers;
        self.made = made;
    }
}

/// Callees that are gathered: most calls call what others call too.
#[derive(Default)]
struct Callees {
    all: Vec<Callee>,
    by_hash: FxHashMap<u64, Vec<u32>>,
    /// What the names of callees say.
    said: FxHashMap<Word, Says>,
}

impl Callees {
    /// One more than the place of a callee.
    fn number(&mut self, mut callee: Callee) -> u32 {
        let Callee { package, path, targets, certain, .. } = &callee;
        let hash = FxBuildHasher.hash_one((package, path, targets, certain));
        let same = self.by_hash.entry(hash).or_default();
        let known = same
            .iter()
            .find(|number| self.all.get(**number as usize - 1).is_some_and(|known| known.is(&callee)));
        if let Some(known) = known {
            return *known;
        }
        callee.says = *match self.said.get(callee.name()) {
            Some(said) => said,
            None => self.said.entry(callee.name().into()).or_insert_with_key(|name| Says::of(name)),
        };
        self.all.push(callee);
        let number = u32::try_from(self.all.len()).unwrap_or(0);
        same.push(number);
        number
    }
}
