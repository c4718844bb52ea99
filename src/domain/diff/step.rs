//! One change of the server, or of an object on it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

use crate::domain::model::{AffiliationId, GroupId, Jid, Kind, ObjectKey, Op, RoomJid};
use crate::domain::rollout::Method;
use crate::domain::spec::{AffiliationKind, OptionValue, TableStorage};

/// The phases of a reconciliation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The first phase: the process and the configuration of the server.
    Server,
    /// The second phase: the objects on a running server, and how it stores accounts.
    Objects,
}

/// The action of a step. The kind, operation and name of the step follow from the action.
pub trait Action {
    /// The phase that carries the action out.
    const PHASE: Phase;

    /// The object that is changed.
    fn key(&self) -> ObjectKey;

    /// Whether the object is created, updated or deleted.
    fn op(&self) -> Op;
}

/// A change of the server as a whole. The server phase carries these out before the
/// objects on the server are compared.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerAction {
    /// Create the server and start it.
    Create {
        /// The name of the server.
        server: String,
    },
    /// Start the server.
    Start {
        /// The name of the server.
        server: String,
    },
    /// Stop the server.
    Stop {
        /// The name of the server.
        server: String,
    },
    /// Replace the container by a container with the declared settings, on the same database.
    Replace {
        /// The name of the server.
        server: String,
    },
    /// Remove the restart policy of the container, so that only the operator restarts it.
    DisableRestartPolicy {
        /// The name of the server.
        server: String,
    },
    /// Put a configuration in force.
    ApplyConfig(ConfigChange),
}

/// A configuration that must take effect.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigChange {
    /// The name of the variant.
    pub variant: String,
    /// Whether the configuration takes effect by a reload or by a restart.
    pub method: Method,
    /// Where the files come from.
    pub source: ConfigSource,
    /// Why the configuration is not tried again; `None` if the operator may try it.
    pub latched: Option<String>,
}

/// Where the files of a configuration come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// The desired state.
    Declared,
    /// The store: the last good configuration replaces a declared configuration that failed.
    LastGood,
}

impl ServerAction {
    /// Whether the action is a configuration that failed and is not tried again.
    #[must_use]
    pub fn is_latched(&self) -> bool {
        matches!(self, Self::ApplyConfig(ConfigChange { latched: Some(_), .. }))
    }
}

impl Action for ServerAction {
    const PHASE: Phase = Phase::Server;

    fn key(&self) -> ObjectKey {
        match self {
            Self::Create { server }
            | Self::Start { server }
            | Self::Stop { server }
            | Self::Replace { server }
            | Self::DisableRestartPolicy { server } => ObjectKey::Server(server.clone()),
            Self::ApplyConfig(change) => ObjectKey::Config(change.variant.clone()),
        }
    }

    fn op(&self) -> Op {
        match self {
            Self::Create { .. } => Op::Create,
            Self::Start { .. }
            | Self::Stop { .. }
            | Self::Replace { .. }
            | Self::DisableRestartPolicy { .. }
            | Self::ApplyConfig(_) => Op::Update,
        }
    }
}

/// A change of one object on a server that runs.
#[derive(Debug, Clone, PartialEq)]
pub enum ObjectAction {
    /// Store the account table in another way.
    StoreAccounts {
        /// The name of the server.
        server: String,
        /// The declared way.
        storage: TableStorage,
    },
    /// Create an account.
    CreateUser(Jid),
    /// Set the password of an account to the declared password.
    SetPassword(Jid),
    /// Set fields of the vCard of an account to the declared values.
    SetVcard(Jid),
    /// Ban an account, and end its sessions.
    Ban {
        /// The account.
        account: Jid,
        /// Why.
        reason: String,
    },
    /// Lift a ban that the operator has put on an account.
    Unban(Jid),
    /// Delete an account.
    DeleteUser(Jid),
    /// Create a shared roster group with its declared members.
    CreateGroup(GroupId),
    /// Change a shared roster group to match its declaration.
    UpdateGroup(GroupChange),
    /// Delete a shared roster group.
    DeleteGroup(GroupId),
    /// Create a room with its declared options.
    CreateRoom(RoomJid),
    /// Change options of a room, and its subject.
    UpdateRoom {
        /// The room.
        room: RoomJid,
        /// The options that differ.
        options: Vec<(String, OptionValue)>,
        /// The subject, where it differs.
        subject: Option<String>,
    },
    /// Delete a room.
    DeleteRoom(RoomJid),
    /// Give an account an affiliation with a room.
    SetAffiliation {
        /// The room and the account.
        id: AffiliationId,
        /// The affiliation now, if there is one.
        from: Option<AffiliationKind>,
        /// The declared affiliation.
        to: AffiliationKind,
    },
    /// Remove the affiliation of an account with a room.
    RemoveAffiliation(AffiliationId),
}

/// The differences of a shared roster group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupChange {
    /// The group.
    pub group: GroupId,
    /// Whether the texts of the group, or the members who see it, differ.
    pub info: bool,
    /// The accounts that are missing in the group.
    pub add: Vec<Jid>,
    /// The accounts in the group that must not be in it.
    pub remove: Vec<Jid>,
}

