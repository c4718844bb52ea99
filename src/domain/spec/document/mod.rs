//! The types of the format of `desired-state.yaml`. Reading a file produces these types, and the
//! JSON Schema, `explain` and `docs/reference.md` are generated from them: their doc comments are
//! published.
//!
//! A field without a default is optional; [`validate`](super::validate) decides what an absent
//! field means.

mod messaging;
mod objects;
mod scalars;
mod server;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use messaging::*;
pub(crate) use objects::*;
pub(crate) use scalars::*;
pub(crate) use server::*;

/// The only version of the format.
pub(crate) const API_VERSION: &str = "ejabberd-operator/v1";
/// The only kind of object that a file describes.
pub(crate) const KIND: &str = "EjabberdServer";

/// The desired state of an ejabberd server and of the objects on the server.
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
    /// The name of the server.
    #[schemars(required)]
    pub(crate) metadata: Option<Metadata>,
    /// The desired state of the server and of its accounts, groups and rooms.
    #[schemars(required)]
    pub(crate) spec: Option<Spec>,
}

/// The name of the server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Metadata {
    /// A name for people. The status and the metrics show the name.
    pub(crate) name: String,
}

/// The desired state.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "most parts are decoded separately; their fields are for the schema")]
pub(crate) struct Spec {
    /// The default vhost, e.g. `example.org`. Names without a host belong to the default vhost.
    #[schemars(required)]
    pub(crate) host: Option<String>,
    /// Further vhosts whose accounts and rooms the file declares. The configuration of ejabberd must
    /// serve these vhosts too.
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    /// With `true` the operator observes and reports, but changes nothing. The operator does not
    /// start or stop the server either.
    #[serde(default)]
    pub(crate) suspend: bool,
    /// How the server runs.
    #[schemars(required)]
    pub(crate) server: Option<Server>,
    /// The configuration of ejabberd. If absent, the operator does not manage the configuration.
    pub(crate) config: Option<Config>,
    /// The accounts on all vhosts. If absent, the operator does not manage accounts. An empty list
    /// declares that there are no accounts.
    pub(crate) users: Option<Vec<User>>,
    /// The shared roster groups. If absent, the operator does not manage groups. An empty list
    /// declares that there are no groups.
    pub(crate) groups: Option<Vec<Group>>,
    /// The chat rooms. If absent, the operator does not manage rooms. An empty list declares that
    /// there are no rooms.
    pub(crate) rooms: Option<Vec<Room>>,
    /// The programs that send and read messages through the operator. If absent, the operator accepts
    /// no such programs.
    pub(crate) messaging: Option<Messaging>,
    /// What the operator may change and delete.
    #[serde(default)]
    pub(crate) policy: Policy,
}

/// The configuration of ejabberd.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Config {
    /// The name of the active variant: a key of `variants`.
    pub(crate) variant: String,
    /// The path of the `ejabberd.yml` of each variant, by the name of the variant. Paths are relative
    /// to the directory of this file.
    pub(crate) variants: BTreeMap<String, String>,
    /// Further files that the operator places beside `ejabberd.yml`, such as `ejabberdctl.cfg` and
    /// certificates: the path of each file, by its name on the server.
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    /// How the operator activates a changed configuration.
    #[serde(default)]
    pub(crate) apply: ConfigApply,
    /// The health gate: the checks that the server must pass before the operator keeps a new
    /// configuration. If a check fails, the operator restores the previous configuration.
    #[serde(default)]
    pub(crate) gate: Gate,
}

/// How the operator activates a changed configuration.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ConfigApply {
    /// With a reload if a reload is enough, else with a restart.
    #[default]
    Auto,
    /// Always with a restart.
    Restart,
}

/// The checks that the server must pass before the operator keeps a configuration.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Gate {
    /// How long the server must stay healthy with the new configuration.
    pub(crate) settle: Period,
    /// The longest wait until the server is healthy.
    pub(crate) timeout: Period,
    /// The name of an account of `users` that must be able to log in. If absent, the operator tests
    /// no login.
    pub(crate) canary: Option<String>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { settle: Period::seconds(10), timeout: Period::seconds(120), canary: None }
    }
}

/// What the operator may change and delete.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Policy {
    /// Whether the operator repairs drift or only reports drift.
    pub(crate) mode: Mode,
    /// Which objects the operator deletes when the file has no entry for the object.
    pub(crate) prune: Prune,
    /// Patterns of names that the operator never changes, before every other rule. `*` matches any
    /// text, and `?` matches one character.
    pub(crate) ignore: Vec<String>,
    /// How many objects the operator may delete at once without an approval.
    pub(crate) guard: Guard,
}

/// Whether the operator repairs drift.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Mode {
    /// The operator repairs drift.
    #[default]
    Enforce,
    /// The operator reports drift and changes nothing.
    Report,
}

/// Which objects the operator deletes when the file has no entry for the object.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Prune {
    /// Objects that the operator created or adopted.
    #[default]
    Managed,
    /// No objects. The operator deletes only objects with `state: absent`.
    None,
    /// All objects without an entry, also objects that the operator did not create.
    All,
}

/// How many objects the operator may delete at once.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Guard {
    /// The largest share of the owned objects of one kind that the operator deletes at once, in
    /// percent. The operator refuses a plan that deletes more.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) max_delete_percent: u8,
    /// The operator deletes up to this number of objects of one kind, whatever their share is.
    pub(crate) free_deletes: u32,
    /// The digest of the refused deletions that the operator may do. `plan` prints the digest.
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
