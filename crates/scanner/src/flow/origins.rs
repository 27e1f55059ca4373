//! The provenance of values: which kinds of sources may be part of a value.
//!
//! Values are asked for on demand and remembered. The analysis does not tell the order of assignments or the callers of a
//! function apart: a value is the union of all that may be in it. So "the key has nothing of the principal" is certain, and "it
//! has something" is likely.

use std::ops::{BitOr, BitOrAssign};

use super::names::{
    asked_member, begins_environment, given_credential, injected_name, is_environment, makes, member_of,
    named, named_by, request_member,
};
use crate::{
    ir::{
        BindingId, BindingKind, ExprId, ExprKind, FunctionKind, LogicalOp, NameRef, PropertyKey,
        TemplatePart, UnaryOp,
    },
    library::{Origin, Role},
    project::{At, Cls, Fun, Made, ModuleId, Project, Step, Symbol, Word},
    vocabulary,
};

/// Kinds of sources that are part of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Origins(u16);

impl Origins {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Written out in the code.
    pub const CONSTANT: Self = Self(1);
    /// The environment of the process, its arguments and configuration.
    pub const ENV: Self = Self(1 << 1);
    /// What the caller or its model chose.
    pub const INPUT: Self = Self(1 << 2);
    /// A header, a token that nobody verified.
    pub const UNVERIFIED: Self = Self(1 << 3);
    /// The id of a session.
    pub const SESSION: Self = Self(1 << 4);
    /// Not known.
    pub const UNKNOWN: Self = Self(1 << 5);
    /// The verified caller.
    pub const PRINCIPAL: Self = Self(1 << 6);
    /// A credential of the verified caller.
    pub const SECRET: Self = Self(1 << 7);
    /// A request or context object as a whole.
    pub const REQUEST: Self = Self(1 << 8);
    /// Named like a tenant, user or caller, of unknown source.
    pub const OWNER: Self = Self(1 << 9);

    /// Whether any of `other` is part of it.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// With the kinds of `other`; `|` where a constant is needed.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without the kinds of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether a tenant, user or caller is part of it, verified or by its name.
    #[must_use]
    pub const fn has_owner(self) -> bool {
        self.has(Self(Self::PRINCIPAL.0 | Self::SECRET.0 | Self::OWNER.0))
    }

    /// Whether the caller has an influence on it that nobody checked.
    #[must_use]
    pub const fn is_chosen(self) -> bool {
        self.has(Self(Self::INPUT.0 | Self::UNVERIFIED.0 | Self::SESSION.0))
    }

    /// Whether it depends on a request at all.
    #[must_use]
    pub const fn is_of_request(self) -> bool {
        self.is_chosen()
            || self.has(Self(Self::PRINCIPAL.0 | Self::SECRET.0 | Self::REQUEST.0 | Self::OWNER.0))
    }

    pub(super) const fn of(origin: Origin) -> Self {
        match origin {
            Origin::Principal => Self::PRINCIPAL,
            Origin::Secret => Self::SECRET,
            Origin::Input => Self::INPUT,
            Origin::Unverified => Self::UNVERIFIED,
            Origin::SessionId => Self::SESSION,
            Origin::Env => Self::ENV,
            Origin::Request => Self::REQUEST,
            Origin::Constant => Self::CONSTANT,
        }
    }
}

impl crate::project::Small for Origins {
    fn number(self) -> u16 {
        self.0
    }

    fn of_number(number: u16) -> Self {
        Self(number)
    }
}

