//! The failures that clients receive for errors of the server and of the operator.

use crate::domain::messaging::{Failure, FailureCode};
use crate::ejabberd::{ControlError, Refusal};
use crate::engine::error::StoreError;

pub(super) fn internal() -> Failure {
    Failure::new(
        FailureCode::Internal,
        "the operator failed to carry out the operation",
        "try again; the administrator finds the reason in the operator's log",
    )
}

/// The failure for a call to the server that failed. The client gets no text of the server.
pub(super) fn unavailable(error: &ControlError) -> Failure {
    tracing::debug!("messaging failed to {error}");
    match error {
        ControlError::Unsupported { .. } => Failure::new(
            FailureCode::Unavailable,
            "this server has no `erl`, which messaging needs",
            "ask the administrator to use an image with an `erl` program",
        ),
        ControlError::Timeout(_) | ControlError::Broken(_) => Failure::new(
            FailureCode::Unavailable,
            "the server did not respond in time, and may have carried out the operation",
            "repeat the call with the same `id`, so that no message is sent twice",
        ),
        _ => Failure::new(
            FailureCode::Unavailable,
            "the server does not respond",
            "try again later; the administrator sees the reason in `ejabberd-operator status`",
        ),
    }
}

pub(super) fn state_unavailable(error: &StoreError) -> Failure {
    tracing::warn!("messaging failed to {error}");
    internal()
}

/// The failure for a refusal of the server. `who` is the acting account, and `to` the recipient or
/// the room.
pub(super) fn refused(refusal: &Refusal, who: &str, to: &str) -> Failure {
    use FailureCode::{Forbidden, NotDelivered, NotFound, RefusedByRoom, Unavailable};
    let (code, message, next_step) = match refusal {
        Refusal::NoAccount => (
            NotFound,
            format!("the account {who} does not exist"),
            "use an existing account, or register the account first",
        ),
        Refusal::Banned => (
            Forbidden,
            format!("the account {who} is banned"),
            "use another account, or ask the administrator to lift the ban",
        ),
        Refusal::NoRecipient => (
            NotFound,
            format!("the account {to} does not exist"),
            "correct `to`, or call again with `ensure_recipient: true` if this client may register",
        ),
        Refusal::NoRoom => (
            NotFound,
            format!("the room {to} does not exist"),
            "correct the name; the administrator declares rooms in the desired state",
        ),
        Refusal::Outcast => (
            RefusedByRoom,
            format!("the room {to} has banned {who}"),
            "use another account, or ask an owner of the room",
        ),
        Refusal::MembersOnly => (
            RefusedByRoom,
            format!("the room {to} admits only members, and {who} is not a member"),
            "ask an owner of the room to make the account a member",
        ),
        Refusal::Password => (
            RefusedByRoom,
            format!("the room {to} asks for a password"),
            "ask an owner of the room to make the account an admin of the room",
        ),
        Refusal::Captcha => (
            RefusedByRoom,
            format!("the room {to} asks for a captcha"),
            "ask an owner of the room to make the account a member",
        ),
        Refusal::Moderated => (
            RefusedByRoom,
            format!("the room {to} is moderated, and {who} may not write there"),
            "ask an owner of the room to make the account a member",
        ),
        Refusal::NotPermitted => (
            RefusedByRoom,
            format!("the server does not permit {who} to use rooms"),
            "use another account",
        ),
        Refusal::Room(why) => (
            RefusedByRoom,
            format!("the room {to} refused {who}: {why}"),
            "use another account, or ask an owner of the room",
        ),
        Refusal::NotBroadcast => (
            NotDelivered,
            format!("the room {to} did not broadcast the message"),
            "look at the messages of the room before you send the message again",
        ),
        Refusal::NotStored => (
            NotDelivered,
            format!("{to} is offline, and the server kept no message"),
            "try again when the account is online; `get_presence` shows it",
        ),
        Refusal::Dropped => (
            NotDelivered,
            "a module of the server dropped the message".to_owned(),
            "ask the administrator which module filters messages",
        ),
        Refusal::Starting => (
            Unavailable,
            "the server starts or stops".to_owned(),
            "repeat the call in a minute, with the same `id` if it sends a message",
        ),
        Refusal::NoArchive => (
            Unavailable,
            "the server keeps no archive of messages".to_owned(),
            "ask the administrator to add `mod_mam` to the configuration of the server",
        ),
        Refusal::Database => {
            (Unavailable, "the archive of the server failed".to_owned(), "try again later")
        }
    };
    Failure::new(code, message, next_step)
}
