//! What a reader is shown of the page of a rule, whose many examples are there as its tests.

use crate::Page;

/// How many examples of what is bad, and of what is good, a short page has.
const EXAMPLES: usize = 2;

impl Page {
    /// The page for a reader: its text with the first examples. The last line says how to see the others, if there are any.
    #[must_use]
    pub fn brief(&self) -> String {
        let mut brief = Brief::default();
        for line in self.markdown.lines() {
            brief.take(line);
        }
        let (mut text, left_out) = brief.end();
        if left_out > 0 {
            let id = self.check.id;
            text.push_str(&format!("\n{left_out} more examples: `partywall explain {id} --all`\n"));
        }
        text
    }
}

/// A short page that is being written.
#[derive(Default)]
struct Brief {
    text: String,
    /// Prose that belongs to the example which follows, if one does.
    before: String,
    /// Whether we are in an example, and whether that is shown.
    example: Option<bool>,
    bad: usize,
    good: usize,
    left_out: usize,
    /// Whether an example of the section that waits in `before` was left out.
    cut: bool,
}

impl Brief {
    fn take(&mut self, line: &str) {
        if let Some(shown) = self.example {
            if shown {
                add(&mut self.text, line);
            }
            if line.trim_end() == "```" {
                self.example = None;
            }
        } else if let Some(words) = line.strip_prefix("```") {
            self.begin(words);
        } else {
            if line.starts_with('#') {
                self.end_section();
            }
            add(&mut self.before, line);
        }
    }

    fn begin(&mut self, words: &str) {
        let mut words = words.split_whitespace();
        let language = words.next().unwrap_or_default();
        let shown = match words.next() {
            Some("bad") => counts(&mut self.bad),
            Some("good") => counts(&mut self.good),
            Some("reworded") => false,
            _ => true,
        };
        self.example = Some(shown);
        if shown {
            self.show_before();
            add(&mut self.text, &format!("```{language}"));
            return;
        }
        self.left_out += 1;
        self.cut = true;
        // A section's own text stays, whatever it leads to; what only introduces an example goes with it.
        if self.before.starts_with('#') {
            let trimmed = self.before.trim_end();
            let (rest, last) = trimmed.rsplit_once("\n\n").unwrap_or(("", trimmed));
            self.before = format!("{}\n\n", if last.ends_with(':') { rest } else { trimmed });
            if !self.is_heading() {
                self.show_before();
            }
        } else {
            self.before.clear();
        }
    }

    /// Whether nothing but a heading waits.
    fn is_heading(&self) -> bool {
        self.before.trim_end().lines().count() <= 1
    }

    /// A heading of which everything was left out goes too.
    fn end_section(&mut self) {
        if self.cut && self.before.starts_with('#') && self.is_heading() {
            self.before.clear();
        }
        self.show_before();
    }

    fn show_before(&mut self) {
        self.text.push_str(&self.before);
        self.before.clear();
        self.cut = false;
    }

    /// The text without gaps, and how many examples it leaves out.
    fn end(mut self) -> (String, usize) {
        self.end_section();
        let mut told = String::with_capacity(self.text.len());
        let mut empty = true;
        for line in self.text.lines() {
            if !(line.is_empty() && empty) {
                add(&mut told, line);
            }
            empty = line.is_empty();
        }
        (told.trim_end().to_owned() + "\n", self.left_out)
    }
}

fn add(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// Counts one more example; whether it is among the first.
const fn counts(seen: &mut usize) -> bool {
    *seen += 1;
    *seen <= EXAMPLES
}

#[cfg(test)]
mod tests {
    use crate::{Check, Face, Layer, Severity};

    use super::*;

    fn brief(markdown: &'static str) -> String {
        let check = Check { id: "a-rule", layer: Layer::Data, summary: "" };
        Page { check, face: Face::Scan, severity: Severity::High, markdown }.brief()
    }

    #[test]
    fn the_first_examples_are_shown_without_what_only_tests_need() {
        let page = "# r\n\nWhat.\n\n## Finds\n\nIt.\n\n```ts bad high\na\n```\n\n```py reworded\nb\n```\n\nThe same there:\n\n\
                    ```py reworded medium\nc\n```\n\n## Mend\n\nSo.\n\n```ts good\nd\n```\n";
        assert_eq!(
            brief(page),
            "# r\n\nWhat.\n\n## Finds\n\nIt.\n\n```ts\na\n```\n\n## Mend\n\nSo.\n\n```ts\nd\n```\n\n2 more examples: \
             `partywall explain a-rule --all`\n"
        );
    }

    #[test]
    fn a_section_keeps_its_text_whatever_it_leads_to() {
        let page = "## Mend\n\nSo.\n\n```ts reworded\nd\n```\n\nAnd so.\n";
        let told = brief(page);
        assert!(told.starts_with("## Mend\n\nSo.\n\nAnd so.\n"), "{told}");
    }

    #[test]
    fn a_heading_goes_with_its_examples() {
        let page = "# r\n\nWhat.\n\n## One\n\nA header:\n\n```ts reworded\na\n```\n\n## Two\n\n```ts reworded\nb\n```\n\n\
                    ## Three\n\nSo:\n\n```ts reworded\nc\n```\n\n```ts bad\nd\n```\n";
        let told = brief(page);
        assert!(told.starts_with("# r\n\nWhat.\n\n## Three\n\n```ts\nd\n```\n"), "{told}");
    }

    #[test]
    fn a_page_without_tests_is_shown_as_it_is() {
        let page = "# r\n\n```sql\nSELECT 1;\n```\n\nEnd.\n";
        assert_eq!(brief(page), page);
    }
}