impl BitOr for Origins {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Origins {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// How many values are followed from one to the next.
const DEPTH: u32 = 28;

/// How many callers of a function are asked for an argument.
pub(super) const CALLERS: usize = 12;

/// What an expression is that needs no looking.
#[inline]
const fn plain(kind: &ExprKind) -> Option<Origins> {
    match kind {
        ExprKind::Missing
        | ExprKind::Super
        | ExprKind::Import(_)
        | ExprKind::This
        | ExprKind::Yield { .. } => Some(Origins::UNKNOWN),
        ExprKind::String(_)
        | ExprKind::Number(_)
        | ExprKind::Bool(_)
        | ExprKind::Null
        | ExprKind::Function(_)
        | ExprKind::Class(_)
        | ExprKind::Compare { .. } => Some(Origins::CONSTANT),
        ExprKind::Unary { op, .. } if !matches!(op, UnaryOp::Arithmetic) => Some(Origins::CONSTANT),
        _ => None,
    }
}

/// How many classes are followed from one to the library's that it extends.
const BASES: u32 = 6;

impl Project {
    /// The kinds of sources that may be part of a value.
    #[must_use]
    #[inline]
    pub fn origins(&self, at: At) -> Origins {
        self.origins_in(at, DEPTH)
    }

    pub(super) fn origins_in(&self, at: At, depth: u32) -> Origins {
        if let Some(origins) = self.unit(at.module).and_then(|unit| plain(unit.ir.expr(at.expr))) {
            return origins;
        }
        let Some(depth) = self.follow(depth) else { return Origins::UNKNOWN };
        self.memory.values.ask(at, Origins::NONE, || self.work_out(at, depth))
    }

    /// One value further; none when there were too many.
    pub(super) fn follow(&self, depth: u32) -> Option<u32> {
        let next = depth.checked_sub(1);
        match next {
            Some(next) => self.memory.lowest.set(self.memory.lowest.get().min(next)),
            None => self.memory.values.cut(),
        }
        next
    }

    /// What is made of other answers, unless it was made of the same ones before.
    fn made(&self, made: &Made<Origins>, at: At, depth: u32, find: impl FnOnce() -> Origins) -> Origins {
        let lowest = &self.memory.lowest;
        if let Some((known, takes)) = made.get(at, depth) {
            lowest.set(lowest.get().min(depth - takes));
            return known;
        }
        let outer = lowest.replace(depth);
        let cuts = self.memory.symbols.cuts();
        let (found, rests_on_nothing) = self.memory.values.watch(find);
        let here = lowest.get();
        lowest.set(outer.min(here));
        if rests_on_nothing && self.memory.symbols.cuts() == cuts {
            made.put(at, found, depth - here);
        }
        found
    }

    /// Gives up what was being worked out: a rule that panicked leaves it half done, and nothing would be remembered any more.
    pub(crate) fn forget_open(&self) {
        self.memory.values.forget_open();
        self.memory.symbols.forget_open();
    }

    fn work_out(&self, at: At, depth: u32) -> Origins {
        let Some(unit) = self.unit(at.module) else { return Origins::UNKNOWN };
        let below = |expr: ExprId| self.origins_in(at.to(expr), depth);
        let all = |exprs: &[ExprId]| exprs.iter().fold(Origins::NONE, |sum, expr| sum | below(*expr));
        match unit.ir.expr(at.expr) {
            ExprKind::Name(NameRef::Binding(binding)) => self.binding_origins(at.module, *binding, depth),
            ExprKind::Name(NameRef::Global(name)) => named(unit.ir.text(*name), Origins::UNKNOWN),
            ExprKind::Member { object, property, .. } => {
                self.member_origins(at.to(*object), unit.ir.text(*property), depth)
            }
            ExprKind::Index { object, index, .. } => match unit.ir.expr(*index) {
                ExprKind::String(name) => self.member_origins(at.to(*object), unit.ir.text(*name), depth),
                // `ORGS[api_key]`: whoever has the key is the one that it leads to.
                _ if self.is_named_credential(at.to(*index)) => {
                    let chosen = Origins::INPUT | Origins::UNVERIFIED | Origins::REQUEST;
                    (below(*object) | below(*index)).without(chosen) | Origins::OWNER
                }
                _ => below(*object).without(Origins::REQUEST) | below(*index),
            },
            ExprKind::Call(_) => self.call_origins(at, depth),
            ExprKind::Await(value) | ExprKind::Spread(value) => below(*value),
            ExprKind::Template(parts) | ExprKind::Tagged { parts, .. } => {
                parts.iter().fold(Origins::CONSTANT, |sum, part| match part {
                    TemplatePart::Text(_) => sum,
                    TemplatePart::Value(value) => sum | below(*value),
                })
            }
            ExprKind::Object(properties) => {
                properties.iter().fold(Origins::CONSTANT, |sum, property| match property.key {
                    PropertyKey::Computed(key) => sum | below(key) | below(property.value),
                    _ => sum | below(property.value),
                })
            }
            ExprKind::Array { items, .. } => all(items) | Origins::CONSTANT,
            ExprKind::Sequence(items) => all(items),
            ExprKind::Conditional { then, otherwise, .. } => below(*then) | below(*otherwise),
            ExprKind::Logical { op, left, right } => match op {
                LogicalOp::And => below(*right),
                LogicalOp::Or | LogicalOp::Nullish => below(*left) | below(*right),
            },
            ExprKind::Unary { operand, .. } => below(*operand),
            ExprKind::Binary { left, right, .. } => below(*left) | below(*right),
            ExprKind::Assign { value, .. } => below(*value),
            ExprKind::Comprehension(comprehension) => {
                let iters =
                    comprehension.clauses.iter().fold(Origins::NONE, |sum, clause| sum | below(clause.iter));
                iters | below(comprehension.element)
            }
            kind => plain(kind).unwrap_or(Origins::UNKNOWN),
        }
    }

