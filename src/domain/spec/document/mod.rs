//! The document as it is written. These types are what the format consists of:
//! they are read from the file, and the JSON Schema is made from them.
//!
//! Whatever has no default here is optional; what that means is decided in
//! [`validate`](super::validate).

mod objects;
mod scalars;
mod server;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use objects::*;
pub(crate) use scalars::*;
pub(crate) use server::*;

/// The only version of the format so far.
pub(crate) const API_VERSION: &str = "ejabberd-operator/v1";
/// The only kind of object that a file describes.
pub(crate) const KIND: &str = "EjabberdServer";

/// What an ejabberd server shall be, and what shall be on it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "ejabberd-operator desired state")]
pub(crate) struct Document {
    /// The version of this format: always `ejabberd-operator/v1`.
    #[schemars(required, extend("const" = API_VERSION))]
    pub(crate) api_version: Option<String>,
    /// The kind of object that the file describes: always `EjabberdServer`.
    #[schemars(required, extend("const" = KIND))]
    pub(crate) kind: Option<String>,
    /// What the server is called.
    #[schemars(required)]
    pub(crate) metadata: Option<Metadata>,
    /// What the server shall be, and what shall be on it.
    #[schemars(required)]
    pub(crate) spec: Option<Spec>,
}

/// What the server is called.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Metadata {
    /// A name for people, shown in status and metrics.
    pub(crate) name: String,
}

/// What is desired.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "most parts are decoded by themselves, and stand here for the schema")]
pub(crate) struct Spec {
    /// The default vhost, e.g. `example.org`: names without a host belong to it.
    #[schemars(required)]
    pub(crate) host: Option<String>,
    /// Further vhosts that the file speaks of; the configuration has to serve them too.
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    /// Whether the operator only looks and reports, and changes nothing, the server's process included.
    #[serde(default)]
    pub(crate) suspend: bool,
    /// How the server is run.
    #[schemars(required)]
    pub(crate) server: Option<Server>,
    /// The configuration that shall be in force. Absent: not managed.
    pub(crate) config: Option<Config>,
    /// The accounts on all vhosts. Absent: not managed; an empty list: there shall be none.
    pub(crate) users: Option<Vec<User>>,
    /// Shared roster groups. Absent: not managed; an empty list: there shall be none.
    pub(crate) groups: Option<Vec<Group>>,
    /// The rooms. Absent: not managed; an empty list: there shall be none.
    pub(crate) rooms: Option<Vec<Room>>,
    /// What may be changed and deleted.
    #[serde(default)]
    pub(crate) policy: Policy,
}

/// The configuration that shall be in force.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Config {
    /// The name of the variant that shall be in force: one of `variants`.
    pub(crate) variant: String,
    /// The file of each variant. Paths are relative to the file that they are written in.
    pub(crate) variants: BTreeMap<String, String>,
    /// Further files beside the configuration (ejabberdctl.cfg, certificates), by their name there.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// How a changed configuration is put in force.
    #[serde(default)]
    pub(crate) apply: ConfigApply,
    /// What must hold before a new configuration counts as good; else the one from before is put back.
    #[serde(default)]
    pub(crate) gate: Gate,
}

/// How a changed configuration is put in force.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ConfigApply {
    /// By a reload where that is enough, else by a restart.
    #[default]
    Auto,
    /// Always by a restart.
    Restart,
}

/// What must hold before a configuration counts as good.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Gate {
    /// How long the server must stay healthy with it.
    pub(crate) settle: Period,
    /// How long to wait at most until it is healthy.
    pub(crate) timeout: Period,
    /// An account of `users` that has to be able to log in. Absent: none tries.
    pub(crate) canary: Option<String>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { settle: Period::seconds(10), timeout: Period::seconds(120), canary: None }
    }
}

/// What may be changed.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Policy {
    /// Whether differences are repaired or only reported.
    pub(crate) mode: Mode,
    /// What is deleted when its entry is gone.
    pub(crate) prune: Prune,
    /// Patterns of names that are never touched, whatever else is said; `*` and `?` are wildcards.
    pub(crate) ignore: Vec<String>,
    /// How much may be deleted at once, before somebody has to approve it.
    pub(crate) guard: Guard,
}

/// Whether differences are repaired.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Mode {
    /// Differences are repaired.
    #[default]
    Enforce,
    /// Differences are only reported.
    Report,
}

/// What is deleted when its entry is gone.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Prune {
    /// What the operator created or adopted.
    #[default]
    Managed,
    /// Nothing is deleted but what is declared `absent`.
    None,
    /// Whatever is not declared, whoever made it.
    All,
}

/// How much may be deleted at once.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Guard {
    /// Deleting more than this share of what is owned of a kind is refused.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) max_delete_percent: u8,
    /// So many deletions of a kind pass whatever their share.
    pub(crate) free_deletes: u32,
    /// The digest of refused deletions that may pass after all, as `plan` shows it.
    pub(crate) approve: Option<String>,
}

impl Default for Guard {
    fn default() -> Self {
        Self { max_delete_percent: 30, free_deletes: 2, approve: None }
    }
}

/// The JSON Schema of `desired-state.yaml`.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Document).to_value()
}
