//! The grade as a small SVG picture for a README.

use maud::html;
use partywall_model::{Document, NOT_ASSESSED};

/// The colour of a grade.
pub(crate) fn colour(grade: &str) -> &'static str {
    match grade {
        "A" => "#1a7f37",
        "B" => "#4d7c0f",
        "C" => "#9a6700",
        "D" => "#bc4c00",
        "F" => "#cf222e",
        _ => "#59636e",
    }
}

/// A grade as one letter; a dash where nothing was looked at.
pub(crate) fn short(grade: &str) -> &str {
    if grade == NOT_ASSESSED { "–" } else { grade }
}

/// The picture. Its texts are of a fixed length, so that no font has to be measured.
pub(crate) fn render(document: &Document) -> String {
    // A picture stands for long and says nothing of a baseline.
    let grade = document.grade_with_known();
    let label = if grade == NOT_ASSESSED {
        format!("partywall: {grade}")
    } else {
        format!("partywall: grade {grade}")
    };
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" width="92" height="20" role="img" aria-label=(label) {
            title { (label) }
            clipPath id="r" { rect width="92" height="20" rx="3" fill="#fff" {} }
            g clip-path="url(#r)" {
                rect width="66" height="20" fill="#3d444d" {}
                rect x="66" width="26" height="20" fill=(colour(grade)) {}
            }
            g fill="#fff" text-anchor="middle" font-family="Verdana,Geneva,DejaVu Sans,sans-serif" font-size="11" {
                text x="33" y="14" textLength="54" { "partywall" }
                text x="79" y="14" font-weight="bold" { (short(grade)) }
            }
        }
    };
    picture.into_string() + "\n"
}
