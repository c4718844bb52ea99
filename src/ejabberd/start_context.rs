//! How a running server was started.

/// What a server that answers says of how it was started. Empty where it does
/// not answer: then the runtime knows what its image and its scripts say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartContext {
    /// Its working directory, which relative paths of its configuration start from.
    pub directory: Option<String>,
    /// The macros of its environment (`EJABBERD_MACRO_*`), with their values.
    pub macros: Vec<(String, String)>,
}
