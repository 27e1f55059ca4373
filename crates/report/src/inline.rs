//! Messages are plain text in which names stand between backticks: how that looks in each format.

use std::borrow::Cow;

use maud::{Markup, html};

use crate::excerpt::hostile;

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// Words.
    Words(&'a str),
    /// A name or a piece of code.
    Code(&'a str),
}

/// Splits a message at its backticks; one that has no partner is a word.
pub(crate) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, inside, after)) = rest
        .split_once('`')
        .and_then(|(before, tail)| tail.split_once('`').map(|(inside, after)| (before, inside, after)))
    {
        if !before.is_empty() {
            parts.push(Part::Words(before));
        }
        parts.push(Part::Code(inside));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Words(rest));
    }
    parts
}

/// A text that a terminal shows as it is: line breaks stay, other control characters do not.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    // What ends as lines do in HTTP is a line.
    let lines =
        if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    if lines.chars().any(|c| c != '\n' && hostile(c)) {
        let shown = |c| if c != '\n' && hostile(c) { char::REPLACEMENT_CHARACTER } else { c };
        Cow::Owned(lines.chars().map(shown).collect())
    } else {
        lines
    }
}

/// A text in one line.
pub(crate) fn one_line(text: &str) -> String {
    plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A message in HTML.
pub(crate) fn html(text: &str) -> Markup {
    html! {
        @for part in parts(text) {
            @match part {
                Part::Words(words) => (plain(words)),
                Part::Code(code) => code { (plain(code)) },
            }
        }
    }
}

/// A message in Markdown, in one line.
pub(crate) fn markdown(text: &str) -> String {
    let text = one_line(text);
    let mut out = String::with_capacity(text.len());
    for part in parts(&text) {
        match part {
            Part::Words(words) => escape(words, &mut out),
            Part::Code(code) if code.trim().is_empty() => {}
            Part::Code(code) => {
                out.push('`');
                out.push_str(code);
                out.push('`');
            }
        }
    }
    out
}

/// Words in Markdown: every character with a meaning, in CommonMark or on a code host, loses it.
fn escape(words: &str, out: &mut String) {
    for c in words.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A mention or a reference would reach people who have nothing to do with it.
            '@' | '#' => {
                out.push(c);
                out.push('\u{2060}');
            }
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '!' | '|' | '~' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
}

/// Lines of code in Markdown, in a fence that none of them closes.
pub(crate) fn fence(code: &str, language: &str) -> String {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{code}\n{fence}\n")
}

/// The name of a path's language, for highlighting.
pub(crate) fn language(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "js" | "mjs" | "cjs" | "jsx" => "js",
        "ts" | "mts" | "cts" | "tsx" => "ts",
        "py" => "python",
        "sql" => "sql",
        "json" => "json",
        "toml" => "toml",
        "yaml" | "yml" => "yaml",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_between_backticks() {
        assert_eq!(parts("a `b` c"), [Part::Words("a "), Part::Code("b"), Part::Words(" c")]);
        assert_eq!(parts("it`s"), [Part::Words("it`s")]);
        assert_eq!(parts("`a``b`"), [Part::Code("a"), Part::Code("b")]);
    }

    #[test]
    fn lines_may_end_as_in_http_and_nothing_else_moves_the_cursor() {
        assert_eq!(plain("a\r\nb\rc"), "a\nb\u{fffd}c");
    }

    #[test]
    fn markup_in_a_name_stays_text() {
        assert_eq!(html("<b> `<i>&`").into_string(), "&lt;b&gt; <code>&lt;i&gt;&amp;</code>");
        assert_eq!(
            markdown("<img> [x](y) @all `<b>`\n# h"),
            "&lt;img&gt; \\[x\\](y) @\u{2060}all `<b>` #\u{2060} h"
        );
        assert_eq!(markdown("it`s *b*"), "it\\`s \\*b\\*");
    }

    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        assert!(fence("a\n````\nb", "md").starts_with("`````md\n"));
        assert!(fence("a", "").starts_with("```\n"));
    }
}
