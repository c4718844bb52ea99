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
            /// The reason of a [`crate::domain::supervision::Cause`], or a reason of another
            /// version of the operator.
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
    /// The server responds.
    Answering,
    /// The server ended, and the operator waits before the next start.
    BackingOff,
    /// A required value cannot be read.
    CannotObserve,
    /// The operator cannot observe the server.
    CannotSee,
    /// The operator does not try the configuration again.
    ConfigHeldBack,
    /// Another program keeps changing an object back.
    Contested,
    /// The server is as declared.
    Converged,
    /// The guard refused creations.
    CreationsRefused,
    /// The operator does not manage the server's database.
    DatabaseMissing,
    /// The guard refused deletions.
    DeletionsRefused,
    /// Differences remain.
    Drift,
    /// The server cannot be started.
    Failed,
    /// The node runs, and ejabberd is stopped in it.
    Halted,
    /// Differences remain, and no change is allowed now.
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
    /// The server runs and does not respond.
    NotAnswering,
    /// The desired state declares no configuration.
    NotDeclared,
    /// The server does not run.
    NotRunning,
    /// No operator responds, so the condition is the last known condition.
    OperatorNotRunning,
    /// The server's process is paused.
    Paused,
    /// A client port does not respond, although the node responds.
    PortSilent,
    /// Nothing blocks the operator.
    Progressing,
    /// The configuration was rolled back.
    RolledBack,
    /// The declared configuration is in force.
    RolledOut,
    /// The configuration is being changed.
    RollingOut,
    /// The server does not serve.
    ServerDown,
    /// The server starts, or no reconciliation has ended.
    Starting,
    /// The state directory is older than the database.
    StateOutdated,
    /// The state directory cannot be written.
    StateUnavailable,
    /// Some steps fail.
    StepsFail,
    /// The server is stopped, as declared.
    Stopped,
    /// The server is stopping, as declared.
    Stopping,
    /// A value could not be read.
    Unknown,
    /// The desired state cannot be read.
    Unreadable,
    /// The server runs, and has not responded for longer than the limit.
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
    fn a_published_reason_is_read_back() {
        for text in ["Converged", "StateUnavailable", "OutOfMemory", ""] {
            let reason: Reason = serde_json::from_value(text.into()).unwrap();
            assert_eq!(matches!(reason, Reason::Other(_)), ["OutOfMemory", ""].contains(&text));
            assert_eq!(serde_json::to_value(&reason).unwrap(), text);
            assert_eq!(reason.to_string(), text);
        }
    }
}