    /// Whether a key is a credential by its name, or a tuple with one in it.
    fn is_named_credential(&self, at: At) -> bool {
        let Some(unit) = self.unit(at.module) else { return false };
        let name = |expr: ExprId| match unit.ir.expr(expr) {
            ExprKind::Name(NameRef::Binding(id)) => vocabulary::is_credential(unit.ir.binding_name(*id)),
            _ => false,
        };
        let holds = |expr: ExprId| match unit.ir.expr(expr) {
            ExprKind::Array { items, .. } => items.iter().any(|item| name(*item)),
            _ => name(expr),
        };
        let copied = match unit.ir.expr(at.expr) {
            ExprKind::Name(NameRef::Binding(id)) => {
                unit.index.sources(*id).iter().any(|source| holds(source.value))
            }
            _ => false,
        };
        holds(at.expr) || copied
    }

    fn binding_origins(&self, module: ModuleId, id: BindingId, depth: u32) -> Origins {
        let at = At { module, expr: ExprId(id.0) };
        self.made(&self.memory.bound, at, depth, || self.find_binding_origins(module, id, depth))
    }

    fn find_binding_origins(&self, module: ModuleId, id: BindingId, depth: u32) -> Origins {
        let Some(unit) = self.unit(module) else { return Origins::UNKNOWN };
        let Some(binding) = unit.ir.binding(id) else { return Origins::UNKNOWN };
        let value = match binding.kind {
            BindingKind::Import(_) => match (self.follow(depth), self.declared(module, id)) {
                (Some(depth), Some((from, id))) if self.is_variable(from, id) => {
                    self.binding_origins(from, id, depth)
                }
                _ => self.symbol_origins(&self.binding_symbol_of(module, id), depth),
            },
            BindingKind::Function(_) | BindingKind::Class(_) => Origins::CONSTANT,
            BindingKind::Caught => Origins::UNKNOWN,
            BindingKind::Parameter(_) => {
                let mut value = match self.parameter_of(module, id) {
                    Some((fun, number, path)) => self.parameter_origins(fun, number, &path, depth),
                    None => Origins::UNKNOWN,
                };
                for source in unit.index.sources(id) {
                    value |= self.source_origins(module, source.value, &source.path, depth);
                }
                value
            }
            BindingKind::Variable | BindingKind::Other => {
                let sources = unit.index.sources(id);
                let start = if sources.is_empty() { Origins::UNKNOWN } else { Origins::NONE };
                let own = sources.iter().fold(start, |sum, source| {
                    sum | self.source_origins(module, source.value, &source.path, depth)
                });
                sources
                    .iter()
                    .fold(own, |sum, source| sum | self.filled_origins(module, id, source.value, depth))
            }
        };
        named_by(|| unit.meaning(binding.name), value)
    }

