//! SELECT, as far as policies, views and functions need it: what is read from where, and what must hold.

use super::{
    PURE, from,
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
        self.branches.iter().flat_map(Branch::parts).chain(&self.opaque)
    }
}

/// One SELECT.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Branch<'t> {
    pub(super) targets: Vec<Expr<'t>>,
    /// Tables, or whatever else rows come from, by the name that columns have before them.
    pub(super) from: Vec<Relation>,
    /// What all rows fulfil: WHERE, and ON and USING of inner joins.
    pub(super) conditions: Vec<Expr<'t>>,
    /// ON and USING of left joins.
    pub(super) sided: Vec<Sided<'t>>,
    /// ON of other outer joins, and everything that was not understood.
    pub(super) rest: Vec<Expr<'t>>,
    /// Whether rows come from tables alone, joined by what was understood.
    pub(super) plain: bool,
    /// Whether it has a row, or may have one, though nothing fulfils the conditions.
    pub(super) of_nothing: bool,
}

impl<'t> Branch<'t> {
    /// Everything that stands in it.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Expr<'t>> {
        let sided = self.sided.iter().map(|sided| &sided.condition);
        self.targets.iter().chain(&self.conditions).chain(sided).chain(&self.rest)
    }
}

/// A condition of a left join: it says nothing of the left side's rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sided<'t> {
    /// The relations of the right side, as columns name them.
    pub(super) of: Vec<String>,
    pub(super) condition: Expr<'t>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    /// Its own name, without a schema.
    pub(super) table: String,
    /// How columns name it.
    pub(super) alias: String,
    /// Whether it is none that is known: a subquery, or a function's rows.
    pub(super) opaque: bool,
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
        sided: Vec::new(),
        rest: Vec::new(),
        plain: true,
        of_nothing: false,
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
        from::read(&mut branch, from, depth);
    }
    if let Some(condition) = clause("where") {
        branch.conditions.push(within(condition, depth));
    }
    branch.of_nothing = has_a_row_of_nothing(&branch.targets, &clause);
    for (name, tokens) in &clauses {
        if !matches!(*name, "select" | "from" | "where") && !tokens.is_empty() {
            branch.rest.push(Expr::Opaque(tokens));
        }
    }
    Some(branch)
}

/// Whether there is a row of no rows, or may be: an aggregate or HAVING without GROUP BY gives one, and so does an empty
/// grouping set.
fn has_a_row_of_nothing<'t>(targets: &[Expr<'t>], clause: &dyn Fn(&str) -> Option<&'t [Token]>) -> bool {
    // Which functions are aggregates is known of the built-in ones alone.
    let aggregates = |target: &Expr<'t>| {
        target.any(&|part| match part {
            Expr::Call(name, _) => !matches!(name.as_slice(), [name] if name == "current_setting" || PURE.contains(&name.as_str())),
            Expr::Opaque(_) => true,
            _ => false,
        })
    };
    let calls = |tokens: &[Token]| {
        let call = |window: &[Token]| matches!(window, [name, Token::Open] if name.name().is_some());
        tokens.windows(2).any(call)
    };
    match clause("group") {
        Some([by, sets @ ..]) if by.is("by") => {
            let empty = |window: &[Token]| window == [Token::Open, Token::Close];
            let several = |token: &Token| ["grouping", "rollup", "cube"].iter().any(|word| token.is(word));
            sets.windows(2).any(empty) || sets.iter().any(several)
        }
        // WITHIN GROUP.
        Some(_) => true,
        None => {
            clause("having").is_some()
                || targets.iter().any(aggregates)
                || ["order", "window"].iter().any(|name| clause(name).is_some_and(calls))
        }
    }
}
