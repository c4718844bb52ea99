//! Floor 1: from the text of `desired-state.yaml` to a [`DesiredState`].
mod desired;
pub use desired::*;
/// One file of the desired state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// As shown in messages; its parent is the base for relative paths.
    pub path: std::path::PathBuf,
    /// Its content.
    pub text: String,
}
