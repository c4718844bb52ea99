//! Commands for rooms.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::responses::{refused, says, texts};
use super::{Arg, ControlError, Created, EjabberdClient, Result, Shape};
use crate::domain::model::{AffiliationId, Jid, RoomJid, Secret, ServerVersion, Vhost};
use crate::domain::observed::RoomOptions;
use crate::domain::spec::{AffiliationKind, OptionValue, room_option};

/// The first version that writes list options as `a,b` instead of `[a,b]`. 24.12 accepts only
/// the old format, 26.07 only the new one (tested); the change is in between.
const COMMA_LISTS_SINCE: ServerVersion = ServerVersion { year: 25, month: 1 };

/// The first version that accepts affiliations for a new room. 23.01 refuses the whole command
/// (tested); the change is in between.
const AFFILIATIONS_SINCE: ServerVersion = ServerVersion { year: 24, month: 12 };

/// A room to create.
pub struct NewRoom<'r> {
    /// The options.
    pub options: &'r BTreeMap<String, OptionValue>,
    /// The affiliations.
    pub affiliations: &'r BTreeMap<Jid, AffiliationKind>,
    /// The subject.
    pub subject: Option<&'r str>,
}

/// Whether the account can be in a list with commas or semicolons as separators.
fn is_plain(account: &Jid) -> bool {
    !account.local.as_str().contains([',', ';'])
}

/// The maximum number of further tries of a command that crashes if the room ends while the server
/// reads the room.
const VANISHING_TRIES: u32 = 3;
const VANISHING_PAUSE: Duration = Duration::from_millis(50);

impl EjabberdClient {
    /// The rooms that run, of all services. Hibernated rooms are missing.
    pub async fn online_rooms(&self) -> Result<BTreeSet<RoomJid>> {
        Ok(parsed(&self.online_room_names().await?))
    }

    /// The names of the rooms that run, unchanged.
    pub async fn online_room_names(&self) -> Result<BTreeSet<String>> {
        const NAME: &str = "muc_online_rooms";
        let response = self.command(NAME, Shape::Lines, vec!["global".into()]).await?;
        Ok(texts(NAME, &response)?.into_iter().map(str::to_owned).collect())
    }

    /// The rooms without occupants, of all services, including hibernated rooms.
    pub async fn unoccupied_rooms(&self) -> Result<BTreeSet<RoomJid>> {
        Ok(parsed(&self.unoccupied_room_names().await?))
    }

    /// The names of the rooms without occupants, unchanged.
    pub async fn unoccupied_room_names(&self) -> Result<BTreeSet<String>> {
        const NAME: &str = "rooms_unused_list";
        let args = vec!["global".into(), Arg::Int(0)];
        let response = self.command(NAME, Shape::Lines, args).await?;
        Ok(texts(NAME, &response)?.into_iter().map(str::to_owned).collect())
    }

    /// The options of a room; `None` if the room does not exist. Starts a hibernated room.
    pub async fn room_options(&self, room: &RoomJid) -> Result<Option<RoomOptions>> {
        const NAME: &str = "get_room_options";
        let mut vanishing = VANISHING_TRIES;
        let response = loop {
            match self.command(NAME, Shape::Pairs, room_args(room)).await {
                // The room ended while the server read the room.
                Err(ControlError::Crashed { .. }) if vanishing > 0 => {
                    vanishing -= 1;
                    tokio::time::sleep(VANISHING_PAUSE).await;
                }
                response => break response?,
            }
        };
        if says(&response, "error") {
            return Ok(None);
        }
        let pairs = response.as_list().ok_or(ControlError::Malformed(NAME))?;
        let options: RoomOptions = pairs
            .iter()
            .map(|pair| match pair.as_tuple() {
                Some([name, value]) => {
                    let name = name.as_text().ok_or(ControlError::Malformed(NAME))?;
                    let value = if value.as_list().is_some_and(<[_]>::is_empty) {
                        Some("")
                    } else {
                        value.as_text()
                    };
                    Ok((name.to_owned(), value.ok_or(ControlError::Malformed(NAME))?.to_owned()))
                }
                _ => Err(ControlError::Malformed(NAME)),
            })
            .collect::<Result<_>>()?;
        // For a room that does not exist, the command succeeds with an empty response.
        Ok((!options.is_empty()).then_some(options))
    }

