//! The tool `xmpp_get_messages`.

use super::cursor::Position;
use super::failures::{refused, unavailable};
use super::{Caller, MessagingService};
use crate::domain::messaging::operation::{DEFAULT_PAGE, MAX_PAGE};
use crate::domain::messaging::rights::address;
use crate::domain::messaging::{
    Failure, FailureCode, GetMessages, Message, MessageSource, Messages,
};
use crate::domain::model::Jid;
use crate::ejabberd::{ArchivedMessage, MessagePage, PageRequest, PageStart, Refusal};

/// What to read.
struct Target {
    reader: Option<Jid>,
    room: Option<Jid>,
    with: Option<Jid>,
}

impl MessagingService {
    /// Reads a page of messages.
    pub(super) async fn read(
        &self,
        caller: &Caller<'_>,
        arguments: GetMessages,
    ) -> Result<Messages, Failure> {
        let target = target(caller, &arguments)?;
        let limit = arguments.limit.unwrap_or(DEFAULT_PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(Failure::new(
                FailureCode::InvalidArgument,
                format!("`limit` is {limit}"),
                format!("give a `limit` from 1 to {MAX_PAGE}"),
            ));
        }
        let scope = scope(caller, &target, &arguments);
        let position = match &arguments.cursor {
            Some(cursor) => Some(self.cursors.open(&scope, cursor)?),
            None => None,
        };
        let start = match &position {
            None => PageStart::Newest,
            Some(Position::Older(id)) => PageStart::Older(id),
            Some(Position::Newer(id)) => PageStart::Newer(id),
        };
        let request = PageRequest {
            reader: target.reader.as_ref(),
            room: target.room.as_ref(),
            with: target.with.as_ref(),
            since: arguments.since,
            until: arguments.until,
            limit,
            start,
        };
        let page = caller.in_force.server.messages(&request).await;
        let page = page.map_err(|error| unavailable(&error))?.map_err(|refusal| {
            let reader = target.reader.as_ref().map(ToString::to_string);
            let reader = reader.unwrap_or_else(|| "a client without an account".to_owned());
            let room = target.room.as_ref().map(ToString::to_string).unwrap_or_default();
            refused(&refusal, &reader, &room)
        })?;
        Ok(self.published(page, &scope, position.as_ref(), &target))
    }

    fn published(
        &self,
        page: MessagePage,
        scope: &str,
        position: Option<&Position>,
        target: &Target,
    ) -> Messages {
        let MessagePage { archived, complete, messages, waiting } = page;
        let id = |message: Option<&ArchivedMessage>| message.map(|m| m.archive_id.clone());
        let forward = matches!(position, Some(Position::Newer(_)));
        // A page tells whether there are more messages in its direction. There are messages in the
        // other direction if the page began at a cursor.
        let has_older = if forward { true } else { !complete };
        let has_newer = if forward { !complete } else { position.is_some() };
        let older = id(messages.first()).filter(|_| has_older).map(Position::Older);
        let newer = id(messages.last()).filter(|_| has_newer).map(Position::Newer);
        Messages {
            source: if archived { MessageSource::Archive } else { MessageSource::RoomHistory },
            messages: messages.into_iter().map(|m| message(m, target)).collect(),
            older: older.map(|position| self.cursors.seal(scope, position)),
            newer: newer.map(|position| self.cursors.seal(scope, position)),
            offline: target.room.is_none().then_some(waiting),
        }
    }
}

/// Checks what to read, and that the client may read it.
fn target(caller: &Caller<'_>, arguments: &GetMessages) -> Result<Target, Failure> {
    let parse = |field: &str, text: &Option<String>| {
        text.as_ref().map(|text| address(field, text, &caller.in_force.host)).transpose()
    };
    let reader = parse("account", &arguments.account)?;
    let room = parse("room", &arguments.room)?;
    let with = parse("with", &arguments.with)?;
    if reader.is_none() && room.is_none() {
        return Err(Failure::new(
            FailureCode::InvalidArgument,
            "neither `account` nor `room` is given",
            "give `account` for the messages of an account, or `room` for the messages of a room",
        ));
    }
    if let Some(reader) = &reader {
        caller.client.check_acts_as(reader)?;
        if caller.in_force.barred.contains(reader) {
            return Err(refused(&Refusal::Banned, &reader.to_string(), ""));
        }
    }
    if let Some(room) = &room {
        caller.client.check_addresses(room)?;
        if with.is_some() {
            return Err(Failure::new(
                FailureCode::InvalidArgument,
                "`with` selects messages of an account, and `room` is given",
                "leave out `with`",
            ));
        }
    }
    Ok(Target { reader, room, with })
}

/// The client and the request without its cursor. A cursor works only with the same scope.
fn scope(caller: &Caller<'_>, target: &Target, arguments: &GetMessages) -> String {
    let Target { reader, room, with } = target;
    let (since, until) = (arguments.since, arguments.until);
    format!("{:?} {reader:?} {room:?} {with:?} {since:?} {until:?}", caller.client.name)
}

fn message(message: ArchivedMessage, target: &Target) -> Message {
    let ArchivedMessage { archive_id, time, id, from, to, real_from, body, subject, thread } =
        message;
    let bare = |jid: &str| jid.split('/').next().unwrap_or_default().to_owned();
    let (from, nickname, to) = match &target.room {
        Some(room) => {
            let nickname = from.split_once('/').map(|(_, nickname)| nickname.to_owned());
            (real_from.as_deref().map(bare), nickname, room.to_string())
        }
        None => (Some(bare(&from)), None, to.as_deref().map(bare).unwrap_or_default()),
    };
    Message { archive_id, id, time, from, nickname, to, body, subject, thread }
}
