//! What stays of a place when lines move: its text, and the names of what it stands in.

/// How many lines above a place are looked at.
const FARTHEST: usize = 2_000;
/// The most names that are taken.
const MOST: usize = 8;
/// Words that begin a block which has no name.
const UNNAMED: [&str; 16] = [
    "if", "else", "for", "while", "try", "except", "catch", "finally", "switch", "case", "with", "match",
    "do", "return", "await", "elif",
];

/// The text of some lines, from 0, without blanks and cut.
pub(super) fn text(lines: &[&str], first: usize, last: usize, most: usize) -> String {
    let lines = lines.get(first..=last.min(lines.len().saturating_sub(1))).unwrap_or_default();
    lines.iter().flat_map(|line| line.chars()).filter(|c| !c.is_whitespace()).take(most).collect()
}

/// The names of the functions, classes and registered tools that a line stands in, the innermost first. They are read from the lines
/// above it that are less and less indented, so it works in every language and knows none.
pub(super) fn around(lines: &[&str], line: usize) -> String {
    let mut inner = lines.get(line).map_or(0, |line| indent(line));
    let mut names = Vec::new();
    let above = lines.get(..line).unwrap_or_default().iter().enumerate().rev().take(FARTHEST);
    for (at, head) in above {
        if inner == 0 || names.len() >= MOST {
            break;
        }
        let trimmed = head.trim_start();
        // What closes a bracket belongs to the line that opened it, which stands further up.
        if trimmed.is_empty()
            || indent(head) >= inner
            || trimmed.starts_with(['}', ')', ']'])
            || is_comment(trimmed)
        {
            continue;
        }
        inner = indent(head);
        names.extend(name(head, lines.get(at.saturating_add(1)).copied().unwrap_or_default()));
    }
    names.join(" ")
}

fn is_comment(line: &str) -> bool {
    ["//", "#", "--", "/*", "*"].iter().any(|mark| line.starts_with(mark))
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The name in the head of a block: a text that it is registered by, or the word before its first bracket.
fn name(head: &str, next: &str) -> Option<String> {
    let head = head.trim();
    let first = head.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    if UNNAMED.contains(&first) || !head.ends_with(['{', '(', '[', ':', ',', '>']) {
        return None;
    }
    if let Some(before) = head.strip_suffix('(') {
        // The arguments of a call stand in the next lines.
        return quoted(next).or_else(|| last_word(before));
    }
    let words = head.split(['(', '=', ':', '{']).next().unwrap_or_default();
    match quoted(head) {
        Some(text) if head.contains('(') => Some(text),
        _ => last_word(words).filter(|word| word != "async"),
    }
}

/// The first text in quotes.
fn quoted(line: &str) -> Option<String> {
    let at = line.find(['"', '\'', '`'])?;
    let quote = line.get(at..)?.chars().next()?;
    let (text, _) = line.get(at + 1..)?.split_once(quote)?;
    Some(text.to_owned())
}

fn last_word(text: &str) -> Option<String> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
        .rfind(|word| !word.is_empty())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> String {
        let lines: Vec<&str> = text.lines().collect();
        around(&lines, lines.len() - 1)
    }

    #[test]
    fn a_place_stands_in_functions_classes_and_tools() {
        assert_eq!(names("x()"), "");
        assert_eq!(
            names("class Notes:\n    def read(self, id):\n        if id:\n            x()"),
            "read Notes"
        );
        assert_eq!(names("export async function read(id) {\n  try {\n    x()"), "read");
        assert_eq!(names("server.tool(\"read\", {}, async ({ id }) => {\n  x()"), "read");
        assert_eq!(names("server.registerTool(\n  \"read\",\n  async ({ id }) => {\n    x()"), "read");
        assert_eq!(names("const read = async (id) => {\n  x()"), "read");
        assert_eq!(names("async function read(\n  id: string,\n): Promise<Note> {\n  x()"), "read");
        assert_eq!(names("// of notes\nstart()\n  x()"), "");
        assert_eq!(names("function a() {\n  y()\n}\nfunction b() {\n  x()"), "b");
    }

    #[test]
    fn a_place_beyond_the_end_has_no_text() {
        assert_eq!(text(&[], 3, 4, 10), "");
        assert_eq!(text(&["a b", " c"], 0, 9, 10), "abc");
        assert_eq!(around(&[], 7), "");
    }
}