    /// Creates a room for the vhost `host`. Directly after the creation, sets the affiliations that
    /// the command does not accept.
    pub async fn create_room(
        &self,
        room: &RoomJid,
        host: &Vhost,
        new: &NewRoom<'_>,
    ) -> Result<Created> {
        const NAME: &str = "create_room_with_opts";
        let NewRoom { options, affiliations, subject } = new;
        let version = self.version().await?;
        // ejabberd silently drops an unknown option, or the command crashes.
        let known = options.iter().filter(|(name, _)| room_option(name, version));
        let mut pairs: Vec<(String, Secret)> = known
            .map(|(name, value)| (name.clone(), Secret::new(written(value, version))))
            .collect();
        if let Some(subject) = subject.filter(|subject| !subject.is_empty()) {
            pairs.push(("subject".to_owned(), Secret::new(subject.to_owned())));
        }
        let (with_it, later): (Vec<_>, Vec<_>) = affiliations
            .iter()
            .partition(|(account, _)| version >= AFFILIATIONS_SINCE && is_plain(account));
        if !with_it.is_empty() {
            let entries: Vec<String> =
                with_it.iter().map(|(jid, kind)| format!("{}:{jid}", kind.as_str())).collect();
            pairs.push(("affiliations".to_owned(), Secret::new(entries.join(","))));
        }
        let mut args = room_args(room);
        args.extend([host.as_str().into(), Arg::Pairs(pairs)]);
        match self.command(NAME, Shape::Rescode, args).await {
            Ok(response) if response.is_ok() => {}
            Ok(response) if says(&response, "already exists") => return Ok(Created::Before),
            Ok(response) => return Err(refused(NAME, &response)),
            Err(ControlError::Refused { message, .. }) if message.contains("already exists") => {
                return Ok(Created::Before);
            }
            Err(error) => return Err(error),
        }
        for (account, kind) in later {
            let id = AffiliationId { room: room.clone(), account: account.clone() };
            self.affiliate(&id, Some(*kind)).await?;
        }
        Ok(Created::Now)
    }

    /// Changes one option of a room. The version must know the option: for an unknown option the
    /// command crashes, with its arguments in the server's log.
    pub async fn change_room_option(
        &self,
        room: &RoomJid,
        name: &str,
        value: &OptionValue,
    ) -> Result<()> {
        let version = self.version().await?;
        let mut args = room_args(room);
        let value = written(value, version);
        // Only a password is secret, and not every command accepts a secret argument.
        let value = match name {
            "password" => Arg::Secret(Secret::new(value)),
            _ => Arg::Text(value),
        };
        args.extend([name.into(), value]);
        let response = self.command("change_room_option", Shape::Rescode, args).await?;
        if response.is_ok() { Ok(()) } else { Err(refused("change_room_option", &response)) }
    }

    /// Deletes a room. Returns `false` if the room did not exist. The server responds before the
    /// room is gone, so the caller must read the room back.
    pub async fn destroy_room(&self, room: &RoomJid) -> Result<bool> {
        match self.command("destroy_room", Shape::Rescode, room_args(room)).await {
            Ok(response) if response.is_ok() => Ok(true),
            Ok(response) if says(&response, "exist") => Ok(false),
            Ok(response) => Err(refused("destroy_room", &response)),
            Err(ControlError::Refused { message, .. }) if message.contains("exist") => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The rooms whose names can be declared.
fn parsed(names: &BTreeSet<String>) -> BTreeSet<RoomJid> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

pub(super) fn room_args(room: &RoomJid) -> Vec<super::Arg> {
    vec![room.room.as_str().into(), room.service.as_str().into()]
}

/// The value of an option in the format of `version`.
fn written(value: &OptionValue, version: ServerVersion) -> String {
    match value {
        OptionValue::Bool(flag) => flag.to_string(),
        OptionValue::Int(number) => number.to_string(),
        OptionValue::Text(text) => text.clone(),
        OptionValue::List(words) if version >= COMMA_LISTS_SINCE => words.join(","),
        OptionValue::List(words) => format!("[{}]", words.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_option_has_the_format_of_the_version() {
        let list = OptionValue::List(vec!["moderator".into(), "visitor".into()]);
        let version = |year, month| ServerVersion { year, month };
        assert_eq!(written(&list, version(24, 12)), "[moderator,visitor]");
        assert_eq!(written(&list, version(26, 7)), "moderator,visitor");
    }
}
