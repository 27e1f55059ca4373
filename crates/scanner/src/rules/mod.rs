//! The rules: one file each, with its page, by layer.

pub mod data;
pub mod routing;

use partywall_model::{Axis, Page};

/// Every rule with the axis that it counts against.
#[must_use]
pub fn table() -> Vec<(Page, Axis)> {
    let mut table: Vec<(Page, Axis)> = data::rls::RULES.iter().map(|rule| (rule.page(), rule.axis)).collect();
    table.push((routing::vulnerable_sdk::PAGE, routing::vulnerable_sdk::AXIS));
    table
}
