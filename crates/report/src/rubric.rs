//! The rubric: how findings become grades, and which rule costs what. Generated, so that it cannot say anything else than the
//! code does.

use partywall_model::{Axis, COUNTED, GRADES, Layer, NOT_ASSESSED, Page, Severity};

/// A rule as the rubric lists it.
#[derive(Debug, Clone, Copy)]
pub struct RubricRule {
    /// The rule with its page.
    pub page: Page,
    /// The axis that its findings count against.
    pub axis: Axis,
}

/// The rubric as a page in Markdown.
#[must_use]
pub fn rubric(rules: &[RubricRule]) -> String {
    let mut text = String::from(
        "# How grades are made\n\n\
         This page is made from the table of rules; a test keeps it fresh.\n\n\
         A document of findings has a grade for each axis and one for the whole. An axis begins with 100 points. Each \
         finding takes some away, by its severity:\n\n\
         | severity | points | means |\n|---|---|---|\n",
    );
    for severity in Severity::ALL {
        let means = match severity {
            Severity::High => "one tenant reads or changes what is another's",
            Severity::Medium => "it breaks isolation together with something else, or breaks the service",
            Severity::Low => "it costs something, or tells a little",
        };
        text.push_str(&format!("| {} | {} | {means} |\n", severity.name(), severity.points()));
    }
    text.push_str(&format!(
        "\nAt most {COUNTED} findings of one severity count against one axis: whoever has {COUNTED} of a kind has to look at \
         that kind, and more of them should not hide what else there is.\n\n| grade | least score |\n|---|---|\n"
    ));
    for (least, grade) in GRADES {
        text.push_str(&format!("| {grade} | {least} |\n"));
    }
    text.push_str(
        "\n**The whole is as good as its worst axis.** There is no mean: a good score in one thing does not buy off a leak in \
         another. So nothing with a high finding has an A.\n\n## Axes\n\n",
    );
    for axis in Axis::ALL {
        let always = if Axis::ISOLATION.contains(&axis) {
            "graded in every run of all rules that read a program"
        } else {
            "graded only from what is looked at"
        };
        text.push_str(&format!("- **{}**: {}; {always}.\n", axis.name(), axis.summary()));
    }
    text.push_str(&format!(
        "\nThe first three are what isolation is judged by. For the others Partywall looks at little: an axis that no rule of \
         the run looks at says \"{NOT_ASSESSED}\" and does not count. It is not a verdict on a server's care or its \
         documents.\n\n## Rules\n\nThe severity is the highest that a rule gives.\n\n"
    ));
    for layer in Layer::ALL {
        let mut of_layer: Vec<&RubricRule> =
            rules.iter().filter(|rule| rule.page.check.layer == layer).collect();
        of_layer.sort_by_key(|rule| rule.page.check.id);
        text.push_str(&format!("### {layer}\n\n{}\n\n", layer.promise()));
        if of_layer.is_empty() {
            text.push_str("No rule.\n\n");
            continue;
        }
        text.push_str("| rule | axis | severity | points | finds |\n|---|---|---|---|---|\n");
        for rule in of_layer {
            text.push_str(&format!(
                "| `{}` | {} | {} | {} | {} |\n",
                rule.page.check.id,
                rule.axis.name(),
                rule.page.severity.name(),
                rule.page.severity.points(),
                rule.page.check.summary.replace('|', "\\|"),
            ));
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}
