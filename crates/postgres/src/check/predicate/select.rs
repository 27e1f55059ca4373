//! SELECT, as far as policies, views and functions need it: what is read from where, and what must hold.

use super::{
    parse::{Expr, named, split, within},
    tokens::Token,
};

/// One SELECT, or several with UNION between them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Select<'t> {
    pub(super) branches: Vec<Branch<'t>>,
    /// Nothing if it was understood.
    opaque: Option<Expr<'t>>,
}

impl<'t> Select<'t> {
    /// The branches, if all was understood.
    pub(super) fn understood(&self) -> Option<&[Branch<'t>]> {
        self.opaque.is_none().then_some(self.branches.as_slice())
    }

    /// Everything that stands in it.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Expr<'t>> {
        self.branches
            .iter()
            .flat_map(|branch| branch.targets.iter().chain(&branch.conditions).chain(&branch.rest))
            .chain(&self.opaque)
    }
}

/// One SELECT.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Branch<'t> {
    pub(super) targets: Vec<Expr<'t>>,
    /// Tables, or whatever else rows come from, by the name that columns have before them.
    pub(super) from: Vec<Relation>,
    /// What all rows fulfil: WHERE, and ON where no join is an outer one.
    pub(super) conditions: Vec<Expr<'t>>,
    /// ON of outer joins, and everything that was not understood.
    pub(super) rest: Vec<Expr<'t>>,
    /// Whether a join says USING, or NATURAL: then all are tied together.
    pub(super) tied: bool,
    /// Whether rows come from tables alone, joined by what was understood.
    pub(super) plain: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    /// Its own name, without a schema.
    pub(super) table: String,
    /// How columns name it.
    pub(super) alias: String,
}

pub(super) fn read(tokens: &[Token], depth: usize) -> Select<'_> {
    let mut odd = false;
    let parts = split(tokens, |token| token.is("union"));
    let mut branches = Vec::new();
    for part in parts {
        let part = match part.first() {
            Some(word) if word.is("all") || word.is("distinct") => part.get(1..).unwrap_or_default(),
            _ => part,
        };
        let part = match part {
            [Token::Open, inside @ .., Token::Close] => inside,
            _ => part,
        };
        match branch(part, depth) {
            Some(branch) => branches.push(branch),
            None => odd = true,
        }
    }
    Select { branches, opaque: odd.then_some(Expr::Opaque(tokens)) }
}

/// Words that end a part of a SELECT.
const CLAUSES: [&str; 11] =
    ["from", "where", "group", "having", "order", "limit", "offset", "fetch", "for", "window", "into"];

fn branch(tokens: &[Token], depth: usize) -> Option<Branch<'_>> {
    let [first, rest @ ..] = tokens else { return None };
    if !first.is("select")
        || !split(tokens, |token| token.is("intersect") || token.is("except")).get(1..)?.is_empty()
    {
        return None;
    }
    let mut clauses: Vec<(&str, &[Token])> = Vec::new();
    let (mut open, mut start, mut name) = (0_usize, 0, "select");
    for (at, token) in rest.iter().enumerate() {
        match token {
            Token::Open => open += 1,
            Token::Close => open = open.saturating_sub(1),
            Token::Word(word) if open == 0 => {
                let distinct =
                    at.checked_sub(1).and_then(|before| rest.get(before)).is_some_and(|t| t.is("distinct"));
                if let Some(clause) = CLAUSES.into_iter().find(|clause| clause == word)
                    && !(distinct && clause == "from")
                {
                    clauses.push((name, rest.get(start..at)?));
                    (name, start) = (clause, at + 1);
                }
            }
            _ => {}
        }
    }
    clauses.push((name, rest.get(start..)?));
    let clause = |wanted: &str| clauses.iter().find(|(name, _)| *name == wanted).map(|(_, tokens)| *tokens);
    let mut branch = Branch {
        targets: Vec::new(),
        from: Vec::new(),
        conditions: Vec::new(),
        rest: Vec::new(),
        tied: false,
        plain: true,
    };
    let mut targets = clause("select")?;
    while let [word, after @ ..] = targets
        && (word.is("distinct") || word.is("all"))
    {
        targets = after;
    }
    if !targets.is_empty() {
        branch.targets =
            split(targets, |token| token.is_sign(",")).into_iter().map(|part| named(part, depth)).collect();
    }
    if let Some(from) = clause("from") {
        branch.from(from, depth);
    }
    if let Some(condition) = clause("where") {
        branch.conditions.push(within(condition, depth));
    }
    for (name, tokens) in &clauses {
        if !matches!(*name, "select" | "from" | "where") && !tokens.is_empty() {
            branch.rest.push(Expr::Opaque(tokens));
        }
    }
    Some(branch)
}