    /// What an object that begins empty is filled with: `const props = {}; props.token = …`.
    fn filled_origins(&self, module: ModuleId, id: BindingId, value: ExprId, depth: u32) -> Origins {
        let Some(unit) = self.unit(module) else { return Origins::NONE };
        if !matches!(unit.ir.expr(value), ExprKind::Object(properties) if properties.is_empty()) {
            return Origins::NONE;
        }
        let function = unit.index.function(value);
        let fills = |place: ExprId| match unit.ir.expr(place) {
            ExprKind::Member { object, .. } => {
                matches!(unit.ir.expr(*object), ExprKind::Name(NameRef::Binding(of)) if *of == id)
            }
            _ => false,
        };
        let writes =
            unit.index.writes.iter().filter(|write| write.function == function && fills(write.place));
        writes
            .take(16)
            .fold(Origins::NONE, |sum, write| sum | self.origins_in(At { module, expr: write.value }, depth))
    }

    fn is_variable(&self, module: ModuleId, id: BindingId) -> bool {
        let kind = self.unit(module).and_then(|unit| unit.ir.binding(id)).map(|binding| binding.kind);
        matches!(kind, Some(BindingKind::Variable | BindingKind::Other))
    }

    /// A value with what a pattern takes out of it.
    fn source_origins(&self, module: ModuleId, value: ExprId, path: &[Step], depth: u32) -> Origins {
        let at = At { module, expr: value };
        let Some((first, rest)) = path.split_first() else { return self.origins_in(at, depth) };
        let Some(unit) = self.unit(module) else { return Origins::UNKNOWN };
        let mut origins = match first {
            Step::Key(name) => self.member_origins(at, unit.ir.text(*name), depth),
            _ => self.origins_in(at, depth),
        };
        for step in rest {
            if let Step::Key(name) = step {
                origins = member_of(origins, unit.ir.text(*name));
            }
        }
        origins
    }

    fn symbol_origins(&self, symbol: &Symbol, depth: u32) -> Origins {
        match symbol {
            Symbol::Value(at) => self.origins_in(*at, depth),
            Symbol::Function(_) | Symbol::Class(_) | Symbol::Module(_) => Origins::CONSTANT,
            Symbol::Instance(_) | Symbol::Shape(_) | Symbol::External { .. } | Symbol::Unknown(_) => {
                Origins::UNKNOWN
            }
        }
    }

    /// What `object.name` may be.
    pub(super) fn member_origins(&self, object: At, name: &str, depth: u32) -> Origins {
        let Some(depth) = self.follow(depth) else { return Origins::UNKNOWN };
        let Some(unit) = self.unit(object.module) else { return Origins::UNKNOWN };
        // Most members are no library's and not the environment's, and their paths are not made.
        let likely =
            self.libraries.has_member(name) || begins_environment(self.first_written(object).unwrap_or(name));
        let path = if likely { self.written_then(object, name) } else { Vec::new() };
        if is_environment(&path) {
            return Origins::ENV;
        }
        if self.is_of_route(object, name) {
            return Origins::INPUT;
        }
        let base = self.origins_in(object, depth);
        if let Some(origin) = self.libraries.member(unit.ir.language, &unit.ir.path, &path)
            && (base.has(Origins::REQUEST)
                || base.without(Origins::UNKNOWN | Origins::OWNER) == Origins::NONE
                || path.len() > 2)
            && !base.has(Origins::INPUT)
        {
            return Origins::of(origin);
        }
        // What a function took out of the request, in an object of its own, is not the request.
        // Nor is the tenant of a key that was looked up what the key was.
        let lenient = !base.has(Origins::REQUEST);
        if base.is_chosen()
            && (!lenient || vocabulary::is_owner(name))
            && let Some(found) = self.made_member(object, name, lenient, depth)
            && found != Origins::NONE
        {
            return found;
        }
        if base.has(Origins::REQUEST) {
            return request_member(name);
        }
        if let ExprKind::Object(properties) = unit.ir.expr(object.expr) {
            let found = properties
                .iter()
                .find(|property| matches!(property.key, PropertyKey::Name(key) if unit.ir.text(key) == name));
            if let Some(property) = found {
                return self.origins_in(object.to(property.value), depth);
            }
        }
        match self.symbol(object) {
            Symbol::Value(at) => {
                if let Some(value) = self.literal_property(at, name) {
                    return self.origins_in(value, depth);
                }
            }
            Symbol::Instance(class) => return self.field_origins(class, name, base, depth),
            // `Prefix.USER` of a class that only has names for texts.
            Symbol::Class(class) => {
                if let Some(value) = self.constant_field(class, name) {
                    return self.origins_in(value, depth);
                }
            }
            _ => {}
        }
        member_of(base, name)
    }

