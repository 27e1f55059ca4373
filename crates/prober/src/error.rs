//! Why a run could not be made.

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The plan contradicts itself.
    #[error("{0}")]
    Plan(String),
    /// The target did not answer, or not in a way that could be attacked.
    #[error("{target} could not be probed: {reason}")]
    Unreachable {
        /// The endpoint.
        target: String,
        /// What happened, and what to do.
        reason: String,
    },
}
