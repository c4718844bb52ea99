//! Placeholder until the table is here.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
/// How a changed configuration comes into force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Read again.
    Reload,
    /// Restarted.
    Restart,
}
impl Method {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Restart => "restart",
        }
    }
}
/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Name.
    pub name: String,
    /// Method.
    pub method: Method,
    /// Why.
    pub why: Option<&'static str>,
}
/// Differences.
#[must_use]
pub fn difference(
    before: &BTreeMap<String, Vec<u8>>,
    after: &BTreeMap<String, Vec<u8>>,
) -> Vec<Changed> {
    after
        .iter()
        .filter(|(n, c)| before.get(*n) != Some(*c))
        .map(|(n, _)| Changed { name: n.clone(), method: Method::Restart, why: Some("x") })
        .collect()
}
/// The method.
#[must_use]
pub fn method(changes: &[Changed]) -> Method {
    changes.iter().map(|c| c.method).max().unwrap_or(Method::Reload)
}
