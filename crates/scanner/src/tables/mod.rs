//! Which tables belong to tenants, and how the database keeps them apart.

/// The tables of a project.
#[derive(Debug, Default)]
pub struct Tables {}

impl Tables {
    /// Whether rows of a table or model belong to a tenant or user: nothing when the table is not known.
    #[must_use]
    pub fn is_owned(&self, _name: &str) -> Option<bool> {
        None
    }

    /// Whether the database itself keeps the rows of a table apart, by row-level security that is forced.
    #[must_use]
    pub fn is_kept_apart(&self, _name: &str) -> bool {
        false
    }
}
