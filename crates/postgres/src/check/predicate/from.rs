//! FROM: which relations rows come from, and what which of them fulfil.

use std::ops::Range;

use super::{
    parse::{Expr, closing, split, within},
    select::{Branch, Relation, Sided},
    tokens::Token,
};

/// How deep parentheses around joins may be.
const DEEPEST: usize = 256;

/// Words that come after a relation and are not its alias.
const AFTER: [&str; 14] = [
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
    "with",
];

/// How two sides are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Join {
    Inner,
    Left,
    /// RIGHT and FULL: rows need not be of the left side.
    Other,
}

pub(super) fn read<'t>(branch: &mut Branch<'t>, tokens: &'t [Token], depth: usize) {
    for item in split(tokens, |token| token.is_sign(",")) {
        let mut reader = Reader { tokens: item, at: 0, depth, merged: Vec::new() };
        if reader.joined(branch, 0).is_none() || reader.at != item.len() {
            // Nothing is known of any of it.
            branch.plain = false;
            branch.rest.push(Expr::Opaque(tokens));
            branch.rest.append(&mut branch.conditions);
            branch.rest.extend(branch.sided.drain(..).map(|sided| sided.condition));
            for relation in &mut branch.from {
                relation.opaque = true;
            }
            branch.from.push(Relation { table: String::new(), alias: String::new(), opaque: true });
            return;
        }
    }
}

struct Reader<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
    /// Columns that USING made one of two, and the relation whose value they have.
    merged: Vec<(String, usize)>,
}

impl<'t> Reader<'t> {
    fn peek(&self, word: &str) -> bool {
        self.tokens.get(self.at).is_some_and(|token| token.is(word))
    }

    fn word(&mut self, word: &str) -> bool {
        let is = self.peek(word);
        self.at += usize::from(is);
        is
    }

    /// Relations with joins between them; nothing where something is not understood.
    fn joined(&mut self, branch: &mut Branch<'t>, level: usize) -> Option<()> {
        let start = branch.from.len();
        let before = (branch.conditions.len(), branch.sided.len());
        self.one(branch, level)?;
        while let Some((join, natural)) = self.join() {
            let (middle, inner) = (branch.from.len(), branch.conditions.len());
            self.one(branch, level)?;
            let right = middle..branch.from.len();
            match join {
                Join::Inner => {}
                // What holds inside of the right side holds for its rows alone.
                Join::Left => {
                    let conditions: Vec<Expr<'t>> = branch.conditions.drain(inner..).collect();
                    for condition in conditions {
                        branch.side(condition, &right);
                    }
                }
                Join::Other => {
                    branch.plain = false;
                    let conditions: Vec<Expr<'t>> = branch.conditions.drain(before.0..).collect();
                    branch.rest.extend(conditions);
                    let sided: Vec<Expr<'t>> =
                        branch.sided.drain(before.1..).map(|sided| sided.condition).collect();
                    branch.rest.extend(sided);
                }
            }
            if natural {
                branch.plain = false;
            }
            for condition in self.condition(branch, &(start..middle), &right)? {
                match join {
                    Join::Inner => branch.conditions.push(condition),
                    Join::Left => branch.side(condition, &right),
                    Join::Other => branch.rest.push(condition),
                }
            }
        }
        Some(())
    }

    /// How the next relation is joined, if there is one, and whether by the columns of the same names.
    fn join(&mut self) -> Option<(Join, bool)> {
        let start = self.at;
        let natural = self.word("natural");
        let join = if self.word("left") {
            Join::Left
        } else if self.word("right") || self.word("full") {
            Join::Other
        } else {
            let _either = self.word("inner") || self.word("cross");
            Join::Inner
        };
        self.word("outer");
        if self.word("join") {
            Some((join, natural))
        } else {
            self.at = start;
            None
        }
    }

