//! Sends messages, and reads the archive and the histories of rooms. Each call runs all of its steps
//! inside the server; see `messaging.erl`.

use std::time::Duration;

use jiff::Timestamp;

use super::{Arg, Call, ControlError, EjabberdClient, Result, Value};
use crate::domain::model::{Jid, Secret};

/// A message to send. The texts must not contain characters that XML 1.0 forbids.
pub struct Outgoing<'a> {
    /// The sender.
    pub from: &'a Jid,
    /// The recipient: an account or a room.
    pub to: &'a Jid,
    /// The id of the message.
    pub id: &'a str,
    /// The nickname in a room that the sender has not joined.
    pub nickname: &'a str,
    /// How long ago a message with the same id may have been sent, in whole seconds; zero if the id
    /// is new. The server then looks in the archive or history of the recipient first.
    pub maybe_sent_within: Duration,
    /// The text.
    pub body: &'a str,
    /// The subject; `None` for a message without a subject.
    pub subject: Option<&'a str>,
    /// The id of the conversation; `None` for a message without a conversation.
    pub thread: Option<&'a str>,
}

/// What the server did with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// The message is in the archive or history of the room, or in the archive of an account with an
    /// available session.
    Delivered {
        /// The id in the archive; `None` for a room without an archive.
        archive_id: Option<String>,
    },
    /// The recipient has no available session, and the server keeps the message.
    StoredOffline {
        /// The id in the archive; `None` without an archive.
        archive_id: Option<String>,
    },
    /// An earlier call sent a message with this id, so the server sent nothing.
    Repeated {
        /// The id in the archive, or in the history of a room without an archive.
        archive_id: String,
        /// Whether the message is in a room, or the recipient has an available session now.
        delivered: bool,
    },
    /// The server accepted the message, and nothing shows more.
    Accepted,
    /// The server did not send or keep the message.
    Refused(Refusal),
}

/// Why the server did not send a message or return a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The acting account does not exist.
    NoAccount,
    /// The acting account is banned.
    Banned,
    /// The recipient does not exist.
    NoRecipient,
    /// The room does not exist.
    NoRoom,
    /// The room has banned the account.
    Outcast,
    /// The room admits only members.
    MembersOnly,
    /// The room asks for a password.
    Password,
    /// The room asks for a captcha.
    Captcha,
    /// The room is moderated, and the account has no voice.
    Moderated,
    /// The server does not permit the account to use rooms.
    NotPermitted,
    /// The room refused the account, with the room's words.
    Room(String),
    /// The room did not broadcast the message.
    NotBroadcast,
    /// The recipient is offline, and the server keeps no message.
    NotStored,
    /// A module of the server dropped the message.
    Dropped,
    /// The server starts or stops, so some of its modules are missing.
    Starting,
    /// The host has no archive.
    NoArchive,
    /// The database of the archive failed.
    Database,
}

/// Where to begin a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageStart<'a> {
    /// The newest messages.
    Newest,
    /// The messages before the message with this archive id.
    Older(&'a str),
    /// The messages after the message with this archive id.
    Newer(&'a str),
}

/// A request for a page of messages.
pub struct PageRequest<'a> {
    /// The account that reads; `None` to read a public room without an account.
    pub reader: Option<&'a Jid>,
    /// The room; `None` to read the archive of the reader.
    pub room: Option<&'a Jid>,
    /// Only messages with this account or room.
    pub with: Option<&'a Jid>,
    /// The earliest time, in whole seconds.
    pub since: Option<Timestamp>,
    /// The latest time, in whole seconds.
    pub until: Option<Timestamp>,
    /// The maximum number of messages.
    pub limit: u16,
    /// Where to begin.
    pub start: PageStart<'a>,
}

/// A page of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagePage {
    /// Whether the messages are from an archive; else they are from the history of the room.
    pub archived: bool,
    /// Whether there are no more messages in the direction of the request.
    pub complete: bool,
    /// The messages, the oldest first.
    pub messages: Vec<ArchivedMessage>,
    /// The number of offline messages that wait for the reader.
    pub waiting: u32,
}

/// An archived message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedMessage {
    /// The id in the archive.
    pub archive_id: String,
    /// When the server archived the message.
    pub time: Timestamp,
    /// The id that the sender gave to the message.
    pub id: Option<String>,
    /// The sender, as a full JID: the occupant for a message to a room.
    pub from: String,
    /// The recipient, as a full or bare JID; `None` for a message to a room.
    pub to: Option<String>,
    /// The real JID of the sender of a message to a room, if the room shows it.
    pub real_from: Option<String>,
    /// The text.
    pub body: Option<String>,
    /// The subject.
    pub subject: Option<String>,
    /// The id of the conversation.
    pub thread: Option<String>,
}

impl EjabberdClient {
    /// Sends a message, and finds out what the server did with the message. Never joins a room whose
    /// rules do not permit the sender, and changes no affiliation.
    pub async fn send(&self, message: &Outgoing<'_>) -> Result<SendOutcome> {
        const NAME: &str = "send";
        let text = |name: &str, text: &str| (name.to_owned(), Secret::new(text.to_owned()));
        let mut texts = vec![text("body", message.body)];
        texts.extend(message.subject.map(|subject| text("subject", subject)));
        texts.extend(message.thread.map(|thread| text("thread", thread)));
        let args = vec![
            message.from.to_string().as_str().into(),
            message.to.to_string().as_str().into(),
            message.id.into(),
            message.nickname.into(),
            Arg::Int(message.maybe_sent_within.as_secs().try_into().unwrap_or(i64::MAX)),
            Arg::Pairs(texts),
        ];
        let call = Call::Inside { function: NAME, args };
        let response = self.control.call(call, self.deadline).await?;
        outcome(&response).ok_or(ControlError::Malformed(NAME))
    }