impl Action for ObjectAction {
    const PHASE: Phase = Phase::Objects;

    fn key(&self) -> ObjectKey {
        match self {
            Self::StoreAccounts { server, .. } => ObjectKey::Server(server.clone()),
            Self::CreateUser(account)
            | Self::SetPassword(account)
            | Self::SetVcard(account)
            | Self::Ban { account, .. }
            | Self::Unban(account)
            | Self::DeleteUser(account) => ObjectKey::User(account.clone()),
            Self::CreateGroup(group)
            | Self::UpdateGroup(GroupChange { group, .. })
            | Self::DeleteGroup(group) => ObjectKey::Group(group.clone()),
            Self::CreateRoom(room) | Self::UpdateRoom { room, .. } | Self::DeleteRoom(room) => {
                ObjectKey::Room(room.clone())
            }
            Self::SetAffiliation { id, .. } | Self::RemoveAffiliation(id) => {
                ObjectKey::Affiliation(id.clone())
            }
        }
    }

    fn op(&self) -> Op {
        match self {
            Self::CreateUser(_)
            | Self::CreateGroup(_)
            | Self::CreateRoom(_)
            | Self::SetAffiliation { from: None, .. } => Op::Create,
            Self::StoreAccounts { .. }
            | Self::SetPassword(_)
            | Self::SetVcard(_)
            | Self::Ban { .. }
            | Self::Unban(_)
            | Self::UpdateGroup(_)
            | Self::UpdateRoom { .. }
            | Self::SetAffiliation { from: Some(_), .. } => Op::Update,
            Self::DeleteUser(_)
            | Self::DeleteGroup(_)
            | Self::DeleteRoom(_)
            | Self::RemoveAffiliation(_) => Op::Delete,
        }
    }
}

/// A step for reports: the changed object and the reason, without the action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepInfo {
    /// The phase that carries the step out.
    pub phase: Phase,
    /// The object.
    pub key: ObjectKey,
    /// The operation on the object.
    pub op: Op,
    /// The names of the fields that differ, without their values.
    pub fields: Vec<String>,
    /// The reason, for people.
    pub reason: String,
}

impl StepInfo {
    /// The kind of the object.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.key.kind()
    }

    /// The name of the object.
    #[must_use]
    pub fn name(&self) -> String {
        self.key.name()
    }
}

/// One change of a plan.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Step")]
struct PublishedStep<'a> {
    /// The kind of the object.
    kind: Kind,
    /// The operation on the object.
    op: Op,
    /// The name of the object.
    name: String,
    /// The fields that differ.
    fields: &'a [String],
    /// The reason, for people.
    reason: &'a str,
}

impl JsonSchema for StepInfo {
    fn schema_name() -> Cow<'static, str> {
        PublishedStep::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        PublishedStep::json_schema(generator)
    }
}

impl Serialize for StepInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { phase: _, key, op, fields, reason } = self;
        PublishedStep { kind: key.kind(), op: *op, name: key.name(), fields, reason }
            .serialize(serializer)
    }
}

/// One change, with the action that carries it out.
#[derive(Debug, Clone, PartialEq)]
pub struct Step<A> {
    info: StepInfo,
    action: A,
}

/// A step of the server phase.
pub type ServerStep = Step<ServerAction>;

/// A step of the object phase.
pub type ObjectStep = Step<ObjectAction>;

impl<A: Action> Step<A> {
    /// A step with an action. `fields` are the fields that differ; `reason` is for people.
    #[must_use]
    pub fn new(action: A, fields: Vec<String>, reason: impl Into<String>) -> Self {
        let info = StepInfo {
            phase: A::PHASE,
            key: action.key(),
            op: action.op(),
            fields,
            reason: reason.into(),
        };
        Self { info, action }
    }
}

impl<A> Step<A> {
    /// The step for reports.
    #[must_use]
    pub const fn info(&self) -> &StepInfo {
        &self.info
    }

    /// The action that carries the step out.
    #[must_use]
    pub const fn action(&self) -> &A {
        &self.action
    }

    /// The object that the step changes.
    #[must_use]
    pub const fn key(&self) -> &ObjectKey {
        &self.info.key
    }

    /// The kind of the object.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.info.kind()
    }

    /// The operation on the object.
    #[must_use]
    pub const fn op(&self) -> Op {
        self.info.op
    }

    /// The step for reports, and the action.
    #[must_use]
    pub fn into_parts(self) -> (StepInfo, A) {
        (self.info, self.action)
    }

    /// Drops the action, and returns the step for reports.
    #[must_use]
    pub fn into_info(self) -> StepInfo {
        self.info
    }

    /// Adds `what` to the reason.
    pub fn explain(&mut self, what: &str) {
        self.info.reason = format!("{}; {what}", self.info.reason);
    }
}

impl<A> Serialize for Step<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.info.serialize(serializer)
    }
}

impl<A> JsonSchema for Step<A> {
    fn schema_name() -> Cow<'static, str> {
        StepInfo::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        StepInfo::json_schema(generator)
    }
}
