//! Data: one SQLite file per tenant; a statement cannot name rows of a file it cannot open.
