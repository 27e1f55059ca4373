//! The few lines of a file that a report shows around a place.

/// Lines around a place are cut to this many characters, so that a minified file does not fill the report.
const WIDEST: usize = 200;
/// Characters kept before the place in a line that is cut.
const BEFORE: usize = 60;
/// The most lines that one place shows of itself.
const TALLEST: u32 = 12;

/// One line of an excerpt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number in the file, from 1.
    pub(crate) number: u32,
    /// Its text without control characters, cut where it is too long.
    pub(crate) text: String,
    /// Whether the place is in it.
    pub(crate) marked: bool,
}

/// Some lines of a file, and where in them the place is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// The lines, in order, without gaps.
    pub(crate) lines: Vec<Line>,
    /// The place, in bytes from the beginning of the first line, with one byte for each line break.
    pub(crate) span: std::ops::Range<usize>,
}

impl Excerpt {
    /// The lines as one text.
    pub(crate) fn text(&self) -> String {
        self.lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// The number of the first line.
    pub(crate) fn first(&self) -> u32 {
        self.lines.first().map_or(1, |line| line.number)
    }
}

/// The lines from `line` to `end_line` with `around` more on both sides. The place begins at the `column`th character, from
/// 1, and goes to the end of its last line. Nothing when the file has no such line.
pub(crate) fn of(text: &str, line: u32, column: u32, end_line: u32, around: u32) -> Option<Excerpt> {
    let last = end_line.max(line).min(line.saturating_add(TALLEST));
    let from = line.saturating_sub(around).max(1);
    let to = last.saturating_add(around);
    let mut lines = Vec::new();
    let (mut start, mut end, mut at) = (None, 0, 0);
    for (number, raw) in (1_u32..=to).zip(text.lines()).skip_while(|(number, _)| *number < from) {
        let marked = (line..=last).contains(&number);
        let column = if number == line { usize::try_from(column).unwrap_or(1).max(1) } else { 1 };
        let (text, skipped) = cut(raw, column);
        if number == line {
            let offset: usize =
                text.chars().take((column - 1).saturating_sub(skipped)).map(char::len_utf8).sum();
            let indent = text.len() - text.trim_start().len();
            start = Some(at + offset.max(indent).min(text.len()));
        }
        if marked {
            end = at + code_end(&text);
        }
        at += text.len() + 1;
        lines.push(Line { number, text, marked });
    }
    let start = start?;
    // A box around what is shown must not look as if that were all.
    if end_line > last
        && lines.last().is_some_and(|line| line.marked)
        && text.lines().nth(last as usize).is_some()
    {
        lines.push(Line { number: last.saturating_add(1), text: "…".to_owned(), marked: false });
    }
    Some(Excerpt { lines, span: start..end.max(start) })
}

/// Where the code of a line ends: before blanks.
fn code_end(line: &str) -> usize {
    line.trim_end().len()
}

/// A line without control characters, cut around a column, and how many characters fewer stand before the column.
fn cut(line: &str, column: usize) -> (String, usize) {
    let clean = |c: char| if c == '\t' || !hostile(c) { c } else { char::REPLACEMENT_CHARACTER };
    // Only so much of a line is looked at, however long it is.
    let skipped = if column > WIDEST.saturating_sub(BEFORE) { column.saturating_sub(BEFORE) } else { 0 };
    let mut rest = line.chars().skip(skipped);
    let mut text: String = rest.by_ref().take(WIDEST).map(clean).collect();
    if rest.next().is_some() {
        text.push('…');
    }
    if skipped == 0 {
        return (text, 0);
    }
    (format!("…{text}"), skipped - 1)
}

/// Whether a character could do something to a terminal, or to the order in which a reader sees a line: control
/// characters and the marks that turn the direction of text.
pub(crate) fn hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_with_its_neighbours() {
        let excerpt = of("a\n  b = c\nd\n", 2, 7, 2, 1).unwrap();
        assert_eq!(excerpt.text(), "a\n  b = c\nd");
        assert_eq!(excerpt.first(), 1);
        assert_eq!(excerpt.text().get(excerpt.span).unwrap(), "c");
    }

    #[test]
    fn columns_count_characters_and_not_bytes() {
        let excerpt = of("é = x", 1, 5, 1, 0).unwrap();
        assert_eq!(excerpt.text().get(excerpt.span).unwrap(), "x");
    }

    #[test]
    fn a_line_without_end_is_cut_around_the_place() {
        let long = format!("{}HERE{}", "x".repeat(1_000_000), "y".repeat(1_000_000));
        let excerpt = of(&long, 1, 1_000_001, 1, 2).unwrap();
        assert!(excerpt.text().chars().count() < 300);
        assert!(excerpt.text().get(excerpt.span).unwrap().starts_with("HERE"));
    }

    #[test]
    fn a_place_that_goes_on_says_so() {
        let text: String = (1..=40).map(|number| format!("line {number}\n")).collect();
        let excerpt = of(&text, 1, 1, 30, 0).unwrap();
        assert!(excerpt.text().ends_with("line 13\n…"), "{}", excerpt.text());
        assert!(!of(&text, 1, 1, 5, 0).unwrap().text().contains('…'));
    }

    #[test]
    fn what_could_move_a_terminal_is_replaced() {
        let excerpt = of("a\u{1b}[31m\u{202e}b", 1, 1, 1, 0).unwrap();
        assert_eq!(excerpt.text(), "a\u{fffd}[31m\u{fffd}b");
    }

    #[test]
    fn a_line_that_is_not_there_shows_nothing() {
        assert_eq!(of("a\n", 5, 1, 5, 2), None);
        assert_eq!(of("", 1, 1, 1, 2), None);
        assert!(of("a\nb", 1, 99, 1, 0).is_some());
        assert!(of("a\nb", 1, 1, u32::MAX, u32::MAX).is_some());
    }
}
