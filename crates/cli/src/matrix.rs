//! The matrix: what each face has for each layer, and what the lab has to try it on, as a table.

use anyhow::Result;
use partywall_gateway::guards;
use partywall_model::{Check, Coverage, Face, Layer};
use partywall_scanner::rules;

use crate::lab::Lab;

fn cell(face: Face, layer: Layer) -> Coverage {
    match face {
        Face::Enforce => guards::coverage(layer),
        Face::Scan => rules::coverage(layer),
        Face::Probe => partywall_prober::coverage(layer),
    }
}

/// So many checks are named in a cell; `partywall rules` and `probes` list all of them.
const NAMED: usize = 4;

fn ids(checks: &[Check]) -> String {
    let mut ids: Vec<&str> = checks.iter().map(|check| check.id).take(NAMED).collect();
    if checks.len() > NAMED {
        ids.push("…");
    }
    ids.join(", ")
}

/// The table in Markdown: layers down, faces and the lab across. An empty cell holds the number of its reason.
pub(crate) fn table() -> Result<String> {
    let lab = Lab::read()?;
    let mut reasons: Vec<&str> = Vec::new();
    let mut rows = vec![["layer", "enforce", "scan", "probe", "lab"].map(str::to_owned)];
    for layer in Layer::ALL {
        let cells = Face::ALL.map(|face| match cell(face, layer) {
            Coverage::Checks(checks) => format!("{}: {}", checks.len(), ids(checks)),
            Coverage::None { because } => {
                let at = reasons.iter().position(|reason| *reason == because).unwrap_or_else(|| {
                    reasons.push(because);
                    reasons.len() - 1
                });
                format!("– ({})", at + 1)
            }
        });
        let [enforce, scan, probe] = cells;
        rows.push([layer.name().to_owned(), enforce, scan, probe, lab.cell(layer)]);
    }
    let widths: [usize; 5] = std::array::from_fn(|column| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            text.push_str(&format!("| {} |\n", rule.join(" | ")));
        }
    }
    for (number, reason) in reasons.iter().enumerate() {
        text.push_str(&format!("\n({}) {reason}.", number + 1));
    }
    text.push('\n');
    Ok(text)
}