    fn field_origins(&self, class: Cls, name: &str, base: Origins, depth: u32) -> Origins {
        let mut value = Origins::NONE;
        for write in self.field_writes(class, name) {
            value |= self.origins_in(*write, depth);
        }
        let field = self.unit(class.module).and_then(|unit| {
            let class = unit.ir.class(class.id)?;
            let field = class.fields.iter().find(|field| unit.ir.text(field.name) == name)?;
            field.value
        });
        if let Some(expr) = field {
            value |= self.origins_in(At { module: class.module, expr }, depth);
        }
        if let Some(fun) = self.method(class, name)
            && let Some(unit) = self.unit(fun.module)
            && unit.ir.function(fun.id).is_some_and(|function| function.kind == FunctionKind::Getter)
        {
            value |= self.returned(fun, depth);
        }
        let value =
            if value == Origins::NONE { base.without(Origins::REQUEST) | Origins::UNKNOWN } else { value };
        // What a field of a request's body begins with, `thread_id: str | None = Field(None)`, is what the caller leaves out.
        let sent = base.has(Origins::INPUT) && super::models::is_body(self, class, BASES);
        named(name, if sent { value | Origins::INPUT } else { value })
    }

    fn call_origins(&self, at: At, depth: u32) -> Origins {
        let Some(unit) = self.unit(at.module) else { return Origins::UNKNOWN };
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return Origins::UNKNOWN };
        let Some(callee) = self.callee(at) else { return Origins::UNKNOWN };
        for def in &callee.defs {
            if let Some(origin) = def.is {
                return Origins::of(origin);
            }
            match def.role {
                Role::ContextGet | Role::Verify => return Origins::PRINCIPAL,
                Role::Decode => return Origins::UNVERIFIED,
                _ => {}
            }
        }
        if is_environment(&callee.path) {
            return Origins::ENV;
        }
        // `await readJson(req)`, however it gathers the pieces.
        let request = |arg: &crate::ir::Arg| self.origins_in(at.to(arg.value), depth).has(Origins::REQUEST);
        if callee.says.reads_body() && call.args.iter().take(2).any(request) {
            return Origins::INPUT | Origins::UNKNOWN;
        }
        if self.looks_up_bearer(at) || self.asks_with_credentials(at) {
            return Origins::PRINCIPAL;
        }
        let name = callee.name();
        if self.gets_caller(at, call, name, depth) {
            return Origins::PRINCIPAL;
        }
        let own = self.got_attribute(at, call, &callee.path, depth);
        if let Some(value) = own.or_else(|| self.depended_on(at, call, name, depth)) {
            return value;
        }
        if callee.certain && !callee.targets.is_empty() {
            let mut value = Origins::NONE;
            for target in &callee.targets {
                value |= self.returned(*target, depth);
            }
            if call.is_new || value == Origins::NONE {
                value |= self.arguments(at, depth) | Origins::UNKNOWN;
            }
            // A helper that looks the caller up says so by its name.
            return callee.says.called(value);
        }
        let mut value = self.arguments(at, depth);
        // What a database or another service answers is not what was asked with: only conversions pass the caller's choice on.
        // `hash.update(text)` goes on with the text; `posts.update({ where, data })` gives the row.
        let changes_rows = name == "update"
            && call.positional(0).is_some_and(|expr| matches!(unit.ir.expr(expr), ExprKind::Object(_)));
        // `redis.get(`org:${state}`)` gives what was kept there.
        let reads_store = matches!(name, "get" | "hget" | "getdel")
            && callee.path.iter().rev().skip(1).any(|part| {
                vocabulary::words(part).iter().any(|word| {
                    matches!(word.as_str(), "redis" | "ioredis" | "cache" | "kv" | "memcache" | "memcached")
                })
            });
        // `db.prepare("…").get(id)` gives a row.
        let row = matches!(unit.ir.expr(call.callee), ExprKind::Member { object, .. } if super::prepared::is_statement(unit, *object));
        if !call.is_new && (!callee.says.converts() || changes_rows || reads_store || row) {
            // Nor is it the environment's, when that only says where to ask.
            let elsewhere = if value.is_of_request() { Origins::ENV } else { Origins::NONE };
            let chosen = Origins::INPUT | Origins::UNVERIFIED | Origins::SESSION;
            let client = value.is_of_request() && makes(name) && given_credential(unit, call);
            value = value.without(chosen | elsewhere) | if client { Origins::SECRET } else { Origins::NONE };
        }
        if let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) {
            let base = self.origins_in(at.to(*object), depth);
            if base.has(Origins::REQUEST) {
                // `ctx.get_state("user")`
                let kept = call.positional(0).map(|key| unit.ir.expr(key));
                return match kept {
                    Some(ExprKind::String(key)) => asked_member(name, unit.ir.text(*key)),
                    _ => request_member(name),
                };
            }
            value |= base;
        }
        callee.says.called(value.without(Origins::REQUEST) | Origins::UNKNOWN)
    }

