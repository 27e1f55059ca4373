//! Finds places in source code where tenants can meet.
//!
//! Front ends ([`lang`]) lower files to one program form ([`ir`]); [`project`] joins the modules, [`flow`] follows values
//! through them with what [`library`] knows of other people's code, and [`rules`] ask questions about the result.

pub mod baseline;
pub mod files;
pub mod flow;
pub mod ir;
pub mod lang;
pub mod library;
mod marks;
pub mod project;
pub mod rules;
pub mod run;
pub mod suppress;
pub mod tables;
pub mod tenancy;
pub mod vocabulary;

pub use run::{Options, Progress, Scan, ScanError, Tenancy, pages, scan};