    /// ON or USING; nothing of either after a CROSS or NATURAL JOIN.
    fn condition(
        &mut self,
        branch: &mut Branch<'t>,
        left: &Range<usize>,
        right: &Range<usize>,
    ) -> Option<Vec<Expr<'t>>> {
        if self.word("on") {
            let (inside, next) = condition(self.tokens, self.at);
            self.at = next;
            return Some(vec![within(inside, self.depth)]);
        }
        if !self.word("using") {
            return Some(Vec::new());
        }
        let end = closing(self.tokens, self.at)?;
        let columns = self.tokens.get(self.at + 1..end)?;
        self.at = end + 1;
        if self.word("as") {
            self.at += 1;
        }
        let mut all = Vec::new();
        for column in columns.iter().filter_map(Token::name) {
            let name = |at: usize| {
                let relation = branch.from.get(at).filter(|relation| !relation.opaque)?;
                Some(Expr::Name(vec![relation.alias.clone(), column.to_owned()]))
            };
            let (of_left, of_right) = (self.source(left, column), self.source(right, column));
            match (of_left.and_then(name), of_right.and_then(name)) {
                (Some(a), Some(b)) => all.push(Expr::Op(Box::new(a), "=".to_owned(), Box::new(b))),
                _ => branch.rest.push(Expr::Name(vec![column.to_owned()])),
            }
            self.merged.extend(of_left.map(|at| (column.to_owned(), at)));
        }
        Some(all)
    }

    /// The relation of a side that a column of USING is of: the only one, or the one that another USING took it from.
    fn source(&self, side: &Range<usize>, column: &str) -> Option<usize> {
        if side.len() == 1 {
            return Some(side.start);
        }
        let merged = |(name, at): &&(String, usize)| name == column && side.contains(at);
        self.merged.iter().find(merged).map(|(_, at)| *at)
    }

    /// A relation, or what stands in parentheses.
    fn one(&mut self, branch: &mut Branch<'t>, level: usize) -> Option<()> {
        if level > DEEPEST {
            return None;
        }
        while self.peek("lateral") || self.peek("only") {
            branch.plain &= !self.peek("lateral");
            self.at += 1;
        }
        if self.tokens.get(self.at) != Some(&Token::Open) {
            return self.relation(branch);
        }
        let query = |token: &Token| token.is("select") || token.is("with") || token.is("values");
        if self.tokens.get(self.at + 1).is_some_and(query) {
            let end = closing(self.tokens, self.at)?;
            branch.rest.push(Expr::Opaque(self.tokens.get(self.at..end)?));
            branch.plain = false;
            self.at = end + 1;
            let alias = self.alias(branch)?.unwrap_or_default();
            branch.from.push(Relation { table: String::new(), alias, opaque: true });
            return Some(());
        }
        self.at += 1;
        self.joined(branch, level + 1)?;
        (self.tokens.get(self.at) == Some(&Token::Close)).then_some(())?;
        self.at += 1;
        // A name for the join hides those inside.
        self.alias(branch)?.is_none().then_some(())
    }

    /// A table's name, or a function's call, and its alias.
    fn relation(&mut self, branch: &mut Branch<'t>) -> Option<()> {
        let mut table = self.name()?;
        while self.tokens.get(self.at).is_some_and(|token| token.is_sign(".")) {
            self.at += 1;
            table = self.name()?;
        }
        let mut opaque = false;
        if self.tokens.get(self.at) == Some(&Token::Open) {
            opaque = true;
            branch.plain = false;
            let end = closing(self.tokens, self.at)?;
            branch.rest.push(Expr::Opaque(self.tokens.get(self.at + 1..end)?));
            self.at = end + 1;
        }
        let alias = self.alias(branch)?.unwrap_or_else(|| table.clone());
        branch.from.push(Relation { table, alias, opaque });
        Some(())
    }

    fn name(&mut self) -> Option<String> {
        let name = self.tokens.get(self.at)?.name()?.to_owned();
        self.at += 1;
        Some(name)
    }

    /// The name that columns have before them, if one is given; nothing where it is not understood.
    fn alias(&mut self, branch: &mut Branch<'t>) -> Option<Option<String>> {
        let named = self.word("as");
        let name = self
            .tokens
            .get(self.at)
            .filter(|t| !matches!(t, Token::Word(w) if AFTER.contains(&w.as_str())))
            .and_then(Token::name);
        let Some(name) = name else { return (!named).then_some(None) };
        self.at += 1;
        // Other names for the columns.
        if self.tokens.get(self.at) == Some(&Token::Open) {
            branch.plain = false;
            self.at = closing(self.tokens, self.at)? + 1;
        }
        Some(Some(name.to_owned()))
    }
}

impl<'t> Branch<'t> {
    /// A condition that the rows of some relations fulfil, where they are there.
    fn side(&mut self, condition: Expr<'t>, right: &Range<usize>) {
        let of = self.from.get(right.clone()).unwrap_or_default();
        let of = of.iter().map(|relation| relation.alias.clone()).collect();
        self.sided.push(Sided { of, condition });
    }
}

/// The condition after ON, in parentheses or not, and where it ends.
fn condition(tokens: &[Token], at: usize) -> (&[Token], usize) {
    let rest = tokens.get(at..).unwrap_or_default();
    let mut open = 0_usize;
    for (place, token) in rest.iter().enumerate() {
        let joins =
            |word: &str| ["join", "inner", "left", "right", "full", "cross", "natural"].contains(&word);
        let call = rest.get(place + 1) == Some(&Token::Open);
        match token {
            Token::Open => open += 1,
            // The end of the parentheses around the join.
            Token::Close if open == 0 => return (rest.get(..place).unwrap_or_default(), at + place),
            Token::Close => open -= 1,
            // `left(…)` is a function.
            Token::Word(word) if open == 0 && joins(word) && !(call && word != "join") => {
                return (rest.get(..place).unwrap_or_default(), at + place);
            }
            _ => {}
        }
    }
    (rest, tokens.len())
}