    /// Reads a page of messages. The outer error is a failed call; the inner error says why the
    /// server has no page for this reader.
    pub async fn messages(
        &self,
        request: &PageRequest<'_>,
    ) -> Result<std::result::Result<MessagePage, Refusal>> {
        const NAME: &str = "messages";
        let name = |jid: Option<&Jid>| jid.map(ToString::to_string).unwrap_or_default();
        let second = |time: Option<Timestamp>| {
            time.map_or(Arg::Atom("none"), |time| Arg::Int(time.as_second()))
        };
        let (direction, id) = match request.start {
            PageStart::Newest => ("newest", ""),
            PageStart::Older(id) => ("older", id),
            PageStart::Newer(id) => ("newer", id),
        };
        let args = vec![
            name(request.reader).as_str().into(),
            name(request.room).as_str().into(),
            name(request.with).as_str().into(),
            second(request.since),
            second(request.until),
            Arg::Int(request.limit.into()),
            Arg::Atom(direction),
            id.into(),
        ];
        let call = Call::Inside { function: NAME, args };
        let response = self.control.call(call, self.deadline).await?;
        page(&response).ok_or(ControlError::Malformed(NAME))
    }
}

fn outcome(response: &Value) -> Option<SendOutcome> {
    match response.as_tuple() {
        Some([Value::Atom(result), archive_id, now]) if result == "repeated" => {
            let archive_id = archive_id.as_text()?.to_owned();
            let delivered = now.as_text()? == "delivered";
            Some(SendOutcome::Repeated { archive_id, delivered })
        }
        Some([Value::Atom(result), archive_id]) if result != "sender" && result != "room" => {
            let archive_id = optional(archive_id)?;
            Some(match result.as_str() {
                "delivered" => SendOutcome::Delivered { archive_id },
                "stored_offline" => SendOutcome::StoredOffline { archive_id },
                "accepted" => SendOutcome::Accepted,
                _ => return None,
            })
        }
        _ => refusal(response).map(SendOutcome::Refused),
    }
}

fn refusal(response: &Value) -> Option<Refusal> {
    let word = match response {
        Value::Tuple(parts) => match parts.as_slice() {
            [Value::Atom(kind), words] if kind == "room" => {
                return Some(Refusal::Room(bounded(words.as_text()?)));
            }
            [_, word] => word.as_text()?,
            _ => return None,
        },
        word => word.as_text()?,
    };
    Some(match word {
        "no_account" => Refusal::NoAccount,
        "banned" => Refusal::Banned,
        "no_recipient" => Refusal::NoRecipient,
        "no_room" => Refusal::NoRoom,
        "outcast" => Refusal::Outcast,
        "members_only" => Refusal::MembersOnly,
        "password" => Refusal::Password,
        "captcha" => Refusal::Captcha,
        "moderated" => Refusal::Moderated,
        "not_permitted" => Refusal::NotPermitted,
        "not_broadcast" => Refusal::NotBroadcast,
        "not_stored" => Refusal::NotStored,
        "dropped" => Refusal::Dropped,
        "starting" => Refusal::Starting,
        "no_archive" => Refusal::NoArchive,
        "database" => Refusal::Database,
        _ => return None,
    })
}

/// The words of a room, cut to 200 characters.
fn bounded(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(200).collect()
}

fn page(response: &Value) -> Option<std::result::Result<MessagePage, Refusal>> {
    let Some([Value::Atom(tag), source, complete, messages, waiting]) = response.as_tuple() else {
        return refusal(response).map(Err);
    };
    let Value::Int(waiting) = waiting else { return None };
    let messages: Option<Vec<_>> = messages.as_list()?.iter().map(message).collect();
    (tag == "page").then_some(())?;
    Some(Ok(MessagePage {
        archived: source.as_text()? == "archive",
        complete: complete.is_ok(),
        messages: messages?,
        waiting: u32::try_from(*waiting).unwrap_or(u32::MAX),
    }))
}

fn message(value: &Value) -> Option<ArchivedMessage> {
    let [archive_id, time, id, from, to, real, body, subject, thread] = value.as_tuple()? else {
        return None;
    };
    Some(ArchivedMessage {
        archive_id: archive_id.as_text()?.to_owned(),
        time: time.as_text()?.parse().ok()?,
        id: optional(id)?,
        from: optional(from)?.unwrap_or_default(),
        to: optional(to)?,
        real_from: optional(real)?.filter(|jid| !jid.is_empty()),
        body: optional(body)?,
        subject: optional(subject)?,
        thread: optional(thread)?,
    })
}

/// A text, or `None` for the atom `none`. The outer value is `None` for any other term.
#[expect(clippy::option_option, reason = "the outer `None` is a malformed response, as in `?`")]
fn optional(value: &Value) -> Option<Option<String>> {
    match value {
        Value::Atom(word) if word == "none" => Some(None),
        Value::Text(text) => Some(Some(text.clone())),
        // ejabberd stores text as UTF-8; other bytes are replaced, so that one message cannot hide
        // the others.
        Value::Bytes(bytes) => Some(Some(String::from_utf8_lossy(bytes).into_owned())),
        _ => None,
    }
}
