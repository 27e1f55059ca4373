//! SQL expressions as a tree: as the server writes them (`pg_get_expr`), and as people write them in functions' bodies.
//!
//! What is not understood becomes [`Expr::Opaque`] and keeps its tokens, so that it can still be asked what it names.

use super::{
    select::{self, Select},
    tokens::Token,
};

/// The deepest nesting that is followed; what is deeper is opaque.
const DEEPEST: usize = 64;

/// A type, as a cast names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Type {
    /// Its name without a schema, in lower case: `character varying`.
    pub(super) name: String,
    /// Whether a length or a precision follows.
    pub(super) limited: bool,
    pub(super) array: bool,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr<'t> {
    And(Vec<Expr<'t>>),
    Or(Vec<Expr<'t>>),
    Not(Box<Expr<'t>>),
    /// Two values and the operator between them.
    Op(Box<Expr<'t>>, String, Box<Expr<'t>>),
    /// `= ANY (…)` and `IN`: whether it is ALL, NOT IN or another operator is in the sign.
    Any(Box<Expr<'t>>, String, Box<Expr<'t>>),
    /// `IS NULL`, `IS NOT TRUE`: the words after IS.
    Is(Box<Expr<'t>>, String),
    /// `IS DISTINCT FROM`.
    Distinct(Box<Expr<'t>>, Box<Expr<'t>>),
    Cast(Box<Expr<'t>>, Type),
    Collate(Box<Expr<'t>>, String),
    /// A function's name with its schema, and what it is called with.
    Call(Vec<String>, Vec<Expr<'t>>),
    /// A column, with what stands before its name.
    Name(Vec<String>),
    Text(String),
    True,
    False,
    Null,
    Number,
    /// `CURRENT_USER` and its like.
    User,
    /// `$1`.
    Param(usize),
    Array(Vec<Expr<'t>>),
    Select(Box<Select<'t>>),
    Exists(Box<Select<'t>>),
    /// Conditions, and what comes of it.
    Case(Vec<Expr<'t>>, Vec<Expr<'t>>),
    /// Not understood, but for its parts.
    Parts(Vec<Expr<'t>>),
    /// Not understood.
    Opaque(&'t [Token]),
}

impl<'t> Expr<'t> {
    /// Whether it, or a part of it, is something.
    pub(super) fn any(&self, is: &dyn Fn(&Expr<'t>) -> bool) -> bool {
        self.any_until(&|part| is(part).then_some(true))
    }

    /// The same, where an answer about a part is one about what stands in it too.
    pub(super) fn any_until(&self, is: &dyn Fn(&Expr<'t>) -> Option<bool>) -> bool {
        if let Some(answer) = is(self) {
            return answer;
        }
        match self {
            Self::And(all) | Self::Or(all) | Self::Array(all) | Self::Parts(all) | Self::Call(_, all) => {
                all.iter().any(|part| part.any_until(is))
            }
            Self::Not(one) | Self::Is(one, _) | Self::Cast(one, _) | Self::Collate(one, _) => {
                one.any_until(is)
            }
            Self::Op(a, _, b) | Self::Any(a, _, b) | Self::Distinct(a, b) => {
                a.any_until(is) || b.any_until(is)
            }
            Self::Case(a, b) => a.iter().chain(b).any(|part| part.any_until(is)),
            Self::Select(select) | Self::Exists(select) => select.parts().any(|part| part.any_until(is)),
            _ => false,
        }
    }

    /// Without casts.
    pub(super) fn bare(&self) -> &Expr<'t> {
        match self {
            Self::Cast(inner, _) => inner.bare(),
            _ => self,
        }
    }
}

/// Reads a whole expression.
pub(super) fn expression(tokens: &[Token]) -> Expr<'_> {
    within(tokens, 0)
}

pub(super) fn within(tokens: &[Token], depth: usize) -> Expr<'_> {
    let mut parser = Parser { tokens, at: 0, depth };
    match parser.expr(0) {
        Some(expr) if parser.at == tokens.len() => expr,
        _ => Expr::Opaque(tokens),
    }
}

/// Reads what a select list has: an expression, and a name for it that is left out.
pub(super) fn named(tokens: &[Token], depth: usize) -> Expr<'_> {
    let mut parser = Parser { tokens, at: 0, depth };
    let Some(expr) = parser.expr(0) else { return Expr::Opaque(tokens) };
    match tokens.get(parser.at..) {
        Some([] | [Token::Word(_) | Token::Quoted(_)]) => expr,
        Some([word, Token::Word(_) | Token::Quoted(_)]) if word.is("as") => expr,
        _ => Expr::Opaque(tokens),
    }
}

struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    depth: usize,
}

/// How strongly an operator binds.
fn strength(sign: &str) -> u8 {
    match sign {
        "<" | ">" | "=" | "<=" | ">=" | "<>" | "!=" => 5,
        "+" | "-" => 8,
        "*" | "/" | "%" => 9,
        "^" => 10,
        _ => 7,
    }
}

/// Words that an expression does not begin with, and that are no names.
const RESERVED: [&str; 24] = [
    "and", "or", "is", "in", "like", "ilike", "between", "similar", "then", "else", "end", "when", "from",
    "for", "as", "where", "union", "order", "group", "limit", "having", "on", "using", "collate",
];

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.at)
    }

    fn peek_word(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.is(word))
    }

    fn word(&mut self, word: &str) -> bool {
        let is = self.peek_word(word);
        self.at += usize::from(is);
        is
    }

    fn boxed(&mut self, least: u8) -> Option<Box<Expr<'t>>> {
        self.expr(least).map(Box::new)
    }

    fn expr(&mut self, least: u8) -> Option<Expr<'t>> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let mut left = self.prefix()?;
        let mut links = 0;
        while let Some((next, bound)) = self.infix(least) {
            links += usize::from(!matches!(bound, Infix::And | Infix::Or));
            if links > DEEPEST {
                return None;
            }
            self.at = next;
            left = self.after(left, bound)?;
        }
        self.depth -= 1;
        Some(left)
    }

    /// Where the next operator's right side begins, if there is one that binds strongly enough.
    fn infix(&self, least: u8) -> Option<(usize, Infix)> {
        let (kind, strength, long) = match self.tokens.get(self.at..)? {
            [a, b, ..] if a.is_sign(":") && b.is_sign(":") => (Infix::Cast, 15, 2),
            [a, ..] if a.is_sign("[") => (Infix::Subscript, 14, 0),
            [a, ..] if a.is_sign(".") => (Infix::Field, 16, 1),
            [Token::Sign(sign), ..] if !matches!(sign.as_str(), "," | "]" | ":" | ";" | "$") => {
                (Infix::Sign(sign.clone()), strength(sign), 1)
            }
            [Token::Word(word), Token::Word(next), ..] if word == "not" => match next.as_str() {
                "in" => (Infix::In(false), 6, 2),
                "like" | "ilike" | "between" | "similar" => (Infix::Other, 6, 2),
                _ => return None,
            },
            [Token::Word(word), ..] => match word.as_str() {
                "or" => (Infix::Or, 1, 1),
                "and" => (Infix::And, 2, 1),
                "is" => (Infix::Is, 4, 1),
                "isnull" => (Infix::Null("null"), 4, 1),
                "notnull" => (Infix::Null("not null"), 4, 1),
                "in" => (Infix::In(true), 6, 1),
                "like" | "ilike" | "between" | "similar" => (Infix::Other, 6, 1),
                "at" => (Infix::Zone, 11, 1),
                "collate" => (Infix::Collate, 12, 1),
                _ => return None,
            },
            _ => return None,
        };
        (strength >= least).then_some((self.at + long, kind))
    }

    fn after(&mut self, left: Expr<'t>, infix: Infix) -> Option<Expr<'t>> {
        let left = Box::new(left);
        Some(match infix {
            // In one list, so that a long chain is not deep.
            Infix::Or => match (*left, self.expr(2)?) {
                (Expr::Or(mut all), last) => {
                    all.push(last);
                    Expr::Or(all)
                }
                (first, last) => Expr::Or(vec![first, last]),
            },
            Infix::And => match (*left, self.expr(3)?) {
                (Expr::And(mut all), last) => {
                    all.push(last);
                    Expr::And(all)
                }
                (first, last) => Expr::And(vec![first, last]),
            },
            Infix::Null(what) => Expr::Is(left, what.to_owned()),
            Infix::Cast => Expr::Cast(left, self.kind()?),
            Infix::Collate => Expr::Collate(left, self.path()?.pop()?),
            Infix::Field => {
                self.peek()?.name().map(|_| ()).or_else(|| self.peek()?.is_sign("*").then_some(()))?;
                self.at += 1;
                Expr::Parts(vec![*left])
            }
            Infix::Subscript => {
                let begin = self.at;
                self.at = closing_bracket(self.tokens, begin)? + 1;
                let inside = self.tokens.get(begin + 1..self.at.checked_sub(1)?)?;
                Expr::Parts(vec![*left, Expr::Opaque(inside)])
            }
            Infix::Zone => {
                (self.word("time") && self.word("zone")).then_some(())?;
                Expr::Parts(vec![*left, self.expr(12)?])
            }
            Infix::Other => {
                self.word("to");
                let right = self.expr(7)?;
                // BETWEEN has a second one.
                let last = if self.word("and") { Some(self.expr(7)?) } else { None };
                Expr::Parts([*left, right].into_iter().chain(last).collect())
            }
            Infix::Is => self.is(left)?,
            Infix::In(positive) => {
                let sign = if positive { "=" } else { "<>all" };
                match self.group()? {
                    Group::Select(select) => Expr::Any(left, sign.to_owned(), Box::new(Expr::Select(select))),
                    Group::List(list) => Expr::Any(left, sign.to_owned(), Box::new(Expr::Array(list))),
                }
            }
            Infix::Sign(sign) => {
                let every = ["any", "some", "all"].into_iter().find(|word| self.peek_word(word));
                match every.filter(|_| self.tokens.get(self.at + 1) == Some(&Token::Open)) {
                    Some(word) => {
                        self.at += 1;
                        let sign = if word == "all" { format!("{sign}all") } else { sign };
                        let right = match self.group()? {
                            Group::Select(select) => Expr::Select(select),
                            Group::List(mut list) => list.pop().filter(|_| list.is_empty())?,
                        };
                        Expr::Any(left, sign, Box::new(right))
                    }
                    None => {
                        let right = self.boxed(strength(&sign) + 1)?;
                        Expr::Op(left, sign, right)
                    }
                }
            }
        })
    }

    fn is(&mut self, left: Box<Expr<'t>>) -> Option<Expr<'t>> {
        let not = self.word("not");
        if self.word("distinct") {
            self.word("from").then_some(())?;
            let distinct = Expr::Distinct(left, self.boxed(5)?);
            return Some(if not { Expr::Not(Box::new(distinct)) } else { distinct });
        }
        let what = ["null", "true", "false", "unknown"].into_iter().find(|word| self.peek_word(word))?;
        self.at += 1;
        Some(Expr::Is(left, if not { format!("not {what}") } else { what.to_owned() }))
    }

    /// A type's name after `::` or AS.
    fn kind(&mut self) -> Option<Type> {
        let mut name = self.path()?.pop()?;
        while let Some(Token::Word(word)) = self.peek()
            && ["varying", "precision", "with", "without", "time", "zone"].contains(&word.as_str())
        {
            name = format!("{name} {word}");
            self.at += 1;
        }
        let mut limited = false;
        if self.peek() == Some(&Token::Open) {
            self.at = closing(self.tokens, self.at)? + 1;
            limited = true;
            // `timestamp(3) without time zone`.
            while ["with", "without", "time", "zone"].into_iter().any(|word| self.word(word)) {}
        }
        let mut array = false;
        while self.peek().is_some_and(|token| token.is_sign("[")) {
            self.at = closing_bracket(self.tokens, self.at)? + 1;
            array = true;
        }
        Some(Type { name, limited, array })
    }

    /// Names with dots between them.
    fn path(&mut self) -> Option<Vec<String>> {
        let mut path = vec![self.peek()?.name()?.to_owned()];
        self.at += 1;
        while let Some([dot, next]) = self.tokens.get(self.at..self.at + 2)
            && dot.is_sign(".")
            && let Some(name) = next.name().or(next.is_sign("*").then_some("*"))
        {
            path.push(name.to_owned());
            self.at += 2;
        }
        Some(path)
    }

    /// What stands in parentheses.
    fn group(&mut self) -> Option<Group<'t>> {
        (self.peek() == Some(&Token::Open)).then_some(())?;
        let end = closing(self.tokens, self.at)?;
        let inside = self.tokens.get(self.at + 1..end)?;
        self.at = end + 1;
        if inside.first().is_some_and(|token| token.is("select") || token.is("with") || token.is("values")) {
            return Some(Group::Select(Box::new(select::read(inside, self.depth))));
        }
        Some(Group::List(self.list(inside)))
    }

    /// Expressions with commas between them.
    fn list(&self, tokens: &'t [Token]) -> Vec<Expr<'t>> {
        if tokens.is_empty() {
            return Vec::new();
        }
        // An array in place of a function's last values.
        let value = |part: &'t [Token]| match part {
            [word, rest @ ..] if word.is("variadic") => within(rest, self.depth),
            part => within(part, self.depth),
        };
        split(tokens, |token| token.is_sign(",")).into_iter().map(value).collect()
    }

    fn prefix(&mut self) -> Option<Expr<'t>> {
        match self.peek()? {
            Token::Open => Some(match self.group()? {
                Group::Select(select) => Expr::Select(select),
                Group::List(mut list) if list.len() == 1 => list.pop()?,
                Group::List(list) => Expr::Parts(list),
            }),
            Token::Text(text) => {
                self.at += 1;
                Some(Expr::Text(text.clone()))
            }
            Token::Sign(sign) if sign == "$" => {
                let number = self.tokens.get(self.at + 1)?.name()?.parse().ok()?;
                self.at += 2;
                Some(Expr::Param(number))
            }
            Token::Sign(sign) if sign == "*" => {
                self.at += 1;
                Some(Expr::Name(vec!["*".to_owned()]))
            }
            Token::Sign(sign) if matches!(sign.as_str(), "-" | "+" | "~" | "@") => {
                self.at += 1;
                let of = self.expr(13)?;
                Some(if of == Expr::Number { of } else { Expr::Parts(vec![of]) })
            }
            Token::Word(word) => self.of_word(word),
            Token::Quoted(_) => self.name(),
            _ => None,
        }
    }

    fn of_word(&mut self, word: &str) -> Option<Expr<'t>> {
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            self.path()?;
            return Some(Expr::Number);
        }
        let alone = match word {
            "true" => Some(Expr::True),
            "false" => Some(Expr::False),
            "null" => Some(Expr::Null),
            "current_user" | "session_user" | "current_role" | "user" => Some(Expr::User),
            _ => None,
        };
        if alone.is_some() {
            self.at += 1;
            return alone;
        }
        match (word, self.tokens.get(self.at + 1)) {
            ("not", _) => {
                self.at += 1;
                Some(Expr::Not(self.boxed(3)?))
            }
            ("case", _) => self.case(),
            ("exists", Some(Token::Open)) => {
                self.at += 1;
                match self.group()? {
                    Group::Select(select) => Some(Expr::Exists(select)),
                    Group::List(_) => None,
                }
            }
            ("array", Some(Token::Open)) => {
                self.at += 1;
                match self.group()? {
                    // One element for each row.
                    Group::Select(select) => Some(Expr::Array(vec![Expr::Select(select)])),
                    Group::List(_) => None,
                }
            }
            ("array", Some(bracket)) if bracket.is_sign("[") => {
                let end = closing_bracket(self.tokens, self.at + 1)?;
                let list = self.list(self.tokens.get(self.at + 2..end)?);
                self.at = end + 1;
                Some(Expr::Array(list))
            }
            ("row", Some(Token::Open)) => {
                self.at += 1;
                match self.group()? {
                    Group::List(list) => Some(Expr::Parts(list)),
                    Group::Select(_) => None,
                }
            }
            ("cast", Some(Token::Open)) => {
                let end = closing(self.tokens, self.at + 1)?;
                self.at += 2;
                let of = self.boxed(0)?;
                self.word("as").then_some(())?;
                let kind = self.kind()?;
                (self.at == end).then(|| self.at += 1)?;
                Some(Expr::Cast(of, kind))
            }
            // `date '2020-01-01'`.
            (_, Some(Token::Text(text))) => {
                self.at += 2;
                Some(Expr::Text(text.clone()))
            }
            _ if RESERVED.contains(&word) => None,
            _ => self.name(),
        }
    }

    fn case(&mut self) -> Option<Expr<'t>> {
        self.at += 1;
        let (mut conditions, mut results) = (Vec::new(), Vec::new());
        if !self.peek_word("when") {
            conditions.push(self.expr(0)?);
        }
        while self.word("when") {
            conditions.push(self.expr(0)?);
            self.word("then").then_some(())?;
            results.push(self.expr(0)?);
        }
        results.push(if self.word("else") { self.expr(0)? } else { Expr::Null });
        self.word("end").then_some(Expr::Case(conditions, results))
    }

    /// A column or a call.
    fn name(&mut self) -> Option<Expr<'t>> {
        let path = self.path()?;
        if self.peek() != Some(&Token::Open) {
            return Some(Expr::Name(path));
        }
        let end = closing(self.tokens, self.at)?;
        let inside = self.tokens.get(self.at + 1..end)?;
        self.at = end + 1;
        if path.as_slice() == ["trim"] {
            return Some(self.trim(inside));
        }
        Some(Expr::Call(path, self.list(inside)))
    }

    /// `TRIM(BOTH 'x' FROM y)` is `btrim(y, 'x')`.
    fn trim(&self, inside: &'t [Token]) -> Expr<'t> {
        let (name, rest) = match inside {
            [side, rest @ ..] if side.is("leading") => ("ltrim", rest),
            [side, rest @ ..] if side.is("trailing") => ("rtrim", rest),
            [side, rest @ ..] if side.is("both") => ("btrim", rest),
            all => ("btrim", all),
        };
        let with = match split(rest, |token| token.is("from")).as_slice() {
            [[], of] => self.list(of),
            [signs, of] => self.list(of).into_iter().chain(self.list(signs)).collect(),
            _ => self.list(rest),
        };
        Expr::Call(vec![name.to_owned()], with)
    }
}

