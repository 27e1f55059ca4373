//! SQL in a program: text with holes, and the placeholders of the drivers.
//!
//! Every hole and placeholder becomes an identifier that any grammar accepts, so that one parser reads the SQL of every
//! driver.

use super::Placeholder;

/// A part of a string of SQL as it stands in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// What is written.
    Text(&'a str),
    /// What is put in while the program runs.
    Hole,
}

/// What the identifiers of placeholders begin with.
const PREFIX: &str = "pwhole";
/// The longest SQL that is read.
const LONGEST: usize = 200_000;

/// A text in which each placeholder is an identifier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub(super) sql: String,
    placeholders: Vec<Placeholder>,
}

impl Text {
    /// Joins the pieces. Nothing when they are too long.
    #[must_use]
    pub fn new(pieces: &[Piece<'_>]) -> Option<Self> {
        let mut writer = Writer::default();
        for piece in pieces {
            match piece {
                Piece::Text(text) if writer.text.sql.len() + text.len() > LONGEST => return None,
                Piece::Text(text) => writer.text(text),
                Piece::Hole => {
                    let hole = Placeholder::Hole(writer.holes);
                    writer.holes += 1;
                    writer.put(hole);
                }
            }
        }
        Some(writer.text)
    }

    /// The placeholder that an identifier stands for.
    pub(super) fn placeholder(&self, identifier: &str) -> Option<Placeholder> {
        let number: usize = identifier.strip_prefix(PREFIX)?.parse().ok()?;
        self.placeholders.get(number).cloned()
    }

    /// The first placeholder inside of a string, as in `'%${term}%'`.
    pub(super) fn inside(&self, string: &str) -> Option<Placeholder> {
        let (_, rest) = string.split_once(PREFIX)?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        self.placeholder(&format!("{PREFIX}{digits}"))
    }
}

#[derive(Default)]
struct Writer {
    text: Text,
    holes: u32,
    positions: u32,
    /// The quote that is open.
    quote: Option<char>,
}

impl Writer {
    fn put(&mut self, placeholder: Placeholder) {
        let number = self.text.placeholders.len();
        // Inside of quotes it becomes part of the string; outside it must not grow together with what is before it.
        if self.quote.is_none() && self.text.sql.ends_with(|c: char| c.is_ascii_digit()) {
            self.text.sql.push(' ');
        }
        self.text.sql.push_str(&format!("{PREFIX}{number}"));
        self.text.placeholders.push(placeholder);
    }

    fn position(&mut self) {
        let position = Placeholder::Position(self.positions);
        self.positions += 1;
        self.put(position);
    }

    fn text(&mut self, text: &str) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let after = rest.get(c.len_utf8()..).unwrap_or_default();
            if let Some(quote) = self.quote {
                if c == quote {
                    self.quote = None;
                }
            } else if matches!(c, '\'' | '"' | '`') {
                self.quote = Some(c);
            } else if let Some(next) = self.placeholder(c, after) {
                rest = next;
                continue;
            }
            self.text.sql.push(c);
            rest = after;
        }
    }

    /// Writes the placeholder that begins here, and gives what comes after it.
    fn placeholder<'a>(&mut self, c: char, after: &'a str) -> Option<&'a str> {
        let name = |text: &'a str| {
            let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
            text.split_at_checked(end).filter(|(name, _)| !name.is_empty())
        };
        match c {
            '?' => {
                // `data ? 'key'` asks whether a key is there.
                let json = after.trim_start().starts_with(['\'', '|', '&', '?']);
                let digits = after.trim_start_matches(|c: char| c.is_ascii_digit());
                (!json).then(|| {
                    self.position();
                    digits
                })
            }
            '$' => {
                let (digits, rest) = name(after)?;
                let number: u32 = digits.parse().ok()?;
                self.put(Placeholder::Position(number.checked_sub(1)?));
                Some(rest)
            }
            '%' if after.starts_with('s')
                && !after.get(1..).unwrap_or_default().starts_with(|c: char| c.is_ascii_alphanumeric()) =>
            {
                self.position();
                after.get(1..)
            }
            '%' => {
                let (key, rest) = name(after.strip_prefix('(')?)?;
                let rest = rest.strip_prefix(")s")?;
                self.put(Placeholder::Name(key.to_owned()));
                Some(rest)
            }
            ':' if after.starts_with(':') => {
                // A cast of PostgreSQL, both colons at once.
                self.text.sql.push_str("::");
                after.get(1..)
            }
            ':' | '@'
                if !self.text.sql.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '@' || c == ':') =>
            {
                let (key, rest) = name(after)?;
                if key.starts_with(|c: char| c.is_ascii_digit()) && c == '@' {
                    return None;
                }
                let placeholder = match key.parse::<u32>() {
                    Ok(number) => Placeholder::Position(number.saturating_sub(1)),
                    Err(_) => Placeholder::Name(key.to_owned()),
                };
                self.put(placeholder);
                Some(rest)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> (String, Vec<Placeholder>) {
        let text = Text::new(&[Piece::Text(text)]).unwrap();
        (text.sql, text.placeholders)
    }

    #[test]
    fn the_placeholders_of_every_driver_are_known() {
        for text in ["a = ?", "a = $1", "a = %s", "a = ?1", "a = :1"] {
            assert_eq!(sql(text), ("a = pwhole0".to_owned(), vec![Placeholder::Position(0)]), "{text}");
        }
        for text in ["a = :x", "a = @x", "a = %(x)s"] {
            assert_eq!(sql(text).1, [Placeholder::Name("x".to_owned())], "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_one_is_left_alone() {
        for text in
            ["a::uuid", "a ? 'k'", "a = '?'", "a = ':x'", "a LIKE '%s'", "10 % 3", "'12:30'", "a @> b"]
        {
            assert_eq!(sql(text), (text.to_owned(), Vec::new()), "{text}");
        }
    }

    #[test]
    fn holes_are_numbered_in_their_order() {
        let text = Text::new(&[
            Piece::Text("a = "),
            Piece::Hole,
            Piece::Text(" AND b = '"),
            Piece::Hole,
            Piece::Text("'"),
        ])
        .unwrap();
        assert_eq!(text.sql, "a = pwhole0 AND b = 'pwhole1'");
        assert_eq!(text.placeholder("pwhole0"), Some(Placeholder::Hole(0)));
        assert_eq!(text.inside("%pwhole1%"), Some(Placeholder::Hole(1)));
    }
}
