//! Cypher, the query language of graph databases, as far as whose nodes a query means: labels, the properties that are tested
//! or set, and what it does. Source: the openCypher grammar, opencypher.org.

use crate::lang::sql::Verb;

/// Where something is put into a text that is not known.
pub const HOLE: char = '\u{1}';

/// What a query says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cypher {
    /// The labels of its nodes, in the order of the text, each once.
    pub labels: Vec<String>,
    /// The properties that nodes and relationships are found by or made with.
    pub properties: Vec<String>,
    /// What it does.
    pub verb: Verb,
    /// Whether a part that is not a value was not seen: a condition that is put in.
    pub open: bool,
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    Sign(char),
    Hole,
    /// A string, number or parameter.
    Value,
}

/// Words that a query begins with.
const FIRST: &[&str] = &["MATCH", "OPTIONAL", "MERGE", "CREATE", "UNWIND"];

/// Reads a text; none if it is no query with a labelled node.
#[must_use]
pub fn read(text: &str) -> Option<Cypher> {
    let begin: String = text.trim_start().chars().take_while(char::is_ascii_alphabetic).collect();
    if !FIRST.contains(&begin.to_ascii_uppercase().as_str()) || !text.contains('(') {
        return None;
    }
    let tokens = tokens(text);
    let has = |word: &str| {
        tokens.iter().any(|token| matches!(token, Token::Word(own) if own.eq_ignore_ascii_case(word)))
    };
    let (finds, makes) = (has("MATCH"), has("MERGE") || has("CREATE"));
    if !finds && !makes {
        return None;
    }
    let verb = if has("DELETE") || has("DETACH") {
        Verb::Delete
    } else if !finds {
        Verb::Insert
    } else if has("SET") || has("REMOVE") {
        Verb::Update
    } else {
        Verb::Select
    };
    let mut found = Cypher { labels: Vec::new(), properties: Vec::new(), verb, open: false };
    let mut after = tokens.iter().copied();
    let mut last: [Token<'_>; 3] = [Token::Sign(' '); 3];
    while let Some(token) = after.next() {
        let next = after.clone().next();
        found.take(last, token, next);
        last.rotate_left(1);
        if let Some(slot) = last.last_mut() {
            *slot = token;
        }
    }
    (!found.labels.is_empty()).then_some(found)
}

impl Cypher {
    /// Notes what a token says, with the three before it and the one after it.
    fn take(&mut self, last: [Token<'_>; 3], token: Token<'_>, next: Option<Token<'_>>) {
        let [far, before_last, before] = last;
        match token {
            // `(n:Label`, `(:Label`, `[:KNOWS`: a relationship's type is no label.
            Token::Word(word) if before == Token::Sign(':') => {
                let opens = |token: Token<'_>| token == Token::Sign('(');
                let labels = opens(before_last) || (opens(far) && matches!(before_last, Token::Word(_)));
                if labels
                    && word.starts_with(char::is_alphabetic)
                    && !self.labels.iter().any(|own| own == word)
                {
                    self.labels.push(word.to_owned());
                }
            }
            // `{tenant_id: $tenant}`
            Token::Word(word)
                if next == Some(Token::Sign(':')) && matches!(before, Token::Sign('{' | ',')) =>
            {
                self.properties.push(word.to_owned());
            }
            // `n.tenant_id = $tenant`, `n.tenant_id IN $tenants`
            Token::Word(word) if before == Token::Sign('.') => {
                let tested = match next {
                    Some(Token::Sign('=')) => true,
                    Some(Token::Word(own)) => own.eq_ignore_ascii_case("IN"),
                    _ => false,
                };
                if tested {
                    self.properties.push(word.to_owned());
                }
            }
            // A value stands after `:`, `=`, `<`, `(`, `,` or a word like LIMIT; what stands elsewhere is a condition or a pattern.
            Token::Hole => {
                let value = matches!(before, Token::Sign(':' | '=' | '<' | '>' | '`' | '$'))
                    || matches!(before, Token::Word(word) if matches!(word.to_ascii_uppercase().as_str(), "LIMIT" | "SKIP" | "IN"));
                self.open |= !value;
            }
            _ => {}
        }
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |char: char| char.is_alphanumeric() || char == '_';
        let length = if is_word(first) {
            let end = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
            found.push(if first.is_numeric() {
                Token::Value
            } else {
                Token::Word(rest.get(..end).unwrap_or(""))
            });
            end
        } else if matches!(first, '\'' | '"') {
            let inner = rest.get(1..).unwrap_or("");
            found.push(Token::Value);
            inner.find(first).map_or(rest.len(), |end| end + 2)
        } else if first == '$' {
            let inner = rest.get(1..).unwrap_or("");
            found.push(Token::Value);
            inner.find(|char| !is_word(char)).map_or(rest.len(), |end| end + 1)
        } else {
            match first {
                HOLE => found.push(Token::Hole),
                space if space.is_whitespace() => {}
                sign => found.push(Token::Sign(sign)),
            }
            first.len_utf8()
        };
        rest = rest.get(length.max(first.len_utf8())..).unwrap_or("");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_properties_are_read() {
        let found =
            read("MATCH (e:Entity {name: $name})-[:MENTIONS]->(n) WHERE n.tenant_id = $t RETURN e").unwrap();
        assert_eq!(found.labels, ["Entity"]);
        assert_eq!(found.properties, ["name", "tenant_id"]);
        assert_eq!(found.verb, Verb::Select);
        assert!(!found.open);
    }

    #[test]
    fn what_it_does_is_read() {
        assert_eq!(read("match (n:Note {id: 'a:b'}) detach delete n").unwrap().verb, Verb::Delete);
        assert_eq!(read("MERGE (n:Note {id: $id}) SET n.text = $text").unwrap().verb, Verb::Insert);
        assert_eq!(read("MATCH (n:Note) SET n.text = $text").unwrap().verb, Verb::Update);
    }

    #[test]
    fn a_condition_that_is_put_in_leaves_it_open() {
        assert!(read("MATCH (n:Note) \u{1} RETURN n").unwrap().open);
        assert!(!read("MATCH (n:Note {id: \u{1}}) RETURN n LIMIT \u{1}").unwrap().open);
    }

    #[test]
    fn other_texts_are_none() {
        for text in [
            "CREATE TABLE notes (id TEXT)",
            "Match (as described) the user",
            "",
            "MATCH ('",
            "MERGE (n:",
            "select 1",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