/// Words that come after a relation and are not its alias.
const AFTER: [&str; 13] = [
    "join",
    "inner",
    "left",
    "right",
    "full",
    "cross",
    "natural",
    "outer",
    "on",
    "using",
    "lateral",
    "only",
    "tablesample",
];

impl<'t> Branch<'t> {
    fn from(&mut self, tokens: &'t [Token], depth: usize) {
        let word = |wanted: &str| tokens.iter().any(|token| token.is(wanted));
        let outer = word("left") || word("right") || word("full");
        // Which side an outer join fills with nothing is not followed, but for LEFT.
        self.plain =
            !(word("right") || word("full") || word("lateral") || word("select") || word("tablesample"));
        self.tied = word("natural");
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                // Around joins, and around what is read in place of a table.
                Token::Open => match super::parse::closing(tokens, at) {
                    Some(end) if tokens.get(at + 1).is_some_and(|token| token.is("select")) => {
                        self.rest.push(Expr::Opaque(tokens.get(at..end).unwrap_or_default()));
                        self.plain = false;
                        at = end;
                    }
                    _ => {}
                },
                word if word.is("on") || word.is("using") => {
                    let (inside, next) = condition(tokens, at + 1);
                    if word.is("using") {
                        self.tied = true;
                        let columns = inside.iter().filter_map(Token::name);
                        self.rest.extend(columns.map(|column| Expr::Name(vec![column.to_owned()])));
                    } else if outer {
                        self.rest.push(within(inside, depth));
                    } else {
                        self.conditions.push(within(inside, depth));
                    }
                    at = next;
                    continue;
                }
                Token::Word(word) if AFTER.contains(&word.as_str()) => {}
                Token::Word(_) | Token::Quoted(_) => {
                    at = self.relation(tokens, at);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        // What stands beside the join is not tied to it.
        self.tied &= !word("cross") && split(tokens, |token| token.is_sign(",")).len() == 1;
    }

    /// A relation's name and alias; gives back where it ends.
    fn relation(&mut self, tokens: &[Token], mut at: usize) -> usize {
        let mut table = String::new();
        while let Some(name) = tokens.get(at).and_then(Token::name) {
            name.clone_into(&mut table);
            at += 1;
            if !tokens.get(at).is_some_and(|token| token.is_sign(".")) {
                break;
            }
            at += 1;
        }
        // A function, or an alias with names for columns.
        let mut odd = |at: usize| match tokens.get(at) {
            Some(Token::Open) => {
                self.plain = false;
                super::parse::closing(tokens, at).map_or(tokens.len(), |end| end + 1)
            }
            _ => at,
        };
        at = odd(at);
        if tokens.get(at).is_some_and(|token| token.is("as")) {
            at += 1;
        }
        let mut alias = table.clone();
        if let Some(name) = tokens
            .get(at)
            .filter(|t| !matches!(t, Token::Word(w) if AFTER.contains(&w.as_str())))
            .and_then(Token::name)
        {
            name.clone_into(&mut alias);
            at = odd(at + 1);
        }
        self.from.push(Relation { table, alias });
        at
    }
}

/// The condition after ON, in parentheses or not, and where it ends.
fn condition(tokens: &[Token], at: usize) -> (&[Token], usize) {
    let rest = tokens.get(at..).unwrap_or_default();
    let mut open = 0_usize;
    for (place, token) in rest.iter().enumerate() {
        let joins =
            |word: &str| ["join", "inner", "left", "right", "full", "cross", "natural"].contains(&word);
        match token {
            Token::Open => open += 1,
            // The end of the parentheses around the join.
            Token::Close if open == 0 => return (rest.get(..place).unwrap_or_default(), at + place),
            Token::Close => open -= 1,
            Token::Word(word) if open == 0 && joins(word) => {
                return (rest.get(..place).unwrap_or_default(), at + place);
            }
            comma if open == 0 && comma.is_sign(",") => {
                return (rest.get(..place).unwrap_or_default(), at + place);
            }
            _ => {}
        }
    }
    (rest, tokens.len())
}
