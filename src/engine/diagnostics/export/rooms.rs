//! Collects the rooms of a server.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{CONCURRENCY, ControlError, Hosts, Result};
use crate::domain::export::{FoundRoom, Part, describe_room, quoted};
use crate::domain::model::{RoomJid, Vhost};
use crate::domain::observed::{ObservedRoom, RoomOptions};
use crate::domain::spec::OWN_NAMES;
use crate::ejabberd::EjabberdClient;

impl EjabberdClient {
    /// Returns the persistent rooms of all services, with remarks about the rooms that cannot be
    /// declared.
    pub(super) async fn rooms_of(
        &self,
        hosts: &Hosts,
    ) -> Result<Part<BTreeMap<RoomJid, FoundRoom>>> {
        let online = self.online_room_names().await?;
        let mut names = self.unoccupied_room_names().await?;
        names.extend(online.iter().cloned());
        let mut part = Part { declared: None, remarks: Vec::new() };
        let mut defaults: BTreeMap<&Vhost, RoomOptions> = BTreeMap::new();
        let mut wanted = Vec::new();
        for name in names {
            let Ok(room) = name.parse::<RoomJid>() else {
                part.remarks.push(format!(
                    "the room {} is left out: that name cannot be declared",
                    quoted(&name)
                ));
                continue;
            };
            let host = hosts.of_service(&room.service);
            if !defaults.contains_key(host) {
                defaults.insert(host, self.new_room_options(host).await?);
            }
            wanted.push((room, host, online.contains(&name)));
        }
        let defaults = &defaults;
        let rooms = stream::iter(wanted).map(|(room, host, runs)| async move {
            let new = defaults.get(host).cloned().unwrap_or_default();
            let found = self.one_room(host, &room, runs, &new).await?;
            Ok::<_, ControlError>((room, found))
        });
        let rooms: Vec<_> = rooms.buffered(CONCURRENCY).try_collect().await?;
        let mut declared = BTreeMap::new();
        for (room, found) in rooms {
            match found {
                Some(found) => drop(declared.insert(room, found)),
                None => part.remarks.push(format!(
                    "the room {} is left out: it does not persist, and ends with the last who \
                     leaves",
                    quoted(&room.to_string())
                )),
            }
        }
        part.declared = Some(declared);
        Ok(part)
    }

    /// Returns a persistent room; `None` if the room is not persistent. Reads the stored room,
    /// because a query of the stored room does not start the room. If a running room has not stored
    /// all options yet, the function reads the options of the running room.
    async fn one_room(
        &self,
        host: &Vhost,
        jid: &RoomJid,
        runs: bool,
        new: &RoomOptions,
    ) -> Result<Option<FoundRoom>> {
        let Some(whole) = self.whole_stored_room(host, jid).await? else { return Ok(None) };
        let ObservedRoom { mut options, subject, affiliations } = whole.room;
        if options.get("persistent").is_none_or(|persists| persists != "true") {
            return Ok(None);
        }
        if runs && !new.keys().filter(|name| is_stored(name)).all(|name| options.contains_key(name))
        {
            options = self.room_options(jid).await?.unwrap_or(options);
        }
        let mut affiliations = affiliations.unwrap_or_default();
        affiliations.retain(|account, _| !account.local.as_str().starts_with(OWN_NAMES));
        let room = ObservedRoom { options, subject, affiliations: Some(affiliations) };
        let mut room = describe_room(room, new);
        room.remarks.extend(whole.others.iter().map(|other| {
            format!("this affiliation cannot be declared, and stays: {}", quoted(other))
        }));
        if !whole.more.is_empty() {
            room.remarks
                .push(format!("what else it has stays as it is: {}", whole.more.join(", ")));
        }
        Ok(Some(room))
    }
}

/// Whether every stored room has this option. Each version of ejabberd stores only one of the two
/// options in this function.
fn is_stored(name: &str) -> bool {
    !matches!(name, "allowpm" | "allow_private_messages")
}
