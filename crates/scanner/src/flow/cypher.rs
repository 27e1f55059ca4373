//! Queries of graph databases in strings.

use super::{
    queries::{Query, Scope},
    singular,
    texts::Part,
};
use crate::{
    lang::cypher,
    project::{At, Project},
    tables::level_of_column,
    vocabulary,
};

impl Project {
    /// The query of a graph database that a text is, with its holes.
    pub(super) fn cypher_query(&self, at: At, pieces: &[Part], all: &mut Vec<Query>) {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Part::Text(part) => text.push_str(part),
                Part::Hole(_) => text.push(cypher::HOLE),
            }
        }
        let Some(read) = cypher::read(&text) else { return };
        let Some(unit) = self.unit(at.module) else { return };
        let Some(label) = read.labels.first() else { return };
        let function = self.function_of(at);
        let named =
            read.properties.iter().any(|name| level_of_column(name).is_some() || vocabulary::is_owner(name));
        // What is put together elsewhere may name the owner; that is not followed.
        let scope = match (named, read.open) {
            (true, _) => Scope::Owner,
            (false, true) => return,
            (false, false) => Scope::None,
        };
        let holes = pieces.iter().filter_map(|piece| match piece {
            Part::Hole(at) => Some(*at),
            Part::Text(_) => None,
        });
        let filters: Vec<At> =
            self.runs_of(unit, at).into_iter().flat_map(|run| run.values).chain(holes).collect();
        // `run(query, name=name, user_id=user)` with a pattern that was read: what is passed says whose, too.
        let passed = scope == Scope::None && filters.iter().any(|value| self.origins(*value).has_owner());
        all.push(Query {
            at,
            function,
            // No table of the same name is meant.
            entity: format!("graph{}", singular(label)),
            shown: label.clone(),
            verb: read.verb,
            scope: if passed { Scope::Owner } else { scope },
            filters,
            is_sql: false,
            shows_owner: false,
            tied: false,
            tests: Vec::new(),
            overwrites: false,
        });
    }
}
