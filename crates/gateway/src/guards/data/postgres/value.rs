//! PostgreSQL's text form of a value, written as JSON.
//!
//! The server's own text form is exact for every type, costs the server least, and does not change the statement, as
//! wrapping it in `row_to_json` would. Numbers stay numbers with all their digits, times become ISO 8601, `json` and
//! `jsonb` are put in as they are, `bytea` becomes base64, arrays become arrays, and everything else is text.

use base64::{Engine, engine::general_purpose::STANDARD};

/// How a column's text is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    Bool,
    Number,
    Json,
    Bytes,
    /// A date or time without a zone.
    Time,
    /// A time with a zone, which the session has set to UTC.
    Zoned,
    Text,
    Array {
        of: Box<Form>,
        delimiter: u8,
    },
}

/// Arrays are no deeper than the server makes them (`MAXDIM` in its sources).
const DEEPEST: usize = 6;

impl Form {
    /// The form of a type that every server has under this number (`pg_type.dat` in PostgreSQL's sources); `None` for
    /// others, which the catalogue has to be asked about.
    pub(super) fn of_builtin(oid: u32) -> Option<Self> {
        Some(match oid {
            16 => Self::Bool,
            17 => Self::Bytes,
            20 | 21 | 23 | 26 | 700 | 701 | 1700 => Self::Number,
            114 | 3802 => Self::Json,
            1082 | 1083 | 1114 => Self::Time,
            1184 | 1266 => Self::Zoned,
            18 | 19 | 25 | 1042 | 1043 | 1186 | 2950 => Self::Text,
            _ => return None,
        })
    }

    /// Writes a value that is not null.
    pub(super) fn write(&self, text: &str, json: &mut Vec<u8>) {
        match self {
            Self::Bool => json.extend_from_slice(if text == "t" { b"true" } else { b"false" }),
            Self::Number if is_number(text) => json.extend_from_slice(text.as_bytes()),
            Self::Json => write_json(text, json),
            Self::Bytes => match text.strip_prefix("\\x").and_then(|digits| hex::decode(digits).ok()) {
                Some(bytes) => write_text(&STANDARD.encode(bytes), json),
                None => write_text(text, json),
            },
            Self::Time => write_text(&iso(text), json),
            Self::Zoned => write_text(&zoned(text), json),
            Self::Array { of, delimiter } => {
                let begun = json.len();
                let mut rest = Scan { text, delimiter: *delimiter };
                // Bounds that do not begin at 1 stand before the array, as in `[0:1]={1,2}`.
                if text.starts_with('[')
                    && let Some((_, array)) = text.split_once('=')
                {
                    rest.text = array;
                }
                if rest.array(of, json, 0).is_none() || !rest.text.is_empty() {
                    json.truncate(begun);
                    write_text(text, json);
                }
            }
            // NaN and Infinity are no JSON numbers; the server's own row_to_json writes them as text too.
            Self::Number | Self::Text => write_text(text, json),
        }
    }
}

/// The rest of an array's text.
struct Scan<'t> {
    text: &'t str,
    delimiter: u8,
}

impl Scan<'_> {
    fn take(&mut self, wanted: char) -> Option<()> {
        self.text = self.text.strip_prefix(wanted)?;
        Some(())
    }

    fn array(&mut self, of: &Form, json: &mut Vec<u8>, depth: usize) -> Option<()> {
        if depth >= DEEPEST {
            return None;
        }
        self.take('{')?;
        json.push(b'[');
        if self.take('}').is_none() {
            loop {
                self.element(of, json, depth)?;
                if self.take(char::from(self.delimiter)).is_some() {
                    json.push(b',');
                } else {
                    self.take('}')?;
                    break;
                }
            }
        }
        json.push(b']');
        Some(())
    }

    fn element(&mut self, of: &Form, json: &mut Vec<u8>, depth: usize) -> Option<()> {
        if self.text.starts_with('{') {
            return self.array(of, json, depth + 1);
        }
        if self.take('"').is_some() {
            let mut value = String::new();
            loop {
                let end = self.text.find(['"', '\\'])?;
                let (plain, rest) = self.text.split_at_checked(end)?;
                value.push_str(plain);
                let mut rest = rest.chars();
                if rest.next()? == '"' {
                    self.text = rest.as_str();
                    break;
                }
                value.push(rest.next()?);
                self.text = rest.as_str();
            }
            of.write(&value, json);
            return Some(());
        }
        let end = self.text.find([char::from(self.delimiter), '}'])?;
        let (value, rest) = self.text.split_at_checked(end)?;
        self.text = rest;
        if value == "NULL" {
            json.extend_from_slice(b"null");
        } else {
            of.write(value, json);
        }
        Some(())
    }
}

