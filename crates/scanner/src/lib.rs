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
pub mod project;
pub mod rules;
pub mod suppress;
pub mod tables;
pub mod tenancy;
pub mod vocabulary;

use std::sync::Arc;

use partywall_model::Finding;

use crate::{
    ir::Notice,
    library::{Libraries, LibraryError},
    project::{Input, Project},
    tenancy::Tenancy,
};

/// Stack of the threads that lower files: front ends bound how deep code may be nested, and that bound fits.
const STACK: usize = 64 << 20;

/// What was found in sources.
#[derive(Debug)]
pub struct Outcome {
    /// The findings of all rules, before suppressions and baselines.
    pub findings: Vec<Finding>,
    /// What was not understood.
    pub notices: Vec<Notice>,
    /// The project, for what asks further.
    pub project: Project,
}

/// Sources could not be scanned.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A library file is wrong.
    #[error(transparent)]
    Library(#[from] LibraryError),
    /// No threads.
    #[error("could not start threads to read files with: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// Scans sources that are in memory: path relative to the root, with `/`, and text.
///
/// # Errors
///
/// When a library file is wrong, or no thread can be started.
pub fn scan_sources(
    sources: Vec<(String, Arc<str>)>,
    libraries: Libraries,
    tenancy: Option<Tenancy>,
) -> Result<Outcome, ScanError> {
    use rayon::prelude::*;
    let pool = rayon::ThreadPoolBuilder::new().stack_size(STACK).build()?;
    Ok(pool.install(|| {
        let mut input = Input { libraries, tenancy, ..Input::default() };
        let lowered: Vec<_> = sources
            .into_par_iter()
            .map(|(path, text)| lang::lower(&path, Arc::clone(&text)).ok_or_else(|| (path, text.to_string())))
            .collect();
        let mut notices = Vec::new();
        for file in lowered {
            match file {
                Ok(lowered) => {
                    input.modules.push(lowered.module);
                    notices.extend(lowered.notices);
                }
                Err(other) => input.manifests.push(other),
            }
        }
        tables_of(&mut input);
        let project = Project::new(input);
        let findings = rules::run(&project);
        Outcome { findings, notices, project }
    }))
}

/// Reads the tables out of the files that are no code.
pub(crate) fn tables_of(_input: &mut Input) {}