enum Group<'t> {
    Select(Box<Select<'t>>),
    List(Vec<Expr<'t>>),
}

enum Infix {
    Or,
    And,
    Is,
    Null(&'static str),
    /// IN, or NOT IN.
    In(bool),
    /// LIKE, BETWEEN and their like.
    Other,
    Zone,
    Collate,
    Cast,
    Subscript,
    Field,
    Sign(String),
}

/// Where the parenthesis at a place is closed.
pub(super) fn closing(tokens: &[Token], at: usize) -> Option<usize> {
    let mut open = 0_usize;
    for (place, token) in tokens.iter().enumerate().skip(at) {
        match token {
            Token::Open => open += 1,
            Token::Close => {
                open = open.checked_sub(1)?;
                if open == 0 {
                    return Some(place);
                }
            }
            _ if open == 0 => return None,
            _ => {}
        }
    }
    None
}

fn closing_bracket(tokens: &[Token], at: usize) -> Option<usize> {
    let mut open = 0_usize;
    for (place, token) in tokens.iter().enumerate().skip(at) {
        if token.is_sign("[") {
            open += 1;
        } else if token.is_sign("]") {
            open = open.checked_sub(1)?;
            if open == 0 {
                return Some(place);
            }
        }
    }
    None
}

/// The parts between tokens that stand outside of parentheses and brackets.
pub(super) fn split(tokens: &[Token], between: impl Fn(&Token) -> bool) -> Vec<&[Token]> {
    let mut parts = Vec::new();
    let (mut open, mut start) = (0_usize, 0);
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Open => open += 1,
            Token::Close => open = open.saturating_sub(1),
            sign if sign.is_sign("[") => open += 1,
            sign if sign.is_sign("]") => open = open.saturating_sub(1),
            token if open == 0 && between(token) => {
                parts.extend(tokens.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(tokens.get(start..));
    parts
}
