//! Queries whose conditions or model stand elsewhere: a function that is given all of its conditions, a repository that is got.

use std::collections::BTreeSet;

use super::{Query, Scope, named::Names, singular};
use crate::{
    ir::{Call, ExprKind, NameRef, ParameterKind, PropertyKey},
    lang::sql::Verb,
    project::{At, Fun, Project, Step, Unit},
    vocabulary,
};

/// Words of parameters that hold the conditions of a query.
const CONDITIONS: &[&str] =
    &["where", "clause", "filter", "filters", "criteria", "conditions", "condition", "query", "predicate"];

/// Of how many callers the conditions are read.
const CALLERS: usize = 32;

impl Project {
    /// A query whose conditions are a parameter of its function, `delete: (clause) => db.notes.deleteMany({ where: clause })`:
    /// it is its callers that say whose rows they mean.
    pub(super) fn asked_by_callers(
        &self,
        chain: At,
        (entity, verb): (&str, Verb),
        words: &BTreeSet<String>,
        all: &mut Vec<Query>,
    ) -> bool {
        let Some(number) = self.conditions_parameter(chain) else { return false };
        let function = self.function_of(chain);
        let named = self.is_named_rest(function, number);
        let calls = self.callers(function);
        for call in calls.iter().take(CALLERS) {
            // `get_room(_id=room_id)` of `get_room(**filters)` says all conditions by their names.
            let given = if named { Some(*call) } else { self.argument(*call, function, number) };
            let Some(given) = given else { continue };
            // `countMembers({ where: { teamId } })` of `countMembers = ({ where }) => db.member.count({ where })`
            let given = self.literal_property(given, "where").unwrap_or(given);
            let mut names = Names { entity: singular(entity), own: words.clone(), ..Names::default() };
            self.names_in(given, 3, &mut names);
            let scope = if !names.owner {
                Scope::None
            } else if self.asks_only_when_given(given) {
                Scope::Optional
            } else {
                Scope::Owner
            };
            all.push(Query {
                at: *call,
                function: self.function_of(*call),
                entity: singular(entity),
                shown: entity.to_owned(),
                verb,
                scope,
                filters: names.values,
                is_sql: false,
                shows_owner: false,
                tied: names.tied,
                tests: Vec::new(),
                overwrites: false,
            });
        }
        !calls.is_empty()
    }

    /// Whether a parameter takes whatever is given by name: `**filters`.
    fn is_named_rest(&self, fun: Fun, number: usize) -> bool {
        let function = self.unit(fun.module).and_then(|unit| unit.ir.function(fun.id));
        function
            .and_then(|function| function.params.get(number))
            .is_some_and(|own| own.kind == ParameterKind::KeywordRest)
    }

    /// The number of the parameter that is all that a query says of its rows.
    fn conditions_parameter(&self, chain: At) -> Option<usize> {
        let unit = self.unit(chain.module)?;
        let ExprKind::Call(call) = unit.ir.expr(chain.expr) else { return None };
        let given = call.positional(0)?;
        let value = match unit.ir.expr(given) {
            ExprKind::Object(properties) => properties
                .iter()
                .find(|property| matches!(property.key, PropertyKey::Name(name) if unit.ir.text(name) == "where"))?
                .value,
            _ => given,
        };
        let ExprKind::Name(NameRef::Binding(id)) = unit.ir.expr(value) else { return None };
        let (fun, number, path) = self.parameter_of(chain.module, *id)?;
        let words = vocabulary::words(unit.ir.binding_name(*id));
        let conditions =
            words.iter().any(|word| CONDITIONS.contains(&word.as_str())) || self.is_named_rest(fun, number);
        // `deleteMany = (params) => db.note.deleteMany(params)`, which is given all that a query may be asked with.
        let whole = value == given
            && call.args.len() == 1
            && words
                .last()
                .is_some_and(|last| matches!(last.as_str(), "params" | "args" | "options" | "opts"))
            && self.callers(fun).iter().take(CALLERS).any(|call| {
                self.argument(*call, fun, number)
                    .is_some_and(|given| self.literal_property(given, "where").is_some())
            });
        let is_where =
            path.is_empty() || matches!(path.as_slice(), [Step::Key(name)] if unit.ir.text(*name) == "where");
        ((conditions || whole) && is_where && fun == self.function_of(chain)).then_some(number)
    }

    /// The model of `source.getRepository(Note)`, which a method is called on, directly or by a variable that was set to it.
    pub(super) fn got_repository(&self, unit: &Unit, at: At, call: &Call) -> Option<String> {
        let ExprKind::Member { object, .. } = unit.ir.expr(call.callee) else { return None };
        let made = match unit.ir.expr(*object) {
            ExprKind::Name(NameRef::Binding(id)) => match unit.index.sources(*id) {
                [source] if source.path.is_empty() => source.value,
                _ => return None,
            },
            _ => *object,
        };
        let ExprKind::Call(getter) = unit.ir.expr(made) else { return None };
        let name = self.written(at.to(getter.callee)).pop()?;
        let model = getter
            .positional(0)
            .filter(|_| matches!(name.as_str(), "getRepository" | "getCustomRepository"))?;
        self.written_as_exported(at.to(model)).pop().map(String::from)
    }
}
