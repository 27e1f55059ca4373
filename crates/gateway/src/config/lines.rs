//! Where in the file a problem stands.

/// The line of the key that a problem names first (`table.key`, `table[1].key` for the second `[[table]]`), or of its table; 1 when
/// neither stands in the file.
pub(super) fn key_line(text: &str, problem: &str) -> usize {
    let named = bare(problem.split('`').nth(1).unwrap_or_default());
    let mut tables = Tables::default();
    let mut table = String::new();
    let mut best = 1;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            table = tables.open(header);
            if named == table || named.starts_with(&format!("{table}.")) {
                best = number + 1;
            }
        } else if let Some((key, _)) = line.split_once('=')
            && named == format!("{table}.{}", bare(key))
        {
            return number + 1;
        }
    }
    best
}

/// The line that the parser speaks of and what it says, with the key of a value that is of another kind than it should be.
pub(super) fn unparsed(text: &str, error: &toml::de::Error) -> (usize, String) {
    let line = error.span().map_or(1, |span| line_of(text, span.start));
    let message = plain(error.message());
    // What does not fit its key names it; what is wrong in the text itself has no key.
    let of_value = message.starts_with("invalid ") || message.starts_with("unknown variant");
    match key_of(text, line).filter(|_| of_value) {
        Some(key) => (line, format!("`{key}`: {message}")),
        None => (line, message),
    }
}

/// What the parser says of a value's type, for somebody who writes no Rust.
fn plain(message: &str) -> String {
    const NUMBERS: [&str; 6] =
        ["expected usize", "expected u64", "expected u32", "expected u16", "expected u8", "expected i64"];
    NUMBERS.iter().fold(message.to_owned(), |text, number| text.replace(number, "expected a whole number"))
}

/// The key that stands in a line, with a value.
fn key_of(text: &str, line: usize) -> Option<&str> {
    let (key, _) = text.lines().nth(line.checked_sub(1)?)?.split_once('=')?;
    let key = key.trim();
    let is_key = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.' | '"' | '\'');
    (!key.is_empty() && key.chars().all(is_key)).then_some(key)
}

/// A key without the quotes that it may stand in.
fn bare(key: &str) -> String {
    key.trim().replace(['"', '\''], "")
}

/// How many tables of each `[[name]]` were opened.
#[derive(Default)]
struct Tables(Vec<(String, usize)>);

impl Tables {
    /// The full name of the table that a header opens, from after its first bracket on: `identity.issuer[1]` for the second
    /// `[[identity.issuer]]`, and `identity.issuer[1].tenant_map` below it.
    fn open(&mut self, header: &str) -> String {
        let (list, name) = match header.strip_prefix('[') {
            Some(rest) => (true, rest),
            None => (false, header),
        };
        let name = bare(name.split(']').next().unwrap_or_default());
        if list {
            return match self.0.iter_mut().find(|(known, _)| *known == name) {
                Some((_, last)) => {
                    *last += 1;
                    format!("{name}[{last}]")
                }
                None => {
                    self.0.push((name.clone(), 0));
                    format!("{name}[0]")
                }
            };
        }
        let below = self.0.iter().find_map(|(known, last)| {
            let rest = name.strip_prefix(known.as_str()).filter(|rest| rest.starts_with('.'))?;
            Some(format!("{known}[{last}]{rest}"))
        });
        below.unwrap_or(name)
    }
}

pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::{key_line, key_of};

    const FILE: &str = "# a comment\n[server]\nlisten = \"x\"\n[identity]\n[[identity.issuer]]\nissuer = \"a\"\n\
                        [[identity.issuer]]\nissuer = \"b\"\nalgorithms = []\n[identity.issuer.tenant_map]\nx = \"y\"\n\
                        [data.\"desk\"]\nmax_open_files = 0\n";

    #[test]
    fn a_problem_has_the_line_of_its_key_in_lists_of_tables_and_quoted_ones() {
        for (problem, line) in [
            ("`server.listen`: is no address", 3),
            ("`identity.issuer[0].issuer`: is no URL", 6),
            ("`identity.issuer[1].algorithms`: is empty", 9),
            ("`identity.issuer[1].jwks`: is missing", 7),
            ("`identity.issuer[1].tenant_map.x`: is no tenant", 11),
            ("`data.desk.max_open_files`: must be between", 13),
            ("`identity.issuer[2].jwks`: is missing", 4),
            ("`nothing.of_it`: is missing", 1),
        ] {
            assert_eq!(key_line(FILE, problem), line, "{problem}");
        }
    }

    #[test]
    fn a_line_without_a_key_has_none() {
        assert_eq!((key_of(FILE, 3), key_of(FILE, 2), key_of(FILE, 99)), (Some("listen"), None, None));
    }
}
