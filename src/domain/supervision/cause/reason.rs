//! Why a server ended or could not start: one word for programs. The strings are published: as the
//! label `reason` of `ejabberd_operator_restarts_total`, in events and in the conditions.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! end_reasons {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Why a server ended or could not start. The published string is the name of the variant.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum EndReason {
            $($(#[$doc])* $name,)*
            /// A reason that another version of the operator stored.
            #[serde(other)]
            Unknown,
        }

        impl EndReason {
            /// The published string.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    Self::Unknown => "Unknown",
                }
            }
        }
    };
}

end_reasons! {
    // What the exit code, the kernel or the supervisor shows.
    /// The process ended without an error, or with an unknown exit code.
    Ended,
    /// A signal from outside ended the process.
    Terminated,
    /// Signal 9 ended the process.
    Killed,
    /// The process failed: an exit code other than 0, or a signal such as SEGV.
    Crashed,
    /// The kernel killed the process because memory was exhausted.
    OutOfMemory,
    /// The runtime could not start the process.
    StartFailed,
    /// ejabberd was stopped while its node kept running.
    Halted,
    /// The server ran, did not respond and did nothing.
    Unresponsive,
    /// The server was started, and neither responded nor did anything.
    Frozen,
    /// The start was not complete at its deadline.
    StuckStart,

    // What the log shows; see the table of signs.
    /// The server's host does not have the address of a listener.
    AddressMissing,
    /// The installation lacks an Erlang application.
    ApplicationMissing,
    /// A mount of the container is wrong.
    BadMount,
    /// `certfiles` names files that ejabberd cannot use.
    CertificateInvalid,
    /// ejabberd refused the configuration.
    ConfigInvalid,
    /// ejabberd's own code failed while ejabberd read the configuration.
    ConfigReaderFailed,
    /// ejabberd cannot read a file of the configuration.
    ConfigUnreadable,
    /// Erlang refused the cookie file.
    CookieUnusable,
    /// A file of the database is damaged.
    DatabaseDamaged,
    /// The database did not start.
    DatabaseUnusable,
    /// No space is left on the disk.
    DiskFull,
    /// The file system of the database is read-only.
    DiskReadOnly,
    /// epmd did not listen yet. The server is not at fault, and its next start works.
    EpmdUnreachable,
    /// The image does not exist.
    ImageMissing,
    /// The process reached a limit of files, threads or processes.
    LimitReached,
    /// The database belongs to a node with another name.
    NodeNameChanged,
    /// Erlang refused the node name.
    NodeNameInvalid,
    /// Another node on the host has the same name.
    NodeNameTaken,
    /// The server must not read or write one of its files.
    PermissionDenied,
    /// The server must not listen at a port below 1024.
    PortForbidden,
    /// Another program has the port.
    PortTaken,
    /// ejabberd cannot open a listener at a Unix socket.
    UnixSocketFailed,
    /// The container runs as another user than the image expects.
    WrongUser,
}

impl EndReason {
    /// Whether the configuration is the cause, for a reason that the log shows. A taken port is not
    /// a fault of the configuration.
    #[must_use]
    pub const fn blames_config(self) -> bool {
        matches!(
            self,
            Self::AddressMissing
                | Self::ApplicationMissing
                | Self::CertificateInvalid
                | Self::ConfigInvalid
                | Self::ConfigUnreadable
                | Self::PortForbidden
                | Self::UnixSocketFailed
        )
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::EndReason;

    #[test]
    fn a_stored_reason_is_read_again_and_a_foreign_reason_is_unknown() {
        let read = |text: &str| serde_json::from_value::<EndReason>(text.into()).unwrap();
        assert_eq!(read(EndReason::StuckStart.as_str()), EndReason::StuckStart);
        assert_eq!(read("FromTheFuture"), EndReason::Unknown);
        let stored = serde_json::to_value(EndReason::PortTaken).unwrap();
        assert_eq!(stored, EndReason::PortTaken.as_str());
    }
}
