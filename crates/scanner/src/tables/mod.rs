//! Which tables belong to tenants, and how the database keeps them apart.
