//! Reads stored rooms: options, affiliations and subject in one call, without starting the room.
//! The server stores each change of a persistent room at once, whichever program made the change
//! (tested on 23.01, 24.12 and 26.07).

use std::collections::BTreeMap;

use super::affiliations::kind;
use super::groups::option;
use super::{Call, ControlError, EjabberdClient, Result, Value};
use crate::domain::model::{Jid, RoomJid, Vhost};
use crate::domain::observed::{ObservedRoom, RoomOptions};

/// The stored parts of a room that are not options.
const NO_OPTIONS: [&str; 11] = [
    "affiliations",
    "captcha_whitelist",
    "hats_defs",
    "hats_users",
    "hibernation_time",
    "roles",
    "salt",
    "subject",
    "subject_author",
    "subscribers",
    "vcard_xupdate",
];

/// The stored parts that an export mentions, each with its description in the export.
const MORE: [(&str, &str); 4] = [
    ("captcha_whitelist", "who need not solve a captcha"),
    ("hats_defs", "the hats that there are"),
    ("hats_users", "who wears which hat"),
    ("subscribers", "who has subscribed to it"),
];

/// A stored room with all its parts.
pub struct WholeRoom {
    /// The part of the room that can be declared.
    pub room: ObservedRoom,
    /// The affiliations that cannot be declared: whole domains, and names that cannot be written.
    pub others: Vec<String>,
    /// The descriptions of the other stored parts.
    pub more: Vec<&'static str>,
}

impl EjabberdClient {
    /// A stored room; `None` if the room is not stored, such as a room that is not persistent. The
    /// server stores only some options of a new room. `host` is the vhost of the room's service.
    ///
    /// With a control channel that carries only commands, this function reads the running room
    /// instead. This read starts a hibernated room, and does not return the subject.
    pub async fn stored_room(&self, host: &Vhost, room: &RoomJid) -> Result<Option<ObservedRoom>> {
        Ok(self.whole_stored_room(host, room).await?.map(|whole| whole.room))
    }

    /// A stored room, with the parts that cannot be declared; `None` if the room is not stored.
    pub async fn whole_stored_room(
        &self,
        host: &Vhost,
        room: &RoomJid,
    ) -> Result<Option<WholeRoom>> {
        const NAME: &str = "restore_room";
        let args =
            vec![host.as_str().into(), room.service.as_str().into(), room.room.as_str().into()];
        let response =
            match self.control.call(Call::function("mod_muc", NAME, args), self.deadline).await {
                Err(error @ ControlError::UnknownCommand { .. }) => {
                    self.needs_module(host, NAME, "mod_muc").await?;
                    return Err(error);
                }
                Err(ControlError::Unsupported { .. }) => return self.persistent_room(room).await,
                response => response?,
            };
        match response {
            Value::List(stored) => Ok(Some(read(&stored))),
            Value::Atom(word) if word == "error" => Ok(None),
            // 26.07 distinguishes a database that fails from a room that does not exist.
            response => Err(super::responses::refused(NAME, &response)),
        }
    }
}

impl EjabberdClient {
    /// A persistent room, read with commands; `None` if no such room exists.
    async fn persistent_room(&self, room: &RoomJid) -> Result<Option<WholeRoom>> {
        let Some(mut options) = self.room_options(room).await? else { return Ok(None) };
        if options.get("persistent").is_none_or(|persists| persists != "true") {
            return Ok(None);
        }
        options.retain(|name, _| !NO_OPTIONS.contains(&name.as_str()));
        let affiliations = Some(self.affiliations(room).await?);
        let room = ObservedRoom { options, subject: None, affiliations };
        Ok(Some(WholeRoom { room, others: Vec::new(), more: Vec::new() }))
    }
}

fn read(stored: &[Value]) -> WholeRoom {
    let pairs = stored.iter().filter_map(|pair| match pair.as_tuple()? {
        [name, value] => Some((name.as_text()?, value)),
        _ => None,
    });
    let options: RoomOptions = pairs
        .filter(|(name, _)| !NO_OPTIONS.contains(name))
        .filter_map(|(name, value)| Some((name.to_owned(), printed(value)?)))
        .collect();
    let mut affiliations = BTreeMap::new();
    let mut others = Vec::new();
    let entries = option(stored, "affiliations").and_then(Value::as_list).unwrap_or_default();
    for (user, host, word) in entries.iter().filter_map(affiliation) {
        match (format!("{user}@{host}").parse::<Jid>(), kind(word)) {
            (Ok(jid), Some(kind)) => drop(affiliations.insert(jid, kind)),
            _ if user.is_empty() => others.push(format!("{word} {host}")),
            _ => others.push(format!("{word} {user}@{host}")),
        }
    }
    let subject = option(stored, "subject").map(subject).unwrap_or_default();
    let room = ObservedRoom { options, subject: Some(subject), affiliations: Some(affiliations) };
    WholeRoom { room, others, more: more(stored) }
}