/// Whether a text is a number as JSON has them (RFC 8259 section 6).
fn is_number(text: &str) -> bool {
    fn digits(bytes: &[u8]) -> (usize, &[u8]) {
        let count = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
        (count, bytes.get(count..).unwrap_or_default())
    }
    let bytes = text.as_bytes();
    let (whole, rest) = digits(bytes.strip_prefix(b"-").unwrap_or(bytes));
    if whole == 0 || (whole > 1 && bytes.strip_prefix(b"-").unwrap_or(bytes).starts_with(b"0")) {
        return false;
    }
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => match digits(fraction) {
            (0, _) => return false,
            (_, rest) => rest,
        },
        None => rest,
    };
    match rest.strip_prefix(b"e") {
        Some(exponent) => {
            let exponent = exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+")).unwrap_or(exponent);
            matches!(digits(exponent), (1.., []))
        }
        None => rest.is_empty(),
    }
}

/// The server has checked that it is JSON. In a `json` (not `jsonb`) there may be line ends between the parts, which
/// would end a line of an event stream too.
fn write_json(text: &str, json: &mut Vec<u8>) {
    json.extend(text.bytes().map(|byte| if byte < b' ' { b' ' } else { byte }));
}

/// `2026-11-03 09:00:00` with a `T`; anything else (`infinity`, years before Christ) stays.
fn iso(text: &str) -> String {
    match text.split_once(' ') {
        Some((date, time)) if !time.contains(' ') => format!("{date}T{time}"),
        _ => text.to_owned(),
    }
}

/// The same, with the minutes of the offset, which ISO 8601 wants and the server leaves out.
fn zoned(text: &str) -> String {
    let mut iso = iso(text);
    let short = iso.len().checked_sub(3).and_then(|at| iso.get(at..)).is_some_and(|end| {
        let mut end = end.bytes();
        matches!(end.next(), Some(b'+' | b'-')) && end.all(|b| b.is_ascii_digit())
    });
    if short {
        iso.push_str(":00");
    }
    iso
}

pub(super) fn write_text(text: &str, json: &mut Vec<u8>) {
    // Writing text to memory does not fail.
    let _written = serde_json::to_writer(json, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: &Form, text: &str) -> String {
        let mut json = Vec::new();
        form.write(text, &mut json);
        let json = String::from_utf8(json).unwrap();
        serde_json::from_str::<serde_json::Value>(&json).unwrap_or_else(|error| panic!("{json}: {error}"));
        json
    }

    fn array(of: Form) -> Form {
        Form::Array { of: Box::new(of), delimiter: b',' }
    }

    #[test]
    fn numbers_keep_their_digits_and_what_is_none_is_text() {
        for text in ["0", "-1", "1.10", "123456789012345678901234567890.5", "1e+20", "1.5e-07"] {
            assert_eq!(written(&Form::Number, text), text);
        }
        for text in ["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "1e", "", "1,2", "0x1"] {
            assert_eq!(written(&Form::Number, text), format!("\"{text}\""));
        }
    }

    #[test]
    fn times_are_iso_8601() {
        assert_eq!(written(&Form::Time, "2026-11-03 09:00:00.5"), "\"2026-11-03T09:00:00.5\"");
        assert_eq!(written(&Form::Zoned, "2026-11-03 09:00:00+00"), "\"2026-11-03T09:00:00+00:00\"");
        assert_eq!(written(&Form::Zoned, "2026-11-03 09:00:00+05:30"), "\"2026-11-03T09:00:00+05:30\"");
        for text in ["infinity", "2026-11-03", "0044-03-15 12:00:00 BC"] {
            assert_eq!(written(&Form::Time, text), format!("\"{text}\""));
        }
    }

    #[test]
    fn arrays_become_arrays() {
        let texts = array(Form::Text);
        assert_eq!(written(&texts, "{}"), "[]");
        assert_eq!(
            written(&texts, r#"{a,NULL,"NULL","b,c","d\"e\\f",""}"#),
            r#"["a",null,"NULL","b,c","d\"e\\f",""]"#
        );
        assert_eq!(written(&array(Form::Number), "{{1,2},{3,NULL}}"), "[[1,2],[3,null]]");
        assert_eq!(written(&array(Form::Number), "[0:1]={1,2}"), "[1,2]");
        assert_eq!(written(&array(Form::Bool), "{t,f}"), "[true,false]");
        // What is no array is text, not broken JSON.
        for text in ["", "{", "{a", "{\"a}", "{a}}", "{{{{{{{{1}}}}}}}}", "[0:1"] {
            assert_eq!(written(&texts, text), serde_json::to_string(text).unwrap());
        }
    }

    #[test]
    fn the_rest_is_exact() {
        assert_eq!(written(&Form::Bytes, "\\x00ff"), "\"AP8=\"");
        assert_eq!(written(&Form::Bool, "t"), "true");
        assert_eq!(written(&Form::Text, "a\"\n\u{7}"), r#""a\"\n\u0007""#);
        assert_eq!(written(&Form::Json, "{\"a\":\n [1]}"), "{\"a\":  [1]}");
    }
}
