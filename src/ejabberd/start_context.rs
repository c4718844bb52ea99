//! The context of a server's start.

/// The facts that a running server reports about its start. Empty if the server does not respond;
/// the runtime then reads the image and the scripts of the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartContext {
    /// The working directory, from which relative paths of the configuration start.
    pub directory: Option<String>,
    /// The macros in the environment (`EJABBERD_MACRO_*`), with their values.
    pub macros: Vec<(String, String)>,
}