fn more(stored: &[Value]) -> Vec<&'static str> {
    let list = |name: &str| option(stored, name).and_then(Value::as_list).unwrap_or_default();
    let mut more: Vec<_> =
        MORE.iter().filter(|(name, _)| !list(name).is_empty()).map(|(_, words)| *words).collect();
    if list("subject").len() > 1 {
        more.push("its subject in further languages");
    }
    more
}

/// A value in the format of `get_room_options`.
pub(super) fn printed(value: &Value) -> Option<String> {
    match value {
        Value::Atom(text) | Value::Text(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::List(words) => {
            let words: Vec<&str> = words.iter().filter_map(Value::as_text).collect();
            Some(format!("[{}]", words.join(",")))
        }
        _ => None,
    }
}

/// Parses `{{User, Host, Resource}, Given}`, where `Given` is `{Affiliation, Reason}` or only the
/// affiliation.
fn affiliation(entry: &Value) -> Option<(&str, &str, &str)> {
    let [jid, given] = entry.as_tuple()? else { return None };
    let [user, host, _] = jid.as_tuple()? else { return None };
    let word = given.as_tuple().and_then(<[Value]>::first).unwrap_or(given);
    Some((user.as_text()?, host.as_text()?, word.as_text()?))
}

/// Parses a subject: one string, or a list of `{text, Language, Text}`. Returns the text without a
/// language, otherwise the first text.
fn subject(value: &Value) -> String {
    let Some(texts) = value.as_list() else {
        return value.as_text().unwrap_or_default().to_owned();
    };
    let texts: Vec<(&str, &str)> = texts
        .iter()
        .filter_map(|text| match text.as_tuple()? {
            [_, language, text] => Some((language.as_text()?, text.as_text()?)),
            _ => None,
        })
        .collect();
    let plain = texts.iter().find(|(language, _)| language.is_empty());
    plain.or(texts.first()).map_or_else(String::new, |(_, text)| (*text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(word: &str) -> Value {
        Value::Atom(word.to_owned())
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn pair(name: &str, value: Value) -> Value {
        Value::Tuple(vec![atom(name), value])
    }

    #[test]
    fn a_stored_room_has_the_values_of_the_commands() {
        let jid = |user: &str| Value::Tuple(vec![text(user), text("h.example"), text("")]);
        let owner = Value::Tuple(vec![atom("owner"), text("")]);
        let WholeRoom { room, others, .. } = read(&[
            pair("title", text("Hall")),
            pair("max_users", Value::Int(20)),
            pair("public", atom("true")),
            pair("presence_broadcast", Value::List(vec![atom("moderator"), atom("visitor")])),
            pair(
                "affiliations",
                Value::List(vec![
                    Value::Tuple(vec![jid("ann"), owner]),
                    Value::Tuple(vec![jid("bob"), atom("member")]),
                    Value::Tuple(vec![jid(""), atom("member")]),
                ]),
            ),
            pair(
                "subject",
                Value::List(vec![
                    Value::Tuple(vec![atom("text"), text("de"), text("Hallo")]),
                    Value::Tuple(vec![atom("text"), text(""), text("Hello")]),
                ]),
            ),
        ]);
        let printed: Vec<(&str, &str)> =
            room.options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            printed,
            [
                ("max_users", "20"),
                ("presence_broadcast", "[moderator,visitor]"),
                ("public", "true"),
                ("title", "Hall")
            ]
        );
        assert_eq!(room.subject.as_deref(), Some("Hello"));
        let who: Vec<String> = room.affiliations.unwrap().keys().map(ToString::to_string).collect();
        assert_eq!(who, ["ann@h.example", "bob@h.example"]);
        assert_eq!(subject(&text("made with it")), "made with it");
        let words = Value::Tuple(vec![jid("x y"), atom("admin")]);
        let domain = Value::Tuple(vec![jid(""), Value::Tuple(vec![atom("member"), text("")])]);
        let stored = [
            pair("affiliations", Value::List(vec![words, domain])),
            pair("subscribers", Value::List(vec![text("x")])),
            pair("hats_users", Value::List(vec![])),
        ];
        assert_eq!(others, ["member h.example"]);
        let WholeRoom { others, more, .. } = read(&stored);
        assert_eq!(others, ["admin x y@h.example", "member h.example"]);
        assert_eq!(more, ["who has subscribed to it"]);
        assert_eq!(subject(&Value::List(vec![])), "");
    }
}
