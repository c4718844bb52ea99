//! Why a condition has its status. The strings are published: in `/status`, in
//! `status --output json` and in events. Dashboards and scripts compare them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why a condition has its status: one word for programs.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum Reason {
            $($(#[$doc])* $name,)*
            /// Why the server last ended, as [`crate::domain::supervision::Cause`] has it,
            /// or a reason of another version of the operator.
            Other(String),
        }

        impl Reason {
            /// The published string.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    Self::Other(reason) => reason,
                }
            }
        }

        impl JsonSchema for Reason {
            fn schema_name() -> Cow<'static, str> {
                "Reason".into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "description": "Why a condition has its status: one of the examples, or why the \
                                    server last ended.",
                    "examples": [$(stringify!($name)),*],
                })
            }
        }

        impl From<String> for Reason {
            fn from(reason: String) -> Self {
                match reason.as_str() {
                    $(stringify!($name) => Self::$name,)*
                    _ => Self::Other(reason),
                }
            }
        }
    };
}

reasons! {
    /// The server answers.
    Answering,
    /// The server ended, and a restart waits.
    BackingOff,
    /// Something needed cannot be read.
    CannotObserve,
    /// The operator cannot see the server.
    CannotSee,
    /// A configuration is not tried again.
    ConfigHeldBack,
    /// Something else keeps changing an object.
    Contested,
    /// The server is as declared.
    Converged,
    /// The guard refused creations.
    CreationsRefused,
    /// The operator does not manage the server's database.
    DatabaseMissing,
    /// The guard refused deletions.
    DeletionsRefused,
    /// Differences are left.
    Drift,
    /// The server cannot be started.
    Failed,
    /// The node lives, and ejabberd was stopped in it.
    Halted,
    /// Differences are left, and no change is allowed now.
    Held,
    /// The operator stopped the server for a change.
    Interrupted,
    /// ejabberd refuses the configuration.
    Invalid,
    /// The desired state is not valid.
    InvalidDesiredState,
    /// A new revision of the desired state was read.
    NewRevision,
    /// No step fails.
    NoFailures,
    /// The server runs and does not answer.
    NotAnswering,
    /// The desired state does not declare it.
    NotDeclared,
    /// The server does not run.
    NotRunning,
    /// No operator answers: the condition is the last known one.
    OperatorNotRunning,
    /// The server's process is paused.
    Paused,
    /// A client port does not answer beside a node that does.
    PortSilent,
    /// Nothing stands in the way.
    Progressing,
    /// The configuration was taken back.
    RolledBack,
    /// The declared configuration is in force.
    RolledOut,
    /// The configuration is being changed.
    RollingOut,
    /// The server does not serve.
    ServerDown,
    /// Nothing is known yet, or the server starts.
    Starting,
    /// The state directory is older than the database.
    StateOutdated,
    /// The state directory cannot be written.
    StateUnavailable,
    /// Steps fail.
    StepsFail,
    /// The server is stopped, as declared.
    Stopped,
    /// The server is stopping, as declared.
    Stopping,
    /// It cannot be read.
    Unknown,
    /// The desired state cannot be read.
    Unreadable,
    /// The server runs and does not answer, for longer than it may.
    Unresponsive,
    /// No reconciliation runs.
    Waiting,
    /// A reconciliation runs.
    Working,
}

impl Reason {
    /// Whether the desired state cannot be used.
    #[must_use]
    pub const fn is_about_the_file(&self) -> bool {
        matches!(self, Self::Unreadable | Self::InvalidDesiredState)
    }
}

impl From<&str> for Reason {
    fn from(reason: &str) -> Self {
        Self::from(reason.to_owned())
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Other(reason) => reason,
            known => known.as_str().to_owned(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_as_it_is_published() {
        for text in ["Converged", "StateUnavailable", "OutOfMemory", ""] {
            let reason: Reason = serde_json::from_value(text.into()).unwrap();
            assert_eq!(matches!(reason, Reason::Other(_)), ["OutOfMemory", ""].contains(&text));
            assert_eq!(serde_json::to_value(&reason).unwrap(), text);
            assert_eq!(reason.to_string(), text);
        }
    }
}