    /// What a framework will put there: `user = Depends(current_user)` as a field of a class of routes.
    fn depended_on(&self, at: At, call: &crate::ir::Call, name: &str, depth: u32) -> Option<Origins> {
        let given = call.positional(0).filter(|_| matches!(name, "Depends" | "Security"))?;
        let value = match self.symbol(at.to(given)) {
            Symbol::Function(target) => self.returned(target, depth),
            _ => Origins::NONE,
        };
        let word = self.written(at.to(given)).pop().unwrap_or_default();
        Some(injected_name(&word, "", value | Origins::UNKNOWN))
    }

    /// What `getattr(request.state, "principal", None)` may be: `request.state.principal`.
    fn got_attribute(&self, at: At, call: &crate::ir::Call, path: &[Word], depth: u32) -> Option<Origins> {
        let unit = self.unit(at.module)?;
        let [name] = path else { return None };
        if name.as_str() != "getattr" || unit.ir.language != crate::ir::Language::Python {
            return None;
        }
        let (object, name) = (call.positional(0)?, call.positional(1)?);
        let ExprKind::String(name) = unit.ir.expr(name) else { return None };
        let value = self.member_origins(at.to(object), unit.ir.text(*name), depth);
        let other = call.positional(2).map_or(Origins::NONE, |other| self.origins_in(at.to(other), depth));
        Some(value | other.without(Origins::CONSTANT | Origins::UNKNOWN))
    }

    fn arguments(&self, at: At, depth: u32) -> Origins {
        let Some(unit) = self.unit(at.module) else { return Origins::NONE };
        let ExprKind::Call(call) = unit.ir.expr(at.expr) else { return Origins::NONE };
        call.args
            .iter()
            .fold(Origins::NONE, |sum, arg| sum | self.origins_in(at.to(arg.value), depth))
            .without(Origins::REQUEST)
    }

    pub(super) fn returned(&self, fun: Fun, depth: u32) -> Origins {
        let Some(unit) = self.unit(fun.module) else { return Origins::UNKNOWN };
        let at = At { module: fun.module, expr: ExprId(fun.id.0) };
        self.made(&self.memory.given, at, depth, || {
            let returns = unit.index.returns(fun.id).iter().take(CALLERS);
            returns.fold(Origins::NONE, |sum, expr| sum | self.origins_in(at.to(*expr), depth))
        })
    }

    fn binding_symbol_of(&self, module: ModuleId, id: BindingId) -> Symbol {
        let Some(unit) = self.unit(module) else { return Symbol::Unknown(crate::project::Path::EMPTY) };
        match unit.index.uses(id).first() {
            Some(expr) => self.symbol(At { module, expr: *expr }),
            None => Symbol::Unknown(crate::project::Path::EMPTY),
        }
    }
}
